package processor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// generated is a payload of any size that nobody holds in memory: one block, again and
// again.
type generated struct {
	block []byte
	left  int64
}

func newGenerated(size int64) *generated {
	block := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(block) // never fails
	return &generated{block, size}
}

func (g *generated) again(size int64) *generated { return &generated{g.block, size} }

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), g.left)], g.block[(int64(len(g.block))-g.left%int64(len(g.block)))%int64(len(g.block)):])
	g.left -= int64(n)
	return n, nil
}

func (g *generated) digest(h hash.Hash) []byte {
	io.Copy(h, g) // neither fails
	return h.Sum(nil)
}

// large is the sample for a payload of that size, with what it takes to be checked.
func large(source *generated, size int64, uri string) *suit.Manifest {
	digest := suit.Digest{Algorithm: suit.SHA256, Bytes: source.again(size).digest(sha256.New())}
	m := sample(nil)
	m.Common.Shared.Commands[0] = override(suit.Parameters{
		VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: &digest, ImageSize: ptr(uint64(size)),
	})
	m.Sections[suit.SectionInstall].Sequence.Commands[0] = override(suit.Parameters{URI: &uri})
	return m
}

// BenchmarkUpdate is an update from the encoded envelope to the commit, on a device that
// throws the image away, so that what is measured is this package. ratio is to the floor
// in the same run: one signature check and one pass of SHA-256 over the same bytes.
// peak-B is the most heap that was seen in use while a payload passed, which is to be the same
// for every size.
func BenchmarkUpdate(b *testing.B) {
	for _, size := range []int64{1 << 20, 200 << 20} {
		source := newGenerated(size)
		b.Run(fmt.Sprintf("memory/%dMiB", size>>20), func(b *testing.B) {
			benchmark(b, source, size, location, fetcherFunc(func() io.Reader { return source.again(size) }))
		})
		b.Run(fmt.Sprintf("http/%dMiB", size>>20), func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
				io.Copy(w, source.again(size)) // the client sees what is missing
			}))
			defer server.Close()
			benchmark(b, source, size, server.URL, NewHTTPFetcher(server.Client(), StallTimeout(time.Minute)))
		})
	}
}

func benchmark(b *testing.B, source *generated, size int64, uri string, fetcher Fetcher) {
	encoded := signed(b, large(source, size, uri), nil)
	envelope, err := suit.Decode(encoded)
	if err != nil {
		b.Fatal(err)
	}
	keys := suit.KeyList{author.PublicKey()}
	var floor time.Duration
	peak := &peakHeap{base: heapInUse()}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		host := newMemory(device)
		host.discards = true
		p := New(Config{Host: host, Fetcher: peak.watch(fetcher), Limits: DefaultLimits()})
		if _, err := p.Update(context.Background(), verify(b, encoded), everything); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		start := time.Now()
		if _, err := envelope.Verify(keys, false); err != nil {
			b.Fatal(err)
		}
		source.again(size).digest(sha256.New())
		floor += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(floor), "ratio")
	b.ReportMetric(float64(peak.most), "peak-B")
}

func heapInUse() uint64 {
	runtime.GC()
	return readHeap()
}

func readHeap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peakHeap looks at the heap while payloads pass.
type peakHeap struct{ base, most uint64 }

func (p *peakHeap) watch(f Fetcher) Fetcher { return watchedFetcher{f, p} }

type watchedFetcher struct {
	Fetcher
	peak *peakHeap
}

func (f watchedFetcher) Fetch(ctx context.Context, r Request) (io.ReadCloser, error) {
	body, err := f.Fetcher.Fetch(ctx, r)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&watchedReader{Reader: body, peak: f.peak}, body}, nil
}

type watchedReader struct {
	io.Reader
	peak *peakHeap
	next int
}

func (r *watchedReader) Read(p []byte) (int, error) {
	if r.next -= len(p); r.next <= 0 { // every 32 MiB, and at the beginning
		r.next = 32 << 20
		if now := readHeap(); now > r.peak.base {
			r.peak.most = max(r.peak.most, now-r.peak.base)
		}
	}
	return r.Reader.Read(p)
}
