package attest

import (
	"fmt"
	"strings"
)

// The eat_profile values that Tamarack knows.
const (
	// ProfileTEEP labels the EAT profile of draft-ietf-teep-protocol-26 section 5.
	// It becomes urn:ietf:rfc: and a number when that draft has one.
	ProfileTEEP = "urn:ietf:rfc:rfcXXXX"
	// ProfileEAT is the label that evidence of our agent carries: RFC 9711 as it
	// is. Its claims meet what the TEEP profile requires, but the TEEP label
	// would make a TAM take the evidence for a result
	// (docs/decisions/0002-evidence-profile-label.md).
	ProfileEAT = "urn:ietf:rfc:rfc9711"
	// ProfileEARVeraison and ProfileEAR03 label attestation results in EAR form.
	ProfileEARVeraison = "tag:github.com,2023:veraison/ear"
	ProfileEAR03       = "tag:ietf.org,2026:rats/ear#03"
)

// CheckProfile checks that the claims which the EAT profile of TEEP requires are
// there (draft-ietf-teep-protocol-26 section 5), and names all that are missing.
// eat_nonce is required where freshness is shown by a nonce. The rest of the profile
// – CBOR, no tags, a single nonce – is what [DecodeClaims] reads at all.
func (c *Claims) CheckProfile(nonce bool) error {
	var missing []string
	for _, claim := range registered {
		if (claim.required || nonce && claim.label == labelNonce) && !claim.present(c) {
			missing = append(missing, fmt.Sprintf("%s (%d)", claim.name, claim.label))
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: %s", ErrProfile, strings.Join(missing, ", "))
	}
	return nil
}
