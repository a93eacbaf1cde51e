package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
)

// realistic is a policy as operators write them.
var realistic = Policy{
	Name: "production", Kind: Appraisal, Selector: `device.labels["stage"] == "production" && device.state in ["accepted", "quarantined"]`,
	Expression: `result.status == "affirming" ? accept() :
		result.tiers["instance-identity"] == "affirming" && claims.dbgstat == "disabled" &&
		result.differences.all(d, d.name == "PCR 7") ? accept_until(now + duration("72h"), "firmware update of November") :
		quarantine(result.reason)`,
}

// BenchmarkAppraise is beside the check of one ES256 signature, a tenth of which is what
// one evaluation may cost. With 100 policies, the last one selects the device.
func BenchmarkAppraise(b *testing.B) {
	r := *warn
	r.Comparisons = []attest.Comparison{{Element: attest.Executables, Name: "PCR 7", Measured: "aa", Expected: []string{"bb"}}}
	in := subject(&r)
	in.Device.Labels = map[string]string{"stage": "production", "site": "hall-3"}
	for _, n := range []int{1, 100} {
		var list []Policy
		for i := range n - 1 {
			list = append(list, Policy{Name: fmt.Sprintf("site-%d", i), Selector: fmt.Sprintf(`device.labels["site"] == "site-%d"`, i), Expression: `true`})
		}
		last := realistic
		last.Position = 1
		s := compile(b, append(list, last)...)
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := s.Appraise(in); d.Outcome != Accept || d.Until.IsZero() {
					b.Fatalf("%+v", d)
				}
			}
		})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("evidence"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("floor=ES256 verify", func(b *testing.B) {
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("signature not good")
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	p := realistic
	p.Version = 1
	for b.Loop() {
		if _, err := Compile(p, nil); err != nil {
			b.Fatal(err)
		}
	}
}
