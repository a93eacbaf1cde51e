package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// wary is a device that says nothing to a TAM which has not shown evidence by the key.
func wary(t *testing.T, s *server, tam cosekit.Signer, attester *cosekit.PublicKey) *demoDevice {
	t.Helper()
	return newDevice(t, tam, device.TAM{URL: s.teepURL + "/tam", Attest: true, ReportKey: s.encryptTo, EvidenceKey: s.encryptTo},
		anchor.Anchor{Key: attester, Purposes: []anchor.Purpose{anchor.Attester}})
}

// newDevice makes one that trusts that key of the TAM, and what more there is.
func newDevice(t *testing.T, tam cosekit.Signer, settings device.TAM, more ...anchor.Anchor) *demoDevice {
	t.Helper()
	vendor := author.VendorID(demoVendor)
	dev := &demoDevice{dir: t.TempDir()}
	err := device.Create(dev.dir, device.Setup{
		Algorithm: tam.Algorithm(),
		Settings: device.Settings{
			TAM:         settings,
			Attestation: device.Attestation{Passport: true},
			Poll:        device.DefaultPolling,
			Identity: device.Identity{
				UEID: device.RandomUEID(), Vendor: vendor, Class: author.ClassID(vendor, demoClass),
				OEMID: device.RandomOEMID(vendor), Model: demoClass, HWVersion: "1",
			},
		},
		Anchors: append(more, anchor.Anchor{Key: tam.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	dev.open(t)
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

func (dev *demoDevice) open(t *testing.T) {
	t.Helper()
	var err error
	dev.Device, err = device.Open(dev.dir, device.Options{Observe: func(e agent.Event) { dev.said = append(dev.said, e) }})
	if err != nil {
		t.Fatal(err)
	}
}

// serveIn serves from a data directory until the test ends.
func serveIn(t *testing.T, data string, changes ...func(*Config)) (*server, *operator) {
	t.Helper()
	c := DefaultConfig()
	for _, change := range changes {
		change(&c)
	}
	c.Data = data
	c.TEEP.Listen, c.API.Listen, c.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	c.API.TokenFile = filepath.Join(data, "admin.token")
	s, err := newServer(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	operator, err := newOperator(s.apiURL, s.tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return s, operator
}

// knows reports whether the TAM has enrolled the device.
func (o *operator) knows(ctx context.Context, dev *demoDevice) bool {
	_, _, err := o.findDevice(ctx, hex.EncodeToString(dev.Settings().Identity.UEID))
	return err == nil
}

// A device that demands evidence of the TAM gets it, with the key that this TAM made at
// its first start, and then tells the TAM who it is; one that trusts another key does not.
func TestServerAttestsItself(t *testing.T) {
	data := filepath.Join(t.TempDir(), "tam")
	s, operator := serveIn(t, data)
	ctx := t.Context()
	attester, err := cosekit.LoadSigner(filepath.Join(data, "keys", attestationKeyName+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tam := range []cosekit.Signer{s.signers.ESP256, s.signers.Ed25519} {
		t.Run(cosekit.AlgorithmName(tam.Algorithm()), func(t *testing.T) {
			dev := wary(t, s, tam, attester.PublicKey())
			if err := operator.addAttestationAnchor(ctx, "device", dev.AttestationKey()); err != nil {
				t.Fatal(err)
			}
			if _, err := dev.Poll(ctx); err != nil {
				t.Fatalf("%v\n%+v", err, dev.said)
			}
			if !operator.knows(ctx, dev) {
				t.Errorf("the TAM was told nothing: %+v", dev.said)
			}
			other, err := cosekit.GenerateSigner(cosekit.ESP256)
			if err != nil {
				t.Fatal(err)
			}
			dev = wary(t, s, tam, other.PublicKey())
			if err := operator.addAttestationAnchor(ctx, "device", dev.AttestationKey()); err != nil {
				t.Fatal(err)
			}
			if _, err := dev.Poll(ctx); err == nil || !strings.Contains(err.Error(), "has not attested itself") || operator.knows(ctx, dev) {
				t.Errorf("by another key: %v, known %t: %+v", err, operator.knows(ctx, dev), dev.said)
			}
		})
	}
}

// What a server issues at one endpoint is a passport at another, once an operator has said
// that its own results count there.
func TestServerTakesItsOwnResults(t *testing.T) {
	data := filepath.Join(t.TempDir(), "tam")
	s, operator := serveIn(t, data, func(c *Config) {
		c.Attestation.Admission, c.Attestation.FirstContact = "affirming", "challenge" // evidence at every poll
		c.TEEP.Endpoints = []EndpointConfig{{Path: "/results", ReturnResults: true}, {Path: "/passport", Passport: true}}
	})
	verifier, err := cosekit.LoadSigner(filepath.Join(data, "keys", verifierKeyName+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	dev := newDevice(t, s.signers.ESP256, device.TAM{URL: s.teepURL + "/results"},
		anchor.Anchor{Key: verifier.PublicKey(), Purposes: []anchor.Purpose{anchor.Verifier}})
	if err := operator.addAttestationAnchor(ctx, "device", dev.AttestationKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Poll(ctx); err != nil || !dev.heard(agent.StepPassport, "kept, ") {
		t.Fatalf("%v: %+v", err, dev.said)
	}
	dev.moveTo(t, "/results", "/passport")
	if _, err := dev.Poll(ctx); !errors.Is(err, agent.ErrPassport) {
		t.Errorf("by a verifier that nobody has added: %v: %+v", err, dev.said)
	}

	dev.moveTo(t, "/passport", "/results")
	r, err := operator.api.AddVerifierWithResponse(ctx, client.NewTrustedKey{Title: "this TAM", PublicKey: string(verifier.PublicKey().PEM())})
	if err == nil {
		err = answered(r.HTTPResponse, r.Body, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Poll(ctx); err != nil || !dev.heard(agent.StepPassport, "kept, ") {
		t.Fatalf("again: %v: %+v", err, dev.said)
	}
	dev.moveTo(t, "/results", "/passport")
	if _, err := dev.Poll(ctx); err != nil || !dev.heard(agent.StepEvidence, "the passport") {
		t.Errorf("%v: %+v", err, dev.said)
	}
}

func (dev *demoDevice) heard(step agent.Step, text string) bool {
	return slices.ContainsFunc(dev.said, func(e agent.Event) bool { return e.Step == step && strings.Contains(e.Detail, text) })
}

// moveTo has the device talk to another endpoint.
func (dev *demoDevice) moveTo(t *testing.T, from, to string) {
	t.Helper()
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dev.dir, "config.yaml")
	settings, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(settings, []byte(from+"\n"), []byte(to+"\n"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	dev.said = nil
	dev.open(t)
}
