package evidence_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var nonce32 = bytes.Repeat([]byte{0x5a}, 32)

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func quote(t testing.TB, tpm *localtest.TPM) evidence.TPMEvidence {
	t.Helper()
	q, err := tpm.Quote(nonce32)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func encoded(t testing.TB, e interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadTPM(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{
		"P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "RSA": rsaKey,
	} {
		t.Run(name, func(t *testing.T) {
			tpm := localtest.NewTPM(key)
			tpm.Chain = [][]byte{{1, 2}, {3}}
			e := quote(t, tpm)
			e.EventLog = []byte("log")
			payload := encoded(t, e)
			q, err := evidence.ParseTPMQuote(payload)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(q.TPMEvidence, e) || !slices.Equal(q.Selection, []int{0, 4, 7}) || q.Bank != crypto.SHA256 {
				t.Errorf("decoded %+v", q)
			}
			if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(q.Key) {
				t.Errorf("key %v", q.Key)
			}
			if again := encoded(t, q.TPMEvidence); !bytes.Equal(again, payload) {
				t.Errorf("encoded again %x", again)
			}
			r, err := evidence.Read(evidence.MediaTPM, payload)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.Claims.Nonce, nonce32) || r.Claims.UEID != nil || r.Document()["tpm-pcr-bank"] != "sha-256" {
				t.Errorf("read %+v", r)
			}
		})
	}
}

func TestReadTPMWithoutNonce(t *testing.T) {
	tpm := localtest.NewTPM(ecKey(t, elliptic.P256()))
	q, err := tpm.Quote(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := evidence.Read(evidence.MediaTPM, encoded(t, q))
	if err != nil || r.Claims.Nonce != nil {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestReadTPMRefuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skipf("this build makes no short RSA keys: %v", err)
	}
	key := ecKey(t, elliptic.P256())
	good := encoded(t, quote(t, localtest.NewTPM(key)))
	// change spoils the parts of a good quote.
	change := func(f func(*evidence.TPMEvidence)) []byte {
		e := quote(t, localtest.NewTPM(key))
		f(&e)
		return encoded(t, e)
	}
	// spoil changes what the TPM signs.
	spoil := func(f func(*tpm2.TPMSAttest)) []byte {
		tpm := localtest.NewTPM(key)
		tpm.Spoil = f
		return encoded(t, quote(t, tpm))
	}
	info := func(f func(*tpm2.TPMSQuoteInfo)) []byte {
		return spoil(func(a *tpm2.TPMSAttest) {
			i, err := a.Attested.Quote()
			if err != nil {
				t.Fatal(err)
			}
			f(i)
		})
	}
	sha1 := localtest.NewTPM(key)
	sha1.Bank, sha1.PCRs = crypto.SHA1, map[int][]byte{0: make([]byte, 20)}
	for _, test := range []struct {
		name, reason string
		payload      []byte
	}{
		{"nothing", "truncated", nil},
		{"oversize", "at most", make([]byte, attest.MaxTokenSize+1)},
		{"an array", "not a map", []byte{0x80}},
		{"an empty map", "are required", []byte{0xa0}},
		{"duplicate members", "duplicate", []byte{0xa2, 1, 0x41, 0, 1, 0x41, 0}},
		{"unknown member", "not a member", []byte{0xa1, 7, 0x41, 0}},
		{"text as label", "label", []byte{0xa1, 0x61, 'a', 0x41, 0}},
		{"trailing byte", "behind the end", append(bytes.Clone(good), 0)},
		{"empty member", "want 1 to", []byte{0xa1, 1, 0x40}},
		{"bytes behind TPMS_ATTEST", "not encoded as", change(func(e *evidence.TPMEvidence) { e.Attest = append(e.Attest, 0) })},
		{"cut TPMS_ATTEST", "TPMS_ATTEST", change(func(e *evidence.TPMEvidence) { e.Attest = e.Attest[:20] })},
		{"huge TPMS_ATTEST", "want 1 to 4096", change(func(e *evidence.TPMEvidence) { e.Attest = make([]byte, 4097) })},
		{"another magic", "TPMS_ATTEST", change(func(e *evidence.TPMEvidence) { e.Attest[0] ^= 1 })},
		{"not a quote", "want a quote", spoil(func(a *tpm2.TPMSAttest) {
			a.Type = tpm2.TPMSTAttestTime
			a.Attested = tpm2.NewTPMUAttest(tpm2.TPMSTAttestTime, &tpm2.TPMSTimeAttestInfo{})
		})},
		{"no bank", "of 0 PCR banks", info(func(i *tpm2.TPMSQuoteInfo) { i.PCRSelect.PCRSelections = nil })},
		{"two banks", "of 2 PCR banks", info(func(i *tpm2.TPMSQuoteInfo) {
			i.PCRSelect.PCRSelections = append(i.PCRSelect.PCRSelections, i.PCRSelect.PCRSelections[0])
		})},
		{"SHA-1", "want SHA-256 or SHA-384", encoded(t, quote(t, sha1))},
		{"cut signature", "TPMT_SIGNATURE", change(func(e *evidence.TPMEvidence) { e.Signature = e.Signature[:8] })},
		{"cut key", "TPMT_PUBLIC", change(func(e *evidence.TPMEvidence) { e.AK = e.AK[:30] })},
		{"point beside the curve", "attestation key", change(func(e *evidence.TPMEvidence) { e.AK[len(e.AK)-1] ^= 1 })},
		{"curve P-521", "another curve", encoded(t, quote(t, p521(t)))},
		{"short RSA key", "1024 bits", encoded(t, quote(t, localtest.NewTPM(weak)))},
		{"value of a PCR missing", "PCR 7 was quoted", change(func(e *evidence.TPMEvidence) { delete(e.PCRs, 7) })},
		{"value of another PCR", "PCR 9 has a value", change(func(e *evidence.TPMEvidence) { e.PCRs[9] = make([]byte, 32) })},
		{"short value", "31 bytes", change(func(e *evidence.TPMEvidence) { e.PCRs[7] = make([]byte, 31) })},
		{"PCR 24", "from 0 to 23", change(func(e *evidence.TPMEvidence) { e.PCRs[24] = make([]byte, 32) })},
		{"no PCR", "no PCR", change(func(e *evidence.TPMEvidence) { e.PCRs = nil })},
		{"six certificates", "6 certificates", change(func(e *evidence.TPMEvidence) { e.Chain = slices.Repeat([][]byte{{1}}, 6) })},
		{"huge certificate", "want 1 to 8192", change(func(e *evidence.TPMEvidence) { e.Chain = [][]byte{make([]byte, 8193)} })},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := evidence.Read(evidence.MediaTPM, test.payload)
			if r != nil || !errors.Is(err, attest.ErrToken) && !errors.Is(err, attest.ErrTooLarge) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want a refusal with %q", err, test.reason)
			}
		})
	}
	for n := range good {
		if _, err := evidence.ParseTPMQuote(good[:n]); err == nil {
			t.Errorf("cut at %d is read", n)
		}
	}
}

