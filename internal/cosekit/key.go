package cosekit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"github.com/veraison/go-cose"
)

// Thumbprint is the SHA-256 COSE Key Thumbprint of a public key (RFC 9679).
// It is the name of a key everywhere in Tamarack, and the kid in every message.
type Thumbprint [sha256.Size]byte

// String returns the thumbprint in lower-case hexadecimal.
func (t Thumbprint) String() string { return hex.EncodeToString(t[:]) }

// MarshalText implements encoding.TextMarshaler.
func (t Thumbprint) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Thumbprint) UnmarshalText(text []byte) error {
	p, err := ParseThumbprint(string(text))
	if err == nil {
		*t = p
	}
	return err
}

// ParseThumbprint reads the form that String writes.
func ParseThumbprint(s string) (Thumbprint, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return Thumbprint{}, fmt.Errorf("%w: a thumbprint is 64 hexadecimal digits", ErrKey)
	}
	return Thumbprint(b), nil
}

// PublicKey is a P-256 or Ed25519 public key. Make one with [NewPublicKey],
// [ParsePublicKey] or [ParsePublicKeyPEM]; it does not change afterwards.
type PublicKey struct {
	alg        Algorithm
	key        crypto.PublicKey
	verify     cose.Verifier
	encoded    []byte
	thumbprint Thumbprint
}

// COSE_Key labels and values (RFC 9052 section 7.1, RFC 9053 section 7).
const (
	labelKty = 1
	labelAlg = 3
	labelOps = 4
	labelCrv = -1
	labelX   = -2
	labelY   = -3
	labelD   = -4

	ktyOKP     = 1
	ktyEC2     = 2
	crvP256    = 1
	crvEd25519 = 6
	opVerify   = 2
)

// NewPublicKey takes an *ecdsa.PublicKey on P-256 or an ed25519.PublicKey.
func NewPublicKey(key crypto.PublicKey) (*PublicKey, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key == nil || key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: an EC key on another curve than P-256", ErrKey)
		}
		point, err := key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return newP256(point)
	case ed25519.PublicKey:
		return newEd25519(key)
	}
	return nil, fmt.Errorf("%w: %T, want P-256 or Ed25519", ErrKey, key)
}

// newP256 takes an uncompressed point.
func newP256(point []byte) (*PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newPublicKey(ESP256, key, map[int]any{
		labelKty: ktyEC2, labelCrv: crvP256, labelX: point[1:33], labelY: point[33:],
	})
}

func newEd25519(x []byte) (*PublicKey, error) {
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(x))
	}
	return newPublicKey(Ed25519, ed25519.PublicKey(bytes.Clone(x)), map[int]any{
		labelKty: ktyOKP, labelCrv: crvEd25519, labelX: x,
	})
}

