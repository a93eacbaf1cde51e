package agent_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// query is a sound QueryRequest for the items.
func query(items teep.DataItems) *teep.QueryRequest {
	q := &teep.QueryRequest{
		CipherSuites: []teep.CipherSuite{teep.SuiteESP256, teep.SuiteEd25519},
		COSEProfiles: teep.TEEPProfiles, DataItems: items,
	}
	if items.Has(teep.ItemAttestation) {
		q.Challenge = challenge
	} else {
		q.Token = token
	}
	return q
}

func TestQueryWithToken(t *testing.T) {
	for _, n := range []teep.Numbering{teep.IANA, teep.PreIANA} {
		t.Run(n.String(), func(t *testing.T) {
			w := newWorld(t, func(c *agent.Config) { c.Numbering = n })
			hello := release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher}
			must[*teep.Success](w, w.update(hello))
			r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents|teep.ItemExtensions))
			if !bytes.Equal(r.Token, token) || r.Attestation != nil || r.SelectedVersion != 0 {
				t.Errorf("response %+v", r)
			}
			if len(r.TCList) != 2 {
				t.Fatalf("tc-list %+v", r.TCList)
			}
			image, manifest := r.TCList[0], r.TCList[1]
			if !image.ImageDigest.Equal(suit.SumSHA256([]byte("hello"))) || *image.ImageSize != 5 {
				t.Errorf("image %+v", image)
			}
			envelope, err := suit.Decode(w.envelope(hello))
			if err != nil {
				t.Fatal(err)
			}
			if !manifest.Component.Equal(id(t, "app/hello/suit")) || !manifest.ImageDigest.Equal(envelope.Digest()) {
				t.Errorf("manifest %+v, want digest %s", manifest, envelope.Digest())
			}
			if r := must[*teep.QueryResponse](w, query(0)); r.TCList != nil {
				t.Errorf("tc-list that nobody asked for: %+v", r.TCList)
			}
		})
	}
}

func TestQueryWithChallenge(t *testing.T) {
	w := newWorld(t)
	r := must[*teep.QueryResponse](w, query(teep.ItemAttestation|teep.ItemTrustedComponents))
	if r.Token != nil {
		t.Errorf("token %x in answer to a challenge", r.Token)
	}
	if r.Attestation == nil || attest.IsResult(r.Attestation.Format) {
		t.Fatalf("attestation %+v", r.Attestation)
	}
	eat, err := attest.ParseEAT(r.Attestation.Payload)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := eat.Verify(w.attestKey.PublicKey(), false)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(claims.Nonce, challenge) || !claims.Confirmation.Key.Equal(w.key.PublicKey()) {
		t.Errorf("claims %+v", claims)
	}
}

// TestEd25519 is the other suite, through a whole exchange.
func TestEd25519(t *testing.T) {
	key := generate(t, cosekit.Ed25519)
	w := newWorld(t, func(c *agent.Config) { c.Key = key })
	w.key, w.tam, w.tamEd = key, w.tamEd, w.tam
	must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents))
	u := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	w.mustError(w.seal(u, w.tamEd), teep.PermanentError, agent.ErrRefused)
	must[*teep.Success](w, u)
}

func TestQueryForSeveralSuites(t *testing.T) {
	w := newWorld(t)
	wire, err := teep.SealFor(w.numbering, query(teep.ItemTrustedComponents), []cosekit.Signer{w.stranger, w.tamEd})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := w.deliver(wire); err != nil {
		t.Errorf("%T %v", answer, err)
	}
}

