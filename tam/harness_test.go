package tam_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/teep"
)

// world is a TAM with its store, its time, and the keys of everybody around it.
type world struct {
	t         testing.TB
	store     tam.Store
	tam       *tam.TAM
	cfg       tam.Config
	ep        *tam.Endpoint
	now       *clock
	attester  cosekit.Signer
	publisher cosekit.Signer
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t testing.TB, change ...func(*tam.Config)) *world {
	t.Helper()
	return newWorldAt(t, store.Memory, change...)
}

func newWorldAt(t testing.TB, path string, change ...func(*tam.Config)) *world {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		t: t, store: s, now: &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)},
		ep:       &tam.Endpoint{Path: "/tam"},
		attester: signer(t, cosekit.ESP256), publisher: signer(t, cosekit.Ed25519),
	}
	w.cfg = tam.Config{
		Store:    s,
		Verifier: local.New(local.KeysOnly(attestationKeys{s}), local.Options{Clock: w.now.Now}),
		Signers:  tam.Signers{ESP256: signer(t, cosekit.ESP256), Ed25519: signer(t, cosekit.Ed25519)},
		Clock:    w.now.Now,
	}
	for _, f := range change {
		f(&w.cfg)
	}
	w.restart()
	w.update(func(tx tam.Tx) error {
		return errors.Join(
			tx.AddAnchor(anchor.Anchor{Key: w.attester.PublicKey(), Title: "factory", Purposes: []anchor.Purpose{anchor.Attester}}),
			tx.AddAnchor(anchor.Anchor{Key: w.publisher.PublicKey(), Title: "publisher", Purposes: []anchor.Purpose{anchor.TCSigner}}))
	})
	return w
}

func signer(t testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type attestationKeys struct{ store tam.Store }

func (k attestationKeys) AttestationKey(ctx context.Context, key cosekit.Thumbprint) (a anchor.Anchor, err error) {
	err = k.store.View(ctx, func(r tam.Reader) (err error) {
		a, err = r.Anchor(key)
		return err
	})
	if errors.Is(err, tam.ErrNotFound) {
		err = anchor.ErrUnknown
	}
	return a, err
}

// restart makes a new TAM over the same store: nothing but the store outlives it.
func (w *world) restart() {
	w.t.Helper()
	t, err := tam.New(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.tam = t
}

func (w *world) update(fn func(tam.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) view(fn func(tam.Reader) error) {
	w.t.Helper()
	if err := w.store.View(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) dump() string {
	w.t.Helper()
	return storetest.Dump(w.t, w.store)
}

// events counts the audit events of an action.
func (w *world) events(action audit.Action) (n int) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		list, err := r.Events(0, 1000)
		for _, e := range list {
			if e.Action == action {
				n++
			}
		}
		return err
	})
	return n
}

// eventOf is the last event of an action.
func (w *world) eventOf(action audit.Action) (last audit.Event) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		list, err := r.Events(0, 1000)
		for _, e := range list {
			if e.Action == action {
				last = e
			}
		}
		return err
	})
	return last
}

// reasons counts the audit events of an action by their reason.
func (w *world) reasons(action audit.Action) map[string]int {
	w.t.Helper()
	n := map[string]int{}
	w.view(func(r tam.Reader) error {
		list, err := r.Events(0, 1000)
		for _, e := range list {
			if e.Action == action {
				n[e.Reason]++
			}
		}
		return err
	})
	return n
}

func component(path string) suit.ComponentID {
	c, err := suit.ParseComponentID(path)
	if err != nil {
		panic(err)
	}
	return c
}

// publish adds a manifest that installs the image. Its envelope is not one that a
// device would take: the TAM hands over what was published and reads none of it.
func (w *world) publish(target string, sequence uint64, image string, change ...func(*tam.Manifest)) tam.Manifest {
	w.t.Helper()
	envelope := append([]byte{0xd8, 0x6b}, cosekit.MustMarshal(map[int]any{2: []byte(target), 3: sequence, 23: []byte(image)})...)
	m := tam.Manifest{
		Digest: suit.SumSHA256(envelope), Component: component(target + "/manifest"), Sequence: sequence,
		Signer:  w.publisher.PublicKey().Thumbprint(),
		Targets: []tam.Target{{Component: component(target), ImageDigest: suit.SumSHA256([]byte(image)), ImageSize: uint64(len(image))}},
		Size:    int64(len(envelope)), PublishedAt: w.now.Now(), PublishedBy: "operator:test",
	}
	for _, f := range change {
		f(&m)
	}
	w.update(func(tx tam.Tx) error { return tx.AddManifest(m, envelope) })
	return m
}

// process sends a message and returns the answer, which is no fault of the TAM.
func (w *world) process(wire []byte) tam.Answer {
	w.t.Helper()
	return w.processAt(w.ep, wire)
}

