package main

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
)

// shownReferences is a CoRIM for people; its JSON form is stable.
type shownReferences struct {
	ID        string           `json:"id"`
	Version   uint64           `json:"version"`
	Signer    string           `json:"signer,omitempty"` // what he calls himself
	Profile   string           `json:"profile,omitempty"`
	NotBefore *time.Time       `json:"notBefore,omitempty"`
	NotAfter  *time.Time       `json:"notAfter,omitempty"`
	Replaces  []string         `json:"replaces,omitempty"`
	Values    []shownReference `json:"values"`
	Keys      []shownKey       `json:"keys"`
	Unread    []string         `json:"unread,omitempty"`
}

type shownReference struct {
	About    string `json:"about"`
	Key      string `json:"key,omitempty"`
	Value    string `json:"value"`
	Endorsed bool   `json:"endorsed,omitempty"`
	Source   string `json:"source"`
}

type shownKey struct {
	About  string `json:"about"`
	Key    string `json:"key"`
	PEM    string `json:"pem"`
	Source string `json:"source"`
}

func referenceShow(app *app) *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show the reference values in a CoRIM",
		Long: `Show lists the values and keys in a file, what each of them is about, and what nobody here
reads of it. Nothing is verified: 'tamctl reference-values verify' does that.`,
		Example: "  tamctl reference-values show hello-4.corim",
		Args:    exactly("FILE"),
	}
	cmd.Flags().BoolVar(&wide, "wide", false, "write digests and identifiers whole")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		file, err := readCoRIM(args[0])
		if err != nil {
			return err
		}
		shown, err := showReferences(file, wide || app.format != "table")
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), shown, shown.table)
	}
	return cmd
}

func showReferences(file *corim.File, wide bool) (*shownReferences, error) {
	shown := &shownReferences{
		ID: file.ID, Version: file.Version, Signer: file.SignerName, Profile: file.Profile,
		NotBefore: given(file.NotBefore), NotAfter: given(file.NotAfter), Replaces: file.Replaces(),
		Values: []shownReference{}, Keys: []shownKey{}, Unread: file.Unread,
	}
	for _, r := range file.References() {
		shown.Values = append(shown.Values, shownReference{environmentText(r.Environment, wide), r.Key, valueText(r, wide), r.Endorsed, r.Source})
	}
	for _, k := range file.Keys() {
		der, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			return nil, err
		}
		what := "public key"
		if k.Certificate != nil {
			what = "certificate of " + k.Certificate.Subject.String()
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		shown.Keys = append(shown.Keys, shownKey{environmentText(k.Environment, wide), what, string(text), k.Source})
	}
	return shown, nil
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *shownReferences) table(t *tabwriter.Writer) {
	fact(t, "Tag", s.ID)
	fact(t, "Version", s.Version)
	if s.Signer == "" {
		fact(t, "Signed", "no")
	} else {
		fact(t, "Signed as", s.Signer+" (not verified)")
	}
	fact(t, "Profile", s.Profile)
	if s.NotBefore != nil {
		fact(t, "Not before", *s.NotBefore)
	}
	if s.NotAfter != nil {
		fact(t, "Not after", *s.NotAfter)
	}
	for _, id := range s.Replaces {
		fact(t, "Replaces", id)
	}
	for _, what := range s.Unread {
		fact(t, "Not read", what)
	}
	if len(s.Values) > 0 {
		fmt.Fprintln(t)
		row(t, "ABOUT", "KEY", "VALUE", "SOURCE")
		for _, v := range s.Values {
			if v.Endorsed {
				v.Value += " (endorsed)"
			}
			row(t, v.About, v.Key, v.Value, v.Source)
		}
	}
	if len(s.Keys) > 0 {
		fmt.Fprintln(t)
		row(t, "KEYS OF", "KEY", "SOURCE")
		for _, k := range s.Keys {
			row(t, k.About, k.Key, k.Source)
		}
	}
}

// environmentText writes "class uuid:67b2…, vendor Acme, layer 1".
func environmentText(e corim.Environment, wide bool) string {
	var parts []string
	id := func(name string, id corim.ID) {
		if !id.IsZero() {
			parts = append(parts, name+" "+elided(id.String(), wide))
		}
	}
	text := func(name, value string) {
		if value != "" {
			parts = append(parts, name+" "+value)
		}
	}
	number := func(name string, n *uint64) {
		if n != nil {
			parts = append(parts, name+" "+strconv.FormatUint(*n, 10))
		}
	}
	id("class", e.ClassID)
	text("vendor", e.Vendor)
	text("model", e.Model)
	number("layer", e.Layer)
	number("index", e.Index)
	id("instance", e.Instance)
	id("group", e.Group)
	return strings.Join(parts, ", ")
}

