package tam_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// failing is a device that holds version 1, confirmed, and is offered version 2.
func failing(t *testing.T) (w *world, d *device, first tam.Manifest, u *teep.Update) {
	t.Helper()
	w = newWorld(t)
	first = w.publish("app/hello", 1, "image")
	d = w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	w.now.add(time.Second)
	d.poll()
	w.now.add(time.Second)
	expect(t, "version 1", d.poll(), "token, challenge, end nothing-to-do")
	w.publish("app/hello", 2, "next")
	w.now.add(time.Second)
	u = d.open(d.respond(d.connect()).Body).(*teep.Update)
	return w, d, first, u
}

// fail answers an Update with an Error of this code, and its manifest's report.
func (d *device) fail(u *teep.Update, code teep.ErrorCode) {
	d.w.t.Helper()
	digest := suit.SumSHA256(append([]byte{0xd8, 0x6b}, u.Manifests[0]...))
	d.w.process(d.seal(&teep.Error{Token: u.Token, Code: code, SUITReports: [][]byte{
		d.report(digest, u.Token, &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{Section: suit.SectionValidate}}),
	}}))
}

// confirmed counts how often evidence has shown a manifest to be there, and not to be.
func (w *world) confirmed(m tam.Manifest) (yes, no int) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		list, err := r.Events(0, 1000)
		for _, e := range list {
			switch {
			case e.Details["manifest"] != m.Digest.String():
			case e.Action == audit.ComponentConfirmed:
				yes++
			case e.Action == audit.ComponentContradicted:
				no++
			}
		}
		return err
	})
	return yes, no
}

// An update that failed leaves open what the device holds now: evidence tells, once.
func TestWhatStandsAfterAFailedUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		measured map[string]digest // instead of what the device holds
		held     bool              // version 1 is
		yes, no  int               // how often evidence has shown version 1 in the end, and not
	}{
		"the version before":   {nil, true, 2, 0},
		"something else":       {map[string]digest{"app/hello": sum("bent")}, false, 1, 1},
		"nothing of it":        {map[string]digest{"app/other": sum("image")}, false, 1, 1},
		"nothing was measured": {map[string]digest{}, false, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, d, first, u := failing(t)
			expect(t, "held while it is offered", d.status("app/hello").Held.Equal(first.Digest), true)
			d.fail(u, teep.PermanentError)
			failed := d.status("app/hello")
			expect(t, "state", failed.State, devices.Failed)
			d.lies = c.measured
			w.now.add(time.Second)
			expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
			after := d.status("app/hello")
			expect(t, "manifest", after.Manifest.Equal(failed.Manifest), true)
			expect(t, "state", after.State, devices.Failed)
			expect(t, "reason", after.Reason, failed.Reason)
			expect(t, "version 1 is held", after.Held.Equal(first.Digest), c.held)
			expect(t, "another is", !after.Held.IsZero(), c.held)
			yes, no := w.confirmed(first)
			expect(t, "confirmed", yes, c.yes)
			expect(t, "contradicted", no, c.no)
			for range 3 {
				w.now.add(time.Second)
				expect(t, "no further challenge", d.poll(), "token, end nothing-to-do")
			}
		})
	}
}

// A manifest that fails again and again is offered a few times, and each failure asks
// for evidence once, though it comes within the second.
func TestEachFailureAsksForEvidenceOnce(t *testing.T) {
	w, d, first, u := failing(t)
	asked := 0
	for range 20 {
		w.now.add(time.Millisecond)
		d.fail(u, teep.ManifestProcessingFailed)
		expect(t, "held", d.status("app/hello").Held.Equal(first.Digest), true)
		answer := d.respond(d.connect())
		if answer.Body == nil {
			break
		}
		q, challenged := d.open(answer.Body).(*teep.QueryRequest)
		if !challenged {
			t.Fatal("offered without evidence of what stands")
		}
		asked++
		if answer = d.respond(q); answer.Body == nil {
			break
		}
		u = d.open(answer.Body).(*teep.Update)
	}
	expect(t, "challenges", asked, 1+tam.Defaults().Reoffers)
	expect(t, "while it rests", d.poll(), "token, end nothing-to-do")
	yes, no := w.confirmed(first)
	expect(t, "confirmed again each time", yes, 1+asked)
	expect(t, "contradicted", no, 0)

	w.now.add(tam.Defaults().BackOff)
	expect(t, "after the rest", d.poll(), "token, update, end")
	w.now.add(time.Second)
	expect(t, "evidence", d.poll(), "token, challenge, end nothing-to-do")
	status := d.status("app/hello")
	expect(t, "state", status.State, devices.Confirmed)
	expect(t, "nothing else is held", status.Held.IsZero(), true)
}

// The device went back further than to the version before.
func TestAnOlderVersionStands(t *testing.T) {
	w, d, first, u := failing(t)
	d.installed["app/hello"] = sum("next")
	w.process(d.seal(&teep.Success{Token: u.Token}))
	w.now.add(time.Second)
	expect(t, "version 2", d.poll(), "token, challenge, end nothing-to-do")
	w.publish("app/hello", 3, "third")
	w.now.add(time.Second)
	u = d.open(d.respond(d.connect()).Body).(*teep.Update)
	second := d.status("app/hello").Held
	d.fail(u, teep.PermanentError)
	d.installed["app/hello"] = sum("image")
	w.now.add(time.Second)
	expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "version 2 is not held", !second.IsZero() && !d.status("app/hello").Held.Equal(second), true)
	expect(t, "version 1 is", d.status("app/hello").Held.Equal(first.Digest), true)
}

// What stands after a failed update answers for what it shares with a manifest that goes.
func TestWhatStandsSharesItsTargets(t *testing.T) {
	w := newWorld(t)
	lib := tam.Target{Component: component("app/lib"), ImageDigest: sum("lib"), ImageSize: 3}
	withLib := func(m *tam.Manifest) { m.Targets = append(m.Targets, lib) }
	w.publish("app/hello", 1, "image", withLib)
	w.publish("app/other", 1, "other", withLib)
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	d.require("app/other")
	w.now.add(time.Second)
	d.poll()
	w.now.add(time.Second)
	expect(t, "both", d.poll(), "token, challenge, end nothing-to-do")
	w.publish("app/hello", 2, "next", withLib)
	w.now.add(time.Second)
	d.fail(d.open(d.respond(d.connect()).Body).(*teep.Update), teep.PermanentError)
	id := d.record().ID
	w.update(func(tx tam.Tx) error {
		return errors.Join(tx.DeleteRequirement(id, component("app/other")),
			tx.PutRemoval(devices.Removal{Device: id, Component: component("app/other"), CreatedAt: w.now.Now()}))
	})
	w.now.add(time.Second)
	expect(t, "removal", d.poll(), "token, challenge, unlink, end")
	d.installed["app/lib"] = sum("lib") // version 1 references it
	w.now.add(time.Second)
	d.poll()
	expect(t, "confirmed removals", w.events(audit.RemovalConfirmed), 1)
}
