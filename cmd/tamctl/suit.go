package main

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
)

const suitHelp = `Suit works on SUIT envelopes in files, without a server: from a description to a signed
manifest that was tried on a device which is only a folder. docs/suit.md goes that way
step by step, and has all keys of a description and all rules of lint.

  make     create, sign, countersign, encrypt
  change   sever, restore
  look     inspect, verify, lint, diff
  try      simulate`

func suitCommand(app *app) *cobra.Command {
	cmd := group("suit", "Make, check and try SUIT envelopes, in files",
		suitCreate(), suitSign(), suitCountersign(), suitEncrypt(), suitSever(), suitRestore(),
		app.showing(suitInspect(app)), app.showing(suitVerify(app)), app.showing(suitLint(app)),
		app.showing(suitDiff(app)), app.showing(suitSimulate(app)))
	cmd.Long = suitHelp
	return cmd
}

// choices completes a flag that takes one of a few values.
func choices(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
}

// folders completes a flag that takes a folder.
func folders(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagDirname(flag); err != nil {
		panic(err) // there is no such flag
	}
}

// readEnvelope reads a file with an envelope, of which nothing is verified.
func readEnvelope(path string) (*suit.Envelope, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	return decodeEnvelope(path, data)
}

// decodeEnvelope says of what is something else what it is.
func decodeEnvelope(path string, data []byte) (*suit.Envelope, error) {
	envelope, err := suit.Decode(data)
	switch {
	case err == nil:
		return envelope, nil
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return nil, advise(fmt.Errorf("%s is no envelope: it is PEM, a key or a certificate", path), "name an envelope; keys are for --key")
	case isText(data):
		return nil, advise(fmt.Errorf("%s is no envelope: it is text", path),
			"if it is a description, make an envelope of it: 'tamctl suit create -f %s --out FILE'", lines.Quote(path))
	default:
		return nil, advise(fmt.Errorf("%s: %w", path, err), "make an envelope with 'tamctl suit create'; 'tamctl inspect %s' shows what this is", lines.Quote(path))
	}
}

// isText reports whether people can read it.
func isText(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) })
}

func writeEnvelope(path string, envelope *suit.Envelope) error {
	data, err := envelope.Encode(true)
	if err != nil {
		return err
	}
	return writeWhole(path, data, os.Rename)
}

// publishStep is the command that publishes an envelope and the payloads that devices
// fetch.
func publishStep(path string, envelope *suit.Envelope, payloads ...string) string {
	step := "tamctl manifest publish " + lines.Quote(path)
	if m, err := envelope.UnverifiedManifest(); len(payloads) == 0 && err == nil && fetchesFiles(m) {
		payloads = []string{"FILE"}
	}
	for _, payload := range payloads {
		step += " --payload " + lines.Quote(payload)
	}
	return step
}

// fetchesFiles reports whether the manifest names a URI that is not in its envelope.
func fetchesFiles(m *suit.Manifest) bool {
	for p := range parameters(m) {
		if p.URI != nil && !strings.HasPrefix(*p.URI, "#") {
			return true
		}
	}
	return false
}

// parameters are all sets of parameters that the manifest has anywhere.
func parameters(m *suit.Manifest) iter.Seq[*suit.Parameters] {
	return func(yield func(*suit.Parameters) bool) {
		for _, s := range m.Sections {
			if s.Sequence != nil && !eachParameters(s.Sequence, yield) {
				return
			}
		}
		if m.Common.Shared != nil {
			eachParameters(m.Common.Shared, yield)
		}
	}
}

// eachParameters returns false where yield did.
func eachParameters(s *suit.Sequence, yield func(*suit.Parameters) bool) bool {
	for _, c := range s.Commands {
		more := true
		switch argument := c.Argument.(type) {
		case *suit.Parameters:
			more = yield(argument)
		case suit.ParameterSets:
			for _, p := range argument {
				more = more && yield(p)
			}
		case *suit.Sequence:
			more = eachParameters(argument, yield)
		case *suit.Alternatives:
			for i := range argument.Sequences {
				more = more && eachParameters(&argument.Sequences[i], yield)
			}
		}
		if !more {
			return false
		}
	}
	return true
}

// readManifestKey reads the public key of somebody who signs manifests.
func readManifestKey(path string) (*cosekit.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := cosekit.ReadManifestKey(data)
	if err != nil {
		if _, other := suit.Decode(data); other == nil {
			return nil, advise(fmt.Errorf("%s is no key: it is an envelope", path), "have the two changed places? The public key of the signer is wanted here")
		}
		return nil, fmt.Errorf("%s: %w%s", path, err, publicKeyHint(path, data))
	}
	return key, nil
}

// unverified is what to do about an envelope that is not authentic.
func unverified(path string, err error) string {
	switch {
	case errors.Is(err, suit.ErrNoAuthentication):
		return fmt.Sprintf("sign it: 'tamctl suit sign %s --key FILE'", lines.Quote(path))
	case errors.Is(err, suit.ErrSignatureRule) && errors.Is(err, suit.ErrUnknownSigner):
		return "give the keys of its other signers too, with --key"
	case errors.Is(err, suit.ErrSignatureRule):
		return fmt.Sprintf("'tamctl suit countersign %s --key FILE' adds a signature", lines.Quote(path))
	case errors.Is(err, suit.ErrDigest):
		return "it was changed after it was signed: get it again from who signed it"
	case errors.Is(err, cosekit.ErrAlgorithm):
		return "--allow-legacy accepts ES256 and EdDSA; have it signed with ESP256 or Ed25519"
	case errors.Is(err, cosekit.ErrSignature), errors.Is(err, cosekit.ErrMAC):
		return "it is forged or damaged, or the key is another one: get both again from who signed it"
	case errors.Is(err, suit.ErrNoSignature):
		return fmt.Sprintf("give the key of its signer with --key; 'tamctl suit inspect %s' shows which keys it names", lines.Quote(path))
	}
	return ""
}
