package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// errFindings is the outcome of a lint that found what must not stay.
var errFindings = errors.New("not fit to be published")

func suitLint(app *app) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Look for mistakes that a signer would regret",
		Long: `Lint looks into an envelope or a bare manifest for what devices refuse (error), for what
its signer will likely regret (warning), and for what could be better (note). It verifies
no signature. docs/suit.md lists the rules.

Exit codes: 0 where there is no error, 6 where there is one, or with --strict a warning;
1 where the file could not be read.`,
		Example: "  tamctl suit lint hello.suit\n  tamctl suit lint hello.suit --strict -o json",
		Args:    exactly("FILE"),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "let warnings fail too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := app.checkFormat(); err != nil {
			return err
		}
		data, err := readBounded(args[0])
		if err != nil {
			return err
		}
		findings := author.Lint(data)
		if app.format == "table" {
			err = writeFindings(cmd.OutOrStdout(), findings)
		} else {
			err = app.show(cmd.OutOrStdout(), append([]author.Finding{}, findings...), func(*tabwriter.Writer) {})
		}
		if err != nil {
			return err
		}
		return verdict(args[0], findings, strict)
	}
	return cmd
}

func writeFindings(w io.Writer, findings []author.Finding) error {
	if len(findings) == 0 {
		_, err := fmt.Fprintln(w, "nothing to say")
		return err
	}
	for _, f := range findings {
		at := ""
		if f.Path != "" {
			at = " at " + f.Path
		}
		said := fmt.Sprintf("%-9s%s%s\n%9s%s\n%9sadvice: %s", f.Severity, f.Rule, printable(at), "", printable(f.Text), "", printable(f.Advice))
		if _, err := fmt.Fprintln(w, lines.Fold(said, 9)); err != nil {
			return err
		}
	}
	return nil
}

// verdict counts what must not stay.
func verdict(path string, findings []author.Finding, strict bool) error {
	count := map[author.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
	}
	said := plural(count[author.Error], "error")
	bad := count[author.Error]
	if strict {
		said += ", " + plural(count[author.Warning], "warning")
		bad += count[author.Warning]
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%s is %w: %s", path, errFindings, said)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
