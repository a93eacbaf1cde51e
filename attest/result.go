package attest

import (
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Result is an Attestation Result: signed by a remote Verifier or made by the local one.
type Result struct {
	// Status is what the Verifier says of the whole Attester, never better than the
	// worst of its submodules.
	Status   Status
	Vector   []Element
	Verifier string // who appraised, for people
	// AttestationKey is the identity of the hardware that made the evidence, as the
	// Verifier has found it: the thumbprint of the key that signed, or a digest of an
	// identifier that no other trusted key can speak for: for hardware whose keys change
	// (SEV-SNP: of the chip id), and of the instance id of PSA and CCA, so that verifiers
	// near and far say the same. Zero where it is not known.
	AttestationKey cosekit.Thumbprint
	// Claims are those of the very bytes that were appraised; nil where their
	// signature was not found good. Evidence in formats without cnf and ueid leaves
	// these fields zero.
	Claims *Claims
	// Document holds the claims by name, for policies and people, in the types of
	// encoding/json; byte strings as lower-case hexadecimal digits. Nil like Claims.
	Document map[string]any
	// Comparisons are the measured values beside the reference values, where the
	// Verifier tells them.
	Comparisons []Comparison
	// Evidence is what was appraised; zero where only the result is known.
	Evidence Evidence
	// Raw is the result as it was issued, Format its media type; nil for a local one.
	Raw    []byte
	Format string

	AppraisedAt time.Time
	Expires     time.Time // of the result itself; zero for never
}

// Comparison is a measured value beside what was expected.
type Comparison struct {
	Element  string   `json:"element"`            // of the trust vector that it counted for
	Submod   string   `json:"submod,omitempty"`   // as in Element
	Name     string   `json:"name"`               // what was measured: "image-digest of tc/app", "PCR 7"
	Measured string   `json:"measured"`           // in the form that people compare
	Expected []string `json:"expected,omitempty"` // the reference values; empty where none is known
	Source   string   `json:"source,omitempty"`   // the CoRIM that has them
	Match    bool     `json:"match"`
}

// Identified reports whether the Verifier knows who made the evidence: it is genuine,
// instance-identity is affirming, and in no submodule anything else. Without that, nothing
// that a result says is about the device, whatever policies and exceptions accept.
func (r *Result) Identified() bool {
	known := false
	for _, e := range r.Vector {
		if e.Name != InstanceIdentity || e.Value == 0 {
			continue
		}
		if e.Tier() != Affirming {
			return false
		}
		known = true
	}
	return known && r.Claims != nil
}

// Affirmed returns nil for a result that is exactly affirming, in every submodule, over
// verified claims; else ErrNotAffirmed with the reason.
func (r *Result) Affirmed() error {
	switch {
	case r.Status != Affirming || StatusOf(r.Vector) != Affirming:
		return r.notAffirmed()
	case r.Claims == nil:
		return errNoClaims
	}
	return nil
}

// Reason says in words why the result is not affirming: the reasons of the worst
// elements of its vector. It is empty for an affirming result.
func (r *Result) Reason() string {
	reason := "the verifier gave no reason"
	switch {
	case StatusOf(r.Vector) != Affirming:
	case r.Status == Affirming:
		return ""
	default:
		reason = fmt.Sprintf("the verifier says %s of the whole, over a vector that is affirming", r.Status)
	}
	worst := Affirming
	for _, e := range r.Vector {
		switch tier := e.Tier(); {
		case tier > worst:
			worst, reason = tier, e.label()+": "+e.Reason
		case e.Failed() && worst == Affirming:
			reason = e.label() + ": " + e.Reason
		}
	}
	return reason
}
