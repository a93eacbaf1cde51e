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

// offered is a device that holds an Update with two manifests.
func offered(t *testing.T) (*world, *device, *teep.Update, [2]tam.Manifest) {
	t.Helper()
	w := newWorld(t)
	one, two := w.publish("app/one", 1, "image one"), w.publish("app/two", 4, "image two")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/one")
	d.require("app/two")
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	expect(t, "manifests offered", len(u.Manifests), 2)
	return w, d, u, [2]tam.Manifest{one, two}
}

// waiting reports whether an Update with this token still waits for its answer.
func (d *device) waiting(token []byte) bool {
	d.w.t.Helper()
	found := true
	err := d.w.store.View(d.w.t.Context(), func(r tam.Reader) error {
		_, err := r.Outstanding(d.thumbprint(), token)
		return err
	})
	if err != nil {
		found = false
	}
	return found
}

func TestAnswersThatMatchNoUpdate(t *testing.T) {
	w, d, u, _ := offered(t)
	other := w.device(cosekit.Ed25519).enrol()
	before := w.dump()
	expect(t, "another agent's token", w.process(other.seal(&teep.Success{Token: u.Token})).Reason, tam.ReasonNoUpdate)
	expect(t, "unknown token", w.process(d.seal(&teep.Success{Token: make([]byte, 32)})).Reason, tam.ReasonNoUpdate)
	wire, err := teep.Seal(teep.PreIANA, &teep.Success{Token: u.Token}, d.key)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the other numbering", w.processAt(&tam.Endpoint{Path: "/old", Numbering: teep.PreIANA}, wire).Reason, tam.ReasonNumbering)
	expect(t, "changed", w.dump() != before, false)
	expect(t, "waiting", d.waiting(u.Token), true)
	w.now.add(tam.Defaults().UpdateLifetime)
	expect(t, "too late", w.process(d.seal(&teep.Success{Token: u.Token})).Reason, tam.ReasonTokenExpired)
	expect(t, "changed", w.dump() != before, false)
	w.now.add(time.Second)
	if err := w.tam.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "waiting after maintenance", d.waiting(u.Token), false)
}

func TestReportsThatAreNotTheAgents(t *testing.T) {
	for _, c := range []struct {
		name   string
		report func(*device, *teep.Update, tam.Manifest) []byte
		reason tam.Reason
	}{
		{"wrong nonce", func(d *device, _ *teep.Update, m tam.Manifest) []byte {
			return d.report(m.Digest, make([]byte, 32), nil)
		}, tam.ReasonReportNonce},
		{"no nonce", func(d *device, _ *teep.Update, m tam.Manifest) []byte { return d.report(m.Digest, nil, nil) }, tam.ReasonReportNonce},
		{"signed with the TEEP key", func(d *device, u *teep.Update, m tam.Manifest) []byte {
			d.reportKey = d.key
			return d.report(m.Digest, u.Token, nil)
		}, tam.ReasonReportKey},
		{"no key in the header", func(d *device, u *teep.Update, m tam.Manifest) []byte {
			payload, err := (&suit.Report{Reference: suit.Reference{Digest: m.Digest}, Nonce: u.Token}).Encode()
			if err != nil {
				d.w.t.Fatal(err)
			}
			return sealed(d.w.t, payload, d.reportKey)
		}, tam.ReasonReportKey},
		{"signature of another key", func(d *device, u *teep.Update, m tam.Manifest) []byte {
			report := d.report(m.Digest, u.Token, nil)
			report[len(report)-1] ^= 1
			return report
		}, tam.ReasonReportKey},
		{"not a report", func(*device, *teep.Update, tam.Manifest) []byte { return []byte{0xa0} }, tam.ReasonReportMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, d, u, m := offered(t)
			wire := d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{c.report(d, u, m[0])}})
			answer := w.process(wire)
			expect(t, "reason", answer.Reason, c.reason)
			expect(t, "answered", answer.Body != nil, false)
			expect(t, "status", d.status("app/one").State, devices.Offered)
			expect(t, "pinned", d.agent().ReportKey == nil, true)
			expect(t, "token spent", d.waiting(u.Token), false)
			expect(t, "audited", w.events(audit.UpdateFailed), 1)
			expect(t, "again", w.process(wire).Reason, tam.ReasonNoUpdate)
		})
	}
}

