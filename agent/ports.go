package agent

import (
	"context"
	"crypto/sha256"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// Components is where trusted components live: the host that manifests are processed
// on, and what it holds. [github.com/tamarack-tam/tamarack/agent/tee.Store] is one.
type Components interface {
	processor.Host
	// Measure returns what is installed, components and the manifests that installed
	// them, hashed at this moment.
	Measure(ctx context.Context) ([]suit.PropertyClaims, error)
	// Roots returns the ids of the manifests that are installed for themselves. Others
	// are there as dependencies, and go with what depends on them.
	Roots() []suit.ComponentID
	// Envelope returns the envelope that an installed manifest came in;
	// processor.ErrNotInstalled where there is none of that id.
	Envelope(manifest suit.ComponentID) ([]byte, error)
}

// Memory is what the agent must not forget. What a method has acknowledged survives
// the death of the process.
type Memory interface {
	// Requests lists the components that are asked for and not installed.
	Requests() []teep.RequestedTC
	// Unneeded lists the installed manifests that are not needed any more.
	Unneeded() []suit.ComponentID
	// Request adds a wish; false where it is installed already. It ends a withdrawal.
	Request(tc teep.RequestedTC) (added bool, err error)
	// Withdraw takes a wish back, and makes the manifests of what is installed unneeded
	// until they are uninstalled; false where neither changes anything.
	Withdraw(component suit.ComponentID) (changed bool, err error)
	// AcceptUpdate remembers the digest of an Update; false where it was known.
	AcceptUpdate(digest [sha256.Size]byte) (fresh bool, err error)
	// Papers returns what KeepPapers was last given; the zero value where it never was.
	Papers() (Papers, error)
	KeepPapers(Papers) error
}

// Papers is what the agent keeps about attestation.
type Papers struct {
	Passport *Passport // nil for none
	// TAMs are those that have attested themselves to this device not long ago.
	TAMs []AttestedTAM
}

// Attester makes Evidence about the device (RFC 9334 section 4.1). It holds the
// device attestation key, which the agent never sees.
type Attester interface {
	// Evidence answers the challenge and vouches for key as the agent's.
	Evidence(ctx context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error)
}
