package processor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

var (
	lib      = suit.ComponentID{[]byte("lib")}
	libSUIT  = suit.ComponentID{[]byte("lib"), []byte("suit")}
	libImage = []byte("the library")
)

func shared(commands ...suit.Command) *suit.Sequence { return &suit.Sequence{Commands: commands} }

func index(i uint64) suit.Command { return do(suit.DirectiveSetComponentIndex, suit.Index(i)) }

// compatible are the checks of vendor and class.
func compatible(more suit.Parameters) []suit.Command {
	more.VendorID, more.ClassID = &device.Vendor, &device.Class
	return []suit.Command{override(more), check(suit.ConditionVendorIdentifier), check(suit.ConditionClassIdentifier)}
}

// library is a dependency that installs image from its own envelope.
func library(image []byte) *suit.Manifest {
	digest, size := suit.SumSHA256(image), uint64(len(image))
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 3,
		Common: suit.Common{
			Components: []suit.ComponentID{lib},
			Shared:     shared(compatible(suit.Parameters{ImageDigest: &digest, ImageSize: &size})...),
		},
		Sections: map[suit.Section]suit.Severable{
			suit.SectionInstall: sequence(do(suit.DirectiveSetParameters, &suit.Parameters{URI: ptr("#image")}),
				check(suit.DirectiveFetch), check(suit.ConditionImageMatch)),
			suit.SectionValidate:  sequence(check(suit.ConditionImageMatch)),
			suit.SectionUninstall: sequence(check(suit.DirectiveUnlink)),
		},
	}
}

// dependency is one manifest in the envelope of another.
type dependency struct {
	id       suit.ComponentID
	envelope []byte
}

func (d dependency) digest(t testing.TB) *suit.Digest { return ptr(verify(t, d.envelope).Digest()) }

func (d dependency) name() string { return "#" + d.id.String() }

func inLib(t testing.TB, m *suit.Manifest, image []byte) dependency {
	return dependency{libSUIT, signed(t, m, map[string][]byte{"#image": image})}
}

// processed are the commands that have the dependency at an index run.
func processed(i uint64) []suit.Command {
	return []suit.Command{index(i), check(suit.ConditionDependencyIntegrity), check(suit.DirectiveProcessDependency)}
}

// dependent is the sample with dependencies behind its one component, each by the
// template of draft-ietf-suit-trust-domains.
func (tr *trial) dependent(t testing.TB, dependencies ...dependency) *suit.Manifest {
	m := sample(newImage)
	commands := append([]suit.Command{index(0)}, m.Common.Shared.Commands...)
	var resolve, run, remove []suit.Command
	for n, d := range dependencies {
		i := uint64(n + 1)
		m.Common.Dependencies = append(m.Common.Dependencies, suit.Dependency{Index: i, Prefix: d.id})
		commands = append(commands, index(i), do(suit.DirectiveSetParameters, &suit.Parameters{ImageDigest: d.digest(t)}))
		resolve = append(resolve, index(i), override(suit.Parameters{URI: ptr(d.name())}), check(suit.DirectiveFetch))
		resolve = append(resolve, processed(i)...)
		run = append(run, processed(i)...)
		remove = append(remove, index(i), check(suit.DirectiveUnlink))
		if tr.integrated == nil {
			tr.integrated = map[string][]byte{}
		}
		tr.integrated[d.name()] = d.envelope
	}
	m.Common.Shared.Commands = commands
	m.Sections[suit.SectionDependencyResolution] = sequence(resolve...)
	m.Sections[suit.SectionInstall] = sequence(slices.Concat(run, []suit.Command{index(0),
		override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)})...)
	m.Sections[suit.SectionValidate] = sequence(slices.Concat(run, []suit.Command{index(0), check(suit.ConditionImageMatch)})...)
	m.Sections[suit.SectionUninstall] = sequence(append(remove, index(0), check(suit.DirectiveUnlink))...)
	return m
}

// edit replaces the commands of a section.
func edit(m *suit.Manifest, section suit.Section, change func([]suit.Command) []suit.Command) {
	m.Sections[section] = sequence(change(slices.Clone(m.Sections[section].Sequence.Commands))...)
}

func without(code suit.CommandCode) func([]suit.Command) []suit.Command {
	return func(commands []suit.Command) []suit.Command {
		return slices.DeleteFunc(commands, func(c suit.Command) bool { return c.Code == code })
	}
}

