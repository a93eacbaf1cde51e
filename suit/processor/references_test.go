package processor

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// A dependency of two dependents runs once, and is stored once.
func TestDiamond(t *testing.T) {
	tr := newTrial()
	runs := map[suit.Section]int{}
	tr.Observe = func(s Step) {
		if s.Component.Equal(lib) && s.Command == suit.ConditionImageMatch {
			runs[s.Section]++
		}
	}
	base := inLib(t, library(libImage), libImage)
	var list []dependency
	for _, name := range []string{"left", "right"} {
		inner := newTrial()
		m := inner.dependent(t, base)
		m.ComponentID = nil
		m.Common.Components = []suit.ComponentID{{[]byte(name)}}
		id := suit.ComponentID{[]byte(name), []byte("suit")}
		list = append(list, dependency{id, signed(t, m, inner.integrated)})
	}
	m := tr.dependent(t, list...)
	tr.succeed(t, m, newImage)
	if runs[suit.SectionInstall] != 1 || runs[suit.SectionValidate] != 1 || len(tr.host.last.Install) != 4 {
		t.Errorf("ran %v, installed %d manifests", runs, len(tr.host.last.Install))
	}
	if _, err := tr.uninstall(t, m); err != nil {
		t.Fatal(err)
	}
	if len(tr.host.images)+len(tr.host.manifests) > 0 {
		t.Errorf("left %v %v", tr.host.images, tr.host.manifests)
	}
	tr.Limits.DependencyDepth = 1
	tr.fail(t, m, ErrLimit)
}

// Two dependents that want different manifests under one id cannot both be served.
func TestConflictInATree(t *testing.T) {
	tr := newTrial()
	var list []dependency
	for i, name := range []string{"left", "right"} {
		l := library(libImage)
		l.SequenceNumber += uint64(i)
		d := inLib(t, l, libImage)
		inner := newTrial()
		m := inner.dependent(t, d)
		m.ComponentID, m.Common.Components = nil, []suit.ComponentID{{[]byte(name)}}
		m.Common.Shared.Commands[len(m.Common.Shared.Commands)-1] = override(suit.Parameters{ImageDigest: d.digest(t)})
		list = append(list, dependency{suit.ComponentID{[]byte(name), []byte("suit")}, signed(t, m, inner.integrated)})
	}
	tr.fail(t, tr.dependent(t, list...), ErrConflict)
}

// Manifests share what they agree on; what they do not agree on stays as it is.
func TestSharedDependency(t *testing.T) {
	tr := newTrial()
	l := inLib(t, library(libImage), libImage)
	m := tr.dependent(t, l)
	tr.succeed(t, m, newImage)

	other := tr.dependent(t, l)
	other.ComponentID, other.Common.Components = dataSUIT, []suit.ComponentID{data}
	if _, err := tr.update(t, other); err != nil {
		t.Fatal(err)
	}
	newer := library([]byte("the newer library"))
	newer.SequenceNumber++
	next := tr.dependent(t, inLib(t, newer, []byte("the newer library")))
	next.SequenceNumber++
	tr.fail(t, next, ErrReferenced)

	// Nor may its components be written behind its back.
	behind := rival(9, oldImage)
	behind.Common.Components = []suit.ComponentID{lib}
	tr.fail(t, behind, ErrReferenced)

	var ran []string
	tr.Observe = func(s Step) {
		if s.Section == suit.SectionUninstall {
			ran = append(ran, fmt.Sprintf("%v %s %s", s.Manifest, s.Component, s.Note))
		}
	}
	if _, err := tr.uninstall(t, m); err != nil {
		t.Fatal(err)
	}
	if tr.host.images[lib.Key()] == nil || !strings.Contains(strings.Join(ran, "\n"), "stays: app/data/suit depends on it") || len(ran) != 4 {
		t.Errorf("the library went with the first of two:\n%s", strings.Join(ran, "\n"))
	}
	tr.succeedAs(t, other)
	next.ComponentID, next.Common.Components = dataSUIT, []suit.ComponentID{data}
	tr.integrated = map[string][]byte{"#lib/suit": inLib(t, newer, []byte("the newer library")).envelope}
	tr.succeedAs(t, next) // now nobody else minds
	if string(tr.host.images[lib.Key()]) != "the newer library" {
		t.Errorf("library %q", tr.host.images[lib.Key()])
	}
}

