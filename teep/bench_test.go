package teep

import (
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The bare signatures beside which these stand are measured in internal/cosekit.

func BenchmarkDecode(b *testing.B) {
	for _, m := range fullMessages() {
		payload, err := Encode(IANA, m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(m.Kind().String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(IANA, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenVerify(b *testing.B) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		s := newSigner(b, alg)
		wire := seal(b, IANA, fullMessages()[1], s)
		b.Run(cosekit.AlgorithmName(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := Open(IANA, wire)
				if err == nil {
					_, err = e.Verify(s.PublicKey(), false)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		s := newSigner(b, alg)
		m := fullMessages()[2]
		b.Run(cosekit.AlgorithmName(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Seal(IANA, m, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
