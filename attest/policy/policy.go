package policy

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/expr"
	"github.com/tamarack-tam/tamarack/suit"
)

// ErrPolicy: a policy that cannot be compiled; wrapped with the place and the reason.
var ErrPolicy = errors.New("policy")

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

// String names the version of the policy, as decisions do.
func (p Policy) String() string { return fmt.Sprintf("%s@%d", p.Name, p.Version) }

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
	// Budget pays for all policies that are asked, until one decides; nil for the ordinary
	// one, expr.PerAppraisal. Where it is used up, the policy that goes over it rejects.
	Budget *expr.Budget
}

// Compiled is a checked policy. It may be used by many goroutines.
type Compiled struct {
	Policy   Policy
	label    string         // name@version
	selector *expr.Selector // nil for all devices
	rule     *expr.Rule     // nil for a version that ends the policy
}

var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Compile checks a policy: types, names and the bound on what it may cost. Groups are
// selectors by name, which the policy may refer to. An error is ErrPolicy, and an
// [*expr.Error] where it has a place in a text.
func Compile(p Policy, groups map[string]string) (*Compiled, error) {
	if err := checkFields(p); err != nil {
		return nil, err
	}
	c := &Compiled{Policy: p, label: p.String()}
	if p.Retired {
		return c, nil
	}
	var err error
	if p.Selector != "" {
		if c.selector, err = expr.NewSelector(p.Selector, groups); err != nil {
			return nil, refuse(p, "selector", err)
		}
	}
	newRule := expr.NewAppraisal
	if p.Kind == Admission {
		newRule = expr.NewAdmission
	}
	if c.rule, err = newRule(p.Expression, groups); err != nil {
		return nil, refuse(p, "expression", err)
	}
	return c, nil
}

func checkFields(p Policy) error {
	switch {
	case !nameForm.MatchString(p.Name):
		return fmt.Errorf("%w: name %.80q: a name is 1 to 64 of a-z, 0-9 and -", ErrPolicy, p.Name)
	case p.Version < 1:
		return refuse(p, "version", errors.New("versions count from 1"))
	case p.Kind != Appraisal && p.Kind != Admission:
		return refuse(p, "kind", fmt.Errorf("%.80q is neither %s nor %s", p.Kind, Appraisal, Admission))
	}
	if _, err := suit.ParseComponentID(p.Remediation); err != nil {
		return refuse(p, "remediation", err)
	}
	return nil
}

func refuse(p Policy, field string, err error) error {
	return fmt.Errorf("%w %s: %s: %w", ErrPolicy, p.Name, field, err)
}
