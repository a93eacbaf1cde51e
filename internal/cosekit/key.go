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
	"math/big"

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

// PublicKey is a valid P-256 or Ed25519 public key. Make one with [NewPublicKey],
// [ParsePublicKey] or [ParsePublicKeyPEM]; it does not change afterwards.
type PublicKey struct {
	alg        Algorithm
	key        crypto.PublicKey
	encoded    []byte
	thumbprint Thumbprint
}

// COSE_Key labels and values (RFC 9052 section 7.1, RFC 9053 section 7).
const (
	labelKty = 1
	labelAlg = 3
	labelCrv = -1
	labelX   = -2
	labelY   = -3
	labelD   = -4

	ktyOKP     = 1
	ktyEC2     = 2
	crvP256    = 1
	crvEd25519 = 6
)

// NewPublicKey takes an *ecdsa.PublicKey on P-256 or an ed25519.PublicKey.
func NewPublicKey(key crypto.PublicKey) (*PublicKey, error) {
	k := &PublicKey{key: key}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: curve %s, want P-256", ErrKey, key.Params().Name)
		}
		point, err := key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		k.alg = ESP256
		k.encoded = MustMarshal(map[int]any{labelKty: ktyEC2, labelCrv: crvP256, labelX: point[1:33], labelY: point[33:]})
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(key))
		}
		k.alg = Ed25519
		k.encoded = MustMarshal(map[int]any{labelKty: ktyOKP, labelCrv: crvEd25519, labelX: []byte(key)})
	default:
		return nil, fmt.Errorf("%w: %T, want P-256 or Ed25519", ErrKey, key)
	}
	// The encoding holds exactly the members that RFC 9679 section 4 hashes.
	k.thumbprint = sha256.Sum256(k.encoded)
	return k, nil
}

// ParsePublicKey decodes a COSE_Key. Members that it does not know are ignored,
// a private member is refused, and so is an alg that does not fit the curve.
func ParsePublicKey(coseKey []byte) (*PublicKey, error) {
	var m map[any]RawMessage
	if err := Unmarshal(coseKey, &m); err != nil {
		return nil, fmt.Errorf("%w: COSE_Key: %w", ErrKey, err)
	}
	if _, private := m[int64(labelD)]; private {
		return nil, fmt.Errorf("%w: COSE_Key carries a private key", ErrKey)
	}
	var kty, crv int64
	var x []byte
	for label, dst := range map[int64]any{labelKty: &kty, labelCrv: &crv, labelX: &x} {
		if err := member(m, label, dst); err != nil {
			return nil, err
		}
	}
	pub, err := point(kty, crv, x, m)
	if err != nil {
		return nil, err
	}
	k, err := NewPublicKey(pub)
	if err != nil {
		return nil, err
	}
	if _, ok := m[int64(labelAlg)]; ok {
		var alg int64
		if err := member(m, labelAlg, &alg); err != nil {
			return nil, err
		}
		if !AllowLegacy.fits(Algorithm(alg), k.alg) {
			return nil, fmt.Errorf("%w: COSE_Key alg %s does not fit its curve", ErrKey, AlgorithmName(Algorithm(alg)))
		}
	}
	return k, nil
}

func member(m map[any]RawMessage, label int64, dst any) error {
	raw, ok := m[label]
	if !ok {
		return fmt.Errorf("%w: COSE_Key without member %d", ErrKey, label)
	}
	if err := UnmarshalValid(raw, dst); err != nil {
		return fmt.Errorf("%w: COSE_Key member %d", ErrKey, label)
	}
	return nil
}

func point(kty, crv int64, x []byte, m map[any]RawMessage) (crypto.PublicKey, error) {
	switch {
	case kty == ktyOKP && crv == crvEd25519:
		return ed25519.PublicKey(bytes.Clone(x)), nil
	case kty == ktyEC2 && crv == crvP256:
		if len(x) != 32 {
			return nil, fmt.Errorf("%w: P-256 coordinate of %d bytes", ErrKey, len(x))
		}
		return pointP256(x, m)
	}
	return nil, fmt.Errorf("%w: COSE_Key kty %d crv %d, want P-256 or Ed25519", ErrKey, kty, crv)
}

// pointP256 reads y, which is the coordinate or, in a compressed point, its sign.
func pointP256(x []byte, m map[any]RawMessage) (crypto.PublicKey, error) {
	var sign bool
	if err := member(m, labelY, &sign); err == nil {
		compressed := append([]byte{2}, x...)
		if sign {
			compressed[0] = 3
		}
		px, py := elliptic.UnmarshalCompressed(elliptic.P256(), compressed)
		if px == nil {
			return nil, fmt.Errorf("%w: point is not on P-256", ErrKey)
		}
		return &ecdsa.PublicKey{Curve: elliptic.P256(), X: px, Y: py}, nil
	}
	var y []byte
	if err := member(m, labelY, &y); err != nil {
		return nil, err
	}
	if len(y) != 32 {
		return nil, fmt.Errorf("%w: P-256 coordinate of %d bytes", ErrKey, len(y))
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pub, nil
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
	under := polymorphic(k.alg)
	v, err := cose.NewVerifier(under, k.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return named{v, alg}, nil
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
// vectors come with.
func privateKeyFromCOSE(coseKey []byte) (crypto.Signer, error) {
	var m map[any]RawMessage
	if err := Unmarshal(coseKey, &m); err != nil {
		return nil, fmt.Errorf("%w: COSE_Key: %w", ErrKey, err)
	}
	var kty int64
	var d []byte
	for label, dst := range map[int64]any{labelKty: &kty, labelD: &d} {
		if err := member(m, label, dst); err != nil {
			return nil, err
		}
	}
	switch {
	case kty == ktyOKP && len(d) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(d), nil
	case kty == ktyEC2 && len(d) == 32 && new(big.Int).SetBytes(d).Sign() > 0:
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
		if err != nil {
			return nil, fmt.Errorf("%w: private COSE_Key", ErrKey)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: private COSE_Key of kty %d with %d bytes", ErrKey, kty, len(d))
}
