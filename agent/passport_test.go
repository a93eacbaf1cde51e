package agent_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// traveller is a world whose agent keeps passports, by verifiers that it trusts or unread.
func newTraveller(t testing.TB, unread bool, change ...func(*agent.Config)) *wary {
	t.Helper()
	return newWary(t, append([]func(*agent.Config){func(c *agent.Config) {
		c.TAMAttestation, c.Passports = nil, true
		if unread {
			c.Results = nil
		}
	}}, change...)...)
}

// about are the claims of a verifier about the agent, issued by w.verifier.
func (w *wary) about() *attest.Claims {
	c := w.claims([]byte("some nonce of ours"))
	c.Confirmation.Key = w.key.PublicKey()
	return c
}

// stamp is an Update that brings nothing but a result; each is another Update.
func (w *wary) stamp(p *teep.AttestationPayload) *teep.Update {
	return &teep.Update{Token: append(bytes.Clone(token), byte(len(w.events))), Attestation: p}
}

// unchallenged is a request of the passport model.
func unchallenged() *teep.QueryRequest {
	return &teep.QueryRequest{
		CipherSuites: []teep.CipherSuite{teep.SuiteESP256}, COSEProfiles: teep.TEEPProfiles,
		FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessTimestamp}, DataItems: teep.ItemAttestation,
	}
}

// holdsNone wants the agent to ask for a challenge, which is no fault.
func (w *wary) holdsNone() {
	w.t.Helper()
	answer, err := w.deliver(w.seal(unchallenged(), w.tam))
	if e, ok := answer.(*teep.Error); !ok || e.Code != teep.UnsupportedFreshnessMechanisms || len(e.FreshnessMechanisms) != 1 || err != nil {
		w.t.Errorf("answer %+v, %v", answer, err)
	}
}

// TestPassport: it is presented as it came, where no challenge is sent, until it expires,
// also by the next process. Over a challenge there is evidence.
func TestPassport(t *testing.T) {
	for _, unread := range []bool{false, true} {
		var config agent.Config
		w := newTraveller(t, unread, func(c *agent.Config) { config = *c })
		w.holdsNone()
		p := w.result(w.about(), w.verifier)
		if s := must[*teep.Success](w.world, w.stamp(p)); s.Msg != "" {
			t.Errorf("success with %q", s.Msg)
		}
		kept, err := w.store.Papers()
		if k := kept.Passport; err != nil || k == nil || k.Verified == unread || !k.Expires.Equal(w.now.Add(time.Hour)) || !k.Received.Equal(w.now) {
			t.Errorf("kept %+v, %v", kept.Passport, err)
		}
		if w.agent, err = agent.New(config); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r := must[*teep.QueryResponse](w.world, unchallenged())
			if r.Attestation == nil || r.Attestation.Format != p.Format || !bytes.Equal(r.Attestation.Payload, p.Payload) {
				t.Fatalf("presented %+v", r.Attestation)
			}
		}
		if r := must[*teep.QueryResponse](w.world, query(teep.ItemAttestation)); r.Attestation.Format != attest.EvidenceMediaType {
			t.Errorf("over a challenge %+v", r.Attestation)
		}
		w.now = w.now.Add(time.Hour)
		w.holdsNone()
	}
}

// TestPassportRenewed: the new one counts, with manifests beside it too, and an old Update
// that comes again brings the old one not back.
func TestPassportRenewed(t *testing.T) {
	w := newTraveller(t, false)
	first := w.result(w.about(), w.verifier)
	old := w.stamp(first)
	must[*teep.Success](w.world, old)
	w.now = w.now.Add(time.Minute)
	second := w.result(w.about(), w.verifier)
	u := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	u.Attestation = second
	if s := must[*teep.Success](w.world, u); len(s.SUITReports) != 1 {
		t.Errorf("%+v", s)
	}
	if answer, err := w.deliver(w.seal(old, w.tam)); answer != nil || !errors.Is(err, agent.ErrReplayed) {
		t.Errorf("replay: %+v, %v", answer, err)
	}
	if r := must[*teep.QueryResponse](w.world, unchallenged()); !bytes.Equal(r.Attestation.Payload, second.Payload) {
		t.Error("not the new one")
	}
}

