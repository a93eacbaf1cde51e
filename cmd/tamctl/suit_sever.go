package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/suit"
)

// severable are the elements that an envelope can lose under the same signature.
var severable = []suit.Section{
	suit.SectionDependencyResolution, suit.SectionPayloadFetch, suit.SectionCandidateVerification,
	suit.SectionInstall, suit.SectionText, suit.SectionCoSWID,
}

func severableNames() []string {
	names := make([]string, len(severable))
	for i, s := range severable {
		names[i] = s.String()
	}
	return names
}

func severableList() string { return strings.Join(severableNames(), ", ") }

// completeElements completes an envelope, then elements.
func completeElements(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return severableNames(), cobra.ShellCompDirectiveNoFileComp
}

func parseElement(name string) (suit.Section, error) {
	for _, s := range severable {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, usage("%q is none of the elements that can be severed: %s", name, severableList())
}

func parseElements(names []string) ([]suit.Section, error) {
	var list []suit.Section
	for _, name := range names {
		s, err := parseElement(name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(list, s) {
			return nil, usage("%s is named twice", s)
		}
		list = append(list, s)
	}
	return list, nil
}

// carried are the severable elements that the envelope has itself.
func carried(e *suit.Envelope) (list []suit.Section) {
	for _, s := range severable {
		if _, there := e.Element(s); there {
			list = append(list, s)
		}
	}
	return list
}

// atLeast wants one argument, which is named, and takes more.
func atLeast(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("want %s; see '%s --help'", name, cmd.CommandPath())
		}
		return nil
	}
}

func suitSever() *cobra.Command {
	var keep, out string
	cmd := &cobra.Command{
		Use:   "sever ENVELOPE [ELEMENT…] --out FILE",
		Short: "Take elements out of an envelope, under the same signature",
		Long: `Sever takes elements out of an envelope, all that can be severed where none is named. The
signature holds as before: the manifest has the digests of the elements, if it was made
so ('tamctl suit create --severable'). A device that has installed the manifest, or one
that never shows its text, needs the smaller envelope only.

ELEMENT is ` + severableList() + `.`,
		Example: "  tamctl suit sever hello.suit text --out small.suit --keep text.cbor",
		Args:    atLeast("ENVELOPE"),

		ValidArgsFunction: completeElements,
	}
	cmd.Flags().StringVar(&keep, "keep", "", "file for the element that is taken out, where it is one")
	cmd.Flags().StringVar(&out, "out", "", "file to write the rest to (required; ENVELOPE itself only with --keep)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := args[0]
		if out == "" {
			return usage("say where to write what stays, with --out")
		}
		elements, err := parseElements(args[1:])
		if err != nil {
			return err
		}
		envelope, err := readEnvelope(path)
		if err != nil {
			return err
		}
		if len(elements) == 0 {
			elements = carried(envelope)
		}
		if len(elements) == 0 {
			return advise(fmt.Errorf("%s carries nothing that can be severed", path), "make it with 'tamctl suit create --severable install,text'")
		}
		if err := checkSevering(path, keep, out, elements); err != nil {
			return err
		}
		rest, err := envelope.Sever(elements...)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if keep != "" {
			content, _ := envelope.Element(elements[0]) // it was severed just now
			if err := writeWhole(keep, content, os.Link); err != nil {
				return err
			}
		}
		if err := writeEnvelope(out, rest); err != nil {
			return err
		}
		return tellElements(cmd, "wrote "+out, "took out", envelope, elements)
	}
	return cmd
}

// checkSevering keeps what is taken out from being lost.
func checkSevering(path, keep, out string, elements []suit.Section) error {
	if keep != "" && len(elements) != 1 {
		return usage("--keep is a file for one element, and these are %d: sever them one after the other", len(elements))
	}
	if keep != "" {
		if err := vacant(keep); err != nil {
			return err
		}
		return replaceable(out)
	}
	return replaceable(out, path)
}

