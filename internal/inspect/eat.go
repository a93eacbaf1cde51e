package inspect

import (
	"maps"

	"github.com/tamarack-tam/tamarack/attest"
)

const (
	secEAT    = "RFC 9711 section 4.2"
	secBundle = "RFC 9711 section 5"
	secEAR    = "draft-ietf-rats-ear-03 section 3"

	tagCWT           = 61
	tagSelfDescribed = 55799
	tagCCACollection = 399
	tagCCARecords    = 907
)

// Claims that are looked for.
const (
	claimConfirmation = 8
	claimNonce        = 10
	claimSubmods      = 266
	claimProfile      = 265
	claimManifests    = 272
	claimMeasurements = 273
	claimEARStatus    = 1000
)

func looksEAT(it item) bool {
	if !it.isMap() {
		return false
	}
	registered := 0
	for i := 0; i < len(it.items); i += 2 {
		label, ok := it.items[i].integer()
		switch {
		case ok && (label == claimNonce || label >= 256 && label <= 275):
			return true
		case ok && (label == 1 || label == 2 || label == 3) && it.items[i+1].isText(),
			ok && label >= 4 && label <= 6 && it.items[i+1].isUint(),
			ok && label == 8 && it.items[i+1].isMap():
			registered++
		}
	}
	return registered >= 2
}

// looksEAR tells an attestation result by its profile or by the status in a submod.
func looksEAR(it item) bool {
	if it.has(claimProfile, func(p item) bool {
		s := string(p.content)
		return s == attest.ProfileEAR03 || s == attest.ProfileEARVeraison
	}) {
		return true
	}
	submods, _ := it.get(claimSubmods)
	for i := 1; submods.isMap() && i < len(submods.items); i += 2 {
		if _, ok := submods.items[i].get(claimEARStatus); ok {
			return true
		}
	}
	return false
}

var (
	debugStates    = map[int64]string{0: "enabled", 1: "disabled", 2: "disabled-since-boot", 3: "disabled-permanently", 4: "disabled-fully-and-permanently"}
	intendedUses   = map[int64]string{1: "generic", 2: "registration", 3: "provisioning", 4: "csr", 5: "proof-of-possession"}
	versionSchemes = map[int64]string{1: "multipartnumeric", 2: "multipartnumeric+suffix", 3: "alphanumeric", 4: "decimal", 16384: "semver"}
	schemedVersion = tuple(1, field{"version", text}, field{"scheme", either(item.isText, plain, table(versionSchemes))})
)

// claims shows a claims set of a CWT, an EAT or an EAR.
func claims(r *reader, it item) Node {
	known := claimLabels()
	maps.Copy(known, platformClaims())
	n := mapBy(func(key item) field {
		label, ok := key.integer()
		if f, registered := known[label]; ok && registered {
			return f
		}
		return field{show: guess}
	})(r, it)
	r.lintManifestsLabel(it)
	return n
}

// eat shows the claims of an EAT, which answers a challenge as a rule.
func eat(r *reader, it item) Node {
	if _, ok := it.get(claimNonce); !ok && it.isMap() {
		r.lint(SeverityWarning, "RFC 9711 section 4.1", "no eat_nonce: it answers no challenge, and TEEP takes it only where a timestamp shows that it is fresh")
	}
	return claims(r, it)
}

func claimLabels() labels {
	return labels{
		1: {"iss", text}, 2: {"sub", text}, 3: {"aud", plain},
		4: {"exp", epoch}, 5: {"nbf", epoch}, 6: {"iat", epoch}, 7: {"cti", digits},
		claimConfirmation: {"cnf", confirmation},
		claimNonce:        {"eat_nonce", either(item.isArray, arrayOf(nonce), nonce)},
		256:               {"ueid", sized(7, 33, "RFC 9711 section 4.2.1")},
		257:               {"sueids", mapBy(func(key item) field { return field{printable(string(key.content)), digits} })},
		258:               {"oemid", either(item.isBytes, digits, plain)},
		259:               {"hwmodel", digits},
		260:               {"hwversion", schemedVersion},
		261:               {"uptime", uinteg},
		262:               {"oemboot", boolean},
		263:               {"dbgstat", table(debugStates)},
		264:               {"location", location},
		claimProfile:      {"eat_profile", plain},
		claimSubmods:      {"submods", mapBy(submod)},
		267:               {"bootcount", uinteg},
		268:               {"bootseed", digits},
		269:               {"dloas", plain},
		270:               {"swname", text},
		271:               {"swversion", schemedVersion},
		claimManifests:    {"manifests", arrayOf(contentEntry)},
		claimMeasurements: {"measurements", arrayOf(contentEntry)},
		274:               {"measres", plain},
		275:               {"intuse", table(intendedUses)},
		claimEARStatus:    {"ear-status", tier},
		1001:              {"ear-trustworthiness-vector", mapBy(trustElement)},
		1002:              {"ear-raw-evidence", payload},
		1003:              {"ear-appraisal-policy-id", text},
		1004:              {"ear-verifier-id", mapOf(labels{0: {"developer", text}, 1: {"build", text}})},
		65000:             {"ear-teep-claims", claimsMap},
	}
}

