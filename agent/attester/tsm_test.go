package attester_test

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sevtest "github.com/google/go-sev-guest/verify/testdata"
	tdxtest "github.com/google/go-tdx-guest/testing/testdata"

	"github.com/tamarack-tam/tamarack/agent/attester"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

func snpKernel(t *testing.T, guest *localtest.SNP) *attester.Kernel {
	t.Helper()
	return &attester.Kernel{Directory: t.TempDir(), Provider: "sev_guest", Report: func(in []byte) (out, aux []byte) {
		e := guest.Report(in)
		return e.Report, e.Certificates
	}}
}

func tdxKernel(t *testing.T, guest *localtest.TDX) *attester.Kernel {
	t.Helper()
	return &attester.Kernel{Directory: t.TempDir(), Provider: "tdx_guest", Report: func(in []byte) (out, aux []byte) {
		return guest.Quote(in).Quote, nil
	}}
}

func openKernel(t *testing.T, k *attester.Kernel) *attester.TSM {
	t.Helper()
	tsm, err := k.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if k.Left != 0 {
			t.Errorf("%d entries left behind", k.Left)
		}
	})
	return tsm
}

// TestTSM has guests of machines that a TAM trusts attest themselves.
func TestTSM(t *testing.T) {
	amd, intel := localtest.NewMaker("AMD", now), localtest.NewMaker("Intel", now)
	guest, domain := localtest.NewSNP(amd, evidence.VCEK, "chip"), localtest.NewTDX(intel, "platform")
	chip, machine := corim.Environment{ClassID: local.ClassSNPByChip}, corim.Environment{Vendor: local.VendorTDX, Model: local.ModelTDX}
	least := uint64(1)
	k := trusting(t, teepKey(t),
		corim.Reference{Environment: chip, Key: "measurement", Digests: []corim.Digest{{Algorithm: "sha-384", Value: guest.Measurement}}},
		corim.Reference{Environment: chip, Key: "snp", MinSVN: &least},
		corim.Reference{Environment: machine, Key: "mrtd", Digests: []corim.Digest{{Algorithm: "sha-384", Value: domain.MRTD}}},
		corim.Reference{Environment: machine, Key: "pce", MinSVN: &least},
	)
	k.vendors = local.VendorRoots{AMD: []*x509.Certificate{amd.Root}, Intel: []*x509.Certificate{intel.Root}}
	for name, kernel := range map[string]*attester.Kernel{
		evidence.MediaSEVSNP: snpKernel(t, guest), evidence.MediaTDX: tdxKernel(t, domain),
	} {
		t.Run(name, func(t *testing.T) {
			tsm := openKernel(t, kernel)
			if tsm.Format() != name {
				t.Errorf("format %s", tsm.Format())
			}
			r, err := appraise(t, tsm, k)
			if err != nil || r.Affirmed() != nil {
				t.Fatalf("%v, %s", err, r.Reason())
			}
			// Evidence of one moment is no answer at another.
			p, err := attester.Bound(tsm, deviceClaims).Evidence(t.Context(), challenge, teepKey(t))
			if err != nil {
				t.Fatal(err)
			}
			again, err := k.verifier().Appraise(t.Context(), attest.Evidence{Format: p.Format, Payload: p.Payload, Challenge: challenge})
			if err != nil {
				t.Fatal(err)
			}
			key := teepKey(t)
			if err := attest.Bind(again, attest.Binding{Challenge: challenge, Key: key, Now: now}); !errors.Is(err, attest.ErrKeyBinding) {
				t.Errorf("bound to another key: %v", err)
			}
			if err := attest.Bind(again, attest.Binding{Challenge: append(challenge[:31:31], 0), Key: key, Now: now}); !errors.Is(err, attest.ErrNonce) {
				t.Errorf("in answer to another challenge: %v", err)
			}
		})
	}
}

// TestRecordedTSM reads what real machines have reported. Both answer another challenge.
func TestRecordedTSM(t *testing.T) {
	for _, k := range []*attester.Kernel{
		{Directory: t.TempDir(), Provider: "sev_guest", Report: func([]byte) (out, aux []byte) { return sevtest.AttestationBytes, []byte{} }},
		{Directory: t.TempDir(), Provider: "tdx_guest", Report: func([]byte) (out, aux []byte) { return tdxtest.RawQuote[:636+4299], nil }},
	} {
		tsm := openKernel(t, k)
		payload, err := tsm.Quote(t.Context(), make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		r, err := evidence.Read(tsm.Format(), payload)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Claims.Nonce) != 64 || r.Document() == nil {
			t.Errorf("%s: %+v", k.Provider, r)
		}
	}
}

func TestTSMRefuses(t *testing.T) {
	guest := localtest.NewSNP(localtest.NewMaker("AMD", now), evidence.VCEK, "chip")
	k := snpKernel(t, guest)
	k.Provider = "arm_cca_guest"
	if _, err := k.Open(); err == nil || !strings.Contains(err.Error(), `made by "arm_cca_guest"`) {
		t.Errorf("another provider: %v", err)
	}
	if _, err := attester.OpenTSM(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "mount configfs") {
		t.Errorf("no configfs: %v", err)
	}
	empty := t.TempDir()
	if _, err := attester.OpenTSM(empty); err == nil || !strings.Contains(err.Error(), "provider") {
		t.Errorf("a folder of nobody: %v", err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	k = snpKernel(t, guest)
	tsm := openKernel(t, k)
	if _, err := tsm.Quote(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "32 bytes, want 64") {
		t.Errorf("short report data: %v", err)
	}
	k.Meddle = true
	if _, err := tsm.Quote(t.Context(), make([]byte, 64)); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("somebody meddles: %v", err)
	}
	k.Meddle, k.Report = false, func([]byte) (out, aux []byte) { return nil, nil }
	if _, err := tsm.Quote(t.Context(), make([]byte, 64)); err == nil || !strings.Contains(err.Error(), "outblob") {
		t.Errorf("no report: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tsm.Quote(ended, make([]byte, 64)); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}
