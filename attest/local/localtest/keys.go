package localtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Key is the private key of a device or an authority.
type Key struct {
	Private   crypto.Signer
	algorithm int64
	hash      crypto.Hash
}

// The kinds of keys.
const (
	P256    = "P-256"
	P384    = "P-384"
	P521    = "P-521"
	Ed25519 = "Ed25519"
)

// NewKey derives a key from a name. Anybody can: it keeps no secret.
func NewKey(kind, name string) Key {
	seed := sha512.Sum512([]byte(kind + " " + name))
	switch kind {
	case P256:
		return Key{ecdsaKey(elliptic.P256(), seed[:32]), -7, crypto.SHA256}
	case P384:
		return Key{ecdsaKey(elliptic.P384(), seed[:48]), -35, crypto.SHA384}
	case P521:
		return Key{ecdsaKey(elliptic.P521(), append([]byte{0, 1}, seed[:]...)), -36, crypto.SHA512}
	case Ed25519:
		return Key{ed25519.NewKeyFromSeed(seed[:32]), -8, 0}
	}
	panic("localtest: no such kind of key: " + kind)
}

func ecdsaKey(curve elliptic.Curve, scalar []byte) *ecdsa.PrivateKey {
	key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	must(err)
	return key
}

// Public returns the public key.
func (k Key) Public() crypto.PublicKey { return k.Private.Public() }

// COSE returns the key as a signer of TEEP; it panics for P-384 and P-521.
func (k Key) COSE() cosekit.Signer {
	s, err := cosekit.NewSigner(k.Private)
	must(err)
	return s
}

// Algorithm is what the key signs tokens with: ES256, ES384, ES512 or EdDSA.
func (k Key) Algorithm() int64 { return k.algorithm }

// Sign1 makes a tagged COSE_Sign1 of the payload. Protected is what stands beside alg in
// the protected header; an alg there takes the place of the key's own.
func (k Key) Sign1(payload []byte, protected, unprotected map[int]any) []byte {
	header := map[int]any{1: k.algorithm}
	for label, value := range protected {
		header[label] = value
	}
	encoded := cosekit.MustMarshal(header)
	message := cosekit.MustMarshal([]any{"Signature1", encoded, []byte{}, payload})
	return cosekit.MustMarshal(cosekit.Tag{
		Number:  cosekit.TagSign1,
		Content: cosekit.MustMarshal([]any{encoded, unprotected, payload, k.sign(message)}),
	})
}

func (k Key) sign(message []byte) []byte {
	key, ok := k.Private.(*ecdsa.PrivateKey)
	if !ok {
		signature, err := k.Private.Sign(rand.Reader, message, crypto.Hash(0))
		must(err)
		return signature
	}
	h := k.hash.New()
	h.Write(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	must(err)
	size := (key.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// CA is an authority that certifies device keys.
type CA struct {
	Certificate *x509.Certificate
	key         Key
}

// NewCA makes a self-signed authority that is good for ten years around now.
func NewCA(name string, now time.Time) *CA {
	key := NewKey(P256, "CA "+name)
	template := authority(name, now)
	return &CA{certify(template, template, key.Public(), key), key}
}

// Intermediate certifies an authority below this one.
func (ca *CA) Intermediate(name string, now time.Time, edit ...func(*x509.Certificate)) *CA {
	key := NewKey(P256, "CA "+name)
	template := authority(name, now)
	for _, e := range edit {
		e(template)
	}
	return &CA{certify(template, ca.Certificate, key.Public(), ca.key), key}
}

// Certify certifies a device key. ueid, if any, is named as urn:ueid: in a URI.
func (ca *CA) Certify(name string, key crypto.PublicKey, ueid []byte, now time.Time, edit ...func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: serial(name),
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if ueid != nil {
		template.URIs = []*url.URL{{Scheme: "urn", Opaque: fmt.Sprintf("ueid:%x", ueid)}}
	}
	for _, e := range edit {
		e(template)
	}
	return certify(template, ca.Certificate, key, ca.key)
}

// Chain is x5chain of certificates, the signer's first (RFC 9360 section 2).
func Chain(certificates ...*x509.Certificate) any {
	if len(certificates) == 1 {
		return certificates[0].Raw
	}
	var chain [][]byte
	for _, c := range certificates {
		chain = append(chain, c.Raw)
	}
	return chain
}

func authority(name string, now time.Time) *x509.Certificate {
	const years = 5 * 365 * 24 * time.Hour
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, SerialNumber: serial(name),
		NotBefore: now.Add(-years), NotAfter: now.Add(years),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func serial(name string) *big.Int {
	sum := sha256.Sum256([]byte(name))
	return new(big.Int).SetBytes(sum[:16])
}

func certify(template, parent *x509.Certificate, key crypto.PublicKey, by Key) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by.Private)
	must(err)
	c, err := x509.ParseCertificate(der)
	must(err)
	return c
}

// must stops at what cannot go wrong but by a fault of the caller.
func must(err error) {
	if err != nil {
		panic("localtest: " + err.Error())
	}
}
