package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
)

// What the demo's publisher signs for.
const (
	demoVendor = "tamarack.example"
	demoClass  = "demo device"
	demoPrefix = "demo"
	demoSample = "Hello from a Trusted Component, delivered by Tamarack.\n"
)

var demoComponent = suit.ComponentID{[]byte("demo"), []byte("app")}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a TAM, a publisher and devices on this machine, and deliver a file to them",
		Long: `Start a TAM, a publisher and devices in a temporary directory, with fresh keys and
real HTTP on loopback, and deliver a file to every device: first contact,
challenge, evidence, admission, update, installation, and the confirmation by
each device's own attestation. It succeeds only if every device then holds
exactly that file and the TAM shows it confirmed.`,
		Example: `  tamarack demo
  tamarack demo --devices 5 --payload ./firmware.bin --exit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.devices < 1 {
				return usageError{fmt.Errorf("--devices %d: at least 1", o.devices)}
			}
			return runDemo(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntVar(&o.devices, "devices", 2, "how many devices")
	cmd.Flags().StringVar(&o.payload, "payload", "", "the file to deliver; a short text if none is named")
	cmd.Flags().BoolVar(&o.exit, "exit", false, "end when it is done instead of serving on")
	return cmd
}

type demoOptions struct {
	devices int
	payload string
	exit    bool
}

// demo is one run: a TAM that serves in the background, and who talks to it.
type demo struct {
	dir       string
	say       *narrator
	server    *server
	operator  *operator
	publisher cosekit.Signer
	payload   payloadFile
	devices   []*demoDevice
}

type payloadFile struct {
	path   string
	size   int64
	sha256 string // hexadecimal
}

// runDemo ends with nil only when the story was told to its end: an interrupt
// before that is a failure, one while the TAM serves on is how people end it.
func runDemo(ctx context.Context, o demoOptions, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "tamarack-demo-")
	if err != nil {
		return err
	}
	d := &demo{dir: dir, say: newNarrator(out)}
	began := false
	defer func() {
		if err == nil || !began {
			err = errors.Join(err, os.RemoveAll(dir))
			return
		}
		d.say.line("demo", "kept for a look: %s, with the TAM's log in tamarack.log", dir)
	}()
	if err := d.choosePayload(o.payload); err != nil {
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
	if err := d.publish(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for i := range devices {
		dev, err := d.enroll(ctx, i)
		if err != nil {
			return fmt.Errorf("device-%d: %w", i+1, err)
		}
		d.devices = append(d.devices, dev)
	}
	for i, dev := range d.devices {
		d.say.progress("delivering", i, len(d.devices))
		if err := d.deliver(ctx, dev); err != nil {
			return fmt.Errorf("%s: %w", dev.name, err)
		}
	}
	d.say.progress("delivering", len(d.devices), len(d.devices))
	return d.check(ctx)
}

func (d *demo) choosePayload(path string) error {
	if path == "" {
		path = filepath.Join(d.dir, "sample.txt")
		if err := os.WriteFile(path, []byte(demoSample), 0o600); err != nil {
			return err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("payload: %w; name a file that can be read with --payload, or leave it out for a sample", err)
	}
	defer f.Close() // it was only read
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if n == 0 {
		return usageError{fmt.Errorf("payload %s is empty; name a file with something in it", path)}
	}
	d.payload = payloadFile{path, n, hex.EncodeToString(h.Sum(nil))}
	return nil
}

// startTAM returns what serve will end with.
func (d *demo) startTAM(ctx context.Context) (<-chan error, error) {
	c := DefaultConfig()
	c.Data = filepath.Join(d.dir, "tam")
	c.TEEP.Listen, c.API.Listen, c.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	c.TEEP.RateLimit = RateConfig{PerAddress: -1, Total: -1} // every device has the same address
	c.API.TokenFile = filepath.Join(d.dir, "admin.token")
	c.API.MaxPayload = max(c.API.MaxPayload, d.payload.size)
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

// publish signs the payload as a publisher would, away from the TAM, and uploads it.
func (d *demo) publish(ctx context.Context) error {
	var err error
	if d.publisher, err = cosekit.CreateKeyFile(filepath.Join(d.dir, "publisher.pem"), cosekit.ESP256); err != nil {
		return err
	}
	if err := d.operator.addPublisher(ctx, "demo publisher", d.publisher.PublicKey(), demoPrefix); err != nil {
		return err
	}
	d.say.line("operator", "registered publisher key %s for %s/…", short(d.publisher.PublicKey()), demoPrefix)
	envelope, err := author.Sign(&author.Description{
		Component:      demoComponent,
		SequenceNumber: 1,
		VendorDomain:   demoVendor,
		ClassInfo:      demoClass,
		Payload:        author.Payload{File: d.payload.path, URIBase: d.server.teepURL + teephttp.PayloadPath},
	}, d.publisher)
	if err != nil {
		return err
	}
	encoded, err := envelope.Encode(true)
	if err != nil {
		return err
	}
	d.say.line("publisher", "signed %s (%s) as %s, sequence 1", filepath.Base(d.payload.path), size(d.payload.size), demoComponent)
	if err := d.operator.upload(ctx, d.payload.path); err != nil {
		return err
	}
	digest, err := d.operator.publish(ctx, encoded)
	if err != nil {
		return err
	}
	d.say.line("operator", "published manifest %s", digest)
	return nil
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
	d.say.table(rows, d.payload)
	if wrong > 0 {
		return fmt.Errorf("%d of %d devices do not hold the payload, confirmed", wrong, len(rows))
	}
	return nil
}

func (d *demo) verdict(ctx context.Context, dev *demoDevice) (row, error) {
	r := row{device: dev.name, held: "nothing", tam: "nothing"}
	status, err := dev.Status(ctx)
	if err != nil {
		return r, err
	}
	for _, c := range status.Components {
		if c.ID.Equal(demoComponent) {
			r.held, r.sequence = hex.EncodeToString(c.SHA256), c.Sequence
		}
	}
	state, err := d.operator.componentState(ctx, dev)
	if err != nil {
		return r, err
	}
	if state != "" {
		r.tam = state
	}
	r.right = r.held == d.payload.sha256 && r.tam == "confirmed"
	return r, nil
}

// demoDevice is an agent in a directory of its own.
type demoDevice struct {
	*device.Device
	name string
	dir  string
	id   string // at the TAM
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
