package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// hardware is the Trust of tests of hardware evidence.
type hardware struct {
	registry
	authorities []*x509.Certificate
	base        *corim.Base
}

func (h hardware) DeviceCAs(context.Context, anchor.Format) ([]*x509.Certificate, error) {
	return h.authorities, h.fault
}
func (h hardware) References(context.Context) (*corim.Base, error) { return h.base, h.fault }
func (h hardware) verifier() *Verifier {
	return New(h, Options{Clock: func() time.Time { return now }})
}
func (h *hardware) say(t testing.TB, refs ...corim.Reference) { h.base = referenceBase(t, refs) }
func (h *hardware) endorse(t testing.TB, keys ...corim.AttestKey) {
	h.base = referenceBase(t, nil, keys...)
}
func digestOf(algorithm string, value []byte) []corim.Digest {
	return []corim.Digest{{Algorithm: algorithm, Value: value}}
}

// register makes the keys registered attestation keys.
func (h *hardware) register(t testing.TB, keys ...crypto.PublicKey) {
	t.Helper()
	var anchors []anchor.Anchor
	for _, key := range keys {
		public, err := cosekit.NewPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		anchors = append(anchors, anchor.Anchor{Key: public, Purposes: []anchor.Purpose{anchor.Attester}, Constraints: anchor.Constraints{Formats: anchor.Formats()}})
	}
	var err error
	if h.store, err = anchor.NewStore(anchors...); err != nil {
		t.Fatal(err)
	}
}

// referenceBase takes reference values through a file, as an operator does.
func referenceBase(t testing.TB, refs []corim.Reference, keys ...corim.AttestKey) *corim.Base {
	t.Helper()
	raw, err := (&corim.Unsigned{ID: "references", Version: 3, References: refs, Keys: keys}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	file, err := corim.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	base, err := corim.NewBase([]*corim.File{file}, now)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// authority is a CA of tests.
type authority struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	ca := &authority{key: newKey(t, elliptic.P256())}
	ca.certificate = ca.sign(t, ca.key.Public(), func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.KeyUsage = pkix.Name{CommonName: name}, true, x509.KeyUsageCertSign
	})
	return ca
}

// sign issues a certificate for a key, valid for an hour before and after now.
func (ca *authority) sign(t testing.TB, key crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leaf"}, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(template)
	}
	parent := ca.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pcrReferences are the values that the PCRs have now.
func pcrReferences(tpm *localtest.TPM) []corim.Reference {
	var refs []corim.Reference
	for pcr, value := range tpm.PCRs {
		refs = append(refs, corim.Reference{
			Environment: corim.Environment{ClassID: ClassTPM}, Key: string(rune('0' + pcr)),
			Digests: digestOf("sha-256", value),
		})
	}
	return refs
}

func tpmEvidence(t testing.TB, tpm *localtest.TPM, nonce []byte) attest.Evidence {
	t.Helper()
	q, err := tpm.Quote(nonce)
	if err != nil {
		t.Fatal(err)
	}
	return quoteEvidence(t, q)
}

func quoteEvidence(t testing.TB, q evidence.TPMEvidence) attest.Evidence {
	t.Helper()
	payload, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Format: evidence.MediaTPM, Payload: payload, Challenge: challenge}
}

