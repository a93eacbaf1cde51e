package processor

import (
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

// One sequence can serve images and dependencies (draft-ietf-suit-trust-domains,
// Operating on Multiple Components).
func TestIsDependency(t *testing.T) {
	tr := newTrial()
	m := tr.dependent(t, inLib(t, library(libImage), libImage))
	m.Sections[suit.SectionValidate] = sequence(do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), tries(
		suit.Sequence{Commands: append([]suit.Command{check(suit.ConditionIsDependency)}, processed(1)[1:]...)},
		suit.Sequence{Commands: []suit.Command{check(suit.ConditionImageMatch)}},
	))
	if outcome := tr.succeed(t, m, newImage); len(outcome.Components) != 2 {
		t.Errorf("checked %v", outcome.Components)
	}
}

// process-dependency with the index true is for all dependencies, whatever else there is
// (draft-ietf-suit-trust-domains, suit-directive-process-dependency). A list means what
// it lists.
func TestProcessAllDependencies(t *testing.T) {
	other := dependency{suit.ComponentID{[]byte("lib"), []byte("other")}, nil}
	l := library(libImage)
	l.Common.Components = []suit.ComponentID{{[]byte("other")}}
	other.envelope = signed(t, l, map[string][]byte{"#image": libImage})
	for _, tt := range []struct {
		index suit.Argument
		err   error
	}{
		{suit.AllComponents{}, nil},
		{suit.IndexList{1, 2}, nil},
		{suit.IndexList{0, 1, 2}, ErrNotDependency},
		{suit.Index(0), ErrNotDependency},
	} {
		tr := newTrial()
		// The right to process images is not needed.
		tr.rights = func(a Access) bool { return !a.Component.Equal(app) || a.Command != suit.DirectiveProcessDependency }
		if tt.err != nil {
			tr.rights = everything
		}
		m := tr.dependent(t, inLib(t, library(libImage), libImage), other)
		edit(m, suit.SectionValidate, func([]suit.Command) []suit.Command {
			return []suit.Command{do(suit.DirectiveSetComponentIndex, tt.index), check(suit.DirectiveProcessDependency), index(0), check(suit.ConditionImageMatch)}
		})
		if tt.err != nil {
			tr.fail(t, m, tt.err)
			continue
		}
		if outcome := tr.succeed(t, m, newImage); len(outcome.Components) != 3 {
			t.Errorf("%v: claims %v", tt.index, outcome.Components)
		}
	}
	// A sequence is run for each component, so there is one index in it.
	tr := newTrial()
	m := tr.dependent(t, inLib(t, library(libImage), libImage))
	edit(m, suit.SectionValidate, func([]suit.Command) []suit.Command {
		return []suit.Command{do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), runs(check(suit.DirectiveProcessDependency))}
	})
	tr.fail(t, m, ErrNotDependency)
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
		{name: "prefix for its components", change: func(_ *trial, m *suit.Manifest) {
			m.Common.Components = append(m.Common.Components, libSUIT)
			m.Common.Dependencies[0].Prefix = suit.ComponentID{[]byte("radio")}
		}, err: ErrUnsupportedElement, reason: suit.ReasonCommandUnsupported},
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
			if err != nil || !slices.Equal(outcome.Bent, tt.bent) || outcome.Report.Extensions[suit.ReportBentRules] == nil {
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
