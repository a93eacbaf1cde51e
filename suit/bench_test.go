package suit

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// beside measures work, with the bytes that it handles, and floor, what it cannot do
// without, in turns: the ratio of the two is one of the results.
func beside(b *testing.B, size int, work, floor func() error) {
	b.Helper()
	const turn = 32
	b.SetBytes(int64(size))
	b.ReportAllocs()
	run := func(what func() error) {
		if err := what(); err != nil {
			b.Fatal(err)
		}
	}
	run(floor)
	var least time.Duration
	n := 0
	for b.Loop() {
		run(work)
		if n++; n%turn != 1 {
			continue
		}
		b.StopTimer()
		start := time.Now()
		for range turn {
			run(floor)
		}
		least += time.Since(start)
		b.StartTimer()
	}
	perFloor := float64(least) / float64((n+turn-1)/turn*turn)
	b.ReportMetric(float64(b.Elapsed())/float64(n)/perFloor, "x-floor")
}

// BenchmarkVerify decodes and verifies the signed examples of the base specification,
// where they are at hand, and an envelope like the first of them; the floor is the
// check of the one signature.
func BenchmarkVerify(b *testing.B) {
	s := newSigner(b, cosekit.ESP256)
	verify := func(name string, raw []byte, keys Keys) {
		b.Run(name, func(b *testing.B) {
			work := func() error {
				e, err := Decode(raw)
				if err == nil {
					_, err = e.Verify(keys, cosekit.AllowLegacy)
				}
				return err
			}
			e := must[*Envelope](b)(Decode(raw))
			v := must[*Verified](b)(e.Verify(keys, cosekit.AllowLegacy))
			block, key := must[*cosekit.Signed](b)(cosekit.Parse(e.blocks[0])), v.Keys()[0]
			beside(b, len(raw), work, func() error { return block.VerifyDetached(e.signed, key, cosekit.AllowLegacy) })
		})
	}
	verify("own", encoded(b, signed(b, s)), KeyList{s.PublicKey()})
	index := loadVectors(b, "suit-manifest")
	for _, v := range index.Vectors {
		var expect envelopeExpect
		if v.Kind == "suit-envelope" && unmarshal(b, v.Expect, &expect) && len(expect.Authentication) > 0 {
			verify(v.Name, index.read(b, v.File), index.keyRing(b))
		}
	}
}

// BenchmarkSign makes, signs and encodes an envelope; the floor is the signing.
func BenchmarkSign(b *testing.B) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519, cosekit.MLDSA65} {
		b.Run(cosekit.AlgorithmName(alg), func(b *testing.B) {
			s, m := newSigner(b, alg), smallManifest()
			e := signed(b, s)
			work := func() error {
				e, err := Sign(m, smallPayloads, s)
				if err == nil {
					_, err = e.Encode(true)
				}
				return err
			}
			beside(b, len(encoded(b, e)), work, func() error {
				_, err := cosekit.Sign1(s, e.signed, cosekit.Form{Detached: true})
				return err
			})
		})
	}
}

// BenchmarkVerifyLarge verifies a manifest of about the largest size; its floor is the
// check of the signature and the digest.
func BenchmarkVerifyLarge(b *testing.B) {
	s, m := newSigner(b, cosekit.ESP256), smallManifest()
	content := make([]byte, MaxParameterSize-8)
	for range 15 {
		m.Sections[SectionInstall].Sequence.Commands = append(m.Sections[SectionInstall].Sequence.Commands,
			Command{Code: DirectiveOverrideParameters, Argument: &Parameters{Content: content}},
			Command{Code: DirectiveWrite, Argument: ReportAll})
	}
	e := must[*Envelope](b)(Sign(m, nil, s))
	raw, keys := encoded(b, e), KeyList{s.PublicKey()}
	block := must[*cosekit.Signed](b)(cosekit.Parse(e.blocks[0]))
	beside(b, len(raw), func() error {
		e, err := Decode(raw)
		if err == nil {
			_, err = e.Verify(keys, false)
		}
		return err
	}, func() error {
		if _, err := sumWrapped(SHA256, e.manifest); err != nil {
			return err
		}
		return block.VerifyDetached(e.signed, s.PublicKey(), false)
	})
}

// BenchmarkDecodeManifest is what a manifest costs without its signature.
func BenchmarkDecodeManifest(b *testing.B) {
	for name, m := range map[string]*Manifest{"small": smallManifest(), "full": fullManifest()} {
		raw := must[[]byte](b)(m.Encode(false))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeManifest(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
