package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func attestationCommand(app *app) *cobra.Command {
	return group("attestation", "See what the evidence of devices came to, and why",
		attestationList(app), attestationShow(app), attestationDiff(app), attestationAccept(app), attestationEndException(app))
}

func attestationList(app *app) *cobra.Command {
	var device string
	var failed bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List attestations, the newest first",
		Long: `List prints what became of evidence. RESULT is what the verifier found, DECISION what a
policy made of it; it is empty where the evidence did not say who sent it.

` + deviceHelp,
		Example: "  tamctl attestation list --device 7f3a\n  tamctl attestation list --failed --limit 20",
	}
	cmd.Flags().StringVar(&device, "device", "", "only those of this `DEVICE`")
	cmd.Flags().BoolVar(&failed, "failed", false, "only those that were not accepted")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0 for all")
	return listing(app, cmd, "times, ids and reasons in full", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Appraisal, error) {
		if limit < 0 {
			return nil, usage("--limit %d: give a number from 0 up", limit)
		}
		params := client.ListAttestationsParams{}
		if failed {
			params.Accepted = new(bool)
		}
		if device != "" {
			found, err := findDevice(ctx, api, device)
			if err != nil {
				return nil, err
			}
			params.Device = &found.Device.ID
		}
		return firstItems(limit, func(after *string, size int) ([]client.Appraisal, string, error) {
			params.After, params.Limit = after, &size
			page, err := got(api.ListAttestationsWithResponse(ctx, &params))
			return page.Items, page.Next, err
		})
	}, attestationTable)
}

// firstItems is allPages up to a number of items, 0 for all.
func firstItems[T any](limit int, fetch func(after *string, size int) (items []T, next string, err error)) ([]T, error) {
	const page = 1000
	left := limit
	if limit == 0 {
		left = int(^uint(0) >> 1)
	}
	return allPages(func(after *string) ([]T, string, error) {
		items, next, err := fetch(after, min(left, page))
		if left -= len(items); left <= 0 {
			next = ""
		}
		return items, next, err
	})
}

func attestationTable(t *tabwriter.Writer, list []client.Appraisal, wide bool) {
	if wide {
		row(t, "NUMBER", "TIME", "DEVICE", "RESULT", "DECISION", "BECAUSE")
		for _, a := range list {
			row(t, a.ID, a.At, a.Device, a.Status, policyWord(a), strings.TrimSpace(a.Code+" "+a.Reason))
		}
		return
	}
	row(t, "NUMBER", "TIME", "DEVICE", "RESULT", "DECISION", "BECAUSE")
	for _, a := range list {
		row(t, a.ID, a.At.UTC().Format("01-02 15:04:05"), brief(a.Device, false), a.Status, a.Outcome, a.Code)
	}
}

// policyWord says what was decided and by whom; empty where nobody was asked.
func policyWord(a client.Appraisal) string {
	if a.Outcome == "" {
		return ""
	}
	return a.Outcome + " by " + a.Policy
}

func attestationShow(app *app) *cobra.Command {
	var evidence, result string
	var raw bool
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show an attestation: trust vector, measured values, claims",
		Long: `Show prints each element of the trust vector with its reason, each measured value beside
the reference values, and the claims. What arrived is kept as long as the server is told
to: --evidence and --result write it to files, for 'tamctl inspect'.

NUMBER is from 'tamctl attestation list'.`,
		Example: "  tamctl attestation show 12\n  tamctl attestation show 12 --evidence evidence.cbor",
		Args:    exactly("NUMBER"),
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "add evidence and result in base64 to json and yaml")
	cmd.Flags().StringVar(&evidence, "evidence", "", "new `FILE` to write the evidence to")
	cmd.Flags().StringVar(&result, "result", "", "new `FILE` to write the result of a remote verifier to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil || id < 1 {
			return usage("%q is no number of an attestation; 'tamctl attestation list' shows them", args[0])
		}
		for _, path := range []string{evidence, result} {
			if path == "" {
				continue
			}
			if err := vacant(path); err != nil {
				return err
			}
		}
		params := client.GetAttestationParams{Raw: raw || evidence != "" || result != ""}
		a, err := query(app, func(api *client.ClientWithResponses) (client.AttestationDetail, error) {
			return got(api.GetAttestationWithResponse(cmd.Context(), id, &params))
		})
		if err != nil {
			return err
		}
		for _, part := range []struct {
			name, path string
			data       []byte
		}{{"evidence", evidence, a.Evidence}, {"result", result, a.Result}} {
			if err := writeKept(part.name, part.path, part.data); err != nil {
				return err
			}
			if part.path != "" {
				fmt.Fprintf(app.stderr, "wrote %s; 'tamctl inspect %s' shows it\n", part.path, lines.Quote(part.path))
			}
		}
		if !raw {
			a.Evidence, a.Result = nil, nil
		}
		return app.show(cmd.OutOrStdout(), a, func(t *tabwriter.Writer) { describeAttestation(t, a) })
	}
	return cmd
}

