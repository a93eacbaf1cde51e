package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
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
and refuses what devices would refuse. Publishing the same again is harmless.`,
		Example: `  tamctl manifest publish hello.suit --payload hello.wasm`,
		Args:    exactly("ENVELOPE"),
	}
	cmd.Flags().StringArrayVar(&payloads, "payload", nil, "file that the manifest lets devices fetch from this server; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		data, err := readBounded(args[0])
		if err != nil {
			return err
		}
		envelope, err := decodeEnvelope(args[0], data)
		if err != nil {
			return err
		}
		if err := checkPayloads(args[0], envelope, payloads); err != nil {
			return err
		}
		m, err := query(app, func(api *client.ClientWithResponses) (client.Manifest, error) {
			for _, path := range payloads {
				if err := app.upload(cmd.Context(), api, path); err != nil {
					return client.Manifest{}, err
				}
			}
			return app.publish(cmd.Context(), api, data, envelope)
		})
		if err != nil {
			return err
		}
		for _, warning := range m.Warnings {
			fmt.Fprintf(app.stderr, "warning: %s\n", printable(warning))
		}
		return app.show(cmd.OutOrStdout(), m, func(t *tabwriter.Writer) { describeManifest(t, m) })
	}
	return cmd
}

// checkPayloads refuses a payload that the manifest does not name by its digest, before it
// is sent. Dependencies, in the envelope or among the payloads, name their own.
func checkPayloads(path string, envelope *suit.Envelope, payloads []string) error {
	named := &digests{}
	if err := named.add(envelope); err != nil {
		return advise(fmt.Errorf("%s: %w", path, err), "'tamctl suit lint %s' says what is wrong with the manifest", lines.Quote(path))
	}
	measured := make([]suit.Digest, len(payloads))
	for i, payload := range payloads {
		var err error
		if measured[i], err = measurePayload(payload, named); err != nil {
			return err
		}
	}
	for i, payload := range payloads {
		if !named.have(measured[i]) {
			return advise(fmt.Errorf("%s is no payload of %s: its manifest names no %s", payload, path, elided(measured[i].String(), false)),
				"name the files that 'tamctl suit create' said devices fetch; nothing was uploaded")
		}
	}
	return nil
}

// digests are those of the images that manifests name.
type digests struct {
	list []suit.Digest
	// open: there is one by another algorithm than that of the payload store.
	open bool
}

func (d *digests) have(one suit.Digest) bool {
	return d.open || slices.ContainsFunc(d.list, one.Equal)
}

func (d *digests) add(e *suit.Envelope) error {
	m, err := e.UnverifiedManifest()
	if err != nil {
		return err
	}
	for p := range parameters(m) {
		if p.ImageDigest != nil {
			d.list = append(d.list, *p.ImageDigest)
			d.open = d.open || p.ImageDigest.Algorithm != suit.SHA256
		}
	}
	for _, name := range e.IntegratedNames() {
		payload, _ := e.UnverifiedIntegrated(name)
		d.addDependency(payload)
	}
	return nil
}

// addDependency takes over what a payload names that is an envelope itself.
func (d *digests) addDependency(payload []byte) {
	if inner, err := suit.Decode(payload); err == nil {
		_ = d.add(inner) // what it is worth, the server says
	}
}

func measurePayload(path string, named *digests) (suit.Digest, error) {
	f, err := openPayload(path)
	if err != nil {
		return suit.Digest{}, err
	}
	defer f.Close() // it was only read
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return suit.Digest{}, err
	}
	if info, err := f.Stat(); err == nil && info.Size() <= author.MaxEnvelope {
		if data, err := os.ReadFile(path); err == nil {
			named.addDependency(data)
		}
	}
	return suit.Digest{Algorithm: suit.SHA256, Bytes: hash.Sum(nil)}, nil
}

// publish sends an envelope. That its manifest is there already is no failure: the
// answer to an earlier attempt may have been lost.
func (a *app) publish(ctx context.Context, api *client.ClientWithResponses, data []byte, envelope *suit.Envelope) (client.Manifest, error) {
	m, err := made(api.PublishManifestWithBodyWithResponse(ctx, suit.MediaTypeEnvelope, bytes.NewReader(data)))
	var refused *refusedError
	if !errors.As(err, &refused) || refused.Code != "already-published" {
		return m, err
	}
	digest := envelope.Digest().String()
	if m, err = got(api.GetManifestWithResponse(ctx, digest)); err != nil {
		return m, err
	}
	_, err = fmt.Fprintf(a.stderr, "already published on %s, nothing is changed\n", instant(m.PublishedAt))
	return m, err
}

// upload streams one payload to the server.
func (a *app) upload(ctx context.Context, api *client.ClientWithResponses, path string) error {
	f, err := openPayload(path)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	bar := newProgress(a.stderr, path, info.Size())
	defer bar.done()
	// The server says no, to the size or the token, before the payload is sent.
	announce := func(_ context.Context, r *http.Request) error {
		r.ContentLength = info.Size()
		r.Header.Set("Expect", "100-continue")
		return nil
	}
	p, err := made(api.UploadPayloadWithBodyWithResponse(ctx, "application/octet-stream", io.TeeReader(f, bar), announce))
	if err != nil {
		return err
	}
	bar.done()
	_, err = fmt.Fprintf(a.stderr, "uploaded %s, %s\n  %s\n", path, size(p.Size), p.Digest)
	return err
}

func manifestList(app *app) *cobra.Command {
	var component string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the manifests on the server",
		Example: "  tamctl manifest list --component app/hello",
	}
	cmd.Flags().StringVar(&component, "component", "", "only manifests of this component, the highest sequence number first")
	return listing(app, cmd, "whole digests and thumbprints", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Manifest, error) {
		return listManifests(ctx, api, component)
	}, func(t *tabwriter.Writer, list []client.Manifest, wide bool) {
		row(t, "DIGEST", "COMPONENT", "SEQUENCE", "SIZE", "SIGNER", "PUBLISHED")
		for _, m := range list {
			row(t, brief(m.Digest, wide), m.Component, m.Sequence, size(m.Size), elided(m.Signer, wide), m.PublishedAt)
		}
	})
}

func listManifests(ctx context.Context, api *client.ClientWithResponses, component string) ([]client.Manifest, error) {
	params := client.ListManifestsParams{}
	if component != "" {
		params.Component = &component
	}
	return allPages(func(after *string) ([]client.Manifest, string, error) {
		params.After = after
		page, err := got(api.ListManifestsWithResponse(ctx, &params))
		return page.Items, page.Next, err
	})
}

func manifestShow(app *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show DIGEST",
		Short:   "Show a manifest and what it installs",
		Long:    "Show finds the manifest by its digest or the first digits of it (four at least), as 'manifest list' prints them.",
		Example: "  tamctl manifest show 9f86d081884c",
		Args:    exactly("DIGEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := enoughDigits(strings.TrimPrefix(args[0], "sha-256:")); err != nil {
				return err
			}
			m, err := query(app, func(api *client.ClientWithResponses) (client.Manifest, error) {
				return got(api.GetManifestWithResponse(cmd.Context(), args[0]))
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), m, func(t *tabwriter.Writer) { describeManifest(t, m) })
		},
	}
}

// enoughDigits refuses a reference that the server would not look up.
func enoughDigits(ref string) error {
	if len(ref) < 4 {
		return usage("%q is too short to name one thing: give four digits at least", ref)
	}
	return nil
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
		if target.ImageSize > 0 {
			fact(t, "  size", size(target.ImageSize))
		}
		fact(t, "  from", source(target))
	}
	for _, d := range m.Dependencies {
		fact(t, "needs", d.Component)
		fact(t, "  manifest", d.Manifest)
	}
	for _, g := range m.Signatures {
		fact(t, "signed by", g.Signer)
		fact(t, "  for", strings.Join(g.Components, ", "))
	}
}

// source is where devices fetch a target, cut where it repeats the digest.
func source(target client.Target) string {
	hex := strings.TrimPrefix(target.ImageDigest, "sha-256:")
	return strings.Replace(target.URI, hex, elided(hex, false), 1)
}
