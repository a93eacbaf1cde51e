package api

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// operation is what the tests need of openapi.yaml.
type operation struct {
	OperationID string `yaml:"operationId"`
	Summary     string
	Security    *[]map[string][]string
	RequestBody struct {
		Content map[string]any
	} `yaml:"requestBody"`
	Responses map[string]any
}

// documented reads the operations of openapi.yaml, by "METHOD path".
func documented(t *testing.T) map[string]operation {
	t.Helper()
	data, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]operation
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			out[strings.ToUpper(method)+" "+path] = op
		}
	}
	return out
}

func TestEveryRouteIsDocumented(t *testing.T) {
	r := newRig(t)
	operations := documented(t)
	routes := r.handler.(*gin.Engine).Routes()
	if len(routes) != len(operations) {
		t.Errorf("%d routes, %d documented operations", len(routes), len(operations))
	}
	for _, route := range routes {
		path := route.Path
		for _, parameter := range []string{"id", "digest", "name", "thumbprint", "fingerprint"} {
			path = strings.ReplaceAll(path, ":"+parameter, "{"+parameter+"}")
		}
		op, ok := operations[route.Method+" "+path]
		if !ok || op.OperationID == "" || op.Summary == "" {
			t.Errorf("%s %s is not documented", route.Method, path)
		}
		if _, ok := op.Responses["default"]; !ok && path != healthPath {
			t.Errorf("%s %s documents no problem", route.Method, path)
		}
		if !takesBody(route.Method) {
			continue
		}
		if _, ok := op.RequestBody.Content[bodyType(route.Path)]; !ok || len(op.RequestBody.Content) != 1 {
			t.Errorf("%s %s: takes %s, documented are %v", route.Method, path, bodyType(route.Path), op.RequestBody.Content)
		}
	}
}

func TestEveryOperationWantsTheToken(t *testing.T) {
	r := newRig(t)
	for name, op := range documented(t) {
		method, path, _ := strings.Cut(name, " ")
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			r.handler = New(r.fleet, Options{Token: testToken}) // with attempts of its own
			if op.Security != nil {
				if path != healthPath {
					t.Fatalf("%s is documented to want no token", path)
				}
				r.want(call{method: method, path: path}, http.StatusOK, nil)
				return
			}
			for _, token := range []string{"", "wrong", testToken + "x", testToken[:len(testToken)-1], strings.ToUpper(testToken)} {
				c := call{method: method, path: path, token: token, mediaType: bodyType(path), body: []byte("{}")}
				r.refused(c, http.StatusUnauthorized, "unauthorized")
			}
			if _, count := r.lastEvent(); count != 0 {
				t.Errorf("%d audit events of nobody", count)
			}
		})
	}
}

