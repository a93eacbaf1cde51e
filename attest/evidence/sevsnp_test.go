package evidence_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var nonce64 = bytes.Repeat([]byte{0x5a}, 64)

func snpGuest() *localtest.SNP {
	return localtest.NewSNP(localtest.NewMaker("AMD", time.Unix(1700000000, 0)), evidence.VCEK, "chip")
}

func TestReadSEVSNP(t *testing.T) {
	s := snpGuest()
	s.Table[uuid.New()] = []byte("for something else")
	e := s.Report(nonce64)
	payload := encoded(t, e)
	r, err := evidence.ParseSNPReport(payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.ReportData, nonce64) || !bytes.Equal(r.ChipID, s.ChipID) || r.ReportedTCB != s.TCB || r.Policy != s.Policy ||
		!bytes.Equal(r.Measurement, s.Measurement) || r.Debug() || r.Migratable() {
		t.Errorf("decoded %+v", r)
	}
	if !bytes.Equal(r.Certificate, s.Certificate.Raw) || len(r.Issuers) != 2 || !bytes.Equal(r.Issuers[1], s.Maker.Root.Raw) {
		t.Errorf("certificate %x by %x", r.Certificate, r.Issuers)
	}
	if again := encoded(t, r.SNPEvidence); !bytes.Equal(again, payload) {
		t.Errorf("encoded again %x", again)
	}
	read, err := evidence.Read(evidence.MediaSEVSNP, payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Claims.Nonce, nonce64) || read.Hardware != evidence.SNPHardware(s.ChipID) || read.Hardware == (cosekit.Thumbprint{}) {
		t.Errorf("read %+v", read)
	}
}

// TestReadTurin reads the layout of a later processor, which tells its family.
func TestReadTurin(t *testing.T) {
	s := snpGuest()
	s.Spoil = func(b []byte) {
		binary.LittleEndian.PutUint32(b, 3)
		b[0x188] = 0x1a
		copy(b[0x180:], []byte{1, 2, 3, 4, 0, 0, 0, 5})
	}
	r, err := evidence.ParseSNPReport(encoded(t, s.Report(nonce64)))
	if want := (evidence.SNPTCB{FMC: 1, Boot: 2, TEE: 3, SNP: 4, Microcode: 5}); err != nil || r.ReportedTCB != want {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadSEVSNPMasked(t *testing.T) {
	s := snpGuest()
	s.Spoil = func(b []byte) { clear(b[0x1a0:0x1e0]) }
	r, err := evidence.Read(evidence.MediaSEVSNP, encoded(t, s.Report(nonce64)))
	if err != nil || r.Hardware != (cosekit.Thumbprint{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadSEVSNPRefuses(t *testing.T) {
	good := snpGuest().Report(nonce64)
	payload := encoded(t, good)
	report := func(at int, value byte) []byte {
		e := good
		e.Report = bytes.Clone(good.Report)
		e.Report[at] = value
		return encoded(t, e)
	}
	table := func(f func(table []byte) []byte) []byte {
		e := good
		e.Certificates = f(bytes.Clone(good.Certificates))
		return encoded(t, e)
	}
	for _, test := range []struct {
		name, reason string
		payload      []byte
	}{
		{"nothing", "truncated", nil},
		{"oversize", "at most", make([]byte, attest.MaxTokenSize+1)},
		{"a map", "not an array", []byte{0xa0}},
		{"one element", "1 elements", cosekit.MustMarshal([]any{good.Report})},
		{"trailing byte", "behind the end", append(bytes.Clone(payload), 0)},
		{"short report", "1183 bytes", encoded(t, evidence.SNPEvidence{Report: good.Report[1:], Certificates: good.Certificates})},
		{"long report", "1185 bytes", encoded(t, evidence.SNPEvidence{Report: append(bytes.Clone(good.Report), 0), Certificates: good.Certificates})},
		{"huge table", "at most 32768", table(func([]byte) []byte { return make([]byte, 32769) })},
		{"version 1", "version 1", report(0, 1)},
		{"version 6", "version 6", report(0, 6)},
		{"no signature algorithm", "signature algorithm 0", report(0x34, 0)},
		{"policy without its one", "policy", report(0x0a, 1)},
		{"unsigned", "key of kind 7", report(0x48, 7<<2)},
		{"reserved byte", "0x4c to 0x50", report(0x4d, 1)},
		{"reserved byte before the chip id", "0x188 to 0x1a0", report(0x19f, 1)},
		{"reserved byte before the signature", "0x208 to 0x2a0", report(0x29f, 1)},
		{"byte behind the signature", "0x330 to 0x4a0", report(0x4a0-1, 1)},
		{"table without an end", "without an end", table(func(b []byte) []byte { return b[:10] })},
		{"entry over the end", "lies at", table(func(b []byte) []byte { return b[:len(b)-1] })},
		{"entry whose end overflows", "lies at", table(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[16:], 0xffffffff)
			binary.LittleEndian.PutUint32(b[20:], 2)
			return b
		})},
		{"entry in the head", "lies at", table(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[16:], 0); return b })},
		{"empty entry", "of 0 bytes", table(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[20:], 0); return b })},
		{"huge entry", "of 8193 bytes", table(func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[20:], 8193)
			return append(b, make([]byte, 9000)...)
		})},
		{"entry twice", "twice", table(func(b []byte) []byte { copy(b[24:], b[:24]); return b })},
		{"many entries", "more than 8", table(func(b []byte) []byte {
			many := make([]byte, 24*10)
			for i := range 10 {
				copy(many[24*i:], []byte{byte(i), 1})
				binary.LittleEndian.PutUint32(many[24*i+16:], 240)
				binary.LittleEndian.PutUint32(many[24*i+20:], 1)
			}
			return append(many, 0)
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := evidence.Read(evidence.MediaSEVSNP, test.payload)
			if r != nil || !errors.Is(err, attest.ErrToken) && !errors.Is(err, attest.ErrTooLarge) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want a refusal with %q", err, test.reason)
			}
		})
	}
	for n := range payload {
		if _, err := evidence.ParseSNPReport(payload[:n]); err == nil {
			t.Fatalf("cut at %d is read", n)
		}
	}
}

func FuzzReadSEVSNP(f *testing.F) {
	e := snpGuest().Report(nonce64)
	f.Add(encoded(f, e))
	f.Add(encoded(f, evidence.SNPEvidence{Report: e.Report, Certificates: slices.Repeat([]byte{1}, 48)}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := evidence.ParseSNPReport(payload)
		if err != nil {
			return
		}
		again, err := evidence.ParseSNPReport(encoded(t, r.SNPEvidence))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}
