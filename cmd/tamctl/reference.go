package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
)

const referenceHelp = `Reference values say what a device measures when it is as its maker wants it. They are kept
in CoRIM files (draft-ietf-rats-corim), signed by a reference-value provider.

  make     from-manifest, create
  look     show, verify`

// referenceValuesCommand holds what works on files. The verbs of the server join it.
func referenceValuesCommand(app *app) *cobra.Command {
	cmd := group("reference-values", "Make and check reference values for attestation",
		referenceFromManifest(), referenceCreate(),
		app.showing(referenceShow(app)), app.showing(referenceVerify(app)))
	cmd.Long = referenceHelp
	return cmd
}

// provider is who signs a CoRIM, and where it goes.
type provider struct {
	key, name, out string
	legacy         bool
}

func (p *provider) addFlags(f *pflag.FlagSet) {
	f.StringVar(&p.key, "key", "", "private key file of the reference-value provider, ESP256 or Ed25519 (required)")
	f.StringVar(&p.name, "signer", "", "what the provider is called in the file (default the thumbprint of the key)")
	f.BoolVar(&p.legacy, "legacy-algorithm", false, "sign under the older name of the algorithm, ES256 or EdDSA, for Veraison")
	f.StringVar(&p.out, "out", "", "file to write the CoRIM to (required)")
}

func (p *provider) check() error {
	switch {
	case p.out == "":
		return usage("say where to write the CoRIM, with --out")
	case p.key == "":
		return usage("name the private key of the reference-value provider, with --key; 'tamctl keygen' makes one")
	}
	return nil
}

// write signs u, and tells what is in the file that comes of it, with a note where there is
// one.
func (p *provider) write(stdout io.Writer, u *corim.Unsigned, note string, inputs ...string) error {
	signer, err := cosekit.LoadSigner(p.key)
	if err != nil {
		return advise(err, "name a private key file for ESP256 or Ed25519, as 'tamctl keygen' makes it")
	}
	if p.legacy {
		signer = cosekit.UnderLegacyName(signer)
	}
	thumbprint := signer.PublicKey().Thumbprint()
	raw, err := u.Sign(signer, cmp.Or(p.name, thumbprint.String()))
	if err != nil {
		return err
	}
	if err := replaces(p.out, "CoRIM", isCoRIM, append(inputs, p.key)...); err != nil {
		return err
	}
	if err := writeWhole(p.out, raw, os.Rename); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s\n  tag %s, version %d: %s\n  signed by %s\n",
		p.out, printable(u.ID), u.Version, counts(len(u.References), len(u.Keys)), thumbprint)
	for _, id := range u.Replaces {
		fmt.Fprintf(stdout, "  replaces %s\n", printable(id))
	}
	if !u.NotAfter.IsZero() && time.Now().After(u.NotAfter) {
		fmt.Fprintln(stdout, "  note: its not-after is in the past, so no server takes it")
	}
	if note != "" {
		fmt.Fprintf(stdout, "  %s\n", note)
	}
	_, err = fmt.Fprintf(stdout, "  next: tamctl reference-values import %s\n", lines.Quote(p.out))
	return err
}

func isCoRIM(data []byte) bool {
	_, err := corim.Read(data)
	return err == nil
}

// counts says how much there is: "3 values and 1 key".
func counts(values, keys int) string {
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	switch {
	case keys == 0:
		return count(values, "value")
	case values == 0:
		return count(keys, "key")
	}
	return count(values, "value") + " and " + count(keys, "key")
}

// readCoRIM reads a file of which nothing is verified.
func readCoRIM(path string) (*corim.File, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	file, err := corim.Read(data)
	switch {
	case err == nil:
		return file, nil
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return nil, advise(fmt.Errorf("%s is no CoRIM: it is PEM, a key or a certificate", path), "name a CoRIM; keys are for --key")
	case isEnvelope(data):
		return nil, advise(fmt.Errorf("%s is no CoRIM: it is a SUIT envelope", path),
			"make reference values of it: 'tamctl reference-values from-manifest %s --publisher PUBLIC-KEY --key FILE --out FILE', with the key of a provider", lines.Quote(path))
	case isText(data):
		return nil, advise(fmt.Errorf("%s is no CoRIM: it is text", path),
			"if it is a description, make a CoRIM of it: 'tamctl reference-values create -f %s --key FILE --out FILE'", lines.Quote(path))
	}
	return nil, advise(fmt.Errorf("%s: %w", path, err), "get the file again from its maker; 'tamctl inspect %s' shows what this is", lines.Quote(path))
}

