package tam_test

import (
	"context"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// What a device showed before it was found wanting, and withheld, does not end what came of
// that: neither evidence for an earlier challenge nor a passport from before.
func TestOvertakenEvidenceEndsNoQuarantine(t *testing.T) {
	passports := &tam.Endpoint{Path: "/passport", Passport: true}
	for name, withhold := range map[string]func(w *world, d *device) func() tam.Answer{
		"evidence": func(w *world, d *device) func() tam.Answer {
			wire := d.seal(d.response(d.connect()))
			return func() tam.Answer { return w.process(wire) }
		},
		"passport": func(w *world, d *device) func() tam.Answer {
			passport := w.verifier(cosekit.ESP256, true).issue(d, ear.FormTEEP, nil)
			return func() tam.Answer {
				return w.processAt(passports, d.seal(&teep.QueryResponse{Attestation: passport}))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, routed, comparing, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
			w.publish("app/hello", 1, "image")
			d := w.device(cosekit.ESP256)
			d.installed["app/hello"] = sum("image")
			d.respond(d.connect())
			d.setState(devices.Accepted)
			p := keepApart
			p.Remediation = ""
			w.rule(p)
			show := withhold(w, d)
			w.now.add(time.Minute)
			d.installed["app/hello"] = sum("tampered")
			expect(t, "tampered with", d.respond(d.connect()).Reason, "device-quarantined")
			w.now.add(time.Minute)
			show()
			expect(t, "after what was withheld", d.record().State, devices.Quarantined)
			expect(t, "counted", d.record().Attestations.Failed[string(tam.ReasonEvidenceRepeated)], 1)
			d.installed["app/hello"] = sum("image")
			w.now.add(time.Minute)
			d.respond(d.connect())
			expect(t, "repaired", d.record().State, devices.Accepted)
		})
	}
}

// Hardware that signs a digest has no clock: the time that software wrote next to it shows
// nothing.
func TestBundlesAreFreshByNonceOnly(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) { c.Policy.Admission = tam.AdmitAffirming })
	w.ep.Freshness = teep.FreshnessTimestamp
	psa := localtest.NewPSA("one")
	w.importPublished(psa.Published("one"))
	d := w.device(cosekit.ESP256)
	send := func(challenge []byte) tam.Reason {
		now := func(c *attest.Claims) { c.IssuedAt = w.now.Now() }
		return w.process(d.seal(&teep.QueryResponse{Attestation: d.bundle(psa, challenge, now)})).Reason
	}
	before := w.dump()
	expect(t, "by its time", send(nil), tam.ReasonNonce)
	expect(t, "changed", w.dump() != before, false)
	w.ep.Freshness, w.ep.FirstContact = teep.FreshnessNonce, tam.ChallengeFirst
	challenge := d.connect().Challenge
	w.ep.Freshness, w.ep.FirstContact = teep.FreshnessTimestamp, ""
	expect(t, "by our challenge", send(challenge), tam.ReasonNothingToDo)
}

// Hardware that vouches for one device is not taken for another that has none on record.
func TestHardwareOfAnotherDevice(t *testing.T) {
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact, c.Policy.Admission = tam.ChallengeFirst, tam.AdmitAffirming
	})
	psa, own := localtest.NewPSA("one"), localtest.NewPSA("two")
	w.importPublished(psa.Published("one"), own.Published("two"))
	neighbour, d := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
	expect(t, "the neighbour", neighbour.present(neighbour.bundle(psa, neighbour.connect().Challenge)).Reason, tam.ReasonNothingToDo)
	passport := w.verifier(cosekit.ESP256, true).issue(d, ear.FormTEEP, nil)
	w.processAt(&tam.Endpoint{Path: "/passport", Passport: true}, d.seal(&teep.QueryResponse{Attestation: passport}))
	expect(t, "no hardware on record", d.record().AttestationKey, cosekit.Thumbprint{})
	w.now.add(time.Second)
	expect(t, "by the neighbour's", d.present(d.bundle(psa, d.connect().Challenge)).Reason, tam.ReasonAttestationKey)
	w.now.add(time.Second)
	expect(t, "by its own", d.present(d.bundle(own, d.connect().Challenge)).Reason, tam.ReasonNothingToDo)
}

// Two first contacts of one key at the same time, about two devices: the second is not put
// down to the device of the first.
func TestFirstContactsOfOneKeyAboutTwoDevices(t *testing.T) {
	var meanwhile func()
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.FirstContact, c.Policy.Admission = tam.ChallengeFirst, tam.AdmitAffirming
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			if do := meanwhile; do != nil {
				meanwhile = nil
				do()
			}
			return honest.Appraise(ctx, e)
		})
	})
	one, two := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
	two.key = one.key
	first, second := one.seal(one.response(one.connect())), two.seal(two.response(two.connect()))
	meanwhile = func() { w.process(first) }
	expect(t, "the second", w.process(second).Reason, tam.ReasonUEIDMismatch)
	expect(t, "appraisals of the first", len(good(w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: one.record().ID, Limit: 10}))), 1)
}
