package agent_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

const vendor, class = "example.com", "lamp"

var (
	now       = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	token     = bytes.Repeat([]byte{0x70}, 32)
	challenge = bytes.Repeat([]byte{0xc4}, 32)
)

func generate(t testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world is an agent with everybody that it meets.
type world struct {
	t         testing.TB
	numbering teep.Numbering

	tam, tamEd, stranger                cosekit.Signer
	publisher, narrow, mallory, retired cosekit.Signer
	key, reportKey, attestKey           cosekit.Signer

	dir    string
	store  *tee.Store
	agent  *agent.Agent
	events []agent.Event
}

// newWorld makes an agent that trusts two keys of a TAM, a publisher of everything
// and one of app/narrow.
func newWorld(t testing.TB, change ...func(*agent.Config)) *world {
	t.Helper()
	w := &world{
		t: t, dir: filepath.Join(t.TempDir(), "store"),
		tam: generate(t, cosekit.ESP256), tamEd: generate(t, cosekit.Ed25519), stranger: generate(t, cosekit.ESP256),
		publisher: generate(t, cosekit.Ed25519), narrow: generate(t, cosekit.Ed25519), mallory: generate(t, cosekit.Ed25519),
		retired: generate(t, cosekit.Ed25519),
		key:     generate(t, cosekit.ESP256), reportKey: generate(t, cosekit.ESP256), attestKey: generate(t, cosekit.ESP256),
	}
	otherVendor := author.VendorID("other.example")
	anchors, err := anchor.NewStore(
		anchor.Anchor{Key: w.tam.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}},
		anchor.Anchor{Key: w.tamEd.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}},
		anchor.Anchor{Key: w.publisher.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}},
		anchor.Anchor{Key: w.narrow.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner},
			Constraints: anchor.Constraints{Components: []suit.ComponentID{id(t, "app/narrow")}}},
		anchor.Anchor{Key: w.retired.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner},
			Constraints: anchor.Constraints{VendorIDs: [][]byte{otherVendor[:]}}},
		anchor.Anchor{Key: w.stranger.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}, NotAfter: now.Add(-time.Hour)},
	)
	if err != nil {
		t.Fatal(err)
	}
	identity := processor.Identity{Vendor: author.VendorID(vendor), Class: author.ClassID(author.VendorID(vendor), class)}
	if w.store, err = tee.Open(w.dir, identity); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	clock := func() time.Time { return now }
	device := attest.Claims{
		UEID: append([]byte{1}, make([]byte, 16)...), OEMID: cosekit.MustMarshal(make([]byte, 16)),
		HWModel: []byte("lamp"), HWVersion: "1",
	}
	config := agent.Config{
		TAM: "https://tam.example/tam", Key: w.key, ReportKey: w.reportKey, Anchors: anchors,
		Components: w.store, Memory: w.store, Attester: tee.NewAttester(w.store, w.attestKey, device, clock),
		Clock: clock, Observe: func(e agent.Event) { w.events = append(w.events, e) },
	}
	for _, c := range change {
		c(&config)
	}
	w.numbering = config.Numbering
	if w.agent, err = agent.New(config); err != nil {
		t.Fatal(err)
	}
	return w
}