func TestTree(t *testing.T) {
	tr := newTrial()
	var steps []string
	tr.Observe = func(s Step) {
		if slices.Contains([]suit.CommandCode{suit.DirectiveFetch, suit.ConditionImageMatch}, s.Command) {
			steps = append(steps, fmt.Sprintf("%v %s %s %s", s.Manifest, s.Section, s.Command, s.Component))
		}
	}
	m := tr.dependent(t, inLib(t, library(libImage), libImage))
	outcome := tr.succeed(t, m, newImage)
	want := []string{
		"[] dependency-resolution fetch lib/suit",
		"[1] install fetch lib", "[1] install image-match lib",
		"[] install fetch app/hello", "[] install image-match app/hello",
		"[1] validate image-match lib", "[] validate image-match app/hello",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("ran\n%s", strings.Join(steps, "\n"))
	}
	if string(tr.host.images[lib.Key()]) != string(libImage) {
		t.Errorf("library %q", tr.host.images[lib.Key()])
	}
	in := tr.host.last.Install
	if len(in) != 2 || !in[0].Manifest.Equal(libSUIT) || in[0].Root || !in[1].Root || !in[1].Dependencies[0].Equal(libSUIT) {
		t.Errorf("installed %+v", in)
	}
	if len(outcome.Components) != 2 {
		t.Errorf("claims %v", outcome.Components)
	}
	paths := map[string]bool{}
	for _, r := range records(t, outcome.Report) {
		paths[fmt.Sprint(r.ManifestID)] = true
	}
	if len(paths) != 2 || !paths["[1]"] {
		t.Errorf("records of %v", paths)
	}
	// The same again changes nothing, and what is there is not fetched.
	tr.Fetcher = served{}
	tr.succeed(t, m, newImage)
	if _, err := tr.processor().Validate(t.Context(), authentic(t, m, nil), everything); err != nil {
		t.Errorf("the dependency is installed: %v", err)
	}
}

