package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// edition is one version of a product, made and signed.
type edition struct {
	n        int
	manifest suit.ComponentID
	envelope []byte
	upload   []string // files
	holds    map[string]string
	folder   string
}

// edition makes a version: other bytes in all files, the same names.
func (f *field) edition(t *testing.T, g *gadget, p product, n int) edition {
	t.Helper()
	e := edition{n: n, folder: t.TempDir(), holds: map[string]string{}}
	for file, module := range map[string]struct {
		version int
		healthy bool
	}{"hello.wasm": {n, true}, "broken.wasm": {n, false}, "first.wasm": {1, true}} {
		code, err := sample.Application(strconv.Itoa(module.version), module.healthy)
		if err != nil {
			t.Fatal(err)
		}
		e.write(t, file, code)
	}
	stranger, err := cosekit.GenerateAgreementKey()
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, "stranger.pub", stranger.PublicKey().PEM())
	large := make([]byte, 3*lineBreaks+n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(large) // it never fails
	e.write(t, "same", []byte("the same in every version"))
	e.write(t, "hello.conf", fmt.Appendf(nil, "colour %d", n))
	e.write(t, "motd", fmt.Appendf(nil, "welcome to %d", n))
	e.write(t, "library.bin", fmt.Appendf(nil, "library %d", n))
	e.write(t, "large.bin", large)
	e.write(t, "sbom.cbor", cosekit.MustMarshal(map[int]any{0: "tag-id", 12: n, 1: strings.Repeat("hello", 20)}))
	for _, l := range p.libraries {
		made, envelope := f.make(t, g, l, e, "")
		e.write(t, l.name+".suit", envelope)
		for _, file := range made.Files {
			e.upload = append(e.upload, file.Path)
		}
		if p.apart {
			e.upload = append(e.upload, filepath.Join(e.folder, l.name+".suit"))
		}
	}
	next := ""
	if n > 1 {
		next = p.next
	}
	made, envelope := f.make(t, g, p, e, next)
	e.envelope, e.manifest = envelope, made.Manifest.ComponentID
	for _, file := range made.Files {
		e.upload = append(e.upload, file.Path)
	}
	for component, file := range p.holds {
		e.holds[component] = file
		if file != "*" {
			e.holds[component] = e.sum(t, file)
		}
	}
	return e
}

