package tam_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

func agreementKey(t testing.TB) cosekit.AgreementKey {
	t.Helper()
	k, err := cosekit.GenerateAgreementKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// encryptedReport is a report of success, encrypted and signed.
func (d *device) encryptedReport(manifest suit.Digest, nonce []byte, to cosekit.AgreementKey, content cosekit.Algorithm) []byte {
	d.w.t.Helper()
	raw, err := suit.SignEncryptedReport(&suit.Report{Reference: suit.Reference{Digest: manifest}, Nonce: nonce},
		cosekit.Encryption{Content: content, Recipients: []cosekit.Recipient{to.PublicKey()}}, d.reportKey)
	if err != nil {
		d.w.t.Fatal(err)
	}
	return raw
}

func TestReportContainers(t *testing.T) {
	own, foreign := agreementKey(t), agreementKey(t)
	secret, err := cosekit.NewSecretKey(bytes.Repeat([]byte{7}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	macked := func(r *suit.Report) []byte {
		raw, err := suit.AuthenticateReport(r, secret)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	bare := func(r *suit.Report, to cosekit.AgreementKey) []byte {
		plaintext, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := cosekit.Encryption{Content: cosekit.A128GCM, Context: cosekit.ReportEncryption, Recipients: []cosekit.Recipient{to.PublicKey()}}.Seal(plaintext)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		name    string
		keyless bool // the TAM has no key for reports
		reports func(*device, suit.Digest, []byte) [][]byte
		reason  tam.Reason
	}{
		{"encrypted with AES-GCM", false, func(d *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{d.encryptedReport(m, token, own, cosekit.A128GCM)}
		}, ""},
		{"encrypted with AES-CTR", false, func(d *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{d.encryptedReport(m, token, own, cosekit.A128CTR)}
		}, ""},
		{"encrypted under the signature of the message", false, func(_ *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{bare(&suit.Report{Reference: suit.Reference{Digest: m}, Nonce: token}, own)}
		}, ""},
		{"encrypted, another nonce inside", false, func(d *device, m suit.Digest, _ []byte) [][]byte {
			return [][]byte{d.encryptedReport(m, make([]byte, 32), own, cosekit.A128GCM)}
		}, tam.ReasonReportNonce},
		{"encrypted to somebody else", false, func(d *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{d.encryptedReport(m, token, foreign, cosekit.A128GCM)}
		}, tam.ReasonReportEncrypted},
		{"encrypted, and no key for it", true, func(d *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{d.encryptedReport(m, token, own, cosekit.A128GCM)}
		}, tam.ReasonReportEncrypted},
		{"encrypted, its signature changed", false, func(d *device, m suit.Digest, token []byte) [][]byte {
			raw := d.encryptedReport(m, token, own, cosekit.A128GCM)
			raw[len(raw)-1] ^= 1
			return [][]byte{raw}
		}, tam.ReasonReportKey},
		{"a MAC", false, func(_ *device, m suit.Digest, token []byte) [][]byte {
			return [][]byte{macked(&suit.Report{Reference: suit.Reference{Digest: m}, Nonce: token})}
		}, tam.ReasonReportKey},
		{"too many", false, func(d *device, m suit.Digest, token []byte) [][]byte {
			list := make([][]byte, 33)
			for i := range list {
				list[i] = d.report(m, token, nil)
			}
			return list
		}, tam.ReasonReportTooLarge},
		{"too large", false, func(*device, suit.Digest, []byte) [][]byte { return [][]byte{make([]byte, 64<<10+1)} }, tam.ReasonReportTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, d, u, m := offered(t)
			if !c.keyless {
				w.cfg.DecryptionKeys.Agreements = []cosekit.AgreementKey{own}
				w.restart()
			}
			answer := w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: c.reports(d, m[0].Digest, u.Token)}))
			expect(t, "reason", answer.Reason, c.reason)
			state := devices.Offered
			if c.reason == "" {
				state = devices.Claimed
			}
			expect(t, "status", d.status("app/one").State, state)
			expect(t, "waiting", d.waiting(u.Token), false)
		})
	}
}

// Reports on starting up are decrypted too, for they answer a token.
func TestStartReportContainers(t *testing.T) {
	own := agreementKey(t)
	w := newWorld(t, func(c *tam.Config) { c.DecryptionKeys.Agreements = []cosekit.AgreementKey{own} })
	d := w.device(cosekit.ESP256).enrol()
	send := func(report func(token []byte) []byte) tam.Reason {
		token := d.connect().Token
		return w.process(d.seal(&teep.QueryResponse{Token: token, SUITReports: [][]byte{report(token)}})).Reason
	}
	m := sum("manifest")
	expect(t, "encrypted", send(func(token []byte) []byte { return d.encryptedReport(m, token, own, cosekit.A128GCM) }), tam.ReasonNothingToDo)
	expect(t, "encrypted to somebody else", send(func(token []byte) []byte { return d.encryptedReport(m, token, agreementKey(t), cosekit.A128GCM) }), tam.ReasonReportEncrypted)
	expect(t, "another nonce inside", send(func([]byte) []byte { return d.encryptedReport(m, m.Bytes, own, cosekit.A128GCM) }), tam.ReasonReportNonce)
	expect(t, "too large", send(func([]byte) []byte { return make([]byte, 64<<10+1) }), tam.ReasonReportTooLarge)
}

