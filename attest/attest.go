package attest

import (
	"context"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
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

// Status is a trustworthiness tier (draft-ietf-rats-ar4si section 2.3.2).
type Status int8

// The tiers. None means not appraised, which is not good.
const (
	None            Status = 0
	Affirming       Status = 2
	Warning         Status = 32
	Contraindicated Status = 96
)

// Element is one entry of a trust vector: an AR4SI value and why it has it.
type Element struct {
	Name   string // instance-identity, executables, hardware, …
	Value  int8   // AR4SI trustworthiness claim
	Reason string
}

// Result is an Attestation Result: signed by a remote Verifier or made by the local one.
type Result struct {
	Status   Status
	Vector   []Element
	Verifier string // who appraised, for people
	// Claims are those of the very bytes that were appraised.
	Claims *Claims
	// Evidence is what was appraised, Raw the result as it was issued (nil for a local one).
	Evidence    Evidence
	Raw         []byte
	AppraisedAt time.Time
}

// Claims are the EAT claims that Tamarack uses (RFC 9711, RFC 8392, RFC 8747).
type Claims struct {
	Profile      string // eat_profile (265)
	Nonce        []byte // eat_nonce (10), single byte string
	UEID         []byte // 256
	OEMID        []byte // 258, the encoded claim value
	HWModel      []byte // 259
	HWVersion    string // 260
	Confirmation Confirmation
	Manifests    []ManifestRef         // 272: the manifests installed, by digest
	Measurements []suit.PropertyClaims // 273: what the Attester measured, by component
	IssuedAt     time.Time             // 6; zero where absent, as the two below
	NotBefore    time.Time             // 5
	Expires      time.Time             // 4
	// Unknown holds every further claim as it came, for display.
	Unknown map[int64]cosekit.RawMessage
}

// ManifestRef is a SUIT_Reference (draft-ietf-suit-report-18 section 4).
type ManifestRef struct {
	URI    string
	Digest suit.Digest
}

// Confirmation is the cnf claim (RFC 8747 section 3.1). Key carries a key; KeyID
// only names one: enough for a registered key, not to enrol one.
type Confirmation struct {
	Key   *cosekit.PublicKey
	KeyID []byte // kid (3) or ckt (5)
}
