package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

const deviceHelp = `DEVICE is the id of a device, the first digits of it (four at least, where only one
device has them), or its whole ueid in hexadecimal digits ('tamctl device list --wide').`

func deviceCommand(app *app) *cobra.Command {
	return group("device", "Show devices, admit them, and say what they must have",
		deviceList(app), deviceShow(app), deviceAccept(app), deviceReject(app), deviceQuarantine(app), deviceRelease(app), deviceLabel(app), deviceRequire(app), deviceUnrequire(app), deviceRemoveComponent(app))
}

// maxSelector is what the server's limit on headers leaves to a selector, in bytes.
const maxSelector = 12 << 10

func deviceList(app *app) *cobra.Command {
	var state, selector string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List devices",
		Long: `List prints devices by id. A selector is a CEL expression over device:
device.labels.site == "hall-3", device.state == "quarantined", group("kiosks").`,
		Example: "  tamctl device list --state pending\n  tamctl device list -q 'device.labels.site == \"hall-3\"'",
	}
	cmd.Flags().StringVarP(&selector, "selector", "q", "", "only devices that this CEL expression matches")
	cmd.Flags().StringVar(&state, "state", "", "only devices that are pending, accepted, quarantined, rejected or retired")
	return listing(app, cmd, "labels, and whole ueids", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Device, error) {
		params := client.ListDevicesParams{}
		if state != "" {
			wanted := client.DeviceState(state)
			if !wanted.Valid() {
				return nil, usage("state %q is not pending, accepted, quarantined, rejected or retired", state)
			}
			params.State = &wanted
		}
		if selector != "" {
			if len(url.QueryEscape(selector)) > maxSelector {
				return nil, advise(errors.New("the selector is too long for a URL"), "give it a name with 'tamctl group set NAME SELECTOR', and select group(\"NAME\")")
			}
			params.Selector = &selector
		}
		return allPages(func(after *string) ([]client.Device, string, error) {
			params.After = after
			page, err := got(api.ListDevicesWithResponse(ctx, &params))
			return page.Items, page.Next, err
		})
	}, func(t *tabwriter.Writer, list []client.Device, wide bool) {
		if wide {
			row(t, "ID", "STATE", "LAST SEEN", "LABELS", "UEID")
			for _, d := range list {
				row(t, d.ID, d.State, d.LastSeen, labelText(d.Labels), d.UEID)
			}
			return
		}
		row(t, "ID", "STATE", "LAST SEEN", "UEID")
		for _, d := range list {
			row(t, d.ID, d.State, d.LastSeen, elided(d.UEID, false))
		}
	})
}

func deviceShow(app *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show DEVICE",
		Short:   "Show all that is known of a device",
		Long:    "Show prints the device, its agents, what it holds and how far its updates have come.\n\n" + deviceHelp,
		Example: "  tamctl device show 7f3a\n  tamctl device show 7f3a -o json",
		Args:    exactly("DEVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := query(app, func(api *client.ClientWithResponses) (client.DeviceDetail, error) {
				return findDevice(cmd.Context(), api, args[0])
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) { describeDevice(t, d) })
		},
	}
}

func findDevice(ctx context.Context, api *client.ClientWithResponses, ref string) (client.DeviceDetail, error) {
	if err := enoughDigits(ref); err != nil {
		return client.DeviceDetail{}, err
	}
	d, err := got(api.GetDeviceWithResponse(ctx, ref))
	if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "not-found" {
		err = advise(err, "'tamctl device list --wide' shows what there is")
	}
	return d, err
}

func describeDevice(t *tabwriter.Writer, d client.DeviceDetail) {
	fact(t, "device", d.Device.ID)
	fact(t, "name", d.Device.Name)
	fact(t, "ueid", d.Device.UEID)
	fact(t, "state", string(d.Device.State))
	fact(t, "  because", d.Device.StateReason)
	fact(t, "  by policy", d.Device.QuarantinedBy)
	fact(t, "labels", labelText(d.Device.Labels))
	describeException(t, d.Device.Exception)
	fact(t, "hardware", d.Device.HardwareVersion)
	fact(t, "first seen", d.Device.CreatedAt)
	fact(t, "last seen", d.Device.LastSeen)
	describeCount(t, d.Device.Attestations)
	for _, a := range d.Agents {
		fact(t, "agent", a.Key)
		fact(t, "  algorithm", a.Algorithm+", numbering "+a.Numbering)
		fact(t, "  attested", a.AttestedAt)
		fact(t, "  held until", a.HoldUntil)
		fact(t, "  because", a.HoldReason)
	}
	for _, r := range d.Requirements {
		fact(t, "requires", r.Component)
	}
	for _, r := range d.Removals {
		fact(t, "must not have", r.Component)
	}
	for _, c := range d.Components {
		fact(t, "update", c.Component)
		fact(t, "  manifest", c.Manifest)
		fact(t, "  state", fmt.Sprintf("%s since %s", c.State, instant(c.Since)))
		fact(t, "  because", c.Reason)
		fact(t, "  again after", c.RetryAfter)
		if c.Held.Manifest != "" {
			fact(t, "  instead holds", fmt.Sprintf("sequence %d, %s, measured %s", c.Held.Sequence, c.Held.Manifest, instant(c.Held.MeasuredAt)))
		}
		describeReport(t, c.Report)
	}
	for _, i := range d.Inventory {
		fact(t, "holds", i.Component)
		fact(t, "  digest", i.Digest)
	}
	for _, a := range d.Appraisals {
		fact(t, "attestation", fmt.Sprintf("%d of %s", a.ID, instant(a.At)))
		fact(t, "  result", a.Status+" by "+a.Verifier)
		fact(t, "  policy", policyWord(a))
		fact(t, "  because", a.Reason)
	}
}

