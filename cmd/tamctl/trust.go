package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func publisherCommand(app *app) *cobra.Command {
	return group("publisher", "Say who may sign manifests", publisherAdd(app), publisherList(app))
}

// trusted is a key that the server is to trust, and for how long.
type trusted struct {
	public, title string
	from, until   time.Time
}

// trusting makes cmd the command that adds a key to those that the server trusts.
func trusting[T any](app *app, cmd *cobra.Command, read func([]byte) (*cosekit.PublicKey, error),
	add func(context.Context, *client.ClientWithResponses, trusted) (T, error),
	describe func(*tabwriter.Writer, T),
) *cobra.Command {
	var title, from, until string
	cmd.Args = exactly("PUBLIC-KEY")
	cmd.Flags().StringVar(&title, "title", "", "whose key it is, for people (required)")
	cmd.Flags().StringVar(&from, "from", "", "when trust in it begins, for example 2026-12-01T00:00:00Z")
	cmd.Flags().StringVar(&until, "until", "", "when trust in it ends")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if title == "" {
			return usage("say whose key it is, with --title")
		}
		key := trusted{title: title}
		err := errors.Join(
			parse(&key.from, "--from", from, readTime),
			parse(&key.until, "--until", until, readTime),
		)
		if err != nil {
			return err
		}
		if key.public, err = readKey(args[0], read); err != nil {
			return err
		}
		added, err := query(app, func(api *client.ClientWithResponses) (T, error) { return add(cmd.Context(), api, key) })
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), added, func(t *tabwriter.Writer) { describe(t, added) })
	}
	return cmd
}

func readTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is not a time such as 2026-12-01T00:00:00Z", text)
	}
	return t, nil
}

// readKey reads a public key file and returns it as the API takes it.
func readKey(path string, read func([]byte) (*cosekit.PublicKey, error)) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(data), "PRIVATE KEY-----") {
		return "", fmt.Errorf("%s holds a private key, which stays here; give the public key%s", path, publicBeside(path))
	}
	if _, err := read(data); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if strings.Contains(string(data), "-----BEGIN") {
		return string(data), nil
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

func publisherAdd(app *app) *cobra.Command {
	var components []string
	var narrowed client.NewPublisher
	var all bool
	cmd := &cobra.Command{
		Use:   "add PUBLIC-KEY",
		Short: "Let a key sign manifests for some components",
		Long: `Add lets the server accept manifests that this key signed, where their manifest
component id and everything they install begins with one of the prefixes. PUBLIC-KEY
is a file: PEM (PUBLIC KEY or CERTIFICATE) or a COSE_Key, of ESP256, Ed25519, ML-DSA or
HSS-LMS. Devices decide by their own
trust anchors besides.

Behind a prefix may stand what they may do there: commands=NAME,… and parameters=NAME,…
with the names of SUIT. Commands are process-dependency, fetch, copy, write, swap,
invoke, wait and unlink; conditions and what orders a sequence are always allowed.
Where a list is missing, everything of its kind is allowed.`,
		Example: `  tamctl publisher add hello.pub.pem --title 'Hello team' --component app/hello
  tamctl publisher add root.pub.pem --title 'Release team' --all-components
  tamctl publisher add mirror.pub.pem --title Distributor --component app/hello/suit \
    --component 'app/hello commands=process-dependency parameters=encryption-info,uri'`,
		PreRunE: func(*cobra.Command, []string) (err error) {
			if all != (len(components) == 0) {
				return usage("give either --component, once for each prefix, or --all-components")
			}
			narrowed, err = narrow(components)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&components, "component", nil, "component-id `prefix` that it may sign for, with the commands and parameters that it may use there; may be repeated")
	cmd.Flags().BoolVar(&all, "all-components", false, "it may sign for every component")
	return trusting(app, cmd, cosekit.ReadManifestKey, func(ctx context.Context, api *client.ClientWithResponses, key trusted) (client.Publisher, error) {
		return made(api.AddPublisherWithResponse(ctx, client.NewPublisher{
			PublicKey: key.public, Title: key.title, NotBefore: key.from, NotAfter: key.until,
			Components: narrowed.Components, Scopes: narrowed.Scopes, AllComponents: all,
		}))
	}, func(t *tabwriter.Writer, p client.Publisher) {
		fact(t, "publisher", p.Title)
		fact(t, "key", p.Thumbprint)
		fact(t, "algorithm", p.Algorithm)
		fact(t, "may sign", scope(p))
		fact(t, "from", p.NotBefore)
		fact(t, "until", p.NotAfter)
	})
}

// narrow sorts the prefixes by whether something stands behind them.
func narrow(components []string) (p client.NewPublisher, err error) {
	for _, text := range components {
		s, err := anchor.ParseScope(text)
		switch {
		case err != nil:
			return p, usage("--component %q: %w", text, err)
		case len(s.Commands)+len(s.Parameters) == 0:
			p.Components = append(p.Components, s.Prefix.String())
		default:
			p.Scopes = append(p.Scopes, client.Scope{Component: s.Prefix.String(), Commands: s.CommandNames(), Parameters: s.ParameterNames()})
		}
	}
	return p, nil
}

func scope(p client.Publisher) string {
	if p.AllComponents {
		return "(every component)"
	}
	where := slices.Clone(p.Components)
	for _, s := range p.Scopes {
		text := s.Component
		if len(s.Commands) > 0 {
			text += " commands=" + strings.Join(s.Commands, ",")
		}
		if len(s.Parameters) > 0 {
			text += " parameters=" + strings.Join(s.Parameters, ",")
		}
		where = append(where, text)
	}
	return strings.Join(where, ", ")
}

func publisherList(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who may sign manifests",
		Example: "  tamctl publisher list",
	}
	return listing(app, cmd, "whole thumbprints", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Publisher, error) {
		return got(api.ListPublishersWithResponse(ctx))
	}, func(t *tabwriter.Writer, list []client.Publisher, wide bool) {
		row(t, "KEY", "ALGORITHM", "TITLE", "MAY SIGN", "UNTIL")
		for _, p := range list {
			row(t, elided(p.Thumbprint, wide), p.Algorithm, p.Title, scope(p), p.NotAfter)
		}
	})
}

// publicBeside names the public key of a private one where keygen, or a device, has put it.
func publicBeside(path string) string {
	for _, public := range []string{publicPath(path), filepath.Join(filepath.Dir(filepath.Dir(path)), filepath.Base(publicPath(path)))} {
		if _, err := os.Stat(public); err == nil {
			return ", " + public
		}
	}
	return ", which stands in a file of its own (.pub.pem)"
}