func appraised(t testing.TB, h hardware, e attest.Evidence) *attest.Result {
	t.Helper()
	r, err := h.verifier().Appraise(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	checkVector(t, r)
	return r
}

// checkVector wants every element to say why it has its value.
func checkVector(t testing.TB, r *attest.Result) {
	t.Helper()
	if len(r.Vector) != len(attest.ElementNames) {
		t.Errorf("%d elements", len(r.Vector))
	}
	for _, e := range r.Vector {
		if e.Reason == "" {
			t.Errorf("%s is %d without a reason", e.Name, e.Value)
		}
	}
	if (r.Claims == nil) != (r.Document == nil) {
		t.Errorf("claims %v beside document %v", r.Claims, r.Document)
	}
}

func valueOf(r *attest.Result, element string) int8 {
	for _, e := range r.Vector {
		if e.Name == element {
			return e.Value
		}
	}
	return 1
}

func wantValues(t testing.TB, r *attest.Result, want map[string]int8) {
	t.Helper()
	for _, e := range r.Vector {
		if e.Value != want[e.Name] {
			t.Errorf("%s is %d (%s), want %d", e.Name, e.Value, e.Reason, want[e.Name])
		}
	}
}

func TestTPM(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t, "device CA")
	certified := func(key crypto.Signer, usages ...asn1.ObjectIdentifier) func(t *testing.T, tpm *localtest.TPM, h *hardware) {
		return func(t *testing.T, tpm *localtest.TPM, h *hardware) {
			leaf := ca.sign(t, key.Public(), func(c *x509.Certificate) {
				c.UnknownExtKeyUsage = usages
				c.Subject.SerialNumber = hex.EncodeToString(ueid)
			})
			tpm.Chain, h.authorities = [][]byte{leaf.Raw}, []*x509.Certificate{ca.certificate}
		}
	}
	p256, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	for _, test := range []struct {
		name     string
		key      crypto.Signer
		trust    func(t *testing.T, tpm *localtest.TPM, h *hardware)
		hardware int8
		ueid     []byte
	}{
		{"registered", p256, func(t *testing.T, _ *localtest.TPM, h *hardware) { h.register(t, p256.Public()) }, 0, nil},
		{"certified", p256, certified(p256, oidAttestationKey), genuine, ueid},
		{"certified for something", p256, certified(p256), 0, ueid},
		{"certified P-384", p384, certified(p384, oidAttestationKey), genuine, ueid},
		{"certified RSASSA", rsaKey, certified(rsaKey, oidAttestationKey), genuine, ueid},
		{"certified RSAPSS", rsaKey, func(t *testing.T, tpm *localtest.TPM, h *hardware) {
			certified(rsaKey, oidAttestationKey)(t, tpm, h)
			tpm.PSS = true
		}, genuine, ueid},
		{"endorsed", p256, func(t *testing.T, _ *localtest.TPM, h *hardware) {
			key := keyThumbprint(t, p256.Public())
			h.endorse(t, corim.AttestKey{
				Environment: corim.Environment{ClassID: ClassTPM, Instance: corim.ID{Kind: corim.KindBytes, Value: key[:]}},
				Public:      p256.Public(),
			})
		}, genuine, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tpm, h := localtest.NewTPM(test.key), &hardware{}
			test.trust(t, tpm, h)
			r := appraised(t, *h, tpmEvidence(t, tpm, challenge))
			wantValues(t, r, map[string]int8{attest.InstanceIdentity: recognized, attest.Hardware: test.hardware})
			if err := r.Affirmed(); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(r.Claims.Nonce, challenge) || !bytes.Equal(r.Claims.UEID, test.ueid) {
				t.Errorf("claims %+v", r.Claims)
			}
			if r.AttestationKey != keyThumbprint(t, test.key.Public()) {
				t.Errorf("attestation key %s", r.AttestationKey)
			}
			if len(r.Comparisons) != 3 || r.Comparisons[0].Match || r.Comparisons[0].Expected != nil {
				t.Errorf("comparisons without reference values: %+v", r.Comparisons)
			}
		})
	}
}

