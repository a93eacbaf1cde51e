package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// issued is a result in one of the forms that our verifier issues, ten seconds ago.
func issued(form ear.Form, k key) []byte {
	vector := []attest.Element{{Name: attest.InstanceIdentity, Value: 2}, {Name: attest.Executables, Value: 2}, {Name: attest.Hardware, Value: 2}}
	issuer := ear.Issuer{
		Signer: k, Form: form, Lifetime: time.Hour, Clock: func() time.Time { return now.Add(-10 * time.Second) },
		Developer: "https://example.com", Build: "vectors",
	}
	result := &attest.Result{Status: attest.Affirming, Vector: vector, Claims: claimsFor(agentKey, challenge)}
	return must(issuer.Issue(result)).Payload
}

// submod is the appraisal of one attester in an EAR, by the names of JSON.
type submod map[string]any

// affirmed is what Veraison says of evidence with nothing wrong.
func affirmed() submod {
	return submod{
		"ear.status": "affirming", "ear.appraisal-policy-id": "policy:PSA_IOT",
		"ear.trustworthiness-vector": map[string]int{
			"instance-identity": 2, "configuration": 0, "executables": 2, "file-system": 0,
			"hardware": 2, "runtime-opaque": 2, "storage-opaque": 2, "sourced-data": 0,
		},
	}
}

// withElement changes one element of the vector, and the status with it where one is given.
func (m submod) withElement(name string, value int, status string) submod {
	m["ear.trustworthiness-vector"].(map[string]int)[name] = value
	m["ear.status"] = status
	return m
}