func TestReportKeyIsPinned(t *testing.T) {
	w, d, u, m := offered(t)
	expect(t, "first report", w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{d.report(m[0].Digest, u.Token, nil)}})).Reason, "")
	expect(t, "pinned", d.agent().ReportKey.Equal(d.reportKey.PublicKey()), true)
	expect(t, "audited", w.events(audit.ReportKeyPinned), 1)
	pinned := d.reportKey
	d.reportKey = signer(t, cosekit.ESP256)
	w.publish("app/one", 2, "next")
	w.now.add(tam.Defaults().AttestationMaxAge)
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	u = d.open(d.respond(q).Body).(*teep.Update)
	answer := w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{d.report(m[0].Digest, u.Token, nil)}}))
	expect(t, "another key", answer.Reason, tam.ReasonReportKey)
	expect(t, "still pinned", d.agent().ReportKey.Equal(pinned.PublicKey()), true)

	// Whoever has only the TEEP key does not get around the report key by leaving it out.
	w.now.add(tam.Defaults().BackOffMax)
	q = d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	u = d.open(d.respond(q).Body).(*teep.Update)
	unsigned, err := (&suit.Report{Reference: suit.Reference{Digest: m[0].Digest}, Nonce: u.Token}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	answer = w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{unsigned}}))
	expect(t, "no key at all", answer.Reason, tam.ReasonReportKey)
}

// Where reports tell of a manifest, they overrule the message; the others go by it.
func TestFailedManifestsDoNotStopTheOthers(t *testing.T) {
	w, d, u, m := offered(t)
	failure := &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{Section: suit.SectionInstall, Offset: 17}}
	answer := w.process(d.seal(&teep.Error{
		Token: u.Token, Code: teep.ManifestProcessingFailed,
		SUITReports: [][]byte{d.report(m[0].Digest, u.Token, nil), d.report(m[1].Digest, u.Token, failure)},
	}))
	expect(t, "reason", answer.Reason, tam.ReasonUpdateFailed)
	expect(t, "one", d.status("app/one").State, devices.Claimed)
	expect(t, "two", d.status("app/two").State, devices.Failed)
	expectContains(t, "why", d.status("app/two").Reason, "condition-failed in install at byte 17")
	w.now.add(time.Second)
	d.installed["app/one"] = sum("image one")
	q := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	u = d.open(d.respond(q).Body).(*teep.Update)
	expect(t, "offered again", len(u.Manifests), 1)
	expect(t, "one", d.status("app/one").State, devices.Confirmed)
	answer = w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{d.report(m[1].Digest, u.Token, failure)}}))
	expect(t, "a Success whose report tells of a failure", answer.Reason, tam.ReasonUpdateFailed)
	expect(t, "two", d.status("app/two").State, devices.Failed)
}

// An answer that comes late does not undo what happened since.
func TestLateAnswers(t *testing.T) {
	w, d, u, m := offered(t)
	w.publish("app/one", 2, "image one, newer")
	later := d.open(d.respond(d.connect()).Body).(*teep.Update)
	expect(t, "manifests offered later", len(later.Manifests), 2)
	d.installed["app/two"] = sum("image two")
	w.now.add(tam.Defaults().AttestationMaxAge)
	d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
	expect(t, "two, measured", d.status("app/two").State, devices.Confirmed)
	id := d.record().ID
	w.update(func(tx tam.Tx) error { // the Updates above have ended by now; this one has not
		return tx.PutOutstanding(tam.Outstanding{
			Agent: d.thumbprint(), Device: id, Token: u.Token, Manifests: []digest{m[0].Digest, m[1].Digest},
			SentAt: w.now.Now(), ExpiresAt: w.now.Now().Add(time.Hour),
		}, 4)
	})
	expect(t, "reason", w.process(d.seal(&teep.Error{Token: u.Token, Code: teep.PermanentError})).Reason, "")
	expect(t, "one, offered anew", d.status("app/one").State, devices.Offered)
	expect(t, "two, confirmed", d.status("app/two").State, devices.Confirmed)
}

// registered error codes, and one that is not.
var errorCodes = []teep.ErrorCode{
	teep.PermanentError, teep.UnsupportedExtension, teep.UnsupportedFreshnessMechanisms, teep.UnsupportedMsgVersion,
	teep.UnsupportedCipherSuites, teep.BadCertificate, teep.AttestationRequired, teep.UnsupportedSUITReport,
	teep.CertificateExpired, teep.TemporaryError, teep.ManifestProcessingFailed, 23,
}

