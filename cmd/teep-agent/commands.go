package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/broker"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

func (p *program) pollCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:     "poll",
		Short:   "Hold one session with the TAM, a line for each step",
		Long:    "Hold one session with the TAM, a line for each step.\n\n" + exitCodes,
		Example: "  teep-agent poll --dir lamp1",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			seen := map[agent.Step]bool{}
			d, err := device.Open(p.dir, telling(cmd.OutOrStdout(), verbose, func(e agent.Event) { seen[e.Step] = true }))
			if err != nil {
				return err
			}
			defer closing(d, &err)
			if _, err = d.Poll(cmd.Context()); err != nil {
				return err
			}
			if seen[agent.StepEvidence] && !seen[agent.StepUpdate] && d.Lacking() {
				fmt.Fprintf(cmd.OutOrStdout(), nothingCame, d.Settings().Identity.UEID)
			}
			return nil
		},
	}
	verboseFlag(cmd, &verbose)
	return cmd
}

// telling are options for a device whose steps are told in lines as they happen.
func telling(out io.Writer, verbose bool, seen func(agent.Event)) device.Options {
	o := device.Options{Observe: func(e agent.Event) {
		seen(e)
		fmt.Fprintln(out, lines.Fold(e.String(), 11))
	}}
	if verbose {
		o.Steps = func(s processor.Step) { o.Observe(agent.Event{Step: "command", Detail: describe(s)}) }
	}
	return o
}

// nothingCame is for a device that has shown all that it can and still got nothing. The
// TAM does not say why to somebody whom it may not know.
const nothingCame = `The TAM has nothing for this device. If that surprises you, ask its operator whether device
%s is registered, accepted and required to have something.
`

func (p *program) runCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Poll the TAM until interrupted",
		Long: `Poll the TAM until interrupted, at the interval in config.yaml. What happens is
logged to standard error. A session that breaks off is tried again after five
seconds, then after twice as long each time, up to the interval; a Retry-After of
the TAM is honoured.`,
		Example: "  teep-agent run --dir lamp1",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			ctx := cmd.Context()
			o := device.Options{Observe: func(e agent.Event) { log.InfoContext(ctx, e.Detail, "step", string(e.Step)) }}
			if verbose {
				o.Steps = func(s processor.Step) { log.InfoContext(ctx, describe(s), "step", "command") }
			}
			d, err := device.Open(p.dir, o)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			return d.Run(ctx, func(r broker.Result, err error) {
				if err != nil {
					log.WarnContext(ctx, "session", "received", r.Received, "sent", r.Sent, "error", err)
					return
				}
				log.InfoContext(ctx, "session", "received", r.Received, "sent", r.Sent)
			})
		},
	}
	verboseFlag(cmd, &verbose)
	return cmd
}

func closing(d *device.Device, err *error) {
	if fault := d.Close(); *err == nil {
		*err = fault
	}
}

