package tam

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// tryEach goes through the alternatives for each selected component: where one fails
// softly, the next begins from what it has left behind (draft-ietf-suit-manifest-37
// section 8.4.10.2).
func (s *step) tryEach(states []state) (done, failing []state, err error) {
	alternatives, ok := s.command.Argument.(*suit.Alternatives)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no alternatives", ErrEnvelopeMalformed)
	}
	for _, i := range s.selected {
		trying := states
		states = nil
		for j := range alternatives.Sequences {
			completed, failed, err := s.nest(fmt.Sprintf("[%d]", j), true, &alternatives.Sequences[j], trying, i)
			if err == nil {
				states, err = s.union(states, completed)
			}
			if err == nil {
				failing, err = s.union(failing, failed.hard)
			}
			if err != nil {
				return nil, nil, err
			}
			if trying = failed.soft; len(trying) == 0 {
				break
			}
		}
		rest := &failing
		if alternatives.Optional {
			rest = &states
		}
		if *rest, err = s.union(*rest, trying); err != nil {
			return nil, nil, err
		}
	}
	return states, failing, nil
}

// runSequence runs the sequence for each selected component; a soft failure ends it
// quietly.
func (s *step) runSequence(states []state) (done, failing []state, err error) {
	sequence, ok := s.command.Argument.(*suit.Sequence)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no sequence", ErrEnvelopeMalformed)
	}
	for _, i := range s.selected {
		completed, failed, err := s.nest("", false, sequence, states, i)
		if err == nil {
			states, err = s.union(completed, failed.soft)
		}
		if err == nil {
			failing, err = s.union(failing, failed.hard)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return states, failing, nil
}

// nest runs a sequence inside this command for one component.
func (s *step) nest(which string, soft bool, sequence *suit.Sequence, states []state, index int) ([]state, failures, error) {
	inner := s.call
	inner.path = s.place() + which
	inner.nested, inner.soft, inner.softSet, inner.all = true, soft, false, false
	if inner.depth++; inner.depth > suit.MaxSequenceDepth {
		return nil, failures{}, unsupported("more than %d sequences inside sequences", suit.MaxSequenceDepth)
	}
	return s.run(inner, sequence, states, []int{index})
}

// processDependency runs the section of the same name in each selected dependency,
// under the parameters that this manifest has set for it
// (draft-ietf-suit-trust-domains, suit-directive-process-dependency). As on devices, a
// section runs once, however many ask for it, and where it fails the Update has failed.
func (s *step) processDependency(states []state) ([]state, error) {
	if s.call.section == suit.SectionShared {
		return nil, unsupported("not in the shared sequence")
	}
	for _, i := range s.selected {
		e := s.call.member.table[i]
		if !e.dependency && s.call.all { // which is all dependencies
			continue
		}
		if !e.dependency {
			return nil, unsupported("component %s is no dependency", s.ids[e.number])
		}
		before := states
		states = nil
		for _, st := range before {
			done, err := s.process(e.number, st)
			if err == nil {
				states, err = s.union(states, done)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return states, nil
}

// process runs the section in the dependency that the component holds.
func (s *step) process(number int, st state) ([]state, error) {
	dependency, err := s.descend(&st[number], s.ids[number])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.ids[number], err)
	}
	if st[number].through&bitOf(s.call.section) != 0 {
		return []state{st}, nil
	}
	inner := call{
		up: &s.call, member: dependency, section: s.call.section, depth: s.call.depth,
		path: fmt.Sprintf("%s(%s).%s", s.place(), s.ids[number], s.call.section),
	}
	done, err := s.section(inner, []state{s.whole(st)})
	for _, st := range done {
		st[number].through |= bitOf(s.call.section)
	}
	return done, err
}

// descend finds the manifest that the component was found to be, or else the one that its
// parameters name by its digest.
func (s *step) descend(c *component, id suit.ComponentID) (*member, error) {
	if c.image.manifest == nil {
		c.image.manifest = c.parameters.digest()
	}
	want := c.image.manifest
	if want == nil {
		return nil, unsupported("no image-digest of the dependency")
	}
	depth := 1
	for up := &s.call; up != nil; up = up.up {
		if up.member.digest.Equal(*want) {
			return nil, unsupported("it depends on itself")
		}
		if depth++; depth > maxDependencyDepth+1 {
			return nil, unsupported("dependencies of dependencies, more than %d deep", maxDependencyDepth)
		}
	}
	dependency := s.member(*want)
	if dependency == nil {
		uri := c.image.uri
		if uri == nil {
			uri = c.parameters.uri()
		}
		v, err := s.find(s.call.member, *want, uri)
		if err != nil {
			return nil, err
		}
		if dependency, err = s.add(v, v.Manifest(), v.Digest()); err != nil {
			return nil, err
		}
	}
	s.depends(Dependency{Component: id, Digest: *want})
	return dependency, nil
}

// member returns the manifest of this digest, where it is in the tree already.
func (w *walk) member(digest suit.Digest) *member {
	for _, m := range w.members {
		if m.digest.Equal(digest) {
			return m
		}
	}
	return nil
}

// depends notes a dependency once.
func (w *walk) depends(d Dependency) {
	for _, known := range w.dependencies {
		if known.Digest.Equal(d.Digest) && known.Component.Equal(d.Component) {
			return
		}
	}
	w.dependencies = append(w.dependencies, d)
}
