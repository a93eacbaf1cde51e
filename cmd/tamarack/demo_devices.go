package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// enroll makes a device, lets it meet the TAM, and has the operator accept it.
func (d *demo) enroll(ctx context.Context, i int) (*demoDevice, error) {
	dev := &demoDevice{name: fmt.Sprintf("device-%d", i+1)}
	dev.dir = filepath.Join(d.dir, dev.name)
	setup, err := d.setup(i)
	if err != nil {
		return nil, err
	}
	if err := device.Create(dev.dir, setup); err != nil {
		return nil, err
	}
	observe := func(e agent.Event) { dev.said = append(dev.said, e) }
	if dev.Device, err = device.Open(dev.dir, device.Options{Observe: observe}); err != nil {
		return nil, err
	}
	if err := d.operator.addAttestationAnchor(ctx, dev.name, dev.AttestationKey()); err != nil {
		return nil, err
	}
	d.say.line("operator", "registered the attestation key of %s, %s", dev.name, short(dev.AttestationKey()))
	if _, err := dev.Poll(ctx); err != nil {
		return nil, err
	}
	ueid := hex.EncodeToString(dev.Settings().Identity.UEID)
	var state string
	if dev.id, state, err = d.operator.findDevice(ctx, ueid); err != nil {
		return nil, err
	}
	d.say.line(dev.name, "first contact: challenge answered with evidence for %s; the TAM has it as %s", cosekit.AlgorithmName(setup.Algorithm)+" key", state)
	if err := d.operator.accept(ctx, dev.id); err != nil {
		return nil, err
	}
	if err := d.operator.require(ctx, dev.id, demoComponent); err != nil {
		return nil, err
	}
	d.say.line("operator", "accepted %s; it must have %s", dev.name, demoComponent)
	return dev, nil
}

// setup gives every other device the other cipher suite.
func (d *demo) setup(i int) (device.Setup, error) {
	vendor := author.VendorID(demoVendor)
	setup := device.Setup{
		Settings: device.Settings{
			TAM:  device.TAM{URL: d.server.teepURL + "/tam", ReportKey: d.server.encryptTo, EvidenceKey: d.server.encryptTo},
			Poll: device.DefaultPolling,
			Identity: device.Identity{
				UEID:      device.RandomUEID(),
				Vendor:    vendor,
				Class:     author.ClassID(vendor, demoClass),
				OEMID:     device.RandomOEMID(vendor), // with the model it says which reference values apply
				Model:     demoClass,
				HWVersion: "1",
			},
		},
		Algorithm: cosekit.ESP256,
	}
	tamKey := d.server.signers.ESP256.PublicKey()
	if i%2 == 1 {
		setup.Algorithm = cosekit.Ed25519
		tamKey = d.server.signers.Ed25519.PublicKey()
	}
	setup.Anchors = []anchor.Anchor{
		{Key: tamKey, Title: "demo TAM", Purposes: []anchor.Purpose{anchor.TAM}},
		{Key: d.publisher.PublicKey(), Title: "demo publisher", Purposes: []anchor.Purpose{anchor.TCSigner},
			Constraints: anchor.Constraints{Components: []suit.ComponentID{{[]byte(demoPrefix)}}}},
	}
	return setup, nil
}

// deliver is two polls: one brings the update, the next the evidence that it is there.
// An application is then run.
func (d *demo) deliver(ctx context.Context, dev *demoDevice, r *release) error {
	for _, what := range []string{
		"fetched, checked and installed; it says so in a report, signed and encrypted",
		"polled again; its attester measured the component",
	} {
		if _, err := dev.Poll(ctx); err != nil {
			return err
		}
		status, err := d.operator.status(ctx, dev, r)
		if err != nil {
			return err
		}
		d.say.line(dev.name, "%s: the TAM has it as %s", what, state(status))
	}
	if r.application {
		return d.invoke(ctx, dev, r)
	}
	return nil
}

// deliverBroken wants the update refused by the application's own test, the TAM to know,
// and the version before to stand and run as if nothing had happened.
func (d *demo) deliverBroken(ctx context.Context, dev *demoDevice, r *release) error {
	dev.said = nil
	_, err := dev.Poll(ctx)
	if !errors.Is(err, agent.ErrManifest) || !errors.Is(err, wasm.ErrExit) {
		return fmt.Errorf("%s should have failed its self-test, and did not: %w", r.name(), err)
	}
	for _, e := range dev.said {
		if e.Step == agent.StepSelfTest || e.Step == agent.StepFailed {
			d.say.line(dev.name, "%s: %s", e.Step, e.Detail)
		}
	}
	status, err := d.operator.status(ctx, dev, r)
	if err != nil {
		return err
	}
	if state(status) != string(client.ComponentStateFailed) {
		return fmt.Errorf("the TAM has %s as %s, not as failed", r.name(), state(status))
	}
	d.say.line("TAM", "has %s on %s as %s: %s", r.name(), dev.name, status.State, status.Reason)
	held, _, err := dev.held(ctx)
	if err != nil {
		return err
	}
	if held != d.standing.sha256 {
		return fmt.Errorf("it holds %s, not %s any more", held, d.standing.name())
	}
	d.say.line(dev.name, "still holds %s, and runs it", d.standing.name())
	if err := d.invoke(ctx, dev, d.standing); err != nil {
		return err
	}
	return d.confirmStanding(ctx, dev, r, status.Since)
}

// confirmStanding wants the TAM to ask for evidence after the failure of an update, and to
// believe it as to what the device holds. It may offer the update once more.
func (d *demo) confirmStanding(ctx context.Context, dev *demoDevice, failed *release, since time.Time) error {
	if _, err := dev.Poll(ctx); err != nil && !errors.Is(err, agent.ErrManifest) {
		return err
	}
	status, err := d.operator.status(ctx, dev, failed)
	if err != nil {
		return err
	}
	if held := status.Held; held.Manifest != d.standing.digest || held.MeasuredAt.Before(since) {
		return fmt.Errorf("evidence has not shown that %s stands", d.standing.name())
	}
	d.say.line("TAM", "asked %s for evidence: it holds %s, confirmed again", dev.name, d.standing.name())
	return nil
}

// invoke runs what is installed, and wants it to be the application of that release.
func (d *demo) invoke(ctx context.Context, dev *demoDevice, r *release) error {
	dev.said = nil
	if err := dev.Invoke(ctx, r.manifest); err != nil {
		return err
	}
	printed := 0
	for _, e := range dev.said {
		if e.Step == agent.StepOutput {
			d.say.line(dev.name, "%s: %s", e.Step, e.Detail)
			if strings.HasSuffix(e.Detail, r.greeting) {
				printed++
			}
		}
	}
	if printed == 0 && r.greeting != "" {
		return fmt.Errorf("%s did not print %q", r.name(), r.greeting)
	}
	return nil
}
