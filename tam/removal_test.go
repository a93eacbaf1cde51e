package tam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// holding is a device that holds app/hello, confirmed.
func holding(t *testing.T) (*world, *device) {
	t.Helper()
	w := newWorld(t)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	w.now.add(time.Second)
	expect(t, "update", d.poll(), "token, update, end")
	w.now.add(time.Second)
	expect(t, "confirmation", d.poll(), "token, challenge, end nothing-to-do")
	id := d.record().ID
	w.update(func(tx tam.Tx) error { return tx.DeleteRequirement(id, component("app/hello")) })
	return w, d
}

func (d *device) orderRemoval(target string) {
	d.w.t.Helper()
	id := d.record().ID
	d.w.update(func(tx tam.Tx) error {
		return tx.PutRemoval(devices.Removal{Device: id, Component: component(target), CreatedAt: d.w.now.Now()})
	})
}

func TestOrderedRemoval(t *testing.T) {
	for _, ordered := range []string{"app/hello", "app/hello/manifest"} {
		t.Run(ordered, func(t *testing.T) {
			w, d := holding(t)
			d.orderRemoval(ordered)
			expect(t, "removal", d.poll(), "token, unlink, end")
			expect(t, "after Success", d.status("app/hello").State, devices.Unlinked)
			w.now.add(time.Second)
			expect(t, "confirmation", d.poll(), "token, challenge, end nothing-to-do")
			expect(t, "after the evidence", d.status("app/hello").State, devices.Removed)
			expect(t, "cheap poll", d.poll(), "token, end nothing-to-do")

			w.publish("app/hello", 2, "next")
			d.requested = []teep.RequestedTC{{Component: component("app/hello")}}
			expect(t, "asked for, though it must not be there", d.poll(), "token, end nothing-to-do")
			d.requested = nil
			d.installed["app/hello"] = sum("image")
			expect(t, "it came back", d.poll(), "token, unlink, end")
			expect(t, "attempts begin anew", d.status("app/hello").Attempts, 1)
			for action, n := range map[audit.Action]int{audit.RemovalOffered: 2, audit.RemovalClaimed: 2, audit.RemovalConfirmed: 1} {
				expect(t, string(action), w.events(action), n)
			}
		})
	}
}

// A withdrawn order and a new requirement bring the component back at once.
func TestRemovedAndRequiredAgain(t *testing.T) {
	w, d := holding(t)
	d.orderRemoval("app/hello")
	d.poll()
	w.now.add(time.Second)
	d.poll()
	id := d.record().ID
	w.update(func(tx tam.Tx) error { return tx.DeleteRemoval(id, component("app/hello")) })
	d.require("app/hello")
	expect(t, "again", d.poll(), "token, update, end")
	expect(t, "state", d.status("app/hello").State, devices.Claimed)
	expect(t, "attempts", d.status("app/hello").Attempts, 1)
}

func TestAgentNoLongerNeeds(t *testing.T) {
	manifest := component("app/hello/manifest")
	for _, c := range []struct {
		name string
		set  func(*device)
		want string
	}{
		{"nobody requires it", func(*device) {}, "token, unlink, end"},
		{"it is required", func(d *device) { d.require("app/hello") }, "token, end nothing-to-do"},
		{"its manifest is required", func(d *device) { d.require("app/hello/manifest") }, "token, end nothing-to-do"},
		{"it asks for the same", func(d *device) { d.requested = []teep.RequestedTC{{Component: component("app/hello")}} }, "token, end nothing-to-do"},
		{"a manifest that is not ours", func(d *device) { d.unneeded = []suit.ComponentID{component("app/other")} }, "token, end nothing-to-do"},
		{"a target, not a manifest", func(d *device) { d.unneeded = []suit.ComponentID{component("app/hello")} }, "token, end nothing-to-do"},
		{"twice", func(d *device) { d.unneeded = []suit.ComponentID{manifest, manifest} }, "token, unlink, end"},
		{"and another is due", func(d *device) { d.w.publish("app/next", 1, "next"); d.require("app/next") }, "token, unlink, update, end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, d := holding(t)
			d.unneeded = []suit.ComponentID{manifest}
			c.set(d)
			expect(t, "session", d.poll(), c.want)
		})
	}
}

