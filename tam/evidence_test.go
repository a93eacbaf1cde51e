package tam_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// routed gives the TAM the built-in verifier as it is in production, over what operators
// have registered in its store, and lets agents bring results.
func routed(c *tam.Config) {
	trust := tam.NewTrust(c.Store, c.Clock, 30*time.Second)
	c.Results = trust
	c.Verifier = evidence.NewRouter(evidence.Route{
		Name: "local", Accepts: func(attest.MediaType) bool { return true },
		Verifier: local.New(trust, local.Options{Clock: c.Clock}),
	})
}

// importPublished signs what a maker says and imports it.
func (w *world) importPublished(u ...interface {
	Sign(cosekit.Signer, string) ([]byte, error)
}) {
	w.t.Helper()
	maker := signer(w.t, cosekit.ESP256)
	if _, err := w.fleet().AddReferenceSigner(w.t.Context(), "operator:test", anchor.Anchor{Key: maker.PublicKey(), Title: "maker"}); err != nil {
		w.t.Fatal(err)
	}
	for _, statement := range u {
		raw, err := statement.Sign(maker, "maker")
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.fleet().ImportReferences(w.t.Context(), "operator:test", raw); err != nil {
			w.t.Fatal(err)
		}
	}
}

const psaFormat = `application/eat+cwt; eat_profile="tag:psacertified.org,2023:psa#tfm"`

// bundle makes bound evidence of a PSA device about the agent.
func (d *device) bundle(psa *localtest.PSA, challenge []byte, change ...func(*attest.Claims)) *teep.AttestationPayload {
	c := d.claims(challenge)
	for _, f := range change {
		f(c)
	}
	e := localtest.Bundle(c, psaFormat, func(nonce []byte) []byte { return psa.Token(nonce) })
	return &teep.AttestationPayload{Format: e.Format, Payload: e.Payload}
}

// Any hardware enrols any key through a bound bundle, and stays with its device.
func TestBoundBundleEnrols(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	psa, other := localtest.NewPSA("one"), localtest.NewPSA("two")
	w.importPublished(psa.Published("one"), other.Published("two"))
	d := w.device(cosekit.ESP256)
	send := func(p *teep.AttestationPayload) tam.Answer {
		return w.process(d.seal(&teep.QueryResponse{Attestation: p}))
	}
	expect(t, "first contact", send(d.bundle(psa, d.connect().Challenge)).Reason, "device-pending")
	expect(t, "attestation key on record", d.record().AttestationKey != cosekit.Thumbprint{}, true)
	d.setState(devices.Accepted)
	w.now.add(time.Second)
	expect(t, "again", send(d.bundle(psa, d.connect().Challenge)).Reason, tam.ReasonNothingToDo)
	expect(t, "by other hardware", send(d.bundle(other, d.connect().Challenge)).Reason, tam.ReasonAttestationKey)

	// The raw token has no ueid and no key: it is good for this agent, by its hardware.
	raw := func(by *localtest.PSA) tam.Reason {
		w.now.add(time.Second)
		return send(&teep.AttestationPayload{Format: psaFormat, Payload: by.Token(d.connect().Challenge)}).Reason
	}
	expect(t, "raw token", raw(psa), tam.ReasonNothingToDo)
	expect(t, "raw token of other hardware", raw(other), tam.ReasonUEIDMismatch)
}

// Evidence that binds no key enrols nobody.
func TestEvidenceThatBindsNoKey(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	psa := localtest.NewPSA("one")
	w.importPublished(psa.Published("one"))
	d := w.device(cosekit.ESP256)
	before := w.dump()
	wire := d.seal(&teep.QueryResponse{Attestation: &teep.AttestationPayload{Format: psaFormat, Payload: psa.Token(d.connect().Challenge)}})
	expect(t, "reason", w.process(wire).Reason, tam.ReasonCnfMissing)
	expect(t, "changed", w.dump() != before, false)
}