// The uninstall section of a dependency runs when its last reference goes, whether the
// dependent unlinks it, processes it, or says nothing.
func TestUninstallOfDependency(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*suit.Manifest)
		mode   Mode
	}{
		"unlinked": {change: func(*suit.Manifest) {}},
		"unlinked twice": {change: func(m *suit.Manifest) {
			edit(m, suit.SectionUninstall, func(c []suit.Command) []suit.Command { return append(c, c...) })
		}},
		"processed": {change: func(m *suit.Manifest) {
			m.Sections[suit.SectionUninstall] = sequence(processed(1)...)
		}},
		"processed unchecked": {mode: Compat, change: func(m *suit.Manifest) {
			m.Sections[suit.SectionUninstall] = sequence(index(1), check(suit.DirectiveProcessDependency))
		}},
		"processed and unlinked": {change: func(m *suit.Manifest) {
			m.Sections[suit.SectionUninstall] = sequence(append(processed(1), check(suit.DirectiveUnlink))...)
		}},
		"not mentioned": {change: func(m *suit.Manifest) {
			m.Sections[suit.SectionUninstall] = sequence(index(0), check(suit.DirectiveUnlink))
		}},
		"no section": {change: func(m *suit.Manifest) { delete(m.Sections, suit.SectionUninstall) }},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			tr.Mode = tt.mode
			m := tr.dependent(t, inLib(t, library(libImage), libImage))
			tt.change(m)
			tr.succeed(t, m, newImage)
			ran := 0
			tr.Observe = func(s Step) {
				if s.Section == suit.SectionUninstall && len(s.Manifest) == 1 {
					ran++
				}
			}
			if _, err := tr.uninstall(t, m); err != nil {
				t.Fatal(err)
			}
			if ran != 1 || len(tr.host.images)+len(tr.host.manifests) > 0 {
				t.Errorf("ran %d times, left %v", ran, tr.host.images)
			}
		})
	}
	t.Run("its own condition keeps everything", func(t *testing.T) {
		tr := newTrial()
		l := library(libImage)
		l.Sections[suit.SectionUninstall] = sequence(check(suit.ConditionAbort))
		m := tr.dependent(t, inLib(t, l, libImage))
		tr.succeed(t, m, newImage)
		before := tr.host.snapshot()
		_, err := tr.uninstall(t, m)
		if failure := tr.unchanged(t, before, err, ErrAbort); len(failure.Manifest) != 1 {
			t.Errorf("failed at %v", failure)
		}
	})
	t.Run("a root that others depend on", func(t *testing.T) {
		tr := newTrial()
		l := library(libImage)
		l.ComponentID = libSUIT
		d := inLib(t, l, libImage)
		tr.integrated = map[string][]byte{"#image": libImage}
		if _, err := tr.update(t, l); err != nil { // for itself
			t.Fatal(err)
		}
		m := tr.dependent(t, d)
		tr.succeed(t, m, newImage)
		before := tr.host.snapshot()
		_, err := tr.uninstall(t, l)
		tr.unchanged(t, before, err, ErrReferenced)
		l.SequenceNumber++
		tr.fail(t, l, ErrReferenced) // nor may another take its place
		tr.Observe = func(s Step) {
			if len(s.Manifest) > 0 {
				t.Errorf("ran %s of a manifest that stays", s.Command)
			}
		}
		if _, err := tr.uninstall(t, m); err != nil {
			t.Fatal(err)
		}
		tr.Observe = nil
		if tr.host.images[lib.Key()] == nil {
			t.Error("a manifest that was installed for itself went with its dependent")
		}
		l.SequenceNumber--
		if _, err := tr.uninstall(t, l); err != nil {
			t.Fatal(err)
		}
	})
}

// only allows nothing of the component but to list it, and these.
func only(id suit.ComponentID, some ...any) Rights {
	return func(a Access) bool {
		return !a.Component.Equal(id) || a.Command == 0 && a.Parameter == 0 ||
			slices.Contains(some, any(a.Command)) || slices.Contains(some, any(a.Parameter))
	}
}