func (w *world) processAt(ep *tam.Endpoint, wire []byte) tam.Answer {
	w.t.Helper()
	answer, err := w.tam.ProcessTeepMessage(w.t.Context(), ep, wire)
	if err != nil {
		w.t.Fatalf("fault of the TAM: %v", err)
	}
	return answer
}

// device is a scripted agent with its attester. It says what it is told to say,
// signed for real.
type device struct {
	w         *world
	key       cosekit.Signer
	reportKey cosekit.Signer
	attester  cosekit.Signer
	ueid      []byte
	numbering teep.Numbering
	installed map[string]suit.Digest // by component, in text
	requested []teep.RequestedTC
	unneeded  []suit.ComponentID
	// lies replaces what the attester measures.
	lies map[string]suit.Digest
	// names are the manifests that its evidence names.
	names []suit.Digest
}

func (w *world) device(alg cosekit.Algorithm) *device {
	w.t.Helper()
	ueid := make([]byte, 17)
	rand.Read(ueid)
	ueid[0] = 1
	return &device{
		w: w, key: signer(w.t, alg), reportKey: signer(w.t, alg), attester: w.attester, ueid: ueid,
		numbering: w.ep.Numbering, installed: map[string]suit.Digest{},
	}
}

func (d *device) thumbprint() cosekit.Thumbprint { return d.key.PublicKey().Thumbprint() }

// id returns the device as the TAM knows it.
func (d *device) record() (found devices.Device) {
	d.w.t.Helper()
	d.w.view(func(r tam.Reader) (err error) {
		found, err = r.DeviceByUEID(d.ueid)
		return err
	})
	return found
}

func (d *device) agent() (found devices.Agent) {
	d.w.t.Helper()
	d.w.view(func(r tam.Reader) (err error) {
		found, err = r.Agent(d.thumbprint())
		return err
	})
	return found
}

// status returns the state of the manifest component of a target.
func (d *device) status(target string) (found devices.ComponentStatus) {
	d.w.t.Helper()
	id := d.record().ID
	d.w.view(func(r tam.Reader) error {
		list, err := r.ComponentStatuses(id)
		for _, s := range list {
			if s.Component.Equal(component(target + "/manifest")) {
				found = s
			}
		}
		return err
	})
	return found
}

func (d *device) setState(state devices.State) {
	d.w.t.Helper()
	record := d.record()
	record.State = state
	d.w.update(func(tx tam.Tx) error { return tx.PutDevice(record) })
}

func (d *device) require(target string) {
	d.w.t.Helper()
	id := d.record().ID
	d.w.update(func(tx tam.Tx) error {
		return tx.PutRequirement(devices.Requirement{Device: id, Component: component(target), CreatedAt: d.w.now.Now()})
	})
}

// connect posts nothing and returns the QueryRequest.
func (d *device) connect() *teep.QueryRequest {
	d.w.t.Helper()
	answer, err := d.w.tam.ProcessConnect(d.w.t.Context(), d.w.ep)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return d.open(answer.Body).(*teep.QueryRequest)
}

// open verifies a message of the TAM under its key of the device's suite.
func (d *device) open(body []byte) teep.Message {
	d.w.t.Helper()
	env, err := teep.Open(d.numbering, body)
	if err != nil {
		d.w.t.Fatal(err)
	}
	key := d.w.cfg.Signers.ESP256.PublicKey()
	if d.key.PublicKey().Algorithm() == cosekit.Ed25519 {
		key = d.w.cfg.Signers.Ed25519.PublicKey()
	}
	legacy := d.key.Algorithm() != d.key.PublicKey().Algorithm()
	if legacy {
		expect(d.w.t, "algorithm of the answer", env.Algorithm(), d.key.Algorithm())
	}
	m, err := env.Verify(key, cosekit.LegacyPolicy(legacy))
	if err != nil {
		d.w.t.Fatal(err)
	}
	if q, ok := m.(*teep.QueryRequest); ok {
		if err := q.Check(); err != nil {
			d.w.t.Fatal(err)
		}
		if legacy {
			expect(d.w.t, "the first suite offered", q.CipherSuites[0][0].Algorithm, d.key.Algorithm())
		}
	}
	return m
}

func (d *device) seal(m teep.Message) []byte {
	d.w.t.Helper()
	wire, err := teep.Seal(d.numbering, m, d.key)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return wire
}

func (d *device) properties(of map[string]suit.Digest) (list []suit.PropertyClaims) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		digest := of[name]
		list = append(list, suit.PropertyClaims{Component: component(name), ImageDigest: &digest})
	}
	return list
}

