package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// plantOperator is who changes things at a plant.
const plantOperator = "operator:test"

// plantSkew is what the clocks of a plant and its devices may differ by.
const plantSkew = 30 * time.Second

// virtualClock is the time of a TAM, its operators, verifiers and devices alike.
type virtualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *virtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *virtualClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// plant is a TAM as a server makes it, but at a time of the test's own: devices meet it
// over HTTP, and operators do what they do to its fleet.
type plant struct {
	t         testing.TB
	now       *virtualClock
	store     *store.SQLite
	trust     *tam.Trust
	config    tam.Config
	tam       *tam.TAM
	fleet     *tam.Fleet
	endpoints []*tam.Endpoint
	handler   http.Handler
	url       string
	maker     cosekit.Signer // of reference values
	publisher cosekit.Signer
	routes    []evidence.Route // before the built-in verifier
	dir       string
	inProcess bool // messages go to the handler without a network
}

// newPlant makes a plant whose database is in memory, or in a file where path says so.
func newPlant(t testing.TB, path string, change ...func(*plant)) *plant {
	t.Helper()
	s := &plant{
		t: t, now: &virtualClock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}, dir: t.TempDir(),
		maker: plantKey(t, cosekit.ESP256), publisher: plantKey(t, cosekit.ESP256),
		endpoints: []*tam.Endpoint{
			{Path: "/tam", Debug: true},
			{Path: "/first", Debug: true, FirstContact: tam.ChallengeFirst},
			{Path: "/passport", Debug: true, FirstContact: tam.ChallengeFirst, Passport: true},
			{Path: "/return", Debug: true, FirstContact: tam.ChallengeFirst, ReturnResults: true},
		},
	}
	s.store = must(store.OpenSQLite(t.Context(), path, store.Options{}))(t)
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	s.trust = tam.NewTrust(s.store, s.now.Now, plantSkew)
	s.config = tam.Config{
		Store: s.store, Results: s.trust, Clock: s.now.Now,
		Signers: tam.Signers{ESP256: plantKey(t, cosekit.ESP256), Ed25519: plantKey(t, cosekit.Ed25519)},
	}
	for _, f := range change {
		f(s)
	}
	s.start()
	payloads := must(store.OpenPayloads(filepath.Join(s.dir, "payloads")))(t)
	s.url = "http://tam.example"
	if !s.inProcess {
		listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }))
		t.Cleanup(listener.Close)
		s.url = listener.URL
	}
	s.fleet = tam.NewFleet(tam.FleetConfig{Store: s.store, Payloads: payloads, Clock: s.now.Now, PayloadURL: s.url + teephttp.PayloadPath})
	must(s.fleet.AddReferenceSigner(t.Context(), plantOperator, anchor.Anchor{Key: s.maker.PublicKey(), Title: "maker"}))(t)
	must(s.fleet.AddPublisher(t.Context(), plantOperator, anchor.Anchor{Key: s.publisher.PublicKey(), Title: "publisher"}))(t)
	return s
}

// start makes the TAM over the store: nothing else outlives it.
func (s *plant) start() {
	s.t.Helper()
	builtIn := local.New(s.trust, local.Options{Clock: s.now.Now, Skew: plantSkew})
	routes := append(append([]evidence.Route{}, s.routes...), evidence.Route{Name: local.Name, Accepts: local.Accepts, Verifier: builtIn})
	if s.config.Verifier == nil || s.routes != nil {
		s.config.Verifier = evidence.NewRouter(routes...)
	}
	s.tam = must(tam.New(s.t.Context(), s.config))(s.t)
	payloads := must(store.OpenPayloads(filepath.Join(s.dir, "served")))(s.t)
	s.handler = must(teephttp.New(s.tam, s.endpoints, payloads, teephttp.Options{Limits: teephttp.Limits{PerAddress: -1, Total: -1}}))(s.t)
}

// must ends the test where what made a value failed.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func plantKey(t testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	return must(cosekit.GenerateSigner(alg))(t)
}

// register lets a key sign EATs, or evidence of other formats.
func (s *plant) register(key *cosekit.PublicKey, title string, formats ...anchor.Format) {
	s.t.Helper()
	a := anchor.Anchor{Key: key, Title: title, Constraints: anchor.Constraints{Formats: formats}}
	must(s.fleet.AddAttestationAnchor(s.t.Context(), plantOperator, a))(s.t)
}

// refer imports what a maker says.
func (s *plant) refer(statements ...*corim.Unsigned) {
	s.t.Helper()
	for _, u := range statements {
		raw := must(u.Sign(s.maker, "maker"))(s.t)
		must(s.fleet.ImportReferences(s.t.Context(), plantOperator, raw))(s.t)
	}
}

