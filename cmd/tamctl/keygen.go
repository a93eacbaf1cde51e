package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
)

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
		key, err := makeKeyPair(args[0], alg)
		if err != nil {
			return err
		}
		public := publicPath(args[0])
		_, err = fmt.Fprintf(cmd.OutOrStdout(), `wrote %s and %s
  key %s
  next: say what it may sign, for example
    tamctl publisher add %s --title 'Hello team' --component app/hello
`, args[0], public, key.Thumbprint(), lines.Quote(public))
		return err
	}
	return cmd
}

// makeKeyPair writes both files of a key, or none, and never over another file.
func makeKeyPair(private string, alg cosekit.Algorithm) (*cosekit.PublicKey, error) {
	public := publicPath(private)
	for _, path := range []string{private, public} {
		if _, err := os.Lstat(path); err == nil {
			return nil, advise(fmt.Errorf("%s exists already and is left as it is", path), "choose another name for the key")
		}
	}
	signer, err := cosekit.CreateKeyFile(private, alg)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", private, bare(err))
	}
	if err := writeWhole(public, signer.PublicKey().PEM(), os.Link); err != nil {
		return nil, errors.Join(err, os.Remove(private))
	}
	return signer.PublicKey(), nil
}

// publicPath is the name of the public key's file.
func publicPath(private string) string {
	return strings.TrimSuffix(private, ".pem") + ".pub.pem"
}
