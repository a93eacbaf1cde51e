package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/inspect"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// publishers are the keys under which an envelope may be signed, and for what.
type publishers struct {
	ring   suit.KeyRing
	rule   suit.SignatureRule
	legacy cosekit.LegacyPolicy
	// files says where each key is from, anchors what a public one may sign.
	files   map[cosekit.Thumbprint]string
	anchors map[cosekit.Thumbprint]*anchor.Anchor
}

// publisherFlags are the flags that say whose manifests are accepted.
type publisherFlags struct {
	keys, secrets []string
	require       string
	legacy        bool
}

func (p *publisherFlags) add(cmd *cobra.Command, keys string) {
	f := cmd.Flags()
	f.StringArrayVar(&p.keys, "key", nil, keys)
	f.StringArrayVar(&p.secrets, "secret", nil, "secret key file for MACs; repeatable")
	f.StringVar(&p.require, "require", suit.AnySignature.String(), "which signatures are needed: any or classical+post-quantum")
	f.BoolVar(&p.legacy, "allow-legacy", false, "take ES256 and EdDSA for ESP256 and Ed25519")
	choices(cmd, "require", suit.AnySignature.String(), suit.ClassicalAndPostQuantum.String())
}

func (p *publisherFlags) load() (*publishers, error) {
	if len(p.keys)+len(p.secrets) == 0 {
		return nil, usage("say whose signature is accepted, with --key FILE")
	}
	out := &publishers{
		legacy: cosekit.LegacyPolicy(p.legacy),
		files:  map[cosekit.Thumbprint]string{}, anchors: map[cosekit.Thumbprint]*anchor.Anchor{},
	}
	var err error
	if out.rule, err = suit.ParseSignatureRule(p.require); err != nil {
		return nil, usage("--require: %w", err)
	}
	for _, argument := range p.keys {
		file, scope, narrow := strings.Cut(argument, "=")
		key, err := readManifestKey(file)
		if err != nil {
			return nil, err
		}
		var below *anchor.Scope
		if narrow {
			s, err := anchor.ParseScope(scope)
			if err != nil {
				return nil, usage("--key %s: %w", argument, err)
			}
			below = &s
		}
		if err := out.admit(key, file, below); err != nil {
			return nil, err
		}
	}
	for _, key := range out.ring.KeyList {
		if err := out.anchors[key.Thumbprint()].Validate(); err != nil {
			return nil, usage("--key %s: %w", out.files[key.Thumbprint()], err)
		}
	}
	for _, file := range p.secrets {
		key, err := cosekit.LoadSecretKey(file)
		if err != nil {
			return nil, err
		}
		out.ring.SecretList = append(out.ring.SecretList, key)
		out.files[key.Thumbprint()] = file
	}
	return out, nil
}

// admit takes a key; one that is given again may sign for more.
func (p *publishers) admit(key *cosekit.PublicKey, file string, below *anchor.Scope) error {
	t := key.Thumbprint()
	a, again := p.anchors[t]
	switch {
	case !again:
		a = &anchor.Anchor{Key: key, Purposes: []anchor.Purpose{anchor.TCSigner}}
		p.ring.KeyList = append(p.ring.KeyList, key)
		p.files[t], p.anchors[t] = file, a
	case below == nil || a.Constraints.Everywhere():
		return usage("--key %s: the key is given twice; only with a prefix each time that says more", file)
	}
	if below != nil {
		a.Constraints.Admit(*below)
	}
	return nil
}

