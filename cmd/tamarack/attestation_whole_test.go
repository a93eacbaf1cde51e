package main

import (
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

var implementationID = suit.SumSHA256([]byte("implementation")).Bytes

func asPSA(setup *device.Setup) {
	setup.Settings.Attestation = device.Attestation{
		Attester: device.AttesterPSA, PSA: device.PSA{ImplementationID: implementationID},
	}
}

// program is what a maker says of this program as an agent.
func program(t testing.TB) *corim.Unsigned {
	t.Helper()
	sum := must(digestOfExecutable())(t)
	return &corim.Unsigned{ID: "agent", Version: 1, References: []corim.Reference{{
		Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindImplID, Value: implementationID}},
		Key:         "teep-agent", Signer: make([]byte, 32), Digests: []corim.Digest{{Algorithm: "sha-256", Value: sum[:]}},
	}}}
}

// application is what a publisher says of a component as a PSA token measures it.
func application(s *plant, m tam.Manifest) *corim.Unsigned {
	signer := s.publisher.PublicKey().Thumbprint()
	return &corim.Unsigned{ID: "application", Version: m.Sequence, References: []corim.Reference{{
		Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindImplID, Value: implementationID}},
		Key:         m.Targets[0].Component.String(), Signer: signer[:], Version: fmt.Sprint(m.Sequence),
		Digests: []corim.Digest{{Algorithm: "sha-256", Value: m.Targets[0].ImageDigest.Bytes}},
	}}}
}

// A device with a PSA token is appraised by what its maker and its publisher have said:
// enrolled, updated, and refused once a component is another.
func TestAttestedPSA(t *testing.T) {
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"))
	m := s.machine("/tam", asPSA)
	s.register(m.AttestationKey(), "device", anchor.FormatPSA)
	if got := m.ends(); got != string(tam.ReasonNotAffirmed) {
		t.Fatalf("without reference values: %q", got)
	}
	s.refer(program(t))
	m.enrol()
	r := s.release("app/hello", 1, false)
	s.refer(application(s, r))
	m.require("app/hello")
	m.want("update", "")
	m.want("confirmed", tam.ReasonNothingToDo)
	if got := m.status(r.Component); got.State != devices.Confirmed {
		t.Fatalf("%+v", got)
	}
	m.tamper("app/hello, version")
	s.now.add(25 * time.Hour)
	m.refused("tampered", tam.ReasonNotAffirmed)
	diff := must(s.fleet.AttestationDiff(t.Context(), m.id, 0, 0))(t)
	c := comparisonOf(t, diff.Changes, "app/hello")
	if !c.Wrong || len(c.Expected) == 0 || !strings.Contains(c.Expected[0], hex.EncodeToString(r.Targets[0].ImageDigest.Bytes)) || c.Source == "" {
		t.Errorf("%+v", c)
	}
	if got := m.record(); got.State != devices.Accepted {
		t.Errorf("state %s", got.State)
	}
}

// One certificate authority covers a fleet; a certificate of another does not.
func TestFleetOfOneAuthority(t *testing.T) {
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"))
	ca, foreign := localtest.NewCA("maker", s.now.Now()), localtest.NewCA("somebody", s.now.Now())
	must(s.fleet.AddDeviceCA(t.Context(), plantOperator, "maker", ca.Certificate.Raw))(t)
	s.release("app/hello", 1, true)
	certified := func(i int, by *localtest.CA) *machine {
		file := filepath.Join(t.TempDir(), "chain.pem")
		m := s.build("/tam", func(setup *device.Setup) { setup.Settings.Attestation.Certificates = file })
		key := must(ear.ParseKey(must(os.ReadFile(device.PublicKeyPath(m.dir)))(t)))(t)
		c := by.Certify(fmt.Sprintf("device %d", i), key.Public, nil, s.now.Now())
		chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		if err := os.WriteFile(file, chain, 0o600); err != nil {
			t.Fatal(err)
		}
		m.open()
		return m
	}
	for i := range 20 {
		m := certified(i, ca).enrol()
		m.require("app/hello")
		m.want("update", "")
		m.want("confirmed", tam.ReasonNothingToDo)
	}
	if got := certified(20, foreign).ends(); got != string(tam.ReasonNotAffirmed) {
		t.Errorf("certified by somebody else: %q", got)
	}
	if n := len(must(s.fleet.AttestationAnchors(t.Context()))(t)); n != 0 {
		t.Errorf("%d keys are registered", n)
	}
}

