package processor

import (
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// Components and their parameters are one for the whole tree: what the dependent sets
// stands above what its dependency sets if unset, and the other way round with override.
func TestParametersAcrossTheTree(t *testing.T) {
	for name, tt := range map[string]struct {
		code suit.CommandCode
		want string
	}{
		"the dependent's above a default":      {suit.DirectiveSetParameters, "of the dependent"},
		"the dependency's override above both": {suit.DirectiveOverrideParameters, "of the dependency"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			l := library(libImage)
			l.Common.Shared.Commands = compatible(suit.Parameters{})
			l.Sections[suit.SectionInstall] = sequence(do(tt.code, &suit.Parameters{Content: []byte("of the dependency")}), check(suit.DirectiveWrite))
			l.Sections[suit.SectionValidate] = sequence(check(suit.ConditionCheckContent))
			m := tr.dependent(t, inLib(t, l, libImage))
			m.Common.Components = append(m.Common.Components, lib)
			m.Common.Dependencies[0].Index = 2
			for section := range m.Sections {
				edit(m, section, moved(2))
			}
			m.Common.Shared.Commands = moved(2)(m.Common.Shared.Commands)
			m.Common.Shared.Commands = append(m.Common.Shared.Commands, index(1),
				do(suit.DirectiveSetParameters, &suit.Parameters{Content: []byte("of the dependent")}))
			// It finds what the dependency has left there.
			edit(m, suit.SectionValidate, func(c []suit.Command) []suit.Command {
				return append(c, index(1), check(suit.ConditionCheckContent))
			})
			tr.succeed(t, m, newImage)
			if got := string(tr.host.images[lib.Key()]); got != tt.want {
				t.Errorf("library %q", got)
			}
		})
	}
}

// moved makes another index of 1.
func moved(to uint64) func([]suit.Command) []suit.Command {
	return func(commands []suit.Command) []suit.Command {
		out := slices.Clone(commands)
		for i, c := range out {
			if c.Argument == suit.Argument(suit.Index(1)) {
				out[i].Argument = suit.Index(to)
			}
		}
		return out
	}
}

// A source-component is that of the manifest that sets it: in another one the index may
// stand for something else.
func TestSourceComponentAcrossTheTree(t *testing.T) {
	tr := newTrial()
	l := library(libImage)
	l.Sections[suit.SectionInstall] = sequence(check(suit.DirectiveCopy), check(suit.ConditionImageMatch))
	m := tr.dependent(t, inLib(t, l, nil))
	m.Common.Components = append(m.Common.Components, data, lib)
	m.Common.Dependencies[0].Index = 3
	for section := range m.Sections {
		edit(m, section, moved(3))
	}
	m.Common.Shared.Commands = moved(3)(m.Common.Shared.Commands)
	edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
		return slices.Concat([]suit.Command{
			index(3), check(suit.ConditionDependencyIntegrity),
			index(1), override(suit.Parameters{Content: libImage}), check(suit.DirectiveWrite),
			index(2), override(suit.Parameters{SourceComponent: ptr(uint64(1))}),
		}, c)
	})
	tr.succeed(t, m, newImage)
	if got := string(tr.host.images[lib.Key()]); got != string(libImage) {
		t.Errorf("library %q", got)
	}
}

// image-match of a dependency is about its manifest: what was severed from the envelope
// and who else signed it do not matter.
func TestImageMatchOfDependency(t *testing.T) {
	tr := newTrial()
	d := inLib(t, library(libImage), libImage)
	m := tr.dependent(t, d)
	edit(m, suit.SectionDependencyResolution, func(c []suit.Command) []suit.Command {
		return slices.Insert(c, 3, check(suit.ConditionImageMatch))
	})
	tr.succeed(t, m, newImage)
	var failure *Failure
	tr = newTrial()
	tr.dependent(t, inLib(t, library(oldImage), oldImage))
	if _, err := tr.update(t, m); !errors.As(err, &failure) || failure.Command != suit.ConditionImageMatch {
		t.Errorf("another manifest: %v", err)
	}
}

// A section of a shared dependency runs once, so a second dependent cannot have it run with
// other parameters than the first one.
func TestSharedDependencyWithOtherParameters(t *testing.T) {
	uri := func(s string) suit.Parameters { return suit.Parameters{URI: &s} }
	shared := inLib(t, library(libImage), libImage)
	// Both dependents set parameters of the library, then process the dependency.
	dependent := func(image string, code suit.CommandCode, p suit.Parameters) dependency {
		var tr trial
		m := tr.dependent(t, shared)
		id := suit.ComponentID{[]byte(image)}
		m.ComponentID = nil
		m.Common.Components = []suit.ComponentID{id, lib}
		m.Common.Dependencies[0].Index = 2
		for section := range m.Sections {
			edit(m, section, moved(2))
		}
		m.Common.Shared.Commands = moved(2)(m.Common.Shared.Commands)
		edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
			return append([]suit.Command{index(1), do(code, &p)}, c...)
		})
		return dependency{suit.ComponentID{[]byte(image), []byte("suit")}, signed(t, m, tr.integrated)}
	}
	set, replace := suit.DirectiveSetParameters, suit.DirectiveOverrideParameters
	for name, tt := range map[string]struct {
		first, second dependency
		err           error
	}{
		"the same":            {dependent("a", replace, uri("#image")), dependent("b", replace, uri("#image")), nil},
		"another":             {dependent("a", replace, uri("#image")), dependent("b", replace, uri("#other")), ErrConflict},
		"another, by default": {dependent("a", replace, uri("#image")), dependent("b", set, uri("#other")), nil},
		"one more":            {dependent("a", replace, uri("#image")), dependent("b", replace, suit.Parameters{FetchArguments: []byte{1}}), ErrConflict},
		"another source":      {dependent("a", replace, suit.Parameters{SourceComponent: ptr(uint64(0))}), dependent("b", replace, suit.Parameters{SourceComponent: ptr(uint64(0))}), ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			m := tr.dependent(t, tt.first, tt.second)
			if tt.err != nil {
				_, failure := tr.fail(t, m, tt.err)
				if failure.Command != suit.DirectiveProcessDependency {
					t.Errorf("failed at %s", failure.Command)
				}
				return
			}
			tr.succeed(t, m, newImage)
		})
	}
}

