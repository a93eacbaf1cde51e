package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// keyGroup is a group of commands about keys that the server trusts for one thing.
type keyGroup struct {
	name, short, noun  string // "verifier", "Say whose …", "verifier"
	addShort, addLong  string
	listShort, example string
	removeShort        string
	// flags adds those that narrow a key. What it returns reads them into a new one.
	flags func(*cobra.Command) func(*client.NewTrustedKey)
	add   func(context.Context, *client.ClientWithResponses, client.NewTrustedKey) (client.TrustedKey, error)
	list  func(context.Context, *client.ClientWithResponses) ([]client.TrustedKey, error)
}

func verifierCommand(app *app) *cobra.Command {
	return keyGroup{
		name: "verifier", short: "Say whose attestation results count", noun: "verifier",
		addShort: "Let a key sign attestation results",
		addLong: `Add lets the server accept Attestation Results that agents pass on (the passport model of
RFC 9334) where this key signed them. A remote verifier that the server asks by itself is
set up in its configuration instead.`,
		listShort:   "List the keys whose attestation results count",
		example:     "veraison.pub.pem --title 'Veraison in hall 3'",
		removeShort: "Let a key sign attestation results no longer",
		add: func(ctx context.Context, api *client.ClientWithResponses, key client.NewTrustedKey) (client.TrustedKey, error) {
			return made(api.AddVerifierWithResponse(ctx, key))
		},
		list: func(ctx context.Context, api *client.ClientWithResponses) ([]client.TrustedKey, error) {
			return got(api.ListVerifiersWithResponse(ctx))
		},
	}.command(app)
}

func referenceProviderCommand(app *app) *cobra.Command {
	return keyGroup{
		name: "reference-provider", short: "Say whose reference values count", noun: "reference-value provider",
		addShort: "Let a key sign reference values",
		addLong: `Add lets the server import reference values ('tamctl reference-values import') that this
key signed. Whoever holds it says what devices should measure, and with which keys they
sign: of every product, unless you say of which, with --class, --vendor and --instance. What it
says of others is refused then.`,
		listShort: "List the keys that may sign reference values",
		example: `provider.pub.pem --title 'Release team'
  tamctl reference-provider add acme.pub.pem --title Acme --vendor Acme \
    --class psa.impl-id:acbb11c7e4da217205523ce4ce1a245ae1a239ae3c6bfd9e7871f7e5d8bae86b`,
		flags:       productFlags,
		removeShort: "Let a key sign reference values no longer",
		add: func(ctx context.Context, api *client.ClientWithResponses, key client.NewTrustedKey) (client.TrustedKey, error) {
			return made(api.AddReferenceProviderWithResponse(ctx, key))
		},
		list: func(ctx context.Context, api *client.ClientWithResponses) ([]client.TrustedKey, error) {
			return got(api.ListReferenceProvidersWithResponse(ctx))
		},
	}.command(app)
}

func attestationAnchorCommand(app *app) *cobra.Command {
	return keyGroup{
		name: "attestation-anchor", short: "Say whose evidence counts", noun: "attestation anchor",
		addShort: "Register the attestation key of a device",
		addLong: `Add registers the key with which a device signs its evidence; without it, or a device CA
that certifies it ('tamctl device-ca add'), the device cannot be admitted.

A key is for EATs unless you say otherwise with --format: psa, cca or tpm for one that lives
in a root of trust or a TPM. Do not say so of a key that software keeps: it could claim any
hardware.`,
		listShort: "List the keys whose evidence counts",
		example: `device1/attestation.pub.pem --title 'device 1'
  tamctl attestation-anchor add gate/attestation.pub.pem --title gate --format tpm`,
		flags:       formatFlags,
		removeShort: "Trust the attestation key of a device no longer",
		add: func(ctx context.Context, api *client.ClientWithResponses, key client.NewTrustedKey) (client.TrustedKey, error) {
			return made(api.AddAttestationAnchorWithResponse(ctx, key))
		},
		list: func(ctx context.Context, api *client.ClientWithResponses) ([]client.TrustedKey, error) {
			return got(api.ListAttestationAnchorsWithResponse(ctx))
		},
	}.command(app)
}

func (k keyGroup) command(app *app) *cobra.Command {
	return group(k.name, k.short, k.addCommand(app), k.listCommand(app), k.removeCommand(app))
}

func (k keyGroup) addCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "add PUBLIC-KEY",
		Short:   k.addShort,
		Long:    k.addLong + "\n\nPUBLIC-KEY is a file: PEM (PUBLIC KEY or CERTIFICATE) or a COSE_Key.",
		Example: fmt.Sprintf("  tamctl %s add %s", k.name, k.example),
	}
	narrow := func(*client.NewTrustedKey) {}
	if k.flags != nil {
		narrow = k.flags(cmd)
	}
	return trusting(app, cmd, cosekit.ReadPublicKey, func(ctx context.Context, api *client.ClientWithResponses, key trusted) (client.TrustedKey, error) {
		added := client.NewTrustedKey{PublicKey: key.public, Title: key.title, NotBefore: key.from, NotAfter: key.until}
		narrow(&added)
		return k.add(ctx, api, added)
	}, func(t *tabwriter.Writer, a client.TrustedKey) {
		fact(t, k.noun, a.Title)
		fact(t, "key", a.Thumbprint)
		fact(t, "algorithm", a.Algorithm)
		if k.name == "attestation-anchor" {
			fact(t, "for evidence", formatsText(a.Formats))
		}
		if k.name == "reference-provider" {
			fact(t, "speaks for", productsText(a.Products))
		}
		fact(t, "from", a.NotBefore)
		fact(t, "until", a.NotAfter)
	})
}

