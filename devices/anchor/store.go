package anchor

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// MaxAnchors caps a store.
const MaxAnchors = 1024

// Store is a set of anchors, at most one for each key. The zero value is empty, and
// trusts nobody. A Store does not change: what goes in and comes out is copied.
type Store struct {
	anchors []Anchor // valid, normal, by ascending thumbprint
}

// NewStore makes a store of valid anchors.
func NewStore(anchors ...Anchor) (Store, error) {
	var s Store
	var err error
	for _, a := range anchors {
		if s, err = s.With(a); err != nil {
			return Store{}, err
		}
	}
	return s, nil
}

// With returns the store with one more anchor. It returns ErrInvalid for one that is
// not valid, and ErrExists for a key that has one already: to change an anchor,
// remove it first.
func (s Store) With(a Anchor) (Store, error) {
	if err := a.Validate(); err != nil {
		return Store{}, err
	}
	if len(s.anchors) >= MaxAnchors {
		return Store{}, fmt.Errorf("%w: a store holds at most %d anchors", ErrInvalid, MaxAnchors)
	}
	i, found := s.find(a.Thumbprint())
	if found {
		return Store{}, fmt.Errorf("%w: %s", ErrExists, a.Thumbprint())
	}
	return Store{slices.Insert(slices.Clone(s.anchors), i, a.normal())}, nil
}

// Without returns the store without the key's anchor, or ErrUnknown.
func (s Store) Without(key cosekit.Thumbprint) (Store, error) {
	i, found := s.find(key)
	if !found {
		return Store{}, fmt.Errorf("%w: %s", ErrUnknown, key)
	}
	return Store{slices.Delete(slices.Clone(s.anchors), i, i+1)}, nil
}

// Lookup returns the anchor of the key if it may be used for the purpose now, else
// ErrUnknown, ErrPurpose, ErrNotYetValid or ErrExpired.
func (s Store) Lookup(key cosekit.Thumbprint, purpose Purpose, now time.Time) (Anchor, error) {
	i, found := s.find(key)
	if !found {
		return Anchor{}, fmt.Errorf("%w: %s", ErrUnknown, key)
	}
	if err := s.anchors[i].Allows(purpose, now); err != nil {
		return Anchor{}, err
	}
	return s.anchors[i].normal(), nil
}

// For lists the anchors that may be used for the purpose now.
func (s Store) For(purpose Purpose, now time.Time) []Anchor {
	var list []Anchor
	for _, a := range s.anchors {
		if a.Allows(purpose, now) == nil {
			list = append(list, a.normal())
		}
	}
	return list
}

// Anchors lists all, by ascending thumbprint.
func (s Store) Anchors() []Anchor {
	list := make([]Anchor, len(s.anchors))
	for i, a := range s.anchors {
		list[i] = a.normal()
	}
	return list
}

// Digest identifies the store: SHA-256 over its encoding.
func (s Store) Digest() suit.Digest { return suit.SumSHA256(s.Encode()) }

func (s Store) find(key cosekit.Thumbprint) (int, bool) {
	return slices.BinarySearchFunc(s.anchors, key, func(a Anchor, key cosekit.Thumbprint) int {
		t := a.Thumbprint()
		return bytes.Compare(t[:], key[:])
	})
}

// normal returns a deep copy in the one form that a store keeps: lists in order, for
// their order means nothing, and times in whole seconds of UTC.
func (a Anchor) normal() Anchor {
	a.Purposes = sorted(a.Purposes)
	c := &a.Constraints
	c.Grants = sorted(c.Grants)
	c.Components = slices.Clone(c.Components)
	for i, id := range c.Components {
		c.Components[i] = cloneAll(id)
	}
	slices.SortFunc(c.Components, func(x, y suit.ComponentID) int { return cmp.Compare(x.Key(), y.Key()) })
	c.Scopes = slices.Clone(c.Scopes)
	for i, s := range c.Scopes {
		c.Scopes[i] = Scope{cloneAll(s.Prefix), sorted(s.Commands), sorted(s.Parameters)}
	}
	slices.SortFunc(c.Scopes, func(x, y Scope) int { return cmp.Compare(x.Prefix.Key(), y.Prefix.Key()) })
	c.VendorIDs, c.ClassIDs = cloneAll(c.VendorIDs), cloneAll(c.ClassIDs)
	slices.SortFunc(c.VendorIDs, bytes.Compare)
	slices.SortFunc(c.ClassIDs, bytes.Compare)
	a.NotBefore, a.NotAfter = fromSeconds(whole(a.NotBefore)), fromSeconds(whole(a.NotAfter))
	return a
}

func sorted[T cmp.Ordered](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func cloneAll(list [][]byte) [][]byte {
	list = slices.Clone(list)
	for i := range list {
		list[i] = bytes.Clone(list[i])
	}
	return list
}