func keyThumbprint(t testing.TB, key crypto.PublicKey) cosekit.Thumbprint {
	t.Helper()
	th, err := thumbprint(key)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

// registeredTPM is a TPM with a registered key and reference values for its PCRs.
func registeredTPM(t testing.TB) (*localtest.TPM, *hardware) {
	t.Helper()
	tpm, h := localtest.NewTPM(newKey(t, elliptic.P256())), &hardware{}
	h.register(t, tpm.Key.Public())
	h.say(t, pcrReferences(tpm)...)
	return tpm, h
}

func TestTPMReferences(t *testing.T) {
	tpm, h := registeredTPM(t)
	r := appraised(t, *h, tpmEvidence(t, tpm, challenge))
	wantValues(t, r, map[string]int8{
		attest.InstanceIdentity: recognized, attest.Executables: approvedAtBoot, attest.Configuration: approved,
	})
	for _, c := range r.Comparisons {
		if !c.Match || c.Expected[0] != c.Measured || c.Source != "references@3" {
			t.Errorf("comparison %+v", c)
		}
	}

	was := hex.EncodeToString(tpm.PCRs[4])
	extended := sha256.Sum256(append(bytes.Clone(tpm.PCRs[4]), make([]byte, 32)...))
	tpm.PCRs[4] = extended[:]
	r = appraised(t, *h, tpmEvidence(t, tpm, challenge))
	if valueOf(r, attest.Executables) != contraindicated || valueOf(r, attest.Configuration) != approved || r.Affirmed() == nil {
		t.Errorf("after PCR 4 was extended: %+v", r.Vector)
	}
	if is := hex.EncodeToString(extended[:]); !strings.Contains(r.Reason(), "PCR 4 is "+is+", expected "+was) {
		t.Errorf("the reason %q does not name the PCR with both values", r.Reason())
	}

	delete(tpm.PCRs, 7)
	r = appraised(t, *h, tpmEvidence(t, tpm, challenge))
	if valueOf(r, attest.Configuration) != unseenConfig {
		t.Errorf("PCR 7 left out: %+v", r.Vector)
	}
}

func TestTPMOtherReferences(t *testing.T) {
	class := corim.Environment{ClassID: ClassTPM}
	three := uint64(0x20240102)
	for _, test := range []struct {
		name, element string
		ref           corim.Reference
		value         int8
	}{
		{"another bank", attest.Executables, corim.Reference{Environment: class, Key: "4", Digests: digestOf("sha-384", make([]byte, 48))}, unrecognized},
		{"spelled pcr/4", attest.Executables, corim.Reference{Environment: class, Key: "pcr/4", Digests: digestOf("sha-256", make([]byte, 32))}, contraindicated},
		{"endorsed value", attest.Executables, corim.Reference{Environment: class, Key: "4", Endorsed: true, Digests: digestOf("sha-256", make([]byte, 32))}, 0},
		{"another class", attest.Executables, corim.Reference{
			Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindBytes, Value: []byte{1}}}, Key: "4", Digests: digestOf("sha-256", make([]byte, 32)),
		}, 0},
		{"not quoted", attest.Executables, corim.Reference{Environment: class, Key: "8", Digests: digestOf("sha-256", make([]byte, 32))}, unrecognized},
		{"firmware too old", attest.Hardware, corim.Reference{Environment: class, Key: "firmware-version", MinSVN: &three}, contraindicated},
		{"firmware another", attest.Hardware, corim.Reference{Environment: class, Key: "firmware-version", SVN: &three}, contraindicated},
	} {
		t.Run(test.name, func(t *testing.T) {
			tpm, h := registeredTPM(t)
			h.say(t, test.ref)
			r := appraised(t, *h, tpmEvidence(t, tpm, challenge))
			if got := valueOf(r, test.element); got != test.value {
				t.Errorf("%s is %d, want %d: %+v", test.element, got, test.value, r.Vector)
			}
		})
	}
}

// TestTPMAlternatives has two values for one PCR, each of which is good.
func TestTPMAlternatives(t *testing.T) {
	tpm, h := registeredTPM(t)
	refs := pcrReferences(tpm)
	for _, ref := range pcrReferences(tpm) {
		ref.Digests = digestOf("sha-256", make([]byte, 32))
		refs = append(refs, ref)
	}
	h.say(t, refs...)
	if r := appraised(t, *h, tpmEvidence(t, tpm, challenge)); r.Affirmed() != nil || valueOf(r, attest.Executables) != approvedAtBoot {
		t.Errorf("%s: %+v", r.Reason(), r.Vector)
	}
}

