package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func keyCommand(app *app) *cobra.Command {
	return group("key", "Show the server's own keys", keyList(app))
}

func keyList(app *app) *cobra.Command {
	var pem bool
	var use string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys that agents must trust to talk to this TAM, or encrypt to",
		Long: `List prints the public keys of the TAM, by what they are for: its messages; reports and
evidence that agents encrypt to it; attestation, its own evidence; results, which it issues
about devices.`,
		Example: "  tamctl key list\n  tamctl key list --pem > tam.pub.pem\n  tamctl key list --pem --use reports > reports.pub.pem",
		Args:    noArguments,
	}
	cmd.Flags().BoolVar(&pem, "pem", false, "print the keys themselves, as PEM blocks")
	cmd.Flags().StringVar(&use, "use", "", "only keys for messages, reports, attestation or results; --pem without it prints those for messages")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		wanted := client.KeyUse(use)
		if use == "" && pem {
			wanted = client.KeyUseMessages
		}
		if wanted != "" && !wanted.Valid() {
			return usage("use %q is not messages, reports, attestation or results", use)
		}
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.Key, error) {
			all, err := got(api.ListKeysWithResponse(cmd.Context()))
			return slices.DeleteFunc(all, func(k client.Key) bool { return wanted != "" && k.Use != wanted }), err
		})
		if err != nil {
			return err
		}
		if pem {
			for _, k := range list {
				if _, err := fmt.Fprint(cmd.OutOrStdout(), k.PublicKey); err != nil {
					return err
				}
			}
			return nil
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) {
			row(t, "KEY", "USE", "ALGORITHM")
			for _, k := range list {
				row(t, k.Thumbprint, k.Use, k.Algorithm)
			}
		})
	}
	return cmd
}
