// Package author makes SUIT manifests from a description of what they install, looks
// for mistakes in them, and tells two of them apart.
//
// Call [Load] or [Parse] for a description in YAML, or fill a [Description], then
// [Create] for the manifest, its integrated payloads and the files that devices fetch,
// or [Sign] for a signed envelope. The manifests follow the templates of
// draft-ietf-suit-manifest-37 section 7, draft-ietf-suit-trust-domains,
// draft-ietf-suit-update-management-14 and draft-ietf-suit-firmware-encryption-24, and
// are for devices that take these drafts strictly. [Encrypt] is the encryption alone.
//
// [Lint] and [Diff] take any envelope or bare manifest; they verify nothing.
//
// Out of scope: alternatives (try-each), swap, and parameters that one manifest sets for
// another. A manifest of such a shape is written with the types of package suit.
package author
