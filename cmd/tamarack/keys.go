package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

func keysCommand(env []string) *cobra.Command {
	cmd := listKeysCommand(env, "keys", "tamarack keys --config /etc/tamarack.yaml")
	rotate := group("rotate", "Put a new key in the place of one")
	rotate.AddCommand(rotateEncryptionCommand(env))
	cmd.AddCommand(listKeysCommand(env, "list", "tamarack keys list --config /etc/tamarack.yaml"), rotate)
	return cmd
}

func listKeysCommand(env []string, use, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: "Show the public keys that devices must know",
		Long: `Keys prints the files of the TAM's public keys: those that agents must trust for messages,
the one to which they may encrypt reports and evidence, the one with which the TAM attests
itself, and the one with which it signs attestation results. Behind them stand the
retired encryption keys, which still decrypt. 'tamarack serve' makes the keys at its
first start.`,
		Example: "  " + example,
		Args:    cobra.NoArgs,
	}
	load := configFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		return c.printKeys(cmd.OutOrStdout())
	}
	return cmd
}

func (c *Config) printKeys(w io.Writer) error {
	dir := filepath.Join(c.Data, "keys")
	for _, key := range []struct {
		use, public string
		thumbprint  func([]byte) (cosekit.Thumbprint, error)
	}{
		{"messages", publicHalf(filepath.Join(dir, messageKeys[0]+".pem")), thumbprintOf},
		{"messages", publicHalf(filepath.Join(dir, messageKeys[1]+".pem")), thumbprintOf},
		{"reports", c.encryptionKey().public(), agreementThumbprintOf},
		{"attestation", publicHalf(filepath.Join(dir, attestationKeyName+".pem")), thumbprintOf},
		{"results", publicHalf(filepath.Join(dir, verifierKeyName+".pem")), thumbprintOf},
	} {
		if err := printKey(w, key.use, key.public, key.thumbprint); err != nil {
			return err
		}
	}
	old, err := c.encryptionKey().retired()
	for _, r := range old {
		fmt.Fprintf(w, keyLine, "retired", r.thumbprint, r.file)
	}
	return err
}

// messageKeys are the files of the keys that sign TEEP messages, without their ending.
var messageKeys = []string{"tam-esp256", "tam-ed25519"}

func thumbprintOf(pem []byte) (cosekit.Thumbprint, error) {
	key, err := cosekit.ReadPublicKey(pem)
	if err != nil {
		return cosekit.Thumbprint{}, err
	}
	return key.Thumbprint(), nil
}

func agreementThumbprintOf(pem []byte) (cosekit.Thumbprint, error) {
	key, err := cosekit.ReadAgreementPublicKey(pem)
	if err != nil {
		return cosekit.Thumbprint{}, err
	}
	return key.Thumbprint(), nil
}

const keyLine = "%-11s  %s  %s\n"

func printKey(w io.Writer, use, file string, thumbprint func([]byte) (cosekit.Thumbprint, error)) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w; the first start of 'tamarack serve' makes it", err)
	}
	t, err := thumbprint(pem)
	if err != nil {
		return fmt.Errorf("%s: %w; remove it, and the next start of 'tamarack serve' makes it again", file, err)
	}
	_, err = fmt.Fprintf(w, keyLine, use, t, file)
	return err
}

// publicHalf is the file of the public key beside a private one.
func publicHalf(private string) string { return strings.TrimSuffix(private, ".pem") + ".pub.pem" }

// loadKeys loads the TAM's two message keys or makes them, and leaves the public
// halves beside them for whoever sets up agents.
func (s *server) loadKeys(dir string) (tam.Signers, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tam.Signers{}, err
	}
	load := func(name string, alg cosekit.Algorithm) (cosekit.Signer, error) {
		private := filepath.Join(dir, name+".pem")
		public := publicHalf(private)
		signer, err := loadKey(private, public, alg)
		if err != nil {
			return nil, fmt.Errorf("TAM key: %w", err)
		}
		s.publicKeys = append(s.publicKeys, public)
		return signer, writePublic(public, signer.PublicKey().PEM())
	}
	esp256, err := load(messageKeys[0], cosekit.ESP256)
	if err != nil {
		return tam.Signers{}, err
	}
	ed25519, err := load(messageKeys[1], cosekit.Ed25519)
	return tam.Signers{ESP256: esp256, Ed25519: ed25519}, err
}

// writePublic leaves a file alone that is right, for somebody may be reading it.
func writePublic(path string, pem []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, pem) {
		return nil
	}
	return os.WriteFile(path, pem, 0o644)
}

// loadKey loads a private key, or makes one where there never was one.
func loadKey(private, public string, alg cosekit.Algorithm) (cosekit.Signer, error) {
	if _, err := checkKeyFiles(private, public); err != nil {
		return nil, err
	}
	return cosekit.LoadOrCreateSigner(private, alg)
}

// checkKeyFiles reports whether there never was a private key. A public half without
// its private one is not such a place: devices may trust it.
func checkKeyFiles(private, public string) (missing bool, err error) {
	info, err := os.Stat(private)
	switch {
	case err == nil && info.Mode().Perm()&0o077 != 0:
		return false, fmt.Errorf("others than its owner can read %s; run chmod 600 on it, and think of a new key if somebody may have read it", private)
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(public); err == nil {
			return false, fmt.Errorf("%s is missing, but its public half %s is there; restore it from a backup, or remove the public half as well to get a new key, which every device must then be told to trust", private, public)
		}
		return true, nil
	}
	return false, err
}
