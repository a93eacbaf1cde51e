package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/suit"
)

func (p *program) invokeCommand() *cobra.Command {
	var manifest string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "invoke",
		Short: "Run the application of an installed manifest",
		Long: `Run the application of an installed manifest: its sections validate, load and invoke.
The application is a WebAssembly module. It gets the arguments that the manifest
gives it, and neither files nor network; what it prints is shown line by line, and
kept for 'teep-agent status'.`,
		Example: `  teep-agent invoke --dir lamp1
  teep-agent invoke --dir lamp1 --manifest app/hello/suit`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var id suit.ComponentID
			if manifest != "" {
				if id, err = suit.ParseComponentID(manifest); err != nil {
					return usageError{fmt.Errorf("--manifest: %w", err)}
				}
			}
			d, err := device.Open(p.dir, telling(cmd.OutOrStdout(), verbose, func(agent.Event) {}))
			if err != nil {
				return err
			}
			defer closing(d, &err)
			if id == nil {
				if id, err = onlyInvocable(d); err != nil {
					return err
				}
			}
			return d.Invoke(cmd.Context(), id)
		},
	}
	verboseFlag(cmd, &verbose)
	cmd.Flags().StringVar(&manifest, "manifest", "", "`id` of the manifest; may be left out where only one can be invoked")
	return cmd
}

func onlyInvocable(d *device.Device) (suit.ComponentID, error) {
	list, err := d.Agent().Invocable()
	if err != nil {
		return nil, err
	}
	switch len(list) {
	case 0:
		return nil, errors.New("no installed manifest can be invoked: none has a section invoke")
	case 1:
		return list[0], nil
	}
	names := make([]string, len(list))
	for i, id := range list {
		names[i] = id.String()
	}
	return nil, usageError{fmt.Errorf("--manifest is missing; these can be invoked: %s", strings.Join(names, ", "))}
}
