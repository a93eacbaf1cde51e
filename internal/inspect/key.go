package inspect

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

const (
	secKey = "RFC 9052 section 7"
	secKDF = "RFC 9053 section 5.2"
)

// Members of a COSE_Key and key types (RFC 9053 section 7).
const (
	keyType = 1
	ktyOKP  = 1
	ktyEC2  = 2
	ktySym  = 4
	ktyHSS  = 5
	ktyAKP  = 7
)

func looksKey(it item) bool {
	if !it.isMap() || !it.has(keyType, func(v item) bool { return v.isUint() && v.arg >= 1 && v.arg <= ktyAKP }) {
		return false
	}
	_, ok := it.get(-1)
	return ok
}

// hidden stands for a private member: what is shown ends up in terminals and logs.
func hidden(_ *reader, it item) Node {
	return Node{Type: "bytes", Text: "private, not shown"}
}

// coseKey shows a COSE_Key with its thumbprint. The meaning of its negative labels
// depends on its type.
func coseKey(r *reader, it item) Node {
	known := labels{
		keyType: {"kty", table(map[int64]string{1: "OKP", 2: "EC2", 3: "RSA", 4: "Symmetric", 5: "HSS-LMS", 6: "WalnutDSA", ktyAKP: "AKP"})},
		2:       {"kid", digits},
		3:       {"alg", algorithm},
		4: {"key_ops", arrayOf(table(map[int64]string{
			1: "sign", 2: "verify", 3: "encrypt", 4: "decrypt", 5: "wrap key", 6: "unwrap key",
			7: "derive key", 8: "derive bits", 9: "MAC create", 10: "MAC verify",
		}))},
		5: {"base-IV", digits},
	}
	curve := field{"crv", table(map[int64]string{
		1: "P-256", 2: "P-384", 3: "P-521", 4: "X25519", 5: "X448", 6: "Ed25519", 7: "Ed448", 8: "secp256k1",
	})}
	var required []int64
	kty, _ := it.get(keyType)
	switch n, _ := kty.integer(); n {
	case ktyOKP:
		known[-1], known[-2], known[-4] = curve, field{"x", digits}, field{"d", hidden}
		required = []int64{keyType, -1, -2}
	case ktyEC2:
		known[-1], known[-2], known[-4] = curve, field{"x", digits}, field{"d", hidden}
		known[-3] = field{"y", either(item.isBool, plain, digits)}
		required = []int64{keyType, -1, -2, -3}
	case ktySym:
		known[-1] = field{"k", hidden}
	case ktyHSS:
		known[-1] = field{"pub", digits}
		required = []int64{keyType, -1}
	case ktyAKP:
		known[-1], known[-2] = field{"pub", digits}, field{"priv", hidden}
		required = []int64{keyType, 3, -1}
	default:
		for label := int64(-12); label < -2; label++ {
			known[label] = field{show: hidden} // of RSA
		}
	}
	n := mapOf(known)(r, it)
	if t, ok := thumbprint(it, required); ok && n.Type == "map" {
		n.Items = append(n.Items, Node{Name: "thumbprint", Type: "computed", Text: t})
	}
	return n
}

// thumbprint is the SHA-256 of the required members (RFC 9679 section 3, RFC 9964
// section 5). A
// compressed point has to be unpacked first, which is for cosekit to do.
func thumbprint(it item, required []int64) (string, bool) {
	if len(required) == 0 {
		return "", false
	}
	members := map[int64]cosekit.RawMessage{}
	for _, label := range required {
		v, ok := it.get(label)
		if !ok {
			return "", false
		}
		if v.isBool() {
			key, err := cosekit.ParsePublicKey(it.raw)
			if err != nil {
				return "", false
			}
			return key.Thumbprint().String(), true
		}
		members[label] = v.raw
	}
	encoded, err := cosekit.Marshal(members)
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), true
}

func looksKDFContext(it item) bool {
	isParty := func(p item) bool { return p.isArray() && len(p.items) == 3 }
	if !it.isArray() || len(it.items) < 4 || !isParty(it.items[1]) || !isParty(it.items[2]) {
		return false
	}
	supp := it.items[3]
	return supp.isArray() && len(supp.items) >= 2 && supp.items[0].isUint() && supp.items[1].isBytes()
}

// kdfContext shows a COSE_KDF_Context.
func kdfContext(r *reader, it item) Node {
	party := tuple(3, field{"identity", plain}, field{"nonce", plain}, field{"other", plain})
	return tuple(4,
		field{"algorithm", algorithm},
		field{"party-u", party}, field{"party-v", party},
		field{"supp-pub-info", tuple(2,
			field{"key-data-length", uinteg}, field{"protected", wrapped(headerMap)}, field{"other", words})},
		field{"supp-priv-info", digits},
	)(r, it)
}

// words is a byte string that may be readable.
func words(r *reader, it item) Node {
	n := digits(r, it)
	if s := string(it.content); it.isBytes() && s != "" && printable(s) == s {
		n.Text = "'" + s + "'"
	}
	return n
}