func TestErrorsThatAnswerUpdates(t *testing.T) {
	policy := tam.Defaults()
	for _, code := range errorCodes {
		t.Run(code.String(), func(t *testing.T) {
			w, d, u, _ := offered(t)
			state, rest := devices.Failed, policy.PermanentHold
			switch code {
			case teep.TemporaryError:
				state, rest = devices.Offered, policy.TemporaryHold
			case teep.ManifestProcessingFailed:
				rest = 0
			}
			answer := w.process(d.seal(&teep.Error{Token: u.Token, Code: code, ErrMsg: "no room", CipherSuites: []teep.CipherSuite{teep.SuiteESP256},
				FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessNonce}, Versions: []uint32{0}, COSEProfiles: teep.TEEPProfiles}))
			expect(t, "reason", answer.Reason, tam.ReasonUpdateFailed)
			expect(t, "answered", answer.Body != nil, false)
			status := d.status("app/one")
			expect(t, "state", status.State, state)
			expectContains(t, "words", status.Reason, "no room")
			expect(t, "waiting", d.waiting(u.Token), false)
			if state == devices.Failed {
				answer = d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
			} else {
				answer = d.respond(d.connect())
			}
			expect(t, "offered at once", answer.Body != nil, rest == 0)
			if rest > 0 {
				w.now.add(rest - time.Second)
				expect(t, "offered early", d.respond(d.connect()).Body != nil, false)
				w.now.add(time.Second)
			}
			expect(t, "offered again, for no error is for ever", d.open(d.respond(d.connect()).Body).Kind(), teep.KindUpdate)
		})
	}
}

func TestErrorsThatAnswerQueryRequests(t *testing.T) {
	policy := tam.Defaults()
	for _, code := range errorCodes {
		t.Run(code.String(), func(t *testing.T) {
			w := newWorld(t)
			d := w.device(cosekit.Ed25519).enrol()
			refuse := func(q *teep.QueryRequest) tam.Answer {
				return w.process(d.seal(&teep.Error{Token: q.Token, Code: code, CipherSuites: []teep.CipherSuite{teep.SuiteEd25519},
					FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessNonce}, Versions: []uint32{0}, COSEProfiles: teep.TEEPProfiles}))
			}
			q := d.connect()
			answer := refuse(q)
			expect(t, "again", refuse(q).Reason, tam.ReasonTokenSpent)
			hold := policy.PermanentHold
			switch code {
			case teep.UnsupportedFreshnessMechanisms, teep.UnsupportedMsgVersion, teep.UnsupportedCipherSuites, teep.UnsupportedSUITReport:
				retry := d.open(answer.Body).(*teep.QueryRequest)
				answer = refuse(retry)
				expect(t, "reason of the second", answer.Reason, tam.ReasonAlreadyRetried)
			case teep.AttestationRequired:
				expect(t, "reason", answer.Reason, tam.ReasonTAMAttestation)
				hold = 0
			case teep.TemporaryError:
				hold = policy.TemporaryHold
			case teep.ManifestProcessingFailed:
				hold = 0
			}
			expect(t, "answered in the end", answer.Body != nil, false)
			if hold > 0 {
				expect(t, "held", d.poll(), "token, end agent-held")
				w.now.add(hold)
			}
			expect(t, "afterwards", d.poll(), "token, end nothing-to-do")
		})
	}
}

func TestErrorsWithNothingInCommon(t *testing.T) {
	for _, m := range []*teep.Error{
		{Code: teep.UnsupportedFreshnessMechanisms, FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessTimestamp}},
		{Code: teep.UnsupportedMsgVersion, Versions: []uint32{1}},
		{Code: teep.UnsupportedCipherSuites, CipherSuites: []teep.CipherSuite{{{COSEType: 18, Algorithm: -35}}}},
		{Code: teep.UnsupportedSUITReport, COSEProfiles: []suit.COSEProfile{suit.ProfileHMACA128KWA128CTR}},
	} {
		t.Run(m.Code.String(), func(t *testing.T) {
			w := newWorld(t)
			d := w.device(cosekit.ESP256).enrol()
			m.Token = d.connect().Token
			answer := w.process(d.seal(m))
			expect(t, "reason", answer.Reason, tam.ReasonNothingInCommon)
			expect(t, "answered", answer.Body != nil, false)
		})
	}
}
