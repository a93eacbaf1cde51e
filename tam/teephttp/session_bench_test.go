package teephttp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

// concurrency is how many sessions are under way at once.
const concurrency = 64

// BenchmarkSession runs token sessions through the HTTP handler on a SQLite file.
// A poll is connect, QueryRequest, QueryResponse, 204; an update goes on with
// Update, Success with a signed report, 204. x-floor is the CPU time of all of it,
// both ends, over that of the signatures and verifications in it, measured in the
// same run on messages of the same session.
func BenchmarkSession(b *testing.B) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		b.Run("poll/"+cosekit.AlgorithmName(alg), func(b *testing.B) { benchmarkSessions(b, alg, false) })
		b.Run("update/"+cosekit.AlgorithmName(alg), func(b *testing.B) { benchmarkSessions(b, alg, true) })
	}
}

func benchmarkSessions(b *testing.B, alg cosekit.Algorithm, update bool) {
	newFleet(b, alg).benchmark(b, update)
}

func (f *fleet) benchmark(b *testing.B, update bool) {
	agents := f.enrol(b, b.N, update)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(agents)); i = next.Add(1) - 1 {
				if err := f.session(b.Context(), agents[i], update); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	spent := cpuTime(b) - before
	b.StopTimer()
	floor := f.floor(b, update)
	b.ReportMetric(float64(spent)/float64(b.N)/float64(floor), "x-floor")
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
}

// fleet is a TAM on SQLite with its handler, and a manifest to deliver.
type fleet struct {
	alg     cosekit.Algorithm
	store   *store.SQLite
	handler http.Handler
	tamKey  cosekit.Signer
	report  cosekit.Signer
	target  suit.ComponentID
	devices int // so far
}

type virtualAgent struct {
	key    cosekit.Signer
	device devices.ID
}

func newFleet(b *testing.B, alg cosekit.Algorithm) *fleet {
	f := &fleet{alg: alg, target: suit.ComponentID{[]byte("app"), []byte("bench")}}
	var err error
	if f.store, err = store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "tam.db"), store.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			b.Error(err)
		}
	})
	signers := tam.Signers{ESP256: newKey(b, cosekit.ESP256), Ed25519: newKey(b, cosekit.Ed25519)}
	f.tamKey = signers.ESP256
	if alg == cosekit.Ed25519 {
		f.tamKey = signers.Ed25519
	}
	f.report = newKey(b, alg)
	t, err := tam.New(b.Context(), tam.Config{Store: f.store, Verifier: noVerifier{}, Signers: signers})
	if err != nil {
		b.Fatal(err)
	}
	payloads, err := store.OpenPayloads(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	f.handler, err = teephttp.New(t, []*tam.Endpoint{{Path: "/tam"}}, payloads,
		teephttp.Options{Limits: teephttp.Limits{PerAddress: -1, Total: -1}})
	if err != nil {
		b.Fatal(err)
	}
	f.publish(b)
	return f
}

// noVerifier stands where token sessions never come.
type noVerifier struct{}

func (noVerifier) Appraise(context.Context, attest.Evidence) (*attest.Result, error) {
	return nil, fmt.Errorf("a token session asks for no appraisal")
}

