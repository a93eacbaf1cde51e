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
		return s.processDependency(states)
	}
	return states, nil, s.directive(states)
}

// condition lets the device decide. An image-match that holds says what the
// component is; one that contradicts an earlier one cannot hold.
func (s *step) condition(states []state) (done, failing []state, err error) {
	if s.call.caught {
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

// directive does what is the same in every state. One that fails ends the Update.
func (s *step) directive(states []state) error {
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
		for _, index := range slices.Sorted(maps.Keys(sets)) {
			i, err := s.index(index)
			if err == nil {
				s.selected = []int{i} // the last one stays
				err = s.set(states, s.selected, sets[index])
			}
			if err != nil {
				return err
			}
		}
		return nil
	case suit.DirectiveCopyParams:
		return s.copyParameters(states)
	case suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy, suit.DirectiveSwap:
		for _, st := range states {
			for _, i := range s.selected {
				if err := s.write(st, s.call.member.table[i].number); err != nil {
					return err
				}
			}
		}
		return nil
	case suit.DirectiveWait:
		return nil
	}
	return unsupported("not in an Update")
}

func (s *step) selectComponents() error {
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
// section 8.4.8.17).
func (s *step) set(states []state, indices []int, given *suit.Parameters) error {
	if given.SoftFailure != nil {
		if !s.call.nested {
			return unsupported("soft-failure outside try-each and run-sequence")
		}
		s.call.soft = *given.SoftFailure
	}
	for _, st := range states {
		for _, i := range indices {
			st[s.call.member.table[i].number].parameters.set(given, s.command.Code == suit.DirectiveSetParameters)
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
		codes := copies[index]
		source, err := s.index(index)
		if err != nil {
			return err
		}
		for _, st := range states {
			from := st[s.call.member.table[source].number].parameters
			for place, code := range deciding {
				if !slices.Contains(codes, code) {
					continue
				}
				if from[place] == nil {
					return unsupported("component %d has no %s to copy", source, code)
				}
				for _, i := range s.selected {
					st[s.call.member.table[i].number].parameters[place] = from[place]
				}
			}
		}
	}
	return nil
}

// write notes that the component gets an image under its parameters of now.
func (s *step) write(st state, number int) error {
	c, id := &st[number], s.ids[number]
	p := &c.parameters
	next := held{
		written: true, digest: p.digest(), size: p.size(),
		from: s.call.member, sealed: p[encryptionInForce] != nil, place: s.place(),
	}
	switch s.command.Code {
	case suit.DirectiveFetch:
		if next.uri = p.uri(); next.uri == nil {
			return unsupported("component %s is fetched without a URI", id)
		}
	case suit.DirectiveWrite:
		if next.content = p[contentInForce]; next.content == nil {
			return unsupported("component %s is written without content", id)
		}
	default:
		source, err := s.source(p, number)
		if err != nil {
			return fmt.Errorf("component %s: %w", id, err)
		}
		other := &st[source].image
		if s.command.Code == suit.DirectiveSwap {
			s.call.member.uses.add(use{component: source, command: suit.DirectiveSwap}, s.place())
			c.image, *other = *other, c.image
			c.image.written, other.written = true, true
			c.image.place, other.place = next.place, next.place
			return nil
		}
		next.from, next.uri, next.content = other.from, other.uri, other.content
		if !next.sealed {
			next.sealed = other.sealed
			if next.digest == nil {
				next.digest, next.size = other.digest, other.size
			}
		}
	}
	c.image = next
	return nil
}

// source returns the component that a copy or swap names.
func (s *step) source(p *inForce, number int) (int, error) {
	block := p[sourceInForce]
	if block == nil {
		return 0, unsupported("no source-component")
	}
	i, err := s.index(*block.SourceComponent)
	if err != nil {
		return 0, err
	}
	source := s.call.member.table[i].number
	if source == number {
		return 0, unsupported("it is its own source-component")
	}
	return source, nil
}
