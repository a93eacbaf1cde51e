package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// initFlags are the flags of init as people write them.
type initFlags struct {
	tam, caFile, numbering, algorithm string
	reportKey                         string
	legacy                            bool
	tamKeys, publisherKeys            []string
	ueid, oemid, model, hwversion     string
	vendor, class                     string
	vendorID, classID, deviceID       string
	attestation                       attestationFlags
}

func (p *program) initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a device: keys, trust anchors and settings in a directory",
		Long: `Make a device: keys, trust anchors and settings in a directory.

The device trusts the TAM keys and publisher keys that are given here and nobody
else. Keys are files with a public key in PEM form, or a bare COSE_Key.

A publisher may be held to some commands and parameters on the components under a
prefix: FILE=PREFIX commands=NAME,… parameters=NAME,… with the names of SUIT, such as
process-dependency and encryption-info. Conditions and what orders a sequence are
always allowed.`,
		Example: `  teep-agent init --dir lamp1 --tam https://tam.example/tam --tam-key tam-esp256.pub.pem \
      --publisher-key publisher.pub.pem --vendor example.com --class lamp
  teep-agent init --dir lamp2 --tam http://127.0.0.1:8777/tam --tam-key tam-ed25519.pub.pem \
      --publisher-key publisher.pub.pem=app --vendor example.com --class lamp --algorithm ed25519
  teep-agent init --dir lamp3 --tam https://tam.example/tam --tam-key tam-esp256.pub.pem \
      --publisher-key author.pub.pem=app --publisher-key distributor.pub.pem=app/hello/suit \
      --publisher-key 'distributor.pub.pem=app/hello commands=process-dependency parameters=encryption-info,uri' \
      --vendor example.com --class lamp
  teep-agent init --dir gateway --tam https://tam.example/tam --tam-key tam-esp256.pub.pem \
      --publisher-key publisher.pub.pem --vendor example.com --class gateway \
      --attester tpm --pcrs 0,2,4,7 --tam-attestation-key tam-attestation.pub.pem`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			setup, err := f.setup()
			if err != nil {
				return usageError{err}
			}
			if err := device.Create(p.dir, setup); err != nil {
				return err
			}
			fmt.Fprint(cmd.ErrOrStderr(), p.algorithmWarning(setup))
			return p.explain(cmd, setup)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tam, "tam", "", "`URL` of the TAM's TEEP endpoint (https, or http on loopback)")
	flags.StringVar(&f.caFile, "tam-ca", "", "`file` with the CA certificates of the TAM's server, PEM (default: those of the system)")
	flags.StringArrayVar(&f.tamKeys, "tam-key", nil, "`file` with a public TEEP key of the TAM; may be repeated")
	flags.StringVar(&f.reportKey, "report-key", "", "`file` with the public key of the TAM that reports are encrypted to (default: they are signed only)")
	flags.StringArrayVar(&f.publisherKeys, "publisher-key", nil, "`file[=prefix]` with the public key of a publisher, for components under the prefix only, and for the commands and parameters behind it; may be repeated")
	flags.StringVar(&f.numbering, "numbering", "iana", "message numbers that the TAM uses: iana or pre-iana")
	flags.StringVar(&f.algorithm, "algorithm", "esp256", "algorithm of the device's keys: esp256 or ed25519")
	flags.BoolVar(&f.legacy, "allow-legacy-algorithms", false, "accept ES256 and EdDSA signatures of older TAMs and publishers")
	flags.StringVar(&f.vendor, "vendor", "", "vendor's `domain`; the vendor id is made of it (RFC 9562 UUIDv5)")
	flags.StringVar(&f.class, "class", "", "`name` of the device class; the class id is made of vendor id and name")
	flags.StringVar(&f.vendorID, "vendor-id", "", "vendor `UUID`, instead of --vendor")
	flags.StringVar(&f.classID, "class-id", "", "class `UUID`, instead of --class")
	flags.StringVar(&f.deviceID, "device-id", "", "device `UUID`, for manifests made for this device alone")
	flags.StringVar(&f.ueid, "ueid", "", "universal entity id in `hex`: 01 and 16 random bytes, or 02 or 03 and what it is made of (default: a random one)")
	flags.StringVar(&f.oemid, "oemid", "", "hardware maker: pen:NUMBER, ieee:HEX6 or 32 `hex` digits (default: the vendor id)")
	flags.StringVar(&f.model, "model", "", "hardware `model`, 1 to 32 bytes (default: the class name)")
	flags.StringVar(&f.hwversion, "hwversion", "1", "hardware `version`")
	f.attestation.add(flags)
	return cmd
}

