package tee

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// Requests returns the components that applications asked for and that are not
// installed, oldest first.
func (s *Store) Requests() []teep.RequestedTC {
	x := s.view()
	out := make([]teep.RequestedTC, len(x.Requests))
	for i, r := range x.Requests {
		out[i] = teep.RequestedTC{Component: r.Component, MinSequence: r.MinSequence, HaveBinary: r.HaveBinary}
	}
	return out
}

// Unneeded returns the roots whose components nobody needs any more.
func (s *Store) Unneeded() []suit.ComponentID { return slices.Clone(s.view().Unneeded) }

// Request remembers a wish until it is installed, in place of an earlier one for the
// same component; what was withdrawn is needed again. It reports false, and remembers
// no wish, where the store holds it. A wish with HaveBinary is for a manifest to the
// image that is there: processor.ErrNoImage where there is none.
func (s *Store) Request(tc teep.RequestedTC) (added bool, err error) {
	if err := s.Supports(tc.Component); err != nil {
		return false, err
	}
	wish := requestEntry{Component: tc.Component, MinSequence: tc.MinSequence, HaveBinary: tc.HaveBinary}
	x := s.view()
	if tc.HaveBinary && x.component(tc.Component) == nil {
		return false, fmt.Errorf("%w: %s", processor.ErrNoImage, tc.Component)
	}
	added = !x.satisfied(wish)
	if !added && !slices.ContainsFunc(x.holders(tc.Component), x.unneeded) {
		return false, nil
	}
	return added, s.enlarge(func(next *index) error {
		for _, m := range next.holders(tc.Component) {
			next.Unneeded = remove(next.Unneeded, m.ID)
		}
		if !added {
			return nil
		}
		next.Requests = without(next.Requests, tc.Component)
		if len(next.Requests) == maxRequests {
			return fmt.Errorf("%w: %d requested components; withdraw one first", ErrFull, maxRequests)
		}
		next.Requests = append(next.Requests, wish)
		return nil
	})
}

// Withdraw forgets a wish, and remembers of the roots that are installed for the component
// that they are not needed any more. One that only depends on what has the component is
// there for something else. It reports false where neither changes anything.
func (s *Store) Withdraw(component suit.ComponentID) (changed bool, err error) {
	x := s.view()
	wished := func(r requestEntry) bool { return r.Component.Equal(component) }
	needed := func(m manifestEntry) bool { return m.Root && !x.unneeded(m) }
	if !slices.ContainsFunc(x.Requests, wished) && !slices.ContainsFunc(x.providers(component), needed) {
		return false, nil
	}
	return true, s.change(func(next *index) error {
		next.Requests = without(next.Requests, component)
		for _, m := range next.providers(component) {
			if m.Root && !next.unneeded(m) {
				next.Unneeded = append(next.Unneeded, m.ID)
			}
		}
		return nil
	})
}

func (x *index) unneeded(m manifestEntry) bool { return contains(x.Unneeded, m.ID) }

func without(list []requestEntry, component suit.ComponentID) []requestEntry {
	return slices.DeleteFunc(list, func(r requestEntry) bool { return r.Component.Equal(component) })
}

// AcceptUpdate remembers the digest of an Update before anything of it is done. It
// reports false for one that was accepted before.
func (s *Store) AcceptUpdate(digest [sha256.Size]byte) (fresh bool, err error) {
	err = s.change(func(next *index) error {
		if slices.ContainsFunc(next.Updates, func(u []byte) bool { return bytes.Equal(u, digest[:]) }) {
			return errSeen
		}
		next.Updates = append(next.Updates, digest[:])
		next.Updates = next.Updates[max(0, len(next.Updates)-maxUpdates):]
		return nil
	})
	if errors.Is(err, errSeen) {
		return false, nil
	}
	return err == nil, err
}

var errSeen = errors.New("update was accepted before")

// Poll is how the last session with a TAM ended.
type Poll struct {
	At      time.Time
	Outcome string // one line, for people
	Failed  bool
}

// LastPoll returns the last recorded session; ok is false where there was none.
func (s *Store) LastPoll() (p Poll, ok bool) {
	e := s.view().LastPoll
	if e == nil {
		return Poll{}, false
	}
	return Poll{At: time.Unix(e.At, 0).UTC(), Outcome: e.Outcome, Failed: e.Failed}, true
}

// maxOutcome bounds what the index keeps of a session's outcome.
const maxOutcome = 512

// RecordPoll remembers how a session ended.
func (s *Store) RecordPoll(p Poll) error {
	outcome := strings.ToValidUTF8(p.Outcome[:min(len(p.Outcome), maxOutcome)], "")
	return s.change(func(next *index) error {
		next.LastPoll = &pollEntry{At: p.At.Unix(), Outcome: outcome, Failed: p.Failed}
		return nil
	})
}
