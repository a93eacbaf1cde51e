package ear

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	_ "crypto/sha512" // for ES384 and ES512 in go-cose, which finds it in the registry
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/go-cose"
)

// Key is the public key of a trusted Verifier.
type Key struct {
	Name   string           // for people
	ID     string           // kid of a JWT; empty where it is not known
	Public crypto.PublicKey // *ecdsa.PublicKey on P-256, P-384 or P-521, or ed25519.PublicKey
}

// ErrKey: not a key that a Verifier can sign results with.
var ErrKey = errors.New("verifier key not usable")

// maxKey caps what ParseKey reads, in bytes.
const maxKey = 16 << 10

// ParseKey reads a public key in PEM (PUBLIC KEY or CERTIFICATE, the first block) or as a
// JWK. The validity and the issuer of a certificate are not looked at.
func ParseKey(data []byte) (Key, error) {
	if len(data) > maxKey {
		return Key{}, fmt.Errorf("%w: %d bytes, at most %d", ErrKey, len(data), maxKey)
	}
	if block, _ := pem.Decode(data); block != nil {
		return parsePEM(block)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(data); err != nil {
		return Key{}, fmt.Errorf("%w: neither PEM nor a JWK", ErrKey)
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return Key{}, fmt.Errorf("%w: a JWK for use %q, not for signatures", ErrKey, jwk.Use)
	}
	k := Key{ID: jwk.KeyID, Public: jwk.Key}
	a, err := k.algorithms()
	if err == nil && jwk.Algorithm != "" && jwk.Algorithm != string(a.jose) {
		err = fmt.Errorf("%w: a JWK for %q with a key for %s", ErrKey, jwk.Algorithm, a.jose)
	}
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

func parsePEM(block *pem.Block) (Key, error) {
	var k Key
	switch block.Type {
	case "PUBLIC KEY":
		k.Public, _ = x509.ParsePKIXPublicKey(block.Bytes)
	case "CERTIFICATE":
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			k.Public = certificate.PublicKey
		}
	default:
		return Key{}, fmt.Errorf("%w: a PEM block %q; want PUBLIC KEY or CERTIFICATE", ErrKey, block.Type)
	}
	if _, err := k.algorithms(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// algorithms are those that one key signs with: under its JOSE name, and under its
// polymorphic and its fully-specified COSE number (RFC 9053, RFC 9864).
type algorithms struct {
	jose           jose.SignatureAlgorithm
	legacy         cose.Algorithm
	fullySpecified cose.Algorithm
	curve          int // of a COSE_Key
}

var (
	es256 = algorithms{jose.ES256, cose.AlgorithmES256, cosekit.ESP256, 1}
	es384 = algorithms{jose.ES384, cose.AlgorithmES384, -51, 2}
	es512 = algorithms{jose.ES512, cose.AlgorithmES512, -52, 3}
	eddsa = algorithms{jose.EdDSA, cose.AlgorithmEdDSA, cosekit.Ed25519, 6}
)

// joseAlgorithms is all that a JWT may name: neither none nor an HMAC, for whose secret
// anybody can take a public key.
var joseAlgorithms = []jose.SignatureAlgorithm{es256.jose, es384.jose, es512.jose, eddsa.jose}

func (k Key) algorithms() (algorithms, error) {
	switch key := k.Public.(type) {
	case *ecdsa.PublicKey:
		if key == nil {
			break
		}
		switch key.Curve {
		case elliptic.P256():
			return es256, nil
		case elliptic.P384():
			return es384, nil
		case elliptic.P521():
			return es512, nil
		}
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return eddsa, nil
		}
	}
	return algorithms{}, fmt.Errorf("%w: %T; want ECDSA on P-256, P-384 or P-521, or Ed25519", ErrKey, k.Public)
}

// Thumbprint returns the RFC 9679 thumbprint, by which operators pin a key.
func (k Key) Thumbprint() (cosekit.Thumbprint, error) {
	a, err := k.algorithms()
	if err != nil {
		return cosekit.Thumbprint{}, err
	}
	members := map[int]any{1: 2, -1: a.curve} // kty EC2
	switch key := k.Public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return cosekit.Thumbprint{}, fmt.Errorf("%w: %w", ErrKey, err)
		}
		half := len(point) / 2
		members[-2], members[-3] = point[1:1+half], point[1+half:]
	case ed25519.PublicKey:
		members[1], members[-2] = 1, []byte(key) // kty OKP
	}
	return sha256.Sum256(cosekit.MustMarshal(members)), nil
}
