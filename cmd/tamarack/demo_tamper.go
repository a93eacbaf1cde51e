package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// tamperAndRepair is the story of a device that is not as its release any more. Every
// device polls at every step, so that the others are seen to be unaffected.
func (d *demo) tamperAndRepair(ctx context.Context) error {
	if err := d.importReferenceValues(ctx, d.standing); err != nil {
		return fmt.Errorf("reference values: %w", err)
	}
	if err := d.pollSound(ctx, d.devices, "default"); err != nil {
		return err
	}
	inForce, err := d.keepApart(ctx)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	victim := d.devices[1]
	others := slices.DeleteFunc(slices.Clone(d.devices), func(dev *demoDevice) bool { return dev == victim })
	changed, err := d.changeOneByte(victim, d.standing)
	if err != nil {
		return fmt.Errorf("%s: %w", victim.name, err)
	}
	if err := d.pollChanged(ctx, victim, inForce, changed); err != nil {
		return fmt.Errorf("%s: %w", victim.name, err)
	}
	if err := d.pollSound(ctx, others, inForce); err != nil {
		return err
	}
	if err := d.pollSound(ctx, []*demoDevice{victim}, inForce); err != nil {
		return err
	}
	if d.standing.application {
		if err := d.invoke(ctx, victim, d.standing); err != nil {
			return fmt.Errorf("%s: %w", victim.name, err)
		}
	}
	return d.sayAttestations(ctx, victim)
}

// importReferenceValues makes the values that devices must measure out of the manifest
// that was published, and imports them.
func (d *demo) importReferenceValues(ctx context.Context, r *release) error {
	provider, err := cosekit.CreateKeyFile(filepath.Join(d.dir, "provider.pem"), cosekit.ESP256)
	if err != nil {
		return err
	}
	if err := d.operator.addReferenceProvider(ctx, "demo release", provider.PublicKey()); err != nil {
		return err
	}
	d.say.line("operator", "registered reference-value provider %s", short(provider.PublicKey()))
	values, err := corim.FromManifest(r.envelope, corim.ManifestOptions{Publishers: suit.KeyList{d.publisher.PublicKey()}})
	if err != nil {
		return err
	}
	file, err := values.Sign(provider, "demo release")
	if err != nil {
		return err
	}
	if err := d.operator.importReferenceValues(ctx, file); err != nil {
		return err
	}
	d.say.line("operator", "imported the reference values of manifest %s: tag %s, %d values", r.digest, values.ID, len(values.References))
	return nil
}

// keepApart puts a policy into force, after it was tried on what is stored, and returns
// how decisions name it.
func (d *demo) keepApart(ctx context.Context) (inForce string, err error) {
	p := client.NewPolicy{
		Name: "as-released", Kind: client.PolicyKindAppraisal,
		Selector:    fmt.Sprintf("device.hw_model_text == %q", demoClass),
		Expression:  `result.tiers.executables == "affirming" ? accept() : quarantine("it runs what was not released")`,
		Remediation: d.standing.manifest.String(),
	}
	trial, err := d.operator.try(ctx, p)
	if err != nil {
		return "", err
	}
	if trial.Tried != len(d.devices) || len(trial.Devices) > 0 {
		return "", fmt.Errorf("tried on %d of %d devices, and would change %+v", trial.Tried, len(d.devices), trial.Devices)
	}
	d.say.line("operator", "tried a policy on the stored attestations: %d devices, none would be treated otherwise", trial.Tried)
	if inForce, err = d.operator.addPolicy(ctx, p); err != nil {
		return "", err
	}
	d.say.line("operator", "put it into force as %s", inForce)
	d.say.below("for     %s", p.Selector)
	d.say.below("says    %s", p.Expression)
	d.say.below("remedy  %s", p.Remediation)
	return inForce, nil
}

// pollSound wants the evidence of each device accepted by that policy, and the device so.
func (d *demo) pollSound(ctx context.Context, list []*demoDevice, policy string) error {
	for _, dev := range list {
		before, err := d.operator.device(ctx, dev)
		if err != nil {
			return err
		}
		dev.said = nil
		if _, err := dev.Poll(ctx); err != nil {
			return fmt.Errorf("%s: %w", dev.name, err)
		}
		now, err := d.operator.device(ctx, dev)
		if err != nil {
			return err
		}
		last := now.Appraisals[0]
		if !last.Accepted || last.Policy != policy || now.Device.State != client.DeviceStateAccepted {
			return fmt.Errorf("%s: attestation %d by policy %s: accepted %t, %s; the device is %s", dev.name, last.ID, last.Policy, last.Accepted, last.Reason, now.Device.State)
		}
		end := ""
		if before.Device.State == client.DeviceStateQuarantined {
			end = "; released from quarantine"
		}
		d.say.line(dev.name, "showed evidence (%s): %s, accepted by policy %s%s", dev.evidence(), last.Status, last.Policy, end)
	}
	return nil
}

