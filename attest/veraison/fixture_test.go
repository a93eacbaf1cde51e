package veraison

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/veraison/veraisontest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/ccatoken"
	"github.com/veraison/ccatoken/platform"
	"github.com/veraison/ccatoken/realm"
	"github.com/veraison/go-cose"
	"github.com/veraison/psatoken"
)

var (
	now       = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	challenge = bytes.Repeat([]byte{0xc4}, 64)
	ueid      = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
	skew      = 30 * time.Second
)

func digest(s string) []byte    { d := sha256.Sum256([]byte(s)); return d[:] }
func digest512(s string) []byte { d := sha512.Sum512([]byte(s)); return d[:] }
func instance(s string) []byte  { return append([]byte{1}, digest(s)...) }

var deviceKeys = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
	keys := map[string]*ecdsa.PrivateKey{}
	for name, curve := range map[string]elliptic.Curve{
		"psa": elliptic.P256(), "cca": elliptic.P256(), "realm": elliptic.P384(), "stranger": elliptic.P256(),
	} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

var (
	reference = []veraisontest.Component{{Type: "BL", Measurement: digest("firmware")}}
	registers = [][]byte{digest512("0"), digest512("1"), digest512("2"), digest512("3")}
)

// provisioned are the devices that the Veraison of a test knows.
func provisioned() []veraisontest.Device {
	return []veraisontest.Device{
		{ImplementationID: digest("psa"), InstanceID: instance("psa"), Key: deviceKeys()["psa"].Public(), Components: reference},
		{
			ImplementationID: digest("cca"), InstanceID: instance("cca"), Key: deviceKeys()["cca"].Public(),
			Components: reference, Config: []byte{1, 2, 3},
			Realm: veraisontest.Realm{InitialMeasurement: digest512("realm"), Personalization: digest512("personalization"), Extensible: registers},
		},
	}
}

// faults are what is wrong with a token.
type faults struct {
	key       string // that signs in place of the right one
	firmware  string
	instance  string
	nonce     []byte
	lifecycle uint16
	noVersion bool // of the firmware
}

