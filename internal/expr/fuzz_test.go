package expr

import (
	"encoding/json"
	"errors"
	"testing"
)

func FuzzRule(f *testing.F) {
	for _, text := range []string{
		`true`, `device.labels["site"] == "hall-3" && group("edge")`, `device.lables == 1`, `result.tiers.hardware == "affirming" ? accept() : quarantine("x")`,
		`claims.n.exists(x, x == 1)`, `accept_until(now + duration("1h"), claims.t)`, `claims.t.matches("a+$")`, `has(claims.a.b) && claims.a.b[0] in [1, "x"]`,
		`pending(string(claims.n))`, "device.\n\tname == 'é'", `claims.n.filter(x, x > 1).size() > 2`, `[[claims]] == [[claims]]`,
	} {
		f.Add(text, `{"n": [1, 2, "x"], "t": "aaa", "a": {"b": [null]}}`)
	}
	f.Fuzz(func(t *testing.T, text, document string) {
		if len(document) > 4096 {
			return
		}
		var said map[string]any
		if json.Unmarshal([]byte(document), &said) != nil {
			said = nil
		}
		if s, err := NewSelector(text, groups); err == nil {
			_, err := s.Matches(kiosk, NewBudget(PerAppraisal))
			wantError(t, text, err, true)
			s.Values(kiosk)
		} else {
			wantError(t, text, err, false)
		}
		r, err := NewAdmission(text, groups)
		if err != nil {
			wantError(t, text, err, false)
			return
		}
		in := Input{kiosk, warned, said, noon}
		first, err := r.Decide(in, NewBudget(PerAppraisal))
		wantError(t, text, err, true)
		second, again := r.Decide(in, NewBudget(PerAppraisal))
		if first != second || (err == nil) != (again == nil) {
			t.Fatalf("%q: %+v, then %+v", text, first, second)
		}
		if err == nil && first.Verb == "" || len(first.Reason) > MaxReason {
			t.Fatalf("%q: %+v", text, first)
		}
		r.Values(in)
	})
}

func wantError(t *testing.T, text string, err error, evaluated bool) {
	t.Helper()
	var fault *Error
	if err != nil && (evaluated && !errors.Is(err, ErrEvaluate) || !evaluated && (!errors.As(err, &fault) || fault.Text == "")) {
		t.Fatalf("%q: %v", text, err)
	}
}
