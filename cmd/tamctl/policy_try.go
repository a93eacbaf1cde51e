package main

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func policyTry(app *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "try FILE",
		Short: "Show what a policy would do to the devices there are, without doing it",
		Long: `Try asks what the policy would decide about the last attestation of each device, in place
of its version in force, and prints the devices to which that makes a difference. Nothing
is changed. A policy for admissions is asked as if each device were new: use has() of claims
that a device may not have, for a policy that cannot be evaluated refuses it.

` + policyFileHelp,
		Example: "  tamctl policy try sealed-kiosks.yaml",
		Args:    exactly("FILE"),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many devices to print at most; 0 for all, as in json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return usage("--limit %d: give a number from 0 up", limit)
		}
		candidate, err := readPolicyFile(args[0])
		if err != nil {
			return err
		}
		trial, err := query(app, func(api *client.ClientWithResponses) (client.PolicyTrial, error) {
			if err := app.noteRemedy(cmd, api, candidate); err != nil {
				return client.PolicyTrial{}, err
			}
			return tryPolicy(cmd, api, candidate)
		})
		if err != nil {
			return inPolicyFile(args[0], err)
		}
		return app.show(cmd.OutOrStdout(), trial, func(t *tabwriter.Writer) { describeTrial(t, candidate, trial, limit) })
	}
	return cmd
}

// tryPolicy adds up the pages.
func tryPolicy(cmd *cobra.Command, api *client.ClientWithResponses, candidate client.NewPolicy) (client.PolicyTrial, error) {
	pageSize := 1000
	params := client.TryPolicyParams{Limit: &pageSize}
	counts := map[[2]string]int{}
	sum := client.PolicyTrial{Counts: []client.TrialCount{}}
	var err error
	sum.Devices, err = allPages(func(after *string) ([]client.TriedDevice, string, error) {
		params.After = after
		page, err := got(api.TryPolicyWithResponse(cmd.Context(), &params, candidate))
		sum.Tried += page.Tried
		sum.Skipped += page.Skipped
		for _, c := range page.Counts {
			counts[[2]string{c.Now, c.Then}] += c.Devices
		}
		return page.Devices, page.Next, err
	})
	for outcomes, n := range counts {
		sum.Counts = append(sum.Counts, client.TrialCount{Now: outcomes[0], Then: outcomes[1], Devices: n})
	}
	slices.SortFunc(sum.Counts, func(a, b client.TrialCount) int {
		return cmp.Or(cmp.Compare(a.Now, b.Now), cmp.Compare(a.Then, b.Then))
	})
	return sum, err
}

func describeTrial(t *tabwriter.Writer, candidate client.NewPolicy, trial client.PolicyTrial, limit int) {
	fmt.Fprintf(t, "policy %s makes a difference to %d of %d devices; nothing was changed\n", printable(candidate.Name), len(trial.Devices), trial.Tried)
	if candidate.Kind == client.PolicyKindAdmission {
		fmt.Fprintln(t, "it decides about new devices: each was taken for one, with the last evidence that it showed")
	}
	if trial.Skipped > 0 {
		fmt.Fprintf(t, "no policy is asked about %d more, which have shown no genuine evidence\n", trial.Skipped)
	}
	if len(trial.Counts) > 0 {
		fmt.Fprintln(t)
		row(t, "NOW", "THEN", "DEVICES")
		for _, c := range trial.Counts {
			row(t, c.Now, c.Then, c.Devices)
		}
	}
	shown := trial.Devices
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	if len(shown) > 0 {
		fmt.Fprintln(t)
		row(t, "DEVICE", "ATTESTATION", "NOW", "THEN", "BECAUSE")
	}
	for _, d := range shown {
		because := wrap(printable(d.Then.Reason), 38)
		row(t, brief(d.Device, false), d.Attestation, d.Now.Outcome, outcomeUntil(d.Then), because[0])
		for _, line := range because[1:] {
			fmt.Fprintf(t, "\t\t\t\t%s\n", line)
		}
	}
	if rest := len(trial.Devices) - len(shown); rest > 0 {
		fmt.Fprintf(t, "%d more; --limit 0 prints them all\n", rest)
	}
}

func outcomeUntil(d client.Decision) string {
	if d.Until.IsZero() {
		return d.Outcome
	}
	return d.Outcome + " until " + d.Until.UTC().Format("2006-01-02")
}
