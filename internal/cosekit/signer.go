package cosekit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // go-cose's ES256 finds its hash in the registry
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/veraison/go-cose"
)

// Signer holds a private key, or a way to one, and signs with it.
type Signer interface {
	cose.Signer
	PublicKey() *PublicKey
}

type signer struct {
	cose.Signer
	public *PublicKey
}

func (s signer) Algorithm() Algorithm  { return s.public.alg }
func (s signer) PublicKey() *PublicKey { return s.public }

// NewSigner makes a Signer of a P-256 or Ed25519 key, in memory or behind a
// crypto.Signer of a token or key service.
func NewSigner(key crypto.Signer) (Signer, error) {
	public, err := NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	s, err := cose.NewSigner(polymorphic(public.alg), key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return signer{s, public}, nil
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

// GenerateKey makes a private key for ESP256 or Ed25519 from the system's randomness.
func GenerateKey(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case ESP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
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
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseSigner reads a PKCS#8 PEM block. Errors never quote the key.
func ParseSigner(data []byte) (Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: want a PEM block PRIVATE KEY (PKCS#8)", ErrKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not a PKCS#8 private key", ErrKey)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T cannot sign", ErrKey, parsed)
	}
	return NewSigner(key)
}

// LoadSigner reads a private key file.
func LoadSigner(path string) (Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ParseSigner(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
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

// LoadOrCreateSigner loads the key file at path, or creates it with a new key.
func LoadOrCreateSigner(path string, alg Algorithm) (Signer, error) {
	s, err := LoadSigner(path)
	if errors.Is(err, fs.ErrNotExist) {
		return CreateKeyFile(path, alg)
	}
	return s, err
}