func TestTreeRefusals(t *testing.T) {
	noWrite := func(m *suit.Manifest) *suit.Manifest { return m }
	for _, tt := range []struct {
		name    string
		library func(*suit.Manifest) *suit.Manifest
		change  func(*trial, *suit.Manifest)
		err     error
		reason  suit.ReportReason
		command suit.CommandCode
		bent    []Rule // where Compat accepts it
	}{
		{name: "no integrity", change: func(_ *trial, m *suit.Manifest) {
			edit(m, suit.SectionDependencyResolution, without(suit.ConditionDependencyIntegrity))
		}, err: ErrRule, command: suit.DirectiveProcessDependency, bent: []Rule{RuleIntegrity}},
		{name: "fetched again after the check", change: func(_ *trial, m *suit.Manifest) {
			edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
				return slices.Concat([]suit.Command{index(1), check(suit.ConditionDependencyIntegrity),
					override(suit.Parameters{Content: []byte{0xa0}}), check(suit.DirectiveWrite)}, c[2:])
			})
		}, err: ErrRule, command: suit.DirectiveProcessDependency},
		{name: "another dependency than signed", change: func(_ *trial, m *suit.Manifest) {
			commands := m.Common.Shared.Commands
			commands[len(commands)-1] = override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256([]byte("other")))})
		}, err: ErrMismatch, reason: suit.ReasonConditionFailed, command: suit.ConditionDependencyIntegrity},
		{name: "no digest", change: func(_ *trial, m *suit.Manifest) {
			m.Common.Shared.Commands = m.Common.Shared.Commands[:len(m.Common.Shared.Commands)-1]
		}, err: ErrMissingParameter, reason: suit.ReasonConditionFailed, command: suit.ConditionDependencyIntegrity},
		{name: "not authentic", change: func(tr *trial, _ *suit.Manifest) {
			tr.Authority = AuthorityFunc(func(*suit.Envelope) (*suit.Verified, Rights, error) { return nil, nil, suit.ErrNoSignature })
		}, err: ErrUnauthenticated, reason: suit.ReasonUnauthorised, command: suit.ConditionDependencyIntegrity},
		{name: "not an envelope", change: func(tr *trial, _ *suit.Manifest) { tr.integrated["#lib/suit"] = []byte("nothing") },
			err: suit.ErrMalformed, reason: suit.ReasonCBORParse, command: suit.ConditionDependencyIntegrity},
		{name: "author without a right to the library", change: func(tr *trial, _ *suit.Manifest) {
			tr.Authority = restricted(func(a Access) bool { return !a.Component.Equal(lib) })
		}, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised},
		{name: "author without a right to the id", change: func(tr *trial, _ *suit.Manifest) {
			tr.Authority = restricted(func(a Access) bool { return !a.Component.Equal(libSUIT) })
		}, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised},
		{name: "author without a right to fetch", change: func(tr *trial, _ *suit.Manifest) {
			tr.Authority = restricted(func(a Access) bool { return a.Command != suit.DirectiveFetch })
		}, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised, command: suit.DirectiveFetch},
		{name: "author without a right to the uri", change: func(tr *trial, _ *suit.Manifest) {
			tr.Authority = restricted(func(a Access) bool { return a.Parameter != suit.ParameterURI })
		}, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised, command: suit.DirectiveSetParameters},
		{name: "distributor without a right to the dependency", change: func(tr *trial, _ *suit.Manifest) {
			tr.rights = func(a Access) bool { return !a.Component.Equal(libSUIT) }
		}, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised},
		{name: "older than installed", change: func(tr *trial, _ *suit.Manifest) { tr.host.retired[libSUIT.Key()] = 4 },
			err: ErrRollback, reason: suit.ReasonConditionFailed},
		{name: "library of a later manifest", change: func(tr *trial, _ *suit.Manifest) { tr.host.floors[lib.Key()] = 8 },
			err: ErrRollback, reason: suit.ReasonConditionFailed, command: suit.DirectiveFetch},
		{name: "unknown command in it", library: func(m *suit.Manifest) *suit.Manifest {
			edit(m, suit.SectionValidate, func(c []suit.Command) []suit.Command { return append(c, check(99)) })
			return m
		}, err: ErrUnsupportedCommand, reason: suit.ReasonCommandUnsupported, command: 99},
		{name: "it is for other devices", library: func(m *suit.Manifest) *suit.Manifest {
			m.Common.Shared.Commands[0] = override(suit.Parameters{VendorID: &stranger, ClassID: &device.Class})
			return m
		}, err: ErrMismatch, reason: suit.ReasonConditionFailed, command: suit.ConditionVendorIdentifier},
		{name: "no vendor check in it", library: func(m *suit.Manifest) *suit.Manifest {
			m.Common.Shared.Commands = slices.Delete(m.Common.Shared.Commands, 1, 2)
			return m
		}, err: ErrIncompatible, reason: suit.ReasonConditionFailed, bent: []Rule{RuleCompatibility}},
		{name: "its validate is not processed", change: func(_ *trial, m *suit.Manifest) {
			edit(m, suit.SectionValidate, without(suit.DirectiveProcessDependency))
		}, err: ErrRule, command: suit.ConditionDependencyIntegrity, bent: []Rule{RuleSections}},
		{name: "its validate is in no alternative that runs", change: func(_ *trial, m *suit.Manifest) {
			edit(m, suit.SectionValidate, func(c []suit.Command) []suit.Command {
				skip := suit.Sequence{Commands: []suit.Command{check(suit.ConditionAbort), check(suit.DirectiveProcessDependency)}}
				return append(c[:2:2], do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{skip, skip}, Optional: true}), index(0), check(suit.ConditionImageMatch))
			})
		}, err: ErrRule, bent: []Rule{RuleSections}},
		{name: "it has a section that its dependent has not", library: func(m *suit.Manifest) *suit.Manifest {
			m.Sections[suit.SectionPayloadFetch] = sequence(check(suit.ConditionVendorIdentifier))
			return m
		}, err: ErrRule, command: suit.ConditionDependencyIntegrity, bent: []Rule{RuleSections}},
		{name: "it loads, and its dependent does not", library: func(m *suit.Manifest) *suit.Manifest {
			m.Sections[suit.SectionLoad] = sequence(check(suit.ConditionVendorIdentifier))
			return m
		}, err: ErrRule, command: suit.ConditionDependencyIntegrity, bent: []Rule{RuleSections}},
		{name: "payload first", library: noWrite, change: func(_ *trial, m *suit.Manifest) {
			fetch := []suit.Command{index(0), override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)}
			edit(m, suit.SectionDependencyResolution, func(c []suit.Command) []suit.Command { return append(fetch, c...) })
		}, err: ErrRule, command: suit.DirectiveFetch, bent: []Rule{RuleDependenciesFirst}},
		{name: "never looked at", change: func(tr *trial, m *suit.Manifest) {
			*m = *sampleBeside(m)
		}, err: ErrRule, command: suit.DirectiveFetch},
		{name: "process-dependency of an image", change: func(_ *trial, m *suit.Manifest) {
			edit(m, suit.SectionDependencyResolution, func(c []suit.Command) []suit.Command {
				return append(c, do(suit.DirectiveSetComponentIndex, suit.IndexList{1, 0}), check(suit.DirectiveProcessDependency))
			})
		}, err: ErrNotDependency, command: suit.DirectiveProcessDependency},
		{name: "too deep", change: func(tr *trial, _ *suit.Manifest) { tr.Limits.DependencyDepth = 0 }, err: ErrLimit},
		{name: "too many manifests", change: func(tr *trial, _ *suit.Manifest) { tr.Limits.Manifests = 1 }, err: ErrLimit},
		{name: "envelope too large", change: func(tr *trial, _ *suit.Manifest) { tr.Limits.EnvelopeBytes = 100 }, err: ErrLimit, command: suit.DirectiveFetch},
		{name: "image and dependency at once", library: func(m *suit.Manifest) *suit.Manifest {
			m.Common.Components = []suit.ComponentID{lib, libSUIT}
			m.Common.Shared.Commands = append([]suit.Command{index(0)}, m.Common.Shared.Commands...)
			return m
		}, err: ErrConflict},
		{name: "the root's manifest as an image", library: func(m *suit.Manifest) *suit.Manifest {
			m.Common.Components = []suit.ComponentID{appSUIT}
			return m
		}, err: ErrConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			l := library(libImage)
			if tt.library != nil {
				l = tt.library(l)
			}
			m := tr.dependent(t, inLib(t, l, libImage))
			if tt.change != nil {
				tt.change(tr, m)
			}
			_, failure := tr.fail(t, m, tt.err)
			if tt.reason == 0 {
				tt.reason = suit.ReasonOperationFailed
			}
			if failure.Reason != tt.reason || failure.Command != tt.command {
				t.Errorf("failed at %s with reason %v: %v", failure.Command, failure.Reason, failure)
			}
			tr.Mode = Compat
			before := tr.host.snapshot()
			outcome, err := tr.update(t, m)
			if tt.bent == nil {
				if fault := tr.host.same(before); err == nil || fault != nil {
					t.Errorf("in compatibility mode: %v, %v", err, fault)
				}
				return
			}
			if err != nil || !slices.Equal(outcome.Bent, tt.bent) || outcome.Report.Extensions[keyBentRules] == nil {
				t.Errorf("bent %q: %v", outcome.Bent, err)
			}
		})
	}
}

