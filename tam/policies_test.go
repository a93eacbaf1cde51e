package tam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// keepApart is a policy that quarantines what differs and names its remedy.
var keepApart = policy.Policy{
	Name: "integrity", Kind: policy.Appraisal,
	Expression:  `result.status == "affirming" ? accept() : quarantine("executables differ")`,
	Remediation: "app/hello/manifest",
}

// rule puts a policy into force, at a time of its own.
func (w *world) rule(p policy.Policy) policy.Policy {
	w.t.Helper()
	w.now.add(time.Second)
	added, err := w.fleet().AddPolicy(w.t.Context(), operator, p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.now.add(time.Second)
	if err := w.tam.Maintain(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return added
}

// One device differs: refused, quarantined, remediated by the manifest that the policy
// names, then accepted; another is not affected.
func TestQuarantineRemedyRelease(t *testing.T) {
	w := newWorld(t, comparing)
	m := w.publish("app/hello", 1, "image")
	w.publish("app/other", 1, "other image")
	d, bystander := w.device(cosekit.ESP256), w.device(cosekit.Ed25519)
	d.installed["app/hello"], bystander.installed["app/hello"] = sum("image"), sum("image")
	d.enrol()
	bystander.enrol()
	d.require("app/other")
	w.rule(keepApart)
	expect(t, "a changed policy wants evidence", bystander.poll(), "token, challenge, end nothing-to-do")
	expect(t, "once", bystander.poll(), "token, end nothing-to-do")

	d.installed["app/hello"] = sum("tampered")
	answer := d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
	expect(t, "reason", answer.Reason, tam.ReasonPolicyQuarantined)
	u := d.open(answer.Body).(*teep.Update)
	expect(t, "manifests: the remedy only", len(u.Manifests), 1)
	record := d.record()
	expect(t, "state", record.State, devices.Quarantined)
	expect(t, "by", record.QuarantinedBy, "integrity@1")
	expect(t, "why", record.StateReason, "executables differ")
	expect(t, "counted", record.Attestations.Failed[string(tam.ReasonPolicyQuarantined)], 1)
	last := good(w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: record.ID, Limit: 1}))[0]
	expect(t, "on record", last.Outcome+" "+last.Policy+" "+last.Code, "quarantine integrity@1 policy-quarantined")
	expect(t, "remedy", d.status("app/hello").Manifest.Equal(m.Digest), true)
	for action, n := range map[audit.Action]int{audit.DeviceQuarantined: 1, audit.RemediationOffered: 1, audit.UpdateOffered: 1} {
		expect(t, string(action), w.events(action), n)
	}

	w.now.add(time.Second)
	expect(t, "Success", w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: d.install(u)})).Reason, "")
	expect(t, "is not trusted for its word", d.record().State, devices.Quarantined)
	w.now.add(time.Second)
	expect(t, "with evidence, the rest follows", d.poll(), "token, challenge, update, end")
	expect(t, "released", d.record().State, devices.Accepted)
	expect(t, "by nobody", d.record().QuarantinedBy, "")
	expect(t, "audited", w.events(audit.DeviceReleased), 1)
	expect(t, "bystander", bystander.poll(), "token, end nothing-to-do")
}

// A device that does not get better is asked and offered with back-off.
func TestHopelessQuarantineRests(t *testing.T) {
	w := newWorld(t, comparing)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	w.rule(keepApart)
	d.installed["app/hello"] = sum("tampered")
	updates, asked := 0, 0
	for range 120 {
		w.now.add(time.Minute)
		answer := d.respond(d.connect())
		if answer.Body == nil {
			continue
		}
		asked++
		answer = d.respond(d.open(answer.Body).(*teep.QueryRequest))
		if answer.Body == nil {
			continue
		}
		u := d.open(answer.Body).(*teep.Update)
		updates++
		w.process(d.seal(&teep.Error{Token: u.Token, Code: teep.ManifestProcessingFailed}))
	}
	expect(t, fmt.Sprintf("asked %d times, %d updates in two hours", asked, updates), asked < 40 && updates >= 4 && updates < 12, true)
	list := good(w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: d.record().ID, Limit: 100}))
	expect(t, "appraisals on record", len(list) < 8, true)
}

