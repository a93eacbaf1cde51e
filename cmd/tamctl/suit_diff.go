package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit/author"
)

func suitDiff(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Tell what changes for a device from one manifest to another",
		Long: `Diff tells what changes for a device that has the manifest of BEFORE and gets that of AFTER:
components, images and where they come from, conditions, what is done in each section, who
signs. Both are envelopes or bare manifests; nothing is verified.

Exit codes: 0 whether they differ or not (-o json is an empty list where not), 1 where a
file could not be read.`,
		Example: "  tamctl suit diff hello-1.suit hello-2.suit",
		Args:    exactly("BEFORE", "AFTER"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		var data [2][]byte
		for i := range data {
			var err error
			if data[i], err = readBounded(args[i]); err != nil {
				return err
			}
		}
		changes, err := author.Diff(data[0], data[1])
		if err != nil {
			return fmt.Errorf("%s and %s: %w", args[0], args[1], err)
		}
		if app.format != "table" {
			return app.show(cmd.OutOrStdout(), append([]author.Change{}, changes...), func(*tabwriter.Writer) {})
		}
		return writeChanges(cmd, changes)
	}
	return cmd
}

func writeChanges(cmd *cobra.Command, changes []author.Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing changes for a device")
		return err
	}
	width := 0
	for _, c := range changes {
		width = max(width, len(c.Kind))
	}
	for _, c := range changes {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), lines.Fold(fmt.Sprintf("%-*s  %s", width, c.Kind, printable(shortened(c.Text))), width+2)); err != nil {
			return err
		}
	}
	return nil
}