func TestQueryRefused(t *testing.T) {
	tests := []struct {
		name  string
		items teep.DataItems
		spoil func(q *teep.QueryRequest)
		code  teep.ErrorCode
		check func(e *teep.Error) bool // nil for no list at all
	}{
		{"no suite in common", 0, func(q *teep.QueryRequest) { q.CipherSuites = []teep.CipherSuite{teep.SuiteEd25519} },
			teep.UnsupportedCipherSuites, func(e *teep.Error) bool {
				return len(e.CipherSuites) == 1 && e.CipherSuites[0].Equal(teep.SuiteESP256)
			}},
		{"no suite in common, with challenge", teep.ItemAttestation, func(q *teep.QueryRequest) { q.CipherSuites = []teep.CipherSuite{teep.SuiteEd25519} },
			teep.UnsupportedCipherSuites, func(e *teep.Error) bool { return len(e.CipherSuites) == 1 }},
		{"other version", 0, func(q *teep.QueryRequest) { q.Versions = []uint32{1, 2} },
			teep.UnsupportedMsgVersion, func(e *teep.Error) bool { return slices.Equal(e.Versions, []uint32{0}) }},
		{"other freshness", teep.ItemAttestation, func(q *teep.QueryRequest) {
			q.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessTimestamp}
		}, teep.UnsupportedFreshnessMechanisms, func(e *teep.Error) bool {
			return slices.Equal(e.FreshnessMechanisms, []teep.FreshnessMechanism{teep.FreshnessNonce})
		}},
		{"no challenge", teep.ItemAttestation, func(q *teep.QueryRequest) { q.Challenge = nil },
			teep.UnsupportedFreshnessMechanisms, func(e *teep.Error) bool { return len(e.FreshnessMechanisms) == 1 }},
		{"token beside attestation", teep.ItemAttestation, func(q *teep.QueryRequest) { q.Token = token }, teep.PermanentError, nil},
		{"challenge without attestation", 0, func(q *teep.QueryRequest) { q.Challenge = challenge }, teep.PermanentError, nil},
		{"no token", 0, func(q *teep.QueryRequest) { q.Token = nil }, teep.PermanentError, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			before := w.tree()
			q := query(tt.items)
			tt.spoil(q)
			e := w.mustError(w.seal(q, w.tam), tt.code, agent.ErrRefused)
			if !bytes.Equal(e.Token, q.Token) {
				t.Errorf("token %x, the request has %x", e.Token, q.Token)
			}
			if tt.check != nil && !tt.check(e) {
				t.Errorf("lists: %+v", e)
			}
			if tt.check == nil && (e.CipherSuites != nil || e.Versions != nil || e.FreshnessMechanisms != nil) {
				t.Errorf("lists that nobody needs: %+v", e)
			}
			if e.ErrMsg == "" {
				t.Error("no words")
			}
			if w.tree() != before {
				t.Error("the store changed")
			}
		})
	}
}

// TestStrangerLearnsNothing: no answer at all, so not even the agent's key.
func TestStrangerLearnsNothing(t *testing.T) {
	w := newWorld(t)
	mallory := w.mallory
	broken := w.seal(query(teep.ItemAttestation), w.tam)
	broken[len(broken)-1] ^= 1
	for name, wire := range map[string][]byte{
		"unknown key":     w.seal(query(teep.ItemAttestation), mallory),
		"a publisher":     w.seal(query(teep.ItemAttestation), w.publisher),
		"expired anchor":  w.seal(query(teep.ItemAttestation), w.stranger),
		"broken":          broken,
		"Update":          w.seal(w.update(release{component: "a", sequence: 1, image: "x", signer: w.publisher}), mallory),
		"someone's Error": w.seal(&teep.Error{Code: teep.PermanentError}, mallory),
	} {
		before := w.tree()
		answer, err := w.deliver(wire)
		if answer != nil || !errors.Is(err, agent.ErrUntrustedTAM) {
			t.Errorf("%s: answer %+v, error %v", name, answer, err)
		}
		if w.tree() != before {
			t.Errorf("%s: the store changed", name)
		}
	}
}

// brokenAttester cannot read the device.
type brokenAttester struct{}

func (brokenAttester) Evidence(context.Context, []byte, *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	return nil, errors.New("sensor on fire")
}

func TestDeviceThatCannotMeasureItself(t *testing.T) {
	w := newWorld(t, func(c *agent.Config) { c.Attester = brokenAttester{} })
	e := w.mustError(w.seal(query(teep.ItemAttestation), w.tam), teep.TemporaryError, agent.ErrRefused)
	if bytes.Contains([]byte(e.ErrMsg), []byte("sensor")) {
		t.Errorf("inner workings go out: %q", e.ErrMsg)
	}
}

// TestOtherNumbering: the agent says what is wrong, to its own people and to the TAM.
func TestOtherNumbering(t *testing.T) {
	numberings := []teep.Numbering{teep.IANA, teep.PreIANA}
	for i, own := range numberings {
		other := numberings[1-i]
		w := newWorld(t, func(c *agent.Config) { c.Numbering = own })
		wire, err := teep.Seal(other, query(teep.ItemTrustedComponents), w.tam)
		if err != nil {
			t.Fatal(err)
		}
		e := w.mustError(wire, teep.PermanentError, agent.ErrNumbering)
		if want := "in numbering " + own.String() + ", but one in " + other.String(); !strings.Contains(e.ErrMsg, want) {
			t.Errorf("err-msg %q, want %q", e.ErrMsg, want)
		}
		_, err = w.deliver([]byte("junk"))
		if !errors.Is(err, agent.ErrRefused) || errors.Is(err, agent.ErrNumbering) {
			t.Errorf("junk: %v", err)
		}
	}
}