// A dependent that may determine its dependency's component lends it its sequence number:
// else a component that both list could never be updated again. One that may only list it,
// or say where it comes from, cannot lift an old dependency over the floor.
func TestFloorInATree(t *testing.T) {
	none := func(a Access) bool { return !a.Component.Equal(lib) }
	for name, tt := range map[string]struct {
		floor  uint64
		rights Rights // of the dependent
		err    error
	}{
		"no right, at the floor":    {3, none, nil},
		"no right":                  {4, none, ErrRollback},
		"may list it":               {4, only(lib), ErrRollback},
		"may set where it is from":  {4, only(lib, suit.ParameterURI, suit.DirectiveOverrideParameters), ErrRollback},
		"may fetch it":              {4, only(lib, suit.ParameterURI, suit.DirectiveFetch), ErrRollback},
		"may say what it is":        {4, only(lib, suit.ParameterImageDigest), ErrRollback},
		"may determine it":          {4, only(lib, suit.ParameterImageDigest, suit.DirectiveFetch), nil},
		"may write it":              {4, only(lib, suit.ParameterContent, suit.DirectiveWrite), nil},
		"any right, at the floor":   {7, everything, nil},
		"any right below the floor": {8, everything, ErrRollback},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			tr.host.floors[lib.Key()] = tt.floor
			tr.rights = tt.rights
			m := tr.dependent(t, inLib(t, library(libImage), libImage))
			if tt.err == nil {
				tr.succeed(t, m, newImage)
			} else {
				tr.fail(t, m, tt.err)
			}
		})
	}
}

// Whose number counts where a dependent fetches what its dependency says: that of the one
// who may say what the image is.
func TestFloorOfWhatAnotherDetermines(t *testing.T) {
	for floor, want := range map[uint64]error{3: nil, 4: ErrRollback} {
		tr := newTrial()
		tr.host.floors[lib.Key()] = floor
		l := library(libImage)
		l.Sections[suit.SectionPayloadFetch] = sequence(check(suit.ConditionVendorIdentifier))
		l.Sections[suit.SectionInstall] = sequence(check(suit.ConditionImageMatch))
		m := tr.dependent(t, inLib(t, l, nil))
		tr.Fetcher = served{location: newImage, "https://x/lib": libImage}
		m.Common.Components = append(m.Common.Components, lib)
		m.Common.Dependencies[0].Index = 2
		for section := range m.Sections {
			edit(m, section, moved(2))
		}
		m.Common.Shared.Commands = moved(2)(m.Common.Shared.Commands)
		m.Sections[suit.SectionPayloadFetch] = sequence(append(moved(2)(processed(1)),
			index(1), override(suit.Parameters{URI: ptr("https://x/lib")}), check(suit.DirectiveFetch))...)
		tr.rights = only(lib, suit.ParameterURI, suit.DirectiveOverrideParameters, suit.DirectiveFetch,
			suit.DirectiveSetComponentIndex, suit.ConditionVendorIdentifier, suit.ConditionClassIdentifier)
		if want != nil {
			tr.fail(t, m, want)
			continue
		}
		tr.succeed(t, m, newImage)
		if got := tr.host.floors[lib.Key()]; got != 3 {
			t.Errorf("the dependent has raised the floor to %d", got)
		}
	}
}

// Behind the highest number of all there is no next one: it is not installed, not as a
// dependency either, but one that is there already can go.
func TestHighestSequenceNumber(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	m.SequenceNumber = math.MaxInt64
	tr.succeed(t, m, newImage)
	m.SequenceNumber++
	if _, failure := tr.fail(t, m, ErrLimit); failure.Section != keySequenceNumber {
		t.Errorf("failed at %v", failure.Section)
	}
	l := library(libImage)
	l.SequenceNumber = math.MaxUint64
	tr = newTrial()
	tr.fail(t, tr.dependent(t, inLib(t, l, libImage)), ErrLimit)

	v := authentic(t, m, nil)
	tr.host.manifests[appSUIT.Key()] = Installation{Manifest: appSUIT, Digest: v.Digest(), Sequence: m.SequenceNumber, Root: true}
	if _, err := tr.uninstall(t, m); err != nil {
		t.Error(err)
	}
}

