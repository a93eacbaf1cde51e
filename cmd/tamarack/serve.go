package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func serveCommand(env []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve TEEP to devices and the API to operators, until interrupted",
		Long: `Serve TEEP to devices on one listener, the API to operators on another, and
metrics and health to monitoring on a third.

Without a configuration it keeps everything in ./tamarack-data and listens on
loopback. The first start makes the TAM's keys and an admin token; both stay in
the data directory, readable by their owner only.`,
		Example: `  tamarack serve
  tamarack serve --config /etc/tamarack.yaml
  TAMARACK_TEEP_LISTEN=127.0.0.1:9000 tamarack serve --attestation.admission affirming`,
		Args: cobra.NoArgs,
	}
	load := configFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		s, err := newServer(cmd.Context(), c, c.logger(cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		s.announce(cmd.OutOrStdout(), c)
		return s.serve(cmd.Context())
	}
	return cmd
}

// announce says what a person needs next.
func (s *server) announce(w io.Writer, c Config) {
	for _, e := range c.TEEP.Endpoints {
		fmt.Fprintf(w, "TEEP for devices     %s%s (%s)\n", s.teepURL, e.Path, e.Numbering)
	}
	fmt.Fprintf(w, "API for operators    %s\n", s.apiURL)
	if s.metricsURL != "" {
		fmt.Fprintf(w, "monitoring           %s/metrics\n", s.metricsURL)
	}
	for _, v := range c.Attestation.Verifiers {
		fmt.Fprintf(w, "verifier             %s at %s: %s\n", v.Name, v.URL, v.takes())
	}
	fmt.Fprintf(w, "keys for agents      %s\n", strings.Join(s.publicKeys, ", "))
	fmt.Fprintf(w, "key for encryption   %s\n", s.encryptTo)
	made := "kept"
	if s.tokenCreated {
		made = "made just now"
	}
	fmt.Fprintf(w, "admin token          %s (%s)\n", s.tokenFile, made)
	fmt.Fprintln(w, "ready; an interrupt (Ctrl-C) ends it")
}
