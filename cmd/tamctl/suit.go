package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

func suitCommand() *cobra.Command {
	return group("suit", "Make and sign SUIT envelopes, in files", suitCreate(), suitSign())
}

// creation are the flags of 'suit create'. Each stands above its key in a
// description file.
type creation struct {
	file                           string
	component, manifestComponent   string
	sequence                       uint64
	vendor, vendorID               string
	class, classID, deviceID       string
	payload, uri, uriBase, version string
	integrated                     bool
	key, out                       string
}

func suitCreate() *cobra.Command {
	var c creation
	cmd := &cobra.Command{
		Use:   "create --out FILE",
		Short: "Make an envelope that installs one payload",
		Long: `Create writes an envelope whose manifest installs one payload as one component. The
flags say what goes into it, or a description file (-f), or both: a flag stands above
the file. Without --key the envelope is not signed yet: 'tamctl suit sign' does that.

A description file has these keys; the paths in it start from its folder:

  component: app/hello             # what is installed
  manifest-component: app/hello/suit   # optional: the name of the manifest itself
  sequence-number: 3               # higher than that of the last manifest
  vendor-domain: example.com       # or vendor-id: UUID
  class-info: thermostat rev 2     # or class-id: UUID
  device-id: UUID                  # optional: for one device only
  version: 1.2.3                   # optional
  payload:
    file: hello.wasm
    uri-base: https://tam.example.com/payloads   # or uri: …, or integrated: true
  text:                            # optional, by language
    en: {component: Says hello}`,
		Example: `  tamctl suit create --component app/hello --sequence 1 --vendor example.com \
    --class 'thermostat rev 2' --payload hello.wasm \
    --uri-base https://tam.example.com/payloads --key publisher.pem --out hello.suit
  tamctl suit create -f hello.yaml --sequence 4 --out hello.suit`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVarP(&c.file, "file", "f", "", "description file (YAML)")
	f.StringVar(&c.component, "component", "", "component that is installed, for example app/hello")
	f.StringVar(&c.manifestComponent, "manifest-component", "", "name of the manifest itself (default COMPONENT/suit)")
	f.Uint64Var(&c.sequence, "sequence", 0, "sequence number, higher than that of the last manifest")
	f.StringVar(&c.vendor, "vendor", "", "domain of the devices' vendor")
	f.StringVar(&c.vendorID, "vendor-id", "", "vendor id (UUID) instead of a domain")
	f.StringVar(&c.class, "class", "", "what the vendor calls this class of devices")
	f.StringVar(&c.classID, "class-id", "", "class id (UUID) instead of the words for it")
	f.StringVar(&c.deviceID, "device-id", "", "the one device (UUID) that it is for")
	f.StringVar(&c.payload, "payload", "", "file that is installed")
	f.StringVar(&c.uri, "uri", "", "where devices fetch the payload")
	f.StringVar(&c.uriBase, "uri-base", "", "the same without the last segment, which will be the payload's SHA-256")
	f.BoolVar(&c.integrated, "integrated", false, "carry the payload in the envelope")
	f.StringVar(&c.version, "version", "", "version that is installed, for example 1.2.3")
	f.StringVar(&c.key, "key", "", "private key file of the publisher, to sign at once")
	f.StringVar(&c.out, "out", "", "file to write the envelope to (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.out == "" {
			return usage("say where to write the envelope, with --out")
		}
		d, err := c.description()
		if err != nil {
			return err
		}
		return c.create(cmd.OutOrStdout(), d)
	}
	return cmd
}

// description reads the file, if there is one, and lays the flags over it.
func (c *creation) description() (*author.Description, error) {
	d := &author.Description{}
	if c.file != "" {
		var err error
		if d, err = author.Load(c.file); err != nil {
			return nil, err
		}
	}
	set(&d.SequenceNumber, c.sequence)
	// What names the same thing in another way gives place.
	if c.vendor != "" {
		d.VendorDomain, d.VendorID = c.vendor, uuid.Nil
	}
	if c.class != "" {
		d.ClassInfo, d.ClassID = c.class, uuid.Nil
	}
	if c.vendorID != "" {
		d.VendorDomain = ""
	}
	if c.classID != "" {
		d.ClassInfo = ""
	}
	if c.uri != "" || c.uriBase != "" || c.integrated {
		d.Payload = author.Payload{File: d.Payload.File, URI: c.uri, URIBase: c.uriBase, Integrated: c.integrated}
	}
	set(&d.Payload.File, c.payload)
	set(&d.Version, c.version)
	return d, errors.Join(
		parse(&d.Component, "--component", c.component, suit.ParseComponentID),
		parse(&d.ManifestComponent, "--manifest-component", c.manifestComponent, suit.ParseComponentID),
		parse(&d.VendorID, "--vendor-id", c.vendorID, uuid.Parse),
		parse(&d.ClassID, "--class-id", c.classID, uuid.Parse),
		parse(&d.DeviceID, "--device-id", c.deviceID, uuid.Parse),
	)
}