// A number raises the floor of what its signer may determine only: else a look at a
// component would lock its owner out.
func TestFloorOfAReader(t *testing.T) {
	for name, tt := range map[string]struct {
		rights Rights
		err    error // of the owner's next version
	}{
		"may look at it":   {only(app, suit.ConditionVendorIdentifier, suit.ConditionClassIdentifier, suit.ConditionImageMatch, suit.DirectiveOverrideParameters, suit.ParameterVendorID, suit.ParameterClassID, suit.ParameterImageDigest, suit.ParameterImageSize), nil},
		"may determine it": {everything, ErrRollback},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			tr.succeed(t, sample(newImage), newImage)
			reader := rival(100, newImage)
			reader.Sections = map[suit.Section]suit.Severable{suit.SectionValidate: sequence(check(suit.ConditionImageMatch))}
			tr.rights = tt.rights
			tr.succeedAs(t, reader)
			if _, err := tr.uninstall(t, reader); err != nil {
				t.Fatal(err)
			}
			tr.rights = everything
			next := sample([]byte("the fix"))
			next.SequenceNumber++
			tr.Fetcher = served{location: []byte("the fix")}
			if tt.err != nil {
				tr.fail(t, next, tt.err)
				return
			}
			tr.succeed(t, next, []byte("the fix"))
		})
	}
}

// How an image is stored is part of what others rely on: who may not write it may not have
// it stored otherwise either, but share it as it is.
func TestMetadataOfAnother(t *testing.T) {
	with := func(m *suit.Manifest, permissions suit.Permissions) *suit.Manifest {
		m.Common.Shared.Commands = append(m.Common.Shared.Commands,
			override(suit.Parameters{Metadata: &suit.ComponentMetadata{Permissions: &permissions}}))
		return m
	}
	written := func(m *suit.Manifest) *suit.Manifest {
		m.Sections[suit.SectionInstall] = sequence(override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite))
		return m
	}
	for name, tt := range map[string]struct {
		before bool // the other one is still there
		next   *suit.Manifest
		err    error
	}{
		"none":                   {true, rival(1, newImage), nil},
		"the same":               {true, with(rival(1, newImage), 4), nil},
		"other":                  {true, with(rival(1, newImage), 7), ErrReferenced},
		"other, with write":      {true, with(written(rival(1, newImage)), 7), ErrReferenced},
		"other, higher number":   {true, with(rival(9, newImage), 7), ErrReferenced},
		"other, of its own":      {true, with(sample(newImage), 7), nil},
		"other, below the floor": {false, with(rival(1, newImage), 7), ErrRollback},
		"other, at the floor":    {false, with(rival(7, newImage), 7), nil},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			tr.metadata = true
			first := with(sample(newImage), 4)
			tr.succeed(t, first, newImage)
			if !tt.before {
				delete(tr.host.manifests, appSUIT.Key()) // its image has stayed, for whatever reason
			}
			if tt.err != nil {
				tr.fail(t, tt.next, tt.err)
				return
			}
			tr.succeedAs(t, tt.next)
		})
	}
}

// A copy is not left out because of a content that it would not have copied.
func TestCopyIsNotSparedByContent(t *testing.T) {
	tr := newTrial()
	tr.succeed(t, sample(newImage), newImage)
	m := rival(1, newImage)
	m.Common.Components = append(m.Common.Components, data)
	m.Common.Shared.Commands = slices.Concat([]suit.Command{index(0)}, m.Common.Shared.Commands)
	m.Sections[suit.SectionInstall] = sequence(
		index(1), override(suit.Parameters{Content: libImage}), check(suit.DirectiveWrite),
		index(0), override(suit.Parameters{Content: newImage, SourceComponent: ptr(uint64(1)), ImageDigest: ptr(suit.SumSHA256(libImage))}),
		check(suit.DirectiveCopy))
	m.Sections[suit.SectionValidate] = sequence(index(1), check(suit.ConditionCheckContent))
	tr.fail(t, m, ErrReferenced)
}
