package tam_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// selfAttester attests the TAM with a key that agents could know.
type selfAttester struct {
	key   cosekit.Signer
	calls int
}

func (s *selfAttester) Evidence(_ context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	s.calls++
	token, err := attest.SignEAT(&attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: bytes.Repeat([]byte{1}, 17), Confirmation: attest.Confirmation{Key: key},
	}, s.key)
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}, err
}

func demand(token, challenge []byte) *teep.Error {
	return &teep.Error{Token: token, Code: teep.AttestationRequired, ErrMsg: "who are you", Challenge: challenge}
}

// An agent that requires attestation of the TAM gets it in another QueryRequest, over its
// own challenge and for the key that signs it.
func TestTAMAttestsItself(t *testing.T) {
	own := bytes.Repeat([]byte{9}, 32)
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		self := &selfAttester{key: signer(t, cosekit.ESP256)}
		w := newWorld(t, func(c *tam.Config) { c.Attester = self })
		d := w.device(alg).enrol()
		check := func(answer tam.Answer, items teep.DataItems) *teep.QueryRequest {
			t.Helper()
			expect(t, "reason", answer.Reason, tam.ReasonTAMAttestation)
			q := d.open(answer.Body).(*teep.QueryRequest)
			expect(t, "items", q.DataItems, items)
			eat, err := attest.ParseEAT(q.Attestation.Payload)
			if err != nil {
				t.Fatal(err)
			}
			c := eat.UnverifiedClaims()
			expect(t, "nonce", bytes.Equal(c.Nonce, own), true)
			key := w.cfg.Signers.ESP256.PublicKey()
			if alg == cosekit.Ed25519 {
				key = w.cfg.Signers.Ed25519.PublicKey()
			}
			expect(t, "cnf", c.Confirmation.Key.Equal(key), true)
			return q
		}
		first := d.connect()
		q := check(w.process(d.seal(demand(first.Token, own))), teep.ItemTrustedComponents)
		expect(t, "the token is spent", w.process(d.seal(demand(first.Token, own))).Reason, tam.ReasonTokenSpent)
		expect(t, "goes on", d.respond(q).Reason, tam.ReasonNothingToDo)

		// A request for evidence has no token, so its refusal has none either.
		q = check(w.process(d.seal(demand(nil, own))), teep.ItemTrustedComponents|teep.ItemAttestation)
		expect(t, "goes on with evidence", d.respond(q).Reason, tam.ReasonNothingToDo)
		before := w.dump()
		q = check(w.process(d.seal(demand(nil, own))), teep.ItemTrustedComponents|teep.ItemAttestation)
		expect(t, "changes state", w.dump() != before, false)
		check(w.process(d.seal(demand(nil, own))), q.DataItems)
		check(w.process(d.seal(demand(nil, own))), q.DataItems)
		expect(t, "too often", w.process(d.seal(demand(nil, own))).Reason, tam.ReasonTAMAttestation)
		expect(t, "evidence made", self.calls, 5)
		check(w.process(d.seal(demand(d.connect().Token, own))), teep.ItemTrustedComponents) // no copy of what is old
		w.now.add(time.Minute)
		check(w.process(d.seal(demand(nil, own))), q.DataItems)

		q = check(w.process(d.seal(demand(d.connect().Token, own))), teep.ItemTrustedComponents)
		answer := w.process(d.seal(demand(q.Token, own)))
		expect(t, "not content with it", answer.Reason, tam.ReasonTAMAttestation)
		expect(t, "answered again", answer.Body != nil, false)
	}
}

// What cannot be attested is refused with its reason.
func TestTAMDoesNotAttestItself(t *testing.T) {
	self := &selfAttester{key: signer(t, cosekit.ESP256)}
	w := newWorld(t, func(c *tam.Config) { c.Attester = self })
	d := w.device(cosekit.ESP256).enrol()
	answer := w.process(d.seal(demand(d.connect().Token, nil)))
	expect(t, "no challenge", answer.Reason, tam.ReasonTAMAttestation)
	expect(t, "answered", answer.Body != nil, false)
	expect(t, "evidence made", self.calls, 0)
	w.cfg.Attester = brokenPart{}
	w.restart()
	answer = w.process(d.seal(demand(d.connect().Token, make([]byte, 32))))
	expect(t, "failing attester", answer.Reason, tam.ReasonTAMAttestation)
	expect(t, "answered", answer.Body != nil, false)
	expect(t, "a poll", d.poll(), "token, end nothing-to-do")
}

// A stranger could never begin if the TAM attested itself to acquaintances only. It costs
// a token of ours, which does it once, and changes nothing.
func TestTAMAttestsItselfToStrangers(t *testing.T) {
	self := &selfAttester{key: signer(t, cosekit.ESP256)}
	w := newWorld(t, func(c *tam.Config) { c.Attester = self })
	d := w.device(cosekit.ESP256)
	own := make([]byte, 32)
	before := w.dump()
	first := d.connect()
	q := d.open(w.process(d.seal(demand(first.Token, own))).Body).(*teep.QueryRequest)
	expect(t, "evidence", q.Attestation != nil, true)
	expect(t, "the same token", w.process(d.seal(demand(first.Token, own))).Reason, tam.ReasonTAMAttestation)
	expect(t, "the token of the answer", w.process(d.seal(demand(q.Token, own))).Reason, tam.ReasonTAMAttestation)
	expect(t, "no token", w.process(d.seal(demand(nil, own))).Reason, tam.ReasonUnknownKey)
	expect(t, "a foreign token", w.process(d.seal(demand(make([]byte, 32), own))).Reason, tam.ReasonTokenForeign)
	expect(t, "evidence made", self.calls, 1)
	expect(t, "changed", w.dump() != before, false)
	answer := d.respond(q)
	expect(t, "goes on", answer.Reason, tam.ReasonAttestationWanted)
	expect(t, "to first contact", d.respond(d.open(answer.Body).(*teep.QueryRequest)).Reason, "device-pending")
}

// However many strangers ask, the attester is not kept busy, and who is known gets its own.
func TestStrangersDoNotUseUpTheAttester(t *testing.T) {
	self := &selfAttester{key: signer(t, cosekit.ESP256)}
	w := newWorld(t, func(c *tam.Config) { c.Attester = self })
	d, stranger := w.device(cosekit.Ed25519).enrol(), w.device(cosekit.Ed25519)
	w.ep.FirstRequest = cosekit.Ed25519
	own := make([]byte, 32)
	for range 5000 {
		w.process(stranger.seal(demand(stranger.connect().Token, own)))
	}
	expect(t, "evidence made for strangers", self.calls < 100, true)
	expect(t, "for who is known", w.process(d.seal(demand(d.connect().Token, own))).Body != nil, true)
	w.now.add(time.Minute)
	expect(t, "for a stranger, later", w.process(stranger.seal(demand(stranger.connect().Token, own))).Body != nil, true)
}