// The digest that is asked for need not be by the algorithm that the signer used.
func TestImageMatchOfDependencyByAnotherAlgorithm(t *testing.T) {
	for name, forge := range map[string]byte{"right": 0, "wrong": 1} {
		tr := newTrial()
		d := inLib(t, library(libImage), libImage)
		envelope, err := suit.Decode(d.envelope)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := envelope.MeasureDigestBy(suit.SHA512)
		if err != nil {
			t.Fatal(err)
		}
		digest.Bytes[0] ^= forge
		m := tr.dependent(t, d)
		edit(m, suit.SectionValidate, func(c []suit.Command) []suit.Command {
			return append(c, index(1), override(suit.Parameters{ImageDigest: &digest}), check(suit.ConditionImageMatch))
		})
		outcome, err := tr.update(t, m)
		if forge == 0 && err != nil || forge != 0 && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			continue
		}
		if have := outcome.Report.Failure.Record.Measured.ImageDigest; have == nil || have.Algorithm != suit.SHA512 {
			t.Errorf("measured %v", have)
		}
	}
}

// Neither a dependency that fails nor a miss of its digest is forgiven by an alternative.
func TestDependencyFailuresAreNotSoftened(t *testing.T) {
	optional := func(c []suit.Command) []suit.Command {
		s := suit.Sequence{Commands: slices.Clone(c[3:])} // behind the fetch
		return append(c[:3:3], do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{s, s}, Optional: true}))
	}
	tr := newTrial()
	m := tr.dependent(t, inLib(t, library(libImage), libImage))
	m.Common.Shared.Commands[len(m.Common.Shared.Commands)-1] = override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256([]byte("other")))})
	edit(m, suit.SectionDependencyResolution, optional)
	if _, failure := tr.fail(t, m, ErrMismatch); failure.Section != suit.SectionDependencyResolution {
		t.Errorf("a miss was softened: %v", failure)
	}
	l := library(libImage)
	l.Sections[suit.SectionDependencyResolution] = sequence(check(suit.ConditionAbort))
	tr = newTrial()
	m = tr.dependent(t, inLib(t, l, libImage))
	edit(m, suit.SectionDependencyResolution, optional)
	if _, failure := tr.fail(t, m, ErrAbort); len(failure.Manifest) != 1 {
		t.Errorf("a failed dependency was softened: %v", failure)
	}
}

// An index in a dependency's source-component points into its own list.
func TestSourceComponentOfDependency(t *testing.T) {
	tr := newTrial()
	other := suit.ComponentID{[]byte("other")}
	tr.host.images[other.Key()] = libImage
	l := library(libImage)
	l.Common.Components = append(l.Common.Components, other)
	l.Common.Shared.Commands = append([]suit.Command{index(0)}, l.Common.Shared.Commands...)
	for section := range l.Sections {
		edit(l, section, func(c []suit.Command) []suit.Command { return append([]suit.Command{index(0)}, c...) })
	}
	l.Sections[suit.SectionInstall] = sequence(index(0), override(suit.Parameters{SourceComponent: ptr(uint64(1))}),
		check(suit.DirectiveCopy), check(suit.ConditionImageMatch))
	tr.succeed(t, tr.dependent(t, inLib(t, l, nil)), newImage)
	if got := string(tr.host.images[lib.Key()]); got != string(libImage) {
		t.Errorf("library %q", got)
	}
}

// No byte of an envelope can be changed so that the device changes otherwise than its
// author wanted: the update fails and leaves everything, or does what it did before.
func TestFlippedBytes(t *testing.T) {
	tr := newTrial()
	m := tr.dependent(t, inLib(t, library(libImage), libImage))
	encoded := signed(t, m, tr.integrated)
	tr.succeed(t, m, newImage)
	accepted := 0
	for i := range encoded {
		flipped := slices.Clone(encoded)
		flipped[i] ^= 1 << (i % 8)
		envelope, err := suit.Decode(flipped)
		if err != nil {
			continue
		}
		v, err := envelope.Verify(suit.KeyList{author.PublicKey()}, false)
		if err != nil {
			continue
		}
		accepted++
		try := newTrial()
		before := try.host.snapshot()
		_, err = try.processor().Update(t.Context(), v, everything)
		if err == nil { // an unprotected header of the dependency's signature
			before = tr.host
		}
		if err := try.host.same(before); err != nil {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if accepted == 0 {
		t.Error("no envelope got as far as the processor: the test shows nothing of it")
	}
}
