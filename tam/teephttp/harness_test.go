package teephttp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

// must is for what cannot fail unless the test itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// cast holds the keys of everybody around the devices.
type cast struct {
	tam       tam.Signers
	attester  cosekit.Signer // what all genuine devices attest with
	factory   cosekit.Signer // another attestation key that the TAM trusts
	publisher cosekit.Signer
}

func newCast() *cast {
	return &cast{
		tam: tam.Signers{
			ESP256:  must(cosekit.GenerateSigner(cosekit.ESP256)),
			Ed25519: must(cosekit.GenerateSigner(cosekit.Ed25519)),
		},
		attester:  must(cosekit.GenerateSigner(cosekit.ESP256)),
		factory:   must(cosekit.GenerateSigner(cosekit.ESP256)),
		publisher: must(cosekit.GenerateSigner(cosekit.Ed25519)),
	}
}

// testClock is the time of a TAM.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// replica is one TAM process: its own connections to a database file that it may
// share with others, its own clock, its own HTTP handler.
type replica struct {
	store   *store.SQLite
	tam     *tam.TAM
	clock   *testClock
	handler http.Handler
}

// startReplica opens the database and starts a TAM on it. stop ends both.
func startReplica(ctx context.Context, path string, o store.Options, c *cast, now time.Time, endpoints []*tam.Endpoint) *replica {
	r := &replica{clock: &testClock{now: now}}
	r.store = must(store.OpenSQLite(ctx, path, o))
	r.tam = must(tam.New(ctx, tam.Config{
		Store:    r.store,
		Verifier: local.New(local.KeysOnly(attestationKeys{r.store}), local.Options{Clock: r.clock.Now}),
		Signers:  c.tam,
		Clock:    r.clock.Now,
	}))
	r.handler = must(teephttp.New(r.tam, endpoints, nil, teephttp.Options{Limits: teephttp.Limits{PerAddress: -1, Total: -1}}))
	return r
}

func (r *replica) stop() {
	if err := r.store.Close(); err != nil {
		panic(err)
	}
}

func (r *replica) update(ctx context.Context, fn func(tam.Tx) error) {
	if err := r.store.Update(ctx, fn); err != nil {
		panic(err)
	}
}

// attestationKeys gives the built-in verifier the keys in the store.
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

// request is an HTTP request of a device. The zero method is POST; with a body it
// has the headers that our agent sends, but for what change says.
type request struct {
	at     int // which replica
	method string
	path   string
	body   []byte
	change func(*http.Request)
}

// reply is what came back.
type reply struct {
	status int
	reason tam.Reason // of the debug header
	body   []byte
}

func (r *replica) do(ctx context.Context, q request) reply {
	if q.method == "" {
		q.method = http.MethodPost
	}
	h := httptest.NewRequestWithContext(ctx, q.method, q.path, bytes.NewReader(q.body))
	h.Header.Set("Accept", teep.MediaType)
	if len(q.body) > 0 {
		h.Header.Set("Content-Type", teep.MediaType)
	}
	if q.change != nil {
		q.change(h)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, h)
	answer := w.Result()
	return reply{answer.StatusCode, tam.Reason(answer.Header.Get("Tamarack-Reason")), must(io.ReadAll(answer.Body))}
}

// virtualDevice is an agent with its attester. It says what it is told to say,
// signed for real.
type virtualDevice struct {
	name      string
	cast      *cast
	numbering teep.Numbering
	key       cosekit.Signer
	reportKey cosekit.Signer
	attester  cosekit.Signer
	ueid      []byte
	holds     map[string]suit.Digest // by component, in text
}

func (c *cast) device(name string, n teep.Numbering, alg cosekit.Algorithm) *virtualDevice {
	ueid := make([]byte, 17)
	rand.Read(ueid)
	ueid[0] = 1
	return &virtualDevice{
		name: name, cast: c, numbering: n, attester: c.attester, ueid: ueid, holds: map[string]suit.Digest{},
		key: must(cosekit.GenerateSigner(alg)), reportKey: must(cosekit.GenerateSigner(alg)),
	}
}

func (d *virtualDevice) thumbprint() cosekit.Thumbprint { return d.key.PublicKey().Thumbprint() }

func (d *virtualDevice) seal(m teep.Message) []byte { return must(teep.Seal(d.numbering, m, d.key)) }

// open verifies a message of the TAM.
func (d *virtualDevice) open(body []byte) (teep.Message, error) {
	envelope, err := teep.Open(d.numbering, body)
	if err != nil {
		return nil, err
	}
	key := d.cast.tam.ESP256
	if d.key.Algorithm() == cosekit.Ed25519 {
		key = d.cast.tam.Ed25519
	}
	return envelope.Verify(key.PublicKey(), false)
}

func (d *virtualDevice) properties() (list []suit.PropertyClaims) {
	for _, name := range slices.Sorted(maps.Keys(d.holds)) {
		digest := d.holds[name]
		list = append(list, suit.PropertyClaims{Component: must(suit.ParseComponentID(name)), ImageDigest: &digest})
	}
	return list
}

