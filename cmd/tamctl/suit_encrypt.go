package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// contentAlgorithms encrypt payloads; the first is the default.
var contentAlgorithms = []cosekit.Algorithm{
	cosekit.A128GCM, cosekit.A192GCM, cosekit.A256GCM, cosekit.ChaCha20Poly1305, cosekit.A128CTR, cosekit.A192CTR, cosekit.A256CTR,
}

func contentAlgorithmNames() []string {
	names := make([]string, len(contentAlgorithms))
	for i, alg := range contentAlgorithms {
		names[i] = cosekit.AlgorithmName(alg)
	}
	return names
}

func parseContentAlgorithm(name string) (cosekit.Algorithm, error) {
	for _, alg := range contentAlgorithms {
		if strings.EqualFold(cosekit.AlgorithmName(alg), name) {
			return alg, nil
		}
	}
	return 0, fmt.Errorf("%q is none of %s", name, strings.Join(contentAlgorithmNames(), ", "))
}

// encryption are the flags of 'suit encrypt'.
type encryption struct {
	to              []string
	algorithm       string
	file, out, info string
}

func suitEncrypt() *cobra.Command {
	var e encryption
	cmd := &cobra.Command{
		Use:   "encrypt FILE --to KEY --out CIPHERTEXT",
		Short: "Encrypt a payload to devices",
		Long: `Encrypt writes the payload encrypted under a fresh key, and beside it the
SUIT_Encryption_Info, from which each recipient learns that key: what a manifest carries as
the parameter encryption-info. KEY is the public agreement key of a device, or a secret
for AES Key Wrap ('tamctl keygen'). The file is streamed, whatever its size.

This is for manifests that are made elsewhere: 'tamctl suit create --encrypt-to' does
both at once. The CTR algorithms do not notice changes by themselves; there the manifest
needs the digest of the ciphertext too.`,
		Example: "  tamctl suit encrypt hello.wasm --to device.pub.pem --out hello.enc",
		Args:    exactly("FILE"),
	}
	f := cmd.Flags()
	f.StringArrayVar(&e.to, "to", nil, "key file of a recipient (required); repeatable")
	f.StringVar(&e.algorithm, "algorithm", contentAlgorithmNames()[0], strings.Join(contentAlgorithmNames(), ", "))
	f.StringVar(&e.out, "out", "", "new file for the ciphertext (required)")
	f.StringVar(&e.info, "info", "", "new file for the encryption info (default that of --out with .info)")
	choices(cmd, "algorithm", contentAlgorithmNames()...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(e.to) == 0:
			return usage("say for whom, with --to; 'tamctl keygen --algorithm ecdh-p256' makes the key of a device")
		case e.out == "":
			return usage("say where to write the ciphertext, with --out")
		}
		e.file, e.info = args[0], cmp.Or(e.info, e.out+".info")
		return e.run(cmd.OutOrStdout())
	}
	return cmd
}

func (e *encryption) run(stdout io.Writer) error {
	algorithm, err := parseContentAlgorithm(e.algorithm)
	if err != nil {
		return usage("--algorithm: %w", err)
	}
	if filepath.Clean(e.out) == filepath.Clean(e.info) {
		return usage("--out and --info are the same file")
	}
	for _, path := range []string{e.out, e.info} {
		if err := vacant(path); err != nil {
			return err
		}
	}
	recipients, err := author.LoadRecipients(e.to...)
	if err != nil {
		return err
	}
	names, err := recipientNames(e.to...)
	if err != nil {
		return err
	}
	in, err := openPayload(e.file)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	var made *author.Encryption
	err = writeStream(e.out, func(w io.Writer) error {
		made, err = author.Encrypt(w, in, algorithm, recipients...)
		return err
	})
	if err != nil {
		return err
	}
	if err := writeWhole(e.info, made.Info, os.Link); err != nil {
		return errors.Join(err, os.Remove(e.out))
	}
	_, err = fmt.Fprintf(stdout, "wrote %s and %s\n  encrypted to %s\n  payload     %s, %s\n  ciphertext  %s, %s\n  next: 'tamctl inspect %s' shows for whom it is\n",
		e.out, e.info, strings.Join(names, "\n  encrypted to "), size(made.Plaintext.Size), made.Plaintext.Digest, size(made.Ciphertext.Size), made.Ciphertext.Digest, lines.Quote(e.info))
	return err
}

// recipientNames tells which key each file holds: a PEM file does not show whether it is
// the key of a device or that of a publisher, under which nobody decrypts.
func recipientNames(paths ...string) ([]string, error) {
	recipients, err := author.LoadRecipients(paths...)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(paths))
	for i, recipient := range recipients {
		names[i] = paths[i]
		if key, ok := recipient.(interface{ Thumbprint() cosekit.Thumbprint }); ok {
			names[i] += ", key " + elided(key.Thumbprint().String(), false)
		}
	}
	return names, nil
}

// openPayload refuses what would never end, or never begin.
func openPayload(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, advise(fmt.Errorf("%s is a folder", path), "name a file")
	}
	if !info.Mode().IsRegular() {
		return nil, advise(fmt.Errorf("%s is not a regular file", path), "name a file")
	}
	return os.Open(path)
}