func (d *device) claims(challenge []byte) *attest.Claims {
	measured := d.installed
	if d.lies != nil {
		measured = d.lies
	}
	c := &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: d.ueid,
		OEMID: cosekit.MustMarshal([]byte{1, 2, 3}), HWModel: []byte("board"), HWVersion: "1.0",
		Confirmation: attest.Confirmation{Key: d.key.PublicKey()},
		Manifests:    []attest.ManifestRef{}, IssuedAt: d.w.now.Now(),
	}
	for _, digest := range d.names {
		c.Manifests = append(c.Manifests, attest.ManifestRef{Digest: digest})
	}
	if list := d.properties(measured); list != nil {
		c.Measurements = []attest.Measurement{{Manifest: attest.ManifestRef{Digest: suit.SumSHA256(nil)}, Components: list}}
	}
	return c
}

func (d *device) evidence(challenge []byte, change ...func(*attest.Claims)) *teep.AttestationPayload {
	d.w.t.Helper()
	c := d.claims(challenge)
	for _, f := range change {
		f(c)
	}
	token, err := attest.SignEAT(c, d.attester)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
}

// response answers a QueryRequest as an honest agent does.
func (d *device) response(q *teep.QueryRequest, change ...func(*attest.Claims)) *teep.QueryResponse {
	d.w.t.Helper()
	m := &teep.QueryResponse{Token: q.Token, TCList: d.properties(d.installed), RequestedTCs: d.requested, UnneededManifests: d.unneeded}
	if q.DataItems.Has(teep.ItemAttestation) {
		m.Attestation = d.evidence(q.Challenge, change...)
	}
	return m
}

// respond sends the honest answer to a QueryRequest.
func (d *device) respond(q *teep.QueryRequest, change ...func(*attest.Claims)) tam.Answer {
	d.w.t.Helper()
	return d.w.process(d.seal(d.response(q, change...)))
}

// install lets go of what an Update unlinks, takes over what its manifests install,
// and returns the reports.
func (d *device) install(u *teep.Update) (reports [][]byte) {
	d.w.t.Helper()
	for _, id := range u.UnneededManifests {
		d.w.view(func(r tam.Reader) error {
			known, err := r.ManifestsFor(id, 100)
			for _, m := range known {
				for _, target := range m.Targets {
					delete(d.installed, target.Component.String())
				}
			}
			return err
		})
	}
	for _, envelope := range u.Manifests {
		if bytes.HasPrefix(envelope, []byte{0xd8, 0x6b}) {
			d.w.t.Fatal("the envelope in manifest-list is tagged")
		}
		digest := suit.SumSHA256(append([]byte{0xd8, 0x6b}, envelope...))
		d.w.view(func(r tam.Reader) error {
			m, err := r.Manifest(digest)
			for _, target := range m.Targets {
				d.installed[target.Component.String()] = target.ImageDigest
			}
			return err
		})
		reports = append(reports, d.report(digest, u.Token, nil))
	}
	return reports
}

func (d *device) report(manifest suit.Digest, nonce []byte, failure *suit.ReportFailure) []byte {
	d.w.t.Helper()
	report, err := suit.SignReport(&suit.Report{Reference: suit.Reference{Digest: manifest}, Nonce: nonce, Failure: failure}, d.reportKey)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return report
}

// poll runs a whole session as an honest agent and tells it in words.
func (d *device) poll() string {
	d.w.t.Helper()
	var story []string
	answer, err := d.w.tam.ProcessConnect(d.w.t.Context(), d.w.ep)
	for range 8 {
		if err != nil {
			d.w.t.Fatal(err)
		}
		if answer.Body == nil {
			return strings.Join(append(story, strings.TrimSpace("end "+string(answer.Reason))), ", ")
		}
		switch m := d.open(answer.Body).(type) {
		case *teep.QueryRequest:
			if m.DataItems.Has(teep.ItemAttestation) {
				story = append(story, "challenge")
			} else {
				story = append(story, "token")
			}
			answer = d.respond(m)
		case *teep.Update:
			if m.ErrCode != 0 {
				return strings.Join(append(story, m.ErrCode.String()+" "+string(answer.Reason)), ", ")
			}
			if len(m.UnneededManifests) > 0 {
				story = append(story, "unlink")
			}
			if len(m.Manifests) > 0 {
				story = append(story, "update")
			}
			answer = d.w.process(d.seal(&teep.Success{Token: m.Token, SUITReports: d.install(m)}))
		}
	}
	d.w.t.Fatalf("the session does not end: %v", story)
	return ""
}

// enrol makes the device known, and accepted.
func (d *device) enrol() *device {
	d.w.t.Helper()
	if got, want := d.poll(), "token, challenge, end device-pending"; got != want {
		d.w.t.Fatalf("first contact: %s, want %s", got, want)
	}
	d.setState(devices.Accepted)
	return d
}

type digest = suit.Digest

func sum(image string) suit.Digest { return suit.SumSHA256([]byte(image)) }

func expectContains(t testing.TB, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: %q, want it to contain %q", what, got, want)
	}
}
