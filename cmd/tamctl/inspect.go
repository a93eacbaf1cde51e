package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/inspect"
	"github.com/tamarack-tam/tamarack/teep"
)

// errUnsound is the outcome of an inspection that found something false.
var errUnsound = errors.New("a signature, MAC or digest does not hold")

// inspection are the flags of 'inspect'.
type inspection struct {
	as, numbering, aad string
	keys, macKeys      []string
	diag, full         bool
}

func inspectCommand(app *app) *cobra.Command {
	var i inspection
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a message, manifest, token or key says",
		Long: `Inspect shows an object with names instead of numbers and everything opened that is
nested inside: TEEP messages, SUIT envelopes, manifests and reports, EATs and attestation
results, any COSE object, CoSWIDs, COSE_Keys, other CBOR. FILE is binary, hexadecimal or
base64 text; "-" is standard input.

Signatures are judged with the keys given (--key, as often as needed), MACs with --mac-key;
the digests of manifests and severed elements are computed again. What is wrong or stale
is listed as lint. The last lines say what Tamarack's own, strict decoders think of it.
Nothing here is trusted: a valid signature says no more than that this key made it.

The numbering of TEEP messages is never guessed; --numbering says which one it is.

Exit codes: 0 where the object was read and nothing for which a key was given is false,
5 where a signature, MAC or digest does not hold, 1 where it could not be read. Lint and
what the strict decoders refuse do not change the exit code; -o json has them as data.

Kinds for --as:
` + kindLines(),
		Example: `  tamctl inspect hello.suit --key publisher.pub.pem
  tamctl inspect message.cbor --numbering pre-iana --key agent.cbor -o json
  tamctl inspect - --diag < report.hex`,
		Args: exactly("FILE"),
	}
	f := cmd.Flags()
	f.StringVar(&i.as, "as", "", "kind of the object, where guessing fails")
	f.StringVar(&i.numbering, "numbering", teep.IANA.String(), "numbering of TEEP messages: iana or pre-iana")
	f.StringArrayVar(&i.keys, "key", nil, "file with a public key (PEM or COSE_Key) for signatures; repeatable")
	f.StringArrayVar(&i.macKeys, "mac-key", nil, "file with a secret: COSE_Key, or hexadecimal; repeatable")
	f.StringVar(&i.aad, "external-aad", "", "external_aad of the outermost COSE object, in hexadecimal")
	f.BoolVar(&i.diag, "diag", false, "write CBOR diagnostic notation instead")
	f.BoolVar(&i.full, "full", false, "write long strings whole")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return i.run(app, cmd, args[0]) }
	return cmd
}

func (i *inspection) run(app *app, cmd *cobra.Command, path string) error {
	if err := app.checkFormat(); err != nil {
		return err
	}
	if i.diag && app.format != "table" {
		return usage("--diag is a format of its own: leave out --output")
	}
	opts, err := i.options()
	if err != nil {
		return err
	}
	data, err := readObject(path, cmd.InOrStdin())
	if err != nil {
		return err
	}
	if i.diag {
		return diagnose(cmd.OutOrStdout(), path, data)
	}
	result, err := inspect.Inspect(data, opts)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := i.write(app, cmd.OutOrStdout(), result); err != nil {
		return err
	}
	if !result.Sound() {
		return fmt.Errorf("%s: %w", path, errUnsound)
	}
	return nil
}

func kindList() string {
	var names []string
	for _, kind := range inspect.Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// kindLines lists the kinds in lines that fit a terminal.
func kindLines() string {
	const width = 92
	var b strings.Builder
	column := 0
	for _, kind := range inspect.Kinds() {
		entry := "  " + string(kind)
		if column += len(entry); column > width {
			b.WriteByte('\n')
			column = len(entry)
		}
		b.WriteString(entry)
	}
	return b.String()
}

func (i *inspection) options() (inspect.Options, error) {
	var opts inspect.Options
	var err error
	if i.as != "" {
		if opts.As, err = inspect.ParseKind(i.as); err != nil {
			return opts, usage("--as: %w; it is one of %s", err, kindList())
		}
	}
	if opts.Numbering, err = teep.ParseNumbering(i.numbering); err != nil {
		return opts, usage("--numbering: %w", err)
	}
	if opts.ExternalAAD, err = hex.DecodeString(i.aad); err != nil {
		return opts, usage("--external-aad: %w", err)
	}
	for _, path := range i.keys {
		data, err := os.ReadFile(path)
		if err != nil {
			return opts, err
		}
		key, err := inspect.ReadKey(data)
		if err != nil {
			return opts, fmt.Errorf("%s: %w%s", path, err, publicKeyHint(path, data))
		}
		opts.Keys = append(opts.Keys, key)
	}
	for _, path := range i.macKeys {
		key, err := readMACKey(path)
		if err != nil {
			return opts, err
		}
		opts.MACKeys = append(opts.MACKeys, key)
	}
	return opts, nil
}

// publicKeyHint says where the public key is, to whom the private one came to hand:
// keygen writes both.
func publicKeyHint(path string, data []byte) string {
	if !bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return ""
	}
	public := strings.TrimSuffix(path, ".pem") + ".pub.pem"
	if _, err := os.Stat(public); err == nil {
		return "; the public key is in " + public
	}
	return "; give the public key, which stands in a file of its own (.pub.pem)"
}

// readMACKey reads a symmetric COSE_Key, or the hexadecimal digits of a bare secret.
// Errors never quote it.
func readMACKey(path string) (*cosekit.SecretKey, error) {
	if key, err := cosekit.LoadSecretKey(path); err == nil {
		return key, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	if err != nil || len(secret) == 0 {
		return nil, fmt.Errorf("%s: a MAC key is a COSE_Key, or an even number of hexadecimal digits", path)
	}
	key, err := cosekit.NewSecretKey(secret, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func readObject(path string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	data, err := inspect.ReadInput(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func diagnose(w io.Writer, path string, data []byte) error {
	text, err := inspect.Diagnose(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = fmt.Fprintln(w, text)
	return err
}

func (i *inspection) write(app *app, w io.Writer, result *inspect.Result) error {
	if app.format == "table" {
		return result.WriteText(w, i.full)
	}
	return app.show(w, result, func(*tabwriter.Writer) {})
}
