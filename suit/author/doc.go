// Package author makes SUIT manifests from a short description of what they install.
//
// Call [Load] or [Parse] for a description in YAML, or fill a [Description], then
// [Create] for the manifest and its integrated payloads, or [Sign] for a signed
// envelope. The manifests follow the templates of draft-ietf-suit-manifest-37
// section 7: compatibility check, component download, integrated payload.
//
// Out of scope for now: more than one component, dependencies, encryption, severing.
// A manifest of another shape is written with the types of package suit.
package author
