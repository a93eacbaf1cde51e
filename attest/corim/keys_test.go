package corim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestKeyForms reads each form that a key may have, from a CoRIM and from a file.
func TestKeyForms(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Acme Device CA"}, IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	coseKey, err := cose.NewKeyFromPublic(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := coseKey.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		item   any
		file   []byte
		withCA bool
	}{
		"PEM":              {taggedItem(tagPKIXKey, block("PUBLIC KEY", spki)), []byte(block("PUBLIC KEY", spki)), false},
		"base64":           {taggedItem(tagPKIXKey, base64.StdEncoding.EncodeToString(spki)), nil, false},
		"certificate":      {taggedItem(tagPKIXCert, block("CERTIFICATE", certificate)), []byte(block("CERTIFICATE", certificate)), true},
		"certificate path": {taggedItem(tagPKIXCertPath, block("CERTIFICATE", certificate)+block("CERTIFICATE", certificate)), nil, true},
		"DER certificate":  {taggedItem(tagDERCert, certificate), nil, true},
		"COSE_Key":         {cosekit.Tag{Number: tagCOSEKey, Content: encodedKey}, encodedKey, false},
		"COSE_KeySet":      {taggedItem(tagCOSEKey, []cosekit.RawMessage{encodedKey}), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readKey(cosekit.MustMarshal(c.item))
			if err != nil || !key.PublicKey.Equal(got.Public) || (got.Certificate != nil) != c.withCA {
				t.Errorf("read %+v, %v", got, err)
			}
			if c.file == nil {
				return
			}
			if public, err := ReadPublicKey(c.file); err != nil || !key.PublicKey.Equal(public) {
				t.Errorf("from a file: %+v, %v", public, err)
			}
		})
	}
	// A certificate goes into a file and comes out.
	ca, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	u := &Unsigned{ID: "ca", Keys: []AttestKey{{Environment: Environment{Vendor: "Acme"}, Public: ca.PublicKey, Certificate: ca}}}
	if keys := readFile(t, encoded(t, u)).Keys(); len(keys) != 1 || !ca.Equal(keys[0].Certificate) {
		t.Errorf("read %+v", keys)
	}
}

func TestUsable(t *testing.T) {
	curve := func(c elliptic.Curve) crypto.PublicKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &key.PublicKey
	}
	modulus := func(bits uint) crypto.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	for name, c := range map[string]struct {
		key  crypto.PublicKey
		good bool
	}{
		"P-224": {curve(elliptic.P224()), false}, "P-256": {curve(elliptic.P256()), true}, "P-521": {curve(elliptic.P521()), true},
		"Ed25519": {ed25519.PublicKey(make([]byte, 32)), true}, "a name": {"key", false}, "nothing": {nil, false},
		"RSA 1024": {modulus(1024), false}, "RSA 2048": {modulus(2048), true}, "RSA 16384": {modulus(16384), false},
	} {
		if err := usable(c.key); (err == nil) != c.good || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadPublicKeyRefuses is about files that are no key.
func TestReadPublicKeyRefuses(t *testing.T) {
	secret, err := cosekit.EncodePrivateKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("key"), "private": secret, "a map": {0xa0}, "a number": {0x01}} {
		if key, err := ReadPublicKey(data); err == nil || !reflect.DeepEqual(key, nil) {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
}
