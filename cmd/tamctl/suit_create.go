package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

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
	encryptTo                      []string
	contentAlgorithm, ciphertext   string
	selfTest, invoke, uninstall    bool
	args, severable                []string
	signature                      signature
	out                            string
}

func suitCreate() *cobra.Command {
	var c creation
	cmd := &cobra.Command{
		Use:   "create --out FILE",
		Short: "Make an envelope from a description",
		Long: `Create writes an envelope with a manifest. The flags say what it installs, or a
description file (-f), or both: a flag stands above the file. The flags know one payload
that is installed as one component; a file knows several components, dependencies,
conditions and more. All its keys are in docs/suit.md; these are the common ones. Paths
in the file start from its folder:

  component: app/hello             # what is installed
  sequence-number: 3               # higher than that of the last manifest
  vendor-domain: example.com       # or vendor-id: UUID
  class-info: thermostat rev 2     # or class-id: UUID
  version: 1.2.3
  payload:
    file: hello.wasm
    uri-base: https://tam.example.com/payloads   # or uri: …, or integrated: true
    encrypt-to: device.pub.pem     # optional; the ciphertext goes to hello.wasm.enc
  self-test: true                  # optional: hello.wasm --self-test has to end with 0
  invoke: {args: [--quiet]}        # optional: how it is started
  text:                            # optional, by language
    en: {component: Says hello}

Without --key or --secret the envelope is not signed yet: 'tamctl suit sign' does that.`,
		Example: `  tamctl suit create --component app/hello --sequence 1 --vendor example.com \
    --class 'thermostat rev 2' --payload hello.wasm \
    --uri-base https://tam.example.com/payloads --key publisher.pem --out hello.suit
  tamctl suit create -f hello.yaml --sequence 4 --out hello.suit`,
		Args: descriptionByFlag,
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
	f.StringVar(&c.uriBase, "uri-base", "", "the same without the last segment, which will be the SHA-256 of what is fetched")
	f.BoolVar(&c.integrated, "integrated", false, "carry the payload in the envelope")
	f.StringArrayVar(&c.encryptTo, "encrypt-to", nil, "key file that the payload is encrypted to: a device's public key or an AES secret; repeatable")
	f.StringVar(&c.contentAlgorithm, "content-algorithm", "", "how it is encrypted: "+strings.Join(contentAlgorithmNames(), ", ")+" (default A128GCM)")
	f.StringVar(&c.ciphertext, "ciphertext", "", "file for the encrypted payload where devices fetch it (default that of --payload with .enc)")
	f.BoolVar(&c.selfTest, "self-test", false, "run the component with --self-test before the update counts")
	f.BoolVar(&c.invoke, "invoke", false, "let devices start the component")
	f.StringArrayVar(&c.args, "arg", nil, "argument that it is started with; repeatable")
	f.BoolVar(&c.uninstall, "uninstall", true, "let devices take off again what it installs; --uninstall=false does not")
	f.StringSliceVar(&c.severable, "severable", nil, "elements that can be taken out of the envelope later, for example install,text")
	f.StringVar(&c.version, "version", "", "version that is installed, for example 1.2.3")
	c.signature.addFlags(f, "to sign at once")
	f.StringVar(&c.out, "out", "", "file to write the envelope to (required)")
	choices(cmd, "content-algorithm", contentAlgorithmNames()...)
	choices(cmd, "severable", madeSeverable()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.out == "" {
			return usage("say where to write the envelope, with --out")
		}
		if err := c.check(f.Changed("sequence")); err != nil {
			return err
		}
		d, err := c.description(f.Changed("uninstall"))
		if err != nil {
			return err
		}
		return c.create(cmd.OutOrStdout(), d)
	}
	return cmd
}

// madeSeverable are the elements that create can make severable: it makes no
// candidate-verification.
func madeSeverable() []string {
	return slices.DeleteFunc(severableNames(), func(name string) bool { return name == suit.SectionCandidateVerification.String() })
}

func parseMadeElement(name string) (suit.Section, error) {
	if !slices.Contains(madeSeverable(), name) {
		return 0, fmt.Errorf("%q is none of the elements that can be severed: %s", name, strings.Join(madeSeverable(), ", "))
	}
	return parseElement(name)
}

// check says in flags what is missing among flags, and which of them contradict each other.
func (c *creation) check(sequenceGiven bool) error {
	ways := 0
	for _, given := range []bool{c.integrated, c.uri != "", c.uriBase != ""} {
		if given {
			ways++
		}
	}
	alone := c.file == ""
	switch {
	case sequenceGiven && c.sequence == 0:
		return usage("--sequence 0: the first manifest of a component has 1, each that follows has more")
	case c.vendor != "" && c.vendorID != "":
		return usage("give --vendor or --vendor-id, not both")
	case c.class != "" && c.classID != "":
		return usage("give --class or --class-id, not both")
	case ways > 1:
		return usage("give one of --integrated, --uri and --uri-base: a payload comes on one way")
	case c.args != nil && !c.invoke && alone:
		return usage("--arg is for a component that devices start: give --invoke too")
	case !alone:
		return nil
	case c.component == "":
		return usage("say what is installed, with --component; or give a description, with -f FILE")
	case c.payload == "":
		return usage("name the file that is to be installed as %s, with --payload", c.component)
	case ways == 0:
		return usage("say how devices get %s, with --integrated, --uri or --uri-base", c.payload)
	case c.sequence == 0:
		return usage("--sequence is missing: 1 for the first manifest of a component, more for each that follows")
	case c.vendor == "" && c.vendorID == "":
		return usage("--vendor or --vendor-id is missing: without a vendor any device would install the payload")
	case c.class == "" && c.classID == "":
		return usage("--class or --class-id is missing: without a class every device of the vendor would install the payload")
	case c.encryptTo == nil && c.contentAlgorithm != "":
		return usage("--content-algorithm is about an encrypted payload: say for whom, with --encrypt-to")
	case c.encryptTo == nil && c.ciphertext != "":
		return usage("--ciphertext is about an encrypted payload: say for whom, with --encrypt-to")
	}
	return nil
}

// description reads the file, if there is one, and lays the flags over it.
func (c *creation) description(uninstallGiven bool) (*author.Description, error) {
	d := &author.Description{}
	if c.file != "" {
		var err error
		if d, err = author.Load(c.file); errors.Is(err, author.ErrDescription) {
			return nil, advise(usageError{err}, keysAdvice)
		} else if err != nil {
			return nil, err
		}
	}
	set(&d.SequenceNumber, c.sequence)
	// What names the same thing in another way gives place.
	if c.vendor != "" {
		d.VendorID = uuid.Nil
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
	set(&d.Version, c.version)
	set(&d.SelfTest, c.selfTest)
	if uninstallGiven {
		d.NoUninstall = !c.uninstall
	}
	switch {
	case c.args != nil && d.Invoke == nil && !c.invoke:
		return nil, usage("--arg is for a component that devices start, and %s has no invoke: give --invoke too", c.file)
	case c.invoke && d.Invoke == nil:
		d.Invoke = &author.Invoke{}
	}
	if c.args != nil {
		d.Invoke.Args = c.args
	}
	return d, errors.Join(
		c.describePayload(&d.Payload),
		parse(&d.Component, "--component", c.component, suit.ParseComponentID),
		parse(&d.ManifestComponent, "--manifest-component", c.manifestComponent, suit.ParseComponentID),
		parse(&d.VendorDomain, "--vendor", c.vendor, author.ParseVendorDomain),
		parse(&d.VendorID, "--vendor-id", c.vendorID, author.ParseUUID),
		parse(&d.ClassID, "--class-id", c.classID, author.ParseUUID),
		parse(&d.DeviceID, "--device-id", c.deviceID, author.ParseUUID),
		parseAll(&d.Severable, "--severable", c.severable, parseMadeElement),
	)
}

func (c *creation) describePayload(p *author.Payload) error {
	if c.uri != "" || c.uriBase != "" || c.integrated {
		p.URI, p.URIBase, p.Integrated = c.uri, c.uriBase, c.integrated
		p.Inline, p.CopyFrom, p.LoadFrom = false, nil, nil
	}
	if c.payload != "" {
		p.File, p.Content = c.payload, ""
	}
	if c.encryptTo != nil {
		p.EncryptTo = c.encryptTo
	}
	set(&p.Ciphertext, c.ciphertext)
	return parse(&p.ContentAlgorithm, "--content-algorithm", c.contentAlgorithm, parseContentAlgorithm)
}

// descriptionByFlag refuses arguments: the description is one only by name.
func descriptionByFlag(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%q is not wanted here; a description is named with -f: '%s -f %s'", args[0], cmd.CommandPath(), lines.Quote(args[0]))
	}
	return nil
}

const keysAdvice = "docs/suit.md has all keys of a description, 'tamctl suit create --help' the common ones"

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

// parseAll is parse for a flag that was given several times.
func parseAll[T any](field *[]T, name string, flags []string, read func(string) (T, error)) error {
	if flags == nil {
		return nil
	}
	*field = make([]T, len(flags))
	for i, flag := range flags {
		if err := parse(&(*field)[i], name, flag, read); err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) create(stdout io.Writer, d *author.Description) error {
	if err := c.signature.check(false); err != nil {
		return err
	}
	inputs := append(d.Files(), c.file, c.signature.key, c.signature.secret)
	if err := replaceable(c.out, inputs...); err != nil {
		return err
	}
	if slices.ContainsFunc(d.Outputs(), func(name string) bool { return filepath.Clean(name) == filepath.Clean(c.out) }) {
		return usage("--out %s is where the encrypted payload goes; choose another name", c.out)
	}
	encryptedTo, err := recipientNames(recipientFiles(d)...)
	if err != nil {
		return err
	}
	replaced, err := c.replaced()
	if err != nil {
		return err
	}
	made, err := author.Create(d)
	if errors.Is(err, author.ErrDescription) {
		if c.file == "" {
			return usageError{err}
		}
		return advise(usageError{fmt.Errorf("%s: %w", c.file, err)}, keysAdvice)
	}
	if errors.Is(err, fs.ErrExist) {
		return advise(err, "choose another name with --ciphertext (payload.ciphertext), or remove it if no manifest that counts was made with it")
	}
	if err != nil {
		return err
	}
	envelope, err := c.write(made)
	if err != nil { // without the manifest nobody can use the ciphertext
		for _, name := range d.Outputs() {
			err = errors.Join(err, os.Remove(name))
		}
		return err
	}
	next := fmt.Sprintf("tamctl suit sign %s --key FILE", lines.Quote(c.out))
	if c.signature.given() {
		next = publishStep(c.out, envelope, paths(made.Files)...)
	}
	fmt.Fprintf(stdout, "wrote %s\n  %s sequence %d\n  manifest %s\n", c.out, made.Manifest.ComponentID, made.Manifest.SequenceNumber, envelope.Digest())
	if c.signature.given() {
		fmt.Fprintf(stdout, "  signed, %s\n", lastBlock(envelope))
	}
	for _, to := range encryptedTo {
		fmt.Fprintf(stdout, "  encrypted to %s\n", to)
	}
	if replaced != "" {
		fmt.Fprintf(stdout, "  replaced an envelope that was signed, %s\n", replaced)
	}
	for _, f := range made.Files {
		fmt.Fprintf(stdout, "  devices fetch %s\n    from %s\n", f.Path, shortened(f.URI))
	}
	_, err = fmt.Fprintf(stdout, "  next: %s\n", next)
	return err
}

// recipientFiles are the keys that payloads are encrypted to.
func recipientFiles(d *author.Description) []string {
	list := slices.Clone(d.Payload.EncryptTo)
	for _, c := range d.Components {
		list = append(list, c.Payload.EncryptTo...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// replaced tells whose signature the file has that is written over. More of them than the
// new one gets are not thrown away.
func (c *creation) replaced() (string, error) {
	data, err := readBounded(c.out)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	envelope, err := suit.Decode(data)
	if err != nil {
		return "", err
	}
	var signed []string
	for _, block := range envelope.UnverifiedBlocks() {
		signed = append(signed, block.String())
	}
	said := strings.Join(signed, " and ")
	if len(signed) > 1 || len(signed) == 1 && !c.signature.given() {
		return "", advise(fmt.Errorf("%s is a signed envelope (%s) and is left as it is: the new one would have fewer signatures", c.out, said),
			"choose another name with --out, or remove it")
	}
	return said, nil
}

// write writes the envelope, signed where there is a key.
func (c *creation) write(made *author.Result) (*suit.Envelope, error) {
	envelope, err := made.Envelope()
	if err == nil && c.signature.given() {
		envelope, err = c.signature.first(envelope)
	}
	if err != nil {
		return nil, err
	}
	return envelope, writeEnvelope(c.out, envelope)
}

func paths(files []author.File) (list []string) {
	for _, f := range files {
		list = append(list, f.Path)
	}
	return list
}
