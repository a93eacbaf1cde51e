package devices

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

func TestSelector(t *testing.T) {
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	groups := Selectors([]Group{{Name: "edge", Selector: `device.labels.tier == "edge"`}})
	d := Device{ID: "id-1", State: Accepted, Labels: map[string]string{"tier": "edge"}, OEMID: cosekit.MustMarshal(4711)}
	agent := Agent{Key: signer.PublicKey(), LastSeen: time.Unix(2000, 0)}
	for text, want := range map[string]bool{
		"":                                   true,
		`group("edge")`:                      true,
		`device.state == "retired"`:          false,
		`device.labels.tier == "core"`:       false,
		`device.oem_id == "pen:4711"`:        true,
		`device.last_seen > timestamp(1000)`: true,
		`device.agents.exists(a, a.key == "` + signer.PublicKey().Thumbprint().String() + `")`: true,
	} {
		s, err := NewSelector(text, groups)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := s.Matches(expr.NewBudget(expr.PerAppraisal), d, agent); err != nil || got != want {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
	s, err := NewSelector(`device.attested.failed_by["nonce"] > 3`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Matches(expr.NewBudget(expr.PerAppraisal), d); got || !errors.Is(err, expr.ErrEvaluate) {
		t.Errorf("%t, %v", got, err)
	}
}

// Labels without a map are like labels that are not there.
func TestSelectorOfABareDevice(t *testing.T) {
	s, err := NewSelector(`device.labels["site"] == "" && device.agents.size() == 0 && !has(device.name)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Matches(expr.NewBudget(expr.PerAppraisal), Device{}); !got || err != nil {
		t.Errorf("%t, %v", got, err)
	}
}

func TestSelectorRefuses(t *testing.T) {
	_, err := NewSelector(`device.lables.site == ""`, nil)
	var fault *expr.Error
	if !errors.Is(err, ErrSelector) || !errors.As(err, &fault) || fault.Column != 8 {
		t.Error(err)
	}
	for want, g := range map[string]Group{
		`group "Edge": a name is`:        {Name: "Edge", Selector: "true"},
		`group "edge" selects nothing`:   {Name: "edge"},
		"does not refer to another":      {Name: "edge", Selector: `group("core")`},
		`group "edge": line 1, column 8`: {Name: "edge", Selector: `device.x`},
	} {
		if _, err := g.Compile(); !errors.Is(err, ErrSelector) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", g, err)
		}
	}
	if _, err := (Group{Name: "edge", Selector: "true"}).Compile(); err != nil {
		t.Error(err)
	}
}

// The words that selectors know are those of the states.
func TestSelectorsKnowTheStates(t *testing.T) {
	var known []string
	for _, s := range []State{Pending, Accepted, Quarantined, Rejected, Retired} {
		known = append(known, string(s))
		if _, err := NewSelector(`device.state == "`+string(s)+`"`, nil); err != nil {
			t.Error(err)
		}
	}
	_, err := NewSelector(`device.state == "x"`, nil)
	if err == nil || !strings.Contains(err.Error(), strings.Join(known, ", ")) || len(known) != len(successors) {
		t.Error(err)
	}
}
