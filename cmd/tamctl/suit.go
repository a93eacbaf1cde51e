package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

func suitCommand(app *app) *cobra.Command {
	return group("suit", "Make and sign SUIT envelopes, in files", suitCreate(app), suitSign(app))
}

// creation are the flags of 'suit create'. Each is the key of the same name in a
// description file and stands above it.
type creation struct {
	file                           string
	component, manifestComponent   string
	sequence                       uint64
	vendorDomain, vendorID         string
	classInfo, classID, deviceID   string
	payload, uri, uriBase, version string
	integrated                     bool
	key, out                       string
}

func suitCreate(app *app) *cobra.Command {
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
		Example: `  tamctl suit create --component app/hello --sequence 1 --vendor-domain example.com \
    --class-info 'thermostat rev 2' --payload hello.wasm \
    --uri-base https://tam.example.com/payloads --key publisher.pem --out hello.suit
  tamctl suit create -f hello.yaml --sequence 4 --out hello.suit`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVarP(&c.file, "file", "f", "", "description file (YAML)")
	f.StringVar(&c.component, "component", "", "component that is installed, for example app/hello")
	f.StringVar(&c.manifestComponent, "manifest-component", "", "name of the manifest itself (default COMPONENT/suit)")
	f.Uint64Var(&c.sequence, "sequence", 0, "sequence number, higher than that of the last manifest")
	f.StringVar(&c.vendorDomain, "vendor-domain", "", "domain of the devices' vendor")
	f.StringVar(&c.vendorID, "vendor-id", "", "vendor id (UUID) instead of a domain")
	f.StringVar(&c.classInfo, "class-info", "", "what the vendor calls this class of devices")
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
		if err := app.fileOnly(c.out); err != nil {
			return err
		}
		d, err := c.description()
		if err != nil {
			return err
		}
		return c.create(cmd.OutOrStdout(), d)
	}
	return cmd
}

// fileOnly refuses --output where a file is meant, and a missing --out.
func (a *app) fileOnly(out string) error {
	if a.format != "table" {
		return usage("--output is the format of what the server answers; name the file with --out")
	}
	if out == "" {
		return usage("say where to write the envelope, with --out")
	}
	return nil
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
	if c.vendorDomain != "" {
		d.VendorDomain, d.VendorID = c.vendorDomain, uuid.Nil
	}
	if c.classInfo != "" {
		d.ClassInfo, d.ClassID = c.classInfo, uuid.Nil
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
	m, payloads, err := author.Create(d)
	if errors.Is(err, author.ErrDescription) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	envelope, err := suit.NewEnvelope(m, payloads)
	if err != nil {
		return err
	}
	next := fmt.Sprintf("tamctl suit sign %s --key FILE", c.out)
	if c.key != "" {
		if envelope, err = signEnvelope(envelope, c.key); err != nil {
			return err
		}
		next = "tamctl manifest publish " + c.out
		if !d.Payload.Integrated {
			next += " --payload " + d.Payload.File
		}
	}
	if err := writeEnvelope(c.out, envelope); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s: %s sequence %d, manifest %s\n  next: %s\n",
		c.out, m.ComponentID, m.SequenceNumber, envelope.Digest(), next)
	return err
}

func suitSign(app *app) *cobra.Command {
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
		if err := app.fileOnly(out); err != nil {
			return err
		}
		if key == "" {
			return usage("name the publisher's private key, with --key; 'tamctl keygen' makes one")
		}
		data, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		envelope, err := suit.Decode(data)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if envelope, err = signEnvelope(envelope, key); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if err := writeEnvelope(out, envelope); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "signed %s: manifest %s\n  next: tamctl manifest publish %s\n", out, envelope.Digest(), out)
		return err
	}
	return cmd
}

func signEnvelope(envelope *suit.Envelope, keyFile string) (*suit.Envelope, error) {
	signer, err := cosekit.LoadSigner(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return envelope.Sign(signer)
}

// writeEnvelope replaces the file at once or leaves it as it is.
func writeEnvelope(path string, envelope *suit.Envelope) error {
	data, err := envelope.Encode(true)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func keygenCommand() *cobra.Command {
	var algorithm string
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a publisher's key",
		Long: `Keygen writes a new private key to FILE, which must not exist yet and which only its
owner can read, and the public key beside it: publisher.pem and publisher.pub.pem.
Whoever has the private key can sign for the publisher: keep it off the server.`,
		Example: "  tamctl keygen publisher.pem",
		Args:    exactly("FILE"),
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "esp256", "esp256 or ed25519")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		alg, ok := map[string]cosekit.Algorithm{"esp256": cosekit.ESP256, "ed25519": cosekit.Ed25519}[algorithm]
		if !ok {
			return usage("algorithm %q is not esp256 or ed25519", algorithm)
		}
		signer, err := cosekit.CreateKeyFile(args[0], alg)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s exists already and is left as it is; choose another name", args[0])
		}
		if err != nil {
			return err
		}
		public := publicPath(args[0])
		if err := os.WriteFile(public, signer.PublicKey().PEM(), 0o644); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s and %s: key %s\n  next: tamctl publisher add %s --title NAME --component PREFIX\n",
			args[0], public, signer.PublicKey().Thumbprint(), public)
		return err
	}
	return cmd
}

// publicPath is the name of the public key's file.
func publicPath(private string) string {
	return strings.TrimSuffix(private, ".pem") + ".pub.pem"
}