// veraison is an EAR as Veraison issues it.
func veraison(submods map[string]submod, change map[string]any) map[string]any {
	claims := map[string]any{
		"eat_profile": attest.ProfileEARVeraison, "iat": now.Add(-10 * time.Second).Unix(),
		"eat_nonce":       base64.URLEncoding.EncodeToString(challenge),
		"ear.verifier-id": map[string]string{"build": "vectors", "developer": "https://example.com"},
		"submods":         submods,
	}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func compact(parts ...[]byte) []byte {
	encoded := make([]string, len(parts))
	for i, part := range parts {
		encoded[i] = base64.RawURLEncoding.EncodeToString(part)
	}
	return []byte(strings.Join(encoded, "."))
}

// jwt signs a claims set, given or encoded already, with ES256.
func jwt(k key, claims any) []byte {
	payload, raw := claims.([]byte)
	if !raw {
		payload = must(json.Marshal(claims))
	}
	input := compact([]byte(`{"alg":"ES256","typ":"JWT"}`), payload)
	return slices.Concat(input, []byte("."), compact(must(k.Sign(nil, input))))
}

func resultVector(name, covers, mediaType string) testvectors.Vector {
	return testvectors.Vector{
		Name: "attestation-result/" + name, Kind: testvectors.KindResult, Covers: covers,
		Keys: []string{verifierKey.name}, MediaType: mediaType,
	}
}

const mediaVeraison = `application/eat+jwt; eat_profile="` + attest.ProfileEARVeraison + `"`

// results are what verifiers say of evidence. Whoever believes them wants every submodule
// affirming.
func (s *set) results() {
	cwt := issued(ear.FormCWT, verifierKey)
	teep := issued(ear.FormTEEP, verifierKey)
	s.valid(resultVector("teep", "the EAT profile of TEEP, with the agent's key", ear.MediaTypeTEEP), payloadOf(teep), teep)
	s.valid(resultVector("ear-cwt", "EAR as CWT, with ear_teep_claims", ear.MediaTypeCWT), payloadOf(cwt), cwt)
	s.validJWT(resultVector("ear-jwt", "EAR as JWT, with ear_teep_claims", ear.MediaTypeJWT), issued(ear.FormJWT, verifierKey))
	one := map[string]submod{"PSA_IOT": affirmed()}
	s.validJWT(resultVector("veraison", "EAR as Veraison issues it", mediaVeraison), jwt(verifierKey, veraison(one, nil)))
	two := map[string]submod{"CCA_REALM": affirmed(), "CCA_SSD_PLATFORM": affirmed()}
	s.validJWT(resultVector("veraison-two", "the same about two attesters", mediaVeraison), jwt(verifierKey, veraison(two, nil)))
	s.refusedResults(one)
	s.refusedTokensOfResults(one, cwt, teep)
}

// refusedResults adds results that are well formed and signed, and not good enough here
// and now.
func (s *set) refusedResults(one map[string]submod) {
	psa := func(m submod) map[string]submod { return map[string]submod{"PSA_IOT": m} }
	two := map[string]submod{"CCA_REALM": affirmed(), "CCA_SSD_PLATFORM": affirmed().withElement("executables", 33, "warning")}
	none := affirmed()
	none["ear.status"], none["ear.trustworthiness-vector"] = "none", map[string]int{}
	for _, e := range []struct {
		name, covers string
		reason       testvectors.Reason
		claims       map[string]any
	}{
		{"warning", "a warning: software that is not recognized", testvectors.ReasonNotAffirmed, veraison(psa(affirmed().withElement("executables", 33, "warning")), nil)},
		{"contraindicated", "evidence that is not genuine", testvectors.ReasonNotAffirmed, veraison(psa(affirmed().withElement("instance-identity", 99, "contraindicated")), nil)},
		{"none", "nothing that was appraised", testvectors.ReasonNotAffirmed, veraison(psa(none), nil)},
		{"status-lies", "an affirming status over a contraindicated vector", testvectors.ReasonNotAffirmed, veraison(psa(affirmed().withElement("hardware", 97, "affirming")), nil)},
		{"verifier-failed", "an element that could not be appraised (1)", testvectors.ReasonNotAffirmed, veraison(psa(affirmed().withElement("hardware", 1, "affirming")), nil)},
		{"two-one-warning", "two attesters, and a warning about one", testvectors.ReasonNotAffirmed, veraison(two, nil)},
		{"nonce", "a result about another challenge", testvectors.ReasonNonce, veraison(one, map[string]any{"eat_nonce": base64.URLEncoding.EncodeToString(bytes32("another challenge"))})},
		{"no-nonce", "a result that answers no challenge", testvectors.ReasonNonce, veraison(one, map[string]any{"eat_nonce": nil})},
		{"expired", "a result that has expired", testvectors.ReasonEvidenceTime, veraison(one, map[string]any{"exp": now.Add(-time.Hour).Unix()})},
		{"issued-later", "a result from the future", testvectors.ReasonEvidenceTime, veraison(one, map[string]any{"iat": now.Add(time.Hour).Unix()})},
		{"no-iat", "a result without iat", testvectors.ReasonNotResult, veraison(one, map[string]any{"iat": nil})},
		{"profile", "a profile that nobody knows", testvectors.ReasonNotResult, veraison(one, map[string]any{"eat_profile": "tag:example.com,2026:result"})},
		{"no-profile", "no profile", testvectors.ReasonNotResult, veraison(one, map[string]any{"eat_profile": nil})},
		{"no-submods", "no attester", testvectors.ReasonNotResult, veraison(map[string]submod{}, nil)},
		{"value-128", "an element above 127", testvectors.ReasonNotResult, veraison(psa(affirmed().withElement("hardware", 128, "affirming")), nil)},
	} {
		s.refused(resultVector("refused-"+e.name, e.covers, mediaVeraison), e.reason, jwt(verifierKey, e.claims))
	}
}

// refusedTokensOfResults adds what is no result that a trusted verifier has signed.
func (s *set) refusedTokensOfResults(one map[string]submod, cwt, teep []byte) {
	good := jwt(verifierKey, veraison(one, nil))
	claims := must(json.Marshal(veraison(one, nil)))
	unsigned := append(compact([]byte(`{"alg":"none","typ":"JWT"}`), claims), '.')
	mac := compact([]byte(`{"alg":"HS256","typ":"JWT"}`), claims)
	h := hmac.New(sha256.New, verifierKey.PublicKey().PEM())
	h.Write(mac)
	mac = slices.Concat(mac, []byte("."), compact(h.Sum(nil)))
	twice := slices.Concat([]byte(`{"iat":1,`), claims[1:])
	flipped := newFrame(verifierKey, payloadOf(cwt))
	flipped.signature = func(b []byte) []byte { b[0] ^= 1; return b }
	agents := claimsFor(agentKey, challenge)
	agents.Profile, agents.Measurements = attest.ProfileTEEP, nil
	for _, e := range []struct {
		name, covers, mediaType string
		reason                  testvectors.Reason
		data                    []byte
	}{
		{"jwt-stranger", "a JWT by somebody whom nobody trusts", mediaVeraison, testvectors.ReasonSignature, jwt(strangerKey, veraison(one, nil))},
		{"jwt-claims-changed", "a JWT whose claims were changed after it was signed", mediaVeraison, testvectors.ReasonSignature, changedJWT(good)},
		{"jwt-truncated", "a JWT without its last character", mediaVeraison, testvectors.ReasonNotResult, good[:len(good)-1]},
		{"jwt-none", "a JWT with alg none", mediaVeraison, testvectors.ReasonNotResult, unsigned},
		{"jwt-hmac", "a JWT with a MAC, and the verifier's public key in PEM as its key", mediaVeraison, testvectors.ReasonNotResult, mac},
		{"jwt-duplicate", "a JWT with the same claim twice", mediaVeraison, testvectors.ReasonNotResult, jwt(verifierKey, twice)},
		{"jwt-as-cwt", "a JWT under the media type of a CWT", ear.MediaTypeCWT, testvectors.ReasonNotResult, good},
		{"cwt-flipped", "one bit of the signature of a CWT flipped", ear.MediaTypeCWT, testvectors.ReasonSignature, flipped.sign1(verifierKey)},
		{"cwt-stranger", "a CWT by somebody whom nobody trusts", ear.MediaTypeCWT, testvectors.ReasonSignature, issued(ear.FormCWT, strangerKey)},
		{"cwt-trailing-byte", "a byte behind a CWT", ear.MediaTypeCWT, testvectors.ReasonNotResult, append(slices.Clone(cwt), 0)},
		{"cwt-warning", "a CWT with a warning", ear.MediaTypeCWT, testvectors.ReasonNotAffirmed, warnedCWT(cwt)},
		{"teep-agent", "a result that the agent has signed itself", ear.MediaTypeTEEP, testvectors.ReasonSignature, must(attest.SignEAT(agents, agentKey))},
		{"teep-no-nonce", "a result in the profile of TEEP without a nonce", ear.MediaTypeTEEP, testvectors.ReasonNonce,
			newFrame(verifierKey, changedMap(payloadOf(teep), map[int64]any{claimNonce: nil})).sign1(verifierKey)},
	} {
		s.refused(resultVector("refused-"+e.name, e.covers, e.mediaType), e.reason, e.data)
	}
}

// changedJWT says another time under the signature of the first.
func changedJWT(good []byte) []byte {
	parts := strings.Split(string(good), ".")
	parts[1] = string(compact(must(json.Marshal(veraison(map[string]submod{"PSA_IOT": affirmed()}, map[string]any{"iat": now.Unix()})))))
	return []byte(strings.Join(parts, "."))
}

// warnedCWT is a result in CBOR whose vector and status say 33.
func warnedCWT(cwt []byte) []byte {
	appraisal := map[int]any{1000: 32, 1001: map[int]int{0: 2, 2: 33}, 10: challenge}
	return newFrame(verifierKey, changedMap(payloadOf(cwt), map[int64]any{266: map[string]any{"TEE": appraisal}})).sign1(verifierKey)
}

// validJWT adds a JWT that a recipient accepts.
func (s *set) validJWT(v testvectors.Vector, data []byte) {
	payload := strings.Split(string(data), ".")[1]
	v.Outcome = testvectors.Valid
	v.Content = string(must(base64.RawURLEncoding.DecodeString(payload)))
	s.add(v, data)
}