// A device that demands it has the TAM attest itself first; one that knows another TAM's
// attestation key tells it nothing.
func TestDeviceDemandsAttestation(t *testing.T) {
	self := plantKey(t, cosekit.ESP256)
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"), func(s *plant) {
		s.config.Attester = selfAttester{key: self, executable: must(digestOfExecutable())(t), clock: s.now.Now}
	})
	demanding := func(path string, key cosekit.Signer) *machine {
		return s.machine(path, func(setup *device.Setup) {
			setup.Settings.TAM.Attest = true
			setup.Anchors = append(setup.Anchors, anchor.Anchor{Key: key.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}})
		})
	}
	for _, path := range []string{"/tam"} {
		m := demanding(path, self)
		s.register(m.AttestationKey(), "device")
		m.enrol()
		s.now.add(25 * time.Hour)
		m.want("attested anew on both sides", tam.ReasonNothingToDo)
		if !strings.Contains(m.story(), "attested") || !strings.Contains(m.story(), "demand") {
			t.Errorf("at %s:\n%s", path, m.story())
		}
		suspicious := demanding(path, plantKey(t, cosekit.ESP256))
		s.register(suspicious.AttestationKey(), "device")
		if got := suspicious.ends(); !strings.Contains(got, "attest") || strings.Contains(suspicious.story(), "evidence") {
			t.Errorf("at %s: %q\n%s", path, got, suspicious.story())
		}
	}
}

