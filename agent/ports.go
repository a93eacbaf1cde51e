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
}

// Memory is what the agent must not forget. What a method has acknowledged survives
// the death of the process.
type Memory interface {
	// Requests lists the components that are asked for and not installed.
	Requests() []teep.RequestedTC
	// Request adds a wish; false where it is installed already.
	Request(tc teep.RequestedTC) (added bool, err error)
	// Withdraw takes a wish back; false where there was none.
	Withdraw(component suit.ComponentID) (removed bool, err error)
	// AcceptUpdate remembers the digest of an Update; false where it was known.
	AcceptUpdate(digest [sha256.Size]byte) (fresh bool, err error)
}

// Attester makes Evidence about the device (RFC 9334 section 4.1). It holds the
// device attestation key, which the agent never sees.
type Attester interface {
	// Evidence answers the challenge and vouches for key as the agent's.
	Evidence(ctx context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error)
}
