package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

const policyFileHelp = `FILE is YAML:

  name: sealed-kiosks
  kind: appraisal            # or admission, for devices that are new
  position: 10               # optional: the first by position whose selector matches decides
  selector: device.labels.site == "hall-3"    # optional: all devices where there is none
  expression: |              # accept(), accept_until(time, why), quarantine(why), reject(why)
    result.status == "affirming" ? accept() : quarantine(result.reason)
  remediation: app/hello/suit    # optional: the manifest that a device gets that is not accepted
  comment: agreed with the operators of hall 3`

func policyCommand(app *app) *cobra.Command {
	return group("policy", "Say which attestation results are accepted, and what happens otherwise",
		policyList(app), policyShow(app), policyTry(app), policySet(app), policyRetire(app))
}

// policyFile is a policy as people write it.
type policyFile struct {
	Name        string `yaml:"name"`
	Kind        string `yaml:"kind"`
	Position    int    `yaml:"position,omitempty"`
	Selector    string `yaml:"selector,omitempty"`
	Expression  string `yaml:"expression"`
	Remediation string `yaml:"remediation,omitempty"`
	Comment     string `yaml:"comment,omitempty"`
}

func readPolicyFile(path string) (p client.NewPolicy, err error) {
	data, err := readBounded(path)
	if err != nil {
		return p, err
	}
	const help = "'tamctl policy set --help' shows such a file"
	var file policyFile
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&file); err != nil {
		text, next := strings.TrimSpace(yaml.FormatError(err, false, true)), help
		if strings.Contains(text, "mapping value is not allowed") {
			next = "put an expression that has a colon on a line of its own, indented, below 'expression: |'"
		}
		return p, advise(fmt.Errorf("%s is no policy: %s", path, text), "%s", next)
	}
	p = client.NewPolicy{
		Name: file.Name, Kind: client.PolicyKind(file.Kind), Position: file.Position, Selector: file.Selector,
		Expression: file.Expression, Remediation: file.Remediation, Comment: file.Comment,
	}
	switch {
	case p.Name == "":
		err = fmt.Errorf("%s: the policy has no name", path)
	case p.Kind == "":
		err = fmt.Errorf("%s: the policy has no kind, want appraisal or admission", path)
	case !p.Kind.Valid():
		err = fmt.Errorf("%s: there is no kind of policy %q, want appraisal or admission", path, p.Kind)
	case p.Expression == "":
		err = fmt.Errorf("%s: the policy has no expression, so it decides nothing", path)
	}
	if err != nil {
		return p, advise(err, help)
	}
	return p, nil
}

func policyList(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the policies in force, in the order in which they are asked",
		Example: "  tamctl policy list",
	}
	return listing(app, cmd, "whole selectors, and comments", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Policy, error) {
		return got(api.ListPoliciesWithResponse(ctx))
	}, func(t *tabwriter.Writer, list []client.Policy, wide bool) {
		if wide {
			row(t, "POSITION", "NAME", "VERSION", "KIND", "SELECTOR", "REMEDIATION", "SINCE", "COMMENT")
			for _, p := range list {
				row(t, p.Position, p.Name, p.Version, p.Kind, p.Selector, p.Remediation, p.CreatedAt, p.Comment)
			}
			return
		}
		row(t, "POSITION", "NAME", "VERSION", "KIND", "SELECTOR")
		for _, p := range list {
			row(t, p.Position, fitted(p.Name, 24), p.Version, p.Kind, fitted(p.Selector, 40))
		}
	})
}

func policyShow(app *app) *cobra.Command {
	var version int
	var asFile bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a policy and its versions",
		Long: `Show prints the newest version of a policy, or the one of --version, and who made which
version when. --file prints it as 'tamctl policy set' takes it.`,
		Example: "  tamctl policy show sealed-kiosks\n  tamctl policy show sealed-kiosks --version 2 --file > sealed-kiosks.yaml",
		Args:    exactly("NAME"),
	}
	cmd.Flags().IntVar(&version, "version", 0, "show this version (default the newest)")
	cmd.Flags().BoolVar(&asFile, "file", false, "print it as 'tamctl policy set' takes it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		versions, err := query(app, func(api *client.ClientWithResponses) ([]client.Policy, error) {
			return got(api.ListPolicyVersionsWithResponse(cmd.Context(), args[0]))
		})
		if err != nil {
			return err
		}
		i := 0
		if cmd.Flags().Changed("version") {
			i = slices.IndexFunc(versions, func(p client.Policy) bool { return p.Version == version })
		}
		if i < 0 || len(versions) == 0 {
			return advise(fmt.Errorf("policy %s has no version %d", args[0], version), "'tamctl policy show %s' lists its versions", args[0])
		}
		p := versions[i]
		if asFile {
			text, err := yaml.MarshalWithOptions(policyFile{p.Name, string(p.Kind), p.Position, p.Selector, p.Expression, p.Remediation, p.Comment}, yaml.UseLiteralStyleIfMultiline(true))
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		}
		if version == 0 {
			return app.show(cmd.OutOrStdout(), versions, func(t *tabwriter.Writer) { describePolicy(t, p, versions) })
		}
		return app.show(cmd.OutOrStdout(), p, func(t *tabwriter.Writer) { describePolicy(t, p, nil) })
	}
	return cmd
}

