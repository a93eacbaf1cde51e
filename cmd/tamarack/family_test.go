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

// product is what a publisher describes: one document for all its versions. {n} stands
// for the version, {payloads} for the TAM's payloads, {device} and {kek} for key files,
// {id} for the device.
type product struct {
	name     string
	document string
	signers  []string // the first signs, the others countersign
	// libraries are products that it depends on, to be found as <name>.suit.
	libraries []product
	// apart says that the TAM has the envelope of the library by itself, as a payload.
	apart bool
	// component is asked for; it is app/hello where it is empty.
	component string
	// holds are the files, by component, that devices have to have then.
	holds map[string]string
	// next are lines for the second version only.
	next string
	// prints is what the application says when it is invoked; empty for none.
	prints string
	// resumed is the file that comes in portions.
	resumed string
}

const identity = "sequence-number: {n}\nversion: {n}.0\nvendor-domain: " + fieldVendor + "\nclass-info: " + fieldClass + "\n"

const greeting = "Hello from a Trusted Application, version {n}."

var library = product{
	name: "crypto", signers: []string{"lib"}, component: "lib/crypto",
	document: identity + `
component: lib/crypto
payload: {file: library.bin, integrated: true}
`,
}

// family are products with all that the SUIT family has.
var family = []product{
	{
		name: "several components", prints: greeting, resumed: "large.bin",
		document: identity + `
components:
  - {id: app/hello, payload: {file: hello.wasm, uri-base: "{payloads}"}, self-test: true}
  - {id: app/hello/conf, payload: {file: hello.conf, integrated: true}}
  - {id: app/hello/motd, payload: {content: "welcome to {n}"}}
  - {id: app/hello/data, payload: {file: large.bin, uri-base: "{payloads}"}}
invoke: {component: app/hello}
`,
		holds: map[string]string{"app/hello": "hello.wasm", "app/hello/conf": "hello.conf", "app/hello/motd": "motd", "app/hello/data": "large.bin"},
	},
	{
		name: "copy and load", prints: greeting,
		document: identity + `
components:
  - {id: app/hello, payload: {file: hello.wasm, uri-base: "{payloads}"}}
  - {id: app/backup, payload: {copy-from: app/hello}}
  - {id: app/ram, payload: {load-from: app/hello}}
invoke: {component: app/ram, args: [--loud, "7"]}
`,
		holds: map[string]string{"app/hello": "hello.wasm", "app/backup": "hello.wasm"},
	},
	{
		name: "encrypted to the device and fetched", prints: greeting, resumed: "large.bin.enc",
		document: identity + `
components:
  - id: app/hello
    payload: {file: hello.wasm, uri-base: "{payloads}", encrypt-to: ["{device}", "{kek}"], content-algorithm: A128CTR}
    self-test: true
  - {id: app/data, payload: {file: large.bin, uri-base: "{payloads}", encrypt-to: "{device}"}}
conditions: {use-before: 2100-01-01}
invoke: {component: app/hello}
`,
		holds: map[string]string{"app/hello": "hello.wasm", "app/hello/encrypted": "hello.wasm.enc", "app/data": "large.bin", "app/data/encrypted": "large.bin.enc"},
	},
	{
		name: "encrypted to the device and inline",
		document: identity + `
component: app/hello
payload: {file: hello.conf, inline: true, encrypt-to: "{device}", content-algorithm: ChaCha20/Poly1305}
`,
		holds: map[string]string{"app/hello": "hello.conf"},
	},
	{
		name: "encrypted with a secret key and integrated",
		document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true, encrypt-to: "{kek}", staging: app/tmp}
`,
		holds: map[string]string{"app/hello": "hello.conf", "app/tmp": "*"},
	},
	{
		name: "dependency of another publisher, integrated", prints: greeting,
		document: identity + `
component: app/hello
payload: {file: hello.wasm, uri-base: "{payloads}"}
dependencies: [{file: crypto.suit, integrated: true}]
conditions: {minimum-battery: 500}
invoke: {args: [now]}
`,
		libraries: []product{library},
		holds:     map[string]string{"app/hello": "hello.wasm", "lib/crypto": "library.bin"},
	},
	{
		name: "only a dependency, fetched", component: "app/bundle",
		document: identity + `
manifest-component: app/bundle
dependencies: [{file: crypto.suit, uri-base: "{payloads}"}]
`,
		libraries: []product{library},
		apart:     true,
		holds:     map[string]string{"lib/crypto": "library.bin"},
	},
	{
		name: "conditions",
		document: identity + `
component: app/hello
device-id: "{id}"
payload: {file: hello.conf, uri-base: "{payloads}"}
wait: {authorization: 1, time: 2026-01-01}
`,
		next: `
conditions:
  use-before: 2100-01-01T12:00:00Z
  minimum-battery: 500
  update-authorized: true
  update-priority: -2
  version: [">= 1.0", "< 2-rc.1"]
  image-not-match: hello.wasm
`,
		holds: map[string]string{"app/hello": "hello.conf"},
	},
	{
		name: "metadata, severable elements and no uninstall section",
		document: identity + `
components:
  - id: app/hello
    payload: {file: hello.conf, uri-base: "{payloads}"}
    version: 1.2.{n}
    metadata: {permissions: [traverse-exec, list-read], file-type: regular-file, modified: 2026-01-01, creator: joe}
coswid: sbom.cbor
reference-uri: https://tamarack.example/hello.suit
uninstall: false
severable: [install, text, coswid]
text:
  en:
    manifest: Hello, in a few more words than a digest has
    vendor-name: Example
    components: {app/hello: {description: Says hello, model-name: Field device}}
`,
		holds: map[string]string{"app/hello": "hello.conf"},
	},
}

// twofold are products for devices and a TAM that want two signatures under everything.
var twofold = []product{
	{
		name: "two signatures", signers: []string{"app", "quantum"}, prints: greeting,
		document: identity + `
component: app/hello
payload: {file: hello.wasm, uri-base: "{payloads}"}
invoke: {}
`,
		holds: map[string]string{"app/hello": "hello.wasm"},
	},
	{
		name: "two signatures under each of a tree", signers: []string{"app", "quantum"},
		document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
dependencies: [{file: crypto.suit, integrated: true}]
`,
		libraries: []product{{name: "crypto", signers: []string{"lib", "quantum"}, document: library.document}},
		holds:     map[string]string{"app/hello": "hello.conf", "lib/crypto": "library.bin"},
	},
}

