package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a TAM, a publisher and devices on this machine, and deliver an application to them",
		Long: `Start a TAM, a publisher and devices in a temporary directory, with fresh keys and
real HTTP on loopback, and deliver an application to every device: first contact,
challenge, evidence, admission, update, installation, and the confirmation by
each device's own attestation. The application is a small WebAssembly module; the
devices run it. Version 2 takes the place of version 1. Version 3 is broken: it
fails its own test, so the devices refuse it, and version 2 runs on. Version 4
mends that.

With --tamper there is one version, and a byte of it is changed on one of three
devices after it was confirmed. The TAM holds evidence against reference values made
of the manifest: it refuses the evidence, quarantines the device by a policy, says what
differs, and has the device repair itself with the manifest that the policy names.

With --payload one file of your own is delivered instead, and run if it is a
WebAssembly module. The demo succeeds only if every device then holds exactly what
it should, the TAM shows that as confirmed, and each effect was seen.`,
		Example: `  tamarack demo
  tamarack demo --tamper --exit
  tamarack demo --devices 5 --payload ./firmware.bin --exit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.tamper && !cmd.Flags().Changed("devices") {
				o.devices = 3
			}
			switch {
			case o.devices < 1:
				return usageError{fmt.Errorf("--devices %d: at least 1", o.devices)}
			case o.tamper && o.devices < 2:
				return usageError{fmt.Errorf("--devices %d: with --tamper at least 2, for the others must not be affected", o.devices)}
			}
			return runDemo(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&o.devices, "devices", 2, "how many devices; 3 with --tamper")
	cmd.Flags().StringVar(&o.payload, "payload", "", "the `file` to deliver, instead of an application in several versions")
	cmd.Flags().BoolVar(&o.tamper, "tamper", false, "change what one device has installed, and see it refused, quarantined and repaired")
	cmd.Flags().BoolVar(&o.exit, "exit", false, "end when it is done instead of serving on")
	return cmd
}

type demoOptions struct {
	devices int
	payload string
	tamper  bool
	exit    bool
}

// demo is one run: a TAM that serves in the background, and who talks to it.
type demo struct {
	dir       string
	tamper    bool // the story with a device that differs
	say       *narrator
	server    *server
	operator  *operator
	publisher cosekit.Signer
	releases  []*release // in the order of their delivery
	standing  *release   // what every device has to hold by now
	devices   []*demoDevice
}

// runDemo ends with nil only when the story was told to its end: an interrupt
// before that is a failure, one while the TAM serves on is how people end it.
func runDemo(ctx context.Context, o demoOptions, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "tamarack-demo-")
	if err != nil {
		return err
	}
	d := &demo{dir: dir, tamper: o.tamper, say: newNarrator(out)}
	began := false
	defer func() {
		if err == nil || !began {
			err = errors.Join(err, os.RemoveAll(dir))
			return
		}
		d.say.line("demo", "kept for a look: %s, with the TAM's log in tamarack.log", dir)
	}()
	if err := d.prepare(o.payload); err != nil {
		return err
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	ended, err := d.startTAM(serving)
	if err != nil {
		return err
	}
	began = true
	err = d.play(ctx, o.devices)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted before every device was checked")
	}
	if err == nil {
		d.say.next(d, o.exit)
		if !o.exit {
			select {
			case <-ctx.Done():
			case fault := <-ended:
				return errors.Join(fault, d.closeDevices())
			}
		}
	}
	stop()
	return errors.Join(err, d.closeDevices(), <-ended)
}

func (d *demo) closeDevices() error {
	var faults []error
	for _, dev := range d.devices {
		faults = append(faults, dev.Close())
	}
	return errors.Join(faults...)
}

// play is the story. Each step fails the demo unless the TAM shows its effect.
func (d *demo) play(ctx context.Context, devices int) error {
	if err := d.registerPublisher(ctx); err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	for i, r := range d.releases {
		if err := d.publish(ctx, r); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if i == 0 {
			if err := d.enrollAll(ctx, devices); err != nil {
				return err
			}
		}
		if err := d.deliverToAll(ctx, r); err != nil {
			return err
		}
	}
	if d.tamper {
		if err := d.tamperAndRepair(ctx); err != nil {
			return err
		}
	}
	return d.check(ctx)
}

func (d *demo) enrollAll(ctx context.Context, devices int) error {
	for i := range devices {
		dev, err := d.enroll(ctx, i)
		if err != nil {
			return fmt.Errorf("device-%d: %w", i+1, err)
		}
		d.devices = append(d.devices, dev)
	}
	return nil
}

func (d *demo) deliverToAll(ctx context.Context, r *release) error {
	for i, dev := range d.devices {
		d.say.progress("delivering", i, len(d.devices))
		deliver := d.deliver
		if r.broken {
			deliver = d.deliverBroken
		}
		if err := deliver(ctx, dev, r); err != nil {
			return fmt.Errorf("%s: %w", dev.name, err)
		}
	}
	if !r.broken {
		d.standing = r
	}
	d.say.progress("delivering", len(d.devices), len(d.devices))
	return nil
}

// startTAM returns what serve will end with.
func (d *demo) startTAM(ctx context.Context) (<-chan error, error) {
	c := DefaultConfig()
	c.Data = filepath.Join(d.dir, "tam")
	c.TEEP.Listen, c.API.Listen, c.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	c.TEEP.RateLimit = RateConfig{PerAddress: -1, Total: -1} // every device has the same address
	if d.tamper {
		c.Attestation.FirstContact = string(tam.ChallengeFirst) // evidence at every poll
	}
	c.API.TokenFile = filepath.Join(d.dir, "admin.token")
	c.API.MaxPayload = max(c.API.MaxPayload, d.releases[0].size)
	logFile, err := os.Create(filepath.Join(d.dir, "tamarack.log"))
	if err != nil {
		return nil, err
	}
	if d.server, err = newServer(ctx, c, slog.New(slog.NewTextHandler(logFile, nil))); err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	if d.operator, err = newOperator(d.server.apiURL, d.server.tokenFile); err != nil {
		return nil, errors.Join(err, d.server.close(), logFile.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(d.server.serve(ctx), logFile.Close()) }()
	d.say.line("TAM", "TEEP for devices on %s/tam, API for operators on %s", d.server.teepURL, d.server.apiURL)
	return ended, nil
}

// check is the verdict: what each device holds, measured now, beside what the TAM shows.
func (d *demo) check(ctx context.Context) error {
	var rows []row
	wrong := 0
	for _, dev := range d.devices {
		r, err := d.verdict(ctx, dev)
		if err != nil {
			return fmt.Errorf("%s: %w", dev.name, err)
		}
		if !r.right {
			wrong++
		}
		rows = append(rows, r)
	}
	d.say.table(rows, d.standing)
	if wrong > 0 {
		return fmt.Errorf("%d of %d devices do not hold %s, confirmed", wrong, len(rows), d.standing.name())
	}
	return nil
}

func (d *demo) verdict(ctx context.Context, dev *demoDevice) (r row, err error) {
	r.device = dev.name
	if r.held, r.sequence, err = dev.held(ctx); err != nil {
		return r, err
	}
	status, err := d.operator.status(ctx, dev, d.standing)
	if err != nil {
		return r, err
	}
	r.tam = state(status)
	r.right = r.held == d.standing.sha256 && r.sequence == d.standing.sequence && r.tam == string(client.ComponentStateConfirmed)
	return r, nil
}

// demoDevice is an agent in a directory of its own.
type demoDevice struct {
	*device.Device
	name string
	dir  string
	id   string        // at the TAM
	said []agent.Event // since it was last asked
}

// held is what the device measures of the component now, and the sequence number of the
// manifest that it came with.
func (dev *demoDevice) held(ctx context.Context) (sha256 string, sequence uint64, err error) {
	status, err := dev.Status(ctx)
	if err != nil {
		return "", 0, err
	}
	for _, c := range status.Components {
		if c.ID.Equal(demoComponent) {
			return hex.EncodeToString(c.SHA256), c.Sequence, nil
		}
	}
	return "nothing", 0, nil
}

func short(key *cosekit.PublicKey) string { return key.Thumbprint().String()[:16] + "…" }

// size writes a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