// An agent that says Success and still wants the same is not served for ever.
func TestRemovalsRest(t *testing.T) {
	w, d := holding(t)
	d.unneeded = []suit.ComponentID{component("app/hello/manifest")}
	for i := range 4 {
		m := d.open(d.respond(d.connect()).Body).(*teep.Update)
		expect(t, "ids to unlink", len(m.UnneededManifests), 1)
		if i%2 == 0 {
			expect(t, "answer", w.process(d.seal(&teep.Success{Token: m.Token})).Reason, "")
			agent := d.agent() // so that no evidence is asked for
			agent.AttestedAt = w.now.Now().Add(time.Second)
			w.update(func(tx tam.Tx) error { return tx.PutAgent(agent) })
		}
	}
	expect(t, "the fifth", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
	w.now.add(tam.Defaults().BackOff)
	expect(t, "after the rest", d.respond(d.connect()).Body != nil, true)
}

func TestFailedRemovals(t *testing.T) {
	failure := &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{Section: suit.SectionUninstall}}
	for _, c := range []struct {
		name    string
		answer  func(*device, *teep.Update, tam.Manifest) *teep.Error
		state   devices.ComponentState
		words   string
		another devices.ComponentState // of the manifest in the same Update
	}{
		{"failed, no reports", func(_ *device, u *teep.Update, _ tam.Manifest) *teep.Error {
			return &teep.Error{Code: teep.ManifestProcessingFailed, ErrMsg: "still in use"}
		}, devices.RemovalFailed, "still in use", devices.Failed},
		{"temporary", func(*device, *teep.Update, tam.Manifest) *teep.Error {
			return &teep.Error{Code: teep.TemporaryError}
		}, devices.Removing, "ERR_TEMPORARY_ERROR", devices.Offered},
		{"its report tells of the failure", func(d *device, u *teep.Update, _ tam.Manifest) *teep.Error {
			return &teep.Error{Code: teep.ManifestProcessingFailed, SUITReports: [][]byte{d.report(d.status("app/hello").Manifest, u.Token, failure)}}
		}, devices.RemovalFailed, "condition-failed in uninstall", devices.Failed},
		{"a report about the manifest that came after it", func(d *device, u *teep.Update, next tam.Manifest) *teep.Error {
			return &teep.Error{Code: teep.ManifestProcessingFailed, SUITReports: [][]byte{d.report(next.Digest, u.Token, failure)}}
		}, devices.Unlinked, "", devices.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, d := holding(t)
			next := w.publish("app/next", 1, "next")
			d.require("app/next")
			d.orderRemoval("app/hello")
			u := d.open(d.respond(d.connect()).Body).(*teep.Update)
			m := c.answer(d, u, next)
			m.Token = u.Token
			expect(t, "reason", w.process(d.seal(m)).Reason, tam.ReasonUpdateFailed)
			expect(t, "state", d.status("app/hello").State, c.state)
			expectContains(t, "words", d.status("app/hello").Reason, c.words)
			expect(t, "the other", d.status("app/next").State, c.another)
		})
	}
}

func TestRemovalIsConfirmedByEvidenceOnly(t *testing.T) {
	w, d := holding(t)
	d.orderRemoval("app/hello")
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	d.lies = map[string]digest{"app/hello": sum("image")}
	d.install(u)
	expect(t, "answer", w.process(d.seal(&teep.Success{Token: u.Token})).Reason, "")
	w.now.add(time.Second)
	expect(t, "still measured", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Unlinked)
	expectContains(t, "why", d.status("app/hello").Reason, "app/hello is still measured")
	d.lies = nil
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "measured no more", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "state", d.status("app/hello").State, devices.Removed)
}

