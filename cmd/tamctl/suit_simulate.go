package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// errDeviceRefuses is the outcome of a simulation that did not succeed.
var errDeviceRefuses = errors.New("the simulated device refuses it")

// simulation are the flags of 'suit simulate'.
type simulation struct {
	path, device      string
	identity          identityFlags
	publishers        publisherFlags
	circumstances     circumstanceFlags
	decryptKeys       []string
	fetchFrom, report string
	compat            bool
	invoke, uninstall bool
	verbose           bool
}

func suitSimulate(app *app) *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "simulate ENVELOPE --device FOLDER --key FILE",
		Short: "Try a manifest on a device that is only a folder",
		Long: `Simulate runs the manifest as a device would: the processor and the component store are
those of teep-agent, and the folder is the device. It is made at first use, which needs
--vendor and --class; later the device remembers who it is, and what is installed. A
manifest that is refused changes nothing.

It prints each command in its order, with its section, byte offset, component and
outcome: ok, failed, or softened where a try-each or run-sequence goes on. Then the
rules that --compat had to bend, where it failed (or with -v) the report that a device
would send, in words, and what is installed.

Integrated payloads are there by themselves. Others come from files (--fetch-from FOLDER:
the last segment of the URI is the name of the file, or its SHA-256), or over the network
(--fetch-from network). Conditions about charge, authorisation and time hold only where
--battery, --authorized and --time say so. With --invoke the manifest is invoked after
the update: a WebAssembly application runs, in a sandbox, and its output is shown.

Exit codes: 0 where the device did all of it, 3 where it refused, 1 where a file could
not be read or written.`,
		Example: `  tamctl suit simulate hello.suit --device bench --vendor example.com --class lamp \
    --key publisher.pub.pem --fetch-from .
  tamctl suit simulate hello.suit --device bench --key publisher.pub.pem --uninstall`,
		Args: exactly("ENVELOPE"),
	}
	f := cmd.Flags()
	f.StringVar(&s.device, "device", "", "folder that is the device (required)")
	f.StringVar(&s.identity.vendor, "vendor", "", "domain of the device's vendor")
	f.StringVar(&s.identity.vendorID, "vendor-id", "", "vendor id (UUID) instead of a domain")
	f.StringVar(&s.identity.class, "class", "", "what the vendor calls this class of devices")
	f.StringVar(&s.identity.classID, "class-id", "", "class id (UUID) instead of the words for it")
	f.StringVar(&s.identity.deviceID, "device-id", "", "id (UUID) of this one device")
	s.publishers.add(cmd, "`file[=prefix]` with the public key of a publisher, for components under the prefix only, and for the commands and parameters behind it; repeatable")
	f.StringArrayVar(&s.decryptKeys, "decrypt-key", nil, "key file of the device that payloads are encrypted to; repeatable")
	f.StringVar(&s.fetchFrom, "fetch-from", "", "folder with the payloads, or network (default: integrated payloads only)")
	f.StringVar(&s.circumstances.battery, "battery", "", "charge of the device in mWh")
	f.StringVar(&s.circumstances.authorized, "authorized", "", "whether updates may be made: yes, no, or the highest update-priority")
	f.StringVar(&s.circumstances.time, "time", "", "time on the device: now, or 2027-01-31T12:00:00Z")
	f.BoolVar(&s.compat, "compat", false, "accept what the published examples do against the drafts, and say so")
	f.BoolVar(&s.invoke, "invoke", false, "invoke the manifest after the update")
	f.BoolVar(&s.uninstall, "uninstall", false, "take the manifest off the device instead")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "tell also what repeats itself, and the report of what went well")
	f.StringVar(&s.report, "report", "", "file to write the SUIT_Report to, unsigned")
	choices(cmd, "authorized", "yes", "no")
	folders(cmd, "device")
	folders(cmd, "fetch-from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s.path = args[0]
		return s.run(cmd, app)
	}
	return cmd
}

