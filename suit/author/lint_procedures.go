package author

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// The sections of the procedures (draft-ietf-suit-manifest-37 section 5.3.3,
// draft-ietf-suit-trust-domains), each after the shared sequence.
var (
	updateSections = []suit.Section{
		suit.SectionDependencyResolution, suit.SectionPayloadFetch, suit.SectionCandidateVerification,
		suit.SectionInstall, suit.SectionValidate,
	}
	invokeSections    = []suit.Section{suit.SectionValidate, suit.SectionLoad, suit.SectionInvoke}
	uninstallSections = []suit.Section{suit.SectionUninstall}
)

// Caps on the walk through a manifest that may have been made to take long.
const (
	maxLintSteps       = 1 << 16
	maxDependencyDepth = 4
)

// walk is one procedure, gone through without a device: of alternatives each is taken,
// and what holds after any of them may hold afterwards.
type walk struct {
	*linter
	steps int
	state tracks
	// invoking: the update procedure is over, which had the validate section too.
	invoking bool
	// observe sees each command that does or checks something; nil: nobody does.
	observe func(f *frame, code suit.CommandCode, index int)
}

// tracks are what is known of each component, by the key of its id: a manifest and its
// dependencies speak of the same components.
type tracks map[string]track

type track struct {
	parameters suit.Parameters
	obtained   string // the path of what last wrote it, while nothing has checked it
	checked    bool   // against the image digest
	integrity  bool   // a dependency that was authenticated
	unlinked   bool
}

// frame is one manifest on the walk.
type frame struct {
	*walk
	m       *suit.Manifest
	e       *suit.Envelope // nil for a bare manifest
	table   []suit.TableEntry
	depth   int
	section suit.Section
	// processed are the sections in which process-dependency was reached, and known the
	// dependencies that are in the envelope, by component index.
	processed map[int][]suit.Section
	known     map[int]*frame
	carried   map[string]*frame // by digest; nil until somebody asks
}

func (l *linter) procedures(m *suit.Manifest, e *suit.Envelope) {
	w := &walk{linter: l, steps: maxLintSteps}
	w.through(m, e)
	if w.steps <= 0 {
		l.find(Warning, "too-complex", "manifest", "the commands are too many to be followed", "devices have limits too: use fewer nested sequences")
	}
}

// through takes the manifest through all of its procedures.
func (w *walk) through(m *suit.Manifest, e *suit.Envelope) {
	f := newFrame(w, m, e, 0)
	f.procedure(updateSections)
	f.unchecked()
	f.compatibility()
	w.invoking = true
	f.procedure(invokeSections)
	f.unchecked()
	f.reached()
	if _, ok := m.Sections[suit.SectionUninstall]; ok {
		f.procedure(uninstallSections)
		f.unlinked()
	}
}

func newFrame(w *walk, m *suit.Manifest, e *suit.Envelope, depth int) *frame {
	f := &frame{walk: w, m: m, e: e, depth: depth, processed: map[int][]suit.Section{}, known: map[int]*frame{}}
	f.table, _ = m.Common.Table() // a fault in it is a finding of its own
	return f
}

func (f *frame) procedure(sections []suit.Section) {
	f.state = tracks{}
	for _, s := range sections {
		f.run(s)
	}
}

// run executes the shared sequence and the section.
func (f *frame) run(s suit.Section) {
	seq, ok := f.m.Section(s)
	if !ok {
		return
	}
	if shared := f.m.Common.Shared; shared != nil {
		f.begin(suit.SectionShared, shared)
	}
	f.begin(s, seq)
}

func (f *frame) begin(s suit.Section, seq *suit.Sequence) {
	f.section = s
	path := "manifest." + s.String()
	selects := []suit.CommandCode{suit.DirectiveSetComponentIndex, suit.DirectiveOverrideMultiple}
	if len(f.table) > 1 && len(seq.Commands) > 0 && !slices.Contains(selects, seq.Commands[0].Code) {
		f.find(Error, "no-component-index", path, fmt.Sprintf("with %d components the sequence does not begin with set-component-index", len(f.table)),
			"select a component first (draft-ietf-suit-manifest-37 section 6.5)")
	}
	f.sequence(seq, path, []int{0})
}