// evidence answers a challenge, with claims that are right but for what change says.
func (d *virtualDevice) evidence(challenge []byte, change ...func(*attest.Claims)) *teep.AttestationPayload {
	c := &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: d.ueid,
		OEMID: cosekit.MustMarshal([]byte{1, 2, 3}), HWModel: []byte("board"), HWVersion: "1.0",
		Confirmation: attest.Confirmation{Key: d.key.PublicKey()}, Manifests: []attest.ManifestRef{},
	}
	if held := d.properties(); held != nil {
		c.Measurements = []attest.Measurement{{Manifest: attest.ManifestRef{Digest: suit.SumSHA256(nil)}, Components: held}}
	}
	for _, f := range change {
		f(c)
	}
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: must(attest.SignEAT(c, d.attester))}
}

// response answers a QueryRequest as an honest agent does.
func (d *virtualDevice) response(q *teep.QueryRequest) *teep.QueryResponse {
	m := &teep.QueryResponse{Token: q.Token, TCList: d.properties()}
	if q.DataItems.Has(teep.ItemAttestation) {
		m.Attestation = d.evidence(q.Challenge)
	}
	return m
}

func (d *virtualDevice) report(manifest suit.Digest, nonce []byte, failure *suit.ReportFailure) []byte {
	return must(suit.SignReport(&suit.Report{Reference: suit.Reference{Digest: manifest}, Nonce: nonce, Failure: failure}, d.reportKey))
}

// connect fetches a QueryRequest.
func (d *virtualDevice) connect(ctx context.Context, r *replica, path string) *teep.QueryRequest {
	return d.answer(r.do(ctx, request{path: path})).(*teep.QueryRequest)
}

// send posts a message and returns what the TAM answers; nil for nothing.
func (d *virtualDevice) send(ctx context.Context, r *replica, path string, m teep.Message) teep.Message {
	return d.answer(r.do(ctx, request{path: path, body: d.seal(m)}))
}

func (d *virtualDevice) answer(a reply) teep.Message {
	if a.status == http.StatusNoContent {
		return nil
	}
	return must(d.open(a.body))
}

// enrol makes the device known to the TAM by its evidence, and accepted.
func (d *virtualDevice) enrol(ctx context.Context, r *replica, path string) *virtualDevice {
	q := d.connect(ctx, r, path)
	for q != nil {
		q, _ = d.send(ctx, r, path, d.response(q)).(*teep.QueryRequest)
	}
	r.update(ctx, func(tx tam.Tx) error {
		record, err := tx.DeviceByUEID(d.ueid)
		if err != nil {
			return err
		}
		record.State = devices.Accepted
		return tx.PutDevice(record)
	})
	return d
}

// require makes the TAM want a component on the device.
func (d *virtualDevice) require(ctx context.Context, r *replica, component string) {
	r.update(ctx, func(tx tam.Tx) error {
		record, err := tx.DeviceByUEID(d.ueid)
		if err != nil {
			return err
		}
		return tx.PutRequirement(devices.Requirement{Device: record.ID, Component: must(suit.ParseComponentID(component)), CreatedAt: r.clock.Now()})
	})
}

// publish adds a manifest that installs the image. The TAM hands its envelope over
// as it is, and so need not be one that a device would take.
func (c *cast) publish(ctx context.Context, r *replica, component string, image []byte) tam.Manifest {
	envelope := append([]byte{0xd8, 0x6b}, cosekit.MustMarshal(map[int][]byte{2: []byte(component), 3: image})...)
	m := tam.Manifest{
		Digest: suit.SumSHA256(envelope), Component: must(suit.ParseComponentID(component + "/manifest")), Sequence: 1,
		Signer:  c.publisher.PublicKey().Thumbprint(),
		Targets: []tam.Target{{Component: must(suit.ParseComponentID(component)), ImageDigest: suit.SumSHA256(image), ImageSize: uint64(len(image))}},
		Size:    int64(len(envelope)), PublishedAt: r.clock.Now(), PublishedBy: "operator:test",
	}
	r.update(ctx, func(tx tam.Tx) error { return tx.AddManifest(m, envelope) })
	return m
}

// trust registers the attestation keys and the publisher.
func (c *cast) trust(ctx context.Context, r *replica) {
	r.update(ctx, func(tx tam.Tx) error {
		return errors.Join(
			tx.AddAnchor(anchor.Anchor{Key: c.attester.PublicKey(), Title: "factory", Purposes: []anchor.Purpose{anchor.Attester}}),
			tx.AddAnchor(anchor.Anchor{Key: c.factory.PublicKey(), Title: "another factory", Purposes: []anchor.Purpose{anchor.Attester}}),
			tx.AddAnchor(anchor.Anchor{Key: c.publisher.PublicKey(), Title: "publisher", Purposes: []anchor.Purpose{anchor.TCSigner}}))
	})
}
