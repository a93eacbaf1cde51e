package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
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
	if got, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "short" {
		t.Errorf("truncated body: %q, %v", got, err)
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

// flaky serves a payload over connections that break after a few bytes.
type flaky struct {
	payload string
	tag     string // ETag
	date    string // Last-Modified
	ranges  bool   // it honours Range
	each    int    // bytes before the connection breaks; 0: it does not
	wrong   string // Content-Range in place of the right one
	once    bool   // only the first connection breaks
	change  string // ETag from the second request on
	status  int    // of the second request, 0: as usual

	requests []http.Header
}

func (s *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Header.Clone())
	if len(s.requests) > 1 && s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	tag := s.tag
	if len(s.requests) > 1 && s.change != "" {
		tag = s.change
	}
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	if s.date != "" {
		w.Header().Set("Last-Modified", s.date)
	}
	start, body := 0, s.payload
	if span, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && s.ranges {
		if condition := r.Header.Get("If-Range"); condition == "" || condition == tag || condition == s.date {
			start, _ = strconv.Atoi(strings.TrimSuffix(span, "-"))
			body = s.payload[start:]
			extent := fmt.Sprintf("bytes %d-%d/%d", start, len(s.payload)-1, len(s.payload))
			if s.wrong != "" {
				extent = s.wrong
			}
			w.Header().Set("Content-Range", extent)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(http.StatusPartialContent)
		}
	}
	if start == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if s.each > 0 && s.each < len(body) && !(s.once && len(s.requests) > 1) {
		io.WriteString(w, body[:s.each])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, body)
}

func TestFetchGoesOn(t *testing.T) {
	const date = "Sat, 21 Nov 2026 20:00:00 GMT"
	for _, tt := range []struct {
		name    string
		server  flaky
		offset  uint64
		want    string // "" for an error
		err     error
		conns   int
		ifRange string // of the second request
	}{
		{"strong tag", flaky{tag: `"1"`, ranges: true, each: 4}, 0, "0123456789", nil, 3, `"1"`},
		{"date", flaky{date: date, ranges: true, each: 4}, 0, "0123456789", nil, 3, date},
		{"weak tag and date", flaky{tag: `W/"1"`, date: date, ranges: true, each: 4}, 0, "0123456789", nil, 3, date},
		{"weak tag", flaky{tag: `W/"1"`, ranges: true, each: 4}, 0, "", io.ErrUnexpectedEOF, maxAttempts, ""},
		{"no ranges", flaky{tag: `"1"`, each: 4}, 0, "", io.ErrUnexpectedEOF, maxAttempts, `"1"`},
		{"from the beginning", flaky{each: 4, once: true}, 0, "0123456789", nil, 2, ""},
		{"from the beginning, weak tag", flaky{tag: `W/"1"`, ranges: true, each: 4, once: true}, 0, "0123456789", nil, 2, ""},
		{"offset", flaky{ranges: true}, 4, "456789", nil, 1, ""},
		{"offset without ranges", flaky{}, 4, "456789", nil, 1, ""},
		{"offset and broken", flaky{tag: `"1"`, ranges: true, each: 4}, 3, "3456789", nil, 2, `"1"`},
		{"offset at the end", flaky{}, 10, "", nil, 1, ""},
		{"another version", flaky{tag: `"1"`, ranges: true, each: 4, change: `"2"`}, 0, "", errFinal, 2, `"1"`},
		{"another range", flaky{ranges: true, wrong: "bytes 0-9/10"}, 4, "", errFinal, 1, ""},
		{"no range", flaky{ranges: true, wrong: "bytes 4"}, 4, "", errFinal, 1, ""},
		{"gone", flaky{tag: `"1"`, ranges: true, each: 4, status: http.StatusGone}, 0, "", errFinal, 2, `"1"`},
		{"out of order", flaky{tag: `"1"`, ranges: true, each: 4, status: http.StatusBadGateway}, 0, "", ErrFetch, maxAttempts, `"1"`},
		{"more than the limit in a range", flaky{ranges: true, wrong: "bytes 4-99/100"}, 4, "", ErrLimit, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.server.payload = "0123456789"
			server := httptest.NewUnstartedServer(&tt.server)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			t.Cleanup(server.Close)
			body, err := NewHTTPFetcher(&http.Client{}, patient).Fetch(t.Context(), Request{URI: server.URL, Offset: tt.offset, Limit: 10})
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
				body.Close()
			}
			if !errors.Is(err, tt.err) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if err == nil && string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(tt.server.requests) != tt.conns {
				t.Errorf("%d connections, want %d", len(tt.server.requests), tt.conns)
			}
			if len(tt.server.requests) > 1 && tt.server.requests[1].Get("If-Range") != tt.ifRange {
				t.Errorf("If-Range %q, want %q", tt.server.requests[1].Get("If-Range"), tt.ifRange)
			}
		})
	}
}

// A server that gives one byte for each connection is left after some.
func TestFetchGivesUpOnDrops(t *testing.T) {
	drip := &flaky{payload: strings.Repeat("x", 1000), tag: `"1"`, ranges: true, each: 1}
	server := httptest.NewUnstartedServer(drip)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	body, err := NewHTTPFetcher(&http.Client{}, patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); !errors.Is(err, ErrFetch) || len(got) != maxConnections || len(drip.requests) != maxConnections {
		t.Errorf("%d bytes over %d connections: %v", len(got), len(drip.requests), err)
	}
}

// What a server says of a range is a number or an error.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 4-9/*", "bytes */10", "bytes 4", "", "bytes -1-2/3", "bytes 99999999999999999999-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, size, err := parseContentRange(s)
		if err == nil && !strings.HasPrefix(s, fmt.Sprintf("bytes %d-", start)) && !strings.HasPrefix(s, "bytes 0") {
			t.Errorf("%q: %d of %d", s, start, size)
		}
	})
}

// TestTrickle: the timeout is one for the download, however many connections it takes.
func TestTrickle(t *testing.T) {
	var connections atomic.Int32
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		connections.Add(1)
		start := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
		w.Header().Set("ETag", `"a"`)
		if start > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-999/1000", start))
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // no more than that, for as long as the device waits
	})
	client := *server.Client()
	client.Timeout = 200 * time.Millisecond
	body, err := NewHTTPFetcher(&client, patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "longer than 200ms") || string(got) != "x" || connections.Load() != 1 {
		t.Errorf("%d bytes over %d connections: %v", len(got), connections.Load(), err)
	}
}

// TestWordsOfAServer do not get into errors, where people would see them.
func TestWordsOfAServer(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 404 \x1b[2J\aall is well\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
	})
	_, err := NewHTTPFetcher(server.Client(), patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 1000})
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\a") || !strings.HasSuffix(err.Error(), "404 Not Found") {
		t.Errorf("%q", err)
	}
}

// TestHTTPFetchArguments: what would be left out could have changed what is fetched.
func TestHTTPFetchArguments(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	defer server.Close()
	_, err := NewHTTPFetcher(server.Client(), patient).Fetch(t.Context(), Request{URI: server.URL, Limit: 9, Arguments: []byte("x")})
	if !errors.Is(err, ErrUnsupportedParameter) {
		t.Error(err)
	}
}
