package policy

import (
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

// view is the result as policies see it.
func view(r *attest.Result) *expr.Result {
	if r == nil {
		return &expr.Result{Status: attest.None.String()}
	}
	v := &expr.Result{
		Status: status(r).String(), Reason: r.Reason(),
		Vector: make(map[string]int64, len(attest.ElementNames)), Tiers: make(map[string]string, len(attest.ElementNames)),
		Verifier: r.Verifier, Format: r.Evidence.Format,
	}
	for _, name := range attest.ElementNames {
		worst := worstOf(r.Vector, name)
		v.Vector[name], v.Tiers[name] = int64(worst.Value), worst.Tier().String()
	}
	for _, c := range r.Comparisons {
		if !c.Match {
			v.Differences = append(v.Differences, expr.Difference{
				Element: c.Element, Submod: c.Submod, Name: c.Name, Measured: c.Measured, Expected: c.Expected,
			})
		}
	}
	return v
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
func input(in Subject) expr.Input {
	out := expr.Input{Device: in.Device, Result: view(in.Result), Now: in.Now}
	if in.Result != nil && in.Result.Claims != nil {
		out.Claims = in.Result.Document
	}
	return out
}
