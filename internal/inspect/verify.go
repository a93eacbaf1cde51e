package inspect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"hash"
	"math/big"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Key is a public key that signatures are judged with: one that Tamarack accepts, of
// manifests at least, or one on the curves P-384 and P-521, with which it judges but trusts nobody.
type Key struct {
	accepted   *cosekit.PublicKey // nil on the larger curves
	ec         *ecdsa.PublicKey   // nil for another kind
	thumbprint cosekit.Thumbprint
}

// ReadKey reads a public key in PEM or a bare COSE_Key.
func ReadKey(data []byte) (*Key, error) {
	accepted, err := cosekit.ReadManifestKey(data)
	if err == nil {
		return NewKey(accepted), nil
	}
	ec := largeKeyPEM(data)
	if ec == nil {
		ec = largeKey(data)
	}
	if ec == nil {
		return nil, err
	}
	return &Key{ec: ec, thumbprint: thumbprintOf(ec)}, nil
}

// NewKey returns the Key of one that Tamarack accepts.
func NewKey(accepted *cosekit.PublicKey) *Key {
	return &Key{accepted: accepted, ec: parsePEM(accepted.PEM()), thumbprint: accepted.Thumbprint()}
}

func parsePEM(data []byte) *ecdsa.PublicKey {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil
	}
	ec, _ := parsed.(*ecdsa.PublicKey)
	return ec
}

// largeCurves are those that only this package judges, by their COSE numbers
// (RFC 9053 section 7.1).
var largeCurves = map[int64]elliptic.Curve{2: elliptic.P384(), 3: elliptic.P521()}

func largeKeyPEM(data []byte) *ecdsa.PublicKey {
	if ec := parsePEM(data); ec != nil && curveNumber(ec) != 0 {
		return ec
	}
	return nil
}

func curveNumber(ec *ecdsa.PublicKey) int64 {
	for number, curve := range largeCurves {
		if ec.Curve == curve {
			return number
		}
	}
	return 0
}

// largeKey reads a public COSE_Key with both coordinates.
func largeKey(data []byte) *ecdsa.PublicKey {
	budget := maxItems
	it, err := parseWhole(data, &budget, 0)
	if err != nil || !it.isMap() || !it.has(keyType, func(v item) bool { return v.is(ktyEC2) }) {
		return nil
	}
	crv, _ := it.get(-1)
	number, _ := crv.integer()
	curve, known := largeCurves[number]
	x, _ := it.get(-2)
	y, _ := it.get(-3)
	if _, private := it.get(-4); !known || private || !x.isBytes() || !y.isBytes() {
		return nil
	}
	ec, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x.content...), y.content...))
	if err != nil || len(x.content) != len(y.content) {
		return nil
	}
	return ec
}

// thumbprintOf is the SHA-256 of the required members (RFC 9679 section 3).
func thumbprintOf(ec *ecdsa.PublicKey) cosekit.Thumbprint {
	point, err := ec.Bytes()
	if err != nil {
		panic(err) // the point came out of a parser that has looked at it
	}
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return sha256.Sum256(cosekit.MustMarshal(map[int64]any{keyType: ktyEC2, -1: curveNumber(ec), -2: x, -3: y}))
}

// ecdsaAlgorithm has no curve where the algorithm leaves it open.
type ecdsaAlgorithm struct {
	hash  func() hash.Hash
	curve elliptic.Curve
}

// ecdsaAlgorithms are those of RFC 9053 section 2.1 and RFC 9864 section 2.1.
var ecdsaAlgorithms = map[cosekit.Algorithm]ecdsaAlgorithm{
	cosekit.LegacyES256: {sha256.New, nil}, cosekit.ESP256: {sha256.New, elliptic.P256()},
	-35: {sha512.New384, nil}, -51: {sha512.New384, elliptic.P384()},
	-36: {sha512.New, nil}, -52: {sha512.New, elliptic.P521()},
}

// verifies reports whether signature is one by the key. Where Tamarack knows key and
// algorithm, its own code says so.
func (k *Key) verifies(algorithm cosekit.Algorithm, structure, signature []byte) bool {
	if k.accepted != nil && k.accepted.VerifyRaw(algorithm, structure, signature) == nil {
		return true
	}
	a, known := ecdsaAlgorithms[algorithm]
	if !known || k.ec == nil || a.curve != nil && a.curve != k.ec.Curve {
		return false
	}
	size := (k.ec.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	h := a.hash()
	h.Write(structure)
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(k.ec, h.Sum(nil), r, s)
}

// speaks reports whether signatures of the algorithm can be judged. EdDSA stands for
// Ed448 too, whose signatures are longer.
func speaks(a cosekit.Algorithm, signature []byte) bool {
	const ed448Size = 114
	switch a {
	case cosekit.Ed25519:
		return true
	case cosekit.LegacyEdDSA:
		return len(signature) != ed448Size
	}
	_, known := ecdsaAlgorithms[a]
	return known || cosekit.IsPostQuantum(a)
}

// candidates are the keys that a kid may mean: a thumbprint means one, anything else
// may mean any.
func (r *reader) candidates(kid item) []*Key {
	if len(kid.content) != len(cosekit.Thumbprint{}) {
		return r.opts.Keys
	}
	for _, key := range r.opts.Keys {
		if bytes.Equal(key.thumbprint[:], kid.content) {
			return []*Key{key}
		}
	}
	return nil
}
