package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func keyCommand(app *app) *cobra.Command {
	return group("key", "Show the server's own keys", keyList(app))
}

func keyList(app *app) *cobra.Command {
	var pem bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the keys that agents must trust to talk to this TAM",
		Example: "  tamctl key list\n  tamctl key list --pem > tam.pub.pem",
		Args:    noArguments,
	}
	cmd.Flags().BoolVar(&pem, "pem", false, "print the keys themselves, as PEM blocks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.Key, error) {
			return got(api.ListKeysWithResponse(cmd.Context()))
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
			row(t, "KEY", "ALGORITHM")
			for _, k := range list {
				row(t, k.Thumbprint, k.Algorithm)
			}
		})
	}
	return cmd
}
