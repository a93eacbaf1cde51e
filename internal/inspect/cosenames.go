package inspect

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Header parameters that more than their name is needed of.
const (
	headerAlg       = 1
	headerCrit      = 2
	headerKeyID     = 4
	headerIV        = 5
	headerCWTClaims = 15
)

// headerParameters are the IANA COSE Header Parameters, those of key agreement among
// them.
func headerParameters() labels {
	return labels{
		headerAlg:       {"alg", algorithm},
		headerCrit:      {"crit", arrayOf(critical)},
		3:               {"content-type", either(item.isUint, table(contentFormats), text)},
		headerKeyID:     {"kid", digits},
		headerIV:        {"IV", digits},
		6:               {"partial-IV", digits},
		7:               {"counter-signature", plain},
		8:               {"corim-meta", maybeWrapped(corimMeta)},
		9:               {"countersignature0", digits},
		11:              {"countersignature-v2", plain},
		12:              {"countersignature0-v2", digits},
		headerCWTClaims: {"CWT-claims", claimsMap},
		16:              {"typ", either(item.isUint, table(contentFormats), text)},
		32:              {"x5bag", plain},
		33:              {"x5chain", plain},
		34:              {"x5t", plain},
		35:              {"x5u", plain},
		-1:              {"ephemeral-key", as(KindKey)},
		-2:              {"static-key", as(KindKey)},
		-3:              {"static-key-id", digits},
		-20:             {"salt", digits},
		-21:             {"party-u-identity", digits},
		-22:             {"party-u-nonce", plain},
		-23:             {"party-u-other", digits},
		-24:             {"party-v-identity", digits},
		-25:             {"party-v-nonce", plain},
		-26:             {"party-v-other", digits},
	}
}

func headerMap(r *reader, it item) Node { return mapOf(headerParameters())(r, it) }

// claimsMap is an EAT or CWT claims set inside something else.
func claimsMap(r *reader, it item) Node { return claims(r, it) }

func critical(r *reader, it item) Node {
	n := plain(r, it)
	if label, ok := it.integer(); ok {
		n.Text = headerParameters()[label].name
	}
	return n
}

// algorithm is an integer of the registry, or a text.
func algorithm(r *reader, it item) Node {
	if it.isText() {
		return plain(r, it)
	}
	return names(algorithmName)(r, it)
}

// algorithmName returns the name that IANA registers.
func algorithmName(n int64) string {
	if name, ok := algorithmNames[n]; ok {
		return name
	}
	return fmt.Sprintf("algorithm %d", n)
}

// algorithmNames are the IANA COSE Algorithms.
var algorithmNames = map[int64]string{
	int64(cosekit.LegacyES256): "ES256", int64(cosekit.LegacyEdDSA): "EdDSA",
	int64(cosekit.ESP256): "ESP256", int64(cosekit.Ed25519): "Ed25519",
	-35: "ES384", -36: "ES512", -47: "ES256K", -51: "ESP384", -52: "ESP512", -53: "Ed448",
	-37: "PS256", -38: "PS384", -39: "PS512", -257: "RS256", -258: "RS384", -259: "RS512",
	-46: "HSS-LMS", -48: "ML-DSA-44", -49: "ML-DSA-65", -50: "ML-DSA-87",
	-3: "A128KW", -4: "A192KW", -5: "A256KW", -6: "direct",
	-10: "direct+HKDF-SHA-256", -11: "direct+HKDF-SHA-512", -12: "direct+HKDF-AES-128", -13: "direct+HKDF-AES-256",
	-25: "ECDH-ES+HKDF-256", -26: "ECDH-ES+HKDF-512", -27: "ECDH-SS+HKDF-256", -28: "ECDH-SS+HKDF-512",
	-29: "ECDH-ES+A128KW", -30: "ECDH-ES+A192KW", -31: "ECDH-ES+A256KW",
	-32: "ECDH-SS+A128KW", -33: "ECDH-SS+A192KW", -34: "ECDH-SS+A256KW",
	-40: "RSAES-OAEP-SHA-1", -41: "RSAES-OAEP-SHA-256", -42: "RSAES-OAEP-SHA-512",
	-14: "SHA-1", -15: "SHA-256/64", -16: "SHA-256", -17: "SHA-512/256", -18: "SHAKE128", -43: "SHA-384", -44: "SHA-512", -45: "SHAKE256",
	1: "A128GCM", 2: "A192GCM", 3: "A256GCM", 24: "ChaCha20/Poly1305",
	4: "HMAC 256/64", 5: "HMAC 256/256", 6: "HMAC 384/384", 7: "HMAC 512/512",
	10: "AES-CCM-16-64-128", 11: "AES-CCM-16-64-256", 12: "AES-CCM-64-64-128", 13: "AES-CCM-64-64-256",
	14: "AES-MAC 128/64", 15: "AES-MAC 256/64", 25: "AES-MAC 128/128", 26: "AES-MAC 256/128",
	30: "AES-CCM-16-128-128", 31: "AES-CCM-16-128-256", 32: "AES-CCM-64-128-128", 33: "AES-CCM-64-128-256",
	-65531: "A128CBC", -65530: "A192CBC", -65529: "A256CBC",
	-65534: "A128CTR", -65533: "A192CTR", -65532: "A256CTR",
}

// contentFormats are CoAP content formats that the family uses.
var contentFormats = map[int64]string{
	0: "text/plain", 42: "application/octet-stream", 50: "application/json", 60: "application/cbor",
	61: "application/cwt", 96: "application/cose; cose-type=\"cose-encrypt\"", 98: "application/cose; cose-type=\"cose-sign\"",
	101: "application/cose-key", 258: "application/swid+cbor", 263: "application/eat+cwt",
	264: "application/eat+jwt", 265: "application/eat-bun+cbor", 267: "application/eat-ucs+cbor",
	attest.ContentFormatSUITReport: "application/suit-report+cose, number for experiments",
}
