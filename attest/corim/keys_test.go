package corim

import (
	"bytes"
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
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
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

// TestKeyTriples reads attestation keys from where profiles have them: under 3, and in the
// older ones of Arm under 2 as well, where veraison/corim puts them.
func TestKeyTriples(t *testing.T) {
	triple := func(seed byte) (string, []any) {
		public := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)).Public()
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		name, err := Thumbprint(public)
		if err != nil {
			t.Fatal(err)
		}
		key := taggedItem(tagPKIXKey, base64.StdEncoding.EncodeToString(der))
		return name, []any{[]any{map[int]any{1: taggedItem(tagUEID, make([]byte, 33))}, []any{key}}}
	}
	identity, two := triple(2)
	attestation, three := triple(3)
	raw := func(profile string, triples map[int]any) []byte {
		comid := cosekit.MustMarshal(map[int]any{1: map[int]any{0: "t"}, 4: triples})
		m := map[int]any{0: "f", 1: []any{taggedItem(tagCoMID, comid)}}
		if profile != "" {
			m[3] = taggedItem(32, profile)
		}
		return cosekit.MustMarshal(taggedItem(tagUnsigned, m))
	}
	for _, profile := range []string{"", "tag:arm.com,2025:psa#1.0.0", "http://arm.com/psa/iot/1", "http://arm.com/cca/ssd/1", "http://arm.com/cca/realm/1"} {
		for _, c := range []struct {
			triples   map[int]any
			old, want []string // keys in an older profile of Arm, and in any other
		}{
			{map[int]any{2: two}, []string{identity}, nil},
			{map[int]any{3: three}, []string{attestation}, []string{attestation}},
			{map[int]any{2: two, 3: three}, []string{attestation, identity}, []string{attestation}},
		} {
			f := readFile(t, raw(profile, c.triples))
			var got []string
			for _, k := range f.Keys() {
				name, err := Thumbprint(k.Public)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, name)
			}
			want := c.want
			if strings.HasPrefix(profile, "http://arm.com/") {
				want = c.old
			}
			if told := len(f.Unread) != 0; !slices.Equal(got, want) || told != (len(c.triples) != len(want)) {
				t.Errorf("%q, triples %v: keys %q, unread %q; want %q", profile, slices.Sorted(maps.Keys(c.triples)), got, f.Unread, want)
			}
		}
	}
	spoilt := raw("http://arm.com/psa/iot/1", map[int]any{2: []any{1}})
	if _, err := Read(spoilt); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "identity triple") {
		t.Errorf("a triple that is none: %v", err)
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
