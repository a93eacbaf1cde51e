package inspect

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
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
			Public  string `json:"cose_key_public_hex"`
			Private string `json:"cose_key_private_hex"`
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
				switch key, ok := index.Keys[name]; {
				case ok && key.Public == "":
					opts.MACKeys = append(opts.MACKeys, must[*cosekit.SecretKey](t)(cosekit.ParseSecretKey(unhex(t, key.Private))))
				case ok:
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
			if v.Name == "suit-report/refused-encrypted-other" {
				return // what is wrong is encrypted
			}
			if slices.Contains(notJudged, v.Kind) {
				if v.Outcome == "valid" && (!r.Sound() || r.faulty() || !strings.Contains(r.Description, kinds[opts.As].title)) {
					t.Errorf("valid, and yet %s: %+v, %+v", r.Description, r.Checks, r.Lint)
				}
				return
			}
			testProjectOutcome(t, v.Outcome == "valid", v.Reason, r)
			if !slices.Contains(inEncoding, v.Reason) {
				return
			}
			if !showsFault(v.Name, r) {
				t.Errorf("refused as %s, and yet %+v", v.Reason, r.Opinions)
			}
			opts.As = ""
			guessed := must[*Result](t)(Inspect(object, opts))
			if guessed.Kind == projectKinds[v.Kind] && !showsFault(v.Name, guessed) {
				t.Errorf("without --as, refused as %s, and yet %+v", v.Reason, guessed.Opinions)
			}
		})
	}
}

// projectKinds are our names for the kinds of the project's index.
var projectKinds = map[string]Kind{
	"teep-message": KindTEEP, "teep-evidence": KindTEEP, "suit-envelope": KindEnvelope, "suit-update": KindEnvelope,
	"suit-report": KindReport, "eat": KindEAT, "cose-key": KindKey,
	"attestation-result": KindEAR, "bound-evidence": KindBound, "corim": KindCoRIM, "eat-encrypted": KindEAT,
}

// notJudged are the kinds whose strict decoder is not asked, or sees nothing.
var notJudged = []string{"attestation-result", "bound-evidence", "corim", "eat-encrypted"}

// outside are the reasons that cannot be seen in the object alone: those of a processor
// among them.
var outside = []string{
	"cnf-mismatch", "nonce", "evidence-time", "signature-rule", "decryption", "cbor-parse", "unauthorised", "component-unsupported",
	"command-unsupported", "parameter-unsupported", "severing-unsupported", "condition-failed", "operation-failed",
}

// inEncoding are the reasons that a decoder sees without a key.
var inEncoding = []string{
	"malformed", "unknown-type", "protocol", "cose-wrapper", "critical-header",
	"digest", "digest-algorithm", "limit", "not-an-eat", "claims", "claims-missing", "key",
}

// showsFault reports whether there is an error, a refusal, or the word that nothing
// signs the object.
func showsFault(name string, r *Result) bool {
	severity := SeverityError
	if name == "eat/refused-no-nonce" {
		severity = SeverityWarning // there is freshness without a nonce
	}
	return slices.ContainsFunc(r.Lint, func(l Lint) bool { return l.Severity == severity }) ||
		slices.ContainsFunc(r.Opinions, func(o Opinion) bool { return !o.Accepted }) ||
		strings.HasSuffix(r.acceptance(r.Kind), "nothing signs it.")
}

func testProjectOutcome(t *testing.T, valid bool, reason string, r *Result) {
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
	case !valid && accepted && judged && errors+warnings == 0 && !slices.Contains(outside, reason):
		t.Errorf("nothing shows why it is refused as %s: %+v, %+v", reason, r.Opinions, r.Checks)
	}
}
