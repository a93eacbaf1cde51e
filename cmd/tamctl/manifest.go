package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func manifestCommand(app *app) *cobra.Command {
	return group("manifest", "Publish and show manifests on the server",
		manifestPublish(app), manifestList(app), manifestShow(app))
}

func manifestPublish(app *app) *cobra.Command {
	var payloads []string
	cmd := &cobra.Command{
		Use:   "publish ENVELOPE",
		Short: "Publish a signed envelope, its payloads first",
		Long: `Publish uploads the payloads, then the signed envelope that names them. The server
checks the signature, the publisher's rights, the sequence number and the payloads,
and refuses what devices would refuse. Uploading the same payload again is harmless.`,
		Example: `  tamctl manifest publish hello.suit --payload hello.wasm`,
		Args:    exactly("ENVELOPE"),
	}
	cmd.Flags().StringArrayVar(&payloads, "payload", nil, "file that the manifest lets devices fetch from this server; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		envelope, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		if _, err := suit.Decode(envelope); err != nil {
			return fmt.Errorf("%s is no SUIT envelope: %w; make one with 'tamctl suit create'", args[0], err)
		}
		api, err := app.connect()
		if err != nil {
			return err
		}
		for _, path := range payloads {
			if err := app.upload(cmd.Context(), api, path); err != nil {
				return err
			}
		}
		r, err := api.PublishManifestWithBodyWithResponse(cmd.Context(), suit.MediaTypeEnvelope, bytes.NewReader(envelope))
		if err != nil {
			return transportFault(err)
		}
		m, err := result(r.JSON201, r)
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), m, func(t *tabwriter.Writer) { describeManifest(t, m) })
	}
	return cmd
}

// upload streams one payload to the server.
func (a *app) upload(ctx context.Context, api *client.ClientWithResponses, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("payload %s is not a regular file", path)
	}
	bar := newProgress(a.stderr, path, info.Size())
	defer bar.done()
	// The server says no, to the size or the token, before the payload is sent.
	announce := func(_ context.Context, r *http.Request) error {
		r.ContentLength = info.Size()
		r.Header.Set("Expect", "100-continue")
		return nil
	}
	r, err := api.UploadPayloadWithBodyWithResponse(ctx, "application/octet-stream", io.TeeReader(f, bar), announce)
	if err != nil {
		return transportFault(err)
	}
	p, err := result(r.JSON201, r)
	if err != nil {
		return err
	}
	bar.done()
	_, err = fmt.Fprintf(a.stderr, "uploaded %s: %s, %s\n", path, p.Digest, size(p.Size))
	return err
}

func manifestList(app *app) *cobra.Command {
	var component string
	var wide bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the manifests on the server",
		Example: "  tamctl manifest list --component app/hello",
		Args:    noArguments,
	}
	cmd.Flags().StringVar(&component, "component", "", "only manifests of this component, the highest sequence number first")
	cmd.Flags().BoolVar(&wide, "wide", false, "whole digests and thumbprints")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.Manifest, error) {
			return listManifests(cmd.Context(), api, component)
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) {
			row(t, "DIGEST", "COMPONENT", "SEQUENCE", "SIZE", "SIGNER", "PUBLISHED")
			for _, m := range list {
				row(t, brief(m.Digest, wide), m.Component, m.Sequence, size(m.Size), brief(m.Signer, wide), m.PublishedAt)
			}
		})
	}
	return cmd
}

func listManifests(ctx context.Context, api *client.ClientWithResponses, component string) ([]client.Manifest, error) {
	params := client.ListManifestsParams{}
	if component != "" {
		params.Component = &component
	}
	return allPages(func(after *string) ([]client.Manifest, string, error) {
		params.After = after
		r, err := api.ListManifestsWithResponse(ctx, &params)
		if err != nil {
			return nil, "", transportFault(err)
		}
		page, err := result(r.JSON200, r)
		return page.Items, page.Next, err
	})
}

func manifestShow(app *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show DIGEST",
		Short:   "Show a manifest and what it installs",
		Long:    "Show finds the manifest by its digest or the first digits of it, as 'manifest list' prints them.",
		Example: "  tamctl manifest show 9f86d081884c",
		Args:    exactly("DIGEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := query(app, func(api *client.ClientWithResponses) (client.Manifest, error) {
				r, err := api.GetManifestWithResponse(cmd.Context(), args[0])
				if err != nil {
					return client.Manifest{}, transportFault(err)
				}
				return result(r.JSON200, r)
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), m, func(t *tabwriter.Writer) { describeManifest(t, m) })
		},
	}
}

func describeManifest(t *tabwriter.Writer, m client.Manifest) {
	fact(t, "manifest", m.Digest)
	fact(t, "component", m.Component)
	fact(t, "sequence", m.Sequence)
	fact(t, "signer", m.Signer)
	fact(t, "envelope", size(m.Size))
	fact(t, "published", m.PublishedAt)
	fact(t, "by", m.PublishedBy)
	for _, target := range m.Targets {
		fact(t, "installs", target.Component)
		fact(t, "  image", target.ImageDigest)
		fact(t, "  size", fmt.Sprintf("%d bytes", target.ImageSize))
		fact(t, "  from", target.URI)
	}
}