func coseSigner(t testing.TB, name string) cose.Signer {
	t.Helper()
	key, alg := deviceKeys()[name], cose.AlgorithmES256
	if key.Curve == elliptic.P384() {
		alg = cose.AlgorithmES384
	}
	s, err := cose.NewSigner(alg, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func pick[T comparable](good, bad T) T {
	var zero T
	if bad != zero {
		return bad
	}
	return good
}

func firmware(t testing.TB, f faults) []psatoken.ISwComponent {
	t.Helper()
	c := &psatoken.SwComponent{}
	must(t, c.SetMeasurementValue(digest(pick("firmware", f.firmware))), c.SetSignerID(digest("signer")),
		c.SetMeasurementType("BL"))
	if !f.noVersion {
		must(t, c.SetVersion("1"))
	}
	return []psatoken.ISwComponent{c}
}

func psa(t testing.TB, nonce []byte, f faults) []byte {
	t.Helper()
	c, err := psatoken.NewClaims(psatoken.Profile2Name)
	must(t, err)
	if f.nonce != nil {
		nonce = f.nonce
	}
	must(t, c.SetNonce(nonce), c.SetImplID(digest("psa")), c.SetInstID(instance(pick("psa", f.instance))), c.SetClientID(1),
		c.SetSecurityLifeCycle(pick(0x3000, f.lifecycle)), c.SetBootSeed(digest("seed")), c.SetSoftwareComponents(firmware(t, f)))
	e := psatoken.Evidence{Claims: c}
	token, err := e.ValidateAndSign(coseSigner(t, pick("psa", f.key)))
	must(t, err)
	return token
}

func cca(t testing.TB, nonce []byte, f faults) []byte {
	t.Helper()
	key := deviceKeys()["realm"]
	point, err := key.PublicKey.Bytes()
	must(t, err)
	public := cosekit.MustMarshal(map[int]any{1: 2, -1: 2, -2: point[1:49], -3: point[49:]})
	r := realm.NewClaims()
	if f.nonce != nil {
		nonce = f.nonce
	}
	must(t, r.SetChallenge(nonce), r.SetPersonalizationValue(digest512("personalization")), r.SetInitialMeasurement(digest512("realm")),
		r.SetExtensibleMeasurements(registers),
		r.SetHashAlgID("sha-512"), r.SetPubKey(public), r.SetPubKeyHashAlgID("sha-256"))
	p := platform.NewClaims()
	bound := sha256.Sum256(public)
	must(t, p.SetNonce(bound[:]), p.SetImplID(digest("cca")), p.SetInstID(instance(pick("cca", f.instance))),
		p.SetSecurityLifeCycle(pick(0x3000, f.lifecycle)), p.SetSoftwareComponents(firmware(t, f)), p.SetConfig([]byte{1, 2, 3}),
		p.SetHashAlgID("sha-256"))
	var e ccatoken.Evidence
	must(t, e.SetClaims(p, r))
	token, err := e.ValidateAndSign(coseSigner(t, pick("cca", f.key)), coseSigner(t, "realm"))
	must(t, err)
	return token
}

func agentKey() *cosekit.PublicKey { return signer().PublicKey() }

func signer() cosekit.Signer {
	s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return s
}

// bundle binds a PSA token to the agent's key.
func bundle(t testing.TB, nonce []byte, f faults) []byte {
	t.Helper()
	set, err := attest.EncodeClaims(&attest.Claims{Nonce: nonce, UEID: ueid, Confirmation: attest.Confirmation{Key: agentKey()}})
	must(t, err)
	inner, err := evidence.BindingDigest(veraisontest.MediaPSA, set)
	must(t, err)
	payload, err := evidence.EncodeBundle(set, psa(t, inner, f))
	must(t, err)
	return payload
}

// kinds are the forms of evidence that go through each test.
var kinds = []struct {
	name, format string
	make         func(testing.TB, []byte, faults) []byte
}{
	{"PSA", veraisontest.MediaPSA, psa},
	{"PSA by profile", veraisontest.MediaPSAProfile, psa},
	{"CCA", veraisontest.MediaCCA, cca},
	{"bundle", evidence.BundleFormat(veraisontest.MediaPSA), bundle},
}

func sample(t testing.TB, kind int, f faults) attest.Evidence {
	t.Helper()
	return attest.Evidence{Format: kinds[kind].format, Payload: kinds[kind].make(t, challenge, f), Challenge: challenge}
}

// verifier is a Veraison, its client, and the router in front of it.
type verifier struct {
	*veraisontest.Server
	client *Client
	router *evidence.Router

	mu     sync.Mutex
	time   time.Time
	waits  []time.Duration
	events []Event
}

func (v *verifier) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.time
}

func (v *verifier) advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.time = v.time.Add(d)
}

// start runs a verifier whose client waits for nothing, and knows when it would have.
func start(t testing.TB, change func(*Config)) *verifier {
	t.Helper()
	v := &verifier{time: now}
	v.Server = veraisontest.Start(v.now, provisioned()...)
	transport := &http.Transport{}
	config := Config{
		Name: "veraison", URL: v.URL, HTTP: &http.Client{Transport: transport},
		Keys: []ear.Key{{Name: "pinned", Public: v.Key.Public()}}, Skew: skew,
		Timeout: time.Minute, Clock: v.now, Random: func() float64 { return 0.5 },
		Wait: func(ctx context.Context, d time.Duration) error {
			v.mu.Lock()
			v.waits = append(v.waits, d)
			v.mu.Unlock()
			return ctx.Err()
		},
		Observe: func(e Event) {
			v.mu.Lock()
			v.events = append(v.events, e)
			v.mu.Unlock()
		},
	}
	if change != nil {
		change(&config)
	}
	client, err := New(config)
	must(t, err)
	v.client = client
	v.router = evidence.NewRouter(evidence.Route{Name: "veraison", Accepts: client.Accepts, Verifier: client})
	t.Cleanup(func() {
		client.Close()
		transport.CloseIdleConnections()
		v.Close()
	})
	return v
}
