package cosekit

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

// AgreementPublicKey is a P-256 public key to encrypt to. Make one with
// [ReadAgreementPublicKey] or [AgreementKey].PublicKey; it does not change afterwards.
//
// A bare P-256 COSE_Key does not say what it is for, so the same bytes are read as a
// [PublicKey] too, with the same thumbprint. What keeps the two apart is their types,
// and the alg and key_ops of a COSE_Key that has them.
type AgreementPublicKey struct {
	key        *ecdh.PublicKey
	encoded    []byte
	thumbprint Thumbprint
}

// Values of key_ops (RFC 9052 section 7.1).
const (
	opDeriveKey  = 7
	opDeriveBits = 8
)

// newAgreementPublicKey takes an uncompressed point.
func newAgreementPublicKey(point []byte) (*AgreementPublicKey, error) {
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: point is not on P-256", ErrKey)
	}
	point = key.Bytes()
	encoded := MustMarshal(map[int]any{
		labelKty: ktyEC2, labelCrv: crvP256, labelX: point[1:33], labelY: point[33:],
	})
	return &AgreementPublicKey{key: key, encoded: encoded, thumbprint: sha256.Sum256(encoded)}, nil
}

// ReadAgreementPublicKey reads PEM (PUBLIC KEY) or a bare COSE_Key. One whose alg is no
// ECDH-ES+AxxxKW is refused, and so is one whose key_ops have something, but neither
// derive key nor derive bits (RFC 9053 section 6.3.1).
func ReadAgreementPublicKey(data []byte) (*AgreementPublicKey, error) {
	if bytes.Contains(data, []byte("-----BEGIN")) {
		return parseAgreementPEM(data)
	}
	m, err := keyMembers(data)
	if err != nil {
		return nil, err
	}
	if _, private := m[labelD]; private {
		return nil, fmt.Errorf("%w: COSE_Key carries a private key", ErrKey)
	}
	return m.agreementPublicKey()
}

func parseAgreementPEM(data []byte) (*AgreementPublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%w: want a PEM block PUBLIC KEY", ErrKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	ec, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T, want P-256", ErrKey, parsed)
	}
	key, err := ec.ECDH()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newAgreementPublicKey(key.Bytes())
}

// agreementPublicKey reads the public members.
func (m coseKey) agreementPublicKey() (*AgreementPublicKey, error) {
	kty, err := keyMember(m, labelKty, Int)
	if err != nil {
		return nil, err
	}
	crv, err := keyMember(m, labelCrv, Int)
	if err != nil {
		return nil, err
	}
	if kty != ktyEC2 || crv != crvP256 {
		return nil, fmt.Errorf("%w: COSE_Key kty %d crv %d, want P-256 to agree on keys with", ErrKey, kty, crv)
	}
	x, err := keyMember(m, labelX, Bytes)
	if err != nil {
		return nil, err
	}
	point, err := m.point(x)
	if err != nil {
		return nil, err
	}
	if err := m.checkAgreementUse(); err != nil {
		return nil, err
	}
	return newAgreementPublicKey(point)
}

