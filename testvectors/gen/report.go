package main

import (
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// about is the manifest that the reports are about.
func about() suit.Reference { return suit.Reference{Digest: byURI().Digest()} }

func measured() suit.PropertyClaims {
	digest, size := suit.SumSHA256([]byte(payload)), uint64(len(payload))
	return suit.PropertyClaims{Component: hello, ImageDigest: &digest, ImageSize: &size}
}

// done is the report of an installation that has completed.
func done(nonce []byte) *suit.Report {
	m := measured()
	return &suit.Report{Reference: about(), Nonce: nonce, Entries: []suit.ReportEntry{
		suit.Record{Section: suit.SectionInstall, Offset: 1, Measured: suit.Parameters{ImageDigest: m.ImageDigest, ImageSize: m.ImageSize}},
		m,
	}}
}

// failed is the report of an installation whose payload is not the one of the manifest.
func failed(nonce []byte) *suit.Report {
	digest := suit.SumSHA256([]byte("something else"))
	at := suit.Record{Section: suit.SectionInstall, Offset: 68, Measured: suit.Parameters{ImageDigest: &digest}}
	return &suit.Report{
		Reference: about(), Nonce: nonce,
		Failure: &suit.ReportFailure{Code: 3, Record: at, Reason: suit.ReasonConditionFailed},
	}
}

func report(nonce []byte, k key) []byte       { return must(suit.SignReport(done(nonce), k)) }
func failedReport(nonce []byte, k key) []byte { return must(suit.SignReport(failed(nonce), k)) }

func reportVector(name, covers string, k key) testvectors.Vector {
	return testvectors.Vector{Name: "suit-report/" + name, Kind: testvectors.KindReport, Covers: covers, Keys: []string{k.name}}
}

func (s *set) reports() {
	full := done(token)
	full.Reference.URI = "https://example.com/hello.suit"
	full.Capabilities = &suit.Capabilities{
		Components: []suit.ComponentCapability{{ID: suit.ComponentID{[]byte("app")}, Wildcard: true}},
		Commands:   []suit.CommandCode{suit.ConditionVersion, suit.DirectiveUnlink},
		Parameters: []suit.ParameterCode{suit.ParameterVersion},
		Algorithms: []cosekit.Algorithm{cosekit.Algorithm(suit.SHA256), cosekit.ESP256},
		Manifest:   []int64{int64(suit.SectionUninstall)},
		Paths:      []suit.PathCapability{{Path: []int64{3, 3, 1}, Keys: []int64{1}}},
	}
	full.Extensions = map[int64]cosekit.RawMessage{4711: cosekit.MustMarshal("unknown")}
	for _, r := range []struct {
		name, covers string
		key          key
		data         []byte
	}{
		{"success", "a record and measurements, the signer's key in the protected CWT Claims header", reportKey, report(token, reportKey)},
		{"ed25519", "the same signed with Ed25519", reportKeyEd, report(token, reportKeyEd)},
		{"failure", "a procedure that has failed at a condition", reportKey, failedReport(token, reportKey)},
		{"no-nonce", "a report without a nonce and without records", reportKey, must(suit.SignReport(&suit.Report{Reference: about()}, reportKey))},
		{"full", "a reference URI, a capability report and an unknown element", reportKey, must(suit.SignReport(full, reportKey))},
		{"no-key", "a report without its key in the header", reportKey, must(cosekit.Sign1(reportKey, must(done(token).Encode()), cosekit.Form{}))},
	} {
		s.valid(reportVector(r.name, r.covers, r.key), payloadOf(r.data), r.data)
	}
	s.protectedReports()
	s.refusedReports()
}

// protectedReports are encrypted, or have a MAC in place of the signature.
func (s *set) protectedReports() {
	plain := done(token)
	encrypted := func(name string, k key, content cosekit.Algorithm, to ...cosekit.Recipient) []byte {
		return must(suit.SignEncryptedReport(plain, encryption(name, content, to...), k))
	}
	for _, r := range []struct {
		name, covers string
		key          key
		data         []byte
	}{
		{"encrypted-gcm", "a report that is encrypted to the TAM with A128GCM, inside the signature", reportKey,
			encrypted("report gcm", reportKey, cosekit.A128GCM, tamECDH.PublicKey())},
		{"encrypted-ctr", "the same with A128CTR, which only the signature protects", reportKeyEd,
			encrypted("report ctr", reportKeyEd, cosekit.A128CTR, tamECDH.PublicKey())},
	} {
		v := reportVector(r.name, r.covers, r.key)
		v.DecryptionKeys = []string{tamECDH.name}
		v.Decrypted = must(cbor.Diagnose(must(plain.Encode())))
		s.valid(v, payloadOf(r.data), r.data)
	}
	authenticated := reportVector("mac0", "a report in a COSE_Mac0", reportKey)
	authenticated.Keys = []string{publisherMAC.name}
	data := must(suit.AuthenticateReport(plain, publisherMAC.SecretKey))
	s.valid(authenticated, must(cosekit.ParseMAC(data)).Payload, data)

	refuse := func(name, covers string, reason testvectors.Reason, data []byte) {
		v := reportVector("refused-encrypted-"+name, covers, reportKey)
		v.DecryptionKeys = []string{tamECDH.name}
		s.refused(v, reason, data)
	}
	ciphertext := payloadOf(encrypted("report gcm", reportKey, cosekit.A128GCM, tamECDH.PublicKey()))
	signed := func(payload []byte) []byte { return must(cosekit.Sign1(reportKey, payload, cosekit.Form{})) }
	changed := slices.Clone(ciphertext)
	changed[30] ^= 1 // inside the ciphertext
	refuse("bare", "an encrypted report that is not signed", testvectors.ReasonNotSigned, ciphertext)
	refuse("changed", "one bit of the ciphertext flipped before it was signed", testvectors.ReasonDecryption, signed(changed))
	refuse("stranger", "a report that is encrypted to somebody else", testvectors.ReasonDecryption,
		encrypted("report for a stranger", reportKey, cosekit.A128GCM, strangerECDH.PublicKey()))
	payloadContext := encryption("report with another context", cosekit.A128GCM, tamECDH.PublicKey())
	refuse("context", "a key that was agreed on for a payload", testvectors.ReasonDecryption, signed(must(payloadContext.Seal(must(plain.Encode())))))
	inside := encryption("report of nothing", cosekit.A128GCM, tamECDH.PublicKey())
	inside.Context = cosekit.ReportEncryption
	refuse("other", "something else than a report inside", testvectors.ReasonMalformed, signed(must(inside.Seal([]byte(array(1))))))
	refuse("signature", "an encrypted report by a stranger", testvectors.ReasonSignature,
		encrypted("report by a stranger", strangerKey, cosekit.A128GCM, tamECDH.PublicKey()))
}

func (s *set) refusedReports() {
	content := must(done(token).Encode())
	refuse := func(name, covers string, reason testvectors.Reason, data []byte) {
		s.refused(reportVector("refused-"+name, covers, reportKey), reason, data)
	}
	signed := func(payload []byte, change func(*frame)) []byte {
		f := newFrame(reportKey, payload)
		f.protected = mapOf(headerAlg, cosekit.ESP256, headerCWTClaims, cosekit.ConfirmationHeader(reportKey.PublicKey()))
		if change != nil {
			change(&f)
		}
		return f.sign1(reportKey)
	}
	const malformed = testvectors.ReasonMalformed
	refuse("bare", "a report that is not signed", testvectors.ReasonNotSigned, content)
	refuse("stranger", "a report by a stranger, whose key is in the header", testvectors.ReasonSignature, report(token, strangerKey))
	refuse("signature-flipped", "one bit of the signature flipped", testvectors.ReasonSignature, signed(content, func(f *frame) {
		f.signature = func(b []byte) []byte { b[0] ^= 1; return b }
	}))
	refuse("header-key", "a header that confirms another key than the one that signed", testvectors.ReasonKey, signed(content, func(f *frame) {
		f.protected = mapOf(headerAlg, cosekit.ESP256, headerCWTClaims, cosekit.ConfirmationHeader(strangerKey.PublicKey()))
	}))
	refuse("detached", "a report whose payload is detached", malformed, signed(content, func(f *frame) { f.carried = null }))
	refuse("sign", "a report in a COSE_Sign", malformed, coseSign(content, newFrame(reportKey, content).part(reportKey)))
	refuse("trailing-byte", "a byte behind the COSE_Sign1", malformed, append(signed(content, nil), 0))

	const reference, records, result = 99, 3, 4
	record := array(array(), int64(suit.SectionInstall), 1, 0)
	for _, r := range []struct {
		name, covers string
		content      []byte
	}{
		{"content-trailing-byte", "a byte behind the report", append(slices.Clone(content), 0)},
		{"no-reference", "a report without reference to its manifest", changedMap(content, map[int64]any{reference: nil})},
		{"no-records", "a report without list of records", changedMap(content, map[int64]any{records: nil})},
		{"no-result", "a report without result", changedMap(content, map[int64]any{result: nil})},
		{"result-false", "a result of false, which says nothing", changedMap(content, map[int64]any{result: false})},
		{"result-part", "a failure without its record", changedMap(content, map[int64]any{result: mapOf(5, 3, 7, 10)})},
		{"record-4", "a record of four elements", changedMap(content, map[int64]any{records: array(record)})},
		{"nonce-text", "a nonce that is text", changedMap(content, map[int64]any{2: "nonce"})},
		{"array", "a report that is an array", array(1)},
	} {
		refuse(r.name, r.covers, malformed, signed(r.content, nil))
	}
}
