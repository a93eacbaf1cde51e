package main

import (
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

var (
	token     = bytes32("token")
	challenge = bytes32("challenge")

	suites   = []teep.CipherSuite{teep.SuiteESP256, teep.SuiteEd25519}
	profiles = teep.TEEPProfiles

	allButAttestation = teep.ItemTrustedComponents | teep.ItemExtensions | teep.ItemSUITReports

	hello = suit.ComponentID{[]byte("app"), []byte("hello")}
	tool  = suit.ComponentID{{0x0a, 0x1b}, []byte("tool")}
)

// row is a valid message.
type row struct {
	name, covers string
	signer       cosekit.Signer
	message      teep.Message
}

// teep adds the messages in both numberings.
func (s *set) teep() {
	for _, n := range []teep.Numbering{teep.IANA, teep.PreIANA} {
		for _, r := range slices.Concat(requests(), responses(), updates(), answers()) {
			data := must(teep.Seal(n, r.message, r.signer))
			s.valid(messageVector(n, r.name, r.covers, r.signer), payloadOf(data), data)
		}
		s.firstRequest(n)
		s.otherEncodings(n)
		s.evidence(n)
		s.refusedMessages(n)
	}
}

func messageVector(n teep.Numbering, name, covers string, signer cosekit.Signer) testvectors.Vector {
	return testvectors.Vector{
		Name: "teep-" + n.String() + "/" + name, Kind: testvectors.KindTEEP, Covers: covers,
		Numbering: n.String(), Keys: []string{nameOf(signer)},
	}
}

// nameOf returns the name of the key of a signer.
func nameOf(signer cosekit.Signer) string {
	i := slices.IndexFunc(keys, func(k key) bool { return k.PublicKey().Equal(signer.PublicKey()) })
	return keys[i].name
}

func requests() []row {
	offer := teep.QueryRequest{CipherSuites: suites, COSEProfiles: profiles}
	minimal, full, attested, passport, largest := offer, offer, offer, offer, offer

	minimal.Token, minimal.DataItems = token, teep.ItemTrustedComponents
	full.Token, full.DataItems = token, allButAttestation
	full.Versions = []uint32{0, 1}
	full.Attestation = &teep.AttestationPayload{Payload: resultFor(tamKey, challenge)}
	full.SUITReports = [][]byte{report(token, reportKey)}
	full.Unknown = teep.Options{99: cosekit.MustMarshal("an option of a later version")}
	attested.DataItems = teep.ItemAttestation | allButAttestation
	attested.Challenge, attested.Versions = challenge, []uint32{0}
	attested.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessNonce, teep.FreshnessTimestamp}
	passport.DataItems = teep.ItemAttestation
	largest.DataItems, largest.Challenge = teep.ItemAttestation, []byte(long(512))

	return []row{
		{"query-request-minimal", "QueryRequest with a token, asking for trusted components", tamKey, &minimal},
		{"query-request-full", "QueryRequest with a token and every option that may stand beside it, one of them unknown", tamKey, &full},
		{"query-request-attestation", "QueryRequest with the attestation bit, a challenge and both freshness mechanisms", tamKey, &attested},
		{"query-request-passport", "QueryRequest with the attestation bit and no challenge, as in the passport model", tamKey, &passport},
		{"query-request-ed25519", "QueryRequest signed with Ed25519", tamKeyEd, &minimal},
		{"query-request-challenge-512", "QueryRequest with the longest challenge, 512 bytes", tamKey, &largest},
	}
}

