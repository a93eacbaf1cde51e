package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Answers that are not of a Tamarack server in good health.
func TestStrangeServers(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("sesame-sesame-sesame-sesame-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with Authorization %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for _, c := range []struct {
		name      string
		status    int
		mediaType string
		body      string
		exit      int
		says      string
	}{
		{"a problem of its own", 503, "application/problem+json", `{"status":503,"code":"unavailable","detail":"the store\u001b[2J is away","hint":"try again soon"}`, exitUnreachable, "the store?[2J is away (unavailable)\n  next: try again soon"},
		{"a refusal", 404, "application/problem+json", `{"status":404,"code":"not-found","detail":"no such thing"}`, exitRefused, "no such thing (not-found)"},
		{"a web page", 200, "text/html", "<html>", exitUnreachable, "not one that this program knows: status 200"},
		{"a redirect", 302, "text/html", "", exitUnreachable, "status 302"},
		{"a broken problem", 500, "application/problem+json", "{", exitUnreachable, "unexpected end of JSON"},
		{"broken JSON", 200, "application/json", "{", exitUnreachable, "unexpected end of JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer sesame-sesame-sesame-sesame-sesame" {
					t.Errorf("Authorization %q", r.Header.Get("Authorization"))
				}
				w.Header().Set("Content-Type", c.mediaType)
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(c.status)
				w.Write([]byte(c.body)) // the client is what is tested
			}))
			defer server.Close()
			var stdout, stderr bytes.Buffer
			env := []string{"TAMCTL_SERVER=" + server.URL, "TAMCTL_TOKEN_FILE=" + tokenFile}
			exit := run(t.Context(), []string{"key", "list"}, env, nil, &stdout, &stderr)
			if exit != c.exit || !strings.Contains(stderr.String(), c.says) || stdout.Len() > 0 {
				t.Errorf("exit %d, want %d; says %q, want %q", exit, c.exit, stderr.String(), c.says)
			}
			if strings.Contains(stderr.String(), "sesame") {
				t.Errorf("the token is shown: %s", stderr.String())
			}
		})
	}
}
