package attest

import "context"

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
