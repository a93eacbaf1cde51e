package tam_test

import (
	"maps"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

func expectCounts(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// appraisals counts the stored attestations of the device.
func (d *device) appraisals() (n int) {
	d.w.t.Helper()
	id := d.record().ID
	d.w.view(func(r tam.Reader) error {
		list, err := r.Appraisals(tam.AppraisalQuery{Device: id, Limit: 1000})
		n = len(list)
		return err
	})
	return n
}

// patient does not let agents rest whose answers lead nowhere.
func patient(c *tam.Config) { c.Policy.Reoffers = 1000 }

// What is refused after an operator's decision is on record, whatever was there before.
func TestRefusalsAfterEachDecision(t *testing.T) {
	w := newWorld(t)
	fleet := tam.NewFleet(tam.FleetConfig{Store: w.store, Clock: w.now.Now})
	d := w.device(cosekit.ESP256).enrol()
	for range 2 {
		w.now.add(time.Minute)
		if _, err := fleet.Reject(t.Context(), "operator:test", d.record().ID, "a test"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.now.add(time.Second)
			d.poll()
		}
		w.now.add(time.Minute)
		if _, err := fleet.Accept(t.Context(), "operator:test", d.record().ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	expectCounts(t, "refusals", w.reasons(audit.SessionRefused), map[string]int{"device-rejected": 2})
}

func TestErrorsOnRecord(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	send := func(code teep.ErrorCode) {
		t.Helper()
		w.now.add(time.Second)
		w.process(d.seal(&teep.Error{Token: d.connect().Token, Code: code}))
	}
	d.poll() // of this very hour
	send(teep.TemporaryError)
	send(teep.TemporaryError)
	expectCounts(t, "one back-off", w.reasons(audit.AgentError), map[string]int{"ERR_TEMPORARY_ERROR": 1})
	w.now.add(tam.Defaults().TemporaryHold)
	send(teep.TemporaryError)
	expectCounts(t, "the next", w.reasons(audit.AgentError), map[string]int{"ERR_TEMPORARY_ERROR": 2})
	for code := range teep.ErrorCode(20) {
		send(1000 + code)
		send(teep.PermanentError)
	}
	expectCounts(t, "many codes", w.reasons(audit.AgentError),
		map[string]int{"ERR_TEMPORARY_ERROR": 2, "ERR_PERMANENT_ERROR": 1, "error 1000": 1})
}

func TestFailedEvidenceIsRecordedOnceInAnHour(t *testing.T) {
	w := newWorld(t, patient)
	w.ep.FirstContact = tam.ChallengeFirst
	d := w.device(cosekit.ESP256)
	d.poll()
	d.setState(devices.Accepted)
	expect(t, "of the first contact", d.appraisals(), 1)
	d.attester = signer(t, cosekit.ESP256)
	for range 5 {
		w.now.add(time.Minute)
		expect(t, "unknown attester", d.poll(), "challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
	}
	expect(t, "appraisals", d.appraisals(), 2)
	d.attester = w.anotherAttester()
	for range 5 {
		w.now.add(time.Minute)
		expect(t, "another attester", d.poll(), "challenge, ERR_ATTESTATION_REQUIRED attestation-key")
	}
	expect(t, "appraisals", d.appraisals(), 3)
	expectCounts(t, "events", w.reasons(audit.AttestationFailed), map[string]int{"not-affirmed": 1, "attestation-key": 1})
	w.now.add(time.Hour)
	d.poll()
	expect(t, "an hour later", d.appraisals(), 4)
	expect(t, "what is noted", len(d.agent().Noted), 1)

	d.attester = w.attester
	for range 3 {
		w.now.add(time.Minute)
		d.poll()
	}
	expect(t, "good evidence of an accepted device", d.appraisals(), 7)
}

func TestEvidenceOfPendingDevicesIsRecordedOnceInAnHour(t *testing.T) {
	w := newWorld(t, patient)
	w.ep.FirstContact = tam.ChallengeFirst
	d := w.device(cosekit.ESP256)
	for range 10 {
		w.now.add(time.Minute)
		expect(t, "poll", d.poll(), "challenge, end device-pending")
	}
	expect(t, "appraisals", d.appraisals(), 1)
	expect(t, "events", w.events(audit.AttestationAccepted), 1)
	w.now.add(time.Hour)
	d.poll()
	expect(t, "an hour later", d.appraisals(), 2)
}

func TestRefusedEnrolmentsAreRecordedOnceInAnHour(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.Admission = tam.AdmitPreregistered })
	one, two := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
	for range 3 {
		w.now.add(time.Minute)
		expect(t, "one", one.poll(), "token, challenge, end device-unregistered")
		expect(t, "two", two.poll(), "token, challenge, end device-unregistered")
	}
	expect(t, "events of two keys", w.events(audit.EnrolmentRefused), 2)
	w.now.add(time.Hour)
	one.poll()
	expect(t, "an hour later", w.events(audit.EnrolmentRefused), 3)
}
