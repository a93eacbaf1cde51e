package tam_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

// Evidence that was accepted is wanted anew after each change by which it may not be any
// more, once; what only adds to who is trusted costs nobody anything.
func TestWhatIsRevokedWantsEvidence(t *testing.T) {
	w := newWorld(t)
	f, maker := w.fleet(), signer(t, cosekit.Ed25519)
	der := certificate(t, w.now.Now(), func(*x509.Certificate) {})
	file := localtest.NewPSA("one").Published("one")
	d := w.device(cosekit.ESP256).enrol()
	d.poll()
	for _, step := range []struct {
		what string
		due  bool
		do   func() error
	}{
		{"add a signer", false, func() error {
			_, err := f.AddReferenceSigner(t.Context(), operator, anchor.Anchor{Key: maker.PublicKey()})
			return err
		}},
		{"import references", true, func() error {
			_, err := f.ImportReferences(t.Context(), operator, good(file.Sign(maker, "maker")))
			return err
		}},
		{"delete references", true, func() error { return f.DeleteReferences(t.Context(), operator, file.ID, file.Version, "withdrawn") }},
		{"add a CA", false, func() error { _, err := f.AddDeviceCA(t.Context(), operator, "factory", der); return err }},
		{"delete a CA", true, func() error { return f.DeleteDeviceCA(t.Context(), operator, sha256.Sum256(der), "leaked") }},
		{"remove a signer", true, func() error { return f.RemoveAnchor(t.Context(), operator, maker.PublicKey().Thumbprint(), "left") }},
		{"set labels", true, func() error {
			_, err := f.SetLabels(t.Context(), operator, d.record().ID, map[string]string{"stage": "strict"})
			return err
		}},
		{"set the same labels", false, func() error {
			_, err := f.SetLabels(t.Context(), operator, d.record().ID, map[string]string{"stage": "strict"})
			return err
		}},
	} {
		w.now.add(time.Minute)
		expect(t, step.what, step.do(), nil)
		want := "token, end nothing-to-do"
		if step.due {
			want = "token, challenge, end nothing-to-do"
		}
		expect(t, "after: "+step.what, d.poll(), want)
		expect(t, "and then: "+step.what, d.poll(), "token, end nothing-to-do")
	}
	w.publish("app/other", 1, "other")
	d.require("app/other")
	expect(t, "removed", f.RemoveAnchor(t.Context(), operator, w.attester.PublicKey().Thumbprint(), "the key has leaked"), nil)
	expect(t, "its own key is revoked", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
}

// What is revoked while evidence is appraised was perhaps not seen by the Verifier.
func TestWhatIsRevokedMeanwhile(t *testing.T) {
	var revoke func()
	w := newWorld(t, func(c *tam.Config) {
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			r, err := honest.Appraise(ctx, e)
			if revoke != nil {
				revoke()
			}
			return r, err
		})
	})
	d := w.device(cosekit.ESP256).enrol()
	w.now.add(tam.Defaults().AttestationMaxAge)
	revoke = func() {
		revoke = nil
		expect(t, "removed", w.fleet().RemoveAnchor(t.Context(), operator, w.attester.PublicKey().Thumbprint(), "leaked"), nil)
	}
	expect(t, "appraised before", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "and again", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
}