// valueText writes "sha-256:2cf24dba5fb0…, version 1.2.3".
func valueText(r corim.Reference, wide bool) string {
	var parts []string
	for _, d := range r.Digests {
		parts = append(parts, elided(d.Algorithm+":"+hex.EncodeToString(d.Value), wide))
	}
	if r.Version != "" {
		parts = append(parts, "version "+r.Version)
	}
	if r.SVN != nil {
		parts = append(parts, fmt.Sprintf("svn %d", *r.SVN))
	}
	if r.MinSVN != nil {
		parts = append(parts, fmt.Sprintf("svn %d or more", *r.MinSVN))
	}
	if r.Raw != nil {
		parts = append(parts, elided("raw:"+hex.EncodeToString(r.Raw), wide))
	}
	if r.Mask != nil {
		parts = append(parts, elided("mask:"+hex.EncodeToString(r.Mask), wide))
	}
	if r.Signer != nil {
		parts = append(parts, elided("signer:"+hex.EncodeToString(r.Signer), wide))
	}
	return strings.Join(parts, ", ")
}

// referencesVerified is the outcome of 'verify'; its JSON form is stable.
type referencesVerified struct {
	File    string `json:"file"`
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	Good    bool   `json:"good"`
	Signer  string `json:"signer,omitempty"` // thumbprint
	Reason  string `json:"reason,omitempty"` // why not
}

func referenceVerify(app *app) *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "verify FILE --key FILE",
		Short: "Check the signature and validity of a CoRIM",
		Long: `Verify says whether a server that trusts the given keys would import the file: one of them
has signed it, and it is valid now. Keys are on P-256 or P-384, or Ed25519, in PEM or as a
COSE_Key; of a certificate, the key counts and nothing else.

Exit codes: 0 where the file is good, 5 where not, 1 where it could not be read.`,
		Example: "  tamctl reference-values verify hello-4.corim --key provider.pub.pem",
		Args:    exactly("FILE"),
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key file of a reference-value provider; repeatable (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		if len(keys) == 0 {
			return usage("say whose signature is accepted, with --key FILE")
		}
		trusted, err := providerKeys(keys)
		if err != nil {
			return err
		}
		path := args[0]
		file, err := readCoRIM(path)
		if err != nil {
			return err
		}
		fault := file.Verify(time.Now(), trusted...)
		outcome := referencesVerified{File: path, ID: file.ID, Version: file.Version, Good: fault == nil, Signer: file.Signer}
		if fault != nil {
			outcome.Reason = fault.Error()
		}
		if err := app.show(cmd.OutOrStdout(), outcome, func(t *tabwriter.Writer) {
			if fault == nil {
				fmt.Fprintf(t, "the reference values are good: tag %s, version %d, signed by %s\n", printable(file.ID), file.Version, file.Signer)
			}
		}); err != nil {
			return err
		}
		if fault != nil {
			return advise(unsound{fmt.Errorf("%s: %w", path, fault)}, "%s", referenceStep(path, fault))
		}
		return nil
	}
	return cmd
}

func providerKeys(paths []string) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		key, err := corim.ReadPublicKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w%s", path, err, publicKeyHint(path, data))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// referenceStep is what to do about a file that is not believed.
func referenceStep(path string, err error) string {
	switch {
	case errors.Is(err, corim.ErrUnsigned):
		return "have it signed by its provider: a server takes signed files only"
	case errors.Is(err, corim.ErrValidity):
		return "get a newer file from its provider"
	case errors.Is(err, corim.ErrSigner):
		return fmt.Sprintf("give the key of its signer with --key; 'tamctl reference-values show %s' shows who that is", lines.Quote(path))
	}
	return ""
}

// manifestStep is what to do about a manifest without reference values.
func manifestStep(path string, err error) string {
	switch {
	case errors.Is(err, suit.ErrDigest):
		return "get it again from who signed it"
	case errors.Is(err, corim.ErrManifest):
		return fmt.Sprintf("give what is missing (--dependency FILE, --id NAME); 'tamctl suit inspect %s' shows what it installs", lines.Quote(path))
	}
	return fmt.Sprintf("'tamctl suit lint %s' shows what is wrong with it", lines.Quote(path))
}

func describedAdvice(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return advise(fmt.Errorf("%s: %w", path, err), "'tamctl reference-values create --help' shows the keys of a description")
}
