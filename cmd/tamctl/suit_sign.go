package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
)

// signature says with which key an envelope is authenticated.
type signature struct{ key, secret string }

func (s *signature) addFlags(f *pflag.FlagSet, purpose string) {
	f.StringVar(&s.key, "key", "", "private key file of the publisher, "+purpose)
	f.StringVar(&s.secret, "secret", "", "secret key file instead of --key, for a MAC that one device can check")
}

func (s *signature) given() bool { return s.key != "" || s.secret != "" }

func (s *signature) check(needed bool) error {
	switch {
	case s.key != "" && s.secret != "":
		return usage("give --key or --secret; 'tamctl suit countersign' adds the other one")
	case needed && !s.given():
		return usage("name the publisher's private key, with --key; 'tamctl keygen' makes one")
	}
	return nil
}

// first adds the first authentication block.
func (s *signature) first(e *suit.Envelope) (*suit.Envelope, error) {
	if len(e.UnverifiedBlocks()) > 0 {
		return nil, fmt.Errorf("sign: %w", suit.ErrSigned)
	}
	return s.apply(e, (*suit.Envelope).Sign)
}

// another adds one more.
func (s *signature) another(e *suit.Envelope) (*suit.Envelope, error) {
	if len(e.UnverifiedBlocks()) == 0 {
		return nil, fmt.Errorf("countersign: %w", suit.ErrNoAuthentication)
	}
	return s.apply(e, (*suit.Envelope).Countersign)
}

func (s *signature) apply(e *suit.Envelope, sign func(*suit.Envelope, cosekit.Signer) (*suit.Envelope, error)) (*suit.Envelope, error) {
	if s.secret != "" {
		key, err := cosekit.LoadSecretKey(s.secret)
		if err != nil {
			return nil, advise(err, "'tamctl keygen --algorithm hmac256' makes a secret for MACs")
		}
		out, err := e.Authenticate(key)
		if errors.Is(err, cosekit.ErrKey) {
			return nil, advise(fmt.Errorf("%s: %w", s.secret, err), "'tamctl keygen --algorithm hmac256' makes a secret for MACs")
		}
		return out, err
	}
	signer, err := cosekit.LoadManifestSigner(s.key)
	if err != nil {
		return nil, advise(err, "name a private key file, as 'tamctl keygen' makes it")
	}
	return sign(e, signer)
}

func suitSign() *cobra.Command {
	return signCommand("signed", (*signature).first, &cobra.Command{
		Use:   "sign ENVELOPE --key FILE",
		Short: "Sign an envelope",
		Long: `Sign computes the digest of the manifest again, signs it, and writes the envelope to --out
or back to its file. The key may be ESP256, Ed25519 or ML-DSA ('tamctl keygen').

With --secret it adds a MAC (COSE_Mac0) in place of a signature. Whoever can check a MAC
can make one: such a secret is for one author and one device.`,
		Example: "  tamctl suit sign hello.suit --key publisher.pem",
	})
}

func suitCountersign() *cobra.Command {
	return signCommand("countersigned", (*signature).another, &cobra.Command{
		Use:   "countersign ENVELOPE --key FILE",
		Short: "Add another signature to a signed envelope",
		Long: `Countersign adds one more signature, or with --secret a MAC, over the same digest of the
manifest, and writes the envelope to --out or back to its file. The signatures that are
there stay, and nobody checks here whose they are.

A device can ask for a classical and a post-quantum signature: sign with ESP256 or
Ed25519, and countersign with ML-DSA.`,
		Example: "  tamctl suit countersign hello.suit --key publisher-pq.pem",
	})
}

// signCommand completes a command that adds an authentication block.
func signCommand(done string, add func(*signature, *suit.Envelope) (*suit.Envelope, error), cmd *cobra.Command) *cobra.Command {
	var s signature
	var out string
	cmd.Args = exactly("ENVELOPE")
	s.addFlags(cmd.Flags(), "ESP256, Ed25519 or ML-DSA")
	cmd.Flags().StringVar(&out, "out", "", "file to write to (default ENVELOPE itself)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := s.check(true); err != nil {
			return err
		}
		path := args[0]
		out := cmp.Or(out, path)
		envelope, err := readEnvelope(path)
		if err != nil {
			return err
		}
		if err := replaceable(out, s.key, s.secret); err != nil {
			return err
		}
		signed, err := add(&s, envelope)
		if err != nil {
			return signingAdvice(path, envelope, err)
		}
		if err := writeEnvelope(out, signed); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n  %s\n  manifest %s\n  next: %s\n", done, out, lastBlock(signed), signed.Digest(), publishStep(out, signed))
		return err
	}
	return cmd
}

// lastBlock tells algorithm and key of the signature that was added: the file of a key
// does not show whose it is.
func lastBlock(e *suit.Envelope) string {
	blocks := e.UnverifiedBlocks()
	return blocks[len(blocks)-1].String()
}

func signingAdvice(path string, envelope *suit.Envelope, err error) error {
	if errors.As(err, new(advised)) { // it is about the key
		return err
	}
	err = fmt.Errorf("%s: %w", path, err)
	switch {
	case errors.Is(err, suit.ErrSigned):
		return advise(err, "publish it: %s; another key countersigns it: 'tamctl suit countersign %s --key FILE'",
			publishStep(path, envelope), lines.Quote(path))
	case errors.Is(err, suit.ErrNoAuthentication):
		return advise(err, "sign it first: 'tamctl suit sign %s --key FILE'", lines.Quote(path))
	}
	return err
}
