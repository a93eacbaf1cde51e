package policy

import "github.com/tamarack-tam/tamarack/internal/expr"

// Explanation is a decision with the way to it.
type Explanation struct {
	Decision Decision
	// Skipped are the policies, in order, that came before and do not select the device.
	Skipped []string
	// Values are what the policy that decided refers to, as they were: "claims.dbgstat".
	Values []expr.Value
}

// Explain decides as Appraise or Admit does, at greater cost and with budgets of its own. Where no policy speaks of a
// new device, the decision is the zero one.
func (s *Set) Explain(kind Kind, in Subject) Explanation {
	in.Budget = nil
	e := Explanation{Decision: s.on(kind, in)}
	_, by := s.decide(kind, in)
	for _, c := range s.of(kind) {
		if c == by {
			e.Values = c.values(in)
			break
		}
		e.Skipped = append(e.Skipped, c.label)
	}
	return e
}

func (c *Compiled) values(in Subject) []expr.Value {
	var all []expr.Value
	if c.selector != nil {
		all = c.selector.Values(in.Device)
	}
	return append(all, c.rule.Values(c.input(in))...)
}

// Change is what became of a subject, and what would become of it.
type Change struct{ Before, After Decision }

// Preview decides about one subject by two sets: those in force and those that are to be
// tried. Where no policy of the kind speaks of it, the decision of an admission is the
// zero one. Each has a budget of its own.
func Preview(kind Kind, present, candidate *Set, in Subject) Change {
	in.Budget = nil
	return Change{present.on(kind, in), candidate.on(kind, in)}
}

func (s *Set) on(kind Kind, in Subject) Decision {
	if kind == Admission {
		d, _ := s.Admit(in)
		return d
	}
	return s.Appraise(in)
}

// Matters reports whether the device would fare differently: in the outcome, its end or
// the remediation. Another reason, or another policy that says the same, does not matter.
func (c Change) Matters() bool {
	return c.Before.Outcome != c.After.Outcome || !c.Before.Until.Equal(c.After.Until) || c.Before.Remediation != c.After.Remediation
}
