package suit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// A replay goes through the command sequences of a manifest in the order in which
// procedures run them, and notes what is known at the commands that a report names: on
// which components they run, and with which parameters. What depends on how a try-each
// or a sequence with soft failures went is not known.

// procedures are the sections that run one after the other with one set of parameters
// (draft-ietf-suit-manifest-37 section 6.3, draft-ietf-suit-trust-domains).
var procedures = [][]Section{
	{SectionDependencyResolution, SectionPayloadFetch, SectionCandidateVerification, SectionInstall, SectionValidate},
	{SectionValidate, SectionLoad, SectionInvoke},
	{SectionUninstall},
}

// maxReplay bounds the work on one report: commands times components, parameters that
// are looked at, and what is compared of their values. Beyond it nothing more is found
// out; real manifests stay far below.
const maxReplay = 1 << 18

// comparedBytes are those of values that cost as much to compare as one command.
const comparedBytes = 1 << 10

// place is where a record says that a command is.
type place struct {
	section Section
	offset  uint64
}

// site is a command at a place.
type site struct {
	path    string
	command *Command
	// asked are the parameters there, by the indices of the components that it runs on.
	asked map[uint64]*knowledge
}

type replay struct {
	manifest *Manifest
	indices  uint64                    // of components and dependencies
	wanted   map[place]map[uint64]bool // places with component indices
	names    CommandNames
	found    map[place]*site
	left     int // of what the replay may cost
}

// replayManifest finds the commands at the wanted places. It may cost what is left.
func replayManifest(m *Manifest, indices uint64, wanted map[place]map[uint64]bool, names CommandNames, left int) *replay {
	r := &replay{manifest: m, indices: indices, wanted: wanted, names: names, found: map[place]*site{}, left: left}
	for _, sections := range procedures {
		now := &scene{of: map[uint64]*knowledge{}}
		for _, s := range sections {
			body, ok := m.Sections[s]
			if !ok {
				continue
			}
			r.section(SectionShared, m.Common.Shared, now)
			if body.Sequence == nil {
				now.lost = true // severed: it may set anything
				continue
			}
			r.section(s, body.Sequence, now)
		}
	}
	return r
}

func (r *replay) section(s Section, seq *Sequence, now *scene) {
	if seq == nil {
		return
	}
	now.current = []uint64{0}
	r.sequence(s, s.String(), seq, now)
}

func (r *replay) sequence(s Section, path string, seq *Sequence, now *scene) {
	for i := range seq.Commands {
		c := &seq.Commands[i]
		if r.left -= 1 + len(now.current); r.left < 0 {
			return
		}
		here := fmt.Sprintf("%s[%d].%s", path, i, r.names.Of(c.Code))
		r.note(place{s, uint64(c.Offset)}, here, c, now)
		r.step(s, here, c, now)
	}
}

// note keeps what is known at a command that somebody wants.
func (r *replay) note(p place, path string, c *Command, now *scene) {
	wanted := r.wanted[p]
	if wanted == nil {
		return
	}
	if r.found[p] == nil {
		r.found[p] = &site{path: path, command: c, asked: map[uint64]*knowledge{}}
	}
	asked := r.found[p].asked
	for _, index := range now.current {
		if !wanted[index] {
			continue
		}
		here := now.at(index)
		if r.left -= here.size(); r.left < 0 {
			return
		}
		here = here.clone()
		if now.lost {
			here.all = true
		}
		if before := asked[index]; before != nil {
			here = r.join(before, here)
		}
		asked[index] = here
	}
}

func (r *replay) step(s Section, path string, c *Command, now *scene) {
	switch arg := c.Argument.(type) {
	case Index:
		now.current = []uint64{uint64(arg)}
	case IndexList:
		now.current = arg
	case AllComponents:
		now.current = nil
		for i := range r.indices {
			now.current = append(now.current, i)
		}
	case *Parameters:
		r.set(now, arg, c.Code == DirectiveOverrideParameters)
	case ParameterSets:
		for _, index := range slices.Sorted(maps.Keys(arg)) {
			now.current = []uint64{index}
			r.set(now, arg[index], true)
		}
	case ParameterCopies:
		r.copyParameters(now, arg)
	case *Sequence:
		now.each(func() { r.nested(s, path, arg, now) })
	case *Alternatives:
		now.each(func() { r.alternatives(s, path, arg, now) })
	}
}

// nested runs a sequence to its end, or quietly to any condition before.
func (r *replay) nested(s Section, path string, seq *Sequence, now *scene) {
	if !seq.softens() {
		r.sequence(s, path, seq, now)
		return
	}
	before := r.clone(now)
	r.sequence(s, path, seq, now)
	*now = *r.joinScenes(before, now)
}

// alternatives runs each alternative as if those before it had failed somewhere.
func (r *replay) alternatives(s Section, path string, a *Alternatives, now *scene) {
	entry := r.clone(now)
	var end *scene
	if a.Optional {
		end = entry
	}
	for i := range a.Sequences {
		one := r.clone(entry)
		r.sequence(s, fmt.Sprintf("%s[%d]", path, i), &a.Sequences[i], one)
		if end == nil {
			end = one
		} else {
			end = r.joinScenes(end, one)
		}
		entry = r.joinScenes(entry, one)
	}
	*now = *end
}

