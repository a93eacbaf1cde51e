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
			r, err := api.ListKeysWithResponse(cmd.Context())
			if err != nil {
				return nil, transportFault(err)
			}
			return result(r.JSON200, r)
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

func eventCommand(app *app) *cobra.Command {
	return group("event", "Read the audit log", eventList(app))
}

func eventList(app *app) *cobra.Command {
	var after string
	var wide bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who changed what, the oldest first",
		Example: "  tamctl event list --after 120 -o json",
		Args:    noArguments,
	}
	cmd.Flags().StringVar(&after, "after", "", "begin behind the event of this number")
	cmd.Flags().BoolVar(&wide, "wide", false, "whole digests, thumbprints and ids")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]client.Event, error) {
			return allPages(func(cursor *string) ([]client.Event, string, error) {
				if cursor == nil && after != "" {
					cursor = &after
				}
				r, err := api.ListEventsWithResponse(cmd.Context(), &client.ListEventsParams{After: cursor})
				if err != nil {
					return nil, "", transportFault(err)
				}
				page, err := result(r.JSON200, r)
				return page.Items, page.Next, err
			})
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) {
			row(t, "NUMBER", "TIME", "ACTOR", "ACTION", "SUBJECT", "REASON")
			for _, e := range list {
				row(t, e.Seq, e.At, briefName(e.Actor, wide), e.Action, briefName(e.Subject, wide), e.Reason)
			}
		})
	}
	return cmd
}