// set takes a flag that was given.
func set[T comparable](field *T, flag T) {
	var zero T
	if flag != zero {
		*field = flag
	}
}

// parse takes a flag that was given and is not plain text.
func parse[T any](field *T, name, flag string, read func(string) (T, error)) error {
	if flag == "" {
		return nil
	}
	value, err := read(flag)
	if err != nil {
		return usage("%s: %w", name, err)
	}
	*field = value
	return nil
}

func (c *creation) create(stdout io.Writer, d *author.Description) error {
	if err := replaceable(c.out, append(d.Files(), c.file, c.key)...); err != nil {
		return err
	}
	made, err := author.Create(d)
	if errors.Is(err, author.ErrDescription) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	envelope, err := made.Envelope()
	if err != nil {
		return err
	}
	next := fmt.Sprintf("tamctl suit sign %s --key FILE", lines.Quote(c.out))
	if c.key != "" {
		if envelope, err = signEnvelope(envelope, c.key); err != nil {
			return err
		}
		payload := d.Payload.File
		if len(made.Files) > 0 {
			payload = made.Files[0].Path
		}
		next = publishStep(c.out, envelope, payload)
	}
	if err := writeEnvelope(c.out, envelope); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s\n  %s sequence %d\n  manifest %s\n  next: %s\n",
		c.out, made.Manifest.ComponentID, made.Manifest.SequenceNumber, envelope.Digest(), next)
	return err
}

// publishStep is the command that publishes an envelope and the payload that it
// does not carry.
func publishStep(path string, envelope *suit.Envelope, payload string) string {
	step := "tamctl manifest publish " + lines.Quote(path)
	if len(envelope.IntegratedNames()) == 0 {
		step += " --payload " + lines.Quote(payload)
	}
	return step
}

func suitSign() *cobra.Command {
	var key, out string
	cmd := &cobra.Command{
		Use:     "sign ENVELOPE --key FILE",
		Short:   "Sign an envelope",
		Long:    "Sign computes the digest of the manifest again, signs it, and writes the envelope to --out or back to its file.",
		Example: "  tamctl suit sign hello.suit --key publisher.pem",
		Args:    exactly("ENVELOPE"),
	}
	cmd.Flags().StringVar(&key, "key", "", "private key file of the publisher (required)")
	cmd.Flags().StringVar(&out, "out", "", "file to write to (default ENVELOPE itself)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out == "" {
			out = args[0]
		}
		if key == "" {
			return usage("name the publisher's private key, with --key; 'tamctl keygen' makes one")
		}
		return signFile(cmd.OutOrStdout(), args[0], key, out)
	}
	return cmd
}

func signFile(stdout io.Writer, path, key, out string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	envelope, err := suit.Decode(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := replaceable(out, key); err != nil {
		return err
	}
	signed, err := signEnvelope(envelope, key)
	if errors.Is(err, suit.ErrSigned) {
		return advise(fmt.Errorf("%s: %w", path, err),
			"publish it: %s; for another signature make it anew with 'tamctl suit create'", publishStep(path, envelope, "FILE"))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeEnvelope(out, signed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "signed %s\n  manifest %s\n  next: %s\n", out, signed.Digest(), publishStep(out, signed, "FILE"))
	return err
}

func signEnvelope(envelope *suit.Envelope, keyFile string) (*suit.Envelope, error) {
	signer, err := cosekit.LoadManifestSigner(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return envelope.Sign(signer)
}

func writeEnvelope(path string, envelope *suit.Envelope) error {
	data, err := envelope.Encode(true)
	if err != nil {
		return err
	}
	return writeWhole(path, data, os.Rename)
}
