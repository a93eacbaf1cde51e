package tam_test

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// attestAgain sends fresh evidence and returns the answer to it.
func (d *device) attestAgain() tam.Answer {
	d.w.t.Helper()
	d.w.now.add(tam.Defaults().AttestationMaxAge)
	return d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
}

func TestAttesterOverrulesTheAgent(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	d.lies = map[string]digest{"app/hello": sum("something else")}
	w.now.add(time.Second)
	expect(t, "update", d.poll(), "token, update, end")
	for range tam.Defaults().Reoffers {
		w.now.add(time.Second)
		expect(t, "another measurement than the claim", d.poll(), "token, challenge, update, end")
	}
	w.now.add(time.Second)
	expect(t, "once more", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Failed)
	expectContains(t, "reason", d.status("app/hello").Reason, "was measured as")
	expect(t, "audited", w.events(audit.ComponentContradicted), 1+tam.Defaults().Reoffers)
	expect(t, "no further challenge while it rests", d.poll(), "token, end nothing-to-do")
	w.now.add(tam.Defaults().BackOff)
	expect(t, "after the rest, whatever the agent lists", d.poll(), "token, update, end")

	w.now.add(time.Second)
	d.lies = nil
	expect(t, "session with the true measurement", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Confirmed)
	expect(t, "reason", d.status("app/hello").Reason, "")
}

// A claim that the attester says nothing of stays one.
func TestUnmeasuredClaim(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	w.now.add(time.Second)
	d.poll()
	w.now.add(time.Second)
	d.lies = map[string]digest{}
	expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Claimed)
	expectContains(t, "reason", d.status("app/hello").Reason, "was not measured")
	expect(t, "no further challenge for the same claim", d.poll(), "token, end nothing-to-do")
	expect(t, "contradicted", w.events(audit.ComponentContradicted), 0)
}

func TestConfirmationIsWithdrawn(t *testing.T) {
	for name, c := range map[string]struct {
		measured map[string]suit.Digest
		reason   string
	}{
		"another digest": {map[string]suit.Digest{"app/hello": sum("bent")}, "app/hello was measured as"},
		"not measured":   {map[string]suit.Digest{"app/other": sum("image")}, "app/hello was not measured"},
		"no measurement": {map[string]suit.Digest{}, "app/hello was not measured"},
	} {
		t.Run(name, func(t *testing.T) {
			w, d := holding(t)
			d.require("app/hello")
			d.lies = c.measured
			u, offered := d.open(d.attestAgain().Body).(*teep.Update)
			expect(t, "offered again, though the agent lists it", offered && len(u.Manifests) == 1, true)
			expect(t, "audited", w.events(audit.ComponentContradicted), 1)
			w.view(func(r tam.Reader) error {
				list, err := r.Events(0, 1000)
				for _, e := range list {
					if e.Action == audit.ComponentContradicted {
						expectContains(t, "detail", e.Details["detail"], c.reason)
					}
				}
				return err
			})
			w.now.add(time.Second)
			d.lies = nil
			expect(t, "answer", w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: d.install(u)})).Reason, "")
			w.now.add(time.Second)
			expect(t, "repaired", d.poll(), "token, challenge, end nothing-to-do")
			expect(t, "state", d.status("app/hello").State, devices.Confirmed)
		})
	}
}

// Where nobody requires the component, the doubt stays for operators to see.
func TestContradictedStaysFailed(t *testing.T) {
	w, d := holding(t)
	d.lies = map[string]suit.Digest{"app/hello": sum("bent")}
	delete(d.installed, "app/hello")
	expect(t, "reason", d.attestAgain().Reason, tam.ReasonNothingToDo)
	expect(t, "state", d.status("app/hello").State, devices.Failed)
	expectContains(t, "words", d.status("app/hello").Reason, "was measured as")
	expect(t, "again", d.attestAgain().Reason, tam.ReasonNothingToDo)
	expect(t, "audited", w.events(audit.ComponentContradicted), 1)
}

// Evidence that was made before the confirmation says nothing against it.
func TestOlderEvidenceContradictsNothing(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	w.now.add(time.Second)
	w.ep.FirstContact = tam.ChallengeFirst
	late := d.seal(d.response(d.connect()))
	w.ep.FirstContact = tam.TokenFirst
	w.now.add(time.Second)
	d.poll()
	w.now.add(time.Second)
	d.poll()
	expect(t, "state", d.status("app/hello").State, devices.Confirmed)
	w.process(late)
	expect(t, "contradicted", w.events(audit.ComponentContradicted), 0)
}

// Two manifests install the same target: what the one that came later put there does
// not count against the other.
func TestAnotherManifestAnswersForTheTarget(t *testing.T) {
	w, d := holding(t)
	w.publish("app/hello", 2, "next", func(m *tam.Manifest) { m.Component = component("app/bundle") })
	d.require("app/hello")
	w.now.add(time.Second)
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	d.installed["app/hello"] = sum("next")
	expect(t, "answer", w.process(d.seal(&teep.Success{Token: u.Token})).Reason, "")
	w.now.add(time.Second)
	expect(t, "session", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "contradicted", w.events(audit.ComponentContradicted), 0)
}

// The tc-list tells of the right image, the attester of another: there is no status
// that could have been withdrawn.
// Two versions may have the same images. Which one is there, the evidence says by naming
// its manifest.
func TestNamedManifests(t *testing.T) {
	for name, c := range map[string]struct {
		names []uint64 // by sequence number
		want  devices.ComponentState
	}{
		"none":    {nil, devices.Confirmed},
		"this":    {[]uint64{1}, devices.Confirmed},
		"both":    {[]uint64{2, 1}, devices.Confirmed},
		"another": {[]uint64{2}, devices.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			versions := map[uint64]digest{1: w.publish("app/hello", 1, "same").Digest}
			d := w.device(cosekit.ESP256).enrol()
			d.require("app/hello")
			for range 2 {
				w.now.add(time.Second)
				d.poll()
			}
			expect(t, "before", d.status("app/hello").State, devices.Confirmed)
			versions[2] = w.publish("app/hello", 2, "same").Digest
			for _, n := range c.names {
				d.names = append(d.names, versions[n])
			}
			d.attestAgain()
			expect(t, "state", d.status("app/hello").State, c.want)
			if c.want == devices.Failed {
				expectContains(t, "reason", d.status("app/hello").Reason, "app/hello/manifest was measured as "+versions[2].String())
			}
		})
	}
}

func TestMeasurementsAreBelievedOverTheList(t *testing.T) {
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	d.installed["app/hello"] = sum("image")
	expect(t, "by the list alone", d.poll(), "token, end nothing-to-do")
	d.lies = map[string]suit.Digest{"app/hello": sum("bent")}
	u, offered := d.open(d.attestAgain().Body).(*teep.Update)
	expect(t, "offered", offered && len(u.Manifests) == 1, true)
}
