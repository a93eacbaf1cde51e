package local

import (
	"bytes"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

// FuzzSigned appraises whatever a registered or endorsed key has signed. What is bound
// and affirmed answers our challenge, in its time, and each element has a reason.
func FuzzSigned(f *testing.F) {
	all := attesters()
	names := []string{"EAT by kid", "EAT by x5chain", "PSA 1", "PSA 2", "CCA"}
	for i, name := range names {
		a := all[name]
		payload := a.make(challenge, nil)
		if token, err := evidence.ParseCCA(attest.MediaType{}, payload); err == nil {
			f.Add(i, token.PlatformToken.Payload)
			f.Add(i+1, token.RealmToken.Payload)
			continue
		}
		f.Add(i, payloadOf(payload))
	}
	cca := localtest.NewCCA(deviceName)
	f.Fuzz(func(t *testing.T, what int, payload []byte) {
		if what < 0 || what > len(names) {
			return
		}
		name := names[min(what, len(names)-1)]
		a := all[name]
		var message []byte
		switch what {
		case len(names):
			// The realm's claims, behind its key.
			good, err := evidence.ParseCCA(attest.MediaType{}, cca.Token(challenge, nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			message = cca.Collect(a.key.Sign1(good.PlatformToken.Payload, nil, nil), cca.RealmKey.Sign1(payload, nil, nil))
		case len(names) - 1:
			good, err := evidence.ParseCCA(attest.MediaType{}, cca.Token(challenge, nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			message = cca.Collect(a.key.Sign1(payload, nil, nil), cca.RealmKey.Sign1(good.RealmToken.Payload, nil, nil))
		default:
			message = a.key.Sign1(payload, nil, a.headers())
		}
		r, err := judge(a.trust, attest.Evidence{Format: a.format, Payload: message, Challenge: challenge}, bindingOf(name, a))
		if r != nil {
			for _, e := range r.Vector {
				if e.Reason == "" {
					t.Fatalf("element %+v without a reason", e)
				}
			}
		}
		if err == nil && (r.Status != attest.Affirming || !bytes.Equal(r.Claims.Nonce, challenge)) {
			t.Fatalf("trusted: %+v", r)
		}
	})
}