// validity is for how long values are good.
type validity struct{ from, until string }

func (v *validity) addFlags(f *pflag.FlagSet) {
	f.StringVar(&v.from, "not-before", "", "beginning of the validity, such as 2026-12-01 or 2026-12-01T08:00:00Z")
	f.StringVar(&v.until, "not-after", "", "end of the validity (default none)")
}

func (v *validity) times() (from, until time.Time, err error) {
	for _, part := range []struct {
		flag, text string
		to         *time.Time
	}{{"not-before", v.from, &from}, {"not-after", v.until, &until}} {
		if part.text == "" {
			continue
		}
		if *part.to, err = time.Parse(time.RFC3339, part.text); err == nil {
			continue
		}
		if *part.to, err = time.Parse(time.DateOnly, part.text); err != nil {
			return from, until, usage("--%s %q is no date, such as 2026-12-01, and no time, such as 2026-12-01T08:00:00Z", part.flag, part.text)
		}
	}
	switch {
	case until.IsZero() && !from.IsZero():
		return from, until, usage("--not-before needs --not-after too: a CoRIM cannot have a beginning alone")
	case until.Before(from):
		return from, until, usage("--not-after is before --not-before: the values would never be good")
	}
	return from, until, nil
}

func referenceFromManifest() *cobra.Command {
	var p provider
	var v validity
	var publishers, dependencies, supersedes []string
	var id string
	cmd := &cobra.Command{
		Use:   "from-manifest ENVELOPE --key FILE --out FILE",
		Short: "Make the reference values of a release out of its manifest",
		Long: `From-manifest writes a signed CoRIM with what devices measure once they have installed the
manifest: the image digest of each component, and the digest of the manifest, for each
class of devices that the manifest distinguishes. Dependencies are followed.

The tag is named after the manifest and its sequence number, so the values of earlier
releases stay good for devices that still run them. --supersedes takes the file of an
earlier release: its values no longer count once the new file is in force.`,
		Example: `  tamctl reference-values from-manifest hello.suit --publisher publisher.pub.pem \
    --key provider.pem --out hello-4.corim
  tamctl reference-values from-manifest hello.suit --key provider.pem \
    --supersedes hello-3.corim --out hello-4.corim`,
		Args: exactly("ENVELOPE"),
	}
	f := cmd.Flags()
	p.addFlags(f)
	v.addFlags(f)
	f.StringArrayVar(&publishers, "publisher", nil, "public key file that the manifest has to be signed with; repeatable (default: not checked)")
	f.StringArrayVar(&dependencies, "dependency", nil, "envelope that the manifest needs and does not carry; repeatable")
	f.StringArrayVar(&supersedes, "supersedes", nil, "CoRIM of an earlier release, whose values no longer count; repeatable")
	f.StringVar(&id, "id", "", "name for the values, where the manifest has no manifest component id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := p.check(); err != nil {
			return err
		}
		o := corim.ManifestOptions{ID: id}
		var err error
		if o.NotBefore, o.NotAfter, err = v.times(); err != nil {
			return err
		}
		if o.Publishers, err = publisherKeys(publishers); err != nil {
			return err
		}
		if o.Supersedes, err = tagsOf(supersedes); err != nil {
			return err
		}
		for _, path := range dependencies {
			data, err := readBounded(path)
			if err != nil {
				return err
			}
			o.Dependencies = append(o.Dependencies, data)
		}
		u, err := fromManifest(args[0], o)
		if err != nil {
			return err
		}
		inputs := append(append([]string{args[0]}, dependencies...), supersedes...)
		note := ""
		if o.Publishers == nil {
			note = "the signature of the manifest was not checked: --publisher does that"
		}
		if signer, err := cosekit.LoadSigner(p.key); err == nil && o.Publishers != nil {
			for _, path := range publishers {
				if key, err := readManifestKey(path); err == nil && key.Thumbprint() == signer.PublicKey().Thumbprint() {
					return advise(errors.New("--key is the publisher's own key, with which the server takes no reference values"),
						"make another for the provider: 'tamctl keygen provider.pem'")
				}
			}
		}
		return p.write(cmd.OutOrStdout(), u, note, inputs...)
	}
	return cmd
}

