package suit

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestSignReport(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		s := newSigner(t, alg)
		raw, err := SignReport(failureReport(), s)
		if err != nil {
			t.Fatal(err)
		}
		if raw[0] != 0xd2 {
			t.Errorf("not tagged as COSE_Sign1: %x", raw[0])
		}
		opened, err := OpenReport(raw)
		if err != nil || !opened.Protected() {
			t.Fatalf("%+v, %v", opened, err)
		}
		key, err := opened.Key()
		if err != nil || !key.Equal(s.PublicKey()) {
			t.Errorf("key in the header: %v, %v", key, err)
		}
		if kid, ok := opened.KeyID(); !ok || kid != s.PublicKey().Thumbprint() {
			t.Errorf("kid %v", kid)
		}
		r, err := opened.Verify(key, false)
		if err != nil || !reflect.DeepEqual(r, failureReport()) {
			t.Errorf("report %+v, %v", r, err)
		}
		if _, err := opened.Verify(newSigner(t, alg).PublicKey(), false); !errors.Is(err, cosekit.ErrSignature) {
			t.Errorf("another key: %v", err)
		}
		for i := range raw {
			spoilt := bytes.Clone(raw)
			spoilt[i] ^= 0x01
			o, err := OpenReport(spoilt)
			if err != nil || !o.Protected() {
				continue
			}
			if r, err := o.Verify(s.PublicKey(), cosekit.AllowLegacy); err == nil && !reflect.DeepEqual(r, failureReport()) {
				t.Fatalf("byte %d: another report verifies", i)
			}
		}
	}
}

func TestReportHeaderKey(t *testing.T) {
	s, another := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.ESP256)
	payload, err := successReport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	open := func(form cosekit.Form) *SignedReport {
		raw, err := cosekit.Sign1(s, payload, form)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenReport(raw)
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	foreign := open(cosekit.Form{CWTClaims: cosekit.ConfirmationHeader(another.PublicKey())})
	if _, err := foreign.Verify(s.PublicKey(), false); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("header confirms another key: %v", err)
	}
	broken := open(cosekit.Form{CWTClaims: wrap(rawMap{8: rawMap{1: rawMap{1: 2}}})})
	if _, err := broken.Key(); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("broken key: %v", err)
	}
	if _, err := broken.Verify(s.PublicKey(), false); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("broken key: %v", err)
	}
	bare := open(cosekit.Form{Untagged: true})
	if key, err := bare.Key(); key != nil || err != nil {
		t.Errorf("no key: %v, %v", key, err)
	}
	if _, err := bare.Verify(s.PublicKey(), false); err != nil {
		t.Errorf("no key in the header: %v", err)
	}
}

