package cosekit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newAgreement(tb testing.TB) AgreementKey {
	tb.Helper()
	k, err := GenerateAgreementKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestReadAgreementPublicKey(t *testing.T) {
	ec := "0102 2001 215820" + rfc9679X + "225820" + rfc9679Y
	okp := "0101 2006 215820" + edX
	tests := []struct {
		name, key string
		want      error
	}{
		{"bare", "a4" + ec, nil},
		{"compressed", "a4 0102 2001 215820" + rfc9679X + "22f4", nil},
		{"for ECDH-ES+A128KW", "a5" + ec + "03381c", nil},
		{"for ECDH-ES+A256KW", "a5" + ec + "03381e", nil},
		{"key_ops empty", "a5" + ec + "0480", nil},
		{"to derive keys", "a5" + ec + "048107", nil},
		{"to derive bits", "a5" + ec + "048108", nil},
		{"for ESP256", "a5" + ec + "0328", ErrKey},
		{"for ES256", "a5" + ec + "0326", ErrKey},
		{"to verify with", "a5" + ec + "048102", ErrKey},
		{"to sign with", "a5" + ec + "048101", ErrKey},
		{"alg null", "a5" + ec + "03f6", ErrKey},
		{"key_ops no array", "a5" + ec + "0407", ErrKey},
		{"with a private key", "a5" + ec + "235820" + edD, ErrKey},
		{"Ed25519", "a3" + okp, ErrKey},
		{"P-384", "a4 0102 2002 215820" + rfc9679X + "225820" + rfc9679Y, ErrKey},
		{"no y", "a3 0102 2001 215820" + rfc9679X, ErrKey},
		{"no kty", "a3 2001 215820" + rfc9679X + "225820" + rfc9679Y, ErrKey},
		{"no crv", "a3 0102 215820" + rfc9679X + "225820" + rfc9679Y, ErrKey},
		{"off the curve", "a4 0102 2001 215820" + rfc9679X + "225820" + rfc9679X, ErrKey},
		{"short x", "a4 0102 2001 2141 01 225820" + rfc9679Y, ErrKey},
		{"twice the same label", "a5" + ec + "0102", ErrKey},
		{"not a map", "80", ErrKey},
		{"empty", "", ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ReadAgreementPublicKey(unhex(t, tt.key))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil && tt.name != "compressed" && k.Thumbprint().String() != rfc9679Thumb {
				t.Errorf("thumbprint %s", k.Thumbprint())
			}
		})
	}
}

// TestKeysSayWhatTheyAreFor: the types keep keys apart, and so do the members of a
// COSE_Key that has them. A bare one is read as either.
func TestKeysSayWhatTheyAreFor(t *testing.T) {
	k := newAgreement(t).PublicKey()
	for member, value := range map[int64]any{labelAlg: ECDHESA128KW, labelOps: []int{opDeriveKey}} {
		var members map[int64]any
		if err := Unmarshal(k.COSEKey(), &members); err != nil {
			t.Fatal(err)
		}
		members[member] = value
		if _, err := ReadAgreementPublicKey(MustMarshal(members)); err != nil {
			t.Errorf("member %d: %v", member, err)
		}
		if _, err := ParsePublicKey(MustMarshal(members)); !errors.Is(err, ErrKey) {
			t.Errorf("member %d: also a key to verify with (%v)", member, err)
		}
	}
	same, err := ParsePublicKey(k.COSEKey())
	if err != nil || same.Thumbprint() != k.Thumbprint() {
		t.Errorf("bare: %v", err)
	}
}

func TestAgreementPublicKeyForms(t *testing.T) {
	k := newAgreement(t).PublicKey()
	for _, form := range [][]byte{k.PEM(), k.COSEKey()} {
		again, err := ReadAgreementPublicKey(form)
		if err != nil {
			t.Fatal(err)
		}
		if again.Thumbprint() != k.Thumbprint() || !bytes.Equal(again.COSEKey(), k.COSEKey()) || !bytes.Equal(again.PEM(), k.PEM()) {
			t.Errorf("another key after reading\n%s", form)
		}
	}
	k.COSEKey()[0] = 0
	if k.COSEKey()[0] == 0 {
		t.Error("COSEKey hands out the key's own memory")
	}
}

