package agent_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestClassicalAndPostQuantum: where the device asks for both, each signer must have
// the right to the component, not only one of them.
func TestClassicalAndPostQuantum(t *testing.T) {
	quantum, quantumNarrow, unknown := generate(t, cosekit.MLDSA44), generate(t, cosekit.MLDSA65), generate(t, cosekit.MLDSA44)
	rule := func(c *agent.Config) {
		c.Processing.Signatures = suit.ClassicalAndPostQuantum
		anchors, err := anchor.NewStore(append(c.Anchors.Anchors(),
			anchor.Anchor{Key: quantum.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}},
			anchor.Anchor{Key: quantumNarrow.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner},
				Constraints: anchor.Constraints{Components: []suit.ComponentID{id(t, "app/narrow")}}},
		)...)
		if err != nil {
			t.Fatal(err)
		}
		c.Anchors = anchors
	}
	for name, tt := range map[string]struct {
		component        string
		signer, cosigner func(w *world) cosekit.Signer
		reason           suit.ReportReason // zero where it is installed
	}{
		"both":                          {"app/x", publisherOf, the(quantum), 0},
		"both, the other way round":     {"app/x", the(quantum), publisherOf, 0},
		"classical only":                {"app/x", publisherOf, nil, suit.ReasonUnauthorised},
		"post-quantum only":             {"app/x", the(quantum), nil, suit.ReasonUnauthorised},
		"two classical":                 {"app/narrow/x", publisherOf, narrowOf, suit.ReasonUnauthorised},
		"two post-quantum":              {"app/narrow/x", the(quantum), the(quantumNarrow), suit.ReasonUnauthorised},
		"post-quantum one is unknown":   {"app/x", publisherOf, the(unknown), suit.ReasonUnauthorised},
		"post-quantum one has no right": {"app/x", publisherOf, the(quantumNarrow), suit.ReasonComponentUnauthorised},
		"classical one has no right":    {"app/x", narrowOf, the(quantum), suit.ReasonComponentUnauthorised},
		"both have the narrow right":    {"app/narrow/x", narrowOf, the(quantumNarrow), 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rule)
			r := release{component: tt.component, sequence: 1, image: "x", signer: tt.signer(w)}
			if tt.cosigner != nil {
				r.cosigner = tt.cosigner(w)
			}
			answer, err := w.deliver(w.seal(w.update(r), w.tam))
			if tt.reason == 0 {
				if _, ok := answer.(*teep.Success); !ok || err != nil || w.installed() == "" {
					t.Errorf("%+v, %v", answer, err)
				}
				return
			}
			refused, ok := answer.(*teep.Error)
			if !ok || !errors.Is(err, agent.ErrManifest) || w.installed() != "" {
				t.Fatalf("%+v, %v, holds %q", answer, err, w.installed())
			}
			if f := w.reports(refused.SUITReports)[0].Failure; f == nil || f.Reason != tt.reason {
				t.Errorf("report %+v, want %s: %v", f, tt.reason, err)
			}
		})
	}
}

func publisherOf(w *world) cosekit.Signer { return w.publisher }
func narrowOf(w *world) cosekit.Signer    { return w.narrow }

func the(s cosekit.Signer) func(*world) cosekit.Signer {
	return func(*world) cosekit.Signer { return s }
}

// TestEncryptedReports: only the TAM's key opens them, and the signature is the
// device's as ever.
func TestEncryptedReports(t *testing.T) {
	tam, err := cosekit.GenerateAgreementKey()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *agent.Config) { c.Reports = tam.PublicKey() })
	s := must[*teep.Success](w, w.update(release{component: "app/hello", sequence: 1, image: "x", signer: w.publisher}))
	signed, err := suit.OpenReport(s.SUITReports[0])
	if err != nil || !signed.Encrypted() || !signed.Protected() {
		t.Fatalf("%+v, %v", signed, err)
	}
	if _, err := signed.Verify(w.reportKey.PublicKey(), false); err == nil {
		t.Error("it opens without a key")
	}
	report, err := signed.WithKeys(cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{tam}}).Verify(w.reportKey.PublicKey(), false)
	if err != nil || !report.Succeeded() || string(report.Nonce) != string(token) {
		t.Errorf("%+v, %v", report, err)
	}
	if strings.Contains(string(s.SUITReports[0]), "hello") {
		t.Error("the component can be read")
	}
}
