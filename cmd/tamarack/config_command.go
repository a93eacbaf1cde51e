package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func configCommand(env []string) *cobra.Command {
	cmd := group("config", "Check a configuration, or list its keys")
	check := &cobra.Command{
		Use:     "check",
		Short:   "Read the configuration, name every fault, and print what would be in force",
		Example: "  tamarack config check --config tamarack.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlags(check, env)
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			return err
		}
		end := "# no faults found\n"
		for _, v := range c.Attestation.Verifiers {
			for _, format := range v.foreign() {
				end = fmt.Sprintf("# attestation.verifiers: %s is given %s, which is no format of evidence here; docs/attestation.md lists those\n", v.Name, format) + end
			}
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s%s", text, end)
		return err
	}
	list := &cobra.Command{
		Use:     "keys",
		Short:   "List every key with its default and its environment variable",
		Example: "  tamarack config keys",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := DefaultConfig()
			for _, k := range c.keys() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n    %s\n    default: %s\n", k.name, k.env(), k.doc, k.text())
			}
			return nil
		},
	}
	cmd.AddCommand(check, list)
	return cmd
}

// text is the value on one line.
func (k key) text() string {
	out, err := yaml.MarshalWithOptions(k.value.Interface(), yaml.Flow(true))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}

// configFlags gives cmd --config and a flag for every key, and returns what reads them.
func configFlags(cmd *cobra.Command, env []string) (load func() (Config, error)) {
	defaults := DefaultConfig()
	keys := map[string]bool{}
	file := cmd.Flags().String("config", "", "configuration file (YAML)")
	for _, k := range defaults.keys() {
		keys[k.name] = true
		shown := k.text()
		if k.value.Kind() == reflect.String {
			shown = k.value.String() // the help puts quotes around it
		}
		cmd.Flags().String(k.name, shown, k.doc)
	}
	return func() (Config, error) {
		given := map[string]string{}
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if keys[f.Name] {
				given[f.Name] = f.Value.String()
			}
		})
		c, err := LoadConfig(*file, env, given)
		if err != nil {
			return c, usageError{err}
		}
		return c, nil
	}
}
