package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// sound is what stands on the device before something else fails.
var sound = product{
	name: "sound", prints: greeting, holds: map[string]string{"app/hello": "hello.wasm"},
	document: identity + `
component: app/hello
payload: {file: hello.wasm, uri-base: "{payloads}"}
self-test: true
invoke: {}
`,
}

// failures are products that publish well and do not install. says is what the TAM has to
// tell of the reason.
var failures = []struct {
	product
	says []string
}{
	{product{name: "payload that does not match", document: identity + `
component: app/hello
payload: {file: hello.conf, uri: "{outside}/wrong"}
`}, []string{"install[2].image-match", "app/hello", "measured image-digest " + suit.SumSHA256([]byte(wrong)).String()}},
	{product{name: "payload that is gone", document: identity + `
component: app/hello
payload: {file: hello.conf, uri: "{outside}/gone"}
`}, []string{"install", "fetch", "app/hello"}},
	{product{name: "self-test that fails", document: identity + `
component: app/hello
payload: {file: broken.wasm, uri-base: "{payloads}"}
self-test: true
invoke: {}
`}, []string{"validate[1].", "app/hello", `; the device says: "`, "exit code 1"}},
	{product{name: "payload for somebody else", document: identity + `
component: app/hello
payload: {file: hello.conf, uri-base: "{payloads}", encrypt-to: stranger.pub}
`}, []string{"install", "copy", "app/hello"}},
	{product{name: "other class", document: strings.Replace(identity, fieldClass, "another class", 1) + `
component: app/hello
payload: {file: hello.conf, integrated: true}
`}, []string{"class-identifier", "app/hello"}},
	{product{name: "battery", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
conditions: {minimum-battery: 901}
`}, []string{"minimum-battery", "901"}},
	{product{name: "too late", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
conditions: {use-before: 2026-01-01}
`}, []string{"use-before", "2026-01-01"}},
	{product{name: "not authorised", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
conditions: {update-authorized: true, update-priority: 4}
`}, []string{"update-authorized", "app/hello", "its priority is 4, and up to"}},
	{product{name: "other version", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
conditions: {version: ">= 77"}
`}, []string{"version", "77"}},
	{product{name: "image that is there", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
conditions: {image-not-match: first.wasm}
`}, []string{"image-not-match", "app/hello"}},
	{product{name: "event that the device knows nothing of", document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
wait: {network: 1}
`}, []string{"wait", "app/hello"}},
	{product{name: "the same image in another version", document: identity + `
component: app/hello
payload: {file: first.wasm, uri-base: "{payloads}"}
conditions: {minimum-battery: 901}
invoke: {args: [again]}
`}, []string{"minimum-battery", "901"}},
	{product{name: "slot", document: identity + `
components: [{id: app/hello, slot: 1, payload: {file: hello.conf, integrated: true}}]
`}, []string{"component-slot", "app/hello"}},
	{product{name: "metadata that the device cannot keep", document: identity + `
components: [{id: app/hello, metadata: {users: {root: delete}}, payload: {file: hello.conf, integrated: true}}]
`}, []string{"override-parameters", "app/hello", "a parameter is not supported"}},
	{product{name: "dependency that does not match", libraries: []product{
		{name: "crypto", signers: []string{"lib"}, document: identity + `
component: lib/crypto
payload: {file: hello.conf, uri: "{outside}/wrong"}
`}},
		document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
dependencies: [{file: crypto.suit, integrated: true}]
`}, []string{"dependency [1]: install[2].image-match", "lib/crypto"}},
}

// TestFamilyFailures: whatever fails on a device leaves it as it was. The TAM says what,
// where and why, from a report that is signed and encrypted to it.
func TestFamilyFailures(t *testing.T) {
	f := newField(t, suit.AnySignature)
	f.outside = outside(t)
	g := f.enroll(t, nil)
	if err := f.operator.require(t.Context(), g.id, componentID(t, "app/hello")); err != nil {
		t.Fatal(err)
	}
	first := f.edition(t, g, sound, 1)
	firstDigest := f.publish(t, first)
	f.deliver(t, g, first)
	n := 1
	for _, p := range failures {
		t.Run(p.name, func(t *testing.T) {
			n++
			e := f.edition(t, g, p.product, n)
			f.publish(t, e)
			f.fail(t, g, e, p.says...)
			f.holding(t, g, first)
			f.fail(t, g, e, p.says...) // it is offered again, and evidence has come before that
			if s := f.status(t, g, e.manifest); s.Held.Manifest != firstDigest {
				t.Errorf("the TAM does not know what stands: %+v", s)
			}
			f.invoke(t, g, sound, first)
		})
	}
	n++
	last := f.edition(t, g, sound, n)
	f.publish(t, last)
	f.deliver(t, g, last)
	f.invoke(t, g, sound, last)
}

// fail wants the device to refuse the edition, and the TAM to know why.
func (f *field) fail(t *testing.T, g *gadget, e edition, says ...string) {
	t.Helper()
	f.reports(t, g) // those of before
	g.said = nil
	if _, err := g.Poll(t.Context()); !errors.Is(err, agent.ErrManifest) {
		t.Fatalf("poll: %v\n%s", err, g.story())
	}
	s := f.status(t, g, e.manifest)
	if s.State != client.ComponentStateFailed || s.Sequence != uint64(e.n) || s.Report.Completed || len(s.Report.Lines) == 0 {
		t.Errorf("the TAM has %d as %s: %s %q", s.Sequence, s.State, s.Reason, s.Report.Lines)
	}
	for _, text := range says {
		if !strings.Contains(s.Reason, text) {
			t.Errorf("the TAM says %q without %q; the agent said\n%s", s.Reason, text, g.story())
		}
	}
	reports := f.reports(t, g)
	if len(reports) != 1 || !reports[0].Encrypted() || !reports[0].Protected() {
		t.Errorf("%d reports, want one that is signed and encrypted", len(reports))
	}
}

const wrong = "colour 0" // as long as what is right

// outside is a server that is none of the TAM's, and does not keep its word.
func outside(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wrong" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, wrong) // whoever fetches it sees if that fails
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// refusedAtPublish wants the API's code for an edition that is not to be taken.
func (f *field) refusedAtPublish(t *testing.T, e edition, code string) {
	t.Helper()
	for _, file := range e.upload {
		if err := f.operator.upload(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.operator.publish(t.Context(), e.envelope); err == nil || !strings.Contains(err.Error(), `"code":"`+code+`"`) {
		t.Errorf("published: %v, want %s", err, code)
	}
}

// TestFamilyRights: nobody signs for more than is theirs, alone or within a tree.
func TestFamilyRights(t *testing.T) {
	f := newField(t, suit.AnySignature)
	g := f.enroll(t, nil)
	by := func(p product, signer string) product {
		p.signers = []string{signer}
		return p
	}
	over := func(l product, id string) product {
		return product{name: "tree", libraries: []product{l}, document: identity + `
component: app/hello
payload: {file: hello.conf, integrated: true}
dependencies: [{file: crypto.suit, ` + id + `integrated: true}]
`}
	}
	for name, p := range map[string]product{
		"another's component":                by(sound, "lib"),
		"another's library":                  over(by(library, "app"), ""),
		"a tree by the library's publisher":  by(over(library, ""), "lib"),
		"a library where its signer may not": over(library, "id: app/hello/crypto, "),
		"a library where its user may not":   over(library, "id: lib/elsewhere, "),
		"a library by who may do half of it": over(by(product{name: "crypto", document: strings.Replace(library.document, "component: lib/crypto", "component: lib/crypto/suit/image", 1)}, "app"), "id: lib/crypto, "),
	} {
		t.Run(name, func(t *testing.T) { f.refusedAtPublish(t, f.edition(t, g, p, 1), "signer-not-allowed") })
	}
	f.publish(t, f.edition(t, g, over(library, ""), 1))
}

// halfSigned is a tree of which only the root has two signatures.
var halfSigned = product{
	name: "half signed", signers: []string{"app", "quantum"}, libraries: []product{library}, document: twofold[1].document,
}

// TestFamilySignatureRule: where two signatures are asked for, one is refused by the side
// that asks, whatever the other one takes.
func TestFamilySignatureRule(t *testing.T) {
	signed := func(signers ...string) product {
		p := sound
		p.signers = signers
		return p
	}
	t.Run("TAM", func(t *testing.T) {
		f := newField(t, suit.ClassicalAndPostQuantum)
		g := f.enroll(t, func(s *device.Settings) { s.Manifests.Signatures = device.SignatureRule(suit.AnySignature) })
		f.refusedAtPublish(t, f.edition(t, g, signed("app"), 1), "signature-missing")
		f.refusedAtPublish(t, f.edition(t, g, signed("quantum"), 1), "signature-missing")
		f.refusedAtPublish(t, f.edition(t, g, signed("lib", "quantum"), 1), "signature-missing")
		f.refusedAtPublish(t, f.edition(t, g, halfSigned, 1), "signature-missing")
	})
	t.Run("device", func(t *testing.T) {
		f := newField(t, suit.AnySignature)
		g := f.enroll(t, func(s *device.Settings) { s.Manifests.Signatures = device.SignatureRule(suit.ClassicalAndPostQuantum) })
		if err := f.operator.require(t.Context(), g.id, componentID(t, "app/hello")); err != nil {
			t.Fatal(err)
		}
		for i, tt := range []struct {
			product
			says, why string
		}{
			{signed("app"), "authentication-wrapper: the signature was not accepted", "a post-quantum one (ML-DSA or HSS-LMS) is needed too"},
			{signed("quantum"), "authentication-wrapper: the signature was not accepted", "a classical one (ESP256 or Ed25519) is needed too"},
			{signed("quantum", "lib"), "the signer may not touch the component", "signer has no right to the component"},
			{halfSigned, "dependency-integrity on lib/crypto/suit failed", "not enough signatures"},
		} {
			e := f.edition(t, g, tt.product, i+1)
			f.publish(t, e)
			f.fail(t, g, e, tt.says, `; the device says: "manifest 1 of 1: `, tt.why)
			if held := g.holds(t); len(held) > 0 {
				t.Errorf("it holds %v", held)
			}
		}
		e := f.edition(t, g, signed("quantum", "app"), 5)
		f.publish(t, e)
		f.deliver(t, g, e)
	})
}