// p521 is a TPM whose key claims to lie on a curve that is not read.
func p521(t *testing.T) *localtest.TPM {
	tpm := localtest.NewTPM(ecKey(t, elliptic.P256()))
	tpm.Curve = tpm2.TPMECCNistP521
	return tpm
}

func FuzzReadTPM(f *testing.F) {
	tpm := localtest.NewTPM(ecKey(f, elliptic.P256()))
	tpm.Chain = [][]byte{{1}}
	f.Add(encoded(f, quote(f, tpm)))
	f.Add(cosekit.MustMarshal(map[int]any{1: []byte{1}, 2: []byte{1}, 3: []byte{1}, 4: map[int][]byte{0: {1}}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		q, err := evidence.ParseTPMQuote(payload)
		if err != nil {
			return
		}
		again, err := evidence.ParseTPMQuote(encoded(t, q.TPMEvidence))
		if err != nil || !reflect.DeepEqual(again.TPMEvidence, q.TPMEvidence) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}

// TestHardwareDocuments stores documents and reads them back: they have the types of
// encoding/json.
func TestHardwareDocuments(t *testing.T) {
	tpm := quote(t, localtest.NewTPM(ecKey(t, elliptic.P256())))
	tpm.EventLog = []byte("log")
	for format, e := range map[string]interface{ Encode() ([]byte, error) }{
		evidence.MediaTPM: tpm, evidence.MediaSEVSNP: snpGuest().Report(nonce64), evidence.MediaTDX: trustDomain().Quote(nonce64),
	} {
		r, err := evidence.Read(format, encoded(t, e))
		if err != nil {
			t.Fatal(err)
		}
		stored, err := json.Marshal(r.Document())
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.Unmarshal(stored, &back); err != nil || !reflect.DeepEqual(back, r.Document()) {
			t.Errorf("%s: stored %v (%v), was %v", format, back, err, r.Document())
		}
	}
}
