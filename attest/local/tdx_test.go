package local

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	tdxtest "github.com/google/go-tdx-guest/testing/testdata"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

// domain is a trust domain, and a verifier that trusts the maker of its machine.
type domain struct {
	hardware
	intel *localtest.Maker
	guest *localtest.TDX
	at    time.Time
	roots []*x509.Certificate
}

func newDomain(t testing.TB) *domain {
	t.Helper()
	d := &domain{intel: localtest.NewMaker("Intel", now), at: now}
	d.guest = localtest.NewTDX(d.intel, "platform")
	d.roots = []*x509.Certificate{d.intel.Root}
	d.say(t, d.references()...)
	return d
}

var tdxClass = corim.Environment{Vendor: VendorTDX, Model: ModelTDX}

// references are those of the guest as it is, and of a TCB that is not too old.
func (d *domain) references() []corim.Reference { return tdxReferences(d.guest.MRTD, d.guest.RTMR, 3) }

func tdxReferences(mrtd []byte, rtmr [4][]byte, module uint64) []corim.Reference {
	refs := []corim.Reference{
		{Environment: tdxClass, Key: "mrtd", Digests: digestOf("sha-384", mrtd)},
		{Environment: tdxClass, Key: "tdx-module", MinSVN: &module},
	}
	for i, value := range rtmr {
		refs = append(refs, corim.Reference{Environment: tdxClass, Key: fmt.Sprintf("rtmr%d", i), Digests: digestOf("sha-384", value)})
	}
	return refs
}

func (d *domain) verifier() *Verifier {
	return New(d.hardware, Options{Clock: func() time.Time { return d.at }, Vendors: VendorRoots{Intel: d.roots}})
}

func tdxEvidence(t testing.TB, quote []byte) attest.Evidence {
	t.Helper()
	payload, err := evidence.TDXEvidence{Quote: quote}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Format: evidence.MediaTDX, Payload: payload, Challenge: challenge64}
}

func (d *domain) appraise(t testing.TB, quote []byte) *attest.Result {
	t.Helper()
	r, err := d.verifier().Appraise(context.Background(), tdxEvidence(t, quote))
	if err != nil {
		t.Fatal(err)
	}
	checkVector(t, r)
	return r
}

// genuineDomain is the vector of a trust domain all of whose registers have reference values.
var genuineDomain = map[string]int8{
	attest.InstanceIdentity: recognized, attest.Configuration: approved, attest.Executables: approvedAtBoot,
	attest.Hardware: genuine, attest.RuntimeOpaque: secretsProtected,
}

