package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

const (
	testToken  = "tamarack_0123456789abcdefghijklmnopqrstuv"
	payloadURL = "https://tam.example/payloads"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// rig is an API over a database and a payload directory of its own, with one
// publisher of app/….
type rig struct {
	t         testing.TB
	store     *store.SQLite
	fleet     *tam.Fleet
	handler   http.Handler
	publisher cosekit.Signer
}

func newRig(t testing.TB) *rig {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "tam.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	payloads, err := store.OpenPayloads(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fleet := tam.NewFleet(tam.FleetConfig{
		Store: db, Payloads: payloads, PayloadURL: payloadURL,
		Clock: func() time.Time { return now }, MaxEnvelope: 16 << 10, MaxPayload: 64 << 10,
	})
	r := &rig{t: t, store: db, fleet: fleet, publisher: newSigner(t)}
	r.handler = New(fleet, Options{Token: testToken, Keys: []*cosekit.PublicKey{r.publisher.PublicKey()}})
	r.trust(r.publisher, "app")
	return r
}

// in is the rig for a subtest.
func (r *rig) in(t testing.TB) *rig {
	sub := *r
	sub.t = t
	return &sub
}

func newSigner(t testing.TB) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trust makes a publisher of the signer.
func (r *rig) trust(s cosekit.Signer, prefixes ...string) {
	r.t.Helper()
	a := anchor.Anchor{Key: s.PublicKey(), Title: "publisher", Purposes: []anchor.Purpose{anchor.TCSigner}}
	for _, p := range prefixes {
		a.Constraints.Components = append(a.Constraints.Components, componentID(r.t, p))
	}
	r.update(func(tx tam.Tx) error { return tx.AddAnchor(a) })
}

func (r *rig) update(fn func(tam.Tx) error) {
	r.t.Helper()
	if err := r.store.Update(r.t.Context(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func componentID(t testing.TB, text string) suit.ComponentID {
	t.Helper()
	id, err := suit.ParseComponentID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// addDevice registers a device.
func (r *rig) addDevice(id string, state devices.State) {
	r.t.Helper()
	d := devices.Device{ID: devices.ID(id), UEID: []byte("\x01" + id), State: state, CreatedAt: now, UpdatedAt: now}
	r.update(func(tx tam.Tx) error { return tx.PutDevice(d) })
}

// description of app/hello, whose payload is hosted elsewhere.
func description(sequence uint64) *author.Description {
	return &author.Description{
		Component: suit.ComponentID{[]byte("app"), []byte("hello")}, SequenceNumber: sequence,
		VendorDomain: "example.com", ClassInfo: "thermostat",
		Payload: author.Payload{URI: "https://elsewhere.example/hello"},
	}
}

// build makes a manifest of a description and lets the test change it.
func build(t *testing.T, d *author.Description, payload string, change func(*suit.Manifest)) (*suit.Manifest, map[string][]byte) {
	t.Helper()
	m, integrated, err := author.CreateFrom(d, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	return m, integrated
}

// envelope signs what build makes.
func envelope(t *testing.T, signer cosekit.Signer, d *author.Description, payload string, change func(*suit.Manifest)) []byte {
	t.Helper()
	m, integrated := build(t, d, payload, change)
	e, err := suit.Sign(m, integrated, signer)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, e)
}

func encode(t *testing.T, e *suit.Envelope) []byte {
	t.Helper()
	raw, err := e.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// tamper changes the elements of an envelope behind its signer's back.
func tamper(t *testing.T, raw []byte, change func(elements map[any]cosekit.RawMessage)) []byte {
	t.Helper()
	var elements map[any]cosekit.RawMessage
	if err := cosekit.Unmarshal(raw[2:], &elements); err != nil {
		t.Fatal(err)
	}
	change(elements)
	out, err := cosekit.Marshal(elements)
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(raw[:2]), out...)
}

// call is one request; what is left out is sensible.
type call struct {
	method, path, mediaType string
	body                    []byte
	token                   string
	chunked                 bool // the length is not announced
}

func post(path, body string) call {
	return call{method: http.MethodPost, path: path, mediaType: "application/json", body: []byte(body), token: testToken}
}

func publish(envelope []byte) call {
	return call{method: http.MethodPost, path: manifestsPath, mediaType: suit.MediaTypeEnvelope, body: envelope, token: testToken}
}

func upload(payload string) call {
	return call{method: http.MethodPost, path: payloadsPath, mediaType: "application/octet-stream", body: []byte(payload), token: testToken}
}

func get(path string) call { return call{method: http.MethodGet, path: path, token: testToken} }

func (r *rig) do(c call) *http.Response {
	r.t.Helper()
	var body io.Reader = bytes.NewReader(c.body)
	if c.chunked {
		body = struct{ io.Reader }{body}
	}
	req := httptest.NewRequestWithContext(context.WithoutCancel(r.t.Context()), c.method, c.path, body)
	if c.mediaType != "" {
		req.Header.Set("Content-Type", c.mediaType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Result()
}

// want asks for a success and decodes the answer.
func (r *rig) want(c call, status int, out any) {
	r.t.Helper()
	response := r.do(c)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if response.StatusCode != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", c.method, c.path, response.StatusCode, status, body)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			r.t.Fatalf("%s %s: %v in %s", c.method, c.path, err, body)
		}
	}
}

// refused asks for a problem with this code, and that nothing but the audit log
// has changed.
func (r *rig) refused(c call, status int, code string) Problem {
	r.t.Helper()
	before := r.state()
	response := r.do(c)
	var p Problem
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
		r.t.Fatalf("%s %s: no problem in the answer %d: %v", c.method, c.path, response.StatusCode, err)
	}
	if response.StatusCode != status || p.Status != status || p.Code != code {
		r.t.Errorf("%s %s: status %d, problem %+v; want %d %s", c.method, c.path, response.StatusCode, p, status, code)
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("media type %q", got)
	}
	if p.Title == "" || p.Detail == "" || !strings.HasSuffix(p.Type, ":"+code) {
		r.t.Errorf("problem %+v does not say all", p)
	}
	if after := r.state(); after != before {
		r.t.Errorf("%s %s was refused with %s and changed the store:\nbefore\n%s\nafter\n%s", c.method, c.path, code, before, after)
	}
	return p
}

// state is everything in the store but the audit log.
func (r *rig) state() string {
	r.t.Helper()
	var lines []string
	for line := range strings.Lines(storetest.Dump(r.t, r.store)) {
		if !strings.HasPrefix(line, "event ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// lastEvent is the end of the audit log.
func (r *rig) lastEvent() (last audit.Event, count int) {
	r.t.Helper()
	events, err := r.fleet.Events(r.t.Context(), 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(events) > 0 {
		last = events[len(events)-1]
	}
	return last, len(events)
}
