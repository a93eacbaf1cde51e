package anchor

import (
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Purpose is what an anchor's key may be used for.
type Purpose string

// The purposes.
const (
	TCSigner Purpose = "tc-signer" // authenticates SUIT manifests
	TAM      Purpose = "tam"       // may talk TEEP to this agent
	Verifier Purpose = "verifier"  // signs attestation results
	Manager  Purpose = "manager"   // signs trust anchor updates
	Attester Purpose = "attester"  // a device attestation key, or the CA of many; on the TAM's side
)

// Anchor is one trusted key and what it is trusted for.
type Anchor struct {
	Key         *cosekit.PublicKey
	Title       string
	Purposes    []Purpose // at least one, no duplicates
	Constraints Constraints
	NotBefore   time.Time // zero: no lower bound
	NotAfter    time.Time // zero: no upper bound
}

// Constraints narrow an anchor. An empty list does not narrow.
type Constraints struct {
	Components []suit.ComponentID // prefixes of the component ids that it may sign for
	VendorIDs  [][]byte           // 16-byte UUIDs
	ClassIDs   [][]byte
	Grants     []Purpose // for managers: the purposes that they may grant
}
