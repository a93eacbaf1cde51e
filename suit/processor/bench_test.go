package processor

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

const benchmarkSize = 1 << 20

func benchmarkImage() []byte {
	image := make([]byte, benchmarkSize)
	source := rand.NewChaCha8([32]byte{})
	source.Read(image) // never fails
	return image
}

// BenchmarkUpdate is an update of 1 MiB from the encoded envelope to the commit.
// BenchmarkUpdateFloor is what no update can do without: one signature check and one
// pass of SHA-256 over the image.
func BenchmarkUpdate(b *testing.B) {
	image := benchmarkImage()
	encoded := signed(b, sample(image), nil)
	p := New(Config{Fetcher: served{location: image}, Limits: DefaultLimits()})
	b.SetBytes(benchmarkSize)
	b.ReportAllocs()
	for b.Loop() {
		host := newMemory(device)
		host.room = benchmarkSize
		p.config.Host = host
		if _, err := p.Update(context.Background(), verify(b, encoded), everything); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateFloor(b *testing.B) {
	image := benchmarkImage()
	envelope, err := suit.Decode(signed(b, sample(image), nil))
	if err != nil {
		b.Fatal(err)
	}
	keys := suit.KeyList{author.PublicKey()}
	b.SetBytes(benchmarkSize)
	for b.Loop() {
		if _, err := envelope.Verify(keys, false); err != nil {
			b.Fatal(err)
		}
		sha256.Sum256(image)
	}
}
