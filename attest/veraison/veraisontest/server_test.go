package veraisontest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// exchange sends a request and returns status, headers and body.
func exchange(t *testing.T, s *Server, method, path string, header map[string]string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, data
}

// TestAnswers holds the fake against what services v0.0.2605 was seen to answer.
func TestAnswers(t *testing.T) {
	clock := time.Now()
	s := Start(func() time.Time { return clock })
	defer s.Close()
	nonce := base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32))
	const base = "/challenge-response/v1/"
	session := func() string {
		status, header, body := exchange(t, s, "POST", base+"newSession?nonce="+nonce, nil, nil)
		var created struct{ Status, Nonce string }
		if err := json.Unmarshal(body, &created); err != nil {
			t.Fatal(err)
		}
		location := header.Get("Location")
		if status != 201 || !strings.HasPrefix(location, "session/") || created.Status != "waiting" || !strings.Contains(created.Nonce, "////") {
			t.Fatalf("%d, %s, %s", status, location, body)
		}
		return base + location
	}
	one := session()
	typed := func(s string) map[string]string { return map[string]string{"Content-Type": s} }
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		body               []byte
		status             int
		says               string
	}{
		{"nonce without padding", "POST", base + "newSession?nonce=" + strings.TrimRight(nonce, "="), nil, nil, 400, "nonce must be valid base64"},
		{"nonce in the other alphabet", "POST", base + "newSession?nonce=%2B%2F%2B%2F%2B%2F%2B%2F%2B%2F%2B=", nil, nil, 400, "nonce must be valid base64"},
		{"nonce of 7 bytes", "POST", base + "newSession?nonce=AAAAAAAAAA==", nil, nil, 400, "between 8 and 64 bytes long; got 7"},
		{"nonce of its own", "POST", base + "newSession", nil, nil, 201, "waiting"},
		{"session for JSON", "POST", base + "newSession?nonce=" + nonce, map[string]string{"Accept": "application/json"}, nil, 406, ""},
		{"not found", "GET", base + "newSession", nil, nil, 404, "404 page not found"},
		{"waiting", "GET", one, nil, nil, 200, "waiting"},
		{"no evidence", "POST", one, typed(MediaPSA), nil, 400, "unable to read evidence"},
		{"unknown type", "POST", one, typed("application/octet-stream"), []byte("x"), 415, "no active plugin found for application/octet-stream"},
		{"one parameter more", "POST", one, typed(MediaPSA + "; charset=utf-8"), []byte("x"), 415, "no active plugin"},
		{"no type", "POST", one, nil, []byte("x"), 400, "could not check media type"},
		{"garbage", "POST", one, typed(MediaPSA), []byte("x"), 200, "complete"},
		{"again", "POST", one, typed(MediaCCA), []byte("x"), 200, "complete"},
		{"complete", "GET", one, nil, nil, 200, "complete"},
		{"other spelling", "POST", one, typed(strings.ReplaceAll(MediaPSAProfile, "; ", ";")), []byte("x"), 500, "error encountered while processing evidence"},
		{"failed", "GET", one, nil, nil, 200, "failed"},
		{"4 MiB", "POST", one, typed(MediaPSA), make([]byte, maxEvidence), 500, "error encountered while processing evidence"},
		{"no session", "GET", base + "session/00000000-0000-4000-8000-000000000000", nil, nil, 404, "session not found for (id, tenant)=(00000000-0000-4000-8000-000000000000, 0)"},
		{"no id", "GET", base + "session/nonsense", nil, nil, 400, "invalid UUID length: 8"},
		{"deleted", "DELETE", one, nil, nil, 204, ""},
		{"deleted again", "DELETE", one, nil, nil, 204, ""},
		{"gone", "GET", one, nil, nil, 404, "session not found"},
		{"discovery", "GET", "/.well-known/veraison/verification", nil, nil, 200, "ear-verification-key"},
		{"discovery for HTML", "GET", "/.well-known/veraison/verification", map[string]string{"Accept": "text/html"}, nil, 406, ""},
	} {
		status, header, body := exchange(t, s, test.method, test.path, test.header, test.body)
		if status != test.status || !strings.Contains(string(body), test.says) {
			t.Errorf("%s: %d %.200s", test.name, status, body)
		}
		if want := mediaProblem; status >= 400 && !strings.Contains(string(body), "page not found") && header.Get("Content-Type") != want {
			t.Errorf("%s: %s, want %s", test.name, header.Get("Content-Type"), want)
		}
		if status == 415 && header.Get("Accept") == "" {
			t.Errorf("%s: does not say what it accepts", test.name)
		}
	}
	two := session()
	clock = clock.Add(sessionLife)
	if status, _, body := exchange(t, s, "GET", two, nil, nil); status != 404 {
		t.Errorf("expired: %d %s", status, body)
	}
}