func (f *frame) find(severity Severity, rule, path, text, advice string) {
	if f.depth == 0 { // a dependency is linted by itself
		f.linter.find(severity, rule, path, text, advice)
	}
}

func (f *frame) sequence(seq *suit.Sequence, path string, selected []int) {
	all := false // are selected
	for i, c := range seq.Commands {
		if f.steps--; f.steps <= 0 {
			return
		}
		at := fmt.Sprintf("%s[%d].%s", path, i, c.Code)
		switch arg := c.Argument.(type) {
		case suit.Index, suit.IndexList, suit.AllComponents:
			selected = f.selection(at, arg)
			_, all = arg.(suit.AllComponents)
		case suit.ParameterSets:
			all = false
			for _, n := range slices.Sorted(maps.Keys(arg)) {
				if selected = f.selection(at, suit.Index(n)); len(selected) > 0 {
					f.set(at, c.Code, selected[0], arg[n])
				}
			}
		default:
			for _, index := range selected {
				if all && c.Code == suit.DirectiveProcessDependency && !f.table[index].Dependency {
					continue // to that command, true is all dependencies
				}
				f.one(at, c, index)
			}
		}
	}
}

func (f *frame) selection(path string, arg suit.Argument) []int {
	var wanted []uint64
	switch arg := arg.(type) {
	case suit.Index:
		wanted = []uint64{uint64(arg)}
	case suit.IndexList:
		wanted = arg
	case suit.AllComponents:
		for i := range f.table {
			wanted = append(wanted, uint64(i))
		}
	}
	f.steps -= len(wanted)
	var selected []int
	for _, n := range wanted {
		if n >= uint64(len(f.table)) {
			f.find(Error, "component-index", path, fmt.Sprintf("there is no component %d", n), fmt.Sprintf("there are %d, from 0 on", len(f.table)))
			continue
		}
		selected = append(selected, int(n))
	}
	return selected
}

// one executes a command on one component.
func (f *frame) one(path string, c suit.Command, index int) {
	if index >= len(f.table) {
		return
	}
	switch arg := c.Argument.(type) {
	case *suit.Sequence:
		f.sequence(arg, path, []int{index})
	case *suit.Alternatives:
		f.alternatives(arg, path, index)
	case *suit.Parameters:
		f.set(path, c.Code, index, arg)
	case suit.ParameterCopies:
		for _, from := range slices.Sorted(maps.Keys(arg)) {
			if from < uint64(len(f.table)) {
				source, t := f.track(int(from)), f.track(index)
				t.parameters.Override(&source.parameters)
				f.keep(index, t)
			}
		}
	default:
		f.command(path, c.Code, index)
	}
}

// alternatives takes each of them from the same beginning.
func (f *frame) alternatives(arg *suit.Alternatives, path string, index int) {
	before := f.state
	var after tracks
	for k := range arg.Sequences {
		f.steps -= len(before)
		if f.steps <= 0 {
			break
		}
		f.state = maps.Clone(before)
		f.sequence(&arg.Sequences[k], fmt.Sprintf("%s[%d]", path, k), []int{index})
		after = join(after, f.state)
	}
	if arg.Optional {
		after = join(after, before)
	}
	f.state = after
}

// join is what may hold where either may: set is what any of them set, checked what
// both checked. A nil a is no state at all.
func join(a, b tracks) tracks {
	if a == nil {
		return maps.Clone(b)
	}
	for key := range b {
		if _, known := a[key]; !known {
			a[key] = track{}
		}
	}
	for key, t := range a {
		other := b[key]
		t.parameters.SetUnset(&other.parameters)
		t.obtained = cmp.Or(t.obtained, other.obtained)
		t.checked = t.checked && other.checked
		t.integrity = t.integrity && other.integrity
		t.unlinked = t.unlinked || other.unlinked
		a[key] = t
	}
	return a
}

func (f *frame) track(index int) track { return f.state[f.table[index].ID.Key()] }

func (f *frame) keep(index int, t track) {
	if f.state == nil {
		f.state = tracks{}
	}
	f.state[f.table[index].ID.Key()] = t
}

