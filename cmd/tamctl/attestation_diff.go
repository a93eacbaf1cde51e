package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func attestationDiff(app *app) *cobra.Command {
	var from, to int64
	cmd := &cobra.Command{
		Use:   "diff DEVICE",
		Short: "Show what changed since the last attestation that was accepted",
		Long: `Diff says what is wrong with a device and what to do next. Then it prints each measured
value, claim and element of the trust vector that is not what it was in the last accepted
attestation before, with the reference values beside it.

` + deviceHelp,
		Example: "  tamctl attestation diff 7f3a\n  tamctl attestation diff 7f3a --from 8 --to 12",
		Args:    exactly("DEVICE"),
	}
	cmd.Flags().Int64Var(&from, "from", 0, "the attestation of this `NUMBER` is what it was (default the last accepted one)")
	cmd.Flags().Int64Var(&to, "to", 0, "the attestation of this `NUMBER` is what it is (default the last one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var params client.DiffAttestationsParams
		for _, side := range []struct {
			name  string
			value *int64
			into  **int64
		}{{"from", &from, &params.From}, {"to", &to, &params.To}} {
			if !cmd.Flags().Changed(side.name) {
				continue
			}
			if *side.value < 1 {
				return usage("--%s %d is no number of an attestation; 'tamctl attestation list' shows them", side.name, *side.value)
			}
			*side.into = side.value
		}
		d, err := query(app, func(api *client.ClientWithResponses) (client.AttestationDiff, error) {
			found, err := findDevice(cmd.Context(), api, args[0])
			if err != nil {
				return client.AttestationDiff{}, err
			}
			d, err := got(api.DiffAttestationsWithResponse(cmd.Context(), found.Device.ID, &params))
			if refused := (*refusedError)(nil); errors.As(err, &refused) && (refused.Code == "no-appraisal" || refused.Code == "not-found") {
				err = advise(err, "'tamctl attestation list --device %s' shows what there is, 'tamctl attestation show NUMBER' one of them", args[0])
			}
			return d, err
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) { describeDiff(t, d, args[0]) })
	}
	return cmd
}

func describeDiff(t *tabwriter.Writer, d client.AttestationDiff, device string) {
	fmt.Fprintln(t, lines.Fold(whatIsWrong(d, device), 2))
	if !d.To.Genuine {
		return // nothing that it claims is known
	}
	fmt.Fprintf(t, "\nattestation %d, %s: %s\nattestation %d, %s: %s\n",
		d.From.ID, instant(d.From.At), fate(d.From), d.To.ID, instant(d.To.At), fate(d.To))
	for _, c := range d.Changes {
		fmt.Fprintf(t, "\n%s%s\n", printable(c.Name), map[bool]string{true: ": not what the reference values say"}[c.Wrong])
		if c.Before != c.After {
			row(t, "  was", orNothing(c.Before))
		}
		besideReference(t, "  is", c.After, c.Expected, c.Source)
	}
}

func orNothing(text string) string {
	if text == "" {
		return "(nothing)"
	}
	return text
}

// fate is what became of an attestation, in a few words.
func fate(a client.Appraisal) string {
	if a.Accepted {
		return printable(strings.TrimSuffix("accepted, "+policyWord(a), ", "))
	}
	return printable(strings.TrimSuffix("not accepted, "+policyWord(a), ", "))
}

// whatIsWrong says in words what is wrong, and what to do next.
func whatIsWrong(d client.AttestationDiff, device string) string {
	var wrong []string
	source := ""
	for _, c := range d.Changes {
		if c.Wrong {
			wrong = append(wrong, printable(c.Name))
			source = c.Source
		}
	}
	ref := lines.Quote(device)
	switch {
	case !d.To.Genuine:
		return fmt.Sprintf("Attestation %d was not genuine, so nothing that it claims is known: %s. Next: find out who speaks for the device; 'tamctl device quarantine %s --reason TEXT' keeps it apart.",
			d.To.ID, printable(orNothing(d.To.Reason)), ref)
	case len(wrong) > 0:
		is := "is"
		if len(wrong) > 1 {
			is = "are"
		}
		if source != "" {
			source = " (" + printable(source) + ")"
		}
		wrong := fmt.Sprintf("%s %s not what the reference values%s say", enumerate(wrong), is, source)
		if d.To.Accepted {
			return fmt.Sprintf("%s, and attestation %d was accepted all the same: %s.", wrong, d.To.ID, printable(policyWord(d.To)))
		}
		return fmt.Sprintf("%s. Next: if this was meant, import the values of what it runs with 'tamctl reference-values import FILE', or let it pass for a time with 'tamctl attestation accept %s --until DATE --reason TEXT'; if not, keep it apart with 'tamctl device quarantine %s --reason TEXT' and repair it.",
			wrong, ref, ref)
	case !d.To.Accepted && d.To.Status == "affirming":
		return fmt.Sprintf("Attestation %d is affirming, and was not accepted: %s. Next: 'tamctl policy list' and 'tamctl policy show NAME' say what policies want; no exception is possible.",
			d.To.ID, printable(orNothing(d.To.Reason)))
	case !d.To.Accepted:
		return fmt.Sprintf("Attestation %d was not accepted: %s. Next: 'tamctl attestation show %d' has each reason; 'tamctl attestation accept %s --until DATE --reason TEXT' lets it pass for a time.",
			d.To.ID, printable(orNothing(d.To.Reason)), d.To.ID, ref)
	case len(d.Changes) == 0:
		return fmt.Sprintf("Nothing is wrong: attestation %d was accepted, and nothing changed since attestation %d.", d.To.ID, d.From.ID)
	}
	return fmt.Sprintf("Nothing is wrong: attestation %d was accepted. This changed since attestation %d:", d.To.ID, d.From.ID)
}

// enumerate names the first few.
func enumerate(names []string) string {
	const most = 3
	names = slices.Clone(names)
	if rest := len(names) - most; rest > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", rest))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// indentJSON writes a JSON value over several lines, as devices' words are written.
func indentJSON(raw json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "  ", "  "); err != nil {
		return "  (not readable)"
	}
	text := strings.Split("  "+out.String(), "\n")
	for i := range text {
		text[i] = printable(text[i])
	}
	return strings.Join(text, "\n")
}
