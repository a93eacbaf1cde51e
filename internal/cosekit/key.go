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

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"
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

// PublicKey is a public key that verifies signatures of one algorithm. It does not
// change.
//
// Two doors lead to one. [ParsePublicKey] and [ReadPublicKey] admit the keys of TEEP,
// ESP256 and Ed25519, and are for everything that comes with a message and for the
// keys of TAMs, agents and attesters. [ParseManifestKey] and [ReadManifestKey] admit
// HSS-LMS and ML-DSA too and are for those who sign manifests.
type PublicKey struct {
	alg        Algorithm
	key        crypto.PublicKey // *ecdsa.PublicKey, ed25519.PublicKey, *mldsa.PublicKey or hssEncoded
	check      verifier
	encoded    []byte
	thumbprint Thumbprint
}

// verifier checks signatures of one key.
type verifier interface {
	Verify(message, signature []byte) error
}

// COSE_Key labels and values (RFC 9052 section 7.1, RFC 9053 section 7, RFC 8778
// section 4, RFC 9964 section 3).
const (
	labelKty = 1
	labelKid = 2
	labelAlg = 3
	labelOps = 4
	labelCrv = -1
	labelX   = -2
	labelY   = -3
	labelD   = -4
	labelPub = -1 // of HSS-LMS and AKP
	labelK   = -1 // of a symmetric key
	labelPri = -2 // of AKP

	ktyOKP     = 1
	ktyEC2     = 2
	ktySym     = 4
	ktyHSS     = 5
	ktyAKP     = 7
	crvP256    = 1
	crvEd25519 = 6
	opVerify   = 2
)

// NewPublicKey takes an *ecdsa.PublicKey on P-256, an ed25519.PublicKey or a
// *mldsa.PublicKey.
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
	case *mldsa.PublicKey:
		return fromMLDSA(key)
	}
	return nil, fmt.Errorf("%w: %T, want P-256, Ed25519 or ML-DSA", ErrKey, key)
}

// newP256 takes an uncompressed point.
func newP256(point []byte) (*PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newPublicKey(ESP256, key, v, map[int]any{
		labelKty: ktyEC2, labelCrv: crvP256, labelX: point[1:33], labelY: point[33:],
	}), nil
}

func newEd25519(x []byte) (*PublicKey, error) {
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(x))
	}
	key := ed25519.PublicKey(bytes.Clone(x))
	v, err := cose.NewVerifier(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newPublicKey(Ed25519, key, v, map[int]any{
		labelKty: ktyOKP, labelCrv: crvEd25519, labelX: x,
	}), nil
}

// newPublicKey takes exactly the members that are hashed for the thumbprint (RFC 9679
// section 4, RFC 9964 section 5).
func newPublicKey(alg Algorithm, key crypto.PublicKey, check verifier, members map[int]any) *PublicKey {
	encoded := MustMarshal(members)
	return &PublicKey{alg: alg, key: key, check: check, encoded: encoded, thumbprint: sha256.Sum256(encoded)}
}

// ParsePublicKey decodes the COSE_Key (RFC 9052 section 7) of a key that signs TEEP
// messages, evidence or reports. Members that it does not know are ignored, a private
// member is refused, and so are an alg that does not fit the key and key_ops without
// verify.
func ParsePublicKey(coseKey []byte) (*PublicKey, error) { return teepOnly(ParseManifestKey(coseKey)) }

// ParseManifestKey is ParsePublicKey for a key that signs manifests: one that the
// operator of a device or of a TAM chose to trust for that.
func ParseManifestKey(coseKey []byte) (*PublicKey, error) {
	m, err := keyMembers(coseKey)
	if err != nil {
		return nil, err
	}
	k, err := m.publicKey()
	if err != nil {
		return nil, err
	}
	if _, private := m[privateLabel(k.alg)]; private {
		return nil, fmt.Errorf("%w: COSE_Key carries a private key", ErrKey)
	}
	if err := m.checkUse(k.alg); err != nil {
		return nil, err
	}
	return k, nil
}

