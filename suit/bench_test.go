package suit

import (
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// BenchmarkVerify decodes and verifies an envelope of the size of the base
// specification's first example; BenchmarkVerifyFloor is the signature in it.
func BenchmarkVerify(b *testing.B) {
	s := newSigner(b, cosekit.ESP256)
	raw := encoded(b, signed(b, s))
	keys := KeyList{s.PublicKey()}
	b.ReportAllocs()
	for b.Loop() {
		e, err := Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Verify(keys, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFloor(b *testing.B) {
	s := newSigner(b, cosekit.ESP256)
	e := signed(b, s)
	block, err := cosekit.Parse(e.blocks[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := block.VerifyDetached(e.signed, s.PublicKey(), false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSign makes, signs and encodes the same envelope; BenchmarkSignFloor is
// the signature in it.
func BenchmarkSign(b *testing.B) {
	s := newSigner(b, cosekit.ESP256)
	m := smallManifest()
	b.ReportAllocs()
	for b.Loop() {
		e, err := Sign(m, smallPayloads, s)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Encode(true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignFloor(b *testing.B) {
	s := newSigner(b, cosekit.ESP256)
	e := signed(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cosekit.Sign1(s, e.signed, cosekit.Form{Detached: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeManifest is what a manifest costs without its signature.
func BenchmarkDecodeManifest(b *testing.B) {
	raw, err := smallManifest().Encode(false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeManifest(raw); err != nil {
			b.Fatal(err)
		}
	}
}
