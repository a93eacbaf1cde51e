package main

import (
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/teep"
)

// suitInspect is 'inspect' with the flags that matter for envelopes.
func suitInspect(app *app) *cobra.Command {
	var i inspection
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what stands in an envelope, manifest or report",
		Long: `Inspect shows the tree of an envelope, a manifest or a report, with names instead of
numbers, and opens what is nested inside. It is 'tamctl inspect', which knows more kinds
and more options; docs/inspect.md describes both. FILE is binary, hexadecimal or base64
text; "-" is standard input.`,
		Example: `  tamctl suit inspect hello.suit --key publisher.pub.pem
  tamctl suit inspect hello.suit --diag`,
		Args: exactly("FILE"),
	}
	f := cmd.Flags()
	f.StringArrayVar(&i.keys, "key", nil, "file with a public key (PEM or COSE_Key) for signatures; repeatable")
	f.StringArrayVar(&i.macKeys, "secret", nil, "file with a secret key for MACs; repeatable")
	f.BoolVar(&i.diag, "diag", false, "write CBOR diagnostic notation instead")
	f.BoolVar(&i.full, "full", false, "write long strings whole")
	i.numbering = teep.IANA.String() // there is no TEEP message in it
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return i.run(app, cmd, args[0]) }
	return cmd
}