func writeKept(name, path string, data []byte) error {
	switch {
	case path == "":
		return nil
	case data == nil:
		return advise(fmt.Errorf("the %s of this attestation is not kept", name),
			"it came from nobody, was too large or is too old: attestation.keep_evidence and evidence_age of the server say how much is kept")
	}
	return writeWhole(path, data, os.Link)
}

func describeAttestation(t *tabwriter.Writer, a client.AttestationDetail) {
	about := a.Attestation
	fact(t, "attestation", about.ID)
	fact(t, "device", about.Device)
	fact(t, "agent", about.Agent)
	fact(t, "time", about.At)
	fact(t, "accepted", yesNo(about.Accepted))
	fact(t, "  because", about.Reason)
	fact(t, "  code", about.Code)
	fact(t, "result", about.Status)
	fact(t, "decision", policyWord(about))
	fact(t, "verifier", about.Verifier)
	fact(t, "format", about.Format)
	fact(t, "challenge", a.Challenge)
	if len(a.Vector) > 0 {
		fmt.Fprintln(t)
		row(t, "ELEMENT", "VALUE", "TIER", "REASON")
		for _, e := range a.Vector {
			reason := wrap(printable(e.Reason), 44)
			row(t, of(e.Submod, e.Name), e.Value, e.Tier, reason[0])
			for _, line := range reason[1:] {
				fmt.Fprintf(t, "\t\t\t%s\n", line)
			}
		}
	}
	for i, c := range a.Comparisons {
		if i == 0 {
			fmt.Fprintln(t, "\nMEASURED VALUES")
		}
		describeComparison(t, c)
	}
	if len(a.Claims) > 0 {
		fmt.Fprintf(t, "\nCLAIMS\n%s\n", indentJSON(a.Claims))
	}
	if !about.Genuine {
		fmt.Fprintln(t, "\nThe signature was not found good, so the claims are nobody's and not shown.")
	}
}

// of names an element or a value of a submodule.
func of(submod, name string) string {
	if submod == "" {
		return name
	}
	return submod + ": " + name
}

func describeComparison(t *tabwriter.Writer, c client.Comparison) {
	verdict := "differs"
	switch {
	case c.Match:
		verdict = "as it should be"
	case len(c.Expected) == 0:
		verdict = "nothing to compare with"
	}
	fmt.Fprintf(t, "%s: %s\n", printable(of(c.Submod, c.Name)), verdict)
	besideReference(t, "  measured", c.Measured, c.Expected, c.Source)
}

