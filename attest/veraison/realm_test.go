package veraison

import (
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/veraison/veraisontest"
)

// Releases differ in what they find of a CCA device with nothing wrong: services v0.0.2605
// recognizes no realm, and says nothing of a platform without versions.
func TestCCAOfReleases(t *testing.T) {
	v := start(t, nil)
	for _, test := range []struct {
		name     string
		noRealms bool
		faults   faults
		want     attest.Status
		elements int
	}{
		{"v0.0.2608", false, faults{}, attest.Affirming, 16},
		{"v0.0.2608, no version", false, faults{noVersion: true}, attest.Affirming, 16},
		{"v0.0.2605", true, faults{}, attest.Warning, 16},
		{"v0.0.2605, no version", true, faults{noVersion: true}, attest.None, 8},
	} {
		v.Do(veraisontest.Behaviour{NoRealms: test.noRealms})
		e := attest.Evidence{Format: veraisontest.MediaCCA, Payload: cca(t, challenge, test.faults), Challenge: challenge}
		r, err := v.client.Appraise(t.Context(), e)
		if err != nil {
			t.Fatal(test.name, err)
		}
		if r.Status != test.want || len(r.Vector) != test.elements || (r.Affirmed() == nil) != (test.want == attest.Affirming) {
			t.Errorf("%s: %s with %d elements, want %s with %d", test.name, r.Status, len(r.Vector), test.want, test.elements)
		}
	}
}
