// Package corim reads what makers say of their products: reference values, endorsed values
// and device keys in CoRIM files (draft-ietf-rats-corim), signed and versioned.
//
// Call [Read] for a file and [File.Verify] before believing it; give all that are in force
// to [NewBase], and ask the [Base] about an environment. [FromManifest] makes the
// reference values of a release out of its SUIT manifest.
//
// Out of scope: appraisal (attest/local) and where files are kept (tam/store).
package corim
