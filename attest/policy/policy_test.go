package policy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/expr"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func result(vector ...attest.Element) *attest.Result {
	return &attest.Result{
		Status: attest.StatusOf(vector), Vector: vector, Verifier: "local",
		Claims: &attest.Claims{}, Document: map[string]any{"dbgstat": "disabled"},
		Evidence: attest.Evidence{Format: "application/eat+cwt"},
	}
}

func element(name string, value int8) attest.Element {
	return attest.Element{Name: name, Value: value, Reason: "because"}
}

var (
	good = result(element(attest.InstanceIdentity, 2), element(attest.Executables, 2))
	warn = result(element(attest.InstanceIdentity, 2), element(attest.Executables, 33))
	bad  = result(element(attest.InstanceIdentity, 97))
)

func subject(r *attest.Result) Subject {
	return Subject{Device: &expr.Device{ID: "id-1", State: "accepted", Labels: map[string]string{"site": "lab"}}, Result: r, Now: noon}
}

func compile(t testing.TB, policies ...Policy) *Set {
	t.Helper()
	var list []*Compiled
	for i, p := range policies {
		if p.Name == "" {
			p.Name = fmt.Sprintf("p%d", i)
		}
		p.Version = max(p.Version, 1)
		if p.Kind == "" {
			p.Kind = Appraisal
		}
		c, err := Compile(p, map[string]string{"lab": `device.labels.site == "lab"`})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return NewSet(list)
}

func TestDefault(t *testing.T) {
	for name, s := range map[string]*Set{"nil": nil, "empty": NewSet(nil)} {
		if d := s.Appraise(subject(good)); d != (Decision{Outcome: Accept, Policy: "default"}) {
			t.Errorf("%s set, affirming: %+v", name, d)
		}
		d := s.Appraise(subject(warn))
		if d.Outcome != Reject || !strings.Contains(d.Reason, "executables: because") {
			t.Errorf("%s set, warning: %+v", name, d)
		}
		if _, ok := s.Admit(subject(good)); ok {
			t.Errorf("%s set admits", name)
		}
		if d := s.Appraise(subject(nil)); d.Outcome != Reject {
			t.Errorf("%s set, no result: %+v", name, d)
		}
	}
}

func TestDecisions(t *testing.T) {
	for expression, want := range map[string]Decision{
		`accept()`:     {Outcome: Accept},
		`true`:         {Outcome: Accept},
		`false`:        {Outcome: Reject, Reason: "the policy does not hold", Remediation: "fix"},
		`reject("no")`: {Outcome: Reject, Reason: "no", Remediation: "fix"},
		`result.tiers.executables == "warning" ? quarantine(result.reason) : accept()`: {
			Outcome: Quarantine, Reason: "executables: because", Remediation: "fix"},
		`accept_until(now + duration("1h"), "late")`: {Outcome: Accept, Until: noon.Add(time.Hour), Reason: "late"},
		`accept_until(now, "late")`: {
			Outcome: Reject, Reason: "accepted only until 2026-11-22T12:00:00Z: late", Remediation: "fix"},
		`accept_until(now - duration("1s"), "")`: {
			Outcome: Reject, Reason: "accepted only until 2026-11-22T11:59:59Z", Remediation: "fix"},
		`claims.gone == 1`: {
			Outcome: Reject, Reason: "its expression cannot be evaluated: line 1, column 7: no such key: gone", Remediation: "fix"},
		`claims.dbgstat == "disabled" && group("lab")`: {Outcome: Accept},
	} {
		s := compile(t, Policy{Name: "rule", Version: 3, Expression: expression, Remediation: "fix"})
		want.Policy = "rule@3"
		if got := s.Appraise(subject(warn)); got != want {
			t.Errorf("%s:\n%+v, want\n%+v", expression, got, want)
		}
	}
}

// The first policy whose selector matches decides, whatever those behind it would say.
func TestOrder(t *testing.T) {
	s := compile(t,
		Policy{Name: "all", Position: 9, Expression: `reject("last")`},
		Policy{Name: "lab", Position: 2, Selector: `group("lab")`, Expression: `quarantine("second")`},
		Policy{Name: "hall", Position: 1, Selector: `device.labels.site == "hall"`, Expression: `accept()`},
		Policy{Name: "lab-too", Position: 2, Selector: `group("lab")`, Expression: `accept()`},
	)
	for site, want := range map[string]string{"lab": "lab@1", "hall": "hall@1", "": "all@1"} {
		in := subject(good)
		in.Device.Labels = map[string]string{"site": site}
		if got := s.Appraise(in).Policy; got != want {
			t.Errorf("%q: %s, want %s", site, got, want)
		}
	}
}

// What a policy that fails would have said is not known: the ones behind it do not decide.
func TestSelectorFails(t *testing.T) {
	s := compile(t,
		Policy{Name: "broken", Selector: `device.attested.failed_by["x"] > 1`, Expression: `true`, Remediation: "fix"},
		Policy{Name: "later", Expression: `true`})
	d := s.Appraise(subject(good))
	if d.Outcome != Reject || d.Policy != "broken@1" || !strings.Contains(d.Reason, "its selector cannot be evaluated") || d.Remediation != "fix" {
		t.Errorf("%+v", d)
	}
}

// No policy makes evidence good of which no claim was verified.
func TestNeverWithoutClaims(t *testing.T) {
	forged := *good
	forged.Claims = nil
	for _, expression := range []string{`accept()`, `true`, `accept_until(now + duration("1h"), "x")`} {
		for _, kind := range []Kind{Appraisal, Admission} {
			s := compile(t, Policy{Kind: kind, Expression: expression})
			for name, r := range map[string]*attest.Result{"forged": &forged, "none": nil} {
				if d := s.on(kind, subject(r)); d.Outcome != Reject {
					t.Errorf("%s %s over %s: %+v", kind, expression, name, d)
				}
			}
		}
	}
	s := compile(t, Policy{Expression: `has(claims.dbgstat) ? quarantine("claims") : quarantine("no claims")`})
	if d := s.Appraise(subject(&forged)); d.Reason != "no claims" {
		t.Errorf("shows claims that were not verified: %+v", d)
	}
}

func TestAdmit(t *testing.T) {
	s := compile(t,
		Policy{Name: "lab", Kind: Admission, Selector: `group("lab")`, Expression: `pending("ask")`, Remediation: "fix"},
		Policy{Name: "appraisal", Expression: `false`})
	d, ok := s.Admit(subject(good))
	if !ok || d != (Decision{Outcome: Pending, Reason: "ask", Policy: "lab@1"}) {
		t.Errorf("%+v, %t", d, ok)
	}
	in := subject(good)
	in.Device.Labels = nil
	if d, ok := s.Admit(in); ok || d != (Decision{}) {
		t.Errorf("%+v", d)
	}
}

func TestVersions(t *testing.T) {
	s := compile(t,
		Policy{Name: "a", Version: 2, Expression: `accept()`}, Policy{Name: "a", Version: 1, Expression: `reject("old")`},
		Policy{Name: "b", Version: 1, Position: -1, Expression: `reject("ended")`}, Policy{Name: "b", Version: 2, Position: -1, Retired: true})
	if d := s.Appraise(subject(good)); d.Policy != "a@2" {
		t.Errorf("%+v", d)
	}
}

func TestCompileRefuses(t *testing.T) {
	valid := Policy{Name: "edge", Version: 1, Kind: Appraisal, Expression: "true"}
	for want, change := range map[string]func(p *Policy){
		"a name is":                          func(p *Policy) { p.Name = "" },
		`name "Edge"`:                        func(p *Policy) { p.Name = "Edge" },
		`name "a\n"`:                         func(p *Policy) { p.Name = "a\n" },
		"1 to 64":                            func(p *Policy) { p.Name = strings.Repeat("a", 65) },
		"versions count from 1":              func(p *Policy) { p.Version = 0 },
		`"" is neither`:                      func(p *Policy) { p.Kind = "" },
		`edge: remediation: component id`:    func(p *Policy) { p.Remediation = "a b" },
		`edge: expression: there is no`:      func(p *Policy) { p.Expression = "" },
		`edge: selector: line 1, column 8`:   func(p *Policy) { p.Selector = `device.nam == ""` },
		`edge: expression: line 1, column 8`: func(p *Policy) { p.Expression = `result.stat == ""` },
		"pending is for admission":           func(p *Policy) { p.Expression = `pending("x")` },
		`there is no group "x"`:              func(p *Policy) { p.Selector = `group("x")` },
	} {
		p := valid
		change(&p)
		if _, err := Compile(p, nil); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	_, err := Compile(Policy{Name: "edge", Version: 1, Kind: Appraisal, Expression: "true &&\nfalze"}, nil)
	var fault *expr.Error
	if !errors.As(err, &fault) || fault.Line != 2 || fault.Column != 1 || fault.Hint == "" {
		t.Errorf("no place: %v", err)
	}
}

func TestElementNames(t *testing.T) {
	if expr.Elements != attest.ElementNames {
		t.Errorf("the language knows %v", expr.Elements)
	}
}

// What policies see is never better than what attest says.
func TestView(t *testing.T) {
	all, err := expr.NewAppraisal(`result == result`, nil)
	if err != nil {
		t.Fatal(err)
	}
	submods := result(
		attest.Element{Submod: "a", Name: attest.Executables, Value: 2}, attest.Element{Submod: "b", Name: attest.Executables, Value: -97},
		attest.Element{Submod: "a", Name: attest.Hardware, Value: 2}, attest.Element{Submod: "b", Name: attest.Hardware, Value: 0},
		attest.Element{Submod: "a", Name: attest.Configuration, Value: 3}, attest.Element{Submod: "b", Name: attest.Configuration, Value: -1})
	v := view(submods, all)
	for name, want := range map[string]struct {
		value int64
		tier  string
	}{
		attest.Executables: {-97, "contraindicated"}, attest.Hardware: {2, "affirming"}, attest.Configuration: {-1, "none"}, attest.FileSystem: {0, "none"},
	} {
		if v.Vector[name] != want.value || v.Tiers[name] != want.tier {
			t.Errorf("%s: %d %s", name, v.Vector[name], v.Tiers[name])
		}
	}
	for _, test := range []struct {
		claimed attest.Status
		vector  []attest.Element
		want    string
	}{
		{attest.Affirming, good.Vector, "affirming"},
		{attest.Affirming, bad.Vector, "contraindicated"},
		{attest.Affirming, warn.Vector, "warning"},
		{attest.Contraindicated, good.Vector, "contraindicated"},
		{attest.None, good.Vector, "none"},
		{attest.Affirming, nil, "none"},
		{attest.Affirming, []attest.Element{element(attest.Hardware, 1), element(attest.Executables, 2)}, "none"},
		{attest.None, warn.Vector, "warning"},
	} {
		if got := view(&attest.Result{Status: test.claimed, Vector: test.vector}, all).Status; got != test.want {
			t.Errorf("%s over %v: %s, want %s", test.claimed, test.vector, got, test.want)
		}
	}
}

// What a policy looks at is there, however it is written.
func TestViewIsWhole(t *testing.T) {
	r := *warn
	r.Comparisons = []attest.Comparison{{Name: "PCR 7"}}
	for _, expression := range []string{
		`result.reason != ""`, `.result.reason != ""`, `result.vector["executables"] == 33`, `result.vector.executables == 33`,
		`result.tiers["executables"] == "warning"`, `result.differences.size() == 1`, `result.differences[0].name == "PCR 7"`,
		`has(result.reason) && has(result.vector) && has(result.tiers) && has(result.differences)`,
		`[result].exists(r, r.reason != "" && r.vector.executables == 33)`, `result.status == "warning" && [result][0].differences.size() == 1`,
		`result.verifier == "local" && result.format == "application/eat+cwt"`, `(true ? result : result).reason != ""`,
	} {
		if d := compile(t, Policy{Expression: expression}).Appraise(subject(&r)); d.Outcome != Accept {
			t.Errorf("%s: %+v", expression, d)
		}
	}
}

// No policy lets evidence pass as that of a device which it is not of.
func TestNoPolicyIdentifies(t *testing.T) {
	s := compile(t, Policy{Expression: `true`})
	for name, vector := range map[string][]attest.Element{
		"another's":       {{Name: attest.InstanceIdentity, Value: -97}},
		"unknown":         {{Name: attest.InstanceIdentity, Value: 97}},
		"in one of two":   {{Name: attest.InstanceIdentity, Value: 2}, {Submod: "realm", Name: attest.InstanceIdentity, Value: 1}},
		"nothing said":    {{Name: attest.Executables, Value: 2}},
		"nothing claimed": {{Name: attest.InstanceIdentity}},
	} {
		r := &attest.Result{Status: attest.StatusOf(vector), Vector: vector, Claims: &attest.Claims{}}
		if d := s.Appraise(subject(r)); d.Outcome != Reject || !strings.Contains(d.Reason, "who made the evidence") {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A policy of one line is the default, on every result there is that knows the device.
func TestStatusIsAffirmed(t *testing.T) {
	s := compile(t, Policy{Expression: `result.status == "affirming"`})
	rapid.Check(t, func(t *rapid.T) {
		r := &attest.Result{
			Status: rapid.SampledFrom([]attest.Status{attest.None, attest.Affirming, attest.Warning, attest.Contraindicated, 5, -1}).Draw(t, "status"),
			Claims: &attest.Claims{},
		}
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			r.Vector = append(r.Vector, attest.Element{
				Submod: rapid.SampledFrom([]string{"", "a"}).Draw(t, "submod"),
				Name:   rapid.SampledFrom(attest.ElementNames[:]).Draw(t, "name"), Value: rapid.Int8().Draw(t, "value"),
			})
		}
		if got := s.Appraise(subject(r)).Outcome == Accept; got != (r.Affirmed() == nil && r.Identified()) {
			t.Fatalf("%+v: accepted %t, affirmed %v", r, got, r.Affirmed())
		}
	})
}

// Evaluation leaves its subject alone, and says the same twice, whoever asks.
func TestConcurrentAndPure(t *testing.T) {
	s := compile(t,
		Policy{Selector: `device.labels.exists(k, device.labels[k] == "hall")`, Expression: `true`},
		Policy{Expression: `result.differences.filter(d, d.name != "").size() == 1 && claims.list.exists(x, x == 2) ? accept() : reject(claims.dbgstat)`})
	r := *warn
	r.Comparisons = []attest.Comparison{{Name: "PCR 7", Measured: "aa", Expected: []string{"bb"}}, {Name: "PCR 8", Match: true}}
	r.Document = map[string]any{"dbgstat": "on", "list": []any{1.0, 2.0}}
	in := subject(&r)
	before, labels, claims := r, maps.Clone(in.Device.Labels), fmt.Sprint(r.Document)
	want := s.Appraise(in)
	if want.Outcome != Accept {
		t.Fatalf("%+v", want)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if got := s.Appraise(in); got != want {
					t.Errorf("%+v, then %+v", want, got)
				}
				s.Explain(Appraisal, in)
			}
		})
	}
	group.Wait()
	if !reflect.DeepEqual(before, r) || !maps.Equal(labels, in.Device.Labels) || claims != fmt.Sprint(r.Document) {
		t.Error("evaluation changed its subject")
	}
}

func TestExplain(t *testing.T) {
	s := compile(t,
		Policy{Name: "hall", Position: 1, Selector: `device.labels.site == "hall"`, Expression: `true`},
		Policy{Name: "lab", Position: 2, Selector: `device.labels.site == "lab"`, Expression: `claims.dbgstat == "disabled" && has(claims.gone)`},
		Policy{Name: "rest", Position: 3, Expression: `true`})
	e := s.Explain(Appraisal, subject(good))
	values := []expr.Value{
		{Name: `device.labels["site"]`, Value: "lab", There: true},
		{Name: "claims.dbgstat", Value: "disabled", There: true}, {Name: "claims.gone"},
	}
	if e.Decision.Policy != "lab@1" || !reflect.DeepEqual(e.Skipped, []string{"hall@1"}) || !reflect.DeepEqual(e.Values, values) {
		t.Errorf("%+v", e)
	}
	e = s.Explain(Admission, subject(good))
	if !reflect.DeepEqual(e, Explanation{}) {
		t.Errorf("%+v", e)
	}
	e = (*Set)(nil).Explain(Appraisal, subject(good))
	if e.Decision.Policy != "default" || e.Skipped != nil {
		t.Errorf("%+v", e)
	}
}

func TestPreview(t *testing.T) {
	strict := compile(t, Policy{Name: "strict", Expression: `result.tiers.executables == "affirming" ? accept() : quarantine("code")`, Remediation: "fix"})
	same := compile(t, Policy{Name: "same", Expression: `result.status == "affirming" ? accept() : reject("no")`})
	for _, test := range []struct {
		candidate *Set
		result    *attest.Result
		matters   bool
		after     Outcome
	}{
		{strict, good, false, Accept}, {strict, warn, true, Quarantine}, {same, good, false, Accept}, {same, warn, false, Reject}, {nil, warn, false, Reject},
		{compile(t, Policy{Expression: `accept_until(now + duration("1h"), "x")`}), good, true, Accept},
		{compile(t, Policy{Expression: `result.status == "affirming"`, Remediation: "fix"}), warn, true, Reject},
	} {
		c := Preview(Appraisal, nil, test.candidate, subject(test.result))
		if c.Matters() != test.matters || c.After.Outcome != test.after {
			t.Errorf("%+v", c)
		}
	}
	admit := compile(t, Policy{Kind: Admission, Expression: `true`})
	if c := Preview(Admission, nil, admit, subject(good)); !c.Matters() || c.After.Outcome != Accept || c.Before != (Decision{}) {
		t.Errorf("%+v", c)
	}
}

func FuzzCompileAndAppraise(f *testing.F) {
	for _, text := range []string{
		`true`, `result.tiers["executables"] == "affirming" ? accept() : quarantine(result.reason)`, `accept_until(now + duration("1h"), "x")`,
		`claims.dbgstat == "disabled"`, `result.differences.all(d, d.name in ["a", "b"])`, `pending("x")`, `group("lab")`,
	} {
		f.Add(text, `device.labels.site == "lab"`, "fix", int8(33))
	}
	f.Fuzz(func(t *testing.T, expression, selector, remediation string, value int8) {
		for _, kind := range []Kind{Appraisal, Admission} {
			p := Policy{Name: "p", Version: 1, Kind: kind, Selector: selector, Expression: expression, Remediation: remediation}
			c, err := Compile(p, map[string]string{"lab": `device.labels.site == "lab"`})
			if err != nil {
				if !errors.Is(err, ErrPolicy) {
					t.Fatal(err)
				}
				continue
			}
			s := NewSet([]*Compiled{c})
			r := result(element(attest.InstanceIdentity, 2), element(attest.Executables, value))
			d := s.on(kind, subject(r))
			if d != s.on(kind, subject(r)) {
				t.Fatalf("%q: not the same twice", expression)
			}
			r.Claims = nil
			if s.on(kind, subject(r)).Policy == "p@1" && s.on(kind, subject(r)).Outcome == Accept {
				t.Fatalf("%q accepts without claims", expression)
			}
		}
	})
}