// publisherKeys returns nil where none is given, so that nothing is checked.
func publisherKeys(paths []string) (suit.Keys, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	var keys suit.KeyList
	for _, path := range paths {
		key, err := readManifestKey(path)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// tagsOf are the ids of the tags in files.
func tagsOf(paths []string) ([]string, error) {
	var ids []string
	for _, path := range paths {
		file, err := readCoRIM(path)
		if err != nil {
			return nil, err
		}
		for _, tag := range file.Tags() {
			ids = append(ids, tag[:strings.LastIndexByte(tag, '@')])
		}
	}
	return ids, nil
}

func fromManifest(path string, o corim.ManifestOptions) (*corim.Unsigned, error) {
	envelope, err := readEnvelope(path)
	if err != nil {
		return nil, err
	}
	data, err := envelope.Encode(true)
	if err != nil {
		return nil, err
	}
	u, err := corim.FromManifest(data, o)
	if err != nil {
		next := cmp.Or(unverified(path, err), manifestStep(path, err))
		if strings.HasPrefix(next, "give the key") {
			next = "give the public key of who signed the manifest with --publisher; --key is the provider's own"
		}
		return nil, advise(fmt.Errorf("%s: %w", path, err), "%s", next)
	}
	return u, nil
}

func referenceCreate() *cobra.Command {
	var p provider
	var description string
	cmd := &cobra.Command{
		Use:   "create -f FILE --key FILE --out FILE",
		Short: "Make reference values from a description",
		Long: `Create writes a signed CoRIM with the values of a description: of software components (PSA,
CCA), of registers (TPM, TDX), of anything with a digest, a security version or bits.
Paths in the file start from its folder. Its keys:

  id: acme/roadrunner            # the name under which newer versions replace older ones
  version: 3                     # the highest counts
  replaces: [acme/prototype]     # optional: ids that no longer count
  not-after: 2027-12-31T00:00:00Z
  statements:
    - about: {class-id: "psa.impl-id:61636d65…", vendor: Acme, model: RoadRunner}
      values:
        - {key: BL, signer: acbb11c7…, version: 2.1.0, digest: "sha-256:87428fc5…"}
        - {key: microcode, min-svn: 72}
        - {key: policy, raw: "0000", mask: "0008"}
      registers: {"7": "sha-256:3d458cfe…"}
    - about: {class-id: "psa.impl-id:61636d65…", instance: "ueid:01ceebae…"}
      keys: [iak.pub.pem]        # what devices sign evidence with, or its CA

Kinds of identifiers: uuid, oid, ueid, bytes and psa.impl-id. What stands in about is by the
format of the evidence, else nothing is compared:

  EAT            class-id uuid:… of vendor and class    instance ueid:…
  PSA, CCA       class-id psa.impl-id:… (32 bytes)      instance ueid:… (instance id)
  TPM            class-id oid:2.23.133.1.2              instance bytes:… (thumbprint of its key)
  SEV-SNP        class-id oid:1.3.6.1.4.1.3704.3.1      instance bytes:… (SHA-256 of the chip id)
  TDX            vendor Intel Corporation, model TDX    instance bytes:… (SHA-256 of the PPID)`,
		Example: `  tamctl reference-values create -f roadrunner.yaml --key provider.pem \
    --out roadrunner.corim`,
		Args: noArguments,
	}
	p.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&description, "file", "f", "", "description file (YAML, required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if description == "" {
			return usage("name the description, with -f; 'tamctl reference-values create --help' shows one")
		}
		if err := p.check(); err != nil {
			return err
		}
		data, err := readBounded(description)
		if err != nil {
			return err
		}
		d, err := corim.ParseDescription(data)
		if err != nil {
			return describedAdvice(description, err)
		}
		u, err := d.Make(func(name string) ([]byte, error) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(description), name)
			}
			return readBounded(name)
		})
		if err == nil {
			_, err = u.Encode()
		}
		if err != nil {
			return describedAdvice(description, err)
		}
		return p.write(cmd.OutOrStdout(), u, "", description)
	}
	return cmd
}
