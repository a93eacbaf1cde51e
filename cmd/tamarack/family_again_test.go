package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestFamilyResumesLater: when the line stays down, what has arrived is kept, also by a
// device that is started again, and the next session begins there.
func TestFamilyResumesLater(t *testing.T) {
	p := product{name: "large", document: identity + `
component: app/hello
payload: {file: large.bin, uri-base: "{payloads}"}
`, holds: map[string]string{"app/hello": "large.bin"}}
	f := newField(t, suit.AnySignature)
	g := f.enroll(t, nil)
	if err := f.operator.require(t.Context(), g.id, componentID(t, "app/hello")); err != nil {
		t.Fatal(err)
	}
	e := f.edition(t, g, p, 1)
	f.publish(t, e)
	f.line.setDown(true)
	f.fail(t, g, e, "install[1].fetch on app/hello failed")
	if _, err := g.Poll(t.Context()); !errors.Is(err, agent.ErrManifest) || !errors.Is(err, processor.ErrFetch) {
		t.Errorf("still down: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g.open(t)
	f.line.setDown(false)
	f.deliver(t, g, e)
	digest, err := hex.DecodeString(e.holds["app/hello"][len("sha-256:"):])
	if err != nil {
		t.Fatal(err)
	}
	portions := f.line.portions(hex.EncodeToString(digest))
	if len(portions) != 4 {
		t.Fatalf("portions %+v", portions)
	}
	// Nothing but the digest tells whether it is still the same payload.
	if first, next := portions[0], portions[1]; next.asked != fmt.Sprintf("bytes=%d-", first.sent) || next.condition != "" || next.status != 206 {
		t.Errorf("%+v, and then %+v", first, next)
	}
	f.remove(t, g, e.manifest)
}

// TestFamilySharesLibrary: a library stays as long as one of two applications is there.
func TestFamilySharesLibrary(t *testing.T) {
	f := newField(t, suit.AnySignature)
	g := f.enroll(t, nil)
	var editions []edition
	for _, name := range []string{"app/hello", "app/other"} {
		p := product{name: "with a library", libraries: []product{library}, document: identity + `
component: ` + name + `
payload: {file: hello.conf, integrated: true}
dependencies: [{file: crypto.suit, integrated: true}]
`, holds: map[string]string{"app/hello": "hello.conf", "lib/crypto": "library.bin"}}
		if len(editions) > 0 {
			p.holds[name] = "hello.conf"
		}
		e := f.edition(t, g, p, 1)
		f.publish(t, e)
		if err := f.operator.require(t.Context(), g.id, componentID(t, name)); err != nil {
			t.Fatal(err)
		}
		f.deliver(t, g, e)
		editions = append(editions, e)
	}
	f.order(t, g, editions[0].manifest)
	for range 2 {
		g.poll(t)
	}
	if s := f.status(t, g, editions[0].manifest); s.State != client.ComponentStateRemoved {
		t.Errorf("the first is %s: %s", s.State, s.Reason)
	}
	if s := f.status(t, g, editions[1].manifest); s.State != client.ComponentStateConfirmed {
		t.Errorf("the second is %s: %s", s.State, s.Reason)
	}
	delete(editions[1].holds, "app/hello")
	f.holding(t, g, editions[1])
	f.remove(t, g, editions[1].manifest)
}

// TestFamilyHaveBinary: who has the binary gets the manifest alone, except where the
// envelope carries the manifests that it depends on.
func TestFamilyHaveBinary(t *testing.T) {
	alone := product{name: "alone", holds: map[string]string{"app/hello": "same"}, document: identity + `
component: app/hello
payload: {file: same, integrated: true}
`}
	tree := alone
	tree.document += "dependencies: [{file: crypto.suit, integrated: true}]\n"
	tree.libraries, tree.holds = []product{library}, map[string]string{"app/hello": "same", "lib/crypto": "library.bin"}
	for _, p := range []product{alone, tree} {
		f := newField(t, suit.AnySignature)
		g := f.enroll(t, nil)
		for n := 1; n <= 2; n++ {
			sequence := uint64(n)
			wanted := teep.RequestedTC{Component: componentID(t, "app/hello"), MinSequence: &sequence, HaveBinary: n > 1}
			if uri, err := g.Agent().RequestTA(wanted); err != nil || uri == "" {
				t.Fatalf("request %d: %q, %v", n, uri, err)
			}
			e := f.edition(t, g, p, n)
			f.publish(t, e)
			f.deliver(t, g, e)
			status, err := g.Status(t.Context())
			if err != nil || len(status.Requested) > 0 || status.Components[0].Sequence != sequence {
				t.Errorf("%+v, %v", status, err)
			}
		}
		whole := 0
		for _, e := range f.events(t) {
			if e.Action == "update.offered" && e.Details["payload"] == "" {
				whole++
			}
		}
		if want := 1 + len(p.libraries); whole != want {
			t.Errorf("%s: %d envelopes went out whole, want %d", p.name, whole, want)
		}
		f.remove(t, g, componentID(t, "app/hello/suit"))
	}
}

func (f *field) events(t *testing.T) []client.Event {
	t.Helper()
	limit := 1000
	r, err := f.operator.api.ListEventsWithResponse(t.Context(), &client.ListEventsParams{Limit: &limit})
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		t.Fatal(err)
	}
	return r.JSON200.Items
}