// restricted is an Authority with these rights for everybody.
func restricted(rights Rights) Authority {
	return AuthorityFunc(func(e *suit.Envelope) (*suit.Verified, Rights, error) {
		v, _, err := trusting(e)
		return v, rights, err
	})
}

// sampleBeside lists the dependencies of m and does nothing with them.
func sampleBeside(m *suit.Manifest) *suit.Manifest {
	out := sample(newImage)
	out.Common.Dependencies = m.Common.Dependencies
	out.Common.Shared.Commands = append([]suit.Command{index(0)}, out.Common.Shared.Commands...)
	for section := range out.Sections {
		edit(out, section, func(c []suit.Command) []suit.Command { return append([]suit.Command{index(0)}, c...) })
	}
	return out
}

// A dependency that is in the way of the others: two that depend on each other. Their
// digests are set by the root, so the loop can be built.
func TestCycle(t *testing.T) {
	tr := newTrial()
	ids := []suit.ComponentID{{[]byte("a")}, {[]byte("b")}}
	var list []dependency
	for i, id := range ids {
		m := library(libImage)
		m.Common.Components = []suit.ComponentID{{[]byte("image of "), id[0]}}
		m.Common.Dependencies = []suit.Dependency{{Index: 1, Prefix: ids[1-i]}}
		m.Common.Shared.Commands = append([]suit.Command{index(0)}, m.Common.Shared.Commands...)
		for section := range m.Sections {
			edit(m, section, func(c []suit.Command) []suit.Command { return append([]suit.Command{index(0)}, c...) })
		}
		m.Sections[suit.SectionDependencyResolution] = sequence(append([]suit.Command{
			index(1), override(suit.Parameters{URI: ptr("#" + ids[1-i].String())}), check(suit.DirectiveFetch)}, processed(1)...)...)
		for _, section := range []suit.Section{suit.SectionInstall, suit.SectionValidate} {
			edit(m, section, func(c []suit.Command) []suit.Command { return append(processed(1), c...) })
		}
		list = append(list, dependency{id, signed(t, m, map[string][]byte{"#image": libImage})})
	}
	m := tr.dependent(t, list...)
	// Both digests are known before the first is processed.
	tr.fail(t, m, ErrCycle)
}

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
		if _, err := tr.uninstall(t, m); err != nil {
			t.Fatal(err)
		}
		if tr.host.images[lib.Key()] == nil {
			t.Error("a manifest that was installed for itself went with its dependent")
		}
		l.SequenceNumber--
		if _, err := tr.uninstall(t, l); err != nil {
			t.Fatal(err)
		}
	})
}

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
				edit(m, section, func(c []suit.Command) []suit.Command { return moved(c) })
			}
			m.Common.Shared.Commands = moved(m.Common.Shared.Commands)
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

// moved makes index 1 to 2.
func moved(commands []suit.Command) []suit.Command {
	out := slices.Clone(commands)
	for i, c := range out {
		if c.Argument == suit.Argument(suit.Index(1)) {
			out[i].Argument = suit.Index(2)
		}
	}
	return out
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
	change := func(c []suit.Command) []suit.Command {
		for i := range c {
			if c[i].Argument == suit.Argument(suit.Index(1)) {
				c[i].Argument = suit.Index(3)
			}
		}
		return c
	}
	for section := range m.Sections {
		edit(m, section, change)
	}
	change(m.Common.Shared.Commands)
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
