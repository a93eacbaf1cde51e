package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/expr"
)

// All policies that are asked pay from one budget. Where it is used up, the one that goes
// over it rejects, and tells what those before it have spent.
func TestOneBudgetForTheSet(t *testing.T) {
	dear := strings.TrimSuffix(strings.Repeat(`device.name.matches("(a|aa|aaa|aaaa){1,9}b") || `, 2), " || ")
	var list []Policy
	for i := range 20 {
		list = append(list, Policy{Name: fmt.Sprintf("p%02d", i), Position: i, Selector: dear, Expression: `true`})
	}
	in := subject(good)
	in.Device.Name = strings.Repeat("a", 400)
	for n := range list {
		in.Budget = expr.NewBudget(expr.PerAppraisal)
		d := compile(t, list[:n]...).Appraise(in)
		if d.Outcome == Accept && d.Policy == "default" && in.Budget.Spent() < expr.PerAppraisal {
			continue
		}
		if n < 2 {
			t.Fatal("one policy alone is too dear for this test")
		}
		want := fmt.Sprintf("its selector cannot be evaluated: it goes over more than it may: of %d units for an appraisal, the policies before it have spent ", expr.PerAppraisal)
		if d.Outcome != Reject || d.Policy != fmt.Sprintf("p%02d@1", n-1) || !strings.HasPrefix(d.Reason, want) || strings.HasSuffix(d.Reason, " 0") {
			t.Errorf("%d policies: %+v", n, d)
		}
		in.Budget = nil // the ordinary one
		if again := compile(t, list...).Appraise(in); again != d {
			t.Errorf("all policies: %+v, not %+v", again, d)
		}
		last := Policy{Name: "q", Position: 99, Expression: "!(" + dear + ")"}
		if d := compile(t, append(list[:n-1:n-1], last)...).Appraise(in); d.Policy != "q@1" || !strings.HasPrefix(d.Reason, "its expression cannot") {
			t.Errorf("an expression at the end: %+v", d)
		}
		return
	}
	t.Error("the budget is never used up")
}

// An admission has a budget of its own, as has each explanation.
func TestBudgetOfEachDecision(t *testing.T) {
	text := `device.name.matches("(a|aa|aaa|aaaa){1,9}b") ? reject("") : accept()`
	s := compile(t, Policy{Name: "known", Expression: text}, Policy{Name: "new", Kind: Admission, Expression: text})
	in := subject(good)
	in.Device.Name = strings.Repeat("a", 1000)
	for range 3 {
		if d := s.Appraise(in); d.Outcome != Accept {
			t.Fatalf("%+v", d)
		}
		if d, ok := s.Admit(in); d.Outcome != Accept || !ok {
			t.Fatalf("%+v, %t", d, ok)
		}
		if e := s.Explain(Appraisal, in); e.Decision.Outcome != Accept {
			t.Fatalf("%+v", e.Decision)
		}
	}
}
