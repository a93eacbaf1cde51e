package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/internal/expr"
)

// Set is the policies in force, in order. The nil set has none.
type Set struct {
	appraisals, admissions []*Compiled
}

// NewSet orders compiled policies. Of several versions of one, the highest counts.
func NewSet(compiled []*Compiled) *Set {
	latest := map[string]*Compiled{}
	for _, c := range compiled {
		if other := latest[c.Policy.Name]; other == nil || other.Policy.Version < c.Policy.Version {
			latest[c.Policy.Name] = c
		}
	}
	s := &Set{}
	for _, c := range latest {
		switch {
		case c.Policy.Retired:
		case c.Policy.Kind == Admission:
			s.admissions = append(s.admissions, c)
		default:
			s.appraisals = append(s.appraisals, c)
		}
	}
	slices.SortFunc(s.appraisals, inOrder)
	slices.SortFunc(s.admissions, inOrder)
	return s
}

func inOrder(a, b *Compiled) int {
	return cmp.Or(cmp.Compare(a.Policy.Position, b.Policy.Position), cmp.Compare(a.Policy.Name, b.Policy.Name))
}

func (s *Set) of(kind Kind) []*Compiled {
	switch {
	case s == nil:
		return nil
	case kind == Admission:
		return s.admissions
	}
	return s.appraisals
}

// byDefault stands for a policy where none speaks of the device.
const byDefault = "default"

// Appraise decides about a bound result. A policy that fails to evaluate rejects, with
// the reason.
func (s *Set) Appraise(in Subject) Decision {
	if in.Result == nil {
		return Decision{Outcome: Reject, Reason: "there is no attestation result", Policy: byDefault}
	}
	if d, by := s.decide(Appraisal, in); by != nil {
		return d
	}
	if err := in.Result.Affirmed(); err != nil {
		return Decision{Outcome: Reject, Reason: err.Error(), Policy: byDefault}
	}
	return Decision{Outcome: Accept, Policy: byDefault}
}

// Admit decides about a new device whose result was accepted; ok is false where no policy
// speaks of it.
func (s *Set) Admit(in Subject) (d Decision, ok bool) {
	d, by := s.decide(Admission, in)
	return d, by != nil
}

// decide asks the first policy that speaks of the device, and returns it too; nil where
// none does.
func (s *Set) decide(kind Kind, in Subject) (Decision, *Compiled) {
	if in.Budget == nil {
		in.Budget = expr.NewBudget(expr.PerAppraisal)
	}
	for _, c := range s.of(kind) {
		before := in.Budget.Spent()
		selected, err := c.selects(in)
		switch {
		case err != nil:
			return c.reject("its selector " + failed(err, before, in.Budget)), c
		case selected:
			return c.decide(in), c
		}
	}
	return Decision{}, nil
}

// failed tells, of a budget that is used up, who has used it.
func failed(err error, before uint64, b *expr.Budget) string {
	if errors.Is(err, expr.ErrSpent) {
		return fmt.Sprintf("%v: of %d units for an appraisal, the policies before it have spent %d", err, b.Limit(), before)
	}
	return err.Error()
}

func (c *Compiled) selects(in Subject) (bool, error) {
	if c.selector == nil {
		return true, nil
	}
	return c.selector.Matches(in.Device, in.Budget)
}

// decide evaluates the expression. What it accepts still has to be genuine, and not to
// have ended.
func (c *Compiled) decide(in Subject) Decision {
	before := in.Budget.Spent()
	found, err := c.rule.Decide(c.input(in), in.Budget)
	if err != nil {
		return c.reject("its expression " + failed(err, before, in.Budget))
	}
	d := Decision{Outcome: outcome(found.Verb), Until: found.Until, Reason: found.Reason, Policy: c.label}
	if d.Outcome != Accept {
		d.Remediation = c.remediation(d.Outcome)
		return d
	}
	switch {
	case in.Result == nil || in.Result.Claims == nil:
		return c.reject("the evidence has no verified claims, without which no policy accepts")
	case !in.Result.Identified():
		return c.reject("the verifier does not know who made the evidence, without which no policy accepts: " + in.Result.Reason())
	case found.Verb == expr.AcceptUntil && !in.Now.Before(found.Until):
		return c.reject("accepted only until " + found.Until.UTC().Format(time.RFC3339) + reasoned(found.Reason))
	}
	return d
}

func outcome(v expr.Verb) Outcome {
	switch v {
	case expr.Accept, expr.AcceptUntil:
		return Accept
	case expr.Quarantine:
		return Quarantine
	case expr.Pending:
		return Pending
	}
	return Reject
}

func (c *Compiled) reject(reason string) Decision {
	return Decision{Outcome: Reject, Reason: reason, Policy: c.label, Remediation: c.remediation(Reject)}
}

// remediation is offered to a device that was turned away.
func (c *Compiled) remediation(o Outcome) string {
	if o == Pending {
		return ""
	}
	return c.Policy.Remediation
}

func reasoned(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
