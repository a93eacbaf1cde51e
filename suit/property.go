package suit

import "github.com/tamarack-tam/tamarack/internal/cosekit"

// PropertyClaims is system-property-claims (draft-ietf-suit-report-18 section 4):
// what was measured of one component. TEEP's tc-list and the records of a
// SUIT_Report are made of them.
type PropertyClaims struct {
	Component   ComponentID
	ImageDigest *Digest // parameter 3
	ImageSize   *uint64 // parameter 14
	// Other holds every further parameter, encoded as it came.
	Other map[int64]cosekit.RawMessage
}
