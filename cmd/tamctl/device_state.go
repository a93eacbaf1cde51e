package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func deviceQuarantine(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine DEVICE --reason TEXT",
		Short: "Keep a device apart: it is offered nothing but its remedy",
		Long: `Quarantine keeps a device apart until 'tamctl device release'. It may still show evidence,
and is offered what a policy names as its remedy. A quarantine that a policy began becomes
yours: good evidence does not end it any more.

` + deviceHelp,
		Example: "  tamctl device quarantine 7f3a --reason 'case was open'",
		Args:    exactly("DEVICE"),
	}
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		return app.moveDevice(cmd, args[0], func(api *client.ClientWithResponses, id string) (client.Device, error) {
			return got(api.QuarantineDeviceWithResponse(cmd.Context(), id, client.StateChange{Reason: *reason}))
		})
	}
	return cmd
}

func deviceRelease(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release DEVICE --reason TEXT",
		Short: "End the quarantine of a device",
		Long: `Release accepts a device again, whoever put it into quarantine. It has to show evidence
before it is offered anything: what is still wrong shows again.

` + deviceHelp,
		Example: "  tamctl device release 7f3a --reason 'looked at, sealed again'",
		Args:    exactly("DEVICE"),
	}
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		return app.moveDevice(cmd, args[0], func(api *client.ClientWithResponses, id string) (client.Device, error) {
			return got(api.ReleaseDeviceWithResponse(cmd.Context(), id, client.StateChange{Reason: *reason}))
		})
	}
	return cmd
}

func deviceLabel(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "label DEVICE NAME=VALUE... NAME-...",
		Short: "Set and take away labels of a device",
		Long: `Label sets labels, and takes those away whose name ends in a dash; others stay. Selectors
of policies and groups read them: device.labels.site == "hall-3". Without a label to
change it shows those there are.

` + deviceHelp,
		Example: "  tamctl device label 7f3a site=hall-3 canary-",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("want DEVICE and labels; see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			set, drop, err := labelChanges(args[1:])
			if err != nil {
				return err
			}
			d, err := query(app, func(api *client.ClientWithResponses) (client.Device, error) {
				found, err := findDevice(cmd.Context(), api, args[0])
				if err != nil || len(args) == 1 {
					return found.Device, err
				}
				labels := client.Labels{}
				maps.Copy(labels, found.Device.Labels)
				maps.Copy(labels, set)
				for _, name := range drop {
					delete(labels, name)
				}
				return got(api.SetLabelsWithResponse(cmd.Context(), found.Device.ID, labels))
			})
			if err != nil {
				return err
			}
			return app.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) {
				text := labelText(d.Labels)
				if text == "" {
					text = "no labels"
				}
				fmt.Fprintf(t, "device %s has %s\n", d.ID, printable(text))
			})
		},
	}
}

// labelChanges sorts NAME=VALUE from NAME-.
func labelChanges(args []string) (set map[string]string, drop []string, err error) {
	set = map[string]string{}
	for _, arg := range args {
		name, value, assigned := strings.Cut(arg, "=")
		if !assigned {
			if name, assigned = strings.CutSuffix(arg, "-"); !assigned {
				return nil, nil, usage("label %q is neither NAME=VALUE nor NAME-", arg)
			}
			drop = append(drop, name)
		} else {
			if before, twice := set[name]; twice && before != value {
				return nil, nil, usage("label %s is given twice, as %q and %q", name, before, value)
			}
			set[name] = value
		}
		if name == "" {
			return nil, nil, usage("label %q has no name", arg)
		}
	}
	for _, name := range drop {
		if _, both := set[name]; both {
			return nil, nil, usage("label %s is set and taken away", name)
		}
	}
	return set, drop, nil
}

// labelText writes labels in the order of their names.
func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, " ")
}