func suitRestore() *cobra.Command {
	var from, out string
	cmd := &cobra.Command{
		Use:   "restore ENVELOPE [ELEMENT…] --from FILE",
		Short: "Put severed elements back",
		Long: `Restore puts elements back that were taken out of an envelope. FILE is the envelope as it
was, or what 'tamctl suit sever --keep' wrote, which is one ELEMENT. Each has to have the
digest that stands in the manifest. Where no ELEMENT is named, all come back that are
missing and that FILE carries.

ELEMENT is ` + severableList() + `.`,
		Example: "  tamctl suit restore small.suit text --from text.cbor --out hello.suit",
		Args:    atLeast("ENVELOPE"),

		ValidArgsFunction: completeElements,
	}
	cmd.Flags().StringVar(&from, "from", "", "file with the elements (required)")
	cmd.Flags().StringVar(&out, "out", "", "file to write to (default ENVELOPE itself)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := args[0]
		if from == "" {
			return usage("say where the elements are, with --from")
		}
		elements, err := parseElements(args[1:])
		if err != nil {
			return err
		}
		envelope, err := readEnvelope(path)
		if err != nil {
			return err
		}
		source, err := readElements(from, elements)
		if err != nil {
			return err
		}
		if elements, err = source.missing(path, envelope, elements); err != nil {
			return err
		}
		target := cmp.Or(out, path)
		if err := replaceable(target, from); err != nil {
			return err
		}
		whole := envelope
		for _, s := range elements {
			content, ok := source.element(s)
			if !ok {
				return fmt.Errorf("%s does not carry %s", from, s)
			}
			if whole, err = whole.Restore(s, content); err != nil {
				return restoringAdvice(path, from, err)
			}
		}
		if err := writeEnvelope(target, whole); err != nil {
			return err
		}
		return tellElements(cmd, "wrote "+target, "put back", whole, elements)
	}
	return cmd
}

// elementSource is where severed elements come from.
type elementSource struct {
	path     string
	envelope *suit.Envelope // nil for a file with one element
	content  []byte
}

func readElements(path string, elements []suit.Section) (elementSource, error) {
	data, err := readBounded(path)
	if err != nil {
		return elementSource{}, err
	}
	if envelope, err := suit.Decode(data); err == nil {
		return elementSource{path: path, envelope: envelope}, nil
	}
	if len(elements) != 1 {
		return elementSource{}, usage("%s is no envelope: name the one element that it holds", path)
	}
	return elementSource{path: path, content: data}, nil
}

func (s elementSource) element(wanted suit.Section) ([]byte, bool) {
	if s.envelope == nil {
		return s.content, true
	}
	return s.envelope.Element(wanted)
}

// missing are the elements to put back: those that are named, or all that can be.
func (s elementSource) missing(path string, e *suit.Envelope, named []suit.Section) ([]suit.Section, error) {
	if len(named) > 0 {
		return named, nil
	}
	severed, err := e.Severed()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(severed) == 0 {
		return nil, fmt.Errorf("%s lacks nothing: all of it is there", path)
	}
	severed = slices.DeleteFunc(severed, func(one suit.Section) bool { _, has := s.element(one); return !has })
	if len(severed) == 0 {
		return nil, advise(fmt.Errorf("%s carries none of what %s lacks", s.path, path), "take the envelope that was signed")
	}
	return severed, nil
}

func restoringAdvice(path, from string, err error) error {
	err = fmt.Errorf("%s: %w", path, err)
	if errors.Is(err, suit.ErrDigest) {
		return advise(err, "%s is of another manifest, or was changed: take the envelope that was signed", from)
	}
	return err
}

// tellElements says what was done with each, and what else the envelope carries.
func tellElements(cmd *cobra.Command, headline, what string, of *suit.Envelope, elements []suit.Section) error {
	fmt.Fprintln(cmd.OutOrStdout(), headline)
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, s := range elements {
		content, _ := of.Element(s) // it is one that the envelope has
		fmt.Fprintf(t, "  %s\t%s\t%s\n", what, s, size(uint64(len(content))))
	}
	return t.Flush()
}
