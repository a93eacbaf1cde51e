package teephttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

// fixture is the TEEP listener over a database file.
type fixture struct {
	handler  http.Handler
	store    tam.Store
	payloads tam.Payloads
	path     string
	key      cosekit.Signer // of a device that the TAM has never seen
	tamKey   *cosekit.PublicKey
	now      time.Time
}

// failing is a store that answers with a fault.
type failing struct {
	tam.Store
	fault error
}

func (f *failing) View(ctx context.Context, fn func(tam.Reader) error) error {
	switch {
	case errors.Is(f.fault, errPanic):
		panic(f.fault)
	case f.fault != nil:
		return f.fault
	}
	return f.Store.View(ctx, fn)
}

var errPanic = errors.New("a bug of ours")

type absentVerifier struct{}

func (absentVerifier) Appraise(context.Context, attest.Evidence) (*attest.Result, error) {
	return nil, errors.New("not here")
}

func signer(t *testing.T, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newFixture(t *testing.T, opts teephttp.Options) *fixture {
	t.Helper()
	f := &fixture{path: filepath.Join(t.TempDir(), "tam.db"), key: signer(t, cosekit.ESP256), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	s, err := store.OpenSQLite(t.Context(), f.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f.store = &failing{Store: s}
	if f.payloads, err = store.OpenPayloads(filepath.Join(t.TempDir(), "payloads")); err != nil {
		t.Fatal(err)
	}
	signers := tam.Signers{ESP256: signer(t, cosekit.ESP256), Ed25519: signer(t, cosekit.Ed25519)}
	f.tamKey = signers.ESP256.PublicKey()
	machine, err := tam.New(t.Context(), tam.Config{Store: f.store, Verifier: absentVerifier{}, Signers: signers})
	if err != nil {
		t.Fatal(err)
	}
	opts.Clock = func() time.Time { return f.now }
	f.handler, err = teephttp.New(machine, []*tam.Endpoint{{Path: "/tam"}, {Path: "/debug", Debug: true, Numbering: teep.PreIANA}}, f.payloads, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// do sends a request as our agent does, but for what change says.
func (f *fixture) do(method, path string, body []byte, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Accept", teep.MediaType)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", teep.MediaType)
	}
	for _, c := range change {
		c(r)
	}
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	return recorder.Result()
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func expectHeaders(t *testing.T, r *http.Response) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
		"Set-Cookie": "", "Location": "",
	} {
		expect(t, name, r.Header.Get(name), want)
	}
}

func TestRequests(t *testing.T) {
	f := newFixture(t, teephttp.Options{MaxBody: 1000})
	message := []byte("not TEEP")
	for _, c := range []struct {
		name   string
		method string
		path   string
		body   []byte
		change func(*http.Request)
		status int
	}{
		{"connect", "POST", "/tam", nil, nil, 200},
		{"connect without Accept", "POST", "/tam", nil, header("Accept"), 200},
		{"connect, any type accepted", "POST", "/tam", nil, header("Accept", "*/*"), 200},
		{"connect, among others", "POST", "/tam", nil, header("Accept", "text/html, application/teep+cbor;q=0.5"), 200},
		{"connect, accepts HTML", "POST", "/tam", nil, header("Accept", "text/html"), 406},
		{"connect, accepts it not at all", "POST", "/tam", nil, header("Accept", "application/teep+cbor;q=0"), 406},
		{"connect, accepts nonsense", "POST", "/tam", nil, header("Accept", "/;="), 406},
		{"connect with a type", "POST", "/tam", nil, header("Content-Type", "application/teep+cbor"), 200},
		{"connect with a wrong type", "POST", "/tam", nil, header("Content-Type", "application/json"), 415},
		{"message", "POST", "/tam", message, nil, 204},
		{"message, type with a parameter", "POST", "/tam", message, header("Content-Type", "Application/TEEP+cbor; v=\"1\""), 204},
		{"message without a type", "POST", "/tam", message, header("Content-Type"), 415},
		{"message of another type", "POST", "/tam", message, header("Content-Type", "application/cbor"), 415},
		{"message of two types", "POST", "/tam", message, header("Content-Type", "application/teep+cbor", "application/teep+cbor"), 415},
		{"message of a broken type", "POST", "/tam", message, header("Content-Type", "application/teep+cbor; ="), 415},
		{"as large as it may be", "POST", "/tam", make([]byte, 1000), nil, 204},
		{"too large", "POST", "/tam", make([]byte, 1001), nil, 413},
		{"too large and of unknown length", "POST", "/tam", make([]byte, 1001), func(r *http.Request) { r.ContentLength = -1 }, 413},
		{"of unknown length", "POST", "/tam", message, func(r *http.Request) { r.ContentLength = -1 }, 204},
		{"shorter than stated", "POST", "/tam", message, func(r *http.Request) { r.ContentLength = 900 }, 400},
		{"GET", "GET", "/tam", nil, nil, 405},
		{"HEAD", "HEAD", "/tam", nil, nil, 405},
		{"PUT", "PUT", "/tam", message, nil, 405},
		{"OPTIONS", "OPTIONS", "/tam", nil, nil, 405},
		{"trailing slash", "POST", "/tam/", nil, nil, 404},
		{"upper case", "POST", "/TAM", nil, nil, 404},
		{"no endpoint", "POST", "/", nil, nil, 404},
		{"no payload", "GET", "/payloads/" + strings.Repeat("0", 64), nil, nil, 404},
		{"no digest", "GET", "/payloads/..%2f..%2fetc%2fpasswd", nil, nil, 404},
		{"digest in upper case", "GET", "/payloads/" + strings.Repeat("A", 64), nil, nil, 404},
		{"POST to a payload", "POST", "/payloads/" + strings.Repeat("0", 64), nil, nil, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			r := f.do(c.method, c.path, c.body, change)
			expect(t, "status", r.StatusCode, c.status)
			expectHeaders(t, r)
			content := body(t, r)
			switch c.status {
			case 200:
				expect(t, "type", r.Header.Get("Content-Type"), teep.MediaType)
				env, err := teep.Open(teep.IANA, content)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := env.Verify(f.tamKey, false); err != nil {
					t.Error(err)
				}
			case 204:
				expect(t, "bytes", len(content), 0)
			case 405:
				want := "POST"
				if strings.HasPrefix(c.path, teephttp.PayloadPath) {
					want = "GET, HEAD"
				}
				expect(t, "Allow", r.Header.Get("Allow"), want)
			}
		})
	}
}

func TestReasonsAreForDebugEndpoints(t *testing.T) {
	f := newFixture(t, teephttp.Options{})
	r := f.do("POST", "/debug", []byte("not TEEP"))
	expect(t, "status", r.StatusCode, 204)
	expect(t, "reason", r.Header.Get("Tamarack-Reason"), string(tam.ReasonMalformed))
	r = f.do("POST", "/tam", []byte("not TEEP"))
	expect(t, "status", r.StatusCode, 204)
	expect(t, "reason at another endpoint", r.Header.Get("Tamarack-Reason"), "")
}

// Whoever has no registered key writes nothing: not by connecting, not by sending
// what is well formed and well signed.
func TestConnectWritesNothing(t *testing.T) {
	f := newFixture(t, teephttp.Options{})
	before, files := storetest.Dump(t, f.store), f.files(t)
	for range 50 {
		r := f.do("POST", "/tam", nil)
		expect(t, "status of a connect", r.StatusCode, 200)
		env, err := teep.Open(teep.IANA, body(t, r))
		if err != nil {
			t.Fatal(err)
		}
		m, err := env.Verify(f.tamKey, false)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := teep.Seal(teep.IANA, &teep.QueryResponse{Token: m.(*teep.QueryRequest).Token}, f.key)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "status of an unknown key's answer", f.do("POST", "/tam", wire).StatusCode, 200)
	}
	expect(t, "rows", storetest.Dump(t, f.store), before)
	expect(t, "files", f.files(t), files)
}