func sealedTo(t testing.TB, to cosekit.AgreementKey, context cosekit.KDFContext, content cosekit.Algorithm, plain []byte) []byte {
	t.Helper()
	sealed, err := cosekit.Encryption{Content: content, Recipients: []cosekit.Recipient{to.PublicKey()}, Context: context}.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// What another has encrypted, and a cipher without a tag lets anybody change, gets one answer
// from the TAM whatever came out, so that nobody reads it by the answers.
func TestAnswersTellNothingOfACiphertext(t *testing.T) {
	current := agreementKey(t)
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		c.DecryptionKeys.Agreements = []cosekit.AgreementKey{current}
	})
	victim, attacker := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
	for _, d := range []*device{victim, attacker} {
		d.respond(d.connect())
		d.setState(devices.Accepted)
	}
	forger := signer(t, cosekit.ESP256)
	ask := func(make func(challenge []byte) []byte) string {
		w.now.add(time.Second)
		plain := make(attacker.connect().Challenge)
		p := &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: sealedTo(t, current, cosekit.EATEncryption, cosekit.A128CTR, plain)}
		answer := w.process(attacker.seal(&teep.QueryResponse{Attestation: p}))
		if answer.Body == nil {
			return string(answer.Reason)
		}
		u := attacker.open(answer.Body).(*teep.Update)
		return fmt.Sprint(answer.Reason, u.ErrCode, u.ErrMsg)
	}
	want := ask(func([]byte) []byte { return []byte("junk") })
	for name, make := range map[string]func([]byte) []byte{
		"another's challenge": func([]byte) []byte { return victim.evidence(victim.connect().Challenge).Payload },
		"foreign nonce":       func([]byte) []byte { return attacker.evidence([]byte("12345678")).Payload },
		"no nonce":            func([]byte) []byte { return attacker.evidence(nil).Payload },
		"not genuine": func(challenge []byte) []byte {
			by := *attacker
			by.attester = forger
			return by.evidence(challenge).Payload
		},
	} {
		expect(t, name, ask(make), want)
	}
	expect(t, "its own", ask(func(challenge []byte) []byte { return attacker.evidence(challenge).Payload }), string(tam.ReasonNothingToDo))
}

// Evidence that is encrypted to the TAM is as good as any, at first contact and later,
// with a key that was rotated out too. All that goes wrong with it has one reason.
func TestEncryptedEvidence(t *testing.T) {
	old, current, foreign := agreementKey(t), agreementKey(t), agreementKey(t)
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		c.DecryptionKeys.Agreements = []cosekit.AgreementKey{current, old}
	})
	d, stranger := w.device(cosekit.ESP256), w.device(cosekit.Ed25519)
	answer := func(by *device, change func(plain []byte) []byte) tam.Answer {
		p := by.evidence(by.connect().Challenge)
		p.Payload = change(p.Payload)
		return w.process(by.seal(&teep.QueryResponse{Attestation: p}))
	}
	for _, to := range []cosekit.AgreementKey{current, old} {
		for _, alg := range []cosekit.Algorithm{cosekit.A128GCM, cosekit.A128CTR, cosekit.ChaCha20Poly1305} {
			got := answer(d, func(plain []byte) []byte { return sealedTo(t, to, cosekit.EATEncryption, alg, plain) }).Reason
			expect(t, "good", got, "device-pending")
			w.now.add(time.Second)
		}
	}
	before := w.dump()
	tamper := func(sealed []byte) []byte {
		sealed = bytes.Clone(sealed)
		at := bytes.Index(sealed, []byte{0x58, 0x18}) // the wrapped key: 24 bytes
		sealed[at+3] ^= 1
		return sealed
	}
	for name, change := range map[string]func([]byte) []byte{
		"to another":   func(p []byte) []byte { return sealedTo(t, foreign, cosekit.EATEncryption, cosekit.A128GCM, p) },
		"for a report": func(p []byte) []byte { return sealedTo(t, current, cosekit.ReportEncryption, cosekit.A128GCM, p) },
		"changed":      func(p []byte) []byte { return tamper(sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, p)) },
		"truncated": func(p []byte) []byte {
			s := sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, p)
			return s[:len(s)-1]
		},
		"not evidence": func([]byte) []byte {
			return sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, []byte("evidence"))
		},
		"twice encrypted": func(p []byte) []byte {
			return sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, p))
		},
		"too large": func([]byte) []byte {
			return sealedTo(t, current, cosekit.EATEncryption, cosekit.A128CTR, make([]byte, 300<<10))
		},
	} {
		got := answer(stranger, change)
		expect(t, name+", stranger", got.Reason, tam.ReasonEvidenceEncrypted)
		expect(t, name+", stranger answered", got.Body != nil, false)
		got = answer(d, change)
		expect(t, name+", registered", got.Reason, tam.ReasonEvidenceEncrypted)
		expect(t, name+", words", d.open(got.Body).(*teep.Update).ErrMsg, "the evidence cannot be read")
	}
	expect(t, "changed", w.dump() != before, false)

	w.cfg.DecryptionKeys = cosekit.DecryptionKeys{}
	w.restart()
	expect(t, "without a key", answer(stranger, func(p []byte) []byte { return sealedTo(t, current, cosekit.EATEncryption, cosekit.A128GCM, p) }).Reason, tam.ReasonEvidenceEncrypted)
	expect(t, "unencrypted", answer(stranger, func(p []byte) []byte { return p }).Reason, "device-pending")
}

