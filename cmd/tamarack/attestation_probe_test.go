package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// probe is an agent that says what a test wants, over HTTP, signed for real.
type probe struct {
	s    *plant
	t    testing.TB
	key  cosekit.Signer
	ueid []byte
	held map[string]suit.Digest // what it has, and measures
}

func (s *plant) probe(t testing.TB, alg cosekit.Algorithm) *probe {
	t.Helper()
	ueid := make([]byte, 17)
	rand.Read(ueid)
	ueid[0] = 1
	return &probe{s: s, t: t, key: plantKey(t, alg), ueid: ueid, held: map[string]suit.Digest{}}
}

// claims are what the device says of itself.
func (p *probe) claims(challenge []byte, at time.Time) *attest.Claims {
	vendor := author.VendorID(plantVendor)
	c := &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: p.ueid,
		OEMID: cosekit.MustMarshal(vendor[:]), HWModel: []byte(plantClass), HWVersion: "1",
		Confirmation: attest.Confirmation{Key: p.key.PublicKey()}, Manifests: []attest.ManifestRef{}, IssuedAt: at,
	}
	if list := p.list(); list != nil {
		c.Measurements = []attest.Measurement{{Manifest: attest.ManifestRef{Digest: suit.SumSHA256(nil)}, Components: list}}
	}
	return c
}

// list is what is installed.
func (p *probe) list() (list []suit.PropertyClaims) {
	for name, digest := range p.held {
		id := must(suit.ParseComponentID(name))(p.t)
		list = append(list, suit.PropertyClaims{Component: id, ImageDigest: &digest})
	}
	slices.SortFunc(list, func(a, b suit.PropertyClaims) int { return strings.Compare(a.Component.String(), b.Component.String()) })
	return list
}

func (p *probe) post(path string, message teep.Message) response {
	p.t.Helper()
	p.s.now.add(time.Second)
	var wire []byte
	if message != nil {
		wire = must(teep.Seal(teep.IANA, message, p.key))(p.t)
	}
	return must(p.s.post(p.t.Context(), path, wire))(p.t)
}

// open verifies an answer of the TAM.
func (p *probe) open(r response) teep.Message {
	p.t.Helper()
	if r.status != 200 {
		p.t.Fatalf("status %d: %q", r.status, r.reason)
	}
	key := p.s.config.Signers.ESP256.PublicKey()
	if p.key.Algorithm() == cosekit.Ed25519 {
		key = p.s.config.Signers.Ed25519.PublicKey()
	}
	return must(must(teep.Open(teep.IANA, r.body))(p.t).Verify(key, false))(p.t)
}

// challenge is what an endpoint asks for evidence with.
func (p *probe) challenge() []byte {
	p.t.Helper()
	return p.open(p.post("/first", nil)).(*teep.QueryRequest).Challenge
}

// show answers with an attestation payload.
func (p *probe) show(payload *teep.AttestationPayload) response {
	p.t.Helper()
	return p.post("/first", &teep.QueryResponse{Attestation: payload, TCList: p.list()})
}

// idle is a poll of a device that needs nothing, and shows no evidence.
func (p *probe) idle() response {
	p.t.Helper()
	q := p.open(p.post("/tam", nil)).(*teep.QueryRequest)
	return p.post("/tam", &teep.QueryResponse{Token: q.Token, TCList: p.list()})
}

func (p *probe) record() devices.Device {
	p.t.Helper()
	return p.s.deviceOf(p.ueid)
}

// enrol has the device accepted, by evidence that is good.
func (p *probe) enrol(evidence func(*probe, []byte) *teep.AttestationPayload) {
	p.t.Helper()
	if r := p.show(evidence(p, p.challenge())); r.reason != "device-pending" {
		p.t.Fatalf("first contact: %d %q", r.status, r.reason)
	}
	must(p.s.fleet.Accept(p.t.Context(), plantOperator, p.record().ID, "as ordered"))(p.t)
}

// sealing is how a signature is made, or pretended to be.
type sealing int

const (
	signedWell sealing = iota
	unsigned           // alg none
	macked             // HMAC with the public key as the secret
)