func TestUnknownPathsWantTheToken(t *testing.T) {
	r := newRig(t)
	r.refused(call{method: http.MethodGet, path: "/api/v1/nothing"}, http.StatusUnauthorized, "unauthorized")
	r.refused(get("/api/v1/nothing"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/devices/"), http.StatusNotFound, "not-found")
	r.refused(call{method: http.MethodDelete, path: "/api/v1/devices", token: testToken}, http.StatusMethodNotAllowed, "method-not-allowed")
}

func TestFailedAttemptsAreLimited(t *testing.T) {
	r := newRig(t)
	guess := call{method: http.MethodGet, path: "/api/v1/keys", token: "guess"}
	for range failureBurst {
		r.refused(guess, http.StatusUnauthorized, "unauthorized")
	}
	limited := false
	for range failureBurst {
		limited = limited || r.do(guess).StatusCode == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("guesses go on without a limit")
	}
	r.want(get("/api/v1/keys"), http.StatusOK, nil)
}

func TestNoTokenOpensNothing(t *testing.T) {
	r := newRig(t)
	for _, configured := range []string{"", "short"} {
		r.handler = New(r.fleet, Options{Token: configured})
		for _, token := range []string{"", " ", "short", testToken} {
			r.refused(call{method: http.MethodGet, path: "/api/v1/keys", token: token}, http.StatusUnauthorized, "unauthorized")
		}
	}
	req := call{method: http.MethodGet, path: "/api/v1/keys"}
	if got := r.do(req).Header.Get("WWW-Authenticate"); got == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	token, created, err := LoadOrCreateToken(path)
	if err != nil || !created || len(token) < minToken {
		t.Fatalf("token of %d characters, created %t, %v", len(token), created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, created, err := LoadOrCreateToken(path)
	if err != nil || created || again != token {
		t.Errorf("second start: created %t, same %t, %v", created, again == token, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadOrCreateToken(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by the group: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadOrCreateToken(short); err == nil || strings.Contains(err.Error(), "\"short\"") {
		t.Errorf("short token: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
}

func TestBodies(t *testing.T) {
	r := newRig(t)
	r.addDevice("11111111-aaaa", devices.Pending)
	const accept = "/api/v1/devices/11111111-aaaa/accept"
	wrong := post(accept, "{}")
	wrong.mediaType = "text/plain"
	none := post(accept, "{}")
	none.mediaType = ""
	octets := upload("x")
	octets.mediaType = "application/json"
	cose := publish([]byte{0xa0})
	cose.mediaType = "application/cbor"
	for _, c := range []struct {
		name   string
		call   call
		status int
		code   string
	}{
		{"wrong media type", wrong, http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"no media type", none, http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"payload as JSON", octets, http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"envelope as CBOR", cose, http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"no body", post(accept, ""), http.StatusBadRequest, "malformed-request"},
		{"not JSON", post(accept, "{"), http.StatusBadRequest, "malformed-request"},
		{"two values", post(accept, "{}{}"), http.StatusBadRequest, "malformed-request"},
		{"unknown field", post(accept, `{"reasons":"x"}`), http.StatusBadRequest, "malformed-request"},
		{"wrong type", post(accept, `{"reason":1}`), http.StatusBadRequest, "malformed-request"},
		{"long reason", post(accept, `{"reason":"`+strings.Repeat("x", maxReason+1)+`"}`), http.StatusBadRequest, "malformed-request"},
		{"too large", post(accept, `{"reason":"`+strings.Repeat("x", maxJSON)+`"}`), http.StatusRequestEntityTooLarge, "body-too-large"},
		{"limit 0", get("/api/v1/devices?limit=0"), http.StatusBadRequest, "malformed-request"},
		{"limit too high", get("/api/v1/devices?limit=1001"), http.StatusBadRequest, "malformed-request"},
		{"limit not a number", get("/api/v1/devices?limit=x"), http.StatusBadRequest, "malformed-request"},
		{"unknown state", get("/api/v1/devices?state=lost"), http.StatusBadRequest, "malformed-request"},
		{"foreign cursor", get("/api/v1/events?after=x"), http.StatusBadRequest, "malformed-request"},
		{"negative cursor", get("/api/v1/events?after=-1"), http.StatusBadRequest, "malformed-request"},
		{"attestation cursor", get("/api/v1/attestations?after=x"), http.StatusBadRequest, "malformed-request"},
		{"attestation cursor 0", get("/api/v1/attestations?after=0"), http.StatusBadRequest, "malformed-request"},
		{"attestation limit", get("/api/v1/attestations?limit=-1"), http.StatusBadRequest, "malformed-request"},
		{"attestations of none", get("/api/v1/attestations?device="), http.StatusBadRequest, "malformed-request"},
		{"accepted perhaps", get("/api/v1/attestations?accepted=perhaps"), http.StatusBadRequest, "malformed-request"},
		{"attestation by name", get("/api/v1/attestations/x"), http.StatusBadRequest, "malformed-request"},
		{"no attestation", get("/api/v1/attestations/7"), http.StatusNotFound, "not-found"},
		{"attestation -1", get("/api/v1/attestations/-1"), http.StatusNotFound, "not-found"},
		{"diff from 0", get("/api/v1/devices/11111111-aaaa/attestation-diff?from=0"), http.StatusBadRequest, "malformed-request"},
		{"diff to -1", get("/api/v1/devices/11111111-aaaa/attestation-diff?to=-1"), http.StatusBadRequest, "malformed-request"},
		{"trial limit", post("/api/v1/policy-trials?limit=-1", "{}"), http.StatusBadRequest, "malformed-request"},
		{"group limit", get("/api/v1/groups/x?limit=1001"), http.StatusBadRequest, "malformed-request"},
		{"selector, unknown state", get("/api/v1/devices?selector=true&state=lost"), http.StatusBadRequest, "malformed-request"},
		{"selector of a megabyte", get("/api/v1/devices?selector=" + strings.Repeat("x", 1<<20)), http.StatusUnprocessableEntity, "bad-selector"},
		{"null labels", put("/api/v1/devices/11111111-aaaa/labels", `null`), http.StatusBadRequest, "malformed-request"},
		{"labels of numbers", put("/api/v1/devices/11111111-aaaa/labels", `{"a":1}`), http.StatusBadRequest, "malformed-request"},
		{"labels too large", put("/api/v1/devices/11111111-aaaa/labels", `{"a":"`+strings.Repeat("x", maxJSON)+`"}`), http.StatusRequestEntityTooLarge, "body-too-large"},
		{"labels twice", put("/api/v1/devices/11111111-aaaa/labels", `{}{}`), http.StatusBadRequest, "malformed-request"},
		{"labels as text", call{method: http.MethodPut, path: "/api/v1/devices/11111111-aaaa/labels", mediaType: "text/plain", body: []byte("{}"), token: testToken}, http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"long reason to quarantine", post("/api/v1/devices/11111111-aaaa/quarantine", `{"reason":"`+strings.Repeat("x", maxReason+1)+`"}`), http.StatusBadRequest, "malformed-request"},
		{"long reason to remove", del("/api/v1/anchors/aa?reason=" + strings.Repeat("x", maxReason+1)), http.StatusBadRequest, "malformed-request"},
		{"reference values as JSON", post(referencesPath, "{}"), http.StatusUnsupportedMediaType, "unsupported-media-type"},
		{"foreign manifest cursor", get("/api/v1/manifests?after=x"), http.StatusBadRequest, "malformed-request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := r.in(t)
			r.refused(c.call, c.status, c.code)
			c.call.chunked = true
			r.refused(c.call, c.status, c.code)
		})
	}
	if _, count := r.lastEvent(); count != 0 {
		t.Errorf("%d audit events of requests that never reached the fleet", count)
	}
}

func TestSecurityHeaders(t *testing.T) {
	r := newRig(t)
	for _, c := range []call{get("/api/v1/devices"), get("/nothing"), {method: http.MethodGet, path: healthPath}} {
		h := r.do(c).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", c.path, name, got, want)
			}
		}
	}
}

func TestBadLabels(t *testing.T) {
	r := newRig(t)
	r.addDevice("11111111-aaaa", devices.Accepted)
	many := map[string]string{}
	for i := range 2000 {
		many[fmt.Sprint("label", i)] = "x"
	}
	for name, labels := range map[string]map[string]string{
		"too many": many, "no name": {"": "x"}, "long name": {strings.Repeat("x", 64): "x"}, "capitals": {"Site": "x"},
		"long value": {"site": strings.Repeat("x", 64)}, "control characters": {"site": "\x1b[2J"},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.in(t).refused(put("/api/v1/devices/11111111-aaaa/labels", string(encoded(t, labels))), http.StatusUnprocessableEntity, "bad-labels")
			if strings.Contains(p.Detail, "\x1b") {
				t.Errorf("detail %q", p.Detail)
			}
		})
	}
}

// An operator learns nothing about a fault of the server but where to look.
func TestFaultsTellNothing(t *testing.T) {
	p := problemOf(fmt.Errorf("disk %s is on fire", "/secret"))
	if p.Status != http.StatusInternalServerError || p.Code != "internal" || strings.Contains(p.Detail, "secret") {
		t.Errorf("problem %+v", p)
	}
	r := newRig(t)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	response := r.do(get("/api/v1/devices"))
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a closed store: %d", response.StatusCode)
	}
}

func TestKinds(t *testing.T) {
	var codes []string
	for _, k := range kinds {
		p := problemOf(fmt.Errorf("thing: %w", k.err))
		if p.Code == "" || p.Title == "" || p.Status < 400 || !strings.HasPrefix(p.Detail, "thing: ") {
			t.Errorf("%v: problem %+v", k.err, p)
		}
		if code, ok := tam.RefusalCode(k.err); ok && string(code) != p.Code {
			t.Errorf("%v: code %s in the API, %s in the audit log", k.err, p.Code, code)
		}
		if p.Code != "not-found" && slices.Contains(codes, p.Code) {
			t.Errorf("code %s twice", p.Code)
		}
		codes = append(codes, p.Code)
	}
}

func TestKeysAndHealth(t *testing.T) {
	r := newRig(t)
	var keys []Key
	r.want(get("/api/v1/keys"), http.StatusOK, &keys)
	if len(keys) != 1 || keys[0].Algorithm != "ESP256" || !strings.Contains(keys[0].PublicKey, "BEGIN PUBLIC KEY") {
		t.Errorf("keys %+v", keys)
	}
	attestation, results := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	r.handler = New(r.fleet, Options{Token: testToken, AttestationKey: attestation, ResultKey: results})
	r.want(get("/api/v1/keys"), http.StatusOK, &keys)
	if len(keys) != 2 || keys[0].Use != KeyUseAttestation || keys[0].Thumbprint != attestation.Thumbprint().String() ||
		keys[1].Use != KeyUseResults || keys[1].Thumbprint != results.Thumbprint().String() {
		t.Errorf("keys %+v", keys)
	}
	var h Health
	r.want(call{method: http.MethodGet, path: healthPath}, http.StatusOK, &h)
	if h.Status != "ok" {
		t.Errorf("health %+v", h)
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	r.addDevice("11111111-aaaa", devices.Pending)
	r.want(post("/api/v1/devices/11111111-aaaa/accept", `{"reason":"known"}`), http.StatusOK, nil)
	r.want(post("/api/v1/devices/11111111-aaaa/requirements", `{"component":"app/hello"}`), http.StatusOK, nil)
	var page EventPage
	r.want(get("/api/v1/events?limit=1"), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].Action != string(audit.DeviceAccepted) || page.Items[0].Reason != "known" || page.Next == "" {
		t.Fatalf("first page %+v", page)
	}
	next := page.Next
	page = EventPage{}
	r.want(get("/api/v1/events?after="+next), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].Action != string(audit.ComponentRequired) || page.Items[0].Details["component"] != "app/hello" || page.Next != "" {
		t.Errorf("second page %+v", page)
	}
}