func (f *frame) set(path string, code suit.CommandCode, index int, p *suit.Parameters) {
	t := f.track(index)
	if code == suit.DirectiveSetParameters {
		t.parameters.SetUnset(p)
	} else {
		t.parameters.Override(p)
	}
	f.keep(index, t)
	if p.ImageDigest != nil && p.ImageDigest.Algorithm != suit.SHA256 && f.depth == 0 {
		f.digestAlgorithm(path+".image-digest", *p.ImageDigest)
	}
	if p.URI != nil && f.depth == 0 {
		f.uri(path+".uri", *p.URI)
	}
}

// compatibility wants the device to be checked before anything is done to it.
func (f *frame) compatibility() {
	const advice = "set the identifier and check it in the shared sequence: without it the manifest runs on every device that trusts its signer"
	checks := func(code suit.CommandCode) bool {
		shared := f.m.Common.Shared
		return shared != nil && shared.Ensures(code)
	}
	if !checks(suit.ConditionVendorIdentifier) {
		f.find(Error, "no-vendor-check", "manifest.common.shared-sequence", "the shared sequence does not check the vendor", advice)
	}
	if !checks(suit.ConditionClassIdentifier) {
		f.find(Error, "no-class-check", "manifest.common.shared-sequence", "the shared sequence does not check the class", advice)
	}
}

// unchecked names what was written and not compared with a digest until the end.
func (f *frame) unchecked() {
	for _, entry := range f.table {
		if t := f.state[entry.ID.Key()]; t.obtained != "" && !entry.Dependency {
			f.find(Error, "unchecked-image", t.obtained, fmt.Sprintf("nothing compares what is written to %s with a digest", entry.ID),
				"set image-digest and follow with image-match: strict devices do not keep what was not checked")
		}
	}
}

// reached wants each section of each dependency to have its turn.
func (f *frame) reached() {
	for i, entry := range f.table {
		if !entry.Dependency {
			continue
		}
		path := fmt.Sprintf("manifest.common.dependencies[%d]", i)
		if len(f.processed[i]) == 0 {
			f.find(Error, "dependency-not-processed", path, fmt.Sprintf("no section processes the dependency %s", entry.ID),
				"add dependency-integrity and process-dependency")
			continue
		}
		dep := f.known[i]
		if dep == nil {
			continue // it is not here to be looked into
		}
		for _, s := range slices.Sorted(maps.Keys(dep.m.Sections)) {
			body, ours := f.m.Sections[s]
			severed := ours && body.Sequence == nil
			if s != suit.SectionUninstall && !severed && !slices.Contains(f.processed[i], s) {
				f.find(Error, "dependency-not-processed", path, fmt.Sprintf("the %s section of the dependency %s is never reached", s, entry.ID),
					fmt.Sprintf("process the dependency in the %s section: strict devices refuse a manifest that skips one", s))
			}
		}
	}
}

func (f *frame) unlinked() {
	for _, entry := range f.table {
		if !f.state[entry.ID.Key()].unlinked {
			f.find(Warning, "uninstall-without-unlink", "manifest.uninstall", fmt.Sprintf("the section does not unlink %s", entry.ID),
				"unlink every component and every dependency: what stays referenced cannot be overwritten by others")
		}
	}
}

// dependency returns the frame of a dependency that the envelope carries, found by its
// digest; nil for none.
func (f *frame) dependency(index int) *frame {
	want := f.track(index).parameters.ImageDigest
	if f.e == nil || want == nil || f.depth == maxDependencyDepth {
		return nil
	}
	if f.carried == nil {
		f.carried = map[string]*frame{}
		for _, name := range f.e.IntegratedNames() {
			payload, _ := f.e.UnverifiedIntegrated(name)
			if e, m, err := decode(payload); err == nil && e != nil {
				f.carried[e.Digest().String()] = newFrame(f.walk, m, e, f.depth+1)
			}
		}
	}
	return f.carried[want.String()]
}

// ctr reports whether the encryption goes without integrity of its own.
func ctr(info []byte) bool {
	encrypted, err := cosekit.ParseEncrypted(info)
	return err == nil && !encrypted.Integrity()
}
