package main

import (
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// claimsFor is evidence that vouches for the key of an agent.
func claimsFor(agent key, nonce []byte) *attest.Claims {
	return &attest.Claims{
		Profile:      attest.ProfileEAT,
		Nonce:        nonce,
		UEID:         append([]byte{1}, bytes32("device")[:16]...),
		OEMID:        cosekit.MustMarshal([]byte{0xac, 0xde, 0x48}),
		HWModel:      []byte("thermostat"),
		HWVersion:    "2.1",
		Confirmation: attest.Confirmation{Key: agent.PublicKey()},
		Manifests:    []attest.ManifestRef{about()},
		Measurements: []attest.Measurement{{Manifest: about(), Components: []suit.PropertyClaims{measured()}}},
		IssuedAt:     now.Add(-10 * time.Second),
	}
}

func evidenceFor(agent key, nonce []byte) []byte {
	return must(attest.SignEAT(claimsFor(agent, nonce), attesterKey))
}

// resultFor stands for an Attestation Result in the EAT profile of TEEP.
func resultFor(agent key, nonce []byte) []byte {
	c := claimsFor(agent, nonce)
	c.Profile, c.Measurements = attest.ProfileTEEP, nil
	return must(attest.SignEAT(c, attesterKey))
}

func eatVector(name, covers string, k key) testvectors.Vector {
	return testvectors.Vector{
		Name: "eat/" + name, Kind: testvectors.KindEAT, Covers: covers, Keys: []string{k.name},
	}
}

func (s *set) eats() {
	minimal := claimsFor(agentKey, challenge)
	minimal.Profile, minimal.Measurements, minimal.IssuedAt = "", nil, time.Time{}
	minimal.Manifests = []attest.ManifestRef{}
	full := claimsFor(agentKey, challenge)
	full.NotBefore, full.Expires = now.Add(-time.Minute), now.Add(time.Hour)
	full.OtherManifests = []attest.ContentEntry{{ContentFormat: 258, Body: cosekit.MustMarshal([]byte("a CoSWID"))}}
	full.Unknown = map[int64]cosekit.RawMessage{262: cosekit.MustMarshal(true), -4711: cosekit.MustMarshal("private")}
	full.Named = map[string]cosekit.RawMessage{"note": cosekit.MustMarshal("a claim whose label is text")}
	named := claimsFor(agentKey, challenge)
	named.Confirmation = attest.Confirmation{KeyID: thumbprint(agentKey)}
	number := claimsFor(agentKey, challenge)
	number.OEMID, number.Profile = cosekit.MustMarshal(32473), "1.3.6.1.4.1.32473.1"

	evidence := evidenceFor(agentKey, challenge)
	claims := payloadOf(evidence)
	for _, e := range []struct {
		name, covers string
		key          key
		data         []byte
	}{
		{"evidence", "evidence with all claims that the EAT profile of TEEP requires, and measurements", attesterKey, evidence},
		{"ed25519", "the same signed with Ed25519", attesterKeyEd, must(attest.SignEAT(claimsFor(agentKey, challenge), attesterKeyEd))},
		{"minimal", "the claims that the profile requires and no others; the list of manifests is empty", attesterKey, must(attest.SignEAT(minimal, attesterKey))},
		{"full", "exp, nbf and iat, a CoSWID, debug status and unknown claims", attesterKey, must(attest.SignEAT(full, attesterKey))},
		{"cnf-thumbprint", "a cnf that only names its key, by kid", attesterKey, must(attest.SignEAT(named, attesterKey))},
		{"oemid-number", "an enterprise number as oemid, and a profile that is an OID", attesterKey, must(attest.SignEAT(number, attesterKey))},
		{"tagged", "a COSE_Sign1 with its tag", attesterKey, newFrame(attesterKey, claims).sign1(attesterKey)},
		{"cwt", "a CWT tag around the tagged COSE_Sign1", attesterKey, append([]byte{0xd8, 61}, newFrame(attesterKey, claims).sign1(attesterKey)...)},
	} {
		s.valid(eatVector(e.name, e.covers, e.key), payloadOf(trimCWT(e.data)), e.data)
	}
	small := must(attest.EncodeClaims(minimal))
	s.refusedTokens(must(attest.SignEAT(minimal, attesterKey)), small)
	s.refusedClaims(small)
	s.refusedEvidence()
}

func trimCWT(token []byte) []byte {
	if token[0] == 0xd8 {
		return token[2:]
	}
	return token
}

// refusedTokens adds what is not an EAT in a COSE_Sign1, or not one by the attester.
func (s *set) refusedTokens(evidence, claims []byte) {
	f := newFrame(attesterKey, claims)
	detached, flipped := f, f
	detached.carried = null
	flipped.signature = func(b []byte) []byte { b[0] ^= 1; return b }
	for _, e := range []struct {
		name, covers string
		reason       testvectors.Reason
		data         []byte
	}{
		{"unsigned", "a claims set without a signature", testvectors.ReasonNotEAT, claims},
		{"unsigned-tagged", "an unsigned claims set with tag 601", testvectors.ReasonNotEAT, slices.Concat([]byte{0xd9, 0x02, 0x59}, claims)},
		{"bundle", "a detached EAT bundle, tag 602", testvectors.ReasonNotEAT,
			slices.Concat([]byte{0xd9, 0x02, 0x5a}, array(evidence, mapOf("section", claims)))},
		{"jwt", "a JWT", testvectors.ReasonNotEAT, []byte("eyJhbGciOiJFUzI1NiJ9.e30.AA")},
		{"sign", "claims in a COSE_Sign", testvectors.ReasonNotEAT, coseSign(claims, f.part(attesterKey))},
		{"cwt-untagged", "a CWT tag in front of a COSE_Sign1 without its tag", testvectors.ReasonNotEAT, append([]byte{0xd8, 61}, evidence...)},
		{"detached", "detached claims", testvectors.ReasonNotEAT, detached.sign1(attesterKey)},
		{"trailing-byte", "a byte behind the COSE_Sign1", testvectors.ReasonNotEAT, append(slices.Clone(evidence), 0)},
		{"truncated", "an EAT without its last byte", testvectors.ReasonNotEAT, evidence[:len(evidence)-1]},
		{"signature-flipped", "one bit of the signature flipped", testvectors.ReasonSignature, flipped.sign1(attesterKey)},
		{"stranger", "evidence by somebody whom nobody trusts", testvectors.ReasonSignature, must(attest.SignEAT(claimsFor(agentKey, challenge), strangerKey))},
		{"agent", "evidence that the agent has signed itself", testvectors.ReasonSignature, must(attest.SignEAT(claimsFor(agentKey, challenge), agentKey))},
	} {
		s.refused(eatVector("refused-"+e.name, e.covers, attesterKey), e.reason, e.data)
	}
}

// Labels of the CWT Claims registry.
const (
	claimIssuedAt  int64 = 6
	claimCnf       int64 = 8
	claimNonce     int64 = 10
	claimUEID      int64 = 256
	claimOEMID     int64 = 258
	claimHWModel   int64 = 259
	claimHWVersion int64 = 260
	claimProfile   int64 = 265
	claimManifests int64 = 272
	claimMeasured  int64 = 273
)

// refusedClaims adds claims that are not what their specifications say.
func (s *set) refusedClaims(claims []byte) {
	with := func(label int64, value any) []byte { return changedMap(claims, map[int64]any{label: value}) }
	cnf := func(items ...any) []byte { return with(claimCnf, mapOf(items...)) }
	for _, e := range []struct {
		name, covers string
		claims       []byte
	}{
		{"claims-trailing-byte", "a byte behind the claims", append(slices.Clone(claims), 0)},
		{"claims-array", "claims that are an array", array(claimNonce, challenge)},
		{"claims-duplicate", "the same claim twice", mapOf(claimNonce, challenge, claimNonce, challenge)},
		{"claims-indefinite", "claims of indefinite length", slices.Concat([]byte{0xbf}, claims[1:], []byte{0xff})},
		{"nonce-7", "a nonce of 7 bytes, one too few", with(claimNonce, []byte(long(7)))},
		{"nonce-65", "a nonce of 65 bytes, one too many", with(claimNonce, []byte(long(65)))},
		{"nonce-text", "a nonce that is text, as in JSON", with(claimNonce, long(32))},
		{"nonce-array", "an array of nonces; the profile wants a single one", with(claimNonce, array(challenge))},
		{"ueid-6", "a ueid of 6 bytes, one too few", with(claimUEID, []byte(long(6)))},
		{"ueid-34", "a ueid of 34 bytes, one too many", with(claimUEID, []byte(long(34)))},
		{"oemid-4", "an oemid of 4 bytes", with(claimOEMID, []byte(long(4)))},
		{"hwmodel-0", "an empty hwmodel", with(claimHWModel, []byte{})},
		{"hwversion-text", "a hwversion that is text and not an array", with(claimHWVersion, "2.1")},
		{"profile-number", "an eat_profile that is a number", with(claimProfile, 1)},
		{"iat-tag", "an iat with tag 1", with(claimIssuedAt, cosekit.RawMessage{0xc1, 0x00})},
		{"iat-float", "an iat that is a floating-point number", with(claimIssuedAt, 1.5)},
		{"iat-negative", "an iat before 1970", with(claimIssuedAt, -1)},
		{"manifests-map", "manifests that are a map", with(claimManifests, mapOf())},
		{"manifests-part", "an entry of manifests without a body", with(claimManifests, array(array(60)))},
		{"measurements-empty", "an empty list of measurements", with(claimMeasured, array())},
		{"cnf-empty", "a cnf that neither carries nor names a key", cnf()},
		{"cnf-contradiction", "a cnf whose kid and ckt name different keys", cnf(3, thumbprint(agentKey), 5, thumbprint(strangerKey))},
		{"cnf-private", "a cnf with a private key", cnf(1, cosekit.RawMessage(strangerKey.coseKey(map[int64]any{keyD: strangerKey.secret})))},
	} {
		f := newFrame(attesterKey, e.claims)
		s.refused(eatVector("refused-"+e.name, e.covers, attesterKey), testvectors.ReasonClaims, f.sign1(attesterKey))
	}
	for _, e := range []struct {
		name  string
		label int64
	}{
		{"ueid", claimUEID}, {"oemid", claimOEMID}, {"hwmodel", claimHWModel}, {"hwversion", claimHWVersion},
		{"manifests", claimManifests}, {"cnf", claimCnf}, {"nonce", claimNonce},
	} {
		f := newFrame(attesterKey, with(e.label, nil))
		v := eatVector("refused-no-"+e.name, "evidence without "+e.name+", which the EAT profile of TEEP requires", attesterKey)
		s.refused(v, testvectors.ReasonClaimsMissing, f.sign1(attesterKey))
	}
}

// refusedEvidence adds good claims that are not an answer, here and now.
func (s *set) refusedEvidence() {
	sign := func(change func(*attest.Claims)) []byte {
		c := claimsFor(agentKey, challenge)
		change(c)
		return must(attest.SignEAT(c, attesterKey))
	}
	s.refused(eatVector("refused-nonce", "evidence over another challenge", attesterKey), testvectors.ReasonNonce,
		evidenceFor(agentKey, bytes32("another challenge")))
	s.refused(eatVector("refused-expired", "evidence that has expired", attesterKey), testvectors.ReasonEvidenceTime,
		sign(func(c *attest.Claims) { c.Expires = now }))
	s.refused(eatVector("refused-not-before", "evidence that is not valid yet", attesterKey), testvectors.ReasonEvidenceTime,
		sign(func(c *attest.Claims) { c.NotBefore = now.Add(time.Hour) }))
	s.refused(eatVector("refused-issued-later", "evidence that was issued in the future", attesterKey), testvectors.ReasonEvidenceTime,
		sign(func(c *attest.Claims) { c.IssuedAt = now.Add(time.Hour) }))
}