// What was appraised stays on record: claims, vector, reasons, raw bytes up to a cap and
// for a time; a failure that repeats does so once in an hour, and is counted for ever.
func TestHistoryOfAttestation(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	d := w.device(cosekit.ESP256)
	d.respond(d.connect())
	d.setState(devices.Accepted)
	honest := d.attester
	d.attester = signer(t, cosekit.ESP256)
	for range 3 {
		w.now.add(time.Second)
		expect(t, "bad", d.respond(d.connect()).Reason, tam.ReasonNotAffirmed)
	}
	d.attester = honest
	w.now.add(time.Second)
	expect(t, "good", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
	list, err := w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: d.record().ID, Limit: 10})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d appraisals, %v", len(list), err)
	}
	good, bad := list[0], list[1]
	expect(t, "good outcome", good.Outcome+" by "+good.Policy, "accept by default")
	expect(t, "a list is short", good.Genuine && good.Claims == nil, true)
	expect(t, "bad code", bad.Code, string(tam.ReasonNotAffirmed))
	expect(t, "bad claims", bad.Genuine, false)
	expect(t, "bad outcome", bad.Outcome, "")
	whole, err := w.fleet().Appraisal(t.Context(), good.ID)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "raw evidence", len(whole.Evidence) > 0, true)
	expect(t, "good claims", bytes.Contains(whole.Claims, []byte("hwmodel")), true)
	claims := whole.Claims
	counted := d.record().Attestations
	expect(t, "accepted", counted.Accepted, 2)
	expect(t, "failed", counted.Failed[string(tam.ReasonNotAffirmed)], 3)

	w.now.add(w.policy().EvidenceAge + time.Hour)
	if err := w.tam.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err = w.fleet().Appraisal(t.Context(), good.ID)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "raw evidence after its age", whole.Evidence == nil, true)
	expect(t, "claims after it", bytes.Equal(whole.Claims, claims), true)

	w.cfg.Policy.KeepEvidence = 10
	w.restart()
	expect(t, "one more", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
	list, err = w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: d.record().ID, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if whole, err = w.fleet().Appraisal(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	expect(t, "raw evidence over the cap", whole.Evidence == nil, true)
}

func (w *world) policy() tam.Policy {
	if p := w.cfg.Policy; p.EvidenceAge != 0 {
		return p
	}
	return tam.Defaults()
}

// A verifier that stalls keeps nobody waiting who does not need it.
func TestStalledVerifier(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := newWorld(t)
	d, other := w.device(cosekit.ESP256).enrol(), w.device(cosekit.Ed25519).enrol()
	honest := w.cfg.Verifier
	w.cfg.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
		entered <- struct{}{}
		<-leave
		return honest.Appraise(ctx, e)
	})
	w.restart()
	challenge := w.challengeFor(d)
	done := make(chan tam.Answer)
	go func() {
		done <- w.process(d.seal(&teep.QueryResponse{Attestation: d.evidence(challenge)}))
	}()
	<-entered
	expect(t, "a poll of another", other.poll(), "token, end nothing-to-do")
	expect(t, "a poll of the same", d.poll(), "token, end nothing-to-do")
	close(leave)
	expect(t, "in the end", (<-done).Reason, tam.ReasonNothingToDo)
}

