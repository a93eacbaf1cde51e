package processor

import (
	"fmt"
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

// A dependent that has a right to its dependency's component lends it its sequence number:
// else a component that both list could never be updated again.
func TestFloorInATree(t *testing.T) {
	for _, tt := range []struct {
		floor uint64
		right bool // of the dependent to the library
		err   error
	}{
		{3, false, nil}, {4, false, ErrRollback}, {4, true, nil}, {7, true, nil}, {8, true, ErrRollback},
	} {
		tr := newTrial()
		tr.host.floors[lib.Key()] = tt.floor
		tr.rights = func(a Access) bool { return tt.right || !a.Component.Equal(lib) }
		m := tr.dependent(t, inLib(t, library(libImage), libImage))
		if tt.err == nil {
			tr.succeed(t, m, newImage)
		} else {
			tr.fail(t, m, tt.err)
		}
	}
}