// signCOSE makes an untagged COSE_Sign1 in one of these ways.
func signCOSE(t testing.TB, how sealing, key cosekit.Signer, payload []byte, chain any) []byte {
	t.Helper()
	protected := map[int]any{1: int64(key.Algorithm())}
	switch how {
	case unsigned:
		protected = map[int]any{}
	case macked:
		protected = map[int]any{1: 5}
	}
	kid := key.PublicKey().Thumbprint()
	header, unprotected := cosekit.MustMarshal(protected), map[int]any{4: kid[:]}
	if chain != nil {
		unprotected[33] = chain
	}
	toBeSigned := cosekit.MustMarshal([]any{"Signature1", header, []byte{}, payload})
	return cosekit.MustMarshal([]any{header, unprotected, payload, sealed(t, how, key, toBeSigned)})
}

func sealed(t testing.TB, how sealing, key cosekit.Signer, input []byte) []byte {
	t.Helper()
	switch how {
	case unsigned:
		return []byte{}
	case macked:
		mac := hmac.New(sha256.New, key.PublicKey().COSEKey())
		mac.Write(input)
		return mac.Sum(nil)
	}
	return must(key.Sign(rand.Reader, input))(t)
}

// signJWT makes a JWT in one of these ways.
func signJWT(t testing.TB, how sealing, key cosekit.Signer, claims []byte) []byte {
	t.Helper()
	alg := [...]string{"ES256", "none", "HS256"}[how]
	header := must(json.Marshal(map[string]string{"typ": "JWT", "alg": alg, "kid": key.PublicKey().Thumbprint().String()}))(t)
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	if how == macked {
		mac := hmac.New(sha256.New, key.PublicKey().PEM())
		mac.Write([]byte(input))
		return []byte(input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	}
	return []byte(input + "." + base64.RawURLEncoding.EncodeToString(sealed(t, how, key, []byte(input))))
}

// editCBOR changes a claims set: fn sees each map in it, the outer ones first.
func editCBOR(t testing.TB, set []byte, fn func(map[any]any)) []byte {
	t.Helper()
	var tree any
	if err := cosekit.Unmarshal(set, &tree); err != nil {
		t.Fatal(err)
	}
	walk(tree, fn)
	return changed(t, set, must(cosekit.Marshal(tree))(t))
}

// changed wants an edit to have found what it was for.
func changed(t testing.TB, before, after []byte) []byte {
	t.Helper()
	if bytes.Equal(before, after) {
		t.Fatal("nothing was changed")
	}
	return after
}

func walk(tree any, fn func(map[any]any)) {
	switch tree := tree.(type) {
	case map[any]any:
		fn(tree)
		for _, v := range tree {
			walk(v, fn)
		}
	case []any:
		for _, v := range tree {
			walk(v, fn)
		}
	}
}

// editJSON is the same for JSON.
func editJSON(t testing.TB, set []byte, fn func(map[string]any)) []byte {
	t.Helper()
	var tree any
	if err := json.Unmarshal(set, &tree); err != nil {
		t.Fatal(err)
	}
	walkJSON(tree, fn)
	return must(json.Marshal(tree))(t)
}

func walkJSON(tree any, fn func(map[string]any)) {
	if object, ok := tree.(map[string]any); ok {
		fn(object)
		for _, v := range object {
			walkJSON(v, fn)
		}
	}
}

// doubled has the first claim of a set twice.
func doubled(t testing.TB, set []byte) []byte {
	t.Helper()
	if set[0] == '{' {
		first, _, _ := strings.Cut(string(set), ",")
		return []byte(first + "," + string(set[1:]))
	}
	pairs := must(cosekit.Pairs(set))(t)
	if len(pairs) > 22 || set[0] != byte(0xa0+len(pairs)) {
		t.Fatalf("%d claims", len(pairs))
	}
	return slices.Concat([]byte{set[0] + 1}, pairs[0].Key, pairs[0].Value, set[1:])
}

// offers counts the manifests in an answer.
func (p *probe) offers(r response) int {
	p.t.Helper()
	if r.status != 200 {
		return 0
	}
	if u, ok := p.open(r).(*teep.Update); ok {
		return len(u.Manifests)
	}
	return 0
}

// mediaTPM is the format of quotes.
const mediaTPM = evidence.MediaTPM

func base64Decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
