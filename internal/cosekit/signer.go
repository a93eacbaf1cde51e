package cosekit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256" // in go-cose's ES256 too, which finds it in the registry
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"
	"github.com/veraison/go-cose"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Signer holds a private key, or a way to one, and signs with it.
type Signer interface {
	cose.Signer
	PublicKey() *PublicKey
}

// NewSigner makes a Signer of a P-256, Ed25519 or ML-DSA key, in memory or behind a
// crypto.Signer of a token or key service.
func NewSigner(key crypto.Signer) (Signer, error) {
	public, err := NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return signer{key, public}, nil
}

// signer asks a crypto.Signer for signatures. go-cose's own signers pass it no
// options, without which many do not know what they are to sign.
type signer struct {
	key    crypto.Signer
	public *PublicKey
}

func (s signer) Algorithm() Algorithm  { return s.public.alg }
func (s signer) PublicKey() *PublicKey { return s.public }

// Sign returns the signature as COSE has it (RFC 9053 section 2, RFC 9964 section 4).
func (s signer) Sign(random io.Reader, message []byte) ([]byte, error) {
	switch s.public.alg {
	case ESP256:
		digest := sha256.Sum256(message)
		signature, err := s.key.Sign(random, digest[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return fixedECDSA(signature)
	case Ed25519:
		return s.key.Sign(random, message, &ed25519.Options{})
	}
	return s.key.Sign(random, message, &mldsa.Options{})
}

// fixedECDSA turns the ASN.1 of a P-256 signature into its numbers, one after the
// other.
func fixedECDSA(signature []byte) ([]byte, error) {
	const size = 32
	input, fixed := cryptobyte.String(signature), make([]byte, 2*size)
	var inner cryptobyte.String
	var r, s []byte
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > size || len(s) > size {
		return nil, fmt.Errorf("%w: the signer's signature is not one of P-256", ErrKey)
	}
	copy(fixed[size-len(r):], r)
	copy(fixed[2*size-len(s):], s)
	return fixed, nil
}

// NewSignerFromCOSEKey makes a Signer of a private COSE_Key, the form in which
// test keys are published.
func NewSignerFromCOSEKey(coseKey []byte) (Signer, error) {
	key, err := privateKeyFromCOSE(coseKey)
	if err != nil {
		return nil, err
	}
	return NewSigner(key)
}

// GenerateKey makes a private key for ESP256, Ed25519 or ML-DSA from the system's
// randomness.
func GenerateKey(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case ESP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	if parameters, ok := mldsaParameters(alg); ok {
		return mldsa.GenerateKey(parameters)
	}
	return nil, fmt.Errorf("%w: cannot make a key for %s", ErrAlgorithm, AlgorithmName(alg))
}

// GenerateSigner is GenerateKey followed by NewSigner.
func GenerateSigner(alg Algorithm) (Signer, error) {
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	return NewSigner(key)
}

// EncodePrivateKey returns the key as a PKCS#8 PEM block.
func EncodePrivateKey(key crypto.Signer) ([]byte, error) {
	der, err := mldsax509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseSigner reads a PKCS#8 PEM block with a key of TEEP, ESP256 or Ed25519. Errors
// never quote the key.
func ParseSigner(data []byte) (Signer, error) {
	s, err := ParseManifestSigner(data)
	if err != nil {
		return nil, err
	}
	if _, err := teepOnly(s.PublicKey(), nil); err != nil {
		return nil, err
	}
	return s, nil
}

// ParseManifestSigner is ParseSigner for a key that signs manifests, ML-DSA among them.
func ParseManifestSigner(data []byte) (Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: want a PEM block PRIVATE KEY (PKCS#8)", ErrKey)
	}
	parsed, err := mldsax509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKCS#8 private key", ErrKey)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T cannot sign", ErrKey, parsed)
	}
	return NewSigner(key)
}

// LoadSigner reads a private key file, as [ParseSigner] does.
func LoadSigner(path string) (Signer, error) { return load(path, ParseSigner) }

// LoadManifestSigner reads a private key file, as [ParseManifestSigner] does.
func LoadManifestSigner(path string) (Signer, error) { return load(path, ParseManifestSigner) }

// load reads a key file. Errors name the file and never quote it.
func load[K any](path string, parse func([]byte) (K, error)) (key K, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	if key, err = parse(data); err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// CreateKeyFile makes a key and writes it to a new file that only its owner can
// read. It never overwrites one, and whatever interrupts it, path holds the whole
// key afterwards or does not exist.
func CreateKeyFile(path string, alg Algorithm) (Signer, error) {
	key, err := GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	data, err := EncodePrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, data); err != nil {
		return nil, err
	}
	return NewSigner(key)
}

// writeNew writes a file under another name, makes it durable and links it to
// path, which must not exist.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // readable by its owner only
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// LoadOrCreateSigner loads the key file at path, or creates it with a new key of TEEP.
func LoadOrCreateSigner(path string, alg Algorithm) (Signer, error) {
	s, err := LoadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if alg != ESP256 && alg != Ed25519 {
		return nil, fmt.Errorf("%w: %s signs no TEEP message", ErrAlgorithm, AlgorithmName(alg))
	}
	return CreateKeyFile(path, alg)
}
