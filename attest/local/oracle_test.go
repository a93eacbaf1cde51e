package local

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	sevabi "github.com/google/go-sev-guest/abi"
	sev "github.com/google/go-sev-guest/verify"
	sevtest "github.com/google/go-sev-guest/verify/testdata"
	sevtrust "github.com/google/go-sev-guest/verify/trust"
	tdxtest "github.com/google/go-tdx-guest/testing/testdata"
	tdx "github.com/google/go-tdx-guest/verify"
	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

// The libraries of Google verify the same reports and quotes as this package does, by code
// that has nothing in common with it. The tests here ask both about published samples, as
// they are and spoilt, and want one verdict. What a library accepts and this package does
// not has its reason in the table; the reverse is never in order.

// believes reports whether the built-in verifier finds the signature over exactly this
// evidence good, which is what the libraries mean by verified. Nonce, reference values and
// policy are further questions.
func believes(t *testing.T, e attest.Evidence, at time.Time) bool {
	t.Helper()
	r, err := New(hardware{}, Options{Clock: func() time.Time { return at }}).Appraise(context.Background(), e)
	return err == nil && r.Claims != nil
}

// agree holds one verdict against the other.
func agree(t *testing.T, name, stricter string, ours bool, theirs error) {
	t.Helper()
	switch {
	case ours && theirs != nil:
		t.Errorf("%s: believed, and the library says %v", name, theirs)
	case !ours && theirs == nil && stricter == "":
		t.Errorf("%s: not believed, and the library has nothing against it", name)
	case stricter != "" && (ours || theirs != nil):
		t.Errorf("%s: believed %t, library %v; only this package should refuse it: %s", name, ours, theirs, stricter)
	}
}

type snpSample struct {
	report []byte
	table  map[uuid.UUID][]byte
	at     time.Time
}

// publishedSNP is the report of a real machine, with the certificates of AMD that the
// library has built in.
func publishedSNP(t *testing.T) snpSample {
	t.Helper()
	ask, rest := pem.Decode(sevtrust.AskArkMilanVcekBytes)
	ark, _ := pem.Decode(rest)
	return snpSample{
		report: bytes.Clone(sevtest.AttestationBytes), at: time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC),
		table: map[uuid.UUID][]byte{
			localtest.GUIDVCEK: sevtest.VcekBytes, localtest.GUIDASK: ask.Bytes, localtest.GUIDARK: ark.Bytes,
		},
	}
}

func (s snpSample) compare(t *testing.T, name, stricter string) {
	t.Helper()
	table := localtest.SNPTable(s.table)
	ours := false
	if payload, err := (evidence.SNPEvidence{Report: s.report, Certificates: table}).Encode(); err == nil {
		ours = believes(t, attest.Evidence{Format: evidence.MediaSEVSNP, Payload: payload, Challenge: challenge64}, s.at)
	}
	agree(t, name, stricter, ours, func() error {
		a, err := sevabi.ReportCertsToProto(append(bytes.Clone(s.report), table...))
		if err != nil {
			return err
		}
		return sev.SnpAttestation(a, &sev.Options{DisableCertFetching: true, Now: s.at})
	}())
}

func TestOracleSEVSNP(t *testing.T) {
	for _, test := range []struct {
		name, stricter string
		spoil          func(s *snpSample)
	}{
		{"as published", "", func(*snpSample) {}},
		{"before the certificates", "", func(s *snpSample) { s.at = s.at.AddDate(-5, 0, 0) }},
		{"after the certificates", "", func(s *snpSample) { s.at = s.at.AddDate(40, 0, 0) }},
		{"no VCEK", "", func(s *snpSample) { delete(s.table, localtest.GUIDVCEK) }},
		{"VCEK under the name of a VLEK", "", func(s *snpSample) {
			s.table[localtest.GUIDVLEK] = s.table[localtest.GUIDVCEK]
			delete(s.table, localtest.GUIDVCEK)
		}},
		{"ASK for the VCEK", "", func(s *snpSample) { s.table[localtest.GUIDVCEK] = s.table[localtest.GUIDASK] }},
		{"VCEK cut short", "", func(s *snpSample) { s.table[localtest.GUIDVCEK] = sevtest.VcekBytes[:100] }},
		{"VCEK with another signature", "", func(s *snpSample) {
			vcek := bytes.Clone(sevtest.VcekBytes)
			vcek[len(vcek)-1] ^= 1
			s.table[localtest.GUIDVCEK] = vcek
		}},
		{"report cut short", "", func(s *snpSample) { s.report = s.report[:len(s.report)-1] }},
		{"no intermediate certificate", "the library has the one of AMD built in; here operators configure it, or the host sends it", func(s *snpSample) {
			delete(s.table, localtest.GUIDASK)
		}},
	} {
		s := publishedSNP(t)
		test.spoil(&s)
		s.compare(t, test.name, test.stricter)
	}
	for i := 0; i < evidence.SNPReportSize; i += 5 {
		s := publishedSNP(t)
		s.report[i] ^= 1 << (i % 8)
		s.compare(t, fmt.Sprintf("byte %#x changed", i), "")
	}
}

// publishedTDX is a quote of a real machine, without the sentence that stands behind it.
func publishedTDX() []byte { return bytes.Clone(tdxtest.RawQuote[:636+4299]) }

func compareTDX(t *testing.T, roots *x509.CertPool, name, stricter string, quote []byte, at time.Time) {
	t.Helper()
	ours := false
	if payload, err := (evidence.TDXEvidence{Quote: quote}).Encode(); err == nil {
		ours = believes(t, attest.Evidence{Format: evidence.MediaTDX, Payload: payload, Challenge: challenge64}, at)
	}
	agree(t, name, stricter, ours, tdx.RawTdxQuote(quote, &tdx.Options{Now: at, TrustedRoots: roots}))
}

func TestOracleTDX(t *testing.T) {
	at := time.Date(2023, 7, 1, 0, 0, 0, 0, time.UTC)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(moduleFile(t, "github.com/google/go-tdx-guest", "verify/trusted_root.pem")) {
		t.Fatal("the library ships no root certificate")
	}
	for _, test := range []struct {
		name, stricter string
		quote          []byte
		at             time.Time
	}{
		{"as published", "", publishedTDX(), at},
		{"before the certificates", "", publishedTDX(), at.AddDate(-10, 0, 0)},
		{"after the certificates", "", publishedTDX(), at.AddDate(40, 0, 0)},
		{"cut short", "", publishedTDX()[:636+4298], at},
		{"a header only", "", publishedTDX()[:48], at},
		{"something behind it", "nobody has signed it, and the library keeps it as extra bytes", tdxtest.RawQuote, at},
	} {
		compareTDX(t, roots, test.name, test.stricter, test.quote, test.at)
	}
	for i := 0; i < len(publishedTDX()); i += 13 {
		quote := publishedTDX()
		quote[i] ^= 1 << (i % 8)
		compareTDX(t, roots, fmt.Sprintf("byte %d changed", i), "", quote, at)
	}
}

// TestOracleRoots holds the roots that are known here against those of the library.
func TestOracleRoots(t *testing.T) {
	var names []string
	for product, roots := range sevtrust.DefaultRootCerts {
		if roots.ProductCerts.Ark.Subject.CommonName != "ARK-"+product {
			t.Errorf("%s: root %q", product, roots.ProductCerts.Ark.Subject)
		}
		names = append(names, "ARK-"+product)
	}
	slices.Sort(names)
	if ours := slices.Sorted(maps.Values(amdRoots)); !slices.Equal(names, ours) {
		t.Errorf("the library knows %q, this package %q", names, ours)
	}
}