// set takes a parameter block over for what is selected.
func (r *replay) set(now *scene, block *Parameters, replace bool) {
	codes := block.Codes()
	if r.left -= len(codes) * (1 + len(now.current)); r.left < 0 {
		return
	}
	for _, index := range now.current {
		k := now.at(index)
		for _, code := range codes {
			if replace || !k.open[code] && k.set[code] == nil {
				k.put(code, block)
			}
		}
	}
}

// copyParameters takes parameters over from other components, for each that is selected.
func (r *replay) copyParameters(now *scene, copies ParameterCopies) {
	for _, index := range now.current {
		for _, from := range slices.Sorted(maps.Keys(copies)) {
			if r.left -= 1 + len(copies[from]); r.left < 0 {
				return
			}
			now.at(index).copyFrom(now.at(from), copies[from])
		}
	}
}

// clone counts what it costs. When that is too much, no command is looked at any more.
func (r *replay) clone(s *scene) *scene {
	if r.left -= s.size(); r.left < 0 {
		return &scene{of: map[uint64]*knowledge{}}
	}
	return s.clone()
}

// joinScenes is what is known where either may have come before, with the selection of a.
func (r *replay) joinScenes(a, b *scene) *scene {
	out := &scene{current: a.current, lost: a.lost || b.lost, of: map[uint64]*knowledge{}}
	if r.left -= a.size() + b.size(); r.left < 0 {
		return out
	}
	for _, s := range []*scene{a, b} {
		for index := range s.of {
			if out.of[index] == nil {
				out.of[index] = r.join(a.at(index), b.at(index))
			}
		}
	}
	return out
}

// join keeps what both know.
func (r *replay) join(a, b *knowledge) *knowledge {
	out := a.clone()
	out.all = a.all || b.all
	for code := range b.open {
		out.forget(code)
	}
	for code, block := range a.set {
		if other := b.set[code]; other != block && !r.same(code, block, other) {
			out.forget(code)
		}
	}
	for code := range b.set {
		if a.set[code] == nil {
			out.forget(code)
		}
	}
	return out
}

// same reports whether two blocks, the second of which may be nil, give a parameter the
// same value. It counts what it compares.
func (r *replay) same(code ParameterCode, a, b *Parameters) bool {
	if b == nil || r.left < 0 {
		return false
	}
	one, other := encodedParameter(code, a), encodedParameter(code, b)
	r.left -= (len(one) + len(other)) / comparedBytes
	return one != nil && bytes.Equal(one, other)
}

// scene is what is known before a command.
type scene struct {
	current []uint64 // component indices that are selected
	lost    bool     // nothing is known of parameters
	of      map[uint64]*knowledge
}

func (s *scene) at(index uint64) *knowledge {
	if s.of[index] == nil {
		s.of[index] = &knowledge{set: map[ParameterCode]*Parameters{}, open: map[ParameterCode]bool{}}
	}
	return s.of[index]
}

// each runs a sequence once on each of the selected components. What is selected inside
// of it ends with it (draft-ietf-suit-manifest-37 section 6.5).
func (s *scene) each(run func()) {
	selected := s.current
	for _, index := range selected {
		s.current = []uint64{index}
		run()
	}
	s.current = selected
}

// size is what a copy costs.
func (s *scene) size() int {
	n := 1
	for _, k := range s.of {
		n += k.size()
	}
	return n
}

func (s *scene) clone() *scene {
	out := &scene{current: s.current, lost: s.lost, of: make(map[uint64]*knowledge, len(s.of))}
	for index, k := range s.of {
		out.of[index] = k.clone()
	}
	return out
}

// knowledge is what is known of a component's parameters: those that are set, and
// those of which that is open. Every other one is unset.
type knowledge struct {
	set  map[ParameterCode]*Parameters // by the block of the manifest that gives the value
	open map[ParameterCode]bool
	all  bool // open are all that are not set
}

func (k *knowledge) size() int { return 1 + len(k.set) + len(k.open) }

func (k *knowledge) put(code ParameterCode, block *Parameters) {
	k.set[code] = block
	delete(k.open, code)
}

func (k *knowledge) forget(code ParameterCode) {
	delete(k.set, code)
	k.open[code] = true
}

func (k *knowledge) copyFrom(source *knowledge, codes []ParameterCode) {
	for _, code := range codes {
		if block := source.set[code]; block != nil {
			k.put(code, block)
		} else if source.open[code] {
			k.forget(code)
		}
	}
}

// unset reports whether the parameter is known to have no value.
func (k *knowledge) unset(code ParameterCode) bool {
	return !k.all && !k.open[code] && k.set[code] == nil
}

func (k *knowledge) clone() *knowledge {
	return &knowledge{set: maps.Clone(k.set), open: maps.Clone(k.open), all: k.all}
}

// encodedParameter returns nil for a parameter that does not encode.
func encodedParameter(code ParameterCode, p *Parameters) []byte {
	f, known := parameterFields[code]
	if !known {
		return p.Other[code]
	}
	raw, err := cosekit.Marshal(f.value(p))
	if err != nil {
		return nil
	}
	return raw
}