// passportHolder is a device that was given a result, and now meets the endpoint for them.
func passportHolder(t *testing.T, verifier cosekit.Signer) (*plant, *machine) {
	t.Helper()
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"), func(s *plant) {
		s.config.Issuer = &ear.Issuer{Signer: verifier, Form: ear.FormTEEP, Lifetime: time.Hour, Clock: s.now.Now, Developer: "test", Build: "1"}
	})
	m := s.machine("/return", func(setup *device.Setup) {
		setup.Settings.Attestation.Passport = true
		setup.Anchors = append(setup.Anchors, anchor.Anchor{Key: verifier.PublicKey(), Purposes: []anchor.Purpose{anchor.Verifier}})
	})
	s.register(m.AttestationKey(), "device")
	m.want("first contact", "device-pending")
	m.id = s.deviceOf(m.Settings().Identity.UEID).ID
	must(s.fleet.Accept(t.Context(), plantOperator, m.id, "as ordered"))(t)
	m.want("the result alone", tam.ReasonNothingToDo)
	if !strings.Contains(m.story(), "passport") {
		t.Fatalf("no passport was kept\n%s", m.story())
	}

	// The same device, at an endpoint for passports: once the verifier is trusted there.
	settings := must(os.ReadFile(device.SettingsPath(m.dir)))(t)
	if err := os.WriteFile(device.SettingsPath(m.dir), []byte(strings.Replace(string(settings), "/return", "/passport", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, m.reopen()
}

// The result of an appraisal goes back to the device, which shows it where passports are
// taken, as long as it is good.
func TestPassportOfADevice(t *testing.T) {
	verifier := plantKey(t, cosekit.ESP256)
	s, m := passportHolder(t, verifier)
	must(s.fleet.AddVerifier(t.Context(), plantOperator, anchor.Anchor{Key: verifier.PublicKey(), Title: "this TAM"}))(t)
	for range 3 { // as often as it is good
		m.want("passport", tam.ReasonNothingToDo)
		if a := s.last(m.id); !a.Accepted || a.Format != ear.MediaTypeTEEP || !strings.Contains(m.story(), "the passport") {
			t.Fatalf("%+v\n%s", a, m.story())
		}
		s.now.add(10 * time.Minute)
	}
	if err := s.fleet.RemoveAnchor(t.Context(), plantOperator, verifier.PublicKey().Thumbprint(), "it lies"); err != nil {
		t.Fatal(err)
	}
	m.refused("by a verifier that nobody trusts any more", tam.ReasonResultSignature)
	if !strings.Contains(m.story(), "dropped") {
		t.Errorf("kept:\n%s", m.story())
	}
	s.now.add(25 * time.Hour)
	m.want("evidence in place of a passport", tam.ReasonNothingToDo)
	if !strings.Contains(m.story(), "bound to key") {
		t.Errorf("no evidence:\n%s", m.story())
	}
}

// A passport that has expired is not shown.
func TestPassportExpires(t *testing.T) {
	verifier := plantKey(t, cosekit.ESP256)
	s, m := passportHolder(t, verifier)
	must(s.fleet.AddVerifier(t.Context(), plantOperator, anchor.Anchor{Key: verifier.PublicKey(), Title: "this TAM"}))(t)
	s.now.add(2 * time.Hour)
	m.want("without a passport that is good", tam.ReasonNothingToDo)
	if a := s.last(m.id); a.Format == ear.MediaTypeTEEP {
		t.Errorf("an expired passport was shown and taken\n%s", m.story())
	}
}

// Evidence goes to the TAM encrypted. The TAM's key is rotated while devices still use the
// old one, which opens evidence until it is taken away.
func TestEncryptedEvidenceThroughRotation(t *testing.T) {
	old, next := must(cosekit.GenerateAgreementKey())(t), must(cosekit.GenerateAgreementKey())(t)
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"), func(s *plant) {
		s.config.DecryptionKeys.Agreements = []cosekit.AgreementKey{old}
	})
	encrypting := func(to cosekit.AgreementKey) *machine {
		file := filepath.Join(t.TempDir(), "tam.pub.pem")
		if err := os.WriteFile(file, to.PublicKey().PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		m := s.machine("/first", func(setup *device.Setup) { setup.Settings.TAM.EvidenceKey = file })
		s.register(m.AttestationKey(), "device")
		return m.enrol()
	}
	late := encrypting(old)
	s.config.DecryptionKeys.Agreements = []cosekit.AgreementKey{next, old}
	s.start()
	current := encrypting(next)
	late.want("the old key", tam.ReasonNothingToDo)
	s.config.DecryptionKeys.Agreements = []cosekit.AgreementKey{next}
	s.start()
	before := late.record()
	if got := late.ends(); got == string(tam.ReasonNothingToDo) {
		t.Error("evidence to a key that was taken away was read")
	}
	if after := late.record(); after.State != before.State || after.Attestations.Accepted != before.Attestations.Accepted {
		t.Errorf("%+v, before %+v", after, before)
	}
	current.want("the new key", tam.ReasonNothingToDo)
}

// integrity keeps a device apart that does not run what it should.
var integrity = policy.Policy{
	Name: "integrity", Kind: policy.Appraisal, Remediation: "app/hello/suit",
	Expression: `result.status == "affirming" ? accept() : quarantine("it does not run what was released")`,
}

// What a policy would do to the fleet is what it then does. The device that was changed
// is kept apart, remedied by the manifest that the policy names and let in again, the
// other one goes on.
func TestTamperedDevice(t *testing.T) {
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"))
	released := s.release("app/hello", 1, true)
	s.release("app/other", 1, true)
	var fleet []*machine
	for range 2 {
		m := s.machine("/tam")
		s.register(m.AttestationKey(), "device")
		m.enrol()
		m.require("app/hello")
		m.want("update", "")
		m.want("confirmed", tam.ReasonNothingToDo)
		fleet = append(fleet, m)
	}
	bad, healthy := fleet[0], fleet[1]
	bad.tamper("app/hello, version")
	s.now.add(25 * time.Hour)
	bad.refused("tampered", tam.ReasonNotAffirmed)
	healthy.want("healthy", tam.ReasonNothingToDo)
	diff := must(s.fleet.AttestationDiff(t.Context(), bad.id, 0, 0))(t)
	if c := comparisonOf(t, diff.Changes, "image-digest of app/hello"); !c.Wrong || c.Before == c.After || len(c.Expected) != 1 || !strings.HasPrefix(c.Source, "app/hello/suit/1") {
		t.Errorf("%+v", c)
	}

	trial := must(s.fleet.TryPolicy(t.Context(), integrity, tam.Page{Limit: 10}))(t)
	if trial.Tried != 2 || len(trial.Devices) != 1 || trial.Devices[0].Device.ID != bad.id || trial.Devices[0].Then.Outcome != policy.Quarantine {
		t.Fatalf("%+v", trial)
	}
	s.rule(integrity)
	bad.require("app/other")
	s.now.add(time.Minute)
	if got := bad.ends(); got != "" {
		t.Fatalf("remediation: %q\n%s", got, bad.story())
	}
	record := bad.record()
	if record.State != devices.Quarantined || record.QuarantinedBy != "integrity@1" || record.StateReason != trial.Devices[0].Then.Reason {
		t.Fatalf("%+v\n%s", record, bad.story())
	}
	if c := bad.status(released.Component); c.State != devices.Claimed {
		t.Errorf("the remedy: %+v", c)
	}
	s.now.add(time.Minute)
	if got := bad.ends(); got != "" {
		t.Errorf("accepted, and updated: %q\n%s", got, bad.story())
	}
	if record = bad.record(); record.State != devices.Accepted {
		t.Errorf("%+v", record)
	}
	bad.want("all is well", tam.ReasonNothingToDo)
	healthy.want("a new policy wants evidence", tam.ReasonNothingToDo)
	if record = healthy.record(); record.State != devices.Accepted || record.Attestations.Failed != nil {
		t.Errorf("%+v", record)
	}
	var actions []string
	for _, e := range must(s.fleet.Events(t.Context(), 0, 1000))(t) {
		if e.Subject == "device:"+string(bad.id) && (strings.Contains(string(e.Action), "quarantine") || strings.Contains(string(e.Action), "release") || strings.Contains(string(e.Action), "remediation")) {
			actions = append(actions, string(e.Action))
		}
	}
	if len(actions) != 3 {
		t.Errorf("on record: %v", actions)
	}
}

// An exception lets a device pass until its date, with what an operator has seen and
// nothing else.
func TestExceptionUntilADate(t *testing.T) {
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"))
	factory := plantKey(t, cosekit.ESP256)
	s.register(factory.PublicKey(), "factory")
	s.rule(policy.Policy{Name: "strict", Kind: policy.Appraisal, Expression: `result.status == "affirming"`})
	p := s.probe(t, cosekit.Ed25519)
	s.refer(&corim.Unsigned{ID: "firmware", Version: 1, References: []corim.Reference{{
		Environment: corim.Environment{Vendor: author.VendorID(plantVendor).String()}, Key: "firmware",
		Digests: []corim.Digest{{Algorithm: "sha-256", Value: suit.SumSHA256([]byte("good")).Bytes}},
	}}})
	show := func(what string, want tam.Reason) {
		t.Helper()
		token := must(attest.SignEAT(p.claims(p.challenge(), s.now.Now()), factory))(t)
		if r := p.show(&teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}); r.reason != want {
			t.Fatalf("%s: %q, want %q", what, r.reason, want)
		}
	}
	p.held["firmware"] = suit.SumSHA256([]byte("good"))
	show("first contact", "device-pending")
	id := p.record().ID
	must(s.fleet.Accept(t.Context(), plantOperator, id, "as ordered"))(t)
	show("good", tam.ReasonNothingToDo)
	p.held["firmware"] = suit.SumSHA256([]byte("debug"))
	show("tampered", tam.ReasonPolicyRejected)

	until := s.now.Now().Add(36 * time.Hour)
	must(s.fleet.AcceptUntil(t.Context(), plantOperator, id, until, "field trial"))(t)
	show("excepted", tam.ReasonNothingToDo)
	if a := s.last(id); a.Policy != "exception" || !a.Accepted {
		t.Errorf("on record: %+v", a)
	}
	p.held["firmware"] = suit.SumSHA256([]byte("evil"))
	show("changed once more", tam.ReasonPolicyRejected)
	p.held["firmware"] = suit.SumSHA256([]byte("debug"))
	show("as the operator saw it", tam.ReasonNothingToDo)
	s.now.add(until.Sub(s.now.Now()) - 10*time.Second)
	show("at the end", tam.ReasonNothingToDo)
	s.now.add(10 * time.Second)
	if r := p.post("/tam", &teep.QueryResponse{Token: p.open(p.post("/tam", nil)).(*teep.QueryRequest).Token}); r.reason != tam.ReasonAttestationWanted {
		t.Errorf("when it has ended, a poll without evidence: %q", r.reason)
	}
	show("when it has ended", tam.ReasonPolicyRejected)

	must(s.fleet.AcceptUntil(t.Context(), plantOperator, id, s.now.Now().Add(time.Hour), "a little longer"))(t)
	show("excepted anew", tam.ReasonNothingToDo)
	must(s.fleet.EndException(t.Context(), plantOperator, id, "enough"))(t)
	show("taken back", tam.ReasonPolicyRejected)
}