// The Success was lost; what the agent still lists is not gone, whatever the
// attester leaves out.
func TestRemovalWithoutSuccess(t *testing.T) {
	w, d := holding(t)
	d.orderRemoval("app/hello")
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	w.now.add(tam.Defaults().AttestationMaxAge)
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	answer := d.respond(q, func(c *attest.Claims) { c.Measurements = nil })
	expect(t, "accepted", answer.Reason == "" && answer.Body != nil, true)
	expect(t, "listed", d.status("app/hello").State, devices.Removing)
	d.install(u)
	w.now.add(tam.Defaults().AttestationMaxAge)
	d.poll()
	expect(t, "neither listed nor measured", d.status("app/hello").State, devices.Removed)
}

// A Success for an Update that went out before the removal does not touch it, nor
// the other way round.
func TestLateAnswersAndRemovals(t *testing.T) {
	w, d := holding(t)
	w.publish("app/hello", 2, "next")
	install := d.open(d.respond(d.connect()).Body).(*teep.Update)
	d.orderRemoval("app/hello")
	unlink := d.open(d.respond(d.connect()).Body).(*teep.Update)
	expect(t, "unlinks", slices.ContainsFunc(unlink.UnneededManifests, component("app/hello/manifest").Equal), true)
	expect(t, "late Success", w.process(d.seal(&teep.Success{Token: install.Token})).Reason, "")
	expect(t, "state", d.status("app/hello").State, devices.Removing)
	id := d.record().ID
	w.update(func(tx tam.Tx) error { return tx.DeleteRemoval(id, component("app/hello")) })
	d.require("app/hello")
	expect(t, "offered again", len(d.open(d.respond(d.connect()).Body).(*teep.Update).Manifests), 1)
	expect(t, "late answer to the removal", w.process(d.seal(&teep.Success{Token: unlink.Token})).Reason, "")
	expect(t, "state", d.status("app/hello").State, devices.Offered)
}

// What is unlinked is what was installed, not what is the newest.
func TestRemovalNamesWhatWasInstalled(t *testing.T) {
	w, d := holding(t)
	w.publish("app/hello", 2, "next")
	d.orderRemoval("app/hello")
	d.respond(d.connect())
	expect(t, "sequence", d.status("app/hello").Sequence, 1)
}

// Failed removals do not count against an installation.
func TestOffersAfterFailedRemovals(t *testing.T) {
	w, d := holding(t)
	status := d.status("app/hello")
	status.State, status.Attempts = devices.RemovalFailed, 9
	w.update(func(tx tam.Tx) error { return tx.PutComponentStatus(status) })
	delete(d.installed, "app/hello")
	d.require("app/hello")
	d.respond(d.connect())
	expect(t, "attempts", d.status("app/hello").Attempts, 1)
}

func TestEnvelopeWithoutPayload(t *testing.T) {
	w := newWorld(t)
	m := w.publish("app/hello", 3, "image")
	d := w.device(cosekit.ESP256).enrol()
	signed, err := suit.Sign(&suit.Manifest{Version: suit.ManifestVersion, SequenceNumber: 4}, map[string][]byte{"#image": []byte("the image")}, w.publisher)
	if err != nil {
		t.Fatal(err)
	}
	full, err := signed.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	m.Digest, m.Sequence = signed.Digest(), 4
	w.update(func(tx tam.Tx) error { return tx.AddManifest(m, full) })

	d.requested = []teep.RequestedTC{{Component: component("app/hello"), MinSequence: sequence(4), HaveBinary: true}}
	for range 2 { // a lost Update is offered again as it was
		u := d.open(d.respond(d.connect()).Body).(*teep.Update)
		e, err := suit.Decode(u.Manifests[0])
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "payloads", len(e.IntegratedNames()), 0)
		if _, err := e.Verify(suit.KeyList{w.publisher.PublicKey()}, false); err != nil {
			t.Errorf("the signature: %v", err)
		}
	}
	d.requested[0].HaveBinary = false
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	e, err := suit.Decode(u.Manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "payloads when asked for", len(e.IntegratedNames()), 1)
}
