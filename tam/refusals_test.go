package tam_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/veraison/go-cose"
)

// sealed signs an encoded TEEP message, whatever it is.
func sealed(t testing.TB, payload []byte, by cosekit.Signer) []byte {
	t.Helper()
	wire, err := cosekit.Sign1(by, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func encoded(t testing.TB, m teep.Message) []byte {
	t.Helper()
	payload, err := teep.Encode(teep.IANA, m)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// legacy signs with ES256 (-7) under an ordinary P-256 key.
func legacy(t testing.TB, payload []byte) ([]byte, *cosekit.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cosekit.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	kid := public.Thumbprint()
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(cose.AlgorithmES256)
	m.Headers.Unprotected[cose.HeaderLabelKeyID] = kid[:]
	m.Payload = payload
	if err := m.Sign(rand.Reader, nil, s); err != nil {
		t.Fatal(err)
	}
	wire, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	return wire, public
}

// withHeaders signs with the headers given and no others.
func withHeaders(t testing.TB, payload []byte, by cosekit.Signer, change func(*cose.Headers)) []byte {
	t.Helper()
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(by.Algorithm())
	kid := by.PublicKey().Thumbprint()
	m.Headers.Unprotected[cose.HeaderLabelKeyID] = kid[:]
	change(&m.Headers)
	m.Payload = payload
	if err := m.Sign(rand.Reader, nil, by); err != nil {
		t.Fatal(err)
	}
	wire, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func dropKeyID(h *cose.Headers) { delete(h.Unprotected, cose.HeaderLabelKeyID) }

// Messages that are not understood or not authentic change nothing and get no
// answer, whoever they seem to come from.
func TestUnauthenticMessages(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	stranger := w.device(cosekit.ESP256)
	q := d.connect()
	good := d.seal(d.response(q))
	payload := encoded(t, d.response(q))
	duplicate := append([]byte{0x82, 0x02, 0xa2}, bytes.Repeat(append([]byte{19, 0x58, 32}, q.Token...), 2)...)
	indefinite := append([]byte{0x82, 0x02, 0xbf}, append(append([]byte{19, 0x58, 32}, q.Token...), 0xff)...)
	asTAM, err := teep.SealFor(teep.IANA, q, []cosekit.Signer{signer(t, cosekit.ESP256), signer(t, cosekit.Ed25519)})
	if err != nil {
		t.Fatal(err)
	}
	multi, err := cosekit.Sign([]cosekit.Signer{d.key}, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	es256, _ := legacy(t, encoded(t, &teep.QueryResponse{Token: q.Token}))
	noKid := dropKeyID

	cases := []struct {
		name   string
		wire   []byte
		reason tam.Reason
	}{
		{"empty", nil, tam.ReasonMalformed},
		{"not CBOR", []byte("GET / HTTP/1.1"), tam.ReasonMalformed},
		{"truncated", good[:len(good)-1], tam.ReasonMalformed},
		{"trailing byte", append(slices.Clone(good), 0), tam.ReasonMalformed},
		{"unsigned", payload, tam.ReasonMalformed},
		{"duplicate option", sealed(t, duplicate, d.key), tam.ReasonMalformed},
		{"indefinite length", sealed(t, indefinite, d.key), tam.ReasonMalformed},
		{"trailing byte in the payload", sealed(t, append(slices.Clone(payload), 0), d.key), tam.ReasonMalformed},
		{"short token", sealed(t, []byte{0x82, 0x02, 0xa1, 19, 0x41, 0}, d.key), tam.ReasonMalformed},
		{"the other numbering's Error", sealed(t, []byte{0x83, 0x06, 0xa0, 0x01}, d.key), tam.ReasonMalformed},
		{"a QueryRequest", asTAM, tam.ReasonUnexpectedMessage},
		{"an Update", sealed(t, encoded(t, &teep.Update{Token: q.Token}), d.key), tam.ReasonUnexpectedMessage},
		{"COSE_Sign", multi, tam.ReasonWrapper},
		{"wrong key under the registered kid", withHeaders(t, payload, stranger.key, func(h *cose.Headers) {
			kid := d.thumbprint()
			h.Unprotected[cose.HeaderLabelKeyID] = kid[:]
		}), tam.ReasonSignature},
		{"another payload under the signature", bytes.Replace(good, q.Token[6:14], make([]byte, 8), 1), tam.ReasonSignature},
		{"critical header", withHeaders(t, payload, d.key, func(h *cose.Headers) {
			h.Protected[int64(-70000)] = int64(1)
			h.Protected[cose.HeaderLabelCritical] = []any{int64(-70000)}
		}), tam.ReasonCriticalHeader},
		{"ES256 where it is not allowed", es256, tam.ReasonAlgorithm},
		{"token without a kid", withHeaders(t, payload, d.key, noKid), tam.ReasonKeyMissing},
		{"Success without a kid", withHeaders(t, encoded(t, &teep.Success{Token: q.Token}), d.key, noKid), tam.ReasonKeyMissing},
		{"Success of an unknown key", stranger.seal(&teep.Success{Token: q.Token}), tam.ReasonUnknownKey},
		{"Error of an unknown key", stranger.seal(&teep.Error{Token: q.Token, Code: teep.PermanentError}), tam.ReasonUnknownKey},
		{"neither token nor evidence of an unknown key", stranger.seal(&teep.QueryResponse{}), tam.ReasonUnknownKey},
		{"Success without a token", d.seal(&teep.Success{}), tam.ReasonTokenMissing},
		{"Error without a token", d.seal(&teep.Error{Code: teep.PermanentError}), tam.ReasonErrorUnmatched},
		{"the agent wants the TAM attested", d.seal(&teep.Error{Code: teep.AttestationRequired}), tam.ReasonTAMAttestation},
		{"Success with the token of a QueryRequest", d.seal(&teep.Success{Token: q.Token}), tam.ReasonNoUpdate},
		{"Error with a token from nowhere", d.seal(&teep.Error{Code: teep.PermanentError, Token: make([]byte, 32)}), tam.ReasonNoUpdate},
	}
	before := w.dump()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			answer := w.process(c.wire)
			expect(t, "reason", answer.Reason, c.reason)
			expect(t, "answered", answer.Body != nil, false)
			expect(t, "changed", w.dump() != before, false)
		})
	}
	for i := range good {
		if answer := w.process(good[:i]); answer.Reason != tam.ReasonMalformed || answer.Body != nil {
			t.Errorf("truncated after %d bytes: %s", i, answer.Reason)
		}
	}
	expect(t, "changed by truncated messages", w.dump() != before, false)
	if d.open(w.process(good).Body).Kind() != teep.KindUpdate {
		t.Error("the token was spent by a bad message")
	}
}

func TestBadTokens(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	other := w.device(cosekit.Ed25519).enrol()
	challenge, othersChallenge := w.challengeFor(d), w.challengeFor(other)
	elsewhere := &tam.Endpoint{Path: "/tan"}
	preIANA := &tam.Endpoint{Path: w.ep.Path, Numbering: teep.PreIANA}
	expired := d.connect()
	w.now.add(tam.Defaults().TokenLifetime + time.Second)
	q := d.connect()
	changed := func(i int) []byte {
		token := slices.Clone(q.Token)
		token[i] ^= 0x40
		return token
	}
	before := w.dump()
	for _, c := range []struct {
		name   string
		ep     *tam.Endpoint
		token  []byte
		reason tam.Reason
	}{
		{"expired", w.ep, expired.Token, tam.ReasonTokenExpired},
		{"other endpoint", elsewhere, q.Token, tam.ReasonTokenForeign},
		{"other numbering", preIANA, q.Token, tam.ReasonTokenForeign},
		{"from nowhere", w.ep, make([]byte, 32), tam.ReasonTokenForeign},
		{"too short", w.ep, q.Token[:31], tam.ReasonTokenForeign},
		{"other key id", w.ep, changed(0), tam.ReasonTokenForeign},
		{"other data items", w.ep, changed(1), tam.ReasonTokenForeign},
		{"other time", w.ep, changed(4), tam.ReasonTokenForeign},
		{"other randomness", w.ep, changed(10), tam.ReasonTokenForeign},
		{"other MAC", w.ep, changed(31), tam.ReasonTokenForeign},
		{"challenge as a token", w.ep, challenge, tam.ReasonTokenPurpose},
		{"another agent's challenge", w.ep, othersChallenge, tam.ReasonTokenForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire, err := teep.Seal(c.ep.Numbering, &teep.QueryResponse{Token: c.token}, d.key)
			if err != nil {
				t.Fatal(err)
			}
			answer := w.processAt(c.ep, wire)
			expect(t, "reason", answer.Reason, c.reason)
			expect(t, "answered", answer.Body != nil, false)
			expect(t, "changed", w.dump() != before, false)
		})
	}
	wire := d.seal(d.response(q))
	expect(t, "first answer", w.process(wire).Reason, tam.ReasonNothingToDo)
	before = w.dump()
	expect(t, "the same message again", w.process(wire).Reason, tam.ReasonTokenSpent)
	expect(t, "another message with the token", w.process(d.seal(&teep.QueryResponse{Token: q.Token})).Reason, tam.ReasonTokenSpent)
	expect(t, "changed by replays", w.dump() != before, false)
}

// challengeFor makes the TAM send a challenge that is bound to the agent.
func (w *world) challengeFor(d *device) []byte {
	w.t.Helper()
	agent := d.agent()
	attested := agent.AttestedAt
	agent.AttestedAt = time.Time{}
	w.update(func(tx tam.Tx) error { return tx.PutAgent(agent) })
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	agent = d.agent()
	agent.AttestedAt = attested
	w.update(func(tx tam.Tx) error { return tx.PutAgent(agent) })
	return q.Challenge
}

// badEvidence is what is wrong with evidence, and what that is called.
type evidenceCase struct {
	name   string
	reason tam.Reason
	make   func(*testing.T, *device, *teep.QueryRequest) *teep.AttestationPayload
}

var badEvidence = []evidenceCase{
	{"unregistered attestation key", tam.ReasonNotAffirmed, func(t *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
		d.attester = signer(t, cosekit.ESP256)
		return d.evidence(q.Challenge)
	}},
	{"expired", tam.ReasonEvidenceTime, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
		return d.evidence(q.Challenge, func(c *attest.Claims) { c.Expires = d.w.now.Now().Add(-time.Hour) })
	}},
	{"from the future", tam.ReasonEvidenceTime, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
		return d.evidence(q.Challenge, func(c *attest.Claims) { c.NotBefore = d.w.now.Now().Add(time.Hour) })
	}},
	{"claims missing", tam.ReasonNotAffirmed, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
		return d.evidence(q.Challenge, func(c *attest.Claims) { c.HWModel = nil })
	}},
	{"signature of another token", tam.ReasonNotAffirmed, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
		one, two := d.evidence(q.Challenge), d.evidence(q.Challenge, func(c *attest.Claims) { c.HWVersion = "2.0" })
		n := len(one.Payload)
		copy(one.Payload[n-64:], two.Payload[n-64:])
		return one
	}},
}