// fault is what is wrong with an attestation payload, in the formats that have it.
type fault struct {
	name   string
	reason []tam.Reason
	make   func(*testing.T, *device, *localtest.PSA, []byte) *teep.AttestationPayload
}

// Every fault of a bound bundle, from a stranger and from a registered agent: never
// trusted, with a reason, nothing lost, nobody else affected.
func TestBadBundles(t *testing.T) {
	other := localtest.NewPSA("another")
	bundled := func(change func(*attest.Claims), inner func([]byte) []byte) func(*testing.T, *device, *localtest.PSA, []byte) *teep.AttestationPayload {
		return func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			c := d.claims(challenge)
			if change != nil {
				change(c)
			}
			token := func(nonce []byte) []byte { return psa.Token(nonce) }
			if inner != nil {
				token = inner
			}
			e := localtest.Bundle(c, psaFormat, token)
			return &teep.AttestationPayload{Format: e.Format, Payload: e.Payload}
		}
	}
	raw := func(change func([]byte) []byte) func(*testing.T, *device, *localtest.PSA, []byte) *teep.AttestationPayload {
		return func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			p := d.bundle(psa, challenge)
			p.Payload = change(p.Payload)
			return p
		}
	}
	hour := time.Hour
	for _, f := range []fault{
		{"wrong signer", []tam.Reason{tam.ReasonNotAffirmed}, func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			forged := *psa
			forged.Key = localtest.NewKey(localtest.P256, "forger")
			return d.bundle(&forged, challenge)
		}},
		{"expired", []tam.Reason{tam.ReasonEvidenceTime, tam.ReasonNotAffirmed}, func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			return d.bundle(psa, challenge, func(c *attest.Claims) { c.Expires = d.w.now.Now().Add(-hour) })
		}},
		{"not yet valid", []tam.Reason{tam.ReasonEvidenceTime, tam.ReasonNotAffirmed}, func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			return d.bundle(psa, challenge, func(c *attest.Claims) { c.NotBefore = d.w.now.Now().Add(hour) })
		}},
		{"wrong nonce", []tam.Reason{tam.ReasonTokenForeign}, bundled(func(c *attest.Claims) { c.Nonce = make([]byte, 32) }, nil)},
		{"no nonce", []tam.Reason{tam.ReasonNonce, tam.ReasonEvidenceUnreadable, tam.ReasonUnsolicited}, bundled(func(c *attest.Claims) { c.Nonce = nil }, nil)},
		{"wrong inner nonce", []tam.Reason{tam.ReasonNonce}, bundled(nil, func([]byte) []byte { return other.Token(make([]byte, 32)) })},
		{"array nonce inside", []tam.Reason{tam.ReasonEvidenceUnreadable}, bundled(nil, func(nonce []byte) []byte {
			return other.Token(nonce, func(m map[int]any) { m[10] = []any{nonce, nonce} })
		})},
		{"other agent's cnf", []tam.Reason{tam.ReasonCnfMismatch}, bundled(func(c *attest.Claims) {
			c.Confirmation.Key = localtest.NewKey(localtest.P256, "else").COSE().PublicKey()
		}, nil)},
		{"no cnf", []tam.Reason{tam.ReasonCnfMissing, tam.ReasonEvidenceUnreadable}, bundled(func(c *attest.Claims) { c.Confirmation = attest.Confirmation{} }, nil)},
		{"unknown profile", []tam.Reason{tam.ReasonEvidenceFormat, tam.ReasonEvidenceUnreadable}, func(_ *testing.T, d *device, psa *localtest.PSA, challenge []byte) *teep.AttestationPayload {
			p := d.bundle(psa, challenge)
			p.Format = evidence.BundleFormat(`application/eat+cwt; eat_profile="tag:example.org,2026:unknown"`)
			return p
		}},
		{"truncated", []tam.Reason{tam.ReasonEvidenceUnreadable}, raw(func(b []byte) []byte { return b[:len(b)-1] })},
		{"oversize", []tam.Reason{tam.ReasonEvidenceTooLarge, tam.ReasonEvidenceUnreadable}, raw(func([]byte) []byte { return make([]byte, 600<<10) })},
		{"another claims set", []tam.Reason{tam.ReasonNonce}, raw(func(b []byte) []byte {
			return bytes.Replace(b, []byte("board"), []byte("bored"), 1)
		})},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
			psa := localtest.NewPSA("one")
			w.importPublished(psa.Published("one"))
			d, stranger := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
			w.process(d.seal(&teep.QueryResponse{Attestation: d.bundle(psa, d.connect().Challenge)}))
			d.setState(devices.Accepted)
			bystander := w.device(cosekit.Ed25519)
			bystander.respond(bystander.connect())
			bystander.setState(devices.Accepted)
			record := d.record()

			before := w.dump()
			q := stranger.connect()
			answer := w.process(stranger.seal(&teep.QueryResponse{Attestation: f.make(t, stranger, psa, q.Challenge)}))
			expectReason(t, "stranger", answer.Reason, f.reason)
			expect(t, "stranger answered", answer.Body != nil, false)
			expect(t, "stranger changed", w.dump() != before, false)

			q = d.connect()
			answer = w.process(d.seal(&teep.QueryResponse{Attestation: f.make(t, d, psa, q.Challenge)}))
			expectReason(t, "registered", answer.Reason, f.reason)
			if answer.Body != nil {
				if u, ok := d.open(answer.Body).(*teep.Update); ok {
					expect(t, "offered", len(u.Manifests), 0)
					expect(t, "error code", u.ErrCode != 0, true)
				}
			}
			after := d.record()
			expect(t, "state", after.State, record.State)
			expect(t, "hardware on record", after.AttestationKey, record.AttestationKey)
			expect(t, "accepted so far", after.Attestations.Accepted, record.Attestations.Accepted)
			expect(t, "bystander", bystander.respond(bystander.connect()).Reason, tam.ReasonNothingToDo)
			w.now.add(time.Second)
			good := w.process(d.seal(&teep.QueryResponse{Attestation: d.bundle(psa, d.connect().Challenge)}))
			expect(t, "good evidence afterwards", good.Reason, tam.ReasonNothingToDo)
		})
	}
}