func (s *simulation) check() error {
	switch {
	case s.device == "":
		return usage("say which folder is the device, with --device")
	case s.invoke && s.uninstall:
		return usage("--invoke and --uninstall: what is taken off cannot be invoked; do one after the other")
	case s.report != "":
		return replaces(s.report, "SUIT report", isReport, append(slices.Concat(s.publishers.keys, s.publishers.secrets, s.decryptKeys), s.path)...)
	}
	return nil
}

func isReport(data []byte) bool {
	_, err := suit.DecodeReport(data)
	return err == nil
}

func (s *simulation) run(cmd *cobra.Command, app *app) error {
	if err := errors.Join(app.checkFormat(), s.check()); err != nil {
		return err
	}
	publishers, err := s.publishers.load()
	if err != nil {
		return err
	}
	d, err := s.simulator(publishers)
	if err != nil {
		return err
	}
	fault := d.process(cmd.Context(), s)
	if err := errors.Join(d.look(cmd.Context()), d.close()); err != nil {
		return errors.Join(fault, err)
	}
	if err := app.show(cmd.OutOrStdout(), d.result, func(t *tabwriter.Writer) { d.result.write(t, s.verbose) }); err != nil {
		return err
	}
	if err := d.writeReport(s.report); err != nil {
		return errors.Join(fault, err)
	}
	return fault
}

// simulator opens everything that the simulation works on.
func (s *simulation) simulator(publishers *publishers) (*simulator, error) {
	circumstances, err := s.circumstances.parse()
	if err != nil {
		return nil, err
	}
	keys, err := readDecryptionKeys(s.decryptKeys)
	if err != nil {
		return nil, err
	}
	given, err := s.identity.identity()
	if err != nil {
		return nil, err
	}
	envelope, err := readEnvelope(s.path)
	if err != nil {
		return nil, err
	}
	fetcher, closeFetcher, err := newFetcher(s.fetchFrom)
	if err != nil {
		return nil, err
	}
	store, id, err := openDevice(s.device, given)
	if err != nil {
		return nil, errors.Join(err, closeFetcher())
	}
	d := &simulator{
		path: s.path, envelope: envelope, store: store, closeFetcher: closeFetcher,
		publishers: publishers, dependencies: map[string]*suit.Envelope{},
	}
	d.result.Device = simulatedIdentity{Folder: s.device, Vendor: id.Vendor, Class: id.Class}
	if id.Device != none {
		d.result.Device.Device = &id.Device
	}
	d.configure(s.compat, fetcher, keys, circumstances)
	return d, nil
}

// readDecryptionKeys reads agreement keys and secrets.
func readDecryptionKeys(paths []string) (keys cosekit.DecryptionKeys, err error) {
	for _, path := range paths {
		agreement, err := cosekit.LoadAgreementKey(path)
		if err == nil {
			keys.Agreements = append(keys.Agreements, agreement)
			continue
		}
		if _, missing := os.Stat(path); missing != nil {
			return keys, missing
		}
		secret, other := cosekit.LoadSecretKey(path)
		if other != nil {
			return keys, advise(fmt.Errorf("%s is no key to decrypt with: want a private agreement key or a secret", path),
				"'tamctl keygen --algorithm ecdh-p256' and '--algorithm a128kw' make them")
		}
		keys.Secrets = append(keys.Secrets, secret)
	}
	return keys, nil
}

// process runs the procedures, up to the first that fails.
func (d *simulator) process(ctx context.Context, s *simulation) error {
	verified, err := d.publishers.verify(d.envelope)
	if err != nil {
		d.result.Refused = oneLine(err)
		return advise(fmt.Errorf("%s: %w: %s", d.path, errDeviceRefuses, oneLine(err)), "%s", unverified(d.path, err))
	}
	d.describe(verified)
	procedures := []procedure{{"update", d.processor.Update}}
	switch {
	case s.uninstall:
		procedures = []procedure{{"uninstall", d.processor.Uninstall}}
	case s.invoke:
		procedures = append(procedures, procedure{"invoke", d.processor.Invoke})
	}
	for _, p := range procedures {
		if err := d.execute(ctx, p, verified); err != nil {
			return advise(fmt.Errorf("%s: %w: %s: %s", d.path, errDeviceRefuses, p.name, oneLine(err)), "%s", d.nextStep(err))
		}
	}
	return nil
}
