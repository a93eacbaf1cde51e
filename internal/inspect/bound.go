package inspect

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

const secBound = "docs/attestation.md, the bound bundle"

// looksBound tells a bound bundle: two byte strings, of which the first holds an untagged
// claims set that names a key.
func looksBound(it item) bool {
	if len(it.items) != 2 || !it.all(item.isBytes) || cosekit.Major(it.items[0].content) != cosekit.MajorMap {
		return false
	}
	budget := maxItems
	set, err := parseWhole(it.items[0].content, &budget, 0)
	if err != nil || !set.isMap() {
		return false
	}
	_, nonce := set.get(claimNonce)
	_, key := set.get(claimConfirmation)
	return nonce && key
}

// bound shows a bound bundle: a claims set that nobody has signed, and evidence of the
// hardware whose nonce has to be a digest of it.
func bound(r *reader, it item) Node {
	n := tuple(2, field{"claims-set", wrapped(claims)}, field{"evidence", payload})(r, it)
	if it.isArray() && len(it.items) == 2 {
		r.measureBound(it.items[0].content, it.items[1].content)
	}
	return n
}

// measureBound looks for the digest of the claims set in the evidence. Where in it the nonce
// stands depends on the format, which the bundle does not say.
func (r *reader) measureBound(claimsSet, evidence []byte) {
	short, long := sha256.Sum256(claimsSet), sha512.Sum512(claimsSet)
	r.check(Check{What: "digest"}, func(c *Check) {
		switch {
		case bytes.Contains(evidence, long[:]):
			c.Algorithm, c.Verdict, c.Detail = "SHA-512", Valid, "of the claims set, in the evidence"
		case bytes.Contains(evidence, short[:]):
			c.Algorithm, c.Verdict, c.Detail = "SHA-256", Valid, "of the claims set, in the evidence"
		default:
			c.Verdict, c.Detail = Invalid, "the evidence has neither the SHA-256 nor the SHA-512 of the claims set"
		}
	})
}

// platformClaims are those of PSA tokens (RFC 9783 section 4, and the profile before it) and
// of CCA tokens (draft-ffm-rats-cca-token).
func platformClaims() labels {
	return labels{
		2394: {"psa-client-id", plain}, 2395: {"psa-security-lifecycle", uinteg}, 2396: {"psa-implementation-id", digits},
		2397: {"psa-boot-seed", digits}, 2398: {"psa-certification-reference", text},
		2399: {"psa-software-components", softwareComponents}, 2400: {"psa-verification-service-indicator", text},
		2401: {"cca-platform-config", digits}, 2402: {"cca-platform-hash-algo-id", text},
		-75000: {"psa-profile", text}, -75001: {"psa-client-id", plain}, -75002: {"psa-security-lifecycle", uinteg},
		-75003: {"psa-implementation-id", digits}, -75004: {"psa-boot-seed", digits}, -75005: {"psa-hardware-version", text},
		-75006: {"psa-software-components", softwareComponents}, -75007: {"psa-no-software-measurements", plain},
		-75008: {"psa-nonce", digits}, -75009: {"psa-instance-id", digits}, -75010: {"psa-verification-service-indicator", text},
		44234: {"cca-platform-token", collected}, 44235: {"cca-realm-personalization-value", digits},
		44236: {"cca-realm-hash-algo-id", text}, 44237: {"cca-realm-public-key", plain},
		44238: {"cca-realm-initial-measurement", digits}, 44239: {"cca-realm-extensible-measurements", arrayOf(digits)},
		44240: {"cca-realm-public-key-hash-algo-id", text}, 44241: {"cca-realm-delegated-token", collected},
	}
}

// collected is a token of a collection: the bytes or, under tag 907, a CMW record.
var collected = either(item.isBytes, payload, tuple(2, field{"content-format", table(contentFormats)}, field{"token", payload}))

var softwareComponents = arrayOf(mapOf(labels{
	1: {"measurement-type", text}, 2: {"measurement-value", digits}, 4: {"version", text}, 5: {"signer-id", digits},
	6: {"measurement-desc", text},
}))

// looksPlatform tells the claims of a PSA or CCA token, and a CCA collection.
func looksPlatform(it item) bool {
	for _, label := range []int64{2396, -75003, 44234, 44238} {
		if it.has(label, item.isBytes) {
			return true
		}
	}
	return false
}
