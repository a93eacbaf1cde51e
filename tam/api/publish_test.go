package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

func TestPublish(t *testing.T) {
	r := newRig(t)
	raw := envelope(t, r.publisher, description(7), "payload", nil)
	var m Manifest
	r.want(publish(raw), http.StatusCreated, &m)

	if m.Component != "app/hello/suit" || m.Sequence != 7 || m.Size != int64(len(raw)) || m.PublishedBy != "operator:admin" ||
		m.Signer != r.publisher.PublicKey().Thumbprint().String() || !m.PublishedAt.Equal(now) {
		t.Errorf("manifest %+v", m)
	}
	want := Target{
		Component: "app/hello", ImageDigest: suit.SumSHA256([]byte("payload")).String(),
		ImageSize: 7, URI: "https://elsewhere.example/hello",
	}
	if len(m.Targets) != 1 || m.Targets[0] != want {
		t.Errorf("targets %+v, want %+v", m.Targets, want)
	}
	if e, _ := r.lastEvent(); e.Action != audit.ManifestPublished || e.Subject != "manifest:"+m.Digest || e.Actor != "operator:admin" {
		t.Errorf("event %+v", e)
	}
	var got Manifest
	for _, ref := range []string{m.Digest, strings.TrimPrefix(m.Digest, "sha-256:"), m.Digest[:12], m.Digest[:13]} {
		r.want(get(manifestsPath+"/"+ref), http.StatusOK, &got)
		if got.Digest != m.Digest {
			t.Errorf("%s finds %s, want %s", ref, got.Digest, m.Digest)
		}
	}
}

// The envelope that carries its payload and the one that names a payload of ours.
func TestPublishPayloads(t *testing.T) {
	r := newRig(t)
	d := description(1)
	d.Payload = author.Payload{Integrated: true}
	var m Manifest
	r.want(publish(envelope(t, r.publisher, d, "payload", nil)), http.StatusCreated, &m)
	if m.Targets[0].URI != "" || m.Targets[0].ImageSize != 7 {
		t.Errorf("integrated target %+v", m.Targets[0])
	}

	d = description(2)
	d.Payload = author.Payload{URIBase: payloadURL}
	raw := envelope(t, r.publisher, d, "another payload", nil)
	r.refused(publish(raw), http.StatusUnprocessableEntity, "payload-missing")
	for _, spelling := range []string{"https://TAM.example:443/payloads", "https://tam.example/payload", "https://tam.example"} {
		d.Payload = author.Payload{URIBase: spelling}
		misspelled := envelope(t, r.publisher, d, "another payload", nil)
		r.refused(publish(misspelled), http.StatusUnprocessableEntity, "payload-missing")
	}
	var p Payload
	r.want(upload("another payload"), http.StatusCreated, &p)
	if p.Size != 15 || p.Digest != suit.SumSHA256([]byte("another payload")).String() {
		t.Errorf("payload %+v", p)
	}
	if e, _ := r.lastEvent(); e.Action != audit.PayloadUploaded || e.Subject != "payload:"+p.Digest {
		t.Errorf("event %+v", e)
	}
	r.want(publish(raw), http.StatusCreated, &m)
	if !strings.HasPrefix(m.Targets[0].URI, payloadURL+"/") {
		t.Errorf("target %+v", m.Targets[0])
	}
}