func TestBadEvidenceOfAnUnknownKeyChangesNothing(t *testing.T) {
	cases := slices.Concat(badEvidence, []evidenceCase{
		{"nonce of nobody", tam.ReasonTokenForeign, func(_ *testing.T, d *device, _ *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(bytes.Repeat([]byte{7}, 32))
		}},
		{"no nonce", tam.ReasonNonce, func(_ *testing.T, d *device, _ *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(nil)
		}},
		{"token as nonce", tam.ReasonTokenPurpose, func(_ *testing.T, d *device, _ *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(d.connect().Token)
		}},
		{"cnf of another key", tam.ReasonCnfMismatch, func(t *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(q.Challenge, func(c *attest.Claims) { c.Confirmation.Key = signer(t, cosekit.ESP256).PublicKey() })
		}},
		{"cnf only names the key", tam.ReasonCnfMissing, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			kid := d.thumbprint()
			return d.evidence(q.Challenge, func(c *attest.Claims) { c.Confirmation = attest.Confirmation{KeyID: kid[:]} })
		}},
		{"an attestation result", tam.ReasonResultUnsupported, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			e := d.evidence(q.Challenge)
			e.Format = ""
			return e
		}},
		{"unreadable", tam.ReasonEvidenceUnreadable, func(*testing.T, *device, *teep.QueryRequest) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: []byte("evidence")}
		}},
		{"too large", tam.ReasonEvidenceTooLarge, func(*testing.T, *device, *teep.QueryRequest) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: make([]byte, attest.MaxTokenSize+1)}
		}},
		{"a format that the verifier does not read", tam.ReasonEvidenceFormat, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			e := d.evidence(q.Challenge)
			e.Format = "application/vnd.example.evidence"
			return e
		}},
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			d := w.device(cosekit.ESP256)
			q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
			before := w.dump()
			payload := c.make(t, d, q)
			answer := w.process(d.seal(&teep.QueryResponse{Attestation: payload}))
			expect(t, "reason", answer.Reason, c.reason)
			expect(t, "answered", answer.Body != nil, false)
			expect(t, "changed", w.dump() != before, false)

			d.attester = w.attester
			expect(t, "the challenge is still good", d.respond(q).Reason, "device-pending")
		})
	}
}