// What failed is said in words: in the state of the component, the audit log, and the
// replay that operators see.
func TestReportIsReplayed(t *testing.T) {
	w := newWorld(t)
	m := w.publishTree(&tree{id: "app/hello/manifest", sequence: 1, images: map[string]string{"app/hello": "one"}}, nil)
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	u := d.open(d.respond(d.connect()).Body).(*teep.Update)
	expect(t, "offered", len(u.Manifests), 1)

	at := -1
	install, _ := w.manifestOf(m.Digest).Section(suit.SectionInstall)
	for _, c := range install.Commands {
		if c.Code == suit.ConditionImageMatch {
			at = c.Offset
		}
	}
	other := sum("two")
	report, err := suit.SignReport(&suit.Report{
		Reference: suit.Reference{Digest: m.Digest}, Nonce: u.Token,
		Failure: &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{
			Section: suit.SectionInstall, Offset: uint64(at), Measured: suit.Parameters{ImageDigest: &other},
		}},
		Capabilities: &suit.Capabilities{
			Components: []suit.ComponentCapability{{ID: component("app"), Wildcard: true}}, Commands: []suit.CommandCode{suit.DirectiveFetch},
			Parameters: []suit.ParameterCode{suit.ParameterURI}, Algorithms: []cosekit.Algorithm{cosekit.ESP256},
		},
		Extensions: map[int64]cosekit.RawMessage{
			suit.ReportBentRules: cosekit.MustMarshal([]string{"implicit-integrity"}), suit.ReportLeftOut: cosekit.MustMarshal(7),
		},
	}, d.reportKey)
	if err != nil {
		t.Fatal(err)
	}
	answer := w.process(d.seal(&teep.Error{
		Token: u.Token, Code: teep.ManifestProcessingFailed, ErrMsg: "the flash is worn \x1b[2J\u202e\"", SUITReports: [][]byte{report},
	}))
	expect(t, "reason", answer.Reason, tam.ReasonUpdateFailed)
	for _, want := range []string{
		"install[", "image-match on app/hello failed", "asked for", sum("one").String(), "measured", other.String(),
		`; the device says: "the flash is worn \x1b[2J\u202e\""`,
	} {
		expectContains(t, "state", d.status("app/hello").Reason, want)
		expectContains(t, "audit log", fmt.Sprint(w.lastEvent().Details), want)
	}
	shown, err := w.fleet().Device(t.Context(), string(d.record().ID))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "reports", len(shown.Reports), 1)
	r := shown.Reports[0]
	expect(t, "completed", r.Completed, false)
	expect(t, "manifest", r.Manifest.String(), m.Digest.String())
	for _, want := range []string{"image-match on app/hello failed", `bent the rule "implicit-integrity"`, "left 7 records out", "supports the commands fetch", "components app/*"} {
		expectContains(t, "replay", strings.Join(r.Lines, "\n"), want)
	}
	id := d.record().ID
	w.view(func(r tam.Reader) error {
		list, err := r.Reports(id)
		if err == nil && bytes.Contains(list[0].Encoded, u.Token) {
			t.Error("the token of the Update is kept with the report")
		}
		return err
	})
}

// A report that fits nothing is kept and shown, and is no fault.
func TestReportThatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	m := w.publishTree(&tree{id: "app/hello/manifest", sequence: 1, images: map[string]string{"app/hello": "one"}}, nil)
	for _, record := range []suit.Record{
		{Section: suit.SectionInstall, Offset: 99999},
		{Section: suit.SectionLoad},
		{Section: suit.SectionInstall, ComponentIndex: 1 << 60},
		{Section: suit.SectionInstall, ManifestID: []uint64{3, 1 << 63}},
		{Section: 1000},
	} {
		d := w.device(cosekit.Ed25519).enrol()
		d.require("app/hello")
		u := d.open(d.respond(d.connect()).Body).(*teep.Update)
		failure := &suit.ReportFailure{Reason: suit.ReasonOperationFailed, Record: record}
		answer := w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: [][]byte{d.report(m.Digest, u.Token, failure)}}))
		expect(t, "reason", answer.Reason, tam.ReasonUpdateFailed)
		expect(t, "state", d.status("app/hello").State, devices.Failed)
		expect(t, "said why", d.status("app/hello").Reason != "", true)
	}
}