func TestOpenReportRefusals(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	payload, err := successReport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	multi, err := cosekit.Sign([]cosekit.Signer{s}, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	detached, err := cosekit.Sign1(s, payload, cosekit.Form{Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": wrap("x"), "COSE_Sign": multi, "detached": detached,
		"COSE_Mac0":           wrap(cosekit.Tag{Number: 17, Content: wrap([]any{[]byte{}, rawMap{}, payload, []byte{}})}),
		"COSE_Mac":            wrap(cosekit.Tag{Number: 97, Content: wrap([]any{[]byte{}, rawMap{}, payload, []byte{}, []any{}})}),
		"detached MAC":        must[[]byte](t)(cosekit.Mac0(newSecret(t, 1, ""), payload, cosekit.Form{Detached: true})),
		"COSE_Encrypt":        wrap(cosekit.Tag{Number: 96, Content: wrap([]any{[]byte{}, rawMap{}, nil, []any{}})}),
		"another tag":         wrap(cosekit.Tag{Number: 19, Content: payload}),
		"array of three":      wrap([]any{1, 2, 3}),
		"signed text":         must[[]byte](t)(cosekit.Sign1(s, wrap("x"), cosekit.Form{})),
		"signed nothing":      must[[]byte](t)(cosekit.Sign1(s, []byte{}, cosekit.Form{})),
		"signed signature":    must[[]byte](t)(cosekit.Sign1(s, detached, cosekit.Form{})),
		"detached and sealed": must[[]byte](t)(cosekit.Sign1(s, detachedCiphertext(t), cosekit.Form{})),
	} {
		if o, err := OpenReport(data); !errors.Is(err, ErrMalformed) && !errors.Is(err, cosekit.ErrAlgorithm) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	bare, err := OpenReport(payload)
	if err != nil || bare.Protected() {
		t.Fatalf("bare report: %v", err)
	}
	if r, err := bare.Unverified(); err != nil || !reflect.DeepEqual(r, successReport()) {
		t.Errorf("bare report: %+v, %v", r, err)
	}
	if key, err := bare.Key(); key != nil || err != nil {
		t.Errorf("key of a bare report: %v, %v", key, err)
	}
	if _, ok := bare.KeyID(); ok {
		t.Error("a bare report names a key")
	}
	if _, err := OpenReport(make([]byte, MaxReportSize+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("large report: %v", err)
	}
	other := must[*SignedReport](t)(OpenReport(must[[]byte](t)(cosekit.Sign1(s, wrap(rawMap{1: 2}), cosekit.Form{}))))
	if _, err := other.Verify(s.PublicKey(), false); !errors.Is(err, ErrMalformed) {
		t.Errorf("another map that is signed: %v", err)
	}
}

// detachedCiphertext is a COSE_Encrypt with nothing in it.
func detachedCiphertext(t *testing.T) []byte {
	t.Helper()
	e := cosekit.Encryption{Content: cosekit.A128GCM, Context: cosekit.ReportEncryption, Recipients: []cosekit.Recipient{kek(t)}}
	return must[[]byte](t)(e.Encrypt(io.Discard, strings.NewReader("x")))
}

func kek(t *testing.T) *cosekit.SecretKey {
	t.Helper()
	return must[*cosekit.SecretKey](t)(cosekit.NewSecretKey(bytes.Repeat([]byte{7}, 16), []byte("kek")))
}

func TestAuthenticatedReport(t *testing.T) {
	key := newSecret(t, 1, "k")
	raw := must[[]byte](t)(AuthenticateReport(failureReport(), key))
	for name, data := range map[string][]byte{"tagged": raw, "untagged": raw[1:]} {
		opened, err := OpenReport(data)
		if err != nil || !opened.Protected() || !opened.MACed() || opened.Encrypted() {
			t.Fatalf("%s: %+v, %v", name, opened, err)
		}
		if r, err := opened.VerifyMAC(key); err != nil || !reflect.DeepEqual(r, failureReport()) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if _, err := opened.VerifyMAC(newSecret(t, 2, "k")); !errors.Is(err, cosekit.ErrMAC) {
			t.Errorf("%s: another key: %v", name, err)
		}
		if _, err := opened.Verify(newSigner(t, cosekit.ESP256).PublicKey(), false); !errors.Is(err, ErrUnprotected) {
			t.Errorf("%s: as a signature: %v", name, err)
		}
		if k, err := opened.Key(); k != nil || err != nil {
			t.Errorf("%s: key of a MAC: %v, %v", name, k, err)
		}
	}
	signed := must[*SignedReport](t)(OpenReport(must[[]byte](t)(SignReport(successReport(), newSigner(t, cosekit.Ed25519)))))
	if _, err := signed.VerifyMAC(key); !errors.Is(err, ErrUnprotected) {
		t.Errorf("a signature as a MAC: %v", err)
	}
	for i := range raw {
		spoilt := bytes.Clone(raw)
		spoilt[i] ^= 0x01
		if o, err := OpenReport(spoilt); err == nil {
			if r, err := o.VerifyMAC(key); err == nil && !reflect.DeepEqual(r, failureReport()) {
				t.Fatalf("byte %d: another report verifies", i)
			}
		}
	}
}

func TestEncryptedReport(t *testing.T) {
	s, tam := newSigner(t, cosekit.ESP256), must[cosekit.AgreementKey](t)(cosekit.GenerateAgreementKey())
	own := cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{tam}}
	for _, alg := range []cosekit.Algorithm{cosekit.A128CTR, cosekit.A128GCM, cosekit.ChaCha20Poly1305} {
		e := cosekit.Encryption{Content: alg, Context: cosekit.PayloadEncryption, Recipients: []cosekit.Recipient{tam.PublicKey()}}
		raw := must[[]byte](t)(SignEncryptedReport(failureReport(), e, s))
		if bytes.Contains(raw, failureReport().Nonce) {
			t.Error("the nonce can be read")
		}
		opened, err := OpenReport(raw)
		if err != nil || !opened.Protected() || !opened.Encrypted() {
			t.Fatalf("%+v, %v", opened, err)
		}
		if _, err := opened.Verify(s.PublicKey(), false); !errors.Is(err, ErrEncrypted) {
			t.Errorf("without a key: %v", err)
		}
		if _, err := opened.Unverified(); !errors.Is(err, ErrEncrypted) {
			t.Errorf("without a key, unverified: %v", err)
		}
		opened = opened.WithKeys(own)
		if r, err := opened.Verify(s.PublicKey(), false); err != nil || !reflect.DeepEqual(r, failureReport()) {
			t.Errorf("%s: %+v, %v", cosekit.AlgorithmName(alg), r, err)
		}
		if r, err := opened.Unverified(); err != nil || !reflect.DeepEqual(r, failureReport()) {
			t.Errorf("%s, unverified: %+v, %v", cosekit.AlgorithmName(alg), r, err)
		}
		if _, err := opened.Verify(newSigner(t, cosekit.ESP256).PublicKey(), false); !errors.Is(err, cosekit.ErrSignature) {
			t.Errorf("another signer: %v", err)
		}
		other := cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{must[cosekit.AgreementKey](t)(cosekit.GenerateAgreementKey())}}
		if r, err := opened.WithKeys(other).Verify(s.PublicKey(), false); err == nil {
			t.Errorf("another TAM reads %+v", r)
		}
	}
}

// What is encrypted for another purpose is no report, and a report may be the content
// of a byte string.
func TestEncryptedReportContent(t *testing.T) {
	tam := must[cosekit.AgreementKey](t)(cosekit.GenerateAgreementKey())
	keys := cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{tam}, Secrets: []*cosekit.SecretKey{kek(t)}}
	plaintext := must[[]byte](t)(successReport().Encode())
	sealed := func(to cosekit.Recipient, context cosekit.KDFContext, plaintext []byte) *SignedReport {
		e := cosekit.Encryption{Content: cosekit.A128GCM, Context: context, Recipients: []cosekit.Recipient{to}}
		return must[*SignedReport](t)(OpenReport(must[[]byte](t)(e.Seal(plaintext)))).WithKeys(keys)
	}
	for name, o := range map[string]*SignedReport{
		"bare":      sealed(tam.PublicKey(), cosekit.ReportEncryption, plaintext),
		"in a bstr": sealed(tam.PublicKey(), cosekit.ReportEncryption, wrap(plaintext)),
		"key wrap":  sealed(kek(t), cosekit.ReportEncryption, plaintext),
	} {
		if o.Protected() || !o.Encrypted() {
			t.Errorf("%s: protected %v, encrypted %v", name, o.Protected(), o.Encrypted())
		}
		if r, err := o.Unverified(); err != nil || !reflect.DeepEqual(r, successReport()) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if _, err := o.Verify(nil, false); !errors.Is(err, ErrUnprotected) {
			t.Errorf("%s: verified: %v", name, err)
		}
	}
	if r, err := sealed(tam.PublicKey(), cosekit.EATEncryption, plaintext).Unverified(); err == nil {
		t.Errorf("evidence is read as %+v", r)
	}
	for _, content := range [][]byte{{}, {0xff}, wrap("x"), wrap(wrap(plaintext)), append(plaintext[:len(plaintext):len(plaintext)], 0)} {
		if _, err := sealed(kek(t), cosekit.ReportEncryption, content).Unverified(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", content, err)
		}
	}
}