// TestFamily takes each product through its life on a device of its own: published,
// delivered, confirmed by attestation, run, followed by a second version, and removed
// until nothing is left of it.
func TestFamily(t *testing.T) {
	for rule, products := range map[suit.SignatureRule][]product{suit.AnySignature: family, suit.ClassicalAndPostQuantum: twofold} {
		for i, p := range products {
			t.Run(p.name, func(t *testing.T) {
				f := newField(t, rule)
				f.enrolled = i // each other one has the other cipher suite
				f.live(t, f.enroll(t, nil), p)
			})
		}
	}
}

func (f *field) live(t *testing.T, g *gadget, p product) {
	if err := f.operator.require(t.Context(), g.id, p.id(t)); err != nil {
		t.Fatal(err)
	}
	var last edition
	for n := 1; n <= 2; n++ {
		last = f.edition(t, g, p, n)
		f.publish(t, last)
		f.deliver(t, g, last)
		f.invoke(t, g, p, last)
		if p.resumed != "" {
			f.resumed(t, last, p.resumed)
		}
	}
	f.remove(t, g, last.manifest)
}

func (p product) id(t *testing.T) suit.ComponentID {
	t.Helper()
	name := p.component
	if name == "" {
		name = "app/hello"
	}
	return componentID(t, name)
}

// edition is one version of a product, made and signed.
type edition struct {
	n        int
	manifest suit.ComponentID
	digest   string
	envelope []byte
	upload   []string // files
	holds    map[string]string
	folder   string
}

// edition makes a version: other bytes in all files, the same names.
func (f *field) edition(t *testing.T, g *gadget, p product, n int) edition {
	t.Helper()
	e := edition{n: n, folder: t.TempDir(), holds: map[string]string{}}
	module, err := sample.Application(strconv.Itoa(n), true)
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 3*lineBreaks+n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(large) // it never fails
	e.write(t, "hello.wasm", module)
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
		"{device}", device.DecryptionKeyPath(g.dir), "{kek}", f.kek, "{id}", g.Settings().Identity.Device.String(),
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
	f.unrequire(t, g)
	r, err := f.operator.api.RemoveComponentWithResponse(t.Context(), g.id, client.NewRequirement{Component: manifest.String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		t.Fatal(err)
	}
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
	if files := g.left(t); !slices.Equal(files, []string{"index", "lock"}) {
		t.Errorf("files are left: %v", files)
	}
	if err := g.Invoke(t.Context(), manifest); err == nil {
		t.Error("what is gone was invoked")
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