func TestPublishRefusals(t *testing.T) {
	r := newRig(t)
	good := func(change func(*suit.Manifest)) []byte {
		return envelope(t, r.publisher, description(5), "payload", change)
	}
	r.want(publish(good(nil)), http.StatusCreated, nil)
	r.want(upload("uploaded"), http.StatusCreated, nil)

	stranger, elsewhere, expired := newSigner(t), newSigner(t), newSigner(t)
	r.trust(elsewhere, "app/other", "app/hello/suit")
	r.update(func(tx tam.Tx) error {
		return tx.AddAnchor(anchor.Anchor{
			Key: expired.PublicKey(), Title: "old", Purposes: []anchor.Purpose{anchor.TCSigner}, NotAfter: now.Add(-time.Hour),
		})
	})
	next := func(s cosekit.Signer, change func(*suit.Manifest)) []byte {
		return envelope(t, s, description(9), "payload", change)
	}

	for _, c := range []struct {
		name     string
		envelope []byte
		status   int
		code     string
	}{
		{"empty", nil, http.StatusUnprocessableEntity, "malformed-envelope"},
		{"garbage", []byte("SUIT"), http.StatusUnprocessableEntity, "malformed-envelope"},
		{"truncated", next(r.publisher, nil)[:60], http.StatusUnprocessableEntity, "malformed-envelope"},
		{"trailing bytes", append(next(r.publisher, nil), 0), http.StatusUnprocessableEntity, "malformed-envelope"},
		{"too large", make([]byte, 16<<10+1), http.StatusRequestEntityTooLarge, "envelope-too-large"},
		{"unsigned", unsigned(t), http.StatusUnprocessableEntity, "bad-signature"},
		{"signature changed", flipSignature(next(r.publisher, nil)), http.StatusUnprocessableEntity, "bad-signature"},
		{"manifest changed", flipManifest(t, next(r.publisher, nil)), http.StatusUnprocessableEntity, "bad-signature"},
		{"unknown signer", next(stranger, nil), http.StatusUnprocessableEntity, "unknown-signer"},
		{"target of another publisher", next(elsewhere, nil), http.StatusUnprocessableEntity, "signer-not-allowed"},
		{"manifest component of another publisher", next(r.publisher, func(m *suit.Manifest) {
			m.ComponentID = suit.ComponentID{[]byte("boot"), []byte("suit")}
		}), http.StatusUnprocessableEntity, "signer-not-allowed"},
		{"publisher expired", next(expired, nil), http.StatusUnprocessableEntity, "signer-not-allowed"},
		{"no manifest component id", next(r.publisher, func(m *suit.Manifest) { m.ComponentID = nil }), http.StatusUnprocessableEntity, "no-manifest-component"},
		{"published before", good(nil), http.StatusConflict, "already-published"},
		{"the same sequence number", good(func(m *suit.Manifest) { m.ReferenceURI = "https://example.com" }), http.StatusConflict, "sequence-not-above"},
		{"a sequence number that leaves none for the next", good(func(m *suit.Manifest) { m.SequenceNumber = 1 << 63 }), http.StatusUnprocessableEntity, "unsupported-manifest"},
		{"a lower sequence number", good(func(m *suit.Manifest) { m.SequenceNumber = 4 }), http.StatusConflict, "sequence-not-above"},
		{"severed element missing", severed(t, r.publisher, nil), http.StatusUnprocessableEntity, "severed-mismatch"},
		{"severed element changed", severed(t, r.publisher, []byte{0x82, 0x15, 0x00}), http.StatusUnprocessableEntity, "severed-mismatch"},
		{"integrated payload changed", integratedChanged(t, r.publisher), http.StatusUnprocessableEntity, "payload-mismatch"},
		{"integrated payload missing", integratedMissing(t, r.publisher), http.StatusUnprocessableEntity, "payload-missing"},
		{"size of an uploaded payload", uploaded(t, r.publisher, func(p *suit.Parameters) { *p.ImageSize = 9 }), http.StatusUnprocessableEntity, "payload-mismatch"},
		{"digest of an uploaded payload", uploaded(t, r.publisher, func(p *suit.Parameters) { p.ImageDigest.Bytes[0] ^= 1 }), http.StatusUnprocessableEntity, "payload-mismatch"},
		{"nothing to install", next(r.publisher, func(m *suit.Manifest) { delete(m.Sections, suit.SectionInstall) }), http.StatusUnprocessableEntity, "no-target"},
		{"a dependency without a place", next(r.publisher, func(m *suit.Manifest) {
			m.Common.Dependencies = []suit.Dependency{{Index: 1}}
		}), http.StatusUnprocessableEntity, "malformed-envelope"},
		{"an invocation in an Update", next(r.publisher, func(m *suit.Manifest) {
			install := m.Sections[suit.SectionInstall].Sequence
			install.Commands = append(install.Commands, suit.Command{Code: suit.DirectiveInvoke, Argument: suit.Policy(0)})
		}), http.StatusUnprocessableEntity, "unsupported-manifest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := r.in(t)
			p := r.refused(publish(c.envelope), c.status, c.code)
			if p.Hint == "" {
				t.Errorf("problem %+v says nothing about what to do next", p)
			}
			if e, _ := r.lastEvent(); e.Action != audit.ManifestRefused || e.Reason != c.code || e.Actor != "operator:admin" || e.Details["detail"] != p.Detail {
				t.Errorf("event %+v", e)
			}
		})
	}
}

func unsigned(t *testing.T) []byte {
	m, integrated := build(t, description(9), "payload", nil)
	e, err := suit.NewEnvelope(m, integrated)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, e)
}

// flipSignature changes the first byte behind the head of the 64-byte signature.
func flipSignature(envelope []byte) []byte {
	at := bytes.Index(envelope, []byte{0x58, 64})
	envelope[at+2] ^= 1
	return envelope
}

func flipManifest(t *testing.T, envelope []byte) []byte {
	return tamper(t, envelope, func(elements map[any]cosekit.RawMessage) {
		manifest := elements[int64(3)]
		manifest[len(manifest)-1] ^= 1
	})
}

// severed makes an envelope whose install section stands outside the manifest, and
// puts another element in its place, or none.
func severed(t *testing.T, s cosekit.Signer, element []byte) []byte {
	raw := envelope(t, s, description(9), "payload", func(m *suit.Manifest) {
		install := m.Sections[suit.SectionInstall]
		digest := digestOf(t, m, suit.SectionInstall)
		install.Digest = &digest
		m.Sections[suit.SectionInstall] = install
	})
	return tamper(t, raw, func(elements map[any]cosekit.RawMessage) {
		if _, ok := elements[int64(suit.SectionInstall)]; !ok {
			t.Fatal("install is not severed")
		}
		delete(elements, int64(suit.SectionInstall))
		if element != nil {
			elements[int64(suit.SectionInstall)] = cosekit.MustMarshal(element)
		}
	})
}