func TestTDX(t *testing.T) {
	d := newDomain(t)
	r := d.appraise(t, d.guest.Quote(challenge64).Quote)
	wantValues(t, r, genuineDomain)
	if err := r.Affirmed(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(r.Claims.Nonce, challenge64) || r.AttestationKey != sha256.Sum256(d.guest.PPID) {
		t.Errorf("claims %+v of %s", r.Claims, r.AttestationKey)
	}
	if len(r.Comparisons) != 6 {
		t.Errorf("comparisons %+v", r.Comparisons)
	}
	for _, c := range r.Comparisons {
		if !c.Match || c.Source != "references@3" {
			t.Errorf("comparison %+v", c)
		}
	}
	// Another quoting enclave, another certificate: the same platform.
	before := r.AttestationKey
	d.guest.Key, d.guest.Platform = newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	d.guest.Certify()
	if r = d.appraise(t, d.guest.Quote(challenge64).Quote); r.Affirmed() != nil || r.AttestationKey != before {
		t.Errorf("after a recovery of the TCB: %q, %s", r.Reason(), r.AttestationKey)
	}
}

func TestTDXRefused(t *testing.T) {
	const report = 48 + 520
	for _, test := range []struct {
		name, reason, element string
		value                 int8
		claims                bool
		spoil                 func(t *testing.T, d *domain)
	}{
		{"stranger's maker", "neither known nor configured", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, d *domain) { d.roots = nil }},
		{"root of a namesake", "certificate chain", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, d *domain) {
			d.roots = []*x509.Certificate{localtest.NewMaker("Intel", now).Root}
		}},
		{"certificate expired", "expired", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, d *domain) { d.at = now.Add(2 * time.Hour) }},
		{"certificate not yet valid", "not yet valid", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, d *domain) { d.at = now.Add(-2 * time.Hour) }},
		{"key on P-384", "P-256", attest.InstanceIdentity, notRecognized, false, func(t *testing.T, d *domain) {
			d.guest.Chain[0] = d.intel.Certify("PCK", newKey(t, elliptic.P384()).Public(), func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, d.guest.Chain[0].Extensions[len(d.guest.Chain[0].Extensions)-1])
			})
		}},
		{"enclave on another platform", "signature of its report", attest.InstanceIdentity, notGenuine, false, func(t *testing.T, d *domain) {
			d.guest.Platform = newKey(t, elliptic.P256())
		}},
		{"enclave that vouches for another key", "another key", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, d *domain) {
			d.guest.SpoilEnclave = func(b []byte) { b[320] ^= 1 }
		}},
		{"more in the report data of the enclave", "another key", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, d *domain) {
			d.guest.SpoilEnclave = func(b []byte) { b[352] = 1 }
		}},
		{"enclave of somebody", "not by Intel", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, d *domain) {
			d.guest.SpoilEnclave = func(b []byte) { b[128] ^= 1 }
		}},
		{"another enclave of Intel", "product 1 of Intel", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, d *domain) {
			d.guest.SpoilEnclave = func(b []byte) { b[256] = 1 }
		}},
		{"enclave with debugging", "may be debugged", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, d *domain) {
			d.guest.SpoilEnclave = func(b []byte) { b[48] |= 2 }
		}},
		{"wrong nonce", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, d *domain) {
			d.guest.Spoil = func(b []byte) { b[report] ^= 1 }
		}},
		{"nonce of 32 bytes and zeros", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, d *domain) {
			d.guest.Spoil = func(b []byte) { clear(b[report+32 : report+64]) }
		}},
		{"no nonce", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, d *domain) {
			d.guest.Spoil = func(b []byte) { clear(b[report : report+64]) }
		}},
		{"debugging on", "let the host debug it", attest.Configuration, contraindicated, true, func(_ *testing.T, d *domain) { d.guest.Debug = true }},
		{"TDX module of somebody", "not signed by Intel", attest.Hardware, contraindicated, true, func(_ *testing.T, d *domain) {
			d.guest.Spoil = func(b []byte) { b[48+64] = 1 }
		}},
		{"TDX module for debugging", "not signed by Intel", attest.Hardware, contraindicated, true, func(_ *testing.T, d *domain) {
			d.guest.Spoil = func(b []byte) { b[48+112] = 1 }
		}},
		{"another MRTD", "MRTD is ", attest.Executables, contraindicated, true, func(_ *testing.T, d *domain) { d.guest.MRTD = make([]byte, 48) }},
		{"another RTMR 2", "RTMR 2 is ", attest.Executables, contraindicated, true, func(_ *testing.T, d *domain) { d.guest.RTMR[2] = make([]byte, 48) }},
		{"another RTMR 0", "RTMR 0 is ", attest.Configuration, contraindicated, true, func(_ *testing.T, d *domain) { d.guest.RTMR[0] = make([]byte, 48) }},
		{"MRTD not known", "knows the MRTD", attest.Executables, unrecognized, true, func(t *testing.T, d *domain) { d.say(t, d.references()[1:]...) }},
		{"TCB not known", "no reference value says whether", attest.Hardware, oldHardware, true, func(t *testing.T, d *domain) {
			d.say(t, append(d.references()[:1], d.references()[2:]...)...)
		}},
		{"TDX module too old", "SVN of the TDX module is 3, expected 4 or later", attest.Hardware, contraindicated, true, func(t *testing.T, d *domain) {
			d.say(t, tdxReferences(d.guest.MRTD, d.guest.RTMR, 4)...)
		}},
		{"attributes not wanted", "attributes of the trust domain is ", attest.Configuration, contraindicated, true, func(t *testing.T, d *domain) {
			d.say(t, append(d.references(), corim.Reference{
				Environment: tdxClass, Key: "tdattributes", Raw: make([]byte, 8), Mask: bytes.Repeat([]byte{0xff}, 8),
			})...)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDomain(t)
			test.spoil(t, d)
			r := d.appraise(t, d.guest.Quote(challenge64).Quote)
			if got := valueOf(r, test.element); got != test.value || !strings.Contains(r.Reason(), test.reason) {
				t.Errorf("%s is %d, %q; want %d with %q", test.element, got, r.Reason(), test.value, test.reason)
			}
			if r.Affirmed() == nil || (r.Claims != nil) != test.claims {
				t.Errorf("%s with claims %+v", r.Status, r.Claims)
			}
		})
	}
}

