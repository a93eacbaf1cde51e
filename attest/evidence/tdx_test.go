package evidence_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func trustDomain() *localtest.TDX {
	return localtest.NewTDX(localtest.NewMaker("Intel", time.Unix(1700000000, 0)), "platform")
}

func TestReadTDX(t *testing.T) {
	d := trustDomain()
	e := d.Quote(nonce64)
	payload := encoded(t, e)
	q, err := evidence.ParseTDXQuote(payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(q.MRTD, d.MRTD) || !reflect.DeepEqual(q.RTMR, d.RTMR) || !bytes.Equal(q.ReportData, nonce64) || q.Debug() {
		t.Errorf("decoded %+v", q)
	}
	if !bytes.Equal(q.Platform.PPID, d.PPID) || q.Platform.PCESVN != 11 || len(q.Platform.FMSPC) != 6 {
		t.Errorf("platform %+v", q.Platform)
	}
	if !bytes.Equal(q.Certificate, d.Chain[0].Raw) || len(q.Issuers) != 2 || !q.Key.Equal(d.Key.Public()) {
		t.Errorf("certificate %x by %d, key %v", q.Certificate, len(q.Issuers), q.Key)
	}
	if again := encoded(t, q.TDXEvidence); !bytes.Equal(again, payload) {
		t.Errorf("encoded again %x", again)
	}
	r, err := evidence.Read(evidence.MediaTDX, encoded(t, evidence.TDXEvidence{Quote: append(e.Quote, 0, 0)}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.Claims.Nonce, nonce64) || r.Hardware != q.Platform.Hardware() || r.Document()["tdx-debug"] != false {
		t.Errorf("read %+v", r)
	}
}

func TestReadTDXRefuses(t *testing.T) {
	good := trustDomain().Quote(nonce64).Quote
	payload := encoded(t, evidence.TDXEvidence{Quote: good})
	const (
		size      = 632
		signature = size + 4
		kind      = signature + 128
		enclave   = kind + 6
		auth      = enclave + 384 + 64
	)
	quote := func(f func(quote []byte) []byte) []byte {
		return encoded(t, evidence.TDXEvidence{Quote: f(bytes.Clone(good))})
	}
	set := func(at int, value byte) []byte { return quote(func(b []byte) []byte { b[at] = value; return b }) }
	u32 := func(at int, add int) []byte {
		return quote(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[at:], uint32(int(binary.LittleEndian.Uint32(b[at:]))+add))
			return b
		})
	}
	chain := func(f func(d *localtest.TDX)) []byte {
		d := trustDomain()
		f(d)
		return encoded(t, d.Quote(nonce64))
	}
	for _, test := range []struct {
		name, reason string
		payload      []byte
	}{
		{"nothing", "truncated", nil},
		{"oversize", "at most 32768", make([]byte, 32769)},
		{"a map", "not an array", []byte{0xa0}},
		{"two elements", "2 elements", cosekit.MustMarshal([]any{good, good})},
		{"trailing byte", "behind the end", append(bytes.Clone(payload), 0)},
		{"empty quote", "size that it says", encoded(t, evidence.TDXEvidence{})},
		{"bytes behind the quote", "size that it says", quote(func(b []byte) []byte { return append(b, 1) })},
		{"size too large", "size that it says", u32(size, 1)},
		{"size too small", "size that it says", u32(size, -1)},
		{"size huge", "size that it says", quote(func(b []byte) []byte { copy(b[size:], []byte{0xff, 0xff, 0xff, 0xff}); return b })},
		{"version 3", "version 3", set(0, 3)},
		{"version 5", "version 5", set(0, 5)},
		{"attestation key P-384", "of kind 3", set(2, 3)},
		{"SGX", "want TDX", set(4, 0)},
		{"certification data of another kind", "of kind 5, want the report", set(kind, 5)},
		{"certification data too large", "want the report", u32(kind+2, 1)},
		{"certification data too small", "want the report", u32(kind+2, -1)},
		{"point beside the curve", "attestation key", set(signature+64, good[signature+64]^1)},
		{"authentication data too large", "want certificates", set(auth, 0xff)},
		{"chain of another kind", "of kind 4, want certificates", set(auth+2+19, 4)},
		{"chain too large", "want certificates", u32(auth+2+19+2, 1)},
		{"not PEM", "3 certificates in PEM", set(len(good)-5, '!')},
		{"two certificates", "2 certificates", chain(func(d *localtest.TDX) { d.Chain = d.Chain[:2] })},
		{"four certificates", "3 certificates in PEM", chain(func(d *localtest.TDX) { d.Chain = append(d.Chain, d.Chain[0]) })},
		{"certificate that is none", "PCK certificate", chain(func(d *localtest.TDX) { d.Chain[0] = &x509.Certificate{Raw: []byte{0x30, 0}} })},
		{"huge certificate", "8193 bytes", chain(func(d *localtest.TDX) { d.Chain[0] = &x509.Certificate{Raw: make([]byte, 8193)} })},
		{"no extension", "no extension for SGX", chain(func(d *localtest.TDX) {
			d.Certify(func(c *x509.Certificate) { c.ExtraExtensions = nil })
		})},
		{"extension that is none", "no sequence of pairs", chain(func(d *localtest.TDX) {
			d.Certify(func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: c.ExtraExtensions[0].Id, Value: []byte{5, 0}}}
			})
		})},
		{"short PPID", "no PPID", chain(func(d *localtest.TDX) {
			d.PPID = d.PPID[:8]
			d.Certify()
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := evidence.Read(evidence.MediaTDX, test.payload)
			if r != nil || !errors.Is(err, attest.ErrToken) && !errors.Is(err, attest.ErrTooLarge) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want a refusal with %q", err, test.reason)
			}
		})
	}
	for n := range payload {
		if _, err := evidence.ParseTDXQuote(payload[:n]); err == nil {
			t.Fatalf("cut at %d is read", n)
		}
	}
	for n := range good {
		if _, err := evidence.ParseTDXQuote(encoded(t, evidence.TDXEvidence{Quote: good[:n]})); err == nil {
			t.Fatalf("quote cut at %d is read", n)
		}
	}
}

func FuzzReadTDX(f *testing.F) {
	f.Add(encoded(f, trustDomain().Quote(nonce64)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		q, err := evidence.ParseTDXQuote(payload)
		if err != nil {
			return
		}
		again, err := evidence.ParseTDXQuote(encoded(t, q.TDXEvidence))
		if err != nil || !reflect.DeepEqual(again, q) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}