// besideReference writes a value and, below it, what it should be, so that digits stand
// over digits.
func besideReference(t *tabwriter.Writer, name, measured string, expected []string, source string) {
	if measured == "" {
		measured = "(nothing)"
	}
	row(t, name, measured)
	for _, text := range expected {
		row(t, "  reference", text)
	}
	if source != "" {
		row(t, "  from", source)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func describeException(t *tabwriter.Writer, x client.Exception) {
	if x.Until.IsZero() {
		return
	}
	fact(t, "exception", "until "+instant(x.Until)+", by "+x.By)
	fact(t, "  because", x.Reason)
	fact(t, "  against", "policy "+x.Policy)
	for _, fault := range x.Covers {
		fmt.Fprintln(t, lines.Fold("  covers "+printable(fault), 4))
	}
}

func describeCount(t *tabwriter.Writer, c client.AttestationCount) {
	if c.Accepted == 0 && len(c.Failed) == 0 {
		return
	}
	fact(t, "evidence", "accepted "+times(c.Accepted))
	for _, code := range slices.Sorted(maps.Keys(c.Failed)) {
		fact(t, "  failed", fmt.Sprintf("%s: %s", times(c.Failed[code]), code))
	}
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func attestationAccept(app *app) *cobra.Command {
	var until string
	var looked int64
	cmd := &cobra.Command{
		Use:   "accept DEVICE --until DATE --reason TEXT",
		Short: "Let a device pass, until a date, with what is wrong in its last attestation",
		Long: `Accept makes an exception of the faults that the last attestation of a device found, after a
look at 'tamctl attestation diff'. Nothing else that is wrong is covered, nothing worse, no
evidence that is not genuine, and nothing that another policy, or a new version, decides. The device has to show evidence at its next poll. DATE is
a date, at midnight UTC, or a time. With --attestation it is refused where the device has
attested again since you looked.

` + deviceHelp,
		Example: "  tamctl attestation accept 7f3a --until 2026-12-31 --reason 'new firmware, values follow'",
		Args:    exactly("DEVICE"),
	}
	cmd.Flags().StringVar(&until, "until", "", "when the exception ends (required)")
	cmd.Flags().Int64Var(&looked, "attestation", 0, "the `NUMBER` of the one that you looked at (default the last)")
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var x client.NewException
		switch {
		case until == "":
			return usage("say until when, with --until, such as --until 2026-12-31")
		case *reason == "":
			return errNoReason
		case cmd.Flags().Changed("attestation") && looked < 1:
			return usage("--attestation %d is no number of an attestation; 'tamctl attestation list' shows them", looked)
		}
		if err := parse(&x.Until, "--until", until, readDate); err != nil {
			return err
		}
		x.Reason, x.Attestation = *reason, looked
		d, err := query(app, func(api *client.ClientWithResponses) (client.Device, error) {
			found, err := findDevice(cmd.Context(), api, args[0])
			if err != nil {
				return found.Device, err
			}
			d, err := got(api.AcceptUntilWithResponse(cmd.Context(), found.Device.ID, x))
			if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "bad-exception" && strings.Contains(refused.Detail, ": until ") {
				err = advise(err, "give a date within a year from now, such as --until %s", time.Now().AddDate(0, 1, 0).Format(time.DateOnly))
			}
			return d, err
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "device %s passes until %s with the faults of attestation %d, where policy %s decides:\n", d.ID, instant(d.Exception.Until), d.Exception.Attestation, printable(d.Exception.Policy))
			for _, fault := range d.Exception.Covers {
				fmt.Fprintln(t, lines.Fold("  "+printable(fault), 4))
			}
		})
	}
	return cmd
}

func attestationEndException(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "end-exception DEVICE --reason TEXT",
		Short: "Take an exception back",
		Long: `End-exception lets a device pass no longer with faults that were accepted. It has to show
evidence at its next poll.

` + deviceHelp,
		Example: "  tamctl attestation end-exception 7f3a --reason 'values are imported'",
		Args:    exactly("DEVICE"),
	}
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		d, err := query(app, func(api *client.ClientWithResponses) (client.Device, error) {
			found, err := findDevice(cmd.Context(), api, args[0])
			if err != nil {
				return found.Device, err
			}
			d, err := got(api.EndExceptionWithResponse(cmd.Context(), found.Device.ID, &client.EndExceptionParams{Reason: *reason}))
			if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "not-found" {
				// The device is there: it has no exception.
				err = advise(err, "'tamctl device show %s' shows whether it has one", args[0])
			}
			return d, err
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), d, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "device %s has no exception\n", d.ID)
		})
	}
	return cmd
}