func TestTPMRefused(t *testing.T) {
	ca, stranger := newAuthority(t, "device CA"), newAuthority(t, "device CA")
	certify := func(by *authority, change ...func(*x509.Certificate)) func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
		return func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
			h.register(t)
			h.authorities = []*x509.Certificate{ca.certificate}
			tpm.Chain = [][]byte{by.sign(t, tpm.Key.Public(), change...).Raw}
			return tpmEvidence(t, tpm, challenge)
		}
	}
	nonce := func(nonce []byte) func(*testing.T, *localtest.TPM, *hardware) attest.Evidence {
		return func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence { return tpmEvidence(t, tpm, nonce) }
	}
	attributes := func(change func(*tpm2.TPMAObject)) func(*testing.T, *localtest.TPM, *hardware) attest.Evidence {
		return func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
			change(&tpm.Attributes)
			return tpmEvidence(t, tpm, challenge)
		}
	}
	for _, test := range []struct {
		name, reason string
		value        int8 // of instance-identity
		claims       bool
		make         func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence
	}{
		{"wrong signer", "not registered", notRecognized, false, func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
			tpm.Key = newKey(t, elliptic.P256())
			return tpmEvidence(t, tpm, challenge)
		}},
		{"key of another device in front", "signature of the quote", notGenuine, false, func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
			q, err := localtest.NewTPM(newKey(t, elliptic.P256())).Quote(challenge)
			if err != nil {
				t.Fatal(err)
			}
			own, err := tpm.Quote(challenge)
			if err != nil {
				t.Fatal(err)
			}
			q.AK = own.AK
			return quoteEvidence(t, q)
		}},
		{"certificate of another key", "names another attestation key", notGenuine, false, func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
			h.register(t)
			h.authorities = []*x509.Certificate{ca.certificate}
			tpm.Chain = [][]byte{ca.sign(t, newKey(t, elliptic.P256()).Public()).Raw}
			return tpmEvidence(t, tpm, challenge)
		}},
		{"certificate by a stranger", "certificate chain", notRecognized, false, certify(stranger)},
		{"certificate expired", "expired", notRecognized, false, certify(ca, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })},
		{"certificate not yet valid", "not yet valid", notRecognized, false, certify(ca, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) })},
		{"certificate is no certificate", "certificate 0", notRecognized, false, func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
			h.register(t)
			h.authorities = []*x509.Certificate{ca.certificate}
			tpm.Chain = [][]byte{{0x30, 0}}
			return tpmEvidence(t, tpm, challenge)
		}},
		{"trust has ended", "has ended", notTrustworthy, false, func(t *testing.T, tpm *localtest.TPM, h *hardware) attest.Evidence {
			public, err := cosekit.NewPublicKey(tpm.Key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if h.store, err = anchor.NewStore(anchor.Anchor{
				Key: public, Purposes: []anchor.Purpose{anchor.Attester}, NotAfter: now.Add(-time.Second), Constraints: anchor.Constraints{Formats: anchor.Formats()},
			}); err != nil {
				t.Fatal(err)
			}
			return tpmEvidence(t, tpm, challenge)
		}},
		{"wrong nonce", "nonce is not our challenge", notAcceptable, true, nonce(bytes.Repeat([]byte{1}, 32))},
		{"nonce with more behind", "nonce is not our challenge", notAcceptable, true, nonce(append(bytes.Clone(challenge), 0))},
		{"no nonce", "nonce is not our challenge", notAcceptable, true, nonce(nil)},
		{"no challenge", "not fresh", notAcceptable, true, func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
			e := tpmEvidence(t, tpm, challenge)
			e.Challenge = nil
			return e
		}},
		{"quote changed", "signature of the quote", notGenuine, false, func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
			q, err := tpm.Quote(challenge)
			if err != nil {
				t.Fatal(err)
			}
			q.Attest = bytes.Replace(q.Attest, challenge, bytes.Repeat([]byte{2}, 32), 1)
			return quoteEvidence(t, q)
		}},
		{"values not those quoted", "not those that were quoted", notGenuine, false, func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
			q, err := tpm.Quote(challenge)
			if err != nil {
				t.Fatal(err)
			}
			q.PCRs[4] = make([]byte, 32)
			return quoteEvidence(t, q)
		}},
		{"key not restricted", "restricted false", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.Restricted = false })},
		{"key not for signing", "sign false", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.SignEncrypt = false })},
		{"key for decryption", "decrypt true", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.Decrypt = true })},
		{"key may move", "fixedTPM false", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.FixedTPM = false })},
		{"key may change its parent", "fixedParent false", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.FixedParent = false })},
		{"key imported", "sensitiveDataOrigin false", notTrustworthy, false, attributes(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false })},
		{"RSA signature by an EC key", "wants ECDSA", notGenuine, false, resigned(tpm2.TPMTSignature{
			SigAlg: tpm2.TPMAlgRSASSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSASSA, &tpm2.TPMSSignatureRSA{
				Hash: tpm2.TPMAlgSHA256, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 256)},
			}),
		})},
		{"HMAC with the public key", "wants ECDSA", notGenuine, false, resigned(tpm2.TPMTSignature{
			SigAlg: tpm2.TPMAlgHMAC, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgHMAC, &tpm2.TPMTHA{
				HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32),
			}),
		})},
		{"SHA-1", "hash algorithm", notGenuine, false, resigned(tpm2.TPMTSignature{
			SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
				Hash: tpm2.TPMAlgSHA1, SignatureR: tpm2.TPM2BECCParameter{Buffer: []byte{1}}, SignatureS: tpm2.TPM2BECCParameter{Buffer: []byte{1}},
			}),
		})},
		{"signature of zeros", "signature of the quote", notGenuine, false, resigned(tpm2.TPMTSignature{
			SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256}),
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			tpm, h := registeredTPM(t)
			r := appraised(t, *h, test.make(t, tpm, h))
			if got := valueOf(r, attest.InstanceIdentity); got != test.value || !strings.Contains(r.Reason(), test.reason) {
				t.Errorf("instance-identity %d, %q; want %d with %q", got, r.Reason(), test.value, test.reason)
			}
			if r.Status != attest.Contraindicated || r.Affirmed() == nil || (r.Claims != nil) != test.claims {
				t.Errorf("%s with claims %+v", r.Status, r.Claims)
			}
		})
	}
}