func (p *program) statusCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who the device is and what it holds, measured now",
		Example: `  teep-agent status --dir lamp1
  teep-agent status --dir lamp1 -o json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("-o %q: want table or json", output)}
			}
			d, err := device.Read(p.dir)
			if err != nil {
				return err
			}
			defer closing(d, &err)
			s, err := d.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	return cmd
}

func printStatus(out io.Writer, s device.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]any{
		{"ueid", s.UEID}, {"vendor id", s.VendorID}, {"class id", s.ClassID},
		{"oemid", s.OEMID}, {"model", s.Model}, {"hardware version", s.HWVersion},
		{"message key", s.MessageKey}, {"attester", s.Attester},
		{"algorithm", s.Algorithm}, {"TAM", s.TAM}, {"numbering", s.Numbering}, {"last poll", lastPoll(s.LastPoll)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	if s.DecryptionKey != nil {
		fmt.Fprintf(w, "decryption key\t%s\n", s.DecryptionKey)
	}
	printAttestation(w, s)
	for _, t := range s.Trusted {
		fmt.Fprintf(w, "trusts\t%s  %s\n", t.Key, trustText(t))
	}
	for _, r := range s.Requested {
		fmt.Fprintf(w, "requested\t%s%s\n", r.ID, conditions(r))
	}
	for _, m := range s.Unneeded {
		fmt.Fprintf(w, "not needed\tmanifest %s\n", m)
	}
	if len(s.Components) == 0 {
		fmt.Fprintln(w, "components\tnone")
	}
	for _, c := range s.Components {
		fmt.Fprintf(w, "component\t%s  sequence %d  %d bytes\n\tsha-256 %s\n", c.ID, c.Sequence, c.Size, c.SHA256)
		for _, m := range c.Shared {
			fmt.Fprintf(w, "\tshared with manifest %s\n", m)
		}
	}
	for _, r := range s.Runs {
		printRun(w, r)
	}
	return w.Flush()
}

func printAttestation(w io.Writer, s device.Status) {
	if s.AttestationKey != nil {
		fmt.Fprintf(w, "attestation key\t%s\n", s.AttestationKey)
	}
	if c := s.Certificate; c != nil {
		fmt.Fprintf(w, "certificate\t%s\n\tby %s, until %s\n", c.Subject, c.Issuer, c.NotAfter.Format(time.RFC3339))
	}
	if p := s.Passport; p != nil {
		fmt.Fprintf(w, "passport\t%s\n", passportText(*p))
	}
	t := s.TAMAttestation
	if t == nil {
		return
	}
	if len(t.Attested) == 0 {
		fmt.Fprintln(w, "TAM attestation\twanted, none yet")
	}
	for _, a := range t.Attested {
		fmt.Fprintf(w, "TAM attestation\tkey %s\n\tat %s, believed until %s\n", a.Key, a.At.Format(time.RFC3339), a.Until.Format(time.RFC3339))
	}
}

func passportText(p device.Passport) string {
	text := "of " + p.Received.Format(time.RFC3339)
	if p.Expires != nil {
		text += ", until " + p.Expires.Format(time.RFC3339)
	}
	if p.Verified {
		return text + ", by a trusted verifier"
	}
	return text + ", not verified"
}

func printRun(w io.Writer, r device.Run) {
	outcome := "exit code 0"
	if r.Error != "" {
		outcome = r.Error
	}
	fmt.Fprintf(w, "last run\t%s  %s: %s\n", r.Component, r.At.Format(time.RFC3339), outcome)
	for line := range strings.Lines(r.Output) {
		fmt.Fprintf(w, "\t| %s\n", strings.TrimSuffix(line, "\n"))
	}
}

func lastPoll(p *device.LastPoll) string {
	if p == nil {
		return "never"
	}
	return fmt.Sprintf("%s: %s", p.At.Format(time.RFC3339), p.Outcome)
}

func trustText(t device.Trusted) string {
	words := make([]string, len(t.Purposes))
	for i, purpose := range t.Purposes {
		words[i] = string(purpose)
	}
	var where []string
	for _, prefix := range t.Components {
		where = append(where, prefix.String())
	}
	for _, scope := range t.Scopes {
		where = append(where, scope.String())
	}
	text := strings.Join(words, ", ")
	if len(where) > 0 {
		text += " for " + strings.Join(where, ", ")
	}
	return text
}

// conditions are those under which a component is requested.
func conditions(r device.Requested) string {
	var text string
	if r.MinSequence != nil {
		text = fmt.Sprintf("  sequence %d or newer", *r.MinSequence)
	}
	if r.HaveBinary {
		text += ", have-binary"
	}
	return text
}

func (p *program) requestCommand() *cobra.Command {
	var least uint64
	var withdraw, haveBinary bool
	cmd := &cobra.Command{
		Use:   "request COMPONENT",
		Short: "Ask the TAM for a component at the next session, or tell it that it is not needed",
		Long: `Ask the TAM for a component at the next session.

With --withdraw the component is not needed any more: a request for it is taken back,
and where it is installed, the TAM is asked to have it unlinked.

With --have-binary the TAM is told that the image is here already: it sends a newer
manifest without the payload that it carries. A manifest for another image is
installed with that image, which is fetched, now or at a later session.`,
		Example: `  teep-agent request app/hello --dir lamp1
  teep-agent request app/hello --dir lamp1 --min-sequence 3
  teep-agent request app/hello --dir lamp1 --min-sequence 3 --have-binary
  teep-agent request app/hello --dir lamp1 --withdraw`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			component, err := suit.ParseComponentID(args[0])
			if err != nil {
				return usageError{err}
			}
			tc := teep.RequestedTC{Component: component, HaveBinary: haveBinary}
			if cmd.Flags().Changed("min-sequence") {
				tc.MinSequence = &least
			}
			switch {
			case withdraw && (haveBinary || tc.MinSequence != nil):
				return usageError{errors.New("--withdraw excludes --min-sequence and --have-binary")}
			case haveBinary && tc.MinSequence == nil:
				return usageError{errors.New("--have-binary needs --min-sequence: which manifest is wanted")}
			}
			d, err := device.Open(p.dir, device.Options{})
			if err != nil {
				return err
			}
			defer closing(d, &err)
			if withdraw {
				return p.withdraw(cmd, d, component)
			}
			return p.request(cmd, d, tc)
		},
	}
	cmd.Flags().Uint64Var(&least, "min-sequence", 0, "lowest sequence `number` of its manifest that will do")
	cmd.Flags().BoolVar(&withdraw, "withdraw", false, "the component is not needed any more")
	cmd.Flags().BoolVar(&haveBinary, "have-binary", false, "have a payload that the manifest carries left out: the image is here already")
	return cmd
}

func (p *program) request(cmd *cobra.Command, d *device.Device, tc teep.RequestedTC) error {
	tam, err := d.Agent().RequestTA(tc)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is installed already", tc.Component)
	if tam != "" {
		text = fmt.Sprintf("%s will be requested from %s\nNext: teep-agent poll --dir %s", tc.Component, tam, lines.Quote(p.dir))
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

func (p *program) withdraw(cmd *cobra.Command, d *device.Device, component suit.ComponentID) error {
	before := len(d.Unneeded())
	tam, err := d.Agent().UnrequestTA(component)
	if err != nil {
		return err
	}
	var text string
	switch {
	case len(d.Unneeded()) > before:
		text = fmt.Sprintf("%s will be asked to unlink %s\nNext: teep-agent poll --dir %s", tam, component, lines.Quote(p.dir))
	case tam != "":
		text = fmt.Sprintf("%s is no longer requested", component)
	default:
		text = fmt.Sprintf("%s was not requested: nothing changes", component)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
