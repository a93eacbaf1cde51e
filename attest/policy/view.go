package policy

import (
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

// view is the result as a policy sees it, as far as the policy looks.
func view(r *attest.Result, rule *expr.Rule) *expr.Result {
	if r == nil {
		return &expr.Result{Status: attest.None.String()}
	}
	v := &expr.Result{Status: status(r).String(), Verifier: r.Verifier, Format: r.Evidence.Format}
	if rule.Uses("reason") {
		v.Reason = r.Reason()
	}
	if rule.Uses("vector") {
		v.Vector = byElement(r.Vector, func(e attest.Element) int64 { return int64(e.Value) })
	}
	if rule.Uses("tiers") {
		v.Tiers = byElement(r.Vector, func(e attest.Element) string { return e.Tier().String() })
	}
	if rule.Uses("differences") {
		v.Differences = differences(r.Comparisons)
	}
	return v
}

// byElement makes a map of the worst element of each name.
func byElement[V any](vector []attest.Element, show func(attest.Element) V) map[string]V {
	out := make(map[string]V, len(attest.ElementNames))
	for _, name := range attest.ElementNames {
		out[name] = show(worstOf(vector, name))
	}
	return out
}

func differences(comparisons []attest.Comparison) []expr.Difference {
	var list []expr.Difference
	for _, c := range comparisons {
		if !c.Match {
			list = append(list, expr.Difference{
				Element: c.Element, Submod: c.Submod, Name: c.Name, Measured: c.Measured, Expected: c.Expected,
			})
		}
	}
	return list
}

// status is the worse of what the Verifier says and what its vector says. None is not
// good, though it is the least number.
func status(r *attest.Result) attest.Status {
	recomputed := attest.StatusOf(r.Vector)
	worst := max(r.Status, recomputed)
	if worst <= attest.Affirming && r.Status != recomputed {
		return attest.None
	}
	return worst
}

// worstOf is the worst element of a name in all submodules. An element of value 0 is
// skipped; one that could not be appraised is worse than an affirming one.
func worstOf(vector []attest.Element, name string) attest.Element {
	worst := attest.Element{Name: name}
	for _, e := range vector {
		if e.Name == name && badness(e) > badness(worst) {
			worst = e
		}
	}
	return worst
}

func badness(e attest.Element) int {
	switch {
	case e.Value == 0:
		return 0
	case e.Failed():
		return int(attest.Affirming) + 1
	}
	return int(e.Tier())
}

// input gives the claims only where they were verified.
func (c *Compiled) input(in Subject) expr.Input {
	out := expr.Input{Device: in.Device, Result: view(in.Result, c.rule), Now: in.Now}
	if in.Result != nil && in.Result.Claims != nil {
		out.Claims = in.Result.Document
	}
	return out
}