func TestBadEvidenceOfARegisteredKeyGetsNothing(t *testing.T) {
	cases := slices.Concat(badEvidence, []evidenceCase{
		{"another device", tam.ReasonUEIDMismatch, func(_ *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(q.Challenge, func(c *attest.Claims) { c.UEID = append([]byte{1}, bytes.Repeat([]byte{9}, 16)...) })
		}},
		{"cnf of another key", tam.ReasonCnfMismatch, func(t *testing.T, d *device, q *teep.QueryRequest) *teep.AttestationPayload {
			return d.evidence(q.Challenge, func(c *attest.Claims) { c.Confirmation.Key = signer(t, cosekit.ESP256).PublicKey() })
		}},
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("app/hello", 1, "image")
			d := w.device(cosekit.Ed25519).enrol()
			d.require("app/hello")
			w.ep.FirstContact = tam.ChallengeFirst
			w.now.add(time.Minute)
			q := d.connect()
			d.installed["app/hello"] = sum("image")
			m := &teep.QueryResponse{Attestation: c.make(t, d, q), TCList: d.properties(d.installed)}
			answer := w.process(d.seal(m))
			expect(t, "reason", answer.Reason, c.reason)
			u := d.open(answer.Body).(*teep.Update)
			expect(t, "error code", u.ErrCode, teep.AttestationRequired)
			expect(t, "manifests", len(u.Manifests), 0)
			expect(t, "token", u.Token == nil, true)

			expect(t, "state", d.record().State, devices.Accepted)
			expect(t, "counts as attested", !d.agent().AttestedAt.IsZero(), false)
			id := d.record().ID
			w.view(func(r tam.Reader) error {
				inventory, err := r.Inventory(id)
				expect(t, "inventory of who failed", len(inventory), 0)
				history, err2 := r.Appraisals(tam.AppraisalQuery{Device: id, Limit: 10})
				expect(t, "appraisals on record", len(history), 2)
				expect(t, "accepted", history[0].Accepted, false)
				return errors.Join(err, err2)
			})
			expect(t, "audited", w.events(audit.AttestationFailed), 1)
			d.attester = w.attester
			expect(t, "the challenge is spent", d.respond(q).Reason, tam.ReasonTokenSpent)

			// A cheap poll does not get around it.
			w.ep.FirstContact = tam.TokenFirst
			delete(d.installed, "app/hello")
			expect(t, "next poll", d.poll(), "token, challenge, update, end")
		})
	}
}

