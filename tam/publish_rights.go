package tam

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/suit"
)

// use is what a manifest does with a component: a command, or a parameter that it sets,
// the other one zero; with both zero it lists the component.
type use struct {
	component int // by its number in the walk
	command   suit.CommandCode
	parameter suit.ParameterCode
}

// uses are those of one manifest, in the order of its commands.
type uses struct {
	list  []use
	place map[use]string // of the command that comes first
}

func (u *uses) add(one use, place string) {
	if _, known := u.place[one]; !known {
		u.place[one] = place
		u.list = append(u.list, one)
	}
}

// findUses looks through all sequences of a member, as a device does before it executes
// any of them (draft-ietf-suit-manifest-37 section 9): also those that no Update reaches.
func (w *walk) findUses(m *member) error {
	m.uses.place = map[use]string{}
	if shared := m.manifest.Common.Shared; shared != nil {
		if err := w.usesOf(call{member: m, path: suit.SectionShared.String()}, shared, []int{0}); err != nil {
			return err
		}
	}
	for _, section := range slices.Sorted(maps.Keys(m.manifest.Sections)) {
		if sequence := m.manifest.Sections[section].Sequence; sequence != nil {
			if err := w.usesOf(call{member: m, path: section.String()}, sequence, []int{0}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) usesOf(c call, sequence *suit.Sequence, selected []int) error {
	if len(c.member.table) == 0 {
		return fmt.Errorf("%w: %s: the manifest names no component", ErrNoTarget, c.path)
	}
	for i, command := range sequence.Commands {
		s := step{walk: w, call: c, at: i, command: command, selected: selected}
		if err := s.noteUses(); err != nil {
			return fmt.Errorf("%s: %w", s.place(), err)
		}
		selected = s.selected
		switch a := command.Argument.(type) {
		case *suit.Sequence:
			c := c
			c.path = s.place()
			if err := w.usesOf(c, a, selected); err != nil {
				return err
			}
		case *suit.Alternatives:
			for j := range a.Sequences {
				c := c
				c.path = fmt.Sprintf("%s[%d]", s.place(), j)
				if err := w.usesOf(c, &a.Sequences[j], selected); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// noteUses notes what one command does, and goes on to what it selects.
func (s *step) noteUses() error {
	if err := s.spend(len(s.selected)); err != nil {
		return err
	}
	switch a := s.command.Argument.(type) {
	case suit.Index, suit.IndexList, suit.AllComponents:
		return s.selectComponents()
	case *suit.Parameters:
		return s.note(a.Codes())
	case suit.ParameterSets:
		for _, index := range slices.Sorted(maps.Keys(a)) {
			i, err := s.index(index)
			if err != nil {
				return err
			}
			s.selected = []int{i}
			if err := s.note(a[index].Codes()); err != nil {
				return err
			}
		}
		return nil
	case suit.ParameterCopies:
		for _, index := range slices.Sorted(maps.Keys(a)) {
			if err := s.note(a[index]); err != nil {
				return err
			}
		}
		return nil
	}
	return s.note(nil)
}

// note notes the command, and the parameters that it sets, for what is selected.
func (s *step) note(codes []suit.ParameterCode) error {
	if err := s.spend(len(codes) * len(s.selected)); err != nil {
		return err
	}
	m := s.call.member
	for _, i := range s.selected {
		number := m.table[i].number
		m.uses.add(use{component: number, command: s.command.Code}, s.place())
		for _, code := range codes {
			m.uses.add(use{component: number, parameter: code}, s.place())
		}
	}
	return nil
}

// mayUse refuses a manifest of the tree that does more than its publisher may, and names
// the first command that does.
func (t *tree) mayUse(a anchor.Anchor, m *member) error {
	for _, u := range m.uses.list {
		id := t.ids[u.component]
		switch {
		case a.MayUse(id, u.command, u.parameter):
		case u.parameter != 0:
			return fmt.Errorf("%w: %s: publisher %q (%s) may not set %s of %s",
				ErrSignerNotAllowed, m.uses.place[u], a.Title, a.Key.Thumbprint(), u.parameter, id)
		default:
			return fmt.Errorf("%w: %s: publisher %q (%s) may not use %s on %s",
				ErrSignerNotAllowed, m.uses.place[u], a.Title, a.Key.Thumbprint(), u.command, id)
		}
	}
	return nil
}