// evidence is what the agent said that it showed.
func (dev *demoDevice) evidence() string {
	for _, e := range dev.said {
		if e.Step == agent.StepEvidence {
			return e.Detail
		}
	}
	return "none"
}

// changeOneByte does what an intruder, or a failing disk, would, behind the back of the
// agent. It returns the digest of what is there now.
func (d *demo) changeOneByte(dev *demoDevice, r *release) (sha string, err error) {
	path, err := fileWith(dev.dir, r.sha256)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	at := len(content) / 2
	content[at] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	d.say.line("intruder", "changed byte %d of %s on %s", at, demoComponent, dev.name)
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// fileWith finds the file whose content has the digest.
func fileWith(dir, digest string) (path string, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if sum := sha256.Sum256(content); err == nil && hex.EncodeToString(sum[:]) == digest {
			path = name
			return filepath.SkipAll
		}
		return err
	})
	if err == nil && path == "" {
		err = fmt.Errorf("no file below %s has the digest %s", dir, digest)
	}
	return path, err
}

// pollChanged wants the device quarantined by the policy, the TAM to say which value
// differs, and the remedy installed in the same session.
func (d *demo) pollChanged(ctx context.Context, dev *demoDevice, inForce, changed string) error {
	dev.said = nil
	if _, err := dev.Poll(ctx); err != nil {
		return err
	}
	now, err := d.operator.device(ctx, dev)
	if err != nil {
		return err
	}
	last := now.Appraisals[0]
	if last.Accepted || now.Device.State != client.DeviceStateQuarantined || now.Device.QuarantinedBy != inForce {
		return fmt.Errorf("attestation %d: accepted %t, %s; the device is %s by %q", last.ID, last.Accepted, last.Reason, now.Device.State, now.Device.QuarantinedBy)
	}
	d.say.line(dev.name, "showed evidence (%s): %s, refused", dev.evidence(), last.Status)
	d.say.line("TAM", "%s quarantined by policy %s: %s", dev.name, inForce, now.Device.StateReason)
	if err := d.sayDiff(ctx, dev, changed); err != nil {
		return err
	}
	offered, err := d.operator.happened(ctx, "remediation.offered", "device:"+dev.id)
	if err != nil || !offered {
		return errors.Join(err, errors.New("no remedy was offered"))
	}
	d.say.line("TAM", "offered %s its remedy, manifest %s, and nothing else", dev.name, d.standing.digest)
	if !slices.ContainsFunc(dev.said, func(e agent.Event) bool { return e.Step == agent.StepInstalled }) {
		return errors.New("it has not installed the remedy")
	}
	d.say.line(dev.name, "installed it; that is its word, so it stays in quarantine until evidence shows it")
	return nil
}

// sayDiff is what 'tamctl attestation diff' asks, and wants the component to be the one
// value that is wrong.
func (d *demo) sayDiff(ctx context.Context, dev *demoDevice, changed string) error {
	diff, err := d.operator.diff(ctx, dev)
	if err != nil {
		return err
	}
	d.say.line("operator", "tamctl attestation diff %s:", dev.id)
	var wrong []client.AttestationChange
	for _, c := range diff.Changes {
		if c.Wrong {
			wrong = append(wrong, c)
		}
		d.say.below("%s", c.Name)
		if c.Before != c.After {
			d.say.below("  was        %s", c.Before)
		}
		d.say.below("  is         %s", c.After)
		if c.Expected != nil {
			d.say.below("  reference  %s (%s)", strings.Join(c.Expected, " or "), c.Source)
		}
	}
	if len(wrong) != 1 || !strings.Contains(wrong[0].After, changed) ||
		!slices.ContainsFunc(wrong[0].Expected, func(text string) bool { return strings.Contains(text, d.standing.sha256) }) {
		return fmt.Errorf("the attestation diff has %+v, not %s beside %s", wrong, changed, d.standing.sha256)
	}
	return nil
}

// sayAttestations shows what is on record, which recovery does not change: one refusal of
// the device that was changed, none of another.
func (d *demo) sayAttestations(ctx context.Context, victim *demoDevice) error {
	var rows bytes.Buffer
	fmt.Fprintf(&rows, "\n%-10s %-12s %-9s %-8s %s\n", "DEVICE", "STATE", "ACCEPTED", "REFUSED", "LAST ATTESTATION")
	for _, dev := range d.devices {
		now, err := d.operator.device(ctx, dev)
		if err != nil {
			return err
		}
		refused, count := uint64(0), now.Device.Attestations
		for _, n := range count.Failed {
			refused += n
		}
		if (refused == 1) != (dev == victim) || refused > 1 {
			return fmt.Errorf("%s was refused %d times", dev.name, refused)
		}
		fmt.Fprintf(&rows, "%-10s %-12s %-9d %-8d %s, %s by %s\n", dev.name, now.Device.State, count.Accepted, refused,
			now.Appraisals[0].Status, now.Appraisals[0].Outcome, now.Appraisals[0].Policy)
	}
	d.say.text(rows.String())
	return nil
}
