package attest

import (
	"errors"
	"strings"
	"testing"
)

func TestTier(t *testing.T) {
	for value := -128; value <= 127; value++ {
		want := Contraindicated
		switch {
		case value >= -1 && value <= 1:
			want = None
		case value >= 2 && value < 32, value >= -32 && value <= -2:
			want = Affirming
		case value >= 32 && value < 96, value >= -96 && value <= -33:
			want = Warning
		}
		if got := (Element{Value: int8(value)}).Tier(); got != want {
			t.Errorf("%d: %s, want %s", value, got, want)
		}
	}
}

func TestStatusOf(t *testing.T) {
	for _, test := range []struct {
		values []int8
		want   Status
	}{
		{nil, None}, {[]int8{0, 0}, None}, {[]int8{2}, Affirming}, {[]int8{0, 2, 0, -32}, Affirming},
		{[]int8{2, 32}, Warning}, {[]int8{-33, 2}, Warning}, {[]int8{2, 95, 0}, Warning},
		{[]int8{96, 2}, Contraindicated}, {[]int8{32, -97}, Contraindicated}, {[]int8{127}, Contraindicated},
		{[]int8{2, 1}, None}, {[]int8{-1, 2}, None}, {[]int8{1, 32}, Warning}, {[]int8{-1, 96}, Contraindicated},
	} {
		vector := make([]Element, len(test.values))
		for i, v := range test.values {
			vector[i].Value = v
		}
		if got := StatusOf(vector); got != test.want {
			t.Errorf("%v: %s, want %s", test.values, got, test.want)
		}
	}
}

// TestNotAffirmed is about the status in the error: the worse one of what the verifier says
// and what the vector comes to.
func TestNotAffirmed(t *testing.T) {
	for _, test := range []struct {
		status Status
		value  int8
		want   string
	}{
		{None, 2, "none: "}, {Affirming, 1, "none: "}, {None, 0, "none: "}, {Affirming, 32, "warning: "},
		{Warning, 2, "warning: "}, {None, 96, "contraindicated: "}, {Contraindicated, 32, "contraindicated: "},
	} {
		r := &Result{Status: test.status, Vector: []Element{element(Hardware, test.value, "so")}, Claims: &Claims{}}
		if err := r.Affirmed(); !errors.Is(err, ErrNotAffirmed) || !strings.HasPrefix(err.Error(), ErrNotAffirmed.Error()+": "+test.want) {
			t.Errorf("%s over %d: %v, want %q", test.status, test.value, err, test.want)
		}
	}
}

func TestReason(t *testing.T) {
	for _, test := range []struct {
		result Result
		want   string
	}{
		{Result{Status: Affirming, Vector: []Element{element(Hardware, 2, "genuine")}}, ""},
		{Result{Status: Affirming}, "the verifier gave no reason"},
		{Result{Status: None, Vector: []Element{element(Hardware, 0, "skipped")}}, "the verifier gave no reason"},
		{Result{Vector: []Element{element(Hardware, 2, "genuine")}}, "the verifier says none of the whole, over a vector that is affirming"},
		{Result{Status: Warning, Vector: []Element{element(Hardware, 2, "genuine")}}, "the verifier says warning of the whole, over a vector that is affirming"},
		{Result{Vector: []Element{element(Hardware, 2, "genuine"), element(Executables, -1, "broken")}}, "executables: broken"},
		{Result{Vector: []Element{element(Executables, -1, "broken"), element(Hardware, 32, "old")}}, "hardware: old"},
		{Result{Vector: []Element{element(Hardware, 32, "old"), element(InstanceIdentity, 97, "unknown"), element(Executables, 33, "odd")}}, "instance-identity: unknown"},
	} {
		if got := test.result.Reason(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.result.Vector, got, test.want)
		}
	}
	for status, want := range map[Status]string{
		None: "none", Affirming: "affirming", Warning: "warning", Contraindicated: "contraindicated", 7: "status 7",
	} {
		if status.String() != want {
			t.Errorf("%d: %s", status, status)
		}
	}
}