func describePolicy(t *tabwriter.Writer, p client.Policy, versions []client.Policy) {
	fact(t, "policy", p.Name)
	fact(t, "version", p.Version)
	fact(t, "kind", string(p.Kind))
	fact(t, "position", p.Position)
	fact(t, "remediation", p.Remediation)
	fact(t, "comment", p.Comment)
	if p.Retired {
		fact(t, "retired", p.CreatedAt)
	}
	for _, part := range []struct{ name, text string }{{"selector", p.Selector}, {"expression", p.Expression}} {
		if part.text == "" {
			continue
		}
		fmt.Fprintf(t, "%s:\n", part.name)
		for _, line := range strings.Split(strings.TrimSpace(part.text), "\n") {
			fmt.Fprintf(t, "  %s\n", printable(strings.ReplaceAll(line, "\t", "  ")))
		}
	}
	if len(versions) == 0 {
		return
	}
	fmt.Fprintln(t)
	row(t, "VERSION", "SINCE", "BY", "COMMENT")
	for _, v := range versions {
		comment := v.Comment
		if v.Retired {
			comment = "retired: " + comment
		}
		row(t, v.Version, v.CreatedAt, v.CreatedBy, comment)
	}
}

func policySet(app *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set FILE",
		Short: "Put a policy into force, or its next version",
		Long: `Set puts a policy into force: devices have to show evidence at their next poll, and are
held against it. Try it first, with 'tamctl policy try'.

` + policyFileHelp,
		Example: "  tamctl policy set sealed-kiosks.yaml",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := readPolicyFile(args[0])
			if err != nil {
				return err
			}
			p, err := query(app, func(api *client.ClientWithResponses) (client.Policy, error) {
				if err := app.noteRemedy(cmd, api, wanted); err != nil {
					return client.Policy{}, err
				}
				return got(api.AddPolicyWithResponse(cmd.Context(), wanted))
			})
			if err != nil {
				return inPolicyFile(args[0], err)
			}
			return app.show(cmd.OutOrStdout(), p, func(t *tabwriter.Writer) {
				fmt.Fprintf(t, "policy %s is in force as version %d, since %s\n", printable(p.Name), p.Version, instant(p.CreatedAt))
			})
		},
	}
}

// inFile says which file a refusal is about.
func inFile(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }

// inPolicyFile is inFile for a policy, of which not only the expression can be wrong.
func inPolicyFile(path string, err error) error {
	err = inFile(path, err)
	if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.Code == "bad-policy" && refused.Line == 0 {
		return advise(err, "mend the field that is named; 'tamctl policy set --help' shows a policy")
	}
	return err
}

// noteRemedy warns of a remedy that nobody has published: devices would wait for it.
func (a *app) noteRemedy(cmd *cobra.Command, api *client.ClientWithResponses, p client.NewPolicy) error {
	if p.Remediation == "" {
		return nil
	}
	published, err := listManifests(cmd.Context(), api, p.Remediation)
	if err == nil && len(published) == 0 {
		fmt.Fprintf(a.stderr, "note: no manifest of %s is published, so there is no remedy; publish one with 'tamctl manifest publish'\n", printable(p.Remediation))
	}
	return err
}

func policyRetire(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retire NAME --reason TEXT",
		Short: "End a policy",
		Long: `Retire ends a policy; its versions stay on record, and 'tamctl policy set' brings it back.
A device that it put into quarantine stays there until other policies accept its evidence.`,
		Example: "  tamctl policy retire sealed-kiosks --reason 'hall 3 is closed'",
		Args:    exactly("NAME"),
	}
	reason := reasonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *reason == "" {
			return errNoReason
		}
		p, err := query(app, func(api *client.ClientWithResponses) (client.Policy, error) {
			return got(api.RetirePolicyWithResponse(cmd.Context(), args[0], client.StateChange{Reason: *reason}))
		})
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), p, func(t *tabwriter.Writer) {
			fmt.Fprintf(t, "policy %s is retired with version %d\n", printable(p.Name), p.Version)
		})
	}
	return cmd
}
