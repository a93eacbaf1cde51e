package tam_test

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// anotherAttester registers a second attestation key.
func (w *world) anotherAttester() cosekit.Signer {
	w.t.Helper()
	s := signer(w.t, cosekit.ESP256)
	w.update(func(tx tam.Tx) error {
		return tx.AddAnchor(anchor.Anchor{Key: s.PublicKey(), Title: "other factory", Purposes: []anchor.Purpose{anchor.Attester}})
	})
	return s
}

// A registered attestation key does not vouch for devices that another one vouches for.
func TestAttestationKeyIsPinned(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	expect(t, "pinned", d.record().AttestationKey, w.attester.PublicKey().Thumbprint())
	expect(t, "audited", w.events(audit.AttestationKeyPinned), 0)
	d.attester = w.anotherAttester()
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "session", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED attestation-key")
	expect(t, "counts as attested", d.agent().AttestedAt.IsZero(), true)
	expect(t, "still pinned", d.record().AttestationKey, w.attester.PublicKey().Thumbprint())
	expect(t, "audited", w.events(audit.AttestationFailed), 1)
	d.attester = w.attester
	expect(t, "the right key", d.poll(), "token, challenge, update, end")
}

func TestAttestationKeyIsReplacedByPolicy(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.SecondKey = tam.ReplaceSecondKey })
	d := w.device(cosekit.ESP256).enrol()
	d.attester = w.anotherAttester()
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "pinned", d.record().AttestationKey, d.attester.PublicKey().Thumbprint())
	expect(t, "audited", w.events(audit.AttestationKeyPinned), 1)
}

// A device that lost its agent takes a new one, but not from another attester.
func TestAttestationKeyAtSecondEnrolment(t *testing.T) {
	w := newWorld(t)
	old := w.device(cosekit.ESP256).enrol()
	w.update(func(tx tam.Tx) error { return tx.DeleteAgent(old.thumbprint()) })
	w.now.add(time.Second)
	d := w.device(cosekit.ESP256)
	d.ueid, d.attester = old.ueid, w.anotherAttester()
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	before := w.events(audit.EnrolmentRefused)
	expect(t, "another attester", d.respond(q).Reason, tam.ReasonAttestationKey)
	expect(t, "audited", w.events(audit.EnrolmentRefused)-before, 1)
	d.attester = w.attester
	expect(t, "its own", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.record().State, devices.Accepted)
}
