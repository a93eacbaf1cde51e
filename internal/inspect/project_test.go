package inspect

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/teep"
)

// TestProjectVectors inspects what this project publishes itself: the valid examples
// are accepted, sound and signed; each of the refused ones shows a reason, unless the
// reason is not in the object.
func TestProjectVectors(t *testing.T) {
	const dir = "../../testvectors"
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Keys map[string]struct {
			Public string `json:"cose_key_public_hex"`
		}
		Vectors []struct {
			Name, File, Kind, Outcome, Reason, Attester string
			Numbering                                   teep.Numbering
			Keys                                        []string
		}
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			opts := Options{Numbering: v.Numbering, As: projectKinds[v.Kind]}
			for _, name := range append(slices.Clone(v.Keys), v.Attester) {
				if key, ok := index.Keys[name]; ok {
					opts.Keys = append(opts.Keys, publicKey(t, key.Public))
				}
			}
			object, err := os.ReadFile(filepath.Join(dir, v.File))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Inspect(object, opts)
			if err != nil {
				if !errors.Is(err, ErrNotCBOR) || v.Outcome == "valid" {
					t.Error(err)
				}
				return
			}
			testProjectOutcome(t, v.Outcome == "valid", []string{v.Name, v.Reason}, r)
		})
	}
}

// projectKinds are our names for the kinds of the project's index.
var projectKinds = map[string]Kind{
	"teep-message": KindTEEP, "teep-evidence": KindTEEP, "suit-envelope": KindEnvelope,
	"suit-report": KindReport, "eat": KindEAT, "cose-key": KindKey,
}

// outside are the reasons, and one example, that cannot be seen in the object alone:
// a nonce may be missing under timestamp freshness.
var outside = []string{"cnf-mismatch", "nonce", "evidence-time", "eat/refused-no-nonce"}

func testProjectOutcome(t *testing.T, valid bool, reasons []string, r *Result) {
	accepted := len(r.Opinions) > 0 && r.Opinions[0].Accepted
	judged, errors, warnings := r.signed() || r.Kind == KindKey, 0, 0
	for _, c := range r.Checks {
		judged = judged && c.Verdict == Valid
	}
	for _, l := range r.Lint {
		switch l.Severity {
		case SeverityError:
			errors++
		case SeverityWarning:
			warnings++
		}
	}
	switch {
	case valid && (!accepted || !r.Sound() || errors > 0):
		t.Errorf("valid, and yet: sound %t, %+v, %+v", r.Sound(), r.Opinions, r.Lint)
	case !valid && accepted && judged && errors+warnings == 0 && !slices.ContainsFunc(reasons, func(s string) bool { return slices.Contains(outside, s) }):
		t.Errorf("nothing shows why it is refused %s: %+v, %+v", reasons, r.Opinions, r.Checks)
	}
}
