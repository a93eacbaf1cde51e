package attest

import (
	"context"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Verifier appraises Evidence (RFC 9334 section 4.1). An error means that nothing
// could be said about the device: the caller fails closed and changes nothing.
// Evidence that was understood and found wanting is a Result, not an error.
type Verifier interface {
	Appraise(ctx context.Context, e Evidence) (*Result, error)
}

// Evidence is what an Attester sent, with the challenge that it answers.
type Evidence struct {
	Format    string // media type with parameters
	Payload   []byte
	Challenge []byte // nil under timestamp freshness
}

// Result is an Attestation Result: signed by a remote Verifier or made by the local one.
type Result struct {
	Status   Status
	Vector   []Element
	Verifier string // who appraised, for people
	// AttestationKey signed the evidence, as a key that the Verifier trusts; zero
	// where it does not name the key.
	AttestationKey cosekit.Thumbprint
	// Claims are those of the very bytes that were appraised; nil where their
	// signature was not found good.
	Claims *Claims
	// Evidence is what was appraised, Raw the result as it was issued (nil for a local one).
	Evidence    Evidence
	Raw         []byte
	AppraisedAt time.Time
}

// Reason says in words why the result is not affirming: the reasons of the worst
// elements of its vector. It is empty for an affirming result.
func (r *Result) Reason() string {
	if r.Status == Affirming && StatusOf(r.Vector) == Affirming {
		return ""
	}
	reason := "the verifier gave no reason"
	worst := Affirming
	for _, e := range r.Vector {
		switch tier := e.Tier(); {
		case tier > worst:
			worst, reason = tier, e.Name+": "+e.Reason
		case e.Failed() && worst == Affirming:
			reason = e.Name + ": " + e.Reason
		}
	}
	return reason
}
