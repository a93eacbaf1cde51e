package local

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// BenchmarkAppraise measures each format from the bytes to the result, and beside it,
// as its floor, the signature checks that are in it.
func BenchmarkAppraise(b *testing.B) {
	for _, name := range []string{"EAT by kid", "EAT by x5chain", "PSA 1", "PSA 2", "CCA", "bundled PSA 2", "bundled CCA"} {
		a := attesters()[name]
		v := New(a.trust, Options{Clock: func() time.Time { return now }, Legacy: cosekit.AllowLegacy})
		router := evidence.NewRouter(evidence.Route{Name: Name, Accepts: Accepts, Verifier: v})
		e := attest.Evidence{Format: a.format, Payload: a.make(challenge, nil), Challenge: challenge}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r, err := router.Appraise(b.Context(), e); err != nil || r.Status != attest.Affirming {
					b.Fatal(r, err)
				}
			}
		})
		b.Run(name+"/read", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := evidence.Read(e.Format, e.Payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/signatures", func(b *testing.B) {
			check := signatures(b, a)
			for b.Loop() {
				check()
			}
		})
	}
}

// signatures returns the signature checks that evidence needs, and nothing else.
func signatures(b *testing.B, a attester) func() {
	b.Helper()
	payload := a.make(challenge, nil)
	if reading, err := evidence.Read(a.format, payload); err == nil && reading.Inner != nil {
		payload = reading.Inner.Evidence.Payload
	}
	if cca, err := evidence.ParseCCA(attest.MediaType{}, payload); err == nil {
		return func() {
			if cca.PlatformToken.Verify(a.key.Public()) != nil || cca.VerifyRealm() != nil {
				b.Fatal("signatures of a CCA token")
			}
		}
	}
	token, err := evidence.ParseToken(payload)
	if err != nil {
		b.Fatal(err)
	}
	chain, err := parseChain(token.Chain)
	if err != nil && token.Chain != nil {
		b.Fatal(err)
	}
	return func() {
		if err := token.Verify(a.key.Public()); err != nil {
			b.Fatal(err)
		}
		for _, c := range chain {
			if err := c.CheckSignatureFrom(a.trust.CAs[0]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
