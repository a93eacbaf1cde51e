package veraison

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest/ear"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzAnswers lets the verifier answer anything, at every step: it has no key to sign
// results with, so there must be none, and no answer may bring the client down.
func FuzzAnswers(f *testing.F) {
	f.Add(201, "session/1", mediaSession, "", []byte(`{"status":"waiting","nonce":"xMTE"}`), 200, mediaSession, []byte(`{"status":"complete","result":"eyJhbGciOiJub25lIn0.e30."}`))
	f.Add(201, "session/1", mediaSession, "", []byte(`{}`), 202, mediaSession, []byte(`{"status":"processing"}`))
	f.Add(201, "//elsewhere/1", mediaSession, "3", []byte(`{}`), 200, "text/html", []byte(`<html>`))
	f.Add(429, "", "application/problem+json", "Sun, 22 Nov 2026 12:00:09 GMT", []byte(`{"detail":"\u0000"}`), 503, "", []byte{})
	e := sample(f, 0, faults{})
	f.Fuzz(func(t *testing.T, first int, location, firstType, retry string, firstBody []byte, second int, secondType string, secondBody []byte) {
		answer := func(status int, mediaType string, body []byte) *http.Response {
			header := http.Header{"Content-Type": {mediaType}, "Location": {location}, "Retry-After": {retry}}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		}
		polls := 0
		client, err := New(Config{
			URL: "https://verifier.example", Keys: []ear.Key{{Public: deviceKeys()["stranger"].Public()}},
			Clock: func() time.Time { return now }, Random: func() float64 { return 0 },
			Wait: func(ctx context.Context, _ time.Duration) error {
				if polls++; polls > 5 {
					return context.DeadlineExceeded
				}
				return nil
			},
			HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host != "verifier.example" {
					t.Errorf("asked %s", r.URL.Host)
				}
				if r.URL.Path == pathNewSession && r.Method == http.MethodPost && r.URL.RawQuery != "" {
					return answer(first, firstType, firstBody), nil
				}
				return answer(second, secondType, secondBody), nil
			})},
		})
		must(t, err)
		defer client.Close()
		if r, err := client.Appraise(t.Context(), e); err == nil || r != nil {
			t.Fatalf("a result that nobody has signed: %+v", r)
		}
	})
}