// verify is what a device does first.
func (p *publishers) verify(e *suit.Envelope) (*suit.Verified, error) {
	v, err := e.Verify(p.ring, p.legacy)
	if err == nil {
		err = v.Satisfies(p.rule)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// rights are those of the signers: what each may sign is enough, or where the rule asks
// for two signatures, what two of them may sign.
func (p *publishers) rights(v *suit.Verified) processor.Rights {
	return func(access processor.Access) bool {
		var keys []*cosekit.PublicKey
		for _, signer := range v.Signers() {
			a, public := p.anchors[signer]
			if !public && p.rule == suit.AnySignature {
				return true // a MAC
			}
			if public && a.MayUse(access.Component, access.Command, access.Parameter) {
				keys = append(keys, a.Key)
			}
		}
		return p.rule.Check(keys) == nil
	}
}

// Authenticate implements processor.Authority.
func (p *publishers) Authenticate(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
	v, err := p.verify(e)
	if err != nil {
		return nil, nil, err
	}
	return v, p.rights(v), nil
}

// verification is what was found out about an envelope; its JSON form is stable.
type verification struct {
	Envelope string          `json:"envelope"`
	Manifest string          `json:"manifest"` // digest
	Checks   []inspect.Check `json:"checks"`
	// Severed are the elements that are not there, and so cannot be checked.
	Severed   []string `json:"severed,omitempty"`
	Authentic bool     `json:"authentic"`
	Signers   []string `json:"signers,omitempty"` // thumbprints
	Reason    string   `json:"reason,omitempty"`  // why not
}

func suitVerify(app *app) *cobra.Command {
	var flags publisherFlags
	cmd := &cobra.Command{
		Use:   "verify ENVELOPE --key FILE",
		Short: "Check signatures and digests of an envelope",
		Long: `Verify says whether a device that trusts the given keys would believe that the manifest is
from them. It lists every digest, of the manifest and of each element that can be severed,
and every signature and MAC, also those inside of integrated dependencies, with its
verdict. Payloads are for the device to check, against the digests in the manifest.

One signature by a given key is enough, unless --require asks for more. ES256 and EdDSA,
which older envelopes have, count with --allow-legacy only.

Exit codes: 0 where the manifest is authentic and nothing that was checked is false, 5
where not, 1 where a file could not be read.`,
		Example: `  tamctl suit verify hello.suit --key publisher.pub.pem
  tamctl suit verify hello.suit --key publisher.pub.pem --key publisher-pq.pub.pem \
    --require classical+post-quantum`,
		Args: exactly("ENVELOPE"),
	}
	flags.add(cmd, "public key file of a publisher; repeatable")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		keys, err := flags.load()
		if err != nil {
			return err
		}
		v, fault, err := keys.examine(args[0])
		if err != nil {
			return err
		}
		if err := app.show(cmd.OutOrStdout(), v, func(t *tabwriter.Writer) { keys.describe(t, v) }); err != nil {
			return err
		}
		return fault
	}
	return cmd
}

// examine returns what was found and, where the envelope is not to be believed, why.
func (p *publishers) examine(path string) (v verification, fault, err error) {
	envelope, err := readEnvelope(path)
	if err != nil {
		return v, nil, err
	}
	v = verification{Envelope: path, Manifest: envelope.Digest().String()}
	if v.Checks, err = p.checks(path, envelope); err != nil {
		return v, nil, err
	}
	if severed, err := envelope.Severed(); err == nil { // a manifest that does not decode does not verify either
		for _, s := range severed {
			v.Severed = append(v.Severed, s.String())
		}
	}
	verified, why := p.verify(envelope)
	invalid := func(c inspect.Check) bool { return c.Verdict == inspect.Invalid }
	switch i := slices.IndexFunc(v.Checks, invalid); {
	case why != nil:
		fault = advise(fmt.Errorf("%s is not authentic: %w", path, unsound{why}), "%s", unverified(path, why))
	case i >= 0:
		why = fmt.Errorf("the %s at %s does not hold", v.Checks[i].What, v.Checks[i].Path)
		fault = fmt.Errorf("%s: %w", path, unsound{why})
	default:
		v.Authentic = true
	}
	if why != nil {
		v.Reason = oneLine(why)
		return v, fault, nil
	}
	for _, signer := range verified.Signers() {
		v.Signers = append(v.Signers, signer.String())
	}
	return v, nil, nil
}

// unsound is an error with the exit code of what does not hold, on one line.
type unsound struct{ error }

func (u unsound) Error() string   { return oneLine(u.error) }
func (u unsound) Unwrap() []error { return []error{u.error, errUnsound} }

// oneLine joins the lines of an error.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// checks judges every digest, signature and MAC by itself.
func (p *publishers) checks(path string, e *suit.Envelope) ([]inspect.Check, error) {
	data, err := e.Encode(true)
	if err != nil {
		return nil, err
	}
	opts := inspect.Options{As: inspect.KindEnvelope, MACKeys: p.ring.SecretList}
	for _, key := range p.ring.KeyList {
		opts.Keys = append(opts.Keys, inspect.NewKey(key))
	}
	result, err := inspect.Inspect(data, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return result.Checks, nil
}

func (p *publishers) describe(t *tabwriter.Writer, v verification) {
	row(t, "VERDICT", "WHAT", "ALGORITHM", "KEY", "AT")
	for _, c := range v.Checks {
		row(t, c.Verdict, c.What, c.Algorithm, p.keyName(c), c.Path)
	}
	for _, s := range v.Severed {
		row(t, "severed", "element", "", "", "/"+s)
	}
	if v.Authentic {
		t.Flush()
		fmt.Fprintf(t, "\nthe manifest is authentic: %s\n", v.Manifest)
	}
}

// keyName is the file of the key, or the beginning of its name.
func (p *publishers) keyName(c inspect.Check) string {
	for t, file := range p.files {
		if c.Key == t.String() || c.Key == "" && c.KeyID == t.String() {
			return file
		}
	}
	if c.Key != "" {
		return elided(c.Key, false)
	}
	return elided(c.KeyID, false)
}
