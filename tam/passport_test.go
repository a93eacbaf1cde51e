package tam_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// verifier is a Verifier elsewhere, as far as passports go.
type verifier struct {
	w   *world
	key cosekit.Signer
}

func (w *world) verifier(alg cosekit.Algorithm, trusted bool) *verifier {
	w.t.Helper()
	v := &verifier{w, signer(w.t, alg)}
	if trusted {
		if _, err := w.fleet().AddVerifier(w.t.Context(), "operator:test", anchor.Anchor{Key: v.key.PublicKey(), Title: "elsewhere"}); err != nil {
			w.t.Fatal(err)
		}
	}
	return v
}

// issue makes a result about the device, as if its evidence had had this nonce.
func (v *verifier) issue(d *device, form ear.Form, nonce []byte, change ...func(*attest.Result)) *teep.AttestationPayload {
	v.w.t.Helper()
	c := d.claims(nonce)
	r := &attest.Result{
		Status: attest.Affirming, Verifier: "elsewhere", Claims: c, AppraisedAt: v.w.now.Now(),
		Vector: []attest.Element{{Name: attest.InstanceIdentity, Value: 2, Reason: "known"}},
	}
	for _, f := range change {
		f(r)
	}
	i := ear.Issuer{Signer: v.key, Form: form, Lifetime: time.Hour, Clock: v.w.now.Now, Developer: "test", Build: "1"}
	p, err := i.Issue(r)
	if err != nil {
		v.w.t.Fatal(err)
	}
	return p
}

func (d *device) present(p *teep.AttestationPayload) tam.Answer {
	d.w.t.Helper()
	return d.w.process(d.seal(&teep.QueryResponse{Attestation: p, TCList: d.properties(d.installed)}))
}

// A passport enrols the key that it vouches for, without a challenge, and may be shown as
// often as it is good for.
func TestPassport(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
		w.ep.Passport = true
		v := w.verifier(alg, true)
		d := w.device(cosekit.ESP256)
		q := d.connect()
		expect(t, "challenge", q.Challenge == nil && q.Token == nil, true)
		passport := v.issue(d, ear.FormTEEP, nil)
		expect(t, "first contact", d.present(passport).Reason, "device-pending")
		d.setState(devices.Accepted)
		expect(t, "shown again", d.present(passport).Reason, tam.ReasonNothingToDo)
		attested := d.agent().AttestedAt
		w.now.add(10 * time.Minute)
		expect(t, "later", d.present(passport).Reason, tam.ReasonNothingToDo)
		expect(t, "attested when issued", d.agent().AttestedAt, attested)
		expect(t, "a newer one", d.present(v.issue(d, ear.FormTEEP, nil)).Reason, tam.ReasonNothingToDo)
		expect(t, "the older one after it", d.present(passport).Reason, tam.ReasonEvidenceRepeated)
		w.now.add(time.Hour + time.Minute)
		expect(t, "expired", d.present(v.issue(d, ear.FormTEEP, nil, func(*attest.Result) { w.now.add(-2 * time.Hour) })).Reason == tam.ReasonNothingToDo, false)
	}
}

// A passport is good for as long as an attestation is, whatever its verifier says.
func TestOldPassport(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact, c.Policy.AttestationMaxAge = tam.ChallengeFirst, 30*time.Minute
	})
	w.ep.Passport = true
	v := w.verifier(cosekit.ESP256, true)
	d := w.device(cosekit.ESP256)
	old := v.issue(d, ear.FormTEEP, nil)
	expect(t, "first contact", d.present(old).Reason, "device-pending")
	d.setState(devices.Accepted)
	w.now.add(40 * time.Minute)
	before := w.dump()
	expect(t, "forty minutes old", d.present(old).Reason, tam.ReasonEvidenceTime)
	expect(t, "changed", w.dump() != before, false)
	expect(t, "new", d.present(v.issue(d, ear.FormTEEP, nil)).Reason, tam.ReasonNothingToDo)
	expect(t, "evidence that nobody asked for", d.present(d.evidence(nil)).Reason, tam.ReasonUnsolicited)
}

// EAR tells no key: it is good for agents that are registered, in the forms that are read.
func TestEARForRegisteredAgents(t *testing.T) {
	for _, form := range []ear.Form{ear.FormCWT, ear.FormJWT} {
		w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
		v := w.verifier(cosekit.ESP256, true)
		d, stranger := w.device(cosekit.Ed25519), w.device(cosekit.ESP256)
		d.respond(d.connect())
		d.setState(devices.Accepted)
		w.now.add(time.Second)
		expect(t, "registered", d.present(v.issue(d, form, d.connect().Challenge)).Reason, tam.ReasonNothingToDo)
		before := w.dump()
		expect(t, "stranger", stranger.present(v.issue(stranger, form, stranger.connect().Challenge)).Reason, tam.ReasonCnfMissing)
		expect(t, "changed by the stranger", w.dump() != before, false)
	}
}

