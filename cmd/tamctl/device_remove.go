package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func deviceUnrequire(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unrequire DEVICE COMPONENT",
		Short: "Say that a device need not have a component any more",
		Long: `Unrequire ends a requirement. What the device holds stays, until its agent no longer
needs it or you order it gone with 'tamctl device remove-component'.

` + deviceHelp,
		Example: "  tamctl device unrequire 7f3a app/hello",
		Args:    exactly("DEVICE", "COMPONENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return app.changeComponent(cmd, args, "need not have", func(api *client.ClientWithResponses, id string) error {
				return done(api.UnrequireComponentWithResponse(cmd.Context(), id, &client.UnrequireComponentParams{Component: args[1]}))
			})
		},
	}
}

func deviceRemoveComponent(app *app) *cobra.Command {
	var withdraw bool
	cmd := &cobra.Command{
		Use:   "remove-component DEVICE COMPONENT",
		Short: "Order a component gone from a device",
		Long: `Remove-component has the device unlink what it holds of a component from its next poll
on, and offers it none, until the order is withdrawn. 'tamctl device show' tells how far
that has come: removing, unlinked (the agent's word), removed (the attester's).

` + deviceHelp,
		Example: "  tamctl device remove-component 7f3a app/hello\n  tamctl device remove-component 7f3a app/hello --withdraw",
		Args:    exactly("DEVICE", "COMPONENT"),
	}
	cmd.Flags().BoolVar(&withdraw, "withdraw", false, "end the order; what is gone stays gone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if withdraw {
			return app.changeComponent(cmd, args, "may have", func(api *client.ClientWithResponses, id string) error {
				return done(api.WithdrawRemovalWithResponse(cmd.Context(), id, &client.WithdrawRemovalParams{Component: args[1]}))
			})
		}
		return app.changeComponent(cmd, args, "must not have", func(api *client.ClientWithResponses, id string) error {
			_, err := got(api.RemoveComponentWithResponse(cmd.Context(), id, client.NewRequirement{Component: args[1]}))
			return err
		})
	}
	return cmd
}

// changeComponent finds the device that is meant, changes what it should have and
// says so.
func (a *app) changeComponent(cmd *cobra.Command, args []string, words string, change func(*client.ClientWithResponses, string) error) error {
	component, err := suit.ParseComponentID(args[1])
	if err != nil {
		return usage("%w", err)
	}
	type changed struct {
		Device    string `json:"device"`
		Component string `json:"component"`
	}
	c, err := query(a, func(api *client.ClientWithResponses) (changed, error) {
		found, err := findDevice(cmd.Context(), api, args[0])
		if err != nil {
			return changed{}, err
		}
		err = change(api, found.Device.ID)
		if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "not-found" {
			// The device is there: it is the component of which there is nothing to end.
			err = advise(err, "'tamctl device show %s' shows what it must and must not have", args[0])
		}
		return changed{found.Device.ID, component.String()}, err
	})
	if err != nil {
		return err
	}
	return a.show(cmd.OutOrStdout(), c, func(t *tabwriter.Writer) {
		fmt.Fprintf(t, "device %s %s %s\n", c.Device, words, printable(c.Component))
	})
}
