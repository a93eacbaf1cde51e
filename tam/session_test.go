package tam_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

func expect[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestUpdateFromFirstContactToConfirmation(t *testing.T) {
	for _, numbering := range []teep.Numbering{teep.IANA, teep.PreIANA} {
		for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
			for _, first := range []cosekit.Algorithm{0, alg} {
				t.Run(fmt.Sprintf("%s %s first request %s", numbering, cosekit.AlgorithmName(alg), cosekit.AlgorithmName(first)), func(t *testing.T) {
					w := newWorld(t)
					w.ep.Numbering, w.ep.FirstRequest = numbering, first
					d := w.device(alg)
					expect(t, "first contact", d.poll(), "token, challenge, end device-pending")
					expect(t, "state", d.record().State, devices.Pending)
					expect(t, "poll of a pending device", d.poll(), "token, end device-pending")

					d.setState(devices.Accepted)
					expect(t, "poll without anything to do", d.poll(), "token, end nothing-to-do")
					m := w.publish("app/hello", 1, "image one")
					expect(t, "published, not required", d.poll(), "token, end nothing-to-do")
					d.require("app/hello")
					w.now.add(time.Second)
					expect(t, "update", d.poll(), "token, update, end")
					expect(t, "after Success", d.status("app/hello").State, devices.Claimed)
					w.now.add(time.Second)
					expect(t, "confirmation", d.poll(), "token, challenge, end nothing-to-do")
					expect(t, "after the evidence", d.status("app/hello").State, devices.Confirmed)
					expect(t, "manifest", d.status("app/hello").Manifest.String(), m.Digest.String())
					expect(t, "cheap poll", d.poll(), "token, end nothing-to-do")

					w.publish("app/hello", 2, "image two")
					expect(t, "next version", d.poll(), "token, update, end")
					expect(t, "pinned report key", d.agent().ReportKey.Equal(d.reportKey.PublicKey()), true)
					expect(t, "numbering on record", d.agent().Numbering, numbering)
				})
			}
		}
	}
}

func TestChallengeFirstAdmitsAndUpdatesInOneSession(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.Admission = tam.AdmitAffirming
		c.Policy.FirstContact = tam.ChallengeFirst
	})
	w.publish("app/hello", 7, "image")
	d := w.device(cosekit.ESP256)
	d.requested = []teep.RequestedTC{{Component: component("app/hello")}}
	expect(t, "session", d.poll(), "challenge, update, end")
	d.requested = nil
	w.now.add(time.Second)
	expect(t, "session", d.poll(), "challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Confirmed)
	for action, n := range map[audit.Action]int{
		audit.DeviceCreated: 1, audit.AgentAdded: 1, audit.AttestationAccepted: 2,
		audit.UpdateOffered: 1, audit.UpdateClaimed: 1, audit.ComponentConfirmed: 1,
	} {
		expect(t, "events "+string(action), w.events(action), n)
	}
}

// All that outlives a message is in the store: every message here is processed by
// a TAM that has seen none before.
func TestRestartBetweenMessages(t *testing.T) {
	w := newWorldAt(t, filepath.Join(t.TempDir(), "tam.db"), func(c *tam.Config) { c.Policy.Admission = tam.AdmitAffirming })
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.Ed25519)
	d.requested = []teep.RequestedTC{{Component: component("app/hello")}}
	q := d.connect()
	for range 2 {
		w.restart()
		answer := d.respond(q)
		switch m := d.open(answer.Body).(type) {
		case *teep.QueryRequest:
			q = m
		case *teep.Update:
			w.restart()
			answer := w.process(d.seal(&teep.Success{Token: m.Token, SUITReports: d.install(m)}))
			expect(t, "reason", answer.Reason, "")
			expect(t, "state", d.status("app/hello").State, devices.Claimed)
			return
		}
	}
	t.Fatal("no Update")
}

func TestOldAttestationIsRenewed(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	expect(t, "poll", d.poll(), "token, end nothing-to-do")
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "poll a day later", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "poll after that", d.poll(), "token, end nothing-to-do")
}

// The Success was lost, the evidence was not.
func TestMeasurementConfirmsWithoutSuccess(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	d.install(u)
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Confirmed)
}

func TestDeviceStatesGetNothing(t *testing.T) {
	for _, state := range []devices.State{devices.Pending, devices.Rejected, devices.Retired} {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			w.publish("app/hello", 1, "image")
			d := w.device(cosekit.ESP256).enrol()
			d.require("app/hello")
			d.setState(state)
			refused := func() int { return w.reasons(audit.SessionRefused)["device-"+string(state)] }
			first := 1
			if state == devices.Pending {
				first = 0 // its creation is on record
			}
			for range 20 {
				expect(t, "poll", d.poll(), "token, end device-"+string(state))
				w.now.add(time.Minute)
			}
			expect(t, "audited refusals of twenty polls in an hour", refused(), first)
			w.now.add(time.Hour)
			d.poll()
			expect(t, "and of one more an hour later", refused(), first+1)
			w.ep.FirstContact = tam.ChallengeFirst
			expect(t, "with evidence", d.poll(), "challenge, end device-"+string(state))
			expect(t, "status", d.status("app/hello").State, "")
		})
	}
}

// A lost Update is offered again, three times, then with a back-off that doubles.
func TestUnansweredUpdateRests(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	offered := func() bool { return d.respond(d.connect()).Body != nil }
	for i := range 4 {
		expect(t, fmt.Sprintf("offer %d", i+1), offered(), true)
	}
	policy := tam.Defaults()
	rest := policy.BackOff
	for range 3 {
		expect(t, "offered at once", offered(), false)
		w.now.add(rest - time.Second)
		expect(t, "offered a second early", offered(), false)
		w.now.add(time.Second)
		expect(t, "offered after the rest", offered(), true)
		rest *= 2
	}
	expect(t, "attempts", d.status("app/hello").Attempts, 7)
	w.publish("app/hello", 2, "another image")
	expect(t, "a new manifest is offered at once", offered(), true)
}