// Results that are not trusted change nothing, whoever brings them, and have a reason.
func TestBadResults(t *testing.T) {
	type result struct {
		name   string
		reason tam.Reason
		make   func(w *world, d *device, good *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload
	}
	altered := func(change func(*teep.AttestationPayload)) func(*world, *device, *verifier, []byte, ear.Form) *teep.AttestationPayload {
		return func(_ *world, d *device, good *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
			p := good.issue(d, form, challenge)
			change(p)
			return p
		}
	}
	for _, form := range []ear.Form{ear.FormTEEP, ear.FormCWT, ear.FormJWT} {
		for _, c := range []result{
			{"wrong signer", tam.ReasonResultSignature, func(w *world, d *device, _ *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
				return w.verifier(cosekit.ESP256, false).issue(d, form, challenge)
			}},
			{"by a device attestation key", tam.ReasonResultSignature, func(w *world, d *device, _ *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
				return (&verifier{w, w.attester}).issue(d, form, challenge)
			}},
			{"expired", tam.ReasonEvidenceTime, func(w *world, d *device, good *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
				w.now.add(-2 * time.Hour)
				defer w.now.add(2 * time.Hour)
				return good.issue(d, form, challenge)
			}},
			{"from the future", tam.ReasonEvidenceTime, func(w *world, d *device, good *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
				w.now.add(2 * time.Hour)
				defer w.now.add(-2 * time.Hour)
				return good.issue(d, form, challenge)
			}},
			{"wrong nonce", tam.ReasonTokenForeign, func(_ *world, d *device, good *verifier, _ []byte, form ear.Form) *teep.AttestationPayload {
				return good.issue(d, form, make([]byte, 32))
			}},
			{"other device's", tam.ReasonUEIDMismatch, func(w *world, d *device, good *verifier, challenge []byte, form ear.Form) *teep.AttestationPayload {
				return good.issue(d, form, challenge, func(r *attest.Result) { r.Claims.UEID = w.device(cosekit.ESP256).ueid })
			}},
			{"truncated", tam.ReasonResultUnreadable, altered(func(p *teep.AttestationPayload) { p.Payload = p.Payload[:len(p.Payload)-1] })},
			{"oversize", tam.ReasonResultUnreadable, altered(func(p *teep.AttestationPayload) { p.Payload = make([]byte, 600<<10) })},
			{"nothing", tam.ReasonResultUnreadable, altered(func(p *teep.AttestationPayload) { p.Payload = []byte{0xa0} })},
		} {
			t.Run([]string{"TEEP ", "CWT ", "JWT "}[form]+c.name, func(t *testing.T) {
				w := newWorld(t, routed, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
				w.now.add(3 * time.Hour)
				good := w.verifier(cosekit.ESP256, true)
				d := w.device(cosekit.ESP256)
				d.respond(d.connect())
				d.setState(devices.Accepted)
				state := d.record()
				q := d.connect()
				before := w.dump()
				p := c.make(w, d, good, q.Challenge, form)
				answer := d.present(p)
				if c.reason == tam.ReasonResultUnreadable && answer.Reason == tam.ReasonResultSignature {
					answer.Reason = c.reason // a truncated signature is a bad one
				}
				expect(t, "reason", answer.Reason, c.reason)
				u := d.open(answer.Body).(*teep.Update)
				expect(t, "error code", u.ErrCode, teep.AttestationRequired)
				expect(t, "offered", len(u.Manifests), 0)
				if c.reason != tam.ReasonUEIDMismatch { // that one answers our challenge, and spends it
					expect(t, "changed", w.dump() != before, false)
					expect(t, "the challenge is still good", d.respond(q).Reason, tam.ReasonNothingToDo)
				}
				expect(t, "state", d.record().State, state.State)
				stranger := w.device(cosekit.ESP256)
				got := stranger.present(c.make(w, stranger, good, stranger.connect().Challenge, form))
				expect(t, "a stranger gets nothing", got.Body == nil && got.Reason != "", true)
			})
		}
	}
}

// Without a port for results they are refused, as before there was one.
func TestResultsWithoutAPort(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	w.ep.Passport = true
	v := w.verifier(cosekit.ESP256, true)
	d := w.device(cosekit.ESP256)
	expect(t, "reason", d.present(v.issue(d, ear.FormTEEP, nil)).Reason, tam.ReasonResultUnsupported)
}

// The result of an appraisal goes back where the endpoint is set to, with the Update or
// alone, and is a passport at another TAM that trusts this one.
func TestResultsArePassedBack(t *testing.T) {
	issuer := signer(t, cosekit.ESP256)
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		c.Issuer = &ear.Issuer{Signer: issuer, Form: ear.FormTEEP, Lifetime: time.Hour, Clock: c.Clock, Developer: "tamarack", Build: "test"}
	})
	w.ep.ReturnResults = true
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256)
	expect(t, "a pending device", d.respond(d.connect()).Body == nil, true)
	d.setState(devices.Accepted)
	w.now.add(time.Second)
	alone := d.open(d.respond(d.connect()).Body).(*teep.Update)
	if alone.Attestation == nil || alone.Token != nil || len(alone.Manifests) != 0 {
		t.Fatalf("alone: %+v", alone)
	}
	before := w.dump()
	expect(t, "Success for it", w.process(d.seal(&teep.Success{})).Reason, tam.ReasonNothingToDo)
	expect(t, "Success changes something", w.dump() != before, false)
	d.require("app/hello")
	w.now.add(time.Second)
	with := d.open(d.respond(d.connect()).Body).(*teep.Update)
	expect(t, "with the Update", with.Attestation != nil && len(with.Manifests) == 1, true)

	other := newWorld(t, routed)
	other.ep.Passport = true
	other.now.now = w.now.Now()
	if _, err := other.fleet().AddVerifier(t.Context(), "operator:test", anchor.Anchor{Key: issuer.PublicKey(), Title: "the first TAM"}); err != nil {
		t.Fatal(err)
	}
	there := *d
	there.w = other
	expect(t, "at another TAM", there.present(alone.Attestation).Reason, "device-pending")

	w.cfg.Issuer = brokenPart{}
	w.restart()
	w.now.add(time.Second)
	d.installed["app/hello"] = sum("image")
	expect(t, "an issuer that fails costs nobody a poll", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
}

type brokenPart struct{}

func (brokenPart) Issue(*attest.Result) (*teep.AttestationPayload, error) {
	return nil, errors.New("the key is gone")
}

func (brokenPart) Evidence(context.Context, []byte, *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	return nil, errors.New("the hardware is gone")
}