// describeReport shows a device's own account of an update, a line for each command.
func describeReport(t *tabwriter.Writer, r client.Report) {
	fact(t, "  report", r.At)
	for _, line := range r.Lines {
		fmt.Fprintln(t, lines.Fold("    "+printable(line), 6))
	}
}

func deviceAccept(app *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "accept DEVICE",
		Short:   "Accept a device: it is offered what it should have from its next poll on",
		Long:    "Accept a device, after a look at 'tamctl device show'.\n\n" + deviceHelp,
		Example: "  tamctl device accept 7f3a --reason 'on the packing list'",
		Args:    exactly("DEVICE"),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return app.moveDevice(cmd, args[0], func(api *client.ClientWithResponses, id string) (client.Device, error) {
			return got(api.AcceptDeviceWithResponse(cmd.Context(), id, client.StateChange{Reason: reason}))
		})
	}
	return cmd
}

func deviceReject(app *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "reject DEVICE --reason TEXT",
		Short:   "Reject a device: it is offered nothing any more",
		Long:    "Reject a device. The reason is kept with it and in the audit log.\n\n" + deviceHelp,
		Example: "  tamctl device reject 7f3a --reason 'reported stolen'",
		Args:    exactly("DEVICE"),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reason == "" {
			return usage("say why, with --reason")
		}
		return app.moveDevice(cmd, args[0], func(api *client.ClientWithResponses, id string) (client.Device, error) {
			return got(api.RejectDeviceWithResponse(cmd.Context(), id, client.StateChange{Reason: reason}))
		})
	}
	return cmd
}

// moveDevice finds the device that is meant, changes its state and shows it.
func (a *app) moveDevice(cmd *cobra.Command, ref string, move func(*client.ClientWithResponses, string) (client.Device, error)) error {
	d, err := query(a, func(api *client.ClientWithResponses) (client.Device, error) {
		found, err := findDevice(cmd.Context(), api, ref)
		if err != nil {
			return client.Device{}, err
		}
		return move(api, found.Device.ID)
	})
	if err != nil {
		return err
	}
	return a.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) {
		fmt.Fprintf(t, "device %s is %s\n", d.ID, printable(string(d.State)))
	})
}

func deviceRequire(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "require DEVICE COMPONENT",
		Short: "Say that a device must have a component",
		Long: `Require lets the device be offered the newest manifest of a component from its next
poll on: a manifest component id, or a component that a manifest installs.

` + deviceHelp,
		Example: "  tamctl device require 7f3a app/hello",
		Args:    exactly("DEVICE", "COMPONENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := suit.ParseComponentID(args[1]); err != nil {
				return usage("%w", err)
			}
			return app.require(cmd, args[0], args[1])
		},
	}
}

func (a *app) require(cmd *cobra.Command, ref, component string) error {
	var id string
	var published []client.Manifest
	req, err := query(a, func(api *client.ClientWithResponses) (client.Requirement, error) {
		found, err := findDevice(cmd.Context(), api, ref)
		if err != nil {
			return client.Requirement{}, err
		}
		id = found.Device.ID
		r, err := api.RequireComponentWithResponse(cmd.Context(), id, client.NewRequirement{Component: component})
		if err != nil {
			return client.Requirement{}, transportFault(err)
		}
		req, err := result(r.JSON200, r)
		if err != nil {
			return req, err
		}
		published, err = listManifests(cmd.Context(), api, component)
		return req, err
	})
	if err != nil {
		return err
	}
	if len(published) == 0 {
		fmt.Fprintf(a.stderr, "note: no manifest of %s is published yet; publish one with 'tamctl manifest publish'\n", component)
	}
	return a.show(cmd.OutOrStdout(), req, func(t *tabwriter.Writer) {
		fmt.Fprintf(t, "device %s must have %s\n", id, printable(req.Component))
	})
}