// rule puts a policy into force, and lets the TAM notice.
func (s *plant) rule(p policy.Policy) {
	s.t.Helper()
	s.now.add(time.Second)
	must(s.fleet.AddPolicy(s.t.Context(), plantOperator, p))(s.t)
	s.now.add(time.Second)
	if err := s.tam.Maintain(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

const (
	plantVendor = "tamarack.example"
	plantClass  = "attested device"
)

// release publishes a version of an application, and has its reference values imported
// where asked.
func (s *plant) release(component string, sequence uint64, refer bool) tam.Manifest {
	s.t.Helper()
	envelope := must(author.Sign(&author.Description{
		Component: must(suit.ParseComponentID(component))(s.t), SequenceNumber: sequence, VendorDomain: plantVendor, ClassInfo: plantClass,
		Payload: author.Payload{Content: fmt.Sprintf("%s, version %d", component, sequence), Integrated: true},
	}, s.publisher))(s.t)
	encoded := must(envelope.Encode(true))(s.t)
	m, _, err := s.fleet.PublishManifest(s.t.Context(), plantOperator, encoded)
	if err != nil {
		s.t.Fatal(err)
	}
	if refer {
		s.refer(must(corim.FromManifest(encoded, corim.ManifestOptions{}))(s.t))
	}
	return m
}

// references are those of a release, as a maker says them by hand.
func references(m tam.Manifest) *corim.Unsigned {
	u := &corim.Unsigned{ID: fmt.Sprintf("%s/%d", m.Component, m.Sequence), Version: m.Sequence}
	for _, target := range m.Targets {
		u.References = append(u.References, corim.Reference{
			Environment: corim.Environment{Vendor: author.VendorID(plantVendor).String()}, Key: target.Component.String(),
			Digests: []corim.Digest{{Algorithm: "sha-256", Value: target.ImageDigest.Bytes}},
		})
	}
	return u
}

func (s *plant) device(id devices.ID) (d devices.Device) {
	s.t.Helper()
	if err := s.store.View(s.t.Context(), func(r tam.Reader) (err error) {
		d, err = r.Device(id)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *plant) deviceOf(ueid []byte) (d devices.Device) {
	s.t.Helper()
	if err := s.store.View(s.t.Context(), func(r tam.Reader) (err error) {
		d, err = r.DeviceByUEID(ueid)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// last is the last appraisal on record.
func (s *plant) last(id devices.ID) devices.Appraisal {
	s.t.Helper()
	list := must(s.fleet.Appraisals(s.t.Context(), tam.AppraisalQuery{Device: id, Limit: 1}))(s.t)
	if len(list) == 0 {
		s.t.Fatal("no appraisal on record")
	}
	return must(s.fleet.Appraisal(s.t.Context(), list[0].ID))(s.t)
}

// response is what the TAM answers over HTTP.
type response struct {
	status int
	reason tam.Reason
	body   []byte
}

// post sends a message to an endpoint.
func (s *plant) post(ctx context.Context, path string, body []byte) (response, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		content = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, content)
	if err != nil {
		return response{}, err
	}
	request.Header.Set("Accept", "application/teep+cbor")
	if body != nil {
		request.Header.Set("Content-Type", "application/teep+cbor")
	}
	var got *http.Response
	if s.inProcess {
		request.RemoteAddr = "127.0.0.1:1"
		recorder := httptest.NewRecorder()
		s.handler.ServeHTTP(recorder, request)
		got = recorder.Result()
	} else if got, err = http.DefaultClient.Do(request); err != nil {
		return response{}, err
	}
	defer got.Body.Close()
	r := response{status: got.StatusCode, reason: tam.Reason(got.Header.Get("Tamarack-Reason"))}
	r.body, err = io.ReadAll(got.Body)
	return r, err
}

// machine is a whole device, as teep-agent has it, in the time of the plant.
type machine struct {
	*device.Device
	s    *plant
	dir  string
	id   devices.ID
	said []agent.Event
}

// machine makes a device that trusts the TAM and the publisher, and knows an endpoint.
func (s *plant) machine(path string, change ...func(*device.Setup)) *machine {
	s.t.Helper()
	m := s.build(path, change...)
	m.open()
	return m
}

// build makes the directory of a device.
func (s *plant) build(path string, change ...func(*device.Setup)) *machine {
	s.t.Helper()
	vendor := author.VendorID(plantVendor)
	key := s.config.Signers.ESP256
	setup := device.Setup{
		Settings: device.Settings{
			TAM: device.TAM{URL: s.url + path}, Poll: device.DefaultPolling,
			Identity: device.Identity{
				UEID: device.RandomUEID(), Vendor: vendor, Class: author.ClassID(vendor, plantClass),
				OEMID: device.RandomOEMID(vendor), Model: plantClass, HWVersion: "1",
			},
		},
		Algorithm: key.Algorithm(),
		Anchors: []anchor.Anchor{
			{Key: key.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}},
			{Key: s.publisher.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}},
		},
	}
	for _, f := range change {
		f(&setup)
	}
	m := &machine{s: s, dir: s.t.(*testing.T).TempDir()}
	if err := device.Create(m.dir, setup); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (m *machine) open() {
	m.s.t.Helper()
	m.Device = must(device.Open(m.dir, device.Options{Clock: m.s.now.Now, Observe: func(e agent.Event) { m.said = append(m.said, e) }}))(m.s.t)
	opened := m.Device
	m.s.t.Cleanup(func() {
		if m.Device != opened {
			return // another process had it since
		}
		if err := opened.Close(); err != nil {
			m.s.t.Error(err)
		}
	})
}

// reopen is another process that takes the device over.
func (m *machine) reopen() *machine {
	m.s.t.Helper()
	if err := m.Close(); err != nil {
		m.s.t.Fatal(err)
	}
	m.open()
	return m
}

// ends holds a session and tells why it ended, or what went wrong.
func (m *machine) ends() string {
	m.s.t.Helper()
	m.s.now.add(time.Second)
	m.said = nil
	result, err := m.Poll(m.s.t.Context())
	if err != nil {
		return err.Error()
	}
	return result.Reason
}

func (m *machine) want(what string, reason tam.Reason) {
	m.s.t.Helper()
	if got := m.ends(); got != string(reason) {
		m.s.t.Fatalf("%s: %q, want %q\n%s", what, got, reason, m.story())
	}
}

// refused wants an Update that says so.
func (m *machine) refused(what string, reason tam.Reason) {
	m.s.t.Helper()
	if got := m.ends(); !strings.Contains(got, "ERR_") || !strings.Contains(got, string(reason)) {
		m.s.t.Fatalf("%s: %q, want it refused: %q\n%s", what, got, reason, m.story())
	}
}

func (m *machine) story() string {
	var lines []string
	for _, e := range m.said {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}

// enrol lets the TAM meet the device, and accepts it.
func (m *machine) enrol() *machine {
	m.s.t.Helper()
	m.want("first contact", "device-pending")
	m.id = m.s.deviceOf(m.Settings().Identity.UEID).ID
	must(m.s.fleet.Accept(m.s.t.Context(), plantOperator, m.id, "as ordered"))(m.s.t)
	m.want("accepted", tam.ReasonNothingToDo)
	return m
}

func (m *machine) record() devices.Device {
	m.s.t.Helper()
	return m.s.device(m.id)
}

func (m *machine) require(component string) {
	m.s.t.Helper()
	must(m.s.fleet.Require(m.s.t.Context(), plantOperator, m.id, must(suit.ParseComponentID(component))(m.s.t)))(m.s.t)
}

// status is how far a component has come.
func (m *machine) status(manifest suit.ComponentID) (found devices.ComponentStatus) {
	m.s.t.Helper()
	if err := m.s.store.View(m.s.t.Context(), func(r tam.Reader) error {
		list, err := r.ComponentStatuses(m.id)
		for _, c := range list {
			if c.Component.Equal(manifest) {
				found = c
			}
		}
		return err
	}); err != nil {
		m.s.t.Fatal(err)
	}
	return found
}

// tamper changes what is installed, below the agent.
func (m *machine) tamper(of string) {
	m.s.t.Helper()
	changed := 0
	err := filepath.WalkDir(filepath.Join(m.dir, "store"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(content, []byte(of)) {
			return err
		}
		changed++
		return os.WriteFile(path, append([]byte("evil "), content...), 0o600)
	})
	if err != nil || changed != 1 {
		m.s.t.Fatalf("%d files changed: %v", changed, err)
	}
}

// adopt makes reference values of what was compared in an appraisal, for an environment.
func (s *plant) adopt(a devices.Appraisal, id string, about corim.Environment) *corim.Unsigned {
	s.t.Helper()
	r := must(devices.ResultOf(a))(s.t)
	u := &corim.Unsigned{ID: id, Version: 1}
	for _, c := range r.Comparisons {
		value, err := hex.DecodeString(strings.Trim(strings.Fields(c.Measured)[0], ","))
		if err != nil {
			continue // a version of firmware
		}
		u.References = append(u.References, corim.Reference{
			Environment: about, Key: strings.TrimPrefix(c.Name, "PCR "), Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
		})
	}
	return u
}

// issuer is a verifier elsewhere.
func (s *plant) issuer(form ear.Form, key cosekit.Signer, at time.Time) *ear.Issuer {
	return &ear.Issuer{Signer: key, Form: form, Lifetime: time.Hour, Clock: func() time.Time { return at }, Developer: "test", Build: "1"}
}

// comparisonOf finds what an appraisal compared.
func comparisonOf(t testing.TB, changes []tam.AttestationChange, name string) tam.AttestationChange {
	t.Helper()
	for _, c := range changes {
		if strings.Contains(c.Name, name) {
			return c
		}
	}
	t.Fatalf("%s is not among %+v", name, changes)
	return tam.AttestationChange{}
}
