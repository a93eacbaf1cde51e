package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/suit/processor"
)

// verboseFlag adds --verbose to a command that processes manifests.
func verboseFlag(cmd *cobra.Command, verbose *bool) {
	cmd.Flags().BoolVarP(verbose, "verbose", "v", false, "tell of each command of a manifest, too")
}

// describe says in one line what a command of a manifest came to.
func describe(s processor.Step) string {
	var b strings.Builder
	if len(s.Manifest) > 0 {
		fmt.Fprintf(&b, "dependency %v: ", s.Manifest)
	}
	fmt.Fprintf(&b, "%s, byte %d: %s%s", s.Section, s.Offset, strings.Repeat("  ", s.Depth), s.Name)
	if s.Component != nil {
		fmt.Fprintf(&b, " on %s", s.Component)
	}
	switch {
	case s.Softened:
		b.WriteString(" ended its sequence")
	case s.Err != nil:
		b.WriteString(" failed")
	default:
		b.WriteString(": ok")
	}
	// A command around the one that failed has the same error.
	if f, ok := s.Err.(*processor.Failure); ok && f.Offset == s.Offset && f.Section == s.Section && f.Command == s.Command {
		fmt.Fprintf(&b, ": %s", f.Err)
	}
	if s.Note != "" {
		fmt.Fprintf(&b, ", %s", s.Note)
	}
	for _, code := range s.Measured.Codes() {
		fmt.Fprintf(&b, ", measured %s %s", code, s.Measured.Format(code))
	}
	return b.String()
}
