package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// allReferenceValues is the group of 'tamctl reference-values' with the verbs that ask the
// server.
func allReferenceValues(app *app) *cobra.Command {
	cmd := referenceValuesCommand(app)
	cmd.Long += "\n  server   import, list, export, remove"
	for _, verb := range []*cobra.Command{referenceImport(app), referenceList(app), referenceExport(app), referenceRemove(app)} {
		cmd.AddCommand(app.showing(app.asking(verb)))
	}
	return cmd
}

func referenceImport(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Let the server hold devices against reference values",
		Long: `Import gives a signed CoRIM to the server. Whoever signed it must have been added with
'tamctl reference-provider add'. A higher version takes the place of a lower one, which is
kept. Devices are held against it from their next attestation on.`,
		Example: "  tamctl reference-values import hello-4.corim",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readCoRIM(args[0])
			if err != nil {
				return err
			}
			if !file.Signed() {
				return advise(fmt.Errorf("%s is not signed", args[0]), "make it again with the key of a provider: 'tamctl reference-values create --key FILE' or from-manifest")
			}
			values, err := query(app, func(api *client.ClientWithResponses) (client.ReferenceValues, error) {
				v, err := made(api.ImportReferenceValuesWithBodyWithResponse(cmd.Context(), corim.ContentType, bytes.NewReader(file.Raw)))
				return v, importAdvice(args[0], err)
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), values, func(t *tabwriter.Writer) {
				fact(t, "reference values", values.ID)
				fact(t, "version", values.Version)
				fact(t, "signer", values.Signer)
				fact(t, "holds", counts(len(file.References()), len(file.Keys())))
			})
		},
	}
}

// importAdvice is by what is wrong with the file: one hint for all would mislead.
func importAdvice(path string, err error) error {
	refused := (*refusedError)(nil)
	if !errors.As(err, &refused) || refused.Code != "bad-references" {
		return err
	}
	for _, step := range []struct{ word, next string }{
		{"valid until", "make it again with another not-after"},
		{"valid from", "make it again with another not-before, or wait"},
		{"products", "have it signed by a provider of these products, or add its provider again for more: 'tamctl reference-provider add --class …'"},
		{"not trusted", "let the server trust its signer, 'tamctl reference-provider add'; if it does already, the file was altered: get it again"},
		{"signature", "let the server trust its signer, 'tamctl reference-provider add'; if it does already, the file was altered: get it again"},
	} {
		if strings.Contains(refused.Detail, step.word) {
			return advise(err, "%s", step.next)
		}
	}
	return err
}

func listReferenceValues(ctx context.Context, api *client.ClientWithResponses) ([]client.ReferenceValues, error) {
	return got(api.ListReferenceValuesWithResponse(ctx))
}

func referenceList(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the reference values of the server",
		Example: "  tamctl reference-values list --wide",
	}
	return listing(app, cmd, "whole ids and thumbprints", listReferenceValues, func(t *tabwriter.Writer, list []client.ReferenceValues, wide bool) {
		row(t, "ID", "VERSION", "SIGNER", "SIZE", "IMPORTED")
		for _, v := range list {
			id := v.ID
			if !wide {
				id = fitted(id, 40)
			}
			row(t, id, v.Version, elided(v.Signer, wide), size(int64(v.Size)), v.ImportedAt)
		}
	})
}

const referenceName = `VALUES is the id of reference values, with @ and the version where there are several
('tamctl reference-values list --wide').`

func referenceExport(app *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export VALUES --out FILE",
		Short: "Write reference values of the server to a file",
		Long: `Export writes the signed CoRIM as it was imported, for 'tamctl reference-values show' and
for other servers.

` + referenceName,
		Example: "  tamctl reference-values export app/hello@4 --out hello-4.corim",
		Args:    exactly("VALUES"),
	}
	cmd.Flags().StringVar(&out, "out", "", "new file to write the CoRIM to (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out == "" {
			return usage("say where to write the CoRIM, with --out")
		}
		if err := vacant(out); err != nil {
			return err
		}
		file, err := query(app, func(api *client.ClientWithResponses) (client.ReferenceFile, error) {
			v, err := findReferenceValues(cmd.Context(), api, args[0])
			if err != nil {
				return client.ReferenceFile{}, err
			}
			return got(api.GetReferenceValuesWithResponse(cmd.Context(), &client.GetReferenceValuesParams{ID: v.ID, Version: v.Version}))
		})
		if err != nil {
			return err
		}
		if err := writeWhole(out, file.File, os.Link); err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), file.Values, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "wrote %s\n  %s@%d\n  next: tamctl reference-values show %s\n", out, printable(file.Values.ID), file.Values.Version, lines.Quote(out))
		})
	}
	return cmd
}

func referenceRemove(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove VALUES --reason TEXT",
		Short: "Take reference values back",
		Long: `Remove ends that devices are held against reference values. A lower version counts again
where there is one.

` + referenceName,
		Example: "  tamctl reference-values remove app/hello@4 --reason 'withdrawn release'",
		Args:    exactly("VALUES"),
	}
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		v, err := query(app, func(api *client.ClientWithResponses) (client.ReferenceValues, error) {
			v, err := findReferenceValues(cmd.Context(), api, args[0])
			if err != nil {
				return v, err
			}
			return v, done(api.DeleteReferenceValuesWithResponse(cmd.Context(), &client.DeleteReferenceValuesParams{ID: v.ID, Version: v.Version, Reason: *reason}))
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), v, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "reference values %s@%d do not count any more\n", printable(v.ID), v.Version)
		})
	}
	return cmd
}

// findReferenceValues finds those that are meant by an id, or by an id and a version.
func findReferenceValues(ctx context.Context, api *client.ClientWithResponses, ref string) (client.ReferenceValues, error) {
	all, err := listReferenceValues(ctx, api)
	if err != nil {
		return client.ReferenceValues{}, err
	}
	var found []client.ReferenceValues
	for _, v := range all {
		if v.ID+"@"+strconv.FormatUint(v.Version, 10) == ref {
			return v, nil
		}
		if v.ID == ref {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return client.ReferenceValues{}, &refusedError{client.Problem{Code: "not-found", Detail: fmt.Sprintf("reference values %q: not found", ref)}}
	}
	var versions []string
	for _, v := range found {
		versions = append(versions, strconv.FormatUint(v.Version, 10))
	}
	return client.ReferenceValues{}, &refusedError{client.Problem{
		Code: "ambiguous", Detail: fmt.Sprintf("reference values %q have the versions %s", ref, strings.Join(versions, ", ")),
		Hint: fmt.Sprintf("name one, such as '%s@%s'", ref, versions[len(versions)-1]),
	}}
}