// newPublicKey takes exactly the members that RFC 9679 section 4 hashes.
func newPublicKey(alg Algorithm, key crypto.PublicKey, members map[int]any) (*PublicKey, error) {
	verify, err := cose.NewVerifier(polymorphic(alg), key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	encoded := MustMarshal(members)
	return &PublicKey{alg: alg, key: key, verify: verify, encoded: encoded, thumbprint: sha256.Sum256(encoded)}, nil
}

// ParsePublicKey decodes a COSE_Key (RFC 9052 section 7). Members that it does not
// know are ignored, a private member is refused, and so are an alg that does not
// fit the curve and key_ops without verify.
func ParsePublicKey(coseKey []byte) (*PublicKey, error) {
	m, err := keyMembers(coseKey)
	if err != nil {
		return nil, err
	}
	if _, private := m[labelD]; private {
		return nil, fmt.Errorf("%w: COSE_Key carries a private key", ErrKey)
	}
	k, err := m.publicKey()
	if err != nil {
		return nil, err
	}
	if err := m.checkUse(k.alg); err != nil {
		return nil, err
	}
	return k, nil
}

// coseKey holds the members of a COSE_Key that have an integer label.
type coseKey map[int64]RawMessage

func keyMembers(data []byte) (coseKey, error) {
	if err := Validate(data); err != nil {
		return nil, fmt.Errorf("%w: COSE_Key: %w", ErrKey, err)
	}
	pairs, err := Pairs(data)
	if err != nil {
		return nil, fmt.Errorf("%w: COSE_Key: %w", ErrKey, err)
	}
	m := make(coseKey, len(pairs))
	for _, p := range pairs {
		if label, err := Int(p.Key); err == nil {
			m[label] = p.Value
		}
	}
	return m, nil
}

func (m coseKey) publicKey() (*PublicKey, error) {
	kty, err := keyMember(m, labelKty, Int)
	if err != nil {
		return nil, err
	}
	crv, err := keyMember(m, labelCrv, Int)
	if err != nil {
		return nil, err
	}
	x, err := keyMember(m, labelX, Bytes)
	if err != nil {
		return nil, err
	}
	switch {
	case kty == ktyOKP && crv == crvEd25519:
		return newEd25519(x)
	case kty == ktyEC2 && crv == crvP256:
		point, err := m.point(x)
		if err != nil {
			return nil, err
		}
		return newP256(point)
	}
	return nil, fmt.Errorf("%w: COSE_Key kty %d crv %d, want P-256 or Ed25519", ErrKey, kty, crv)
}

// point returns the uncompressed point of a P-256 key, whose y is the coordinate
// or, in a compressed point, its sign (RFC 9053 section 7.1.1).
func (m coseKey) point(x []byte) ([]byte, error) {
	const size = 32
	if len(x) != size {
		return nil, fmt.Errorf("%w: P-256 coordinate of %d bytes", ErrKey, len(x))
	}
	if sign, err := Bool(m[labelY]); err == nil {
		compressed := append([]byte{2}, x...)
		if sign {
			compressed[0] = 3
		}
		px, py := elliptic.UnmarshalCompressed(elliptic.P256(), compressed)
		if px == nil {
			return nil, fmt.Errorf("%w: point is not on P-256", ErrKey)
		}
		point := make([]byte, 1+2*size)
		point[0] = 4
		px.FillBytes(point[1 : 1+size])
		py.FillBytes(point[1+size:])
		return point, nil
	}
	y, err := keyMember(m, labelY, Bytes)
	if err != nil {
		return nil, err
	}
	if len(y) != size {
		return nil, fmt.Errorf("%w: P-256 coordinate of %d bytes", ErrKey, len(y))
	}
	return append(append([]byte{4}, x...), y...), nil
}

// checkUse refuses a key that says of itself that it is for something else than
// verifying signatures of alg (RFC 9052 section 7.1).
func (m coseKey) checkUse(alg Algorithm) error {
	if _, ok := m[labelAlg]; ok {
		named, err := keyMember(m, labelAlg, Int)
		if err != nil {
			return err
		}
		if !AllowLegacy.fits(Algorithm(named), alg) {
			return fmt.Errorf("%w: COSE_Key alg %s does not fit its curve", ErrKey, AlgorithmName(Algorithm(named)))
		}
	}
	if _, ok := m[labelOps]; !ok {
		return nil
	}
	ops, err := keyMember(m, labelOps, Elements)
	if err != nil {
		return err
	}
	for _, op := range ops {
		if n, err := Int(op); err == nil && n == opVerify {
			return nil
		}
	}
	return fmt.Errorf("%w: COSE_Key key_ops without verify", ErrKey)
}

// keyMember reads one member that must be there.
func keyMember[T any](m coseKey, label int64, read func([]byte) (T, error)) (T, error) {
	raw, ok := m[label]
	if !ok {
		var none T
		return none, fmt.Errorf("%w: COSE_Key without member %d", ErrKey, label)
	}
	v, err := read(raw)
	if err != nil {
		return v, fmt.Errorf("%w: COSE_Key member %d: %w", ErrKey, label, err)
	}
	return v, nil
}

// ParsePublicKeyPEM reads the first PEM block: PUBLIC KEY (PKIX) or CERTIFICATE.
func ParsePublicKeyPEM(data []byte) (*PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block", ErrKey)
	}
	switch block.Type {
	case "PUBLIC KEY":
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return NewPublicKey(pub)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return NewPublicKey(cert.PublicKey)
	}
	return nil, fmt.Errorf("%w: PEM block %q, want PUBLIC KEY or CERTIFICATE", ErrKey, block.Type)
}