// TestFamilyRollback: no older version comes back, under its own name or another one, also
// when the newer one is gone.
func TestFamilyRollback(t *testing.T) {
	f := newField(t, suit.AnySignature)
	g := f.enroll(t, nil)
	if err := f.operator.require(t.Context(), g.id, componentID(t, "app/hello")); err != nil {
		t.Fatal(err)
	}
	newer := f.edition(t, g, sound, 3)
	f.publish(t, newer)
	f.deliver(t, g, newer)
	f.refusedAtPublish(t, f.edition(t, g, sound, 2), "sequence-not-above")

	other := sound
	other.document += "manifest-component: app/other\n"
	older := f.edition(t, g, other, 2)
	r, err := f.operator.api.PublishManifestWithBodyWithResponse(t.Context(), suit.MediaTypeEnvelope, bytes.NewReader(older.envelope))
	if err != nil || r.JSON201 == nil || len(r.JSON201.Warnings) != 1 {
		t.Fatalf("%v, %s: want one warning", err, r.Body)
	}
	if err := f.operator.require(t.Context(), g.id, older.manifest); err != nil {
		t.Fatal(err)
	}
	f.fail(t, g, older, "install[1].fetch on app/hello failed", `; the device says: "`, "unlink that one first")
	f.holding(t, g, newer)
	f.remove(t, g, newer.manifest)
	if err := f.operator.require(t.Context(), g.id, older.manifest); err != nil {
		t.Fatal(err)
	}
	f.fail(t, g, older, "install[1].fetch on app/hello failed", `; the device says: "`, "sequence number is lower than the last one installed: 2, the component has been at 3")
	if held := g.holds(t); len(held) > 0 {
		t.Errorf("it holds %v", held)
	}
}