func nonce(r *reader, it item) Node { return sized(8, 64, "RFC 9711 section 4.1")(r, it) }

func confirmation(r *reader, it item) Node {
	return mapOf(labels{
		1: {"COSE_Key", as(KindKey)}, 2: {"Encrypted_COSE_Key", plain}, 3: {"kid", digits}, 5: {"ckt", digits},
	})(r, it)
}

var location = mapOf(labels{
	1: {"latitude", plain}, 2: {"longitude", plain}, 3: {"altitude", plain}, 4: {"accuracy", plain},
	5: {"altitude-accuracy", plain}, 6: {"heading", plain}, 7: {"speed", plain}, 8: {"timestamp", epoch}, 9: {"age", plain},
})

// submod shows claims, a nested token, or the digest of detached claims (RFC 9711
// section 4.2.18).
func submod(key item) field {
	return field{printable(string(key.content)), func(r *reader, it item) Node {
		switch {
		case it.isMap():
			return claims(r, it)
		case isDigest(it):
			return digest(r, it)
		}
		return plain(r, it)
	}}
}

// contentEntry shows [content-format, body], an entry of manifests or measurements.
func contentEntry(r *reader, it item) Node {
	return tuple(2, field{"content-format", table(contentFormats)}, field{"body", contentBody})(r, it)
}

func contentBody(r *reader, it item) Node {
	switch {
	case looksReference(it):
		return reference(r, it)
	case it.isBytes():
		if inner, ok := r.open(it); ok && looksReference(inner) {
			return r.inside(inner, reference)
		}
	}
	return guess(r, it)
}

// lintManifestsLabel finds manifests under the label of measurements: 273 holds
// references, 272 is not there.
func (r *reader) lintManifestsLabel(it item) {
	measurements, ok := it.get(claimMeasurements)
	if _, both := it.get(claimManifests); !ok || both {
		return
	}
	for _, entry := range measurements.items {
		if entry.isArray() && len(entry.items) == 2 && looksReference(entry.items[1]) {
			r.lint(SeverityWarning, "RFC 9711 section 4.2.15", "manifests under label 273 (measurements), where RFC 9711 has 272")
			return
		}
	}
}

// tier names an AR4SI trustworthiness tier or the tier of a claim.
func tier(r *reader, it item) Node {
	return names(func(n int64) string {
		if n < -128 || n > 127 {
			return ""
		}
		return attest.Element{Value: int8(n)}.Tier().String()
	})(r, it)
}

func trustElement(key item) field {
	if n, ok := key.integer(); ok && n >= 0 && n < int64(len(attest.ElementNames)) {
		return field{attest.ElementNames[n], tier}
	}
	return field{"", tier}
}

// bundle shows a detached EAT bundle: a token and the claims whose digests it holds.
func bundle(r *reader, it item) Node {
	n := tuple(2, field{"main-token", payload}, field{"detached-claims", mapBy(func(key item) field {
		return field{printable(string(key.content)), wrapped(as(KindEAT))}
	})})(r, it)
	if it.isArray() && len(it.items) == 2 && it.items[1].isMap() {
		r.measureDetached(it.items[0], it.items[1])
	}
	return n
}

// measureDetached compares detached claims sets with the digests in the token.
func (r *reader) measureDetached(token, detached item) {
	submods := r.submodsOf(token).values()
	for i := 0; i < len(detached.items); i += 2 {
		set := detached.items[i+1]
		if want, ok := submods[detached.items[i].canonical()]; ok && isDigest(want) {
			r.within("detached-claims", func() { r.measure(digestOf(want), set.content) })
		}
	}
}

// submodsOf finds the submodules of a token in a byte string.
func (r *reader) submodsOf(token item) item {
	cose, ok := r.peek(token)
	if !ok || !cose.isArray() || len(cose.items) != 4 {
		return item{}
	}
	set, ok := r.peek(cose.items[2])
	if !ok {
		return item{}
	}
	submods, _ := set.get(claimSubmods)
	return submods
}