// setup checks the flags and reads the key files.
func (f *initFlags) setup() (device.Setup, error) {
	var s device.Setup
	switch {
	case f.tam == "":
		return s, fmt.Errorf("--tam is missing: the URL of the TAM's TEEP endpoint")
	case len(f.tamKeys) == 0:
		return s, fmt.Errorf("--tam-key is missing: without a key of the TAM the device would answer nobody")
	}
	var err error
	if s.Algorithm, err = parseAlgorithm(f.algorithm); err != nil {
		return s, err
	}
	s.Settings = device.Settings{
		TAM:  device.TAM{URL: f.tam, CAFile: f.caFile, Legacy: f.legacy, ReportKey: f.reportKey},
		Poll: device.DefaultPolling,
	}
	if f.reportKey != "" {
		if _, err := readAgreementKey("--report-key", f.reportKey); err != nil {
			return s, err
		}
	}
	if err := f.attestation.apply(&s.Settings); err != nil {
		return s, err
	}
	if s.Settings.TAM.Numbering, err = teep.ParseNumbering(f.numbering); err != nil {
		return s, fmt.Errorf("--numbering: %w", err)
	}
	if s.Settings.Identity, err = f.identity(); err != nil {
		return s, err
	}
	if s.Anchors, err = f.anchors(); err != nil {
		return s, err
	}
	return s, s.Settings.Check()
}

func parseAlgorithm(name string) (cosekit.Algorithm, error) {
	switch name {
	case "esp256":
		return cosekit.ESP256, nil
	case "ed25519":
		return cosekit.Ed25519, nil
	}
	return 0, fmt.Errorf("--algorithm %q: want esp256 or ed25519", name)
}

func (f *initFlags) identity() (device.Identity, error) {
	i := device.Identity{UEID: device.RandomUEID(), Model: f.model, HWVersion: f.hwversion}
	if f.ueid != "" {
		if err := i.UEID.UnmarshalText([]byte(f.ueid)); err != nil {
			return i, fmt.Errorf("--ueid: %w", err)
		}
	}
	var err error
	if f.vendor != "" {
		if f.vendor, err = author.ParseVendorDomain(f.vendor); err != nil {
			return i, fmt.Errorf("--vendor: %w", err)
		}
	}
	if i.Vendor, err = chooseID("vendor", f.vendor, f.vendorID, author.VendorID); err != nil {
		return i, err
	}
	ofVendor := func(class string) uuid.UUID { return author.ClassID(i.Vendor, class) }
	if i.Class, err = chooseID("class", f.class, f.classID, ofVendor); err != nil {
		return i, err
	}
	if f.deviceID != "" {
		id, err := uuid.Parse(f.deviceID)
		if err != nil {
			return i, fmt.Errorf("--device-id: %w", err)
		}
		i.Device = &id
	}
	if i.Model == "" {
		i.Model = f.class
	}
	if i.Model == "" {
		return i, fmt.Errorf("--model is missing: with --class-id there is no class name to take")
	}
	i.OEMID = device.RandomOEMID(i.Vendor)
	if f.oemid != "" {
		if i.OEMID, err = device.ParseOEMID(f.oemid); err != nil {
			return i, fmt.Errorf("--oemid: %w", err)
		}
	}
	return i, nil
}

// chooseID takes the id as it is written, or makes it of a name.
func chooseID(what, name, id string, derive func(name string) uuid.UUID) (uuid.UUID, error) {
	switch {
	case name != "" && id != "":
		return uuid.Nil, fmt.Errorf("--%s and --%s-id exclude each other", what, what)
	case name != "":
		return derive(name), nil
	case id != "":
		parsed, err := uuid.Parse(id)
		if err != nil {
			return uuid.Nil, fmt.Errorf("--%s-id: %w", what, err)
		}
		return parsed, nil
	}
	return uuid.Nil, fmt.Errorf("--%s is missing: manifests say for which %s they are", what, what)
}