// TestPassportThatIsOfNoUse is said in the Success, and does not replace a good one.
func TestPassportThatIsOfNoUse(t *testing.T) {
	other := func(change func(w *wary, c *attest.Claims)) func(*wary) *teep.AttestationPayload {
		return func(w *wary) *teep.AttestationPayload {
			c := w.about()
			change(w, c)
			return w.result(c, w.verifier)
		}
	}
	expired := func(w *wary) *teep.AttestationPayload {
		w.now = w.now.Add(-2 * time.Hour)
		defer func() { w.now = w.now.Add(2 * time.Hour) }()
		return w.result(w.about(), w.verifier)
	}
	for name, tt := range map[string]struct {
		make   func(w *wary) *teep.AttestationPayload
		unread bool // an agent that reads none cannot tell either
		word   string
	}{
		"a stranger signed it": {make: func(w *wary) *teep.AttestationPayload { return w.result(w.about(), w.stranger) }, word: "not signed by a trusted verifier"},
		"another agent's":      {make: other(func(w *wary, c *attest.Claims) { c.Confirmation.Key = w.tam.PublicKey() }), word: "another agent"},
		"another agent's name": {make: other(func(w *wary, c *attest.Claims) { c.Confirmation = attest.Confirmation{KeyID: []byte{1}} }), word: "another agent"},
		"expired":              {make: expired, word: "expired"},
		"expired, unread":      {make: expired, unread: true, word: "expired"},
		"evidence": {make: func(w *wary) *teep.AttestationPayload { return evidence(w.t, w.about(), w.verifier) }, unread: true,
			word: "no attestation result"},
		"oversize": {make: func(*wary) *teep.AttestationPayload {
			return &teep.AttestationPayload{Payload: make([]byte, attest.MaxTokenSize+1)}
		}, unread: true, word: "too large"},
		"truncated": {make: func(w *wary) *teep.AttestationPayload {
			p := w.result(w.about(), w.verifier)
			p.Payload = p.Payload[:len(p.Payload)/2]
			return p
		}, word: "result"},
		"alg none": {make: func(w *wary) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: `application/eat+jwt; eat_profile="` + attest.ProfileEAR03 + `"`, Payload: []byte("eyJhbGciOiJub25lIn0.e30.")}
		}, word: "result"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTraveller(t, tt.unread)
			good := w.result(w.about(), w.verifier)
			must[*teep.Success](w.world, w.stamp(good))
			s := must[*teep.Success](w.world, w.stamp(tt.make(w)))
			if !strings.Contains(s.Msg, "passport not kept: ") || !strings.Contains(w.passportEvent(), tt.word) {
				t.Errorf("told %q, seen %q, want %q", s.Msg, w.passportEvent(), tt.word)
			}
			if r := must[*teep.QueryResponse](w.world, unchallenged()); !bytes.Equal(r.Attestation.Payload, good.Payload) {
				t.Error("the good one is gone")
			}
		})
	}
}

// passportEvent is the last that was seen of a passport.
func (w *wary) passportEvent() (detail string) {
	for _, e := range w.events {
		if e.Step == agent.StepPassport {
			detail = e.Detail
		}
	}
	return detail
}

// TestPassportRefusedByTheTAM: it is dropped, so that the next session can go on with a
// challenge; an Update that says so for another reason drops nothing.
func TestPassportRefusedByTheTAM(t *testing.T) {
	w := newTraveller(t, true)
	no := &teep.Update{ErrCode: teep.AttestationRequired, ErrMsg: "too old"}
	told := func(dropped bool) {
		t.Helper()
		if _, err := w.deliver(w.seal(no, w.tam)); !errors.As(err, new(*agent.TAMError)) || errors.Is(err, agent.ErrPassport) != dropped {
			t.Error(err)
		}
	}
	must[*teep.Success](w.world, w.stamp(w.result(w.about(), w.verifier)))
	told(false)
	must[*teep.QueryResponse](w.world, unchallenged())
	must[*teep.QueryResponse](w.world, query(teep.ItemAttestation)) // evidence now
	told(false)
	must[*teep.QueryResponse](w.world, unchallenged())
	told(true)
	w.holdsNone()
	if kept, err := w.store.Papers(); err != nil || kept.Passport != nil {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

// TestPassportBesideAnError: a TAM that refuses and sends a result does not make itself
// clear; the result is not kept.
func TestPassportBesideAnError(t *testing.T) {
	w := newTraveller(t, true)
	u := w.stamp(w.result(w.about(), w.verifier))
	u.ErrCode = teep.TemporaryError
	if _, err := w.deliver(w.seal(u, w.tam)); !errors.As(err, new(*agent.TAMError)) {
		t.Error(err)
	}
	w.holdsNone()
}

// TestPassportAndMechanisms: that none is held is no excuse for a mechanism that the agent
// does not know.
func TestPassportAndMechanisms(t *testing.T) {
	w := newTraveller(t, true)
	q := query(teep.ItemAttestation)
	q.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessTimestamp}
	w.mustError(w.seal(q, w.tam), teep.UnsupportedFreshnessMechanisms, agent.ErrRefused)
}

// TestNoPassports: an agent that keeps none leaves them alone, and one that cannot keep
// one says so.
func TestNoPassports(t *testing.T) {
	w := newTraveller(t, true, func(c *agent.Config) { c.Passports = false })
	must[*teep.Success](w.world, w.stamp(w.result(w.about(), w.verifier)))
	w.mustError(w.seal(unchallenged(), w.tam), teep.UnsupportedFreshnessMechanisms, agent.ErrRefused)
	w = newTraveller(t, true, func(c *agent.Config) { c.Memory = noPaper{c.Memory} })
	if s := must[*teep.Success](w.world, w.stamp(w.result(w.about(), w.verifier))); !strings.Contains(s.Msg, "disk full") {
		t.Errorf("%q", s.Msg)
	}
	w.holdsNone()
}

// TestEncryptedEvidence: only the holder of the TAM's key reads it, a passport as well.
func TestEncryptedEvidence(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		to, other := agreementKey(t), agreementKey(t)
		key := generate(t, alg)
		w := newTraveller(t, true, func(c *agent.Config) { c.EvidenceTo, c.Key = to.PublicKey(), key })
		w.key = key
		if alg == cosekit.Ed25519 {
			w.tam, w.tamEd = w.tamEd, w.tam
		}
		passport := w.result(w.about(), w.verifier)
		must[*teep.Success](w.world, w.stamp(passport))
		open := unchallenged()
		open.CipherSuites = query(0).CipherSuites
		for name, q := range map[string]*teep.QueryRequest{"evidence": query(teep.ItemAttestation), "passport": open} {
			p := must[*teep.QueryResponse](w.world, q).Attestation
			message, err := cosekit.ParseEncrypted(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[cosekit.Algorithm]cosekit.Algorithm{cosekit.ESP256: cosekit.A128GCM, cosekit.Ed25519: cosekit.ChaCha20Poly1305}[alg]; message.Content != want {
				t.Errorf("%s: encrypted with %s", name, cosekit.AlgorithmName(message.Content))
			}
			plain, err := message.Open(cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{to}}, cosekit.EATEncryption)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := attest.ParseEAT(plain); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if bytes.Contains(p.Payload, plain[:16]) || name == "passport" && !bytes.Equal(plain, passport.Payload) {
				t.Errorf("%s: not what was to be sent", name)
			}
			for context, key := range map[cosekit.KDFContext]cosekit.AgreementKey{cosekit.EATEncryption: other, cosekit.ReportEncryption: to} {
				if _, err := message.Open(cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{key}}, context); err == nil {
					t.Errorf("%s: opened by another key, or for another use (%s)", name, context)
				}
			}
		}
	}
}