// digestOf returns the digest of a section's byte string in the manifest.
func digestOf(t *testing.T, m *suit.Manifest, section suit.Section) suit.Digest {
	t.Helper()
	raw, err := m.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	var elements map[int64]cosekit.RawMessage
	if err := cosekit.Unmarshal(raw, &elements); err != nil {
		t.Fatal(err)
	}
	return suit.SumSHA256(elements[int64(section)])
}

func integratedChanged(t *testing.T, s cosekit.Signer) []byte {
	d := description(9)
	d.Payload = author.Payload{Integrated: true}
	return tamper(t, envelope(t, s, d, "payload", nil), func(elements map[any]cosekit.RawMessage) {
		elements["#payload"] = cosekit.MustMarshal([]byte("another"))
	})
}

func integratedMissing(t *testing.T, s cosekit.Signer) []byte {
	d := description(9)
	d.Payload = author.Payload{Integrated: true}
	return tamper(t, envelope(t, s, d, "payload", nil), func(elements map[any]cosekit.RawMessage) {
		delete(elements, "#payload")
	})
}

// uploaded installs the payload "uploaded" of our own store, but says something else of it.
func uploaded(t *testing.T, s cosekit.Signer, change func(*suit.Parameters)) []byte {
	d := description(9)
	d.Payload = author.Payload{URIBase: payloadURL}
	return envelope(t, s, d, "uploaded", func(m *suit.Manifest) {
		change(m.Common.Shared.Commands[0].Argument.(*suit.Parameters))
	})
}

// Of many that publish the same sequence number at once, one wins.
func TestPublishConcurrently(t *testing.T) {
	r := newRig(t)
	const rivals = 8
	errs := make([]error, rivals)
	var all sync.WaitGroup
	for i := range rivals {
		raw := envelope(t, r.publisher, description(1), fmt.Sprintf("payload %d", i), nil)
		all.Go(func() { _, _, errs[i] = r.fleet.PublishManifest(t.Context(), "operator:test", raw) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, tam.ErrSequenceNotAbove):
			t.Errorf("a loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d have won, want 1", won)
	}
	var page ManifestPage
	r.want(get(manifestsPath), http.StatusOK, &page)
	if len(page.Items) != 1 {
		t.Errorf("%d manifests, want 1", len(page.Items))
	}
}

func TestUploadRefusals(t *testing.T) {
	r := newRig(t)
	large := upload(strings.Repeat("x", 64<<10+1))
	for _, large.chunked = range []bool{false, true} {
		r.refused(large, http.StatusRequestEntityTooLarge, "payload-too-large")
		if e, _ := r.lastEvent(); e.Reason != "payload-too-large" || e.Details["action"] != string(audit.PayloadUploaded) {
			t.Errorf("event %+v", e)
		}
	}
	r.want(upload(strings.Repeat("x", 64<<10)), http.StatusCreated, nil)

	unread := strings.NewReader("x")
	if _, _, err := r.fleet.UploadPayload(t.Context(), "operator:test", unread, 64<<10+1); !errors.Is(err, tam.ErrPayloadTooLarge) || unread.Len() != 1 {
		t.Errorf("announced too large: %v, %d bytes left", err, unread.Len())
	}

	server := httptest.NewServer(r.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: tam\r\nAuthorization: Bearer %s\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nshort", payloadsPath, testToken)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("a body that ends early: %v, %v", response, err)
	}
}

func TestListManifests(t *testing.T) {
	r := newRig(t)
	for i := range uint64(5) {
		r.want(publish(envelope(t, r.publisher, description(i+1), "payload", nil)), http.StatusCreated, nil)
	}
	var seen []string
	path := manifestsPath + "?limit=2"
	for {
		var page ManifestPage
		r.want(get(path), http.StatusOK, &page)
		for _, m := range page.Items {
			seen = append(seen, m.Digest)
		}
		if page.Next == "" {
			break
		}
		path = manifestsPath + "?limit=2&after=" + page.Next
	}
	if len(seen) != 5 {
		t.Errorf("pages hold %d manifests, want 5", len(seen))
	}
	var page ManifestPage
	r.want(get(manifestsPath+"?component=app/hello"), http.StatusOK, &page)
	if len(page.Items) != 5 || page.Items[0].Sequence != 5 || page.Next != "" {
		t.Errorf("manifests of the component: %+v", page)
	}
	r.want(get(manifestsPath+"?component=app/other"), http.StatusOK, &page)
	if len(page.Items) != 0 {
		t.Errorf("manifests of another component: %+v", page)
	}
}
