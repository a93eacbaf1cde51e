package processor_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// TestLargePayload takes 200 MiB the whole way: encrypted to the device, fetched over
// connections that break, gone on with by Range, staged, decrypted, hashed and stored as
// files, in memory that does not grow with the payload.
func TestLargePayload(t *testing.T) {
	const (
		size        = 200 << 20
		connection  = 45 << 20 // bytes that one of them lasts
		mayAllocate = 8 << 20  // in all, client and server together
	)
	dir := t.TempDir()
	plain := filepath.Join(dir, "firmware.bin")
	digest := writeRandom(t, plain, size)
	keyFile := filepath.Join(dir, "device.key")
	secret, err := cosekit.CreateSecretKeyFile(keyFile, cosekit.A256KW)
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Add(1)
		http.ServeFile(&breaking{ResponseWriter: w, left: connection}, r, filepath.Join(dir, "firmware.bin.enc"))
	}))
	defer server.Close()

	vendor := author.VendorID("example.com")
	publisher, err := suit.GenerateSigner(suit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	description := fmt.Sprintf(`
component: app/firmware
sequence-number: 1
vendor-domain: example.com
class-info: lamp
payload: {file: %s, uri: %s/firmware, encrypt-to: %s, content-algorithm: A256GCM}
`, plain, server.URL, keyFile)
	path := filepath.Join(dir, "firmware.yaml")
	if err := os.WriteFile(path, []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := author.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := author.Sign(d, publisher)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	store, err := tee.Open(filepath.Join(dir, "device"), processor.Identity{Vendor: vendor, Class: author.ClassID(vendor, "lamp")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	device := processor.New(processor.Config{
		Host: store, Limits: processor.DefaultLimits(), Keys: suit.DecryptionKeys{Secrets: []*suit.SecretKey{secret}},
		Fetcher: processor.NewHTTPFetcher(server.Client(), processor.StallTimeout(time.Minute)),
	})

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	outcome, err := device.Update(t.Context(), verified, func(processor.Access) bool { return true })
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n != size/connection+1 {
		t.Errorf("%d connections", n)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > mayAllocate {
		t.Errorf("%d bytes allocated, at most %d", allocated, mayAllocate)
	}
	found := false
	for _, c := range outcome.Components {
		found = found || c.Component.Equal(suit.ComponentID{[]byte("app"), []byte("firmware")}) &&
			c.ImageDigest.Equal(digest) && *c.ImageSize == size
	}
	if !found {
		t.Errorf("%+v, want %s", outcome.Components, digest)
	}
}

// writeRandom fills a file, and returns its digest.
func writeRandom(t *testing.T, path string, size int64) suit.Digest {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return suit.Digest{Algorithm: suit.SHA256, Bytes: h.Sum(nil)}
}

// breaking is an answer whose connection does not last.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}
