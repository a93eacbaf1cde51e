package processor

import (
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// What a processor reports, a reader finds in the manifest, also inside of sequences and on
// lists of components.
func TestReportsAreExplained(t *testing.T) {
	wrong, right := suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}, suit.Parameters{ImageDigest: ptr(suit.SumSHA256(newImage))}
	choose := func(list ...suit.Sequence) suit.Command {
		return do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: list})
	}
	block := func(commands ...suit.Command) suit.Sequence { return suit.Sequence{Commands: commands} }
	run := func(commands ...suit.Command) suit.Command {
		s := block(commands...)
		return do(suit.DirectiveRunSequence, &s)
	}
	match := check(suit.ConditionImageMatch)
	for name, tt := range map[string]struct {
		validate []suit.Command
		failed   string // where and on what; "": it succeeds
	}{
		"second alternative": {[]suit.Command{index(0), choose(block(override(wrong), match), block(override(right), match))}, ""},
		"neither alternative": {
			[]suit.Command{index(0), choose(block(override(wrong), match), block(override(wrong), match))}, "validate[1].try-each on app/hello failed"},
		"hard alternative": {
			[]suit.Command{index(0), choose(block(match, override(suit.Parameters{SoftFailure: ptr(false)}), override(wrong), match), block(match))},
			"validate[1].try-each[0][3].image-match on app/hello failed"},
		"on each component": {[]suit.Command{do(suit.DirectiveSetComponentIndex, suit.IndexList{0, 1}), run(check(suit.ConditionVendorIdentifier)), match}, ""},
		"on the other component": {
			[]suit.Command{index(0), run(match, index(1), match, index(0), override(wrong), match)}, "validate[1].run-sequence[5].image-match on app/hello failed"},
		"selection ends with its sequence": {
			[]suit.Command{index(1), run(index(0), match), override(wrong), match}, "validate[3].image-match on app/data failed"},
		"refused inside": {
			[]suit.Command{index(1), run(match, run(check(suit.DirectiveFetch)))}, "validate[1].run-sequence[1].run-sequence[0].fetch on app/data failed"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			m := sample(newImage)
			m.Common.Components = append(m.Common.Components, data)
			tr.host.images[data.Key()] = newImage
			m.Common.Shared.Commands = append([]suit.Command{index(0)}, m.Common.Shared.Commands...)
			edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
				return append([]suit.Command{index(1), override(right), override(suit.Parameters{VendorID: &device.Vendor}), index(0)}, c...)
			})
			m.Sections[suit.SectionValidate] = sequence(tt.validate...)
			v := authentic(t, m, nil)
			outcome, err := tr.processor().Update(t.Context(), v, everything)
			if (err == nil) != (tt.failed == "") {
				t.Fatal(err)
			}
			all, err := suit.Explain(outcome.Report, v.Envelope(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				if s.Misfit {
					t.Error(s.Text)
				}
			}
			if last := all[len(all)-1]; !strings.HasPrefix(last.Text, tt.failed) || last.Failed != (tt.failed != "") {
				t.Errorf("%s, want %s", last.Text, tt.failed)
			}
		})
	}
}

// What fails once all commands have run is not told as refused before them.
func TestFailuresBehindCommandsAreExplained(t *testing.T) {
	unchecked := install(override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch))
	delete(unchecked.Sections, suit.SectionValidate)
	optional := sample(newImage)
	optional.Sections[suit.SectionPayloadFetch] = suit.Severable{Digest: ptr(suit.SumSHA256(nil))}
	for name, tt := range map[string]struct {
		manifest *suit.Manifest
		fault    string // of the host
		want     string
	}{
		"never checked":   {unchecked, "", "failed behind the commands of validate: the condition does not hold"},
		"not kept":        {sample(newImage), "Commit", "failed behind the commands of validate: the operation failed"},
		"not given up":    {sample(newImage), "Rollback", "failed behind the commands of validate: the operation failed"},
		"severed section": {optional, "", "refused before any command, at payload-fetch: severed elements are not supported"},
		"never begun":     {sample(newImage), "Begin", "refused before any command, at element 0: the operation failed"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			if tt.fault != "" {
				tr.host.faults[tt.fault] = errors.New("disk full")
			}
			v := authentic(t, tt.manifest, nil)
			outcome, err := tr.processor().Update(t.Context(), v, everything)
			if err == nil {
				t.Fatal("it succeeds")
			}
			all, err := suit.Explain(outcome.Report, v.Envelope(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if last := all[len(all)-1]; last.Text != tt.want || !last.Failed {
				t.Errorf("%s, want %s", last.Text, tt.want)
			}
		})
	}
}
