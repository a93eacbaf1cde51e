package tam

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// step is one command of a walk. Taking it may change what is selected, and what a
// failure does, for the commands behind it.
type step struct {
	*walk
	call     call
	at       int
	command  suit.Command
	selected []int // component indices
}

// place names the command.
func (s *step) place() string { return fmt.Sprintf("%s[%d].%s", s.call.path, s.at, s.command.Code) }

// take returns the states behind the command, and those in which it fails. A failing
// state is kept only where somebody goes on from it.
func (s *step) take(states []state) (done, failing []state, err error) {
	if err := s.spend(len(states) * max(1, len(s.selected))); err != nil {
		return nil, nil, err
	}
	if code := s.command.Code; code.IsCondition() || code.IsCustom() {
		return s.condition(states)
	}
	switch s.command.Code {
	case suit.DirectiveTryEach:
		return s.tryEach(states)
	case suit.DirectiveRunSequence:
		return s.runSequence(states)
	case suit.DirectiveProcessDependency:
		done, err = s.processDependency(states)
		return done, nil, err
	}
	done, err = s.directive(states)
	return done, nil, err
}

// condition lets the device decide. An image-match that holds says what the
// component is; one that contradicts an earlier one cannot hold. A failed check of a
// dependency ends the Update wherever it stands.
func (s *step) condition(states []state) (done, failing []state, err error) {
	if s.command.Code == suit.ConditionDependencyIntegrity {
		return slices.DeleteFunc(states, func(st state) bool { return !s.checkDependency(st) }), nil, nil
	}
	if s.call.nested {
		if failing, err = s.copies(states); err != nil {
			return nil, nil, err
		}
	}
	switch s.command.Code {
	case suit.ConditionAbort:
		return nil, failing, nil
	case suit.ConditionImageMatch:
		return slices.DeleteFunc(states, func(st state) bool { return !s.match(st) }), failing, nil
	}
	return states, failing, nil
}

// match notes that every selected component has the digest in force, or reports that
// it cannot.
func (s *step) match(st state) bool {
	for _, i := range s.selected {
		c := &st[s.call.member.table[i].number]
		want := c.parameters.digest()
		if want == nil || c.image.matched && c.image.digest.Algorithm == want.Algorithm && !c.image.digest.Equal(*want) {
			return false
		}
		c.image.matched, c.image.digest = true, want
		if c.image.size == nil {
			c.image.size = c.parameters.size()
		}
	}
	return true
}

// checkDependency notes that every selected component is the manifest whose digest is in
// force, or reports that it cannot be.
func (s *step) checkDependency(st state) bool {
	for _, i := range s.selected {
		c := &st[s.call.member.table[i].number]
		want := c.parameters.digest()
		if want == nil || c.image.manifest != nil && !c.image.manifest.Equal(*want) {
			return false
		}
		c.image.manifest = want
	}
	return true
}

// directive takes every state on. One that fails ends the Update.
func (s *step) directive(states []state) ([]state, error) {
	switch s.command.Code {
	case suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy, suit.DirectiveSwap:
		return s.store(states)
	}
	return states, s.prepare(states)
}

// prepare does what changes no image.
func (s *step) prepare(states []state) error {
	switch s.command.Code {
	case suit.DirectiveSetComponentIndex:
		return s.selectComponents()
	case suit.DirectiveOverrideParameters, suit.DirectiveSetParameters:
		given, ok := s.command.Argument.(*suit.Parameters)
		if !ok {
			return fmt.Errorf("%w: no parameters", ErrEnvelopeMalformed)
		}
		return s.set(states, s.selected, given)
	case suit.DirectiveOverrideMultiple:
		sets, ok := s.command.Argument.(suit.ParameterSets)
		if !ok {
			return fmt.Errorf("%w: no parameters", ErrEnvelopeMalformed)
		}
		return s.overrideMultiple(states, sets)
	case suit.DirectiveCopyParams:
		return s.copyParameters(states)
	case suit.DirectiveWait:
		return nil
	}
	return unsupported("not in an Update")
}

// overrideMultiple selects one component after the other; the last one stays.
func (s *step) overrideMultiple(states []state, sets suit.ParameterSets) error {
	if err := s.spend(len(states) * len(sets)); err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(sets)) {
		i, err := s.index(index)
		if err != nil {
			return err
		}
		if sets[index].SoftFailure != nil {
			return unsupported("soft-failure of one of several components")
		}
		s.selected, s.call.all = []int{i}, false
		if err := s.set(states, s.selected, sets[index]); err != nil {
			return err
		}
	}
	return nil
}

func (s *step) selectComponents() error {
	_, s.call.all = s.command.Argument.(suit.AllComponents)
	switch a := s.command.Argument.(type) {
	case suit.Index:
		i, err := s.index(uint64(a))
		s.selected = []int{i}
		return err
	case suit.IndexList:
		s.selected = nil
		for _, index := range a {
			i, err := s.index(index)
			if err != nil {
				return err
			}
			s.selected = append(s.selected, i)
		}
		return nil
	case suit.AllComponents:
		s.selected = nil
		for i := range s.call.member.table {
			s.selected = append(s.selected, i)
		}
		return nil
	}
	return fmt.Errorf("%w: no component index", ErrEnvelopeMalformed)
}

func (s *step) index(i uint64) (int, error) {
	if n := len(s.call.member.table); i >= uint64(n) {
		return 0, fmt.Errorf("%w: component index %d of %d components", ErrEnvelopeMalformed, i, n)
	}
	return int(i), nil
}