const formatUsage = "`format` of the evidence that it is for: eat (when none is given), psa, cca or tpm; may be repeated"

func formatFlags(cmd *cobra.Command) func(*client.NewTrustedKey) {
	formats := cmd.Flags().StringArray("format", nil, formatUsage)
	return func(key *client.NewTrustedKey) { key.Formats = *formats }
}

func formatsText(formats []string) string {
	if len(formats) == 0 {
		return "eat"
	}
	return strings.Join(formats, ", ")
}

func productFlags(cmd *cobra.Command) func(*client.NewTrustedKey) {
	classes := cmd.Flags().StringArray("class", nil, "class `id` that it may speak about, such as psa.impl-id:acbb…, uuid:67b2… or oid:2.23.133.1.2; may be repeated")
	vendors := cmd.Flags().StringArray("vendor", nil, "`vendor` that it may speak about, where nothing else names the product; may be repeated")
	instances := cmd.Flags().StringArray("instance", nil, "`id` of a device that it may speak about, or the beginning of one, such as ueid:01ce; may be repeated")
	return func(key *client.NewTrustedKey) {
		for _, list := range []struct {
			field string
			texts []string
		}{{"class=", *classes}, {"vendor=", *vendors}, {"instance=", *instances}} {
			for _, text := range list.texts {
				key.Products = append(key.Products, list.field+text)
			}
		}
	}
}

func productsText(products []string) string {
	if len(products) == 0 {
		return "every product: narrow it with --class, --vendor or --instance"
	}
	return strings.Join(products, ", ")
}

func (k keyGroup) listCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   k.listShort,
		Example: fmt.Sprintf("  tamctl %s list --wide", k.name),
	}
	return listing(app, cmd, "whole thumbprints", k.list, func(t *tabwriter.Writer, list []client.TrustedKey, wide bool) {
		row(t, "KEY", "ALGORITHM", "TITLE", "UNTIL")
		for _, a := range list {
			row(t, elided(a.Thumbprint, wide), a.Algorithm, a.Title, a.NotAfter)
		}
	})
}

func (k keyGroup) removeCommand(app *app) *cobra.Command {
	return removing(app, &cobra.Command{
		Use:   "remove KEY --reason TEXT",
		Short: k.removeShort,
		Long: k.removeShort + `. What was decided by it before stays on record.

KEY is its thumbprint, or the first digits of it (four at least).`,
		Example: fmt.Sprintf("  tamctl %s remove 3fa1 --reason 'the key is lost'", k.name),
		Args:    exactly("KEY"),
	}, k.noun, k.list, func(a client.TrustedKey) (string, string) { return a.Thumbprint, a.Title },
		func(ctx context.Context, api *client.ClientWithResponses, thumbprint, reason string) error {
			return done(api.RemoveAnchorWithResponse(ctx, thumbprint, &client.RemoveAnchorParams{Reason: reason}))
		})
}

// removing makes cmd the command that takes away one of a list, for a reason. Its argument
// is the first digits of what names it.
func removing[T any](app *app, cmd *cobra.Command, noun string,
	list func(context.Context, *client.ClientWithResponses) ([]T, error), name func(T) (digits, title string),
	remove func(ctx context.Context, api *client.ClientWithResponses, digits, reason string) error,
) *cobra.Command {
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		if err := enoughDigits(args[0]); err != nil {
			return err
		}
		type removed struct {
			Name  string `json:"name"`
			Title string `json:"title"`
		}
		gone, err := query(app, func(api *client.ClientWithResponses) (gone removed, err error) {
			all, err := list(cmd.Context(), api)
			if err != nil {
				return gone, err
			}
			if gone.Name, gone.Title, err = named(all, args[0], noun, name); err != nil {
				return gone, err
			}
			return gone, remove(cmd.Context(), api, gone.Name, *reason)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), gone, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "%s %s (%s) is trusted no longer\n", noun, brief(gone.Name, false), printable(gone.Title))
		})
	}
	return cmd
}

// named finds the one of a list whose name begins with the digits, as the server does
// for devices.
func named[T any](all []T, digits, noun string, name func(T) (string, string)) (found, title string, err error) {
	for _, item := range all {
		whole, what := name(item)
		switch {
		case !strings.HasPrefix(whole, strings.ToLower(digits)):
		case found != "":
			return "", "", &refusedError{client.Problem{
				Code: "ambiguous", Detail: fmt.Sprintf("%s %q names more than one, %s among them", noun, digits, found), Hint: "give more digits",
			}}
		default:
			found, title = whole, what
		}
	}
	if found == "" {
		return "", "", &refusedError{client.Problem{Code: "not-found", Detail: fmt.Sprintf("%s %q: not found", noun, digits)}}
	}
	return found, title, nil
}

// errNoReason is a change without the reason that the record wants.
var errNoReason = usage("say why, with --reason")

func reasonFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("reason", "", "why, for the record (required)")
}

// readDate reads a date, which begins at midnight UTC, or a time.
func readDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date, such as 2026-12-01, and no time, such as 2026-12-01T08:00:00Z", text)
}
