package processor

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// patient never gives up.
func patient(func()) (stop func()) { return func() {} }

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestFetchOverLoopbackHTTP(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q", got)
		}
		io.WriteString(w, "payload")
	})
	f := NewHTTPFetcher(server.Client(), patient)
	for _, base := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)} {
		body, err := f.Fetch(t.Context(), Request{URI: base + "/a", Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != "payload" {
			t.Errorf("%s: %q, %v", base, got, err)
		}
		body.Close()
	}
}

func TestFetchOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "payload")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	body, err := NewHTTPFetcher(server.Client(), patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	body.Close()

	if _, err := NewHTTPFetcher(&http.Client{}, patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 100}); !errors.Is(err, ErrFetch) {
		t.Errorf("server without a trusted certificate: %v", err)
	}
}

func TestFetchRefusesAddress(t *testing.T) {
	f := NewHTTPFetcher(&http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialled")
			return nil, errors.New("no network in this test")
		},
	}}, patient)
	for _, uri := range []string{
		"http://example.com/file.bin", // by name
		"http://192.0.2.1/file.bin",   // by address
		"http://[2001:db8::1]/file.bin",
		"http://localhost.example.com/file.bin",
		"http://127.0.0.1.example.com/file.bin",
		"ftp://localhost/file.bin",
		"file:///etc/passwd",
		"coap://localhost/file.bin",
		"https:///file.bin",
		"https://user:secret@example.com/file.bin",
		"/file.bin",
		"#fragment",
		"",
		"https://exa mple.com/",
		"http://[::1",
	} {
		body, err := f.Fetch(t.Context(), Request{URI: uri, Limit: 100})
		if !errors.Is(err, ErrURI) || body != nil {
			t.Errorf("%q: %v", uri, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

// A name of this machine may resolve to another one: the dialled address decides.
func TestLoopbackIsCheckedWhenDialled(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80":          true,
		"127.8.9.10:80":         true,
		"[::1]:80":              true,
		"[::ffff:127.0.0.1]:80": true,
		"192.0.2.1:80":          false,
		"10.0.0.1:80":           false,
		"[2001:db8::1]:80":      false,
		"0.0.0.0:80":            false,
		"localhost:80":          false,
		"":                      false,
	} {
		if err := dialLoopback("tcp", address, nil); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
	f := NewHTTPFetcher(&http.Client{}, patient)
	conn, err := f.loopback.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "192.0.2.1:80")
	if !errors.Is(err, ErrURI) || conn != nil {
		t.Errorf("dialled another machine: %v", err)
	}
}

func TestFetchRefusesRedirects(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	var plain *httptest.Server
	plain = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, plain.URL+"/loop", http.StatusFound)
		case "/file":
			io.WriteString(w, "payload")
		default:
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		}
	})
	f := NewHTTPFetcher(secure.Client(), patient)
	for name, uri := range map[string]string{
		"https to http":     secure.URL + "?to=" + plain.URL + "/file",
		"http to https":     plain.URL + "?to=" + secure.URL,
		"http to elsewhere": plain.URL + "?to=http://example.com/",
		"to a file":         plain.URL + "?to=file:///etc/passwd",
		"without end":       plain.URL + "/loop",
	} {
		if _, err := f.Fetch(t.Context(), Request{URI: uri, Limit: 100}); !errors.Is(err, ErrURI) {
			t.Errorf("%s: %v", name, err)
		}
	}
	body, err := f.Fetch(t.Context(), Request{URI: plain.URL + "?to=" + plain.URL + "/file", Limit: 100})
	if err != nil {
		t.Fatalf("redirect on the same scheme: %v", err)
	}
	body.Close()
}

func TestFetchRefusesResponse(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			w.Write(make([]byte, 1000))
		case "/truncated":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "short")
		default:
			http.Error(w, "gone", http.StatusGone)
		}
	})
	f := NewHTTPFetcher(server.Client(), patient)
	if _, err := f.Fetch(t.Context(), Request{URI: server.URL + "/big", Limit: 999}); !errors.Is(err, ErrLimit) {
		t.Errorf("announced too much: %v", err)
	}
	_, err := f.Fetch(t.Context(), Request{URI: server.URL + "/gone?token=secret", Limit: 100})
	if !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "410") || strings.Contains(err.Error(), "secret") {
		t.Errorf("410: %v", err)
	}
	body, err := f.Fetch(t.Context(), Request{URI: server.URL + "/truncated", Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated body: %v", err)
	}
}

func TestFetchEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first")
		http.NewResponseController(w).Flush()
		<-release
	})
	defer close(release)
	body, err := NewHTTPFetcher(server.Client(), patient).Fetch(ctx, Request{URI: server.URL, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("read after the end of the context: %v", err)
	}
}

// A server that falls silent, before it answers or in the middle of the payload, is
// given up where the watchdog says so, and not while it sends.
func TestFetchFromASilentServer(t *testing.T) {
	for name, beforeHeader := range map[string]bool{"before the answer": true, "in the payload": false} {
		t.Run(name, func(t *testing.T) {
			release, silent := make(chan struct{}), make(chan struct{})
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if !beforeHeader {
					io.WriteString(w, "first")
					http.NewResponseController(w).Flush()
				}
				close(silent)
				<-release
			})
			defer close(release)
			bitten, waits := false, 0
			f := NewHTTPFetcher(server.Client(), func(bite func()) (stop func()) {
				if waits++; waits < 3 && !beforeHeader { // the answer, then the first bytes
					return func() {}
				}
				bitten = true
				over := make(chan struct{})
				go func() { <-silent; bite(); close(over) }()
				return func() { <-over }
			})
			body, err := f.Fetch(t.Context(), Request{URI: server.URL, Limit: 100})
			if !beforeHeader {
				if err != nil {
					t.Fatal(err)
				}
				defer body.Close()
				if _, err := io.ReadFull(body, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
				if bitten {
					t.Fatal("given up while it was sending")
				}
				_, err = io.ReadAll(body)
			}
			if !errors.Is(err, ErrStalled) || !errors.Is(err, ErrFetch) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestStallTimeout(t *testing.T) {
	bitten := make(chan struct{})
	StallTimeout(time.Nanosecond)(func() { close(bitten) })
	<-bitten
	StallTimeout(time.Hour)(func() { t.Error("bitten") })()
}