// set takes a parameter block over for the components. Soft failure belongs to the
// sequence, and to one that has somebody to go on (draft-ietf-suit-manifest-37
// section 8.4.8.17). A source-component is an index of the manifest that sets it, whoever
// copies.
func (s *step) set(states []state, indices []int, given *suit.Parameters) error {
	keep := s.command.Code == suit.DirectiveSetParameters
	if given.SoftFailure != nil {
		if !s.call.nested {
			return unsupported("soft-failure outside try-each and run-sequence")
		}
		if !keep || !s.call.softSet {
			s.call.soft, s.call.softSet = *given.SoftFailure, true
		}
	}
	source := 0
	if given.SourceComponent != nil {
		i, err := s.index(*given.SourceComponent)
		if err != nil {
			return err
		}
		source = s.call.member.table[i].number
	}
	for _, st := range states {
		for _, i := range indices {
			st[s.call.member.table[i].number].set(given, keep, source)
		}
	}
	return nil
}

// copyParameters takes over parameters of other components
// (draft-ietf-suit-update-management, suit-directive-copy-params).
func (s *step) copyParameters(states []state) error {
	copies, ok := s.command.Argument.(suit.ParameterCopies)
	if !ok {
		return fmt.Errorf("%w: no parameters", ErrEnvelopeMalformed)
	}
	for _, index := range slices.Sorted(maps.Keys(copies)) {
		if _, err := s.index(index); err != nil {
			return err
		}
		if err := s.spend(len(copies[index]) * len(states) * len(s.selected)); err != nil {
			return err
		}
	}
	for _, st := range states {
		for _, i := range s.selected {
			if err := s.copyTo(st, i, copies); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *step) copyTo(st state, index int, copies suit.ParameterCopies) error {
	to := &st[s.call.member.table[index].number]
	for _, source := range slices.Sorted(maps.Keys(copies)) {
		from := st[s.call.member.table[source].number]
		for place, code := range deciding {
			switch {
			case !slices.Contains(copies[source], code):
			case from.parameters[place] == nil:
				return unsupported("component %d has no %s to copy", source, code)
			default:
				to.take(place, from.parameters[place], from.source)
			}
		}
	}
	return nil
}

// store writes to every selected component.
func (s *step) store(states []state) ([]state, error) {
	place := s.place()
	for _, i := range s.selected {
		var untouched []state
		for _, st := range states {
			spared, err := s.write(st, s.call.member.table[i].number, place)
			if err != nil {
				return nil, err
			}
			if spared != nil {
				untouched = append(untouched, spared)
			}
		}
		var err error
		if states, err = s.union(states, untouched); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// write notes that the component gets an image under its parameters of now. A copy of what
// is known to be another image than those say makes that one, unless the component may not
// be altered and has the image that they say: then the device is spared the copy.
func (s *step) write(st state, number int, place string) (spared state, err error) {
	c, id := &st[number], s.ids[number]
	p := &c.parameters
	next := held{
		written: true, digest: p.digest(), size: p.size(),
		from: s.call.member, sealed: p[encryptionInForce] != nil, place: place,
	}
	switch s.command.Code {
	case suit.DirectiveFetch:
		if next.uri = p.uri(); next.uri == nil {
			return nil, unsupported("component %s is fetched without a URI", id)
		}
	case suit.DirectiveWrite:
		if next.content = p[contentInForce]; next.content == nil {
			return nil, unsupported("component %s is written without content", id)
		}
	default:
		source, err := s.source(c, number)
		if err != nil {
			return nil, fmt.Errorf("component %s: %w", id, err)
		}
		other := &st[source].image
		if s.command.Code == suit.DirectiveSwap {
			s.call.member.uses.add(use{component: source, command: suit.DirectiveSwap}, place)
			c.image, *other = *other, c.image
			c.image.written, other.written = true, true
			c.image.place, other.place = place, place
			return nil, nil
		}
		next.from, next.uri, next.content = other.from, other.uri, other.content
		if !next.sealed {
			switch differ := next.digest != nil && other.digest != nil && !next.digest.Equal(*other.digest); {
			case differ && other.matched:
				spared, err = s.untouched(st, number, place)
				next.digest = nil
			case differ:
				spared, err = s.copyOfKnown(st, number, source, place)
			}
			if err != nil {
				return nil, err
			}
			next.sealed, next.matched = other.sealed, other.matched
			if next.digest == nil {
				next.digest, next.size = other.digest, other.size
			}
		}
	}
	c.image = next
	return spared, nil
}

// untouched is the state in which the component has the image already that its parameters
// say.
func (s *step) untouched(st state, number int, place string) (state, error) {
	copies, err := s.copies([]state{st})
	if err != nil {
		return nil, err
	}
	c := &copies[0][number]
	c.image = held{
		written: true, matched: true, digest: c.parameters.digest(), size: c.parameters.size(),
		from: s.call.member, place: place,
	}
	return copies[0], nil
}

// copyOfKnown is the state in which the source had the image already that its parameters
// said. The device then was spared storing it, has checked it all the same, and copies it
// whatever the parameters of the copy say.
func (s *step) copyOfKnown(st state, number, source int, place string) (state, error) {
	copies, err := s.copies([]state{st})
	if err != nil {
		return nil, err
	}
	out := copies[0]
	out[source].image.matched = true
	out[number].image = out[source].image
	out[number].image.place = place
	return out, nil
}

// source returns the component that a copy or swap names.
func (s *step) source(c *component, number int) (int, error) {
	switch {
	case c.parameters[sourceInForce] == nil:
		return 0, unsupported("no source-component")
	case c.source == number:
		return 0, unsupported("it is its own source-component")
	}
	return c.source, nil
}
