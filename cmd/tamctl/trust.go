package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func publisherCommand(app *app) *cobra.Command {
	return group("publisher", "Say who may sign manifests", publisherAdd(app), publisherList(app))
}

// newKey are the flags of a key that is to be trusted.
type newKey struct {
	title            string
	notBefore, until string
}

func (k *newKey) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.title, "title", "", "whose key it is, for people (required)")
	cmd.Flags().StringVar(&k.notBefore, "from", "", "when trust in it begins, for example 2026-12-01T00:00:00Z")
	cmd.Flags().StringVar(&k.until, "until", "", "when trust in it ends")
}

func (k *newKey) period() (from, until time.Time, err error) {
	if k.title == "" {
		return from, until, usage("say whose key it is, with --title")
	}
	for _, bound := range []struct {
		flag, text string
		value      *time.Time
	}{{"--from", k.notBefore, &from}, {"--until", k.until, &until}} {
		if bound.text == "" {
			continue
		}
		if *bound.value, err = time.Parse(time.RFC3339, bound.text); err != nil {
			return from, until, usage("%s %q is not a time such as 2026-12-01T00:00:00Z", bound.flag, bound.text)
		}
	}
	return from, until, nil
}

// readKey reads a public key file and returns it as the API takes it.
func readKey(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(data), "PRIVATE KEY-----") {
		return "", fmt.Errorf("%s holds a private key, which stays here; give the public key, %s", path, publicPath(path))
	}
	if _, err := cosekit.ReadPublicKey(data); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if strings.Contains(string(data), "-----BEGIN") {
		return string(data), nil
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

func publisherAdd(app *app) *cobra.Command {
	var key newKey
	var components []string
	var all bool
	cmd := &cobra.Command{
		Use:   "add PUBLIC-KEY",
		Short: "Let a key sign manifests for some components",
		Long: `Add lets the server accept manifests that this key signed, where their manifest
component id and everything they install begins with one of the prefixes. PUBLIC-KEY
is a file: PEM (PUBLIC KEY or CERTIFICATE) or a COSE_Key. Devices decide by their own
trust anchors besides.`,
		Example: `  tamctl publisher add hello.pub.pem --title 'Hello team' --component app/hello
  tamctl publisher add root.pub.pem --title 'Release team' --all-components`,
		Args: exactly("PUBLIC-KEY"),
	}
	key.register(cmd)
	cmd.Flags().StringArrayVar(&components, "component", nil, "component-id prefix that it may sign for; may be repeated")
	cmd.Flags().BoolVar(&all, "all-components", false, "it may sign for every component")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, until, err := key.period()
		if err != nil {
			return err
		}
		if all != (len(components) == 0) {
			return usage("give either --component, once for each prefix, or --all-components")
		}
		public, err := readKey(args[0])
		if err != nil {
			return err
		}
		p, err := query(app, func(api *client.ClientWithResponses) (client.Publisher, error) {
			r, err := api.AddPublisherWithResponse(cmd.Context(), client.NewPublisher{
				PublicKey: public, Title: key.title, NotBefore: from, NotAfter: until,
				Components: components, AllComponents: all,
			})
			if err != nil {
				return client.Publisher{}, transportFault(err)
			}
			return result(r.JSON201, r)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), p, func(t *tabwriter.Writer) { describePublisher(t, p) })
	}
	return cmd
}

func describePublisher(t *tabwriter.Writer, p client.Publisher) {
	fact(t, "publisher", p.Title)
	fact(t, "key", p.Thumbprint)
	fact(t, "algorithm", p.Algorithm)
	fact(t, "may sign", scope(p))
	fact(t, "from", p.NotBefore)
	fact(t, "until", p.NotAfter)
}

func scope(p client.Publisher) string {
	if p.AllComponents {
		return "(every component)"
	}
	return strings.Join(p.Components, ", ")
}

func publisherList(app *app) *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who may sign manifests",
		Example: "  tamctl publisher list",
		Args:    noArguments,
	}
	cmd.Flags().BoolVar(&wide, "wide", false, "whole thumbprints")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.Publisher, error) {
			r, err := api.ListPublishersWithResponse(cmd.Context())
			if err != nil {
				return nil, transportFault(err)
			}
			return result(r.JSON200, r)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) {
			row(t, "KEY", "ALGORITHM", "TITLE", "MAY SIGN", "UNTIL")
			for _, p := range list {
				row(t, brief(p.Thumbprint, wide), p.Algorithm, p.Title, scope(p), p.NotAfter)
			}
		})
	}
	return cmd
}

func attestationAnchorCommand(app *app) *cobra.Command {
	return group("attestation-anchor", "Say whose evidence counts", attestationAnchorAdd(app), attestationAnchorList(app))
}

func attestationAnchorAdd(app *app) *cobra.Command {
	var key newKey
	cmd := &cobra.Command{
		Use:   "add PUBLIC-KEY",
		Short: "Register the attestation key of a device",
		Long: `Add registers the key with which a device signs its evidence; without it the device
cannot be admitted. PUBLIC-KEY is a file: PEM (PUBLIC KEY or CERTIFICATE) or a COSE_Key.`,
		Example: "  tamctl attestation-anchor add device1/attestation.pub.pem --title 'device 1'",
		Args:    exactly("PUBLIC-KEY"),
	}
	key.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, until, err := key.period()
		if err != nil {
			return err
		}
		public, err := readKey(args[0])
		if err != nil {
			return err
		}
		added, err := query(app, func(api *client.ClientWithResponses) (client.AttestationAnchor, error) {
			r, err := api.AddAttestationAnchorWithResponse(cmd.Context(), client.NewAttestationAnchor{
				PublicKey: public, Title: key.title, NotBefore: from, NotAfter: until,
			})
			if err != nil {
				return client.AttestationAnchor{}, transportFault(err)
			}
			return result(r.JSON201, r)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), added, func(t *tabwriter.Writer) {
			fact(t, "attestation anchor", added.Title)
			fact(t, "key", added.Thumbprint)
			fact(t, "algorithm", added.Algorithm)
			fact(t, "from", added.NotBefore)
			fact(t, "until", added.NotAfter)
		})
	}
	return cmd
}

func attestationAnchorList(app *app) *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the keys whose evidence counts",
		Example: "  tamctl attestation-anchor list --wide",
		Args:    noArguments,
	}
	cmd.Flags().BoolVar(&wide, "wide", false, "whole thumbprints")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.AttestationAnchor, error) {
			r, err := api.ListAttestationAnchorsWithResponse(cmd.Context())
			if err != nil {
				return nil, transportFault(err)
			}
			return result(r.JSON200, r)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) {
			row(t, "KEY", "ALGORITHM", "TITLE", "UNTIL")
			for _, a := range list {
				row(t, brief(a.Thumbprint, wide), a.Algorithm, a.Title, a.NotAfter)
			}
		})
	}
	return cmd
}