// checkAgreementUse refuses a key that says of itself that it is for something else.
func (m coseKey) checkAgreementUse() error {
	if _, ok := m[labelAlg]; ok {
		alg, err := keyMember(m, labelAlg, Int)
		if err != nil {
			return err
		}
		if _, ok := agreements[Algorithm(alg)]; !ok {
			return fmt.Errorf("%w: COSE_Key is for %s, not for ECDH-ES with key wrap", ErrKey, AlgorithmName(Algorithm(alg)))
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
		if n, err := Int(op); err == nil && (n == opDeriveKey || n == opDeriveBits) {
			return nil
		}
	}
	if len(ops) > 0 {
		return fmt.Errorf("%w: COSE_Key key_ops without derive key", ErrKey)
	}
	return nil
}

// Thumbprint returns the key's RFC 9679 thumbprint, which is the kid of a recipient.
func (k *AgreementPublicKey) Thumbprint() Thumbprint { return k.thumbprint }

// COSEKey returns the deterministic COSE_Key with the required members only.
func (k *AgreementPublicKey) COSEKey() []byte { return bytes.Clone(k.encoded) }

// PEM returns the key as a PUBLIC KEY block.
func (k *AgreementPublicKey) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		panic(err) // x509 can encode every P-256 key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// AgreementKey holds a P-256 private key for ECDH, or a way to one.
type AgreementKey interface {
	PublicKey() *AgreementPublicKey
	// SharedSecret returns the x-coordinate of the product with the ephemeral key.
	SharedSecret(ephemeral *AgreementPublicKey) ([]byte, error)
}

// agreementKey is one in memory.
type agreementKey struct {
	private *ecdh.PrivateKey
	public  *AgreementPublicKey
}

func newAgreementKey(private *ecdh.PrivateKey) (*agreementKey, error) {
	public, err := newAgreementPublicKey(private.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	return &agreementKey{private, public}, nil
}

func (k *agreementKey) PublicKey() *AgreementPublicKey { return k.public }

func (k *agreementKey) SharedSecret(ephemeral *AgreementPublicKey) ([]byte, error) {
	return k.private.ECDH(ephemeral.key)
}

// GenerateAgreementKey makes a key from the system's randomness.
func GenerateAgreementKey() (AgreementKey, error) { return drawAgreementKey(rand.Reader) }

// drawAgreementKey is ecdh's GenerateKey with a reader that counts.
func drawAgreementKey(random io.Reader) (*agreementKey, error) {
	const tries = 8 // of which each fails once in 2^32
	var scalar [32]byte
	for range tries {
		if _, err := io.ReadFull(random, scalar[:]); err != nil {
			return nil, err
		}
		if private, err := ecdh.P256().NewPrivateKey(scalar[:]); err == nil {
			return newAgreementKey(private)
		}
	}
	return nil, fmt.Errorf("%w: the source of randomness gives no P-256 scalar", ErrKey)
}

// NewAgreementKeyFromCOSEKey makes one of a private COSE_Key. Errors never quote it.
func NewAgreementKeyFromCOSEKey(coseKey []byte) (AgreementKey, error) {
	m, err := keyMembers(coseKey)
	if err != nil {
		return nil, err
	}
	public, err := m.agreementPublicKey()
	if err != nil {
		return nil, err
	}
	d, err := keyMember(m, labelD, Bytes)
	if err != nil {
		return nil, err
	}
	private, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		return nil, fmt.Errorf("%w: COSE_Key whose private member is no P-256 scalar", ErrKey)
	}
	if !private.PublicKey().Equal(public.key) {
		return nil, fmt.Errorf("%w: COSE_Key whose private and public members do not belong together", ErrKey)
	}
	return newAgreementKey(private)
}

// LoadAgreementKey reads a PKCS#8 PEM file. Errors never quote the key.
func LoadAgreementKey(path string) (AgreementKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := parseAgreementKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// ParseAgreementKey reads a PKCS#8 PEM block. Errors never quote the key.
func ParseAgreementKey(data []byte) (AgreementKey, error) {
	k, err := parseAgreementKey(data)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func parseAgreementKey(data []byte) (*agreementKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: want a PEM block PRIVATE KEY (PKCS#8)", ErrKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKCS#8 private key", ErrKey)
	}
	ec, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T, want P-256 to agree on keys with", ErrKey, parsed)
	}
	private, err := ec.ECDH()
	if err != nil {
		return nil, fmt.Errorf("%w: an EC key on a curve that cannot be agreed on", ErrKey)
	}
	return newAgreementKey(private)
}

// CreateAgreementKeyFile is [CreateKeyFile] for an agreement key.
func CreateAgreementKeyFile(path string) (AgreementKey, error) {
	k, err := drawAgreementKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, err
	}
	return k, nil
}

// agreements are the key wraps behind the key agreements (RFC 9053 section 6.4), all
// with HKDF SHA-256.
var agreements = map[Algorithm]Algorithm{
	ECDHESA128KW: A128KW,
	ECDHESA192KW: A192KW,
	ECDHESA256KW: A256KW,
}

// keyWraps are the bytes of their keys (RFC 9053 section 6.2.1).
var keyWraps = map[Algorithm]int{A128KW: 16, A192KW: 24, A256KW: 32}

// deriveKey makes the key-encryption key of a recipient (RFC 9053 section 5.1).
func deriveKey(secret, salt []byte, wrap Algorithm, protected []byte, context KDFContext) ([]byte, error) {
	info := kdfContext(wrap, protected, context)
	kek, err := hkdf.Key(sha256.New, secret, salt, string(info), keyWraps[wrap])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return kek, nil
}

// kdfContext is the COSE_KDF_Context (RFC 9053 section 5.2). SUIT and TEEP leave the
// parties out, and say in other what the key is for.
func kdfContext(wrap Algorithm, protected []byte, context KDFContext) []byte {
	nobody := []any{nil, nil, nil}
	public := []any{keyWraps[wrap] * 8, protected}
	if context != "" {
		public = append(public, []byte(context))
	}
	return MustMarshal([]any{wrap, nobody, nobody, public})
}