func responses() []row {
	sequence, size := uint64(3), uint64(5)
	digest := suit.SumSHA256([]byte("hello"))
	full := &teep.QueryResponse{
		Token:           token,
		SelectedVersion: 1,
		Attestation:     &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: evidenceFor(agentKey, challenge)},
		SUITReports:     [][]byte{report(token, reportKey)},
		TCList: []suit.PropertyClaims{
			{Component: hello, ImageDigest: &digest, ImageSize: &size},
			{Component: tool, Other: suit.Parameters{
				Version: &suit.VersionMatch{Comparison: suit.Equal, Version: []int64{1, 2, -1, 3}},
			}},
		},
		RequestedTCs: []teep.RequestedTC{
			{Component: hello},
			{Component: tool, MinSequence: &sequence},
			{Component: tool, MinSequence: &sequence, HaveBinary: true},
		},
		UnneededManifests: []suit.ComponentID{{[]byte("app"), []byte("old"), []byte("suit")}},
		Extensions:        []uint32{1, 4711},
		Unknown:           teep.Options{99: cosekit.MustMarshal([]int{1, 2})},
	}
	list := full.TCList[:1]
	return []row{
		{"query-response-minimal", "QueryResponse with the token and nothing to tell", agentKey, &teep.QueryResponse{Token: token}},
		{"query-response-no-token", "QueryResponse to a request that had no token", agentKey, &teep.QueryResponse{TCList: list}},
		{"query-response-token-8", "QueryResponse with the shortest token, 8 bytes", agentKey, &teep.QueryResponse{Token: []byte(long(8)), TCList: list}},
		{"query-response-token-64", "QueryResponse with the longest token, 64 bytes", agentKey, &teep.QueryResponse{Token: []byte(long(64)), TCList: list}},
		{"query-response-ed25519", "QueryResponse signed with Ed25519", agentKeyEd, &teep.QueryResponse{Token: token, TCList: list}},
		{"query-response-passport", "QueryResponse with an Attestation Result: there is no attestation-payload-format", agentKey,
			&teep.QueryResponse{Token: token, Attestation: &teep.AttestationPayload{Payload: resultFor(agentKey, token)}}},
		{"query-response-full", "QueryResponse with every option, one of them unknown", agentKey, full},
	}
}

func updates() []row {
	unneeded := []suit.ComponentID{{[]byte("app"), []byte("old"), []byte("suit")}}
	full := &teep.Update{
		Token:             token,
		UnneededManifests: unneeded,
		Manifests:         [][]byte{bare(integrated()), bare(byURI())},
		Attestation:       &teep.AttestationPayload{Payload: resultFor(agentKey, challenge)},
		ErrCode:           teep.UnsupportedSUITReport,
		ErrMsg:            "the report of app/hello cannot be read",
		ErrLang:           "en",
		Unknown:           teep.Options{99: cosekit.MustMarshal(true)},
	}
	return []row{
		{"update-minimal", "Update with its token only", tamKey, &teep.Update{Token: token}},
		{"update-integrated", "Update with a signed SUIT envelope whose payload is integrated", tamKey,
			&teep.Update{Token: token, Manifests: [][]byte{bare(integrated())}}},
		{"update-unlink", "Update that only unlinks", tamKey, &teep.Update{Token: token, UnneededManifests: unneeded}},
		{"update-attestation-required", "Update with an err-code and nothing to install", tamKey,
			&teep.Update{Token: token, ErrCode: teep.AttestationRequired, ErrMsg: "evidence is too old"}},
		{"update-ed25519", "Update signed with Ed25519", tamKeyEd, &teep.Update{Token: token, Manifests: [][]byte{bare(byURI())}}},
		{"update-full", "Update with every option, one of them unknown", tamKey, full},
	}
}

func answers() []row {
	full := &teep.Error{
		Token: token, Code: teep.UnsupportedCipherSuites,
		ErrMsg: long(128), ErrLang: long(35),
		CipherSuites:        suites[:1],
		FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessNonce},
		COSEProfiles:        profiles[:2],
		Challenge:           challenge,
		Versions:            []uint32{0},
		SUITReports:         [][]byte{failedReport(token, reportKey)},
		Unknown:             teep.Options{99: cosekit.MustMarshal(map[int]int{1: 2})},
	}
	return []row{
		{"success-minimal", "Success with its token only", agentKey, &teep.Success{Token: token}},
		{"success-ed25519", "Success signed with Ed25519", agentKeyEd, &teep.Success{Token: token}},
		{"success-full", "Success with a message, a signed report and an unknown option", agentKey, &teep.Success{
			Token: token, Msg: "done: 成功", SUITReports: [][]byte{report(token, reportKeyEd)},
			Unknown: teep.Options{99: cosekit.MustMarshal("unknown")},
		}},
		{"error-minimal", "Error with its code only", agentKey, &teep.Error{Code: teep.TemporaryError}},
		{"error-unknown-code", "Error with a code that no registry has", agentKey, &teep.Error{Token: token, Code: 4711}},
		{"error-manifest-processing-failed", "the one error whose number differs: 11 in the registry, 17 in the drafts before", agentKey,
			&teep.Error{Token: token, Code: teep.ManifestProcessingFailed, SUITReports: [][]byte{failedReport(token, reportKey)}}},
		{"error-full", "Error with every option, err-msg and err-lang as long as they may be, one option unknown", agentKey, full},
	}
}