// frame puts a claims set into what looks like a COSE_Sign1, with a signature of its own.
func frame(d *device, challenge []byte, protected map[int]any, sign func(toBeSigned []byte) []byte) *teep.AttestationPayload {
	payload := good(attest.EncodeClaims(d.claims(challenge)))
	header := cosekit.MustMarshal(protected)
	toBeSigned := cosekit.MustMarshal([]any{"Signature1", header, []byte{}, payload})
	kid := d.attester.PublicKey().Thumbprint()
	token := cosekit.MustMarshal([]any{header, map[int]any{4: kid[:]}, payload, sign(toBeSigned)})
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
}

// Evidence that pretends to be signed is not trusted, nor read where it is not strict.
func TestForgedEATs(t *testing.T) {
	mac := func(key []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			h := hmac.New(sha256.New, key)
			h.Write(b)
			return h.Sum(nil)
		}
	}
	changed := func(change func([]byte) []byte) func(*device, []byte) *teep.AttestationPayload {
		return func(d *device, challenge []byte) *teep.AttestationPayload {
			p := d.evidence(challenge)
			p.Payload = change(p.Payload)
			return p
		}
	}
	claims := func(of func(challenge []byte) []byte) func(*device, []byte) *teep.AttestationPayload {
		return func(d *device, challenge []byte) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: sealed(t, of(challenge), d.attester)}
		}
	}
	for name, c := range map[string]struct {
		reasons []tam.Reason
		make    func(*device, []byte) *teep.AttestationPayload
	}{
		"alg none": {[]tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonNotAffirmed}, func(d *device, challenge []byte) *teep.AttestationPayload {
			return frame(d, challenge, map[int]any{}, func([]byte) []byte { return nil })
		}},
		"alg 0": {[]tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonNotAffirmed}, func(d *device, challenge []byte) *teep.AttestationPayload {
			return frame(d, challenge, map[int]any{1: 0}, func([]byte) []byte { return make([]byte, 64) })
		}},
		"HMAC under the public key": {[]tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonNotAffirmed}, func(d *device, challenge []byte) *teep.AttestationPayload {
			return frame(d, challenge, map[int]any{1: 5}, mac(d.attester.PublicKey().COSEKey()))
		}},
		"truncated": {[]tam.Reason{tam.ReasonEvidenceUnreadable}, changed(func(b []byte) []byte { return b[:len(b)-1] })},
		"oversize":  {[]tam.Reason{tam.ReasonEvidenceTooLarge}, changed(func([]byte) []byte { return make([]byte, 200<<10) })},
		"trailing":  {[]tam.Reason{tam.ReasonEvidenceUnreadable}, changed(func(b []byte) []byte { return append(b, 0) })},
		"array nonce": {[]tam.Reason{tam.ReasonEvidenceUnreadable}, claims(func(challenge []byte) []byte {
			return cosekit.MustMarshal(map[int]any{10: []any{challenge, challenge}})
		})},
		"duplicate claims": {[]tam.Reason{tam.ReasonEvidenceUnreadable}, claims(func(challenge []byte) []byte {
			nonce := append([]byte{10, 0x58, 32}, challenge...)
			return slices.Concat([]byte{0xa2}, nonce, nonce)
		})},
		"unknown profile": {[]tam.Reason{tam.ReasonEvidenceFormat, tam.ReasonEvidenceUnreadable, tam.ReasonNotAffirmed}, func(d *device, challenge []byte) *teep.AttestationPayload {
			p := d.evidence(challenge, func(c *attest.Claims) { c.Profile = "tag:example.org,2026:unknown" })
			p.Format = `application/eat+cwt; eat_profile="tag:example.org,2026:unknown"`
			return p
		}},
		"profile hidden inside": {[]tam.Reason{tam.ReasonNotAffirmed, tam.ReasonEvidenceUnreadable}, func(d *device, challenge []byte) *teep.AttestationPayload {
			return d.evidence(challenge, func(c *attest.Claims) { c.Profile = "tag:example.org,2026:unknown" })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
			d, stranger := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
			d.respond(d.connect())
			d.setState(devices.Accepted)
			before := w.dump()
			answer := stranger.present(c.make(stranger, stranger.connect().Challenge))
			if answer.Reason != tam.ReasonCnfMissing { // what has no cnf is not looked at any further
				expectReason(t, "stranger", answer.Reason, c.reasons)
			}
			expect(t, "stranger answered", answer.Body != nil, false)
			expect(t, "stranger changed", w.dump() != before, false)
			accepted := d.record().Attestations.Accepted
			answer = d.present(c.make(d, d.connect().Challenge))
			expectReason(t, "registered", answer.Reason, c.reasons)
			expect(t, "error code", d.open(answer.Body).(*teep.Update).ErrCode != 0, true)
			expect(t, "accepted", d.record().Attestations.Accepted, accepted)
			w.now.add(time.Second)
			expect(t, "good evidence afterwards", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
		})
	}
}

func expectReason(t *testing.T, what string, got tam.Reason, want []tam.Reason) {
	t.Helper()
	if !slices.Contains(want, got) {
		t.Errorf("%s: %s, want one of %s", what, got, want)
	}
}