// teepOnly keeps the algorithms that are for manifests away from everything else.
func teepOnly(k *PublicKey, err error) (*PublicKey, error) {
	if err != nil {
		return nil, err
	}
	if !k.SignsTEEP() {
		return nil, fmt.Errorf("%w: a key for %s signs manifests and nothing else; want ESP256 or Ed25519", ErrKey, AlgorithmName(k.alg))
	}
	return k, nil
}

// privateLabel is that of the private member.
func privateLabel(alg Algorithm) int64 {
	if _, ok := mldsaParameters(alg); ok {
		return labelPri
	}
	return labelD
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
	if kty == ktyHSS || kty == ktyAKP {
		return m.quantumSafe(kty)
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

// quantumSafe reads the key types that have no curve.
func (m coseKey) quantumSafe(kty int64) (*PublicKey, error) {
	pub, err := keyMember(m, labelPub, Bytes)
	if err != nil {
		return nil, err
	}
	if kty == ktyHSS {
		return newHSS(pub)
	}
	alg, err := keyMember(m, labelAlg, Int) // the key type alone does not say it
	if err != nil {
		return nil, err
	}
	return newMLDSA(Algorithm(alg), pub)
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

// ReadPublicKey reads the key of a TAM, an agent or an attester in either of the forms
// that people hand around: PEM (PUBLIC KEY or CERTIFICATE, the first block), or a bare
// COSE_Key.
func ReadPublicKey(data []byte) (*PublicKey, error) { return teepOnly(ReadManifestKey(data)) }

// ReadManifestKey is ReadPublicKey for a key that signs manifests.
func ReadManifestKey(data []byte) (*PublicKey, error) {
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return parsePEM(data)
	}
	return ParseManifestKey(data)
}

func parsePEM(data []byte) (*PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block", ErrKey)
	}
	switch block.Type {
	case "PUBLIC KEY":
		return parsePKIX(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return parsePKIX(cert.RawSubjectPublicKeyInfo)
	}
	return nil, fmt.Errorf("%w: PEM block %q, want PUBLIC KEY or CERTIFICATE", ErrKey, block.Type)
}

// parsePKIX reads a SubjectPublicKeyInfo.
func parsePKIX(der []byte) (*PublicKey, error) {
	if pub, ok := hssOfPKIX(der); ok {
		return newHSS(pub)
	}
	pub, err := mldsax509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return NewPublicKey(pub)
}

// Algorithm returns the algorithm of the key's signatures.
func (k *PublicKey) Algorithm() Algorithm { return k.alg }

// SignsTEEP reports whether the key is of an algorithm for TEEP messages, evidence and
// reports: ESP256 or Ed25519 (draft-ietf-teep-protocol-26 section 8.1).
func (k *PublicKey) SignsTEEP() bool { return k.alg == ESP256 || k.alg == Ed25519 }

// Thumbprint returns the key's RFC 9679 thumbprint.
func (k *PublicKey) Thumbprint() Thumbprint { return k.thumbprint }

// COSEKey returns the deterministic COSE_Key with the required members only.
func (k *PublicKey) COSEKey() []byte { return bytes.Clone(k.encoded) }

// PEM returns the key as a PUBLIC KEY block.
func (k *PublicKey) PEM() []byte {
	marshal := mldsax509.MarshalPKIXPublicKey
	if k.alg == HSSLMS {
		marshal = marshalHSS
	}
	der, err := marshal(k.key)
	if err != nil {
		panic(err) // there are only keys of types that can be encoded
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

// verify checks a signature of a message that names alg. RFC 9864 changed the numbers
// of the algorithms, not the mathematics, so one check serves both names.
func (k *PublicKey) verify(alg Algorithm, legacy LegacyPolicy, message, signature []byte) error {
	if !legacy.fits(alg, k.alg) {
		return fmt.Errorf("%w: message names %s, the key is for %s", ErrAlgorithm, AlgorithmName(alg), AlgorithmName(k.alg))
	}
	if err := k.check.Verify(message, signature); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
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
	d, err := keyMember(m, privateLabel(public.alg), Bytes)
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
	if _, ok := mldsaParameters(alg); ok {
		return mldsaPrivateKey(alg, d)
	}
	return nil, fmt.Errorf("%w: private COSE_Key for %s with %d bytes", ErrKey, AlgorithmName(alg), len(d))
}
