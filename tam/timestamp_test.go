package tam_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// attestation makes a response with evidence, as fresh as it is made.
func (d *device) attestation() []byte {
	d.w.t.Helper()
	return d.seal(d.response(d.connect()))
}

// A response of a replaced key that somebody held back does not take the device back,
// however its evidence is fresh, and whatever the next key did meanwhile.
func TestWithheldResponseOfAReplacedKey(t *testing.T) {
	for name, freshness := range map[string]teep.FreshnessMechanism{"nonce": teep.FreshnessNonce, "timestamp": teep.FreshnessTimestamp} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *tam.Config) {
				c.Policy.Admission, c.Policy.SecondKey = tam.AdmitAffirming, tam.ReplaceSecondKey
			})
			w.ep.Freshness, w.ep.FirstContact = freshness, tam.ChallengeFirst
			old, next := w.device(cosekit.ESP256), w.device(cosekit.Ed25519)
			next.ueid = old.ueid
			expect(t, "first key", w.process(old.attestation()).Reason, tam.ReasonNothingToDo)
			w.now.add(time.Second)
			withheld, another := old.attestation(), old.attestation()
			w.now.add(time.Second)
			sameSecond := old.attestation()
			expect(t, "next key", w.process(next.attestation()).Reason, tam.ReasonNothingToDo)

			expect(t, "withheld", w.process(withheld).Reason, tam.ReasonEvidenceRepeated)
			expect(t, "of the same second", w.process(sameSecond).Reason, tam.ReasonEvidenceRepeated)
			w.now.add(time.Second)
			next.attester = signer(t, cosekit.ESP256)
			expect(t, "the next key attests badly", w.process(next.attestation()).Reason, tam.ReasonNotAffirmed)
			expect(t, "withheld until then", w.process(another).Reason, tam.ReasonEvidenceRepeated)
			expect(t, "replaced", w.events(audit.AgentReplaced), 1)
			expect(t, "the next key is still there", next.agent().Device, old.record().ID)

			expect(t, "evidence of now", w.process(old.attestation()).Reason, tam.ReasonNothingToDo)
			expect(t, "replaced", w.events(audit.AgentReplaced), 2)
		})
	}
}

// A first contact that is overtaken by a later one of the same key is not taken.
func TestOvertakenFirstContact(t *testing.T) {
	var overtake func()
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.Admission = tam.AdmitAffirming
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			if f := overtake; f != nil {
				overtake = nil
				f()
			}
			return honest.Appraise(ctx, e)
		})
	})
	w.ep.Freshness = teep.FreshnessTimestamp
	d := w.device(cosekit.ESP256)
	slow := d.attestation()
	w.now.add(time.Second)
	fast := d.attestation()
	var after string
	overtake = func() {
		expect(t, "the later one", w.process(fast).Reason, tam.ReasonNothingToDo)
		after = w.dump()
	}
	expect(t, "the earlier one", w.process(slow).Reason, tam.ReasonEvidenceRepeated)
	expect(t, "changed", w.dump() != after, false)
}

// A restored database has forgotten what was taken since the backup. New token keys
// make the TAM refuse all of it, from agents that it knows and from others.
func TestTimestampsAfterRestore(t *testing.T) {
	w, d := timestamped(t)
	d.poll()
	backup, record := d.agent(), d.record()
	stranger := w.device(cosekit.Ed25519)
	w.now.add(tam.Defaults().ClockSkew)
	replays := map[string][]byte{"of an agent": d.attestation(), "of a stranger": stranger.attestation()}
	w.now.add(tam.Defaults().ClockSkew + time.Second)
	restore := func() {
		w.update(func(tx tam.Tx) error {
			if err := tx.PutDevice(record); err != nil {
				return err
			}
			if _, err := tx.DeleteExpired(w.now.Now().Add(time.Hour), 100); err != nil {
				return err
			}
			return tx.PutAgent(backup)
		})
	}
	expect(t, "taken", w.process(replays["of an agent"]).Reason, tam.ReasonNothingToDo)
	restore()
	expect(t, "taken again with the old keys", w.process(replays["of an agent"]).Reason, tam.ReasonNothingToDo)
	restore()
	if err := tam.ReplaceTokenKeys(t.Context(), w.store, "operator:test", w.now.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.restart()
	before := w.dump()
	for name, wire := range replays {
		expect(t, name, w.process(wire).Reason, tam.ReasonEvidenceTime)
	}
	expect(t, "changed", w.dump() != before, false)
	expect(t, "new evidence", w.process(d.attestation()).Reason, tam.ReasonNothingToDo)
	expect(t, "of a stranger", w.process(stranger.attestation()).Reason, "device-pending")
}

// Keys that rotate never make good evidence too old, not even where they do so as
// often as they may, and the device's clock is as late as it may be.
func TestKeyRotationTakesOldEvidence(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.Admission = tam.AdmitAffirming
		c.Policy.TokenKeyRotation = 16 * time.Minute // the least that is allowed
	})
	w.ep.Freshness = teep.FreshnessTimestamp
	d := w.device(cosekit.ESP256)
	expect(t, "evidence from before the first key", d.sendUnasked(func(c *attest.Claims) {
		c.IssuedAt = w.now.Now().Add(-tam.Defaults().ClockSkew)
	}).Reason, tam.ReasonNothingToDo)
	w.now.add(tam.Defaults().EvidenceMaxAge)
	for range 100 {
		w.now.add(time.Minute)
		if err := w.tam.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		late := func(c *attest.Claims) { c.IssuedAt = w.now.Now().Add(-tam.Defaults().EvidenceMaxAge) }
		if got := d.sendUnasked(late).Reason; got != tam.ReasonNothingToDo {
			t.Fatalf("%s after rotations of %s: %s", w.now.Now(), w.cfg.Policy.TokenKeyRotation, got)
		}
	}
	expect(t, "keys dropped", w.events(audit.TokenKeyDeleted) >= 4, true)
}