func (e edition) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.folder, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (e edition) sum(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(e.folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return suit.SumSHA256(content).String()
}

// make is what a publisher does: a manifest of a document, signed.
func (f *field) make(t *testing.T, g *gadget, p product, e edition, more string) (*author.Result, []byte) {
	t.Helper()
	document := strings.NewReplacer(
		"{n}", strconv.Itoa(e.n), "{payloads}", f.server.teepURL+teephttp.PayloadPath,
		"{outside}", f.outside, "{device}", device.DecryptionKeyPath(g.dir), "{kek}", f.kek, "{id}", g.Settings().Identity.Device.String(),
	).Replace(p.document + more)
	path := filepath.Join(e.folder, p.name+".yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := author.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	made, err := author.Create(d)
	if err != nil {
		t.Fatal(err)
	}
	signers := p.signers
	if signers == nil {
		signers = []string{"app"}
	}
	envelope, err := suit.Sign(made.Manifest, made.Payloads, f.publishers[signers[0]])
	for _, more := range signers[1:] {
		if err == nil {
			envelope, err = envelope.Countersign(f.publishers[more])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := envelope.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return made, encoded
}

// publish brings an edition to the TAM.
func (f *field) publish(t *testing.T, e edition) (digest string) {
	t.Helper()
	for _, file := range e.upload {
		if err := f.operator.upload(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := f.operator.publish(t.Context(), e.envelope)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// deliver is two polls: one for the update, one for the evidence that it is there.
func (f *field) deliver(t *testing.T, g *gadget, e edition) {
	t.Helper()
	g.poll(t)
	if s := f.status(t, g, e.manifest); s.State != client.ComponentStateClaimed || !s.Report.Completed || len(s.Report.Lines) == 0 {
		t.Fatalf("the TAM has %s, %d as %s: %s %q\n%s", e.manifest, s.Sequence, s.State, s.Reason, s.Report.Lines, g.story())
	}
	for _, r := range f.reports(t, g) {
		if !r.Encrypted() {
			t.Error("a report is not encrypted")
		}
	}
	g.poll(t)
	if s := f.status(t, g, e.manifest); s.State != client.ComponentStateConfirmed || s.Sequence != uint64(e.n) {
		t.Fatalf("the TAM has %s, %d as %s: %s", e.manifest, s.Sequence, s.State, s.Reason)
	}
	f.holding(t, g, e)
}

// holding wants the device, and what it attested, to have what the edition installs.
func (f *field) holding(t *testing.T, g *gadget, e edition) {
	t.Helper()
	held := g.holds(t)
	for component, digest := range e.holds {
		if digest == "*" && held[component] != "" {
			held[component] = "*"
		}
	}
	if !maps.Equal(held, e.holds) {
		t.Errorf("the device holds\n%v, want\n%v", held, e.holds)
	}
	listed := map[string]string{}
	for _, item := range f.detail(t, g).Inventory {
		listed[item.Component] = item.Digest
	}
	for component, digest := range e.holds {
		if listed[component] != digest && (digest != "*" || listed[component] == "") {
			t.Errorf("the TAM lists %s as %q, want %s", component, listed[component], digest)
		}
	}
}

func (f *field) invoke(t *testing.T, g *gadget, p product, e edition) {
	t.Helper()
	g.said = nil
	err := g.Invoke(t.Context(), e.manifest)
	if p.prints == "" {
		return
	}
	want := strings.ReplaceAll(p.prints, "{n}", strconv.Itoa(e.n))
	if said := func(event agent.Event) bool {
		return event.Step == agent.StepOutput && strings.HasSuffix(event.Detail, want)
	}; err != nil || !slices.ContainsFunc(g.said, said) {
		t.Errorf("invoked: %v, it did not print %q\n%s", err, want, g.story())
	}
}

// resumed wants a payload to have come in portions, each where the one before broke.
func (f *field) resumed(t *testing.T, e edition, file string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(e.folder, file))
	if err != nil {
		t.Fatal(err)
	}
	sum := hex.EncodeToString(suit.SumSHA256(content).Bytes)
	portions := f.line.portions(sum)
	sent := 0
	for i, p := range portions {
		want := portion{status: 200, sent: p.sent}
		if i > 0 {
			want = portion{fmt.Sprintf("bytes=%d-", sent), `"sha-256:` + sum + `"`, 206, p.sent}
		}
		if p != want {
			t.Errorf("portion %d: %+v, want %+v", i, p, want)
		}
		sent += p.sent
	}
	if len(portions) != 4 || sent != len(content) {
		t.Errorf("%d bytes in %d portions, want %d in 4", sent, len(portions), len(content))
	}
}

// remove orders the manifest off the device until nothing is left.
func (f *field) remove(t *testing.T, g *gadget, manifest suit.ComponentID) {
	t.Helper()
	f.order(t, g, manifest)
	for _, want := range []client.ComponentState{client.ComponentStateUnlinked, client.ComponentStateRemoved} {
		g.poll(t)
		if s := f.status(t, g, manifest); s.State != want {
			t.Fatalf("the TAM has %s as %s: %s, want %s\n%s", manifest, s.State, s.Reason, want, g.story())
		}
	}
	if held := g.holds(t); len(held) > 0 {
		t.Errorf("the device still holds %v", held)
	}
	if left := f.detail(t, g).Inventory; len(left) > 0 {
		t.Errorf("the TAM still lists %v", left)
	}
	if files := g.left(t); !slices.Equal(files, []string{"index", "lock", "reserve"}) {
		t.Errorf("files are left: %v", files)
	}
	if err := g.Invoke(t.Context(), manifest); err == nil {
		t.Error("what is gone was invoked")
	}
}

// order has the manifest removed. Nothing is required any more.
func (f *field) order(t *testing.T, g *gadget, manifest suit.ComponentID) {
	t.Helper()
	f.unrequire(t, g)
	r, err := f.operator.api.RemoveComponentWithResponse(t.Context(), g.id, client.NewRequirement{Component: manifest.String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		t.Fatal(err)
	}
}

// unrequire ends what operators require of the device.
func (f *field) unrequire(t *testing.T, g *gadget) {
	t.Helper()
	for _, q := range f.detail(t, g).Requirements {
		r, err := f.operator.api.UnrequireComponentWithResponse(t.Context(), g.id, &client.UnrequireComponentParams{Component: q.Component})
		if err != nil {
			t.Fatal(err)
		}
		if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
			t.Fatal(err)
		}
	}
}
