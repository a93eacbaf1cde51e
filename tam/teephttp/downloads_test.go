package teephttp

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/tam/store"
)

// A place for a download is given back, and none is given beyond the bound.
func TestDownloadsAreBounded(t *testing.T) {
	payloads, err := store.OpenPayloads(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	digest, _, err := payloads.Put(t.Context(), strings.NewReader("a payload"), 100)
	if err != nil {
		t.Fatal(err)
	}
	h := &handler{
		payloads: payloads, limiter: newLimiter(Limits{PerAddress: -1, Total: -1}, time.Now),
		downloads: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler),
	}
	routes := h.routes(nil)
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		name := strings.TrimPrefix(digest.String(), "sha-256:")
		routes.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, PayloadPath+name, nil))
		return w
	}
	for range 2 {
		if w := get(); w.Code != http.StatusOK || w.Body.String() != "a payload" {
			t.Fatalf("with a place: %d %q", w.Code, w.Body)
		}
	}
	h.downloads <- struct{}{} // somebody else is being served
	if w := get(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("without a place: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	<-h.downloads
	if w := get(); w.Code != http.StatusOK {
		t.Errorf("with a place again: %d", w.Code)
	}
}