func newKey(b *testing.B, alg cosekit.Algorithm) cosekit.Signer {
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (f *fleet) publish(b *testing.B) {
	publisher := newKey(b, cosekit.ESP256)
	manifest, payloads, err := author.CreateFrom(&author.Description{
		Component: f.target, SequenceNumber: 1, VendorDomain: "example.com", ClassInfo: "bench",
		Payload: author.Payload{URIBase: "https://tam.example.com/payloads"},
	}, strings.NewReader("the payload"))
	if err != nil {
		b.Fatal(err)
	}
	signed, err := suit.Sign(manifest, payloads, publisher)
	if err != nil {
		b.Fatal(err)
	}
	envelope, err := signed.Encode(true)
	if err != nil {
		b.Fatal(err)
	}
	update(b, f.store, func(tx tam.Tx) error {
		if err := tx.AddAnchor(anchor.Anchor{Key: publisher.PublicKey(), Title: "publisher", Purposes: []anchor.Purpose{anchor.TCSigner}}); err != nil {
			return err
		}
		return tx.AddManifest(tam.Manifest{
			Digest: suit.SumSHA256(envelope), Component: manifest.ComponentID, Sequence: 1,
			Signer:  publisher.PublicKey().Thumbprint(),
			Targets: []tam.Target{{Component: f.target, ImageDigest: suit.SumSHA256([]byte("the payload"))}},
			Size:    int64(len(envelope)), PublishedAt: time.Now(), PublishedBy: "operator:bench",
		}, envelope)
	})
}

func update(b *testing.B, s tam.Store, fn func(tam.Tx) error) {
	if err := s.Update(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

// enrol registers accepted and freshly attested devices, as their first contact would.
func (f *fleet) enrol(b *testing.B, n int, required bool) []virtualAgent {
	agents := make([]virtualAgent, n)
	now := time.Now()
	first := f.devices
	f.devices += n
	for i := 0; i < n; i += 1000 {
		update(b, f.store, func(tx tam.Tx) error {
			for j := i; j < min(n, i+1000); j++ {
				id := deviceID(first + j)
				agents[j] = virtualAgent{newKey(b, f.alg), id}
				if err := f.put(tx, first+j, agents[j].key.PublicKey(), now); err != nil {
					return err
				}
				if required {
					if err := tx.PutRequirement(devices.Requirement{Device: id, Component: f.target, CreatedAt: now}); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return agents
}

func deviceID(n int) devices.ID { return devices.ID(fmt.Sprintf("%08d", n)) }

func (f *fleet) put(tx tam.Tx, n int, key *cosekit.PublicKey, now time.Time) error {
	ueid := binary.BigEndian.AppendUint64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, uint64(n))
	if err := tx.PutDevice(devices.Device{ID: deviceID(n), UEID: ueid, State: devices.Accepted, CreatedAt: now, UpdatedAt: now}); err != nil {
		return err
	}
	return tx.PutAgent(devices.Agent{Key: key, Device: deviceID(n), CreatedAt: now, LastSeen: now, AttestedAt: now})
}

// session is one whole token session. It fails where the TAM strays from the script.
func (f *fleet) session(ctx context.Context, a virtualAgent, wantUpdate bool) error {
	message, err := f.post(ctx, nil)
	if err != nil {
		return err
	}
	query, ok := message.(*teep.QueryRequest)
	if !ok || len(query.Token) == 0 {
		return fmt.Errorf("connect was answered by %T", message)
	}
	message, err = f.send(ctx, a, &teep.QueryResponse{Token: query.Token})
	if err != nil {
		return err
	}
	if !wantUpdate {
		if message != nil {
			return fmt.Errorf("the poll was answered by %T", message)
		}
		return nil
	}
	u, ok := message.(*teep.Update)
	if !ok || len(u.Manifests) != 1 {
		return fmt.Errorf("the QueryResponse was answered by %T", message)
	}
	envelope, err := suit.Decode(u.Manifests[0])
	if err != nil {
		return err
	}
	report, err := suit.SignReport(&suit.Report{Reference: suit.Reference{Digest: envelope.Digest()}, Nonce: u.Token}, f.report)
	if err != nil {
		return err
	}
	message, err = f.send(ctx, a, &teep.Success{Token: u.Token, SUITReports: [][]byte{report}})
	if err == nil && message != nil {
		err = fmt.Errorf("Success was answered by %T", message)
	}
	return err
}

func (f *fleet) send(ctx context.Context, a virtualAgent, m teep.Message) (teep.Message, error) {
	wire, err := teep.Seal(teep.IANA, m, a.key)
	if err != nil {
		return nil, err
	}
	return f.post(ctx, wire)
}

// post returns the verified answer, nil for 204.
func (f *fleet) post(ctx context.Context, body []byte) (teep.Message, error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/tam", bytes.NewReader(body))
	r.Header.Set("Accept", teep.MediaType)
	r.Header.Set("Content-Type", teep.MediaType)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	switch w.Code {
	case http.StatusNoContent:
		return nil, nil
	case http.StatusOK:
		envelope, err := teep.Open(teep.IANA, w.Body.Bytes())
		if err != nil {
			return nil, err
		}
		return envelope.Verify(f.tamKey.PublicKey(), false)
	}
	return nil, fmt.Errorf("HTTP status %d", w.Code)
}

// floor is the CPU time of the signatures and verifications of one session and
// nothing else: the bare operations of the standard library, over contents of the
// size that messages have.
func (f *fleet) floor(b *testing.B, withUpdate bool) time.Duration {
	esp256, ed25519 := bareESP256(b), bareEd25519(b)
	own, other := esp256, ed25519
	if f.alg == cosekit.Ed25519 {
		own, other = ed25519, esp256
	}
	// QueryRequest: a signature for each suite, one of them verified. QueryResponse.
	signatures, verifications := 2, 2
	if withUpdate { // Update, report, Success
		signatures, verifications = signatures+3, verifications+3
	}
	const rounds = 500
	before := cpuTime(b)
	for range rounds {
		other.sign()
		for range signatures {
			own.sign()
		}
		for range verifications {
			own.verify()
		}
	}
	return (cpuTime(b) - before) / rounds
}

type bare struct{ sign, verify func() }

func bareESP256(b *testing.B) bare {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 400)
	sign := func() []byte {
		digest := sha256.Sum256(content)
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		return signature
	}
	signature := sign()
	return bare{func() { sign() }, func() {
		digest := sha256.Sum256(content)
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("the signature does not verify")
		}
	}}
}

func bareEd25519(b *testing.B) bare {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 400)
	signature := ed25519.Sign(private, content)
	return bare{func() { ed25519.Sign(private, content) }, func() {
		if !ed25519.Verify(public, content, signature) {
			b.Fatal("the signature does not verify")
		}
	}}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