func TestReadAgreementPEMRefuses(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := x509.MarshalPKIXPublicKey(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, data := range map[string]string{
		"P-384":       block("PUBLIC KEY", p384),
		"Ed25519":     string(newSigner(t, Ed25519).PublicKey().PEM()),
		"private key": block("PRIVATE KEY", p384),
		"certificate": block("CERTIFICATE", p384),
		"not a key":   block("PUBLIC KEY", []byte{1}),
		"no block":    "-----BEGIN nothing",
	} {
		if _, err := ReadAgreementPublicKey([]byte(data)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
}

func TestBothSidesAgree(t *testing.T) {
	a, b := newAgreement(t), newAgreement(t)
	one, err := a.SharedSecret(b.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.SharedSecret(a.PublicKey())
	if err != nil || !bytes.Equal(one, other) || len(one) != 32 {
		t.Errorf("%d and %d bytes (%v)", len(one), len(other), err)
	}
}

func TestPrivateAgreementCOSEKey(t *testing.T) {
	k := newAgreement(t).(*agreementKey)
	members := func() map[int64]any {
		var m map[int64]any
		if err := Unmarshal(k.public.encoded, &m); err != nil {
			t.Fatal(err)
		}
		m[labelD] = k.private.Bytes()
		return m
	}
	again, err := NewAgreementKeyFromCOSEKey(MustMarshal(members()))
	if err != nil || again.PublicKey().Thumbprint() != k.public.thumbprint {
		t.Fatalf("got %v", err)
	}
	secret := k.private.Bytes()
	for name, spoil := range map[string]func(map[int64]any){
		"no private member": func(m map[int64]any) { delete(m, labelD) },
		"a short scalar":    func(m map[int64]any) { m[labelD] = secret[:31] },
		"scalar zero":       func(m map[int64]any) { m[labelD] = make([]byte, 32) },
		"scalar too large":  func(m map[int64]any) { m[labelD] = bytes.Repeat([]byte{0xff}, 32) },
		"of another key":    func(m map[int64]any) { m[labelD] = newAgreement(t).(*agreementKey).private.Bytes() },
		"to sign with":      func(m map[int64]any) { m[labelAlg] = ESP256 },
		"d is text":         func(m map[int64]any) { m[labelD] = "d" },
	} {
		m := members()
		spoil(m)
		_, err := NewAgreementKeyFromCOSEKey(MustMarshal(m))
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
		if err != nil && strings.Contains(err.Error(), string(secret[:8])) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
}

func TestAgreementKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agreement.pem")
	k, err := CreateAgreementKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	again, err := LoadAgreementKey(path)
	if err != nil || again.PublicKey().Thumbprint() != k.PublicKey().Thumbprint() {
		t.Errorf("loaded: %v", err)
	}
	if _, err := CreateAgreementKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over an existing key: %v", err)
	}
	if _, err := LoadAgreementKey(path + ".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, k.PublicKey().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAgreementKey(path); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), path) {
		t.Errorf("a public key: %v", err)
	}
}

func TestLoadAgreementKeyRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"P-384": p384, "Ed25519": newKey(t, Ed25519)} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if _, err := parseAgreementKey(data); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
	if _, err := parseAgreementKey([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")); !errors.Is(err, ErrKey) {
		t.Errorf("no PKCS#8: %v", err)
	}
}

// TestScalarIsDrawnAgain: zero is no scalar, and neither is one beyond the order.
func TestScalarIsDrawnAgain(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 32)
	random := append(append(make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)...), good...)
	k, err := drawAgreementKey(bytes.NewReader(random))
	if err != nil || !bytes.Equal(k.private.Bytes(), good) {
		t.Errorf("got %v", err)
	}
	if _, err := drawAgreementKey(endless{}); !errors.Is(err, ErrKey) {
		t.Errorf("from zeros only: %v", err)
	}
	if _, err := drawAgreementKey(bytes.NewReader(good[:31])); err == nil {
		t.Error("from too little")
	}
}
