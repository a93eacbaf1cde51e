package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func groupCommand(app *app) *cobra.Command {
	return group("group", "Name devices together by what they have in common",
		groupList(app), groupShow(app), groupSet(app), groupDelete(app))
}

func groupList(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Example: "  tamctl group list",
	}
	return listing(app, cmd, "whole selectors", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Group, error) {
		return got(api.ListGroupsWithResponse(ctx))
	}, func(t *tabwriter.Writer, list []client.Group, wide bool) {
		row(t, "NAME", "SELECTOR")
		for _, g := range list {
			if wide {
				row(t, g.Name, g.Selector)
			} else {
				row(t, fitted(g.Name, 30), fitted(g.Selector, 66))
			}
		}
	})
}

func groupShow(app *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a group and the devices in it",
		Example: "  tamctl group show kiosks",
		Args:    exactly("NAME"),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many devices to print at most, up to 1000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		g, err := query(app, func(api *client.ClientWithResponses) (client.GroupDetail, error) {
			return got(api.GetGroupWithResponse(cmd.Context(), args[0], &client.GetGroupParams{Limit: &limit}))
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), g, func(t *tabwriter.Writer) {
			fact(t, "group", g.Group.Name)
			fact(t, "selector", g.Group.Selector)
			many := fmt.Sprint(g.Count)
			if !g.Complete {
				many += " among those that were looked at; there may be more"
			}
			fact(t, "devices", many)
			if len(g.Devices) == 0 {
				return
			}
			fmt.Fprintln(t)
			row(t, "ID", "STATE", "LAST SEEN", "UEID")
			for _, d := range g.Devices {
				row(t, d.ID, d.State, d.LastSeen, elided(d.UEID, false))
			}
			if rest := g.Count - len(g.Devices); rest > 0 {
				fmt.Fprintf(t, "%d more: 'tamctl device list -q' prints them all, with group(%q)\n", rest, g.Group.Name)
			}
		})
	}
	return cmd
}

func groupSet(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME SELECTOR",
		Short: "Create a group, or give it another selector",
		Long: `Set names the devices that a selector matches, a CEL expression over device. Policies and
other searches then say group("NAME"). Who is in it is found anew each time.`,
		Example: "  tamctl group set kiosks 'device.labels.kind == \"kiosk\"'",
		Args:    exactly("NAME", "SELECTOR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := query(app, func(api *client.ClientWithResponses) (client.Group, error) {
				return got(api.PutGroupWithResponse(cmd.Context(), args[0], client.NewGroup{Selector: args[1]}))
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), g, func(t *tabwriter.Writer) {
				fmt.Fprintf(t, "group %s is set; 'tamctl group show %s' lists who is in it\n", printable(g.Name), printable(g.Name))
			})
		},
	}
}

func groupDelete(app *app) *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a group that no policy names",
		Example: "  tamctl group delete kiosks",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			type deleted struct {
				Name string `json:"name"`
			}
			g, err := query(app, func(api *client.ClientWithResponses) (deleted, error) {
				return deleted{args[0]}, done(api.DeleteGroupWithResponse(cmd.Context(), args[0]))
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), g, func(t *tabwriter.Writer) {
				fmt.Fprintf(t, "group %s is gone\n", printable(g.Name))
			})
		},
	}
}
