package main

import (
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// product is what a publisher describes: one document for all its versions. {n} stands
// for the version, {payloads} for the TAM's payloads, {outside} for another server,
// {device} and {kek} for key files, {id} for the device.
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