// TestTDXSigned changes bytes of the signed part: none verifies.
func TestTDXSigned(t *testing.T) {
	d := newDomain(t)
	good := d.guest.Quote(challenge64).Quote
	v := d.verifier()
	for i := 0; i < 48+584; i += 7 {
		spoilt := bytes.Clone(good)
		spoilt[i] ^= 0x20
		if r, err := v.Appraise(context.Background(), tdxEvidence(t, spoilt)); err == nil && r.Claims != nil {
			t.Errorf("byte %d changed and believed", i)
		}
	}
}

// TestPublishedTDX appraises a quote of a real machine of 2023, which the library ships.
func TestPublishedTDX(t *testing.T) {
	// Behind the quote stands a sentence of the one who published it.
	e := tdxEvidence(t, tdxtest.RawQuote)
	if _, err := evidence.ParseTDXQuote(e.Payload); err == nil {
		t.Error("the sentence behind the quote is overlooked")
	}
	e = tdxEvidence(t, tdxtest.RawQuote[:636+4299])
	q, err := evidence.ParseTDXQuote(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	e.Challenge = q.ReportData
	appraise := func(at time.Time, refs ...corim.Reference) *attest.Result {
		h := hardware{}
		h.say(t, refs...)
		r, err := New(h, Options{Clock: func() time.Time { return at }}).Appraise(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		checkVector(t, r)
		return r
	}
	in2023 := time.Date(2023, 7, 1, 0, 0, 0, 0, time.UTC)
	r := appraise(in2023, tdxReferences(q.MRTD, q.RTMR, 3)...)
	wantValues(t, r, genuineDomain)
	if ppid, _ := hex.DecodeString("089ddfdb9c0359c82a3bc7719239574e"); r.AttestationKey != sha256.Sum256(ppid) {
		t.Errorf("hardware %s", r.AttestationKey)
	}
	r = appraise(in2023, corim.Reference{Environment: tdxClass, Key: "rtmr3", Digests: digestOf("sha-384", q.RTMR[3])})
	want := maps.Clone(genuineDomain)
	want[attest.Configuration], want[attest.Executables], want[attest.Hardware] = noConfigClaim, unrecognized, oldHardware
	wantValues(t, r, want)
	for _, year := range []int{2020, 2030} {
		r := appraise(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), tdxReferences(q.MRTD, q.RTMR, 3)...)
		if r.Claims != nil || valueOf(r, attest.InstanceIdentity) != notRecognized {
			t.Errorf("in %d: %+v", year, r.Vector)
		}
	}
}

func FuzzAppraiseTDX(f *testing.F) {
	d := newDomain(f)
	good := tdxEvidence(f, d.guest.Quote(challenge64).Quote)
	v := d.verifier()
	f.Add(good.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := good
		e.Payload = payload
		r, err := v.Appraise(context.Background(), e)
		if err != nil {
			return
		}
		checkVector(t, r)
		if r.Affirmed() != nil {
			return
		}
		was, _ := evidence.ParseTDXQuote(good.Payload)
		is, _ := evidence.ParseTDXQuote(payload)
		if !bytes.Equal(was.Signed, is.Signed) {
			t.Fatalf("affirmed %x", payload)
		}
	})
}

func BenchmarkTDX(b *testing.B) {
	d := newDomain(b)
	good := tdxEvidence(b, d.guest.Quote(challenge64).Quote)
	v := d.verifier()
	b.Run("appraisal", func(b *testing.B) {
		for b.Loop() {
			if r, err := v.Appraise(context.Background(), good); err != nil || r.Affirmed() != nil {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("signatures", func(b *testing.B) {
		q, err := evidence.ParseTDXQuote(good.Payload)
		if err != nil {
			b.Fatal(err)
		}
		platform := d.guest.Chain[0].PublicKey.(*ecdsa.PublicKey)
		for b.Loop() {
			if d.guest.Chain[0].CheckSignatureFrom(d.guest.Chain[1]) != nil || d.guest.Chain[1].CheckSignatureFrom(d.guest.Chain[2]) != nil ||
				!verifySHA256(platform, q.Enclave, q.EnclaveR, q.EnclaveS) || !verifySHA256(q.Key, q.Signed, q.R, q.S) {
				b.Fatal("a signature is not good")
			}
		}
	})
}