// ReadPublicKey reads a public key in either of the forms that people hand
// around: PEM, or a bare COSE_Key.
func ReadPublicKey(data []byte) (*PublicKey, error) {
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return ParsePublicKeyPEM(data)
	}
	return ParsePublicKey(data)
}

// Algorithm returns ESP256 or Ed25519.
func (k *PublicKey) Algorithm() Algorithm { return k.alg }

// Thumbprint returns the key's RFC 9679 thumbprint.
func (k *PublicKey) Thumbprint() Thumbprint { return k.thumbprint }

// COSEKey returns the deterministic COSE_Key with the required members only.
func (k *PublicKey) COSEKey() []byte { return bytes.Clone(k.encoded) }

// PEM returns the key as a PUBLIC KEY block.
func (k *PublicKey) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		panic(err) // NewPublicKey admits only key types that x509 can encode
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Equal reports whether both are the same key.
func (k *PublicKey) Equal(other *PublicKey) bool {
	return k != nil && other != nil && k.thumbprint == other.thumbprint
}

// MarshalCBOR encodes the key as a COSE_Key.
func (k *PublicKey) MarshalCBOR() ([]byte, error) { return k.COSEKey(), nil }

// UnmarshalCBOR decodes a COSE_Key, as [ParsePublicKey] does.
func (k *PublicKey) UnmarshalCBOR(data []byte) error {
	parsed, err := ParsePublicKey(data)
	if err == nil {
		*k = *parsed
	}
	return err
}

// verifier returns the go-cose verifier for a message that names alg.
func (k *PublicKey) verifier(alg Algorithm, legacy LegacyPolicy) (cose.Verifier, error) {
	if !legacy.fits(alg, k.alg) {
		return nil, fmt.Errorf("%w: message names %s, the key is for %s", ErrAlgorithm, AlgorithmName(alg), AlgorithmName(k.alg))
	}
	return named{k.verify, alg}, nil
}

// named lets go-cose's ES256 and EdDSA verify under another algorithm's name:
// RFC 9864 changed the numbers, not the mathematics.
type named struct {
	cose.Verifier
	alg Algorithm
}

func (n named) Algorithm() Algorithm { return n.alg }

func polymorphic(alg Algorithm) Algorithm {
	if alg == Ed25519 {
		return cose.AlgorithmEdDSA
	}
	return cose.AlgorithmES256
}

// privateKeyFromCOSE builds a key from the private COSE_Keys that published test
// vectors come with. Errors never quote the key.
func privateKeyFromCOSE(data []byte) (crypto.Signer, error) {
	m, err := keyMembers(data)
	if err != nil {
		return nil, err
	}
	public, err := m.publicKey()
	if err != nil {
		return nil, err
	}
	d, err := keyMember(m, labelD, Bytes)
	if err != nil {
		return nil, err
	}
	key, err := privateKey(public.alg, d)
	if err != nil {
		return nil, err
	}
	if own, err := NewPublicKey(key.Public()); err != nil || !own.Equal(public) {
		return nil, fmt.Errorf("%w: COSE_Key whose private and public members do not belong together", ErrKey)
	}
	return key, nil
}

func privateKey(alg Algorithm, d []byte) (crypto.Signer, error) {
	if alg == Ed25519 && len(d) == ed25519.SeedSize {
		return ed25519.NewKeyFromSeed(d), nil
	}
	if alg == ESP256 {
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: private COSE_Key for %s with %d bytes", ErrKey, AlgorithmName(alg), len(d))
}
