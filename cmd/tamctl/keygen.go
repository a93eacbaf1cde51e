package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
)

func keygenCommand() *cobra.Command {
	var algorithm string
	cmd := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key",
		Long: `Keygen writes a new private key to FILE, which must not exist yet and which only its
owner can read, and the public key beside it: publisher.pem and publisher.pub.pem.

  esp256, ed25519                   sign manifests
  ml-dsa-44, ml-dsa-65, ml-dsa-87   sign manifests so that a quantum computer is no help
                                    in forging them; devices and TAM have to trust the key
  ecdh-p256                         what is encrypted to the public key, the private decrypts
  hmac256                           a secret that authenticates manifests, for both ends
  a128kw, a192kw, a256kw            a secret that payloads are encrypted under, for both ends

Whoever has the private key or the secret can do what it is for: keep it off the server.`,
		Example: `  tamctl keygen publisher.pem
  tamctl keygen publisher-pq.pem --algorithm ml-dsa-65`,
		Args: exactly("FILE"),
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "esp256", "what the key is for: "+strings.Join(keyAlgorithms(), ", "))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at := slices.IndexFunc(keyMakers, func(m keyMaker) bool { return m.algorithm == algorithm })
		if at < 0 {
			return usage("algorithm %q is not one of %s", algorithm, strings.Join(keyAlgorithms(), ", "))
		}
		key, err := makeKeyFiles(args[0], keyMakers[at].make)
		if err != nil {
			return err
		}
		written := args[0]
		if key.public != nil {
			written += " and " + publicPath(args[0])
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n  key %s\n  next: %s\n", written, key.thumbprint, key.next(args[0]))
		return err
	}
	return cmd
}

// newKey is a key whose private part has been written.
type newKey struct {
	thumbprint cosekit.Thumbprint
	public     []byte // PEM, nil for a secret
	next       func(private string) string
}

// keyMaker writes the private part of a key of one algorithm.
type keyMaker struct {
	algorithm string
	make      func(path string) (newKey, error)
}

var keyMakers = []keyMaker{
	{"esp256", signing(cosekit.ESP256)}, {"ed25519", signing(cosekit.Ed25519)},
	{"ml-dsa-44", signing(cosekit.MLDSA44)}, {"ml-dsa-65", signing(cosekit.MLDSA65)}, {"ml-dsa-87", signing(cosekit.MLDSA87)},
	{"ecdh-p256", agreeing},
	{"hmac256", secret(cosekit.HMAC256)},
	{"a128kw", secret(cosekit.A128KW)}, {"a192kw", secret(cosekit.A192KW)}, {"a256kw", secret(cosekit.A256KW)},
}

func keyAlgorithms() (names []string) {
	for _, m := range keyMakers {
		names = append(names, m.algorithm)
	}
	return names
}

func signing(alg cosekit.Algorithm) func(string) (newKey, error) {
	return func(path string) (newKey, error) {
		signer, err := cosekit.CreateKeyFile(path, alg)
		if err != nil {
			return newKey{}, err
		}
		public := signer.PublicKey()
		return newKey{public.Thumbprint(), public.PEM(), func(private string) string {
			return fmt.Sprintf("say what it may sign, for example\n    tamctl publisher add %s --title 'Hello team' --component app/hello\n  or, for reference values, add it as a provider: tamctl reference-provider add",
				lines.Quote(publicPath(private)))
		}}, nil
	}
}

func agreeing(path string) (newKey, error) {
	key, err := cosekit.CreateAgreementKeyFile(path)
	if err != nil {
		return newKey{}, err
	}
	public := key.PublicKey()
	return newKey{public.Thumbprint(), public.PEM(), func(private string) string {
		return fmt.Sprintf("give %s to those who encrypt, and leave %s with the one who decrypts",
			lines.Quote(publicPath(private)), lines.Quote(private))
	}}, nil
}

func secret(alg cosekit.Algorithm) func(string) (newKey, error) {
	return func(path string) (newKey, error) {
		key, err := cosekit.CreateSecretKeyFile(path, alg)
		if err != nil {
			return newKey{}, err
		}
		return newKey{key.Thumbprint(), nil, func(string) string {
			return "carry a copy to the other end in a way that nobody else can read"
		}}, nil
	}
}

// makeKeyFiles writes both files of a key, or the one of a secret, or none, and never
// over another file.
func makeKeyFiles(private string, write func(path string) (newKey, error)) (newKey, error) {
	public := publicPath(private)
	for _, path := range []string{private, public} {
		if _, err := os.Lstat(path); err == nil {
			return newKey{}, advise(fmt.Errorf("%s exists already and is left as it is", path), "choose another name for the key")
		}
	}
	key, err := write(private)
	if err != nil {
		return newKey{}, fmt.Errorf("write %s: %w", private, bare(err))
	}
	if key.public == nil {
		return key, nil
	}
	if err := writeWhole(public, key.public, os.Link); err != nil {
		return newKey{}, errors.Join(err, os.Remove(private))
	}
	return key, nil
}

// publicPath is the name of the public key's file.
func publicPath(private string) string {
	return strings.TrimSuffix(private, ".pem") + ".pub.pem"
}