func id(t testing.TB, s string) suit.ComponentID {
	t.Helper()
	c, err := suit.ParseComponentID(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// release describes one manifest of a test.
type release struct {
	component string
	sequence  uint64
	image     string
	signer    cosekit.Signer
	class     string // "lamp" where empty
	uri       string // of the manifest
	name      string // manifest-component-id; the author's choice where empty, none where "-"
	spoil     func(payloads map[string][]byte)
	describe  func(*author.Description)
	cosigner  cosekit.Signer // signs after signer
}

func (w *world) envelope(r release) []byte {
	w.t.Helper()
	if r.class == "" {
		r.class = class
	}
	d := &author.Description{
		Component: id(w.t, r.component), SequenceNumber: r.sequence, VendorDomain: vendor, ClassInfo: r.class,
		Payload: author.Payload{Integrated: true},
	}
	if r.describe != nil {
		r.describe(d)
	}
	m, payloads, err := author.CreateFrom(d, strings.NewReader(r.image))
	if err != nil {
		w.t.Fatal(err)
	}
	if r.spoil != nil {
		r.spoil(payloads)
	}
	m.ReferenceURI = r.uri
	switch r.name {
	case "":
	case "-":
		m.ComponentID = nil
	default:
		m.ComponentID = id(w.t, r.name)
	}
	e, err := suit.NewEnvelope(m, payloads)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.signer != nil {
		if e, err = e.Sign(r.signer); err != nil {
			w.t.Fatal(err)
		}
	}
	if r.cosigner != nil {
		if e, err = e.Countersign(r.cosigner); err != nil {
			w.t.Fatal(err)
		}
	}
	data, err := e.Encode(false)
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

func (w *world) seal(m teep.Message, signer cosekit.Signer) []byte {
	w.t.Helper()
	wire, err := teep.Seal(w.numbering, m, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	return wire
}

// signed is a payload that teep would not encode, under a signature.
func (w *world) signed(payload []byte, signer cosekit.Signer) []byte {
	w.t.Helper()
	wire, err := cosekit.Sign1(signer, payload, cosekit.Form{})
	if err != nil {
		w.t.Fatal(err)
	}
	return wire
}

// deliver gives the agent a message and returns its answer, whose signature has been
// checked; nil for none.
func (w *world) deliver(wire []byte) (teep.Message, error) {
	w.t.Helper()
	answer, err := w.agent.ProcessTeepMessage(w.t.Context(), wire)
	if answer == nil {
		return nil, err
	}
	envelope, fault := teep.Open(w.numbering, answer)
	if fault != nil {
		w.t.Fatalf("answer: %v", fault)
	}
	m, fault := envelope.Verify(w.key.PublicKey(), false)
	if fault != nil {
		w.t.Fatalf("answer: %v", fault)
	}
	return m, err
}

// must delivers a message that is answered without a complaint.
func must[T teep.Message](w *world, m teep.Message) T {
	w.t.Helper()
	answer, err := w.deliver(w.seal(m, w.tam))
	if err != nil {
		w.t.Fatal(err)
	}
	typed, ok := answer.(T)
	if !ok {
		w.t.Fatalf("answer is %T: %+v", answer, answer)
	}
	return typed
}

// mustError delivers a message that is answered with an Error.
func (w *world) mustError(wire []byte, code teep.ErrorCode, cause error) *teep.Error {
	w.t.Helper()
	answer, err := w.deliver(wire)
	if !errors.Is(err, cause) {
		w.t.Fatalf("error is %v, want %v", err, cause)
	}
	e, ok := answer.(*teep.Error)
	if !ok || e.Code != code {
		w.t.Fatalf("answer is %T %+v, want Error %s", answer, answer, code)
	}
	return e
}

// reports opens the reports of an answer to an Update that had token.
func (w *world) reports(list [][]byte) []*suit.Report {
	w.t.Helper()
	out := make([]*suit.Report, len(list))
	for i, data := range list {
		signed, err := suit.OpenReport(data)
		if err != nil {
			w.t.Fatal(err)
		}
		if out[i], err = signed.Verify(w.reportKey.PublicKey(), false); err != nil {
			w.t.Fatal(err)
		}
		if !bytes.Equal(out[i].Nonce, token) {
			w.t.Errorf("report %d has nonce %x, want the token", i, out[i].Nonce)
		}
	}
	return out
}

// tree is every file below the store with its content, without those that skip names.
func (w *world) tree(skip ...string) string {
	w.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		for _, name := range skip {
			if d.Name() == name {
				return nil
			}
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(data) + "\n")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

// tamper changes the file that is exactly this image.
func (w *world) tamper(image, changed string) {
	w.t.Helper()
	files, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(w.dir, f.Name())
		if data, err := os.ReadFile(path); err == nil && string(data) == image {
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatalf("no file holds %q", image)
}

// installed is what the store reports, as text.
func (w *world) installed() string {
	w.t.Helper()
	list, err := w.store.Installed(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.ID.String() + " " + c.Digest.String() + "\n")
	}
	return b.String()
}

func TestNewRefusesAnIncompleteConfiguration(t *testing.T) {
	postQuantum := generate(t, cosekit.MLDSA44)
	for name, spoil := range map[string]func(*agent.Config){
		"one key for messages and reports": func(c *agent.Config) { c.ReportKey = c.Key },
		"no TAM":                           func(c *agent.Config) { c.TAM = "" },
		"no key":                           func(c *agent.Config) { c.Key = nil },
		"a message key for manifests":      func(c *agent.Config) { c.Key = postQuantum },
		"a report key for manifests":       func(c *agent.Config) { c.ReportKey = postQuantum },
		"no attester":                      func(c *agent.Config) { c.Attester = nil },
	} {
		var got error
		newWorld(t, func(c *agent.Config) {
			spoilt := *c
			spoil(&spoilt)
			_, got = agent.New(spoilt)
		})
		if got == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRequestTA(t *testing.T) {
	w := newWorld(t)
	hello := teep.RequestedTC{Component: id(t, "app/hello")}
	if uri, err := w.agent.RequestTA(hello); uri != "https://tam.example/tam" || err != nil {
		t.Fatalf("RequestTA: %q, %v", uri, err)
	}
	if uri := w.agent.RequestPolicyCheck(); uri != "https://tam.example/tam" {
		t.Errorf("RequestPolicyCheck: %q", uri)
	}
	r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents))
	if len(r.RequestedTCs) != 1 || !r.RequestedTCs[0].Component.Equal(hello.Component) {
		t.Errorf("requested %+v", r.RequestedTCs)
	}
	must[*teep.Success](w, w.update(release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher}))
	if uri, err := w.agent.RequestTA(hello); uri != "" || err != nil {
		t.Errorf("RequestTA of what is installed: %q, %v", uri, err)
	}
	if r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents)); len(r.RequestedTCs) != 0 {
		t.Errorf("still requested: %+v", r.RequestedTCs)
	}
	other := teep.RequestedTC{Component: id(t, "app/other")}
	if _, err := w.agent.RequestTA(other); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"https://tam.example/tam", ""} {
		if uri, err := w.agent.UnrequestTA(other.Component); uri != want || err != nil {
			t.Errorf("UnrequestTA %d: %q, %v", i, uri, err)
		}
	}
}