// files returns a hash of the database and its write-ahead log.
func (f *fixture) files(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	for _, path := range []string{f.path, f.path + "-wal"} {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestOwnFaults(t *testing.T) {
	f := newFixture(t, teephttp.Options{})
	wire, err := teep.Seal(teep.IANA, &teep.Success{Token: make([]byte, 32)}, f.key)
	if err != nil {
		t.Fatal(err)
	}
	broken := f.store.(*failing)
	for fault, status := range map[error]int{tam.ErrUnavailable: 503, errors.New("a fault of ours"): 500, errPanic: 500} {
		broken.fault = fault
		r := f.do("POST", "/tam", wire)
		expect(t, "status", r.StatusCode, status)
		expectHeaders(t, r)
		expect(t, "bytes", len(body(t, r)), 0)
		expect(t, "Retry-After", r.Header.Get("Retry-After") != "", status == 503)
	}
}

func TestRateLimit(t *testing.T) {
	f := newFixture(t, teephttp.Options{Limits: teephttp.Limits{PerAddress: 1, PerAddressBurst: 3, Total: 100, TotalBurst: 8}})
	from := func(address string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = address; r.Header.Set("X-Forwarded-For", "10.0.0.99") }
	}
	status := func(address string) int { return f.do("POST", "/tam", nil, from(address)).StatusCode }
	for range 3 {
		expect(t, "within the burst", status("192.0.2.1:1000"), 200)
	}
	r := f.do("POST", "/tam", nil, from("192.0.2.1:1001"))
	expect(t, "beyond the burst", r.StatusCode, 429)
	expect(t, "Retry-After", r.Header.Get("Retry-After"), "1")
	expectHeaders(t, r)
	expect(t, "another address", status("192.0.2.2:1000"), 200)
	for range 3 {
		expect(t, "an IPv6 network", status("[2001:db8::1]:1000"), 200)
	}
	expect(t, "another address of it", status("[2001:db8::2]:1000"), 429)
	expect(t, "the last of all", status("192.0.2.3:1000"), 200)
	expect(t, "beyond the limit of all", status("192.0.2.4:1000"), 429)
	f.now = f.now.Add(time.Second)
	expect(t, "a second later", status("192.0.2.1:1000"), 200)
}

func TestPayloads(t *testing.T) {
	f := newFixture(t, teephttp.Options{})
	content := bytes.Repeat([]byte("payload "), 40000)
	digest, size, err := f.payloads.Put(t.Context(), bytes.NewReader(content), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	path := teephttp.PayloadPath + hex.EncodeToString(digest.Bytes)
	r := f.do("GET", path, nil)
	expect(t, "status", r.StatusCode, 200)
	expect(t, "length", r.ContentLength, size)
	expect(t, "content", bytes.Equal(body(t, r), content), true)
	expect(t, "type", r.Header.Get("Content-Type"), "application/octet-stream")
	expect(t, "caching", r.Header.Get("Cache-Control"), "public, max-age=31536000, immutable")
	expectHeaders(t, r)
	etag := r.Header.Get("ETag")
	expect(t, "strong ETag", strings.HasPrefix(etag, `"`), true)

	r = f.do("HEAD", path, nil)
	expect(t, "HEAD", r.StatusCode, 200)
	expect(t, "length", r.Header.Get("Content-Length"), "320000")

	r = f.do("GET", path, nil, header("Range", "bytes=319990-"), header("If-Range", etag))
	expect(t, "range", r.StatusCode, 206)
	expect(t, "Content-Range", r.Header.Get("Content-Range"), "bytes 319990-319999/320000")
	expect(t, "rest", string(body(t, r)), string(content[319990:]))

	expect(t, "range of another content", f.do("GET", path, nil, header("Range", "bytes=1-2"), header("If-Range", `"other"`)).StatusCode, 200)
	expect(t, "range beyond the end", f.do("GET", path, nil, header("Range", "bytes=320000-")).StatusCode, 416)
	expect(t, "known already", f.do("GET", path, nil, header("If-None-Match", etag)).StatusCode, 304)
}

func TestEndpointsThatCannotBeServed(t *testing.T) {
	for name, endpoints := range map[string][]*tam.Endpoint{
		"none":                  nil,
		"without a path":        {{}},
		"twice the same":        {{Path: "/tam"}, {Path: "/tam"}},
		"a payload's path":      {{Path: "/payloads/other"}},
		"unknown algorithm":     {{Path: "/tam", FirstRequest: -7}},
		"unknown first contact": {{Path: "/tam", FirstContact: "passport"}},
		"a pattern":             {{Path: "/:any"}},
		"a second spelling":     {{Path: "/a/../tam"}},
	} {
		if _, err := teephttp.New(nil, endpoints, nil, teephttp.Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestServerTimesOut(t *testing.T) {
	s := teephttp.Server("127.0.0.1:0", http.NotFoundHandler())
	for name, d := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "idle": s.IdleTimeout} {
		if d <= 0 {
			t.Errorf("no %s time-out", name)
		}
	}
}