func agreementKey(t testing.TB) cosekit.AgreementKey {
	t.Helper()
	key, err := cosekit.GenerateAgreementKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// told is a verifier of results that says what it is told to.
type told struct{ result *attest.Result }

func (t told) Verify(context.Context, string, []byte) (*attest.Result, error) { return t.result, nil }

// TestResultThatDoesNotAffirm: a signature is not enough, neither of a passport nor about
// the TAM; the vector counts, not what it is called.
func TestResultThatDoesNotAffirm(t *testing.T) {
	vector := func(value int8) []attest.Element {
		return []attest.Element{{Name: attest.InstanceIdentity, Value: 2}, {Name: attest.Executables, Value: value, Reason: "an implant"}}
	}
	for name, r := range map[string]*attest.Result{
		"warning":                        {Status: attest.Warning, Vector: vector(33)},
		"affirming over contraindicated": {Status: attest.Affirming, Vector: vector(96)},
		"none":                           {Status: attest.None},
		"no claims":                      {Status: attest.Affirming, Vector: vector(2)},
		"no result":                      nil,
	} {
		results := func(c *agent.Config) { c.Results = told{r} }
		w := newTraveller(t, false, results)
		fill := func(c *attest.Claims) {
			if r != nil && name != "no claims" {
				r.Claims = c
			}
		}
		fill(w.about())
		if s := must[*teep.Success](w.world, w.stamp(&teep.AttestationPayload{Payload: []byte{1}})); !strings.Contains(s.Msg, "not kept") {
			t.Errorf("%s: kept, %q", name, s.Msg)
		}
		w.holdsNone()

		w = newWary(t, results)
		q := query(teep.ItemTrustedComponents)
		fill(w.claims(w.demanded(q)))
		answer, err := w.deliver(w.seal(with(q, &teep.AttestationPayload{Payload: []byte{1}}), w.tam))
		if answer != nil || !errors.Is(err, agent.ErrTAMAttestation) {
			t.Errorf("%s: answer %+v, %v", name, answer, err)
		}
	}
}

// TestPassportOfAnotherDevice is not kept, whether the device trusts a verifier or not: the
// next TAM would learn of the other device.
func TestPassportOfAnotherDevice(t *testing.T) {
	for _, unread := range []bool{false, true} {
		w := newTraveller(t, unread)
		c := w.about()
		c.UEID = ueid(1)
		if s := must[*teep.Success](w.world, w.stamp(w.result(c, w.verifier))); !strings.Contains(s.Msg, "another device") {
			t.Errorf("success with %q", s.Msg)
		}
		w.holdsNone()
	}
}