// anchors makes one anchor of each key. A publisher's key may be given several times,
// each time with another prefix.
func (f *initFlags) anchors() ([]anchor.Anchor, error) {
	var list []anchor.Anchor
	givenAs := map[cosekit.Thumbprint]string{}
	for _, file := range f.tamKeys {
		key, err := readKey("--tam-key", file, cosekit.ReadPublicKey)
		if err != nil {
			return nil, err
		}
		if earlier, known := givenAs[key.Thumbprint()]; known {
			return nil, fmt.Errorf("--tam-key %s: %w, from %s; give each key once", file, anchor.ErrExists, earlier)
		}
		givenAs[key.Thumbprint()] = "--tam-key " + file
		list = append(list, anchor.Anchor{Key: key, Title: "TAM", Purposes: []anchor.Purpose{anchor.TAM}})
	}
	vouching, err := f.attestation.anchors(givenAs)
	if err != nil {
		return nil, err
	}
	list = append(list, vouching...)
	publishers := map[cosekit.Thumbprint]int{}
	for _, argument := range f.publisherKeys {
		file, scope, narrow := strings.Cut(argument, "=")
		key, err := readKey("--publisher-key", file, cosekit.ReadManifestKey)
		if err != nil {
			return nil, err
		}
		if earlier, known := givenAs[key.Thumbprint()]; known {
			return nil, fmt.Errorf("--publisher-key %s: %w, from %s; publishers sign with keys of their own",
				file, anchor.ErrExists, earlier)
		}
		at, known := publishers[key.Thumbprint()]
		if !known {
			at = len(list)
			publishers[key.Thumbprint()] = at
			list = append(list, anchor.Anchor{Key: key, Title: "publisher", Purposes: []anchor.Purpose{anchor.TCSigner}})
		}
		constraints := &list[at].Constraints
		if known && narrow == constraints.Everywhere() {
			return nil, fmt.Errorf("--publisher-key %s: given with a prefix and without one; which is meant?", file)
		}
		if !narrow {
			continue
		}
		allowed, err := anchor.ParseScope(scope)
		if err != nil {
			return nil, fmt.Errorf("--publisher-key %s: %w", argument, err)
		}
		constraints.Admit(allowed)
	}
	if _, err := anchor.NewStore(list...); err != nil {
		return nil, err
	}
	return list, nil
}

func readKey(flag, file string, read func([]byte) (*cosekit.PublicKey, error)) (*cosekit.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	key, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, file, err)
	}
	return key, nil
}

func readAgreementKey(what, file string) (*cosekit.AgreementPublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	key, err := cosekit.ReadAgreementPublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, file, err)
	}
	return key, nil
}

// explain says what was made and what comes next.
func (p *program) explain(cmd *cobra.Command, s device.Setup) error {
	attester := s.Settings.Attestation.Attester
	attestation := "of the hardware (" + attester.String() + ")"
	if attester != device.AttesterTSM {
		key, err := readKey("attestation key", device.PublicKeyPath(p.dir), cosekit.ReadPublicKey)
		if err != nil {
			return err
		}
		attestation = key.Thumbprint().String()
	}
	next, command := p.introduction(s.Settings.Attestation)
	if command != "" {
		command = "  " + command + "\n"
	}
	decryption, err := readAgreementKey("decryption key", device.DecryptionKeyPath(p.dir))
	if err != nil {
		return err
	}
	warning := "No publisher key was given: this device will refuse every manifest.\n"
	for _, a := range s.Anchors {
		if a.Has(anchor.TCSigner) {
			warning = ""
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `Device made in %s
  ueid             %s
  vendor id        %s
  class id         %s
  TAM              %s
  attestation key  %s
  decryption key   %s

Publishers encrypt payloads to %s.
%s
Next, %s, then hold a session:
%s  teep-agent poll --dir %s
`, p.dir, s.Settings.Identity.UEID, s.Settings.Identity.Vendor, s.Settings.Identity.Class,
		s.Settings.TAM.URL, attestation, decryption.Thumbprint(), lines.Quote(device.DecryptionKeyPath(p.dir)), warning,
		next, command, lines.Quote(p.dir))
	return err
}

// algorithmWarning warns of a device that has no key of the TAM for its own algorithm. It would
// understand the first QueryRequest, which is signed for every algorithm, and refuse
// what follows, which is signed for its own (draft-ietf-teep-protocol-26 section 8.1).
func (p *program) algorithmWarning(s device.Setup) string {
	var other cosekit.Algorithm
	for _, a := range s.Anchors {
		switch {
		case !a.Has(anchor.TAM):
		case a.Key.Algorithm() == s.Algorithm:
			return ""
		default:
			other = a.Key.Algorithm()
		}
	}
	own := cosekit.AlgorithmName(s.Algorithm)
	return fmt.Sprintf(`warning: no --tam-key is for %s, which the TAM uses with this device: its sessions will fail
  next: remove %s, then init again with the TAM's %s key as a --tam-key too,
  or with --algorithm %s
`, own, lines.Quote(p.dir), own, strings.ToLower(cosekit.AlgorithmName(other)))
}

// registration is the command that lets the TAM know this device's attester, for the format
// of evidence that it makes.
func (p *program) registration(attester device.AttesterKind) string {
	title := p.dir
	if path, err := filepath.Abs(p.dir); err == nil {
		title = filepath.Base(path)
	}
	command := fmt.Sprintf("tamctl attestation-anchor add %s --title %s", lines.Quote(device.PublicKeyPath(p.dir)), lines.Quote(title))
	if attester != device.AttesterEAT {
		command += " --format " + attester.String()
	}
	return command
}