// Operators find a remedy that nobody has published in the record, once in an hour.
func TestRemedyThatIsMissing(t *testing.T) {
	w := newWorld(t, comparing)
	d := w.device(cosekit.ESP256).enrol()
	p := keepApart
	p.Remediation = "app/nope/suit"
	w.rule(p)
	d.installed["app/hello"] = sum("tampered")
	for range 3 {
		d.poll()
	}
	expect(t, "on record", w.events(audit.RemediationMissing), 1)
	expectContains(t, "why", w.eventOf(audit.RemediationMissing).Reason, "no manifest of app/nope/suit is published")
}

// A policy that rejects leaves the device accepted and gives it nothing but the remedy.
func TestRejectedWithARemedy(t *testing.T) {
	w := newWorld(t, comparing)
	d := w.device(cosekit.ESP256).enrol()
	p := keepApart
	p.Expression = `result.status == "affirming"`
	w.rule(p)
	d.installed["app/hello"] = sum("tampered")
	expect(t, "nothing published", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED policy-rejected")
	w.publish("app/hello", 1, "image")
	w.now.add(time.Second)
	expect(t, "remedy", d.poll(), "token, challenge, update, end")
	expect(t, "state", d.record().State, devices.Accepted)
	w.now.add(time.Second)
	expect(t, "good again", d.poll(), "token, challenge, end nothing-to-do")
}

// A remedy is a manifest like any other: of that id, and by a publisher.
func TestRemedyIsNoWayAroundPublishers(t *testing.T) {
	w := newWorld(t, comparing)
	w.publish("app/hello", 1, "image", func(m *tam.Manifest) { m.Signer = signer(t, cosekit.ESP256).PublicKey().Thumbprint() })
	w.publish("app/elsewhere", 9, "image", func(m *tam.Manifest) { m.Targets[0].Component = component("app/hello/manifest") })
	d := w.device(cosekit.ESP256).enrol()
	w.rule(keepApart)
	d.installed["app/hello"] = sum("tampered")
	expect(t, "nobody's manifest", d.poll(), "token, challenge, end device-quarantined")
	expect(t, "offered", w.events(audit.UpdateOffered), 0)
}

// An agent that said that it can do nothing gets no remedy either, until its rest ends.
func TestRemedyWaitsForAHeldAgent(t *testing.T) {
	w := newWorld(t, comparing)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	w.rule(keepApart)
	d.installed["app/hello"] = sum("tampered")
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	w.process(d.seal(&teep.Error{Token: d.connect().Token, Code: teep.PermanentError}))
	expect(t, "the challenge from before", d.respond(q).Reason, tam.ReasonAgentHeld)
	expect(t, "offered", w.events(audit.UpdateOffered), 0)
	w.now.add(tam.Defaults().PermanentHold)
	expect(t, "afterwards", d.poll(), "token, challenge, update, end")
}

// A device that an operator keeps apart gets the remedy of its policy, and stays apart.
func TestRemedyInAnOperatorsQuarantine(t *testing.T) {
	w := newWorld(t, comparing)
	w.publish("app/hello", 1, "image")
	w.publish("app/other", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/other")
	w.rule(keepApart)
	good(w.fleet().Quarantine(t.Context(), operator, d.record().ID, "by hand"))
	w.now.add(time.Second)
	expect(t, "the remedy", d.poll(), "token, challenge, update, end")
	expect(t, "only that", len(d.installed), 1)
	w.now.add(time.Second)
	expect(t, "it has it", d.poll(), "token, challenge, end device-quarantined")
	expect(t, "state", d.record().State, devices.Quarantined)
}

// What a pending device shows does not let it in by way of a quarantine.
func TestPolicyDoesNotQuarantineWhoIsNotAccepted(t *testing.T) {
	w := newWorld(t, comparing, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	d := w.device(cosekit.ESP256)
	d.respond(d.connect())
	w.rule(keepApart)
	w.publish("app/hello", 1, "image")
	d.installed["app/hello"] = sum("tampered")
	answer := d.respond(d.connect())
	expect(t, "state", d.record().State, devices.Pending)
	expect(t, "told", answer.Reason, "device-pending")
	expect(t, "answered who waits for an operator", answer.Body != nil, false)
	d.installed["app/hello"] = sum("image")
	w.now.add(time.Second)
	d.respond(d.connect())
	expect(t, "state after good evidence", d.record().State, devices.Pending)
}

// At first contact, what a policy does not accept writes nothing and spends nothing.
func TestPolicyAtFirstContact(t *testing.T) {
	w := newWorld(t, comparing, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	w.rule(keepApart)
	w.rule(policy.Policy{Name: "boards", Kind: policy.Admission, Expression: `device.hw_version == "1.0" ? accept() : reject("unknown board")`})
	d := w.device(cosekit.ESP256)
	d.installed["app/hello"] = sum("tampered")
	q := d.connect()
	before := w.dump()
	answer := d.respond(q)
	expect(t, "reason", answer.Reason, tam.ReasonPolicyQuarantined)
	expect(t, "answered", answer.Body != nil, false)
	expect(t, "changed", w.dump() != before, false)
	d.installed = map[string]digest{"app/hello": sum("image")}
	expect(t, "the challenge is still good", d.respond(q).Reason, tam.ReasonNothingToDo)
	expectContains(t, "admitted by", d.record().StateReason, "boards@1")

	other := w.device(cosekit.ESP256)
	other.attester = w.anotherAttester()
	answer = other.respond(other.connect(), func(c *attest.Claims) { c.HWVersion = "2.0" })
	expect(t, "refused by the admission policy", answer.Reason, tam.ReasonPolicyRejected)
	expect(t, "on record", w.events(audit.EnrolmentRefused), 1)
	expect(t, "with the policy and its words", w.lastEvent().Details["detail"], "policy boards@1: unknown board")
}

// An exception stands for the policy that it was granted against. What another says counts, and
// what is accepted without it is not accepted by it.
func TestExceptionIsFromOnePolicy(t *testing.T) {
	w := newWorld(t, comparing)
	d := w.device(cosekit.ESP256)
	d.installed["app/hello"] = sum("image")
	d.enrol()
	p := keepApart
	p.Remediation = ""
	w.rule(p)
	f, id := w.fleet(), d.record().ID
	by := func() string {
		return good(f.Appraisals(t.Context(), tam.AppraisalQuery{Device: id, Limit: 1}))[0].Policy
	}
	accept := func(hours int) devices.Device {
		return good(f.AcceptUntil(t.Context(), operator, id, w.now.Now().Add(time.Duration(hours)*time.Hour), "a hotfix"))
	}
	d.installed["app/hello"] = sum("hotfix")
	expect(t, "the hotfix", d.poll(), "token, challenge, end device-quarantined")
	expect(t, "excepted from", accept(1).Exception.Policy, "integrity@1")
	w.now.add(time.Second)
	expect(t, "under the exception", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "by", by(), "exception")
	expect(t, "once more, from", accept(72).Exception.Policy, "integrity@1")
	expect(t, "under the second", d.poll(), "token, challenge, end nothing-to-do")

	w.rule(policy.Policy{Name: "recall", Position: -1, Kind: policy.Appraisal, Selector: `device.state == "accepted"`, Expression: `reject("recalled")`})
	expect(t, "under another policy", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED policy-rejected")
	expect(t, "by", by(), "recall@1")
	good(f.RetirePolicy(t.Context(), operator, "recall", "it was the wrong board"))
	w.now.add(time.Second)
	expect(t, "without it", d.poll(), "token, challenge, end nothing-to-do")
	d.installed["app/hello"] = sum("image")
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "repaired", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "by", by(), "integrity@1")
}

// Whatever changes what policies say makes fresh evidence due at the next poll, at once and
// once, in every replica; evidence that was on its way then is judged by what is in force.
func TestChangedPoliciesWantEvidence(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	f := w.fleet()
	selected := keepApart
	selected.Selector = `group("here")`
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"a group", func() error {
			_, err := f.PutGroup(t.Context(), operator, devices.Group{Name: "here", Selector: "true"})
			return err
		}},
		{"a policy", func() error { _, err := f.AddPolicy(t.Context(), operator, selected); return err }},
		{"its group", func() error {
			_, err := f.PutGroup(t.Context(), operator, devices.Group{Name: "here", Selector: "false"})
			return err
		}},
		{"a retirement", func() error { _, err := f.RetirePolicy(t.Context(), operator, "integrity", "over"); return err }},
		{"a group gone", func() error { return f.DeleteGroup(t.Context(), operator, "here") }},
	} {
		expect(t, "before: "+change.name, d.poll(), "token, end nothing-to-do")
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		expect(t, change.name, d.poll(), "token, challenge, end nothing-to-do")
	}
	w.now.add(tam.Defaults().AttestationMaxAge)
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	good(f.AddPolicy(t.Context(), operator, keepApart))
	expect(t, "evidence on its way", d.respond(q).Reason, tam.ReasonNothingToDo)
	expect(t, "was judged by the new one", d.poll(), "token, end nothing-to-do")
}

// An acceptance with an end wants evidence when it ends, and a changed policy at once.
func TestAcceptedUntil(t *testing.T) {
	w := newWorld(t, comparing)
	d := w.device(cosekit.ESP256).enrol()
	end := w.now.Now().Add(3 * time.Hour)
	p := policy.Policy{Name: "grace", Kind: policy.Appraisal, Expression: fmt.Sprintf(
		`result.status == "affirming" ? accept() : accept_until(timestamp(%q), "until the release is out")`, end.Format(time.RFC3339))}
	w.rule(p)
	d.installed["app/hello"] = sum("tampered")
	expect(t, "accepted", d.poll(), "token, challenge, end nothing-to-do")
	last := good(w.fleet().Appraisals(t.Context(), tam.AppraisalQuery{Device: d.record().ID, Limit: 1}))[0]
	expect(t, "on record", fmt.Sprintf("%t %d %s", last.Accepted, last.Status, last.Policy), "true 96 grace@1")
	w.now.add(3 * time.Hour)
	expect(t, "when it has ended", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED policy-rejected")
}

// An acceptance that ends before evidence is too old does not make every poll ask about what
// the evidence does not show.
func TestAcceptedUntilAsksOnce(t *testing.T) {
	w := newWorld(t, comparing)
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	w.rule(policy.Policy{Name: "short", Kind: policy.Appraisal, Expression: `accept_until(now + duration("1h"), "a trial")`})
	d.require("app/hello")
	d.lies = map[string]digest{} // its attester does not measure it
	asked := 0
	for range 10 {
		w.now.add(time.Minute)
		if strings.Contains(d.poll(), "challenge") {
			asked++
		}
	}
	expect(t, "state", d.status("app/hello").State, devices.Claimed)
	expect(t, "asked under the new policy, and once for what is claimed", asked, 2)
}

// A policy in force that stops to compile, for its group is gone, accepts nothing.
func TestPolicyThatDoesNotCompile(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	w.update(func(tx tam.Tx) error {
		return tx.AddPolicy(policy.Policy{Name: "broken", Version: 1, Kind: policy.Appraisal, Selector: `group("gone")`, Expression: "true", CreatedAt: w.now.Now()})
	})
	w.now.add(tam.Defaults().AttestationMaxAge)
	expect(t, "poll", d.poll(), "token, challenge, ERR_ATTESTATION_REQUIRED policy-rejected")
	expect(t, "state", d.record().State, devices.Accepted)
}

func TestPoliciesOfOperators(t *testing.T) {
	w := newWorld(t, comparing)
	f := w.fleet()
	d := w.device(cosekit.ESP256).enrol()
	d.installed["app/hello"] = sum("tampered")
	w.now.add(tam.Defaults().AttestationMaxAge)
	d.poll()
	forged := w.device(cosekit.ESP256).enrol()
	forged.attester = signer(t, cosekit.ESP256)
	w.now.add(tam.Defaults().AttestationMaxAge)
	forged.poll()
	healthy := w.device(cosekit.ESP256).enrol()

	trial := good(f.TryPolicy(t.Context(), keepApart, tam.Page{Limit: 100}))
	expect(t, "tried", fmt.Sprint(trial.Tried, trial.Skipped, len(trial.Devices)), "3 0 1")
	expect(t, "then", trial.Devices[0].Device.ID, d.record().ID)
	expect(t, "what would have happened", trial.Counts[[2]policy.Outcome{policy.Reject, policy.Quarantine}], 1)
	expect(t, "the healthy one, and one before it was forged", trial.Counts[[2]policy.Outcome{policy.Accept, policy.Accept}], 2)
	first := good(f.TryPolicy(t.Context(), keepApart, tam.Page{Limit: 1}))
	rest := good(f.TryPolicy(t.Context(), keepApart, tam.Page{After: first.Next, Limit: 100}))
	expect(t, "page by page", first.Tried+first.Skipped+rest.Tried+rest.Skipped, 3)
	expect(t, "nothing in force", len(good(f.Policies(t.Context()))), 0)

	one := w.rule(keepApart)
	expect(t, "version", one.Version, 1)
	n := w.events(audit.PolicyAdded)
	expect(t, "the same again is left", good(f.AddPolicy(t.Context(), operator, keepApart)).Version, 1)
	expect(t, "without an event", w.events(audit.PolicyAdded), n)
	changed := keepApart
	changed.Comment = "as agreed"
	expect(t, "version", w.rule(changed).Version, 2)
	expect(t, "versions", len(good(f.PolicyVersions(t.Context(), "integrity"))), 2)
	for name, bad := range map[string]policy.Policy{
		"syntax":      {Name: "bad", Kind: policy.Appraisal, Expression: "result.status =="},
		"field":       {Name: "bad", Kind: policy.Appraisal, Expression: "result.statu == 'x'"},
		"name":        {Name: "Bad One", Kind: policy.Appraisal, Expression: "true"},
		"remediation": {Name: "bad", Kind: policy.Appraisal, Expression: "true", Remediation: "//"},
	} {
		_, err := f.AddPolicy(t.Context(), operator, bad)
		expect(t, name, errors.Is(err, tam.ErrBadPolicy), true)
		_, err = f.TryPolicy(t.Context(), bad, tam.Page{Limit: 10})
		expect(t, name+", tried", errors.Is(err, tam.ErrBadPolicy), true)
	}
	_, err := f.RetirePolicy(t.Context(), operator, "integrity", "")
	expect(t, "without a reason", errors.Is(err, tam.ErrNoReason), true)
	expect(t, "retired", good(f.RetirePolicy(t.Context(), operator, "integrity", "replaced")).Version, 3)
	expect(t, "in force", len(good(f.Policies(t.Context()))), 0)
	_, err = f.RetirePolicy(t.Context(), operator, "integrity", "twice")
	expect(t, "retired twice", errors.Is(err, tam.ErrNotFound), true)
	expect(t, "again in force", w.rule(keepApart).Version, 4)
	_ = healthy
}

func TestGroupsAndSelections(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	one, two := w.device(cosekit.ESP256).enrol(), w.device(cosekit.Ed25519).enrol()
	good(f.SetLabels(t.Context(), operator, one.record().ID, map[string]string{"site": "north"}))
	good(f.SetLabels(t.Context(), operator, two.record().ID, map[string]string{"site": "south"}))
	good(f.PutGroup(t.Context(), operator, devices.Group{Name: "north", Selector: `device.labels["site"] == "north"`}))
	found := good(f.SelectDevices(t.Context(), `group("north")`, tam.Page{Limit: 10}))
	expect(t, "found", len(found.Devices), 1)
	expect(t, "the right one", found.Devices[0].ID, one.record().ID)
	expect(t, "all looked at", fmt.Sprintf("%d %q", found.Scanned, found.Next), `2 ""`)
	page := good(f.SelectDevices(t.Context(), "true", tam.Page{Limit: 1}))
	rest := good(f.SelectDevices(t.Context(), "true", tam.Page{After: page.Next, Limit: 10}))
	expect(t, "page by page", len(page.Devices)+len(rest.Devices), 2)
	n, complete, err := f.CountDevices(t.Context(), `!group("north")`)
	expect(t, "count", fmt.Sprint(n, complete, err), "1 true <nil>")
	for _, bad := range []string{"device.", `group("nobody")`, `"text"`} {
		_, err := f.SelectDevices(t.Context(), bad, tam.Page{Limit: 1})
		expect(t, bad, errors.Is(err, tam.ErrBadSelector), true)
	}
	p := keepApart
	p.Selector = `group("north")`
	w.rule(p)
	expect(t, "in use", errors.Is(f.DeleteGroup(t.Context(), operator, "north"), tam.ErrGroupInUse), true)
	_, err = f.PutGroup(t.Context(), operator, devices.Group{Name: "north", Selector: "device."})
	expect(t, "a group that does not compile", errors.Is(err, tam.ErrBadSelector), true)
	good(f.RetirePolicy(t.Context(), operator, "integrity", "x"))
	expect(t, "deleted", f.DeleteGroup(t.Context(), operator, "north"), nil)
	expect(t, "deleted twice", errors.Is(f.DeleteGroup(t.Context(), operator, "north"), tam.ErrNotFound), true)
	expect(t, "groups", len(good(f.Groups(t.Context()))), 0)
}