// firstRequest adds the QueryRequest to an unknown agent, a COSE_Sign.
func (s *set) firstRequest(n teep.Numbering) {
	request := &teep.QueryRequest{Token: token, CipherSuites: suites, COSEProfiles: profiles, DataItems: allButAttestation}
	data := must(teep.SealFor(n, request, []cosekit.Signer{tamKey, tamKeyEd}))
	v := messageVector(n, "query-request-first", "QueryRequest in a COSE_Sign with a signature for each suite; either is enough", tamKey)
	v.Keys = []string{tamKey.name, tamKeyEd.name}
	s.valid(v, payloadOf(data), data)

	s.valid(messageVector(n, "query-request-one-of-two", "a COSE_Sign of which only the second signature is by a known key", tamKeyEd),
		payloadOf(data), must(teep.SealFor(n, request, []cosekit.Signer{strangerKey, tamKeyEd})))
}

// otherEncodings adds what peers send and our encoder does not.
func (s *set) otherEncodings(n teep.Numbering) {
	w := wire(n)
	add := func(name, covers string, payload cosekit.RawMessage) {
		s.valid(messageVector(n, name, covers, agentKey), payload, newFrame(agentKey, payload).sign1(agentKey))
	}
	add("success-other-order", "options in another order than the deterministic one",
		w.success(w.label(lToken), token, w.label(lMsg), "done"))
	add("success-long-length", "a length in more bytes than it needs",
		w.success(w.label(lToken), append(cosekit.RawMessage{0x59, 0, 32}, token...)))
	add("query-response-wrapped-ids", "unneeded-manifest-list whose identifiers are wrapped in byte strings, as one peer sends them",
		w.response(w.label(lToken), token, w.label(lUnneeded), array(cosekit.MustMarshal(tool))))
	add("error-no-options", "Error without any option", array(w.kind(tError), mapOf(), 1))
}

// evidence adds QueryResponses that are judged together with their evidence.
func (s *set) evidence(n teep.Numbering) {
	vector := func(name, covers string) testvectors.Vector {
		v := messageVector(n, name, covers, agentKey)
		v.Kind, v.Attester = testvectors.KindEvidence, attesterKey.name
		return v
	}
	seal := func(signer cosekit.Signer, evidence []byte) []byte {
		return must(teep.Seal(n, &teep.QueryResponse{
			Attestation: &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: evidence},
		}, signer))
	}
	good := seal(agentKey, evidenceFor(agentKey, challenge))
	s.valid(vector("evidence", "evidence over the challenge, whose cnf carries the key of the message"), payloadOf(good), good)
	other := vector("evidence-ed25519", "the same with Ed25519 for message and evidence")
	other.Keys, other.Attester = []string{agentKeyEd.name}, attesterKeyEd.name
	goodEd := seal(agentKeyEd, must(attest.SignEAT(claimsFor(agentKeyEd, challenge), attesterKeyEd)))
	s.valid(other, payloadOf(goodEd), goodEd)

	s.refused(vector("refused-evidence-other-key", "evidence that vouches for another key than the one that signs the message"),
		testvectors.ReasonCnfMismatch, seal(agentKey, evidenceFor(agentKeyEd, challenge)))
	s.refused(vector("refused-evidence-other-challenge", "evidence over another challenge"),
		testvectors.ReasonNonce, seal(agentKey, evidenceFor(agentKey, bytes32("another challenge"))))
	s.refused(vector("refused-evidence-other-attester", "evidence by an attester that nobody trusts"),
		testvectors.ReasonSignature, seal(agentKey, must(attest.SignEAT(claimsFor(agentKey, challenge), strangerKey))))
}