func TestResponseWithoutWhatWasAskedFor(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	for _, c := range []struct {
		name   string
		m      *teep.QueryResponse
		reason tam.Reason
		code   teep.ErrorCode
	}{
		{"a result", &teep.QueryResponse{Attestation: &teep.AttestationPayload{Payload: []byte{0xa0}}}, tam.ReasonResultUnsupported, teep.AttestationRequired},
		{"report with another nonce", &teep.QueryResponse{SUITReports: [][]byte{d.report(sum("m"), make([]byte, 32), nil)}, Token: d.connect().Token}, tam.ReasonReportNonce, teep.PermanentError},
		{"report that is none", &teep.QueryResponse{SUITReports: [][]byte{{0xa0}}, Token: d.connect().Token}, tam.ReasonReportMalformed, teep.PermanentError},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := w.process(d.seal(c.m))
			expect(t, "reason", answer.Reason, c.reason)
			expect(t, "error code", d.open(answer.Body).(*teep.Update).ErrCode, c.code)
			if c.m.Token != nil {
				expect(t, "again", w.process(d.seal(c.m)).Reason, tam.ReasonTokenSpent)
			}
		})
	}
}

// What comes along with a token was not asked for and is not looked at.
func TestEvidenceBesideATokenIsNotLookedAt(t *testing.T) {
	w := newWorld(t)
	junk := &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: []byte("junk")}
	stranger := w.device(cosekit.ESP256)
	wire := stranger.seal(&teep.QueryResponse{Token: stranger.connect().Token, Attestation: junk})
	expect(t, "unknown key", w.process(wire).Reason, tam.ReasonAttestationWanted)
	d := w.device(cosekit.ESP256).enrol()
	wire = d.seal(&teep.QueryResponse{Token: d.connect().Token, Attestation: junk})
	expect(t, "registered key", w.process(wire).Reason, tam.ReasonNothingToDo)
}

// Without a kid, an agent is found through cnf where it attests.
func TestEvidenceWithoutKeyID(t *testing.T) {
	w := newWorld(t)
	w.ep.FirstContact = tam.ChallengeFirst
	d := w.device(cosekit.ESP256)
	noKid := dropKeyID
	send := func(change ...func(*attest.Claims)) tam.Answer {
		return w.process(withHeaders(t, encoded(t, d.response(d.connect(), change...)), d.key, noKid))
	}
	expect(t, "first contact", send().Reason, "device-pending")
	expect(t, "registered", send().Reason, "device-pending")
	kid := d.thumbprint()
	expect(t, "registered, cnf only names it", send(func(c *attest.Claims) { c.Confirmation = attest.Confirmation{KeyID: kid[:]} }).Reason, "device-pending")
}