func resigned(s tpm2.TPMTSignature) func(*testing.T, *localtest.TPM, *hardware) attest.Evidence {
	return func(t *testing.T, tpm *localtest.TPM, _ *hardware) attest.Evidence {
		q, err := tpm.Quote(challenge)
		if err != nil {
			t.Fatal(err)
		}
		q.Signature = tpm2.Marshal(s)
		return quoteEvidence(t, q)
	}
}

func TestTPMErrors(t *testing.T) {
	tpm, h := registeredTPM(t)
	good := tpmEvidence(t, tpm, challenge)
	h.fault = errBroken
	if r, err := h.verifier().Appraise(context.Background(), good); !errors.Is(err, errBroken) || r != nil {
		t.Errorf("trust cannot be looked up: %+v, %v", r, err)
	}
	h.fault = nil
	good.Payload = good.Payload[:len(good.Payload)-1]
	if r, err := h.verifier().Appraise(context.Background(), good); !errors.Is(err, attest.ErrToken) || r != nil {
		t.Errorf("truncated: %+v, %v", r, err)
	}
}

// TestTPMBytes changes each byte of a good quote: none leads to an affirmation with other
// claims.
func TestTPMBytes(t *testing.T) {
	tpm, h := registeredTPM(t)
	good := tpmEvidence(t, tpm, challenge)
	v := h.verifier()
	for i := range good.Payload {
		spoilt := good
		spoilt.Payload = bytes.Clone(good.Payload)
		spoilt.Payload[i] ^= 0x01
		// What the key says of itself is not signed; see appraiseTPM.
		if r, err := v.Appraise(context.Background(), spoilt); err == nil && r.Affirmed() == nil && !harmless(t, good.Payload, spoilt.Payload) {
			t.Errorf("byte %d changed and affirmed", i)
		}
	}
}

// harmless reports whether two quotes differ only in what nobody signs and nothing is
// concluded from.
func harmless(t *testing.T, a, b []byte) bool {
	t.Helper()
	p, err := evidence.ParseTPMQuote(a)
	if err != nil {
		t.Fatal(err)
	}
	q, err := evidence.ParseTPMQuote(b)
	return err == nil && bytes.Equal(p.Attest, q.Attest) && sameKey(p.Key, q.Key)
}

func FuzzAppraiseTPM(f *testing.F) {
	tpm, h := registeredTPM(f)
	good := tpmEvidence(f, tpm, challenge)
	v := h.verifier()
	f.Add(good.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := good
		e.Payload = payload
		r, err := v.Appraise(context.Background(), e)
		if err != nil {
			return
		}
		checkVector(t, r)
		if r.Affirmed() == nil && !harmless(t, good.Payload, payload) {
			t.Fatalf("affirmed %x", payload)
		}
	})
}

func BenchmarkTPM(b *testing.B) {
	tpm, h := registeredTPM(b)
	good := tpmEvidence(b, tpm, challenge)
	v := h.verifier()
	b.Run("appraisal", func(b *testing.B) {
		for b.Loop() {
			if r, err := v.Appraise(context.Background(), good); err != nil || r.Affirmed() != nil {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		q, err := evidence.ParseTPMQuote(good.Payload)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := checkTPMSignature(q.Signed, q.Key, q.Attest); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestClasses holds the class ids against what operators write for them.
func TestClasses(t *testing.T) {
	for text, id := range map[string]corim.ID{
		"oid:2.23.133.1.2": ClassTPM, "oid:1.3.6.1.4.1.3704.3.1": ClassSNPByChip, "oid:1.3.6.1.4.1.3704.3.2": ClassSNPByProvider,
	} {
		if written, err := corim.ParseID(text); err != nil || !written.Equal(id) {
			t.Errorf("%s is %+v (%v), want %+v", text, written, err, id)
		}
	}
}
