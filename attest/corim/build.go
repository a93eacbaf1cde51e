package corim

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// NewBase compiles files that were verified. Of tags with the same id, the highest
// version counts, and a tag that another replaces does not. What is not valid at now is
// left out; a file that has expired still keeps older versions of its tags from coming
// back. Where tags that are in force differ about a measurement, each value is good.
//
// Two different tags with one id and version are ErrConflict: try a new file together
// with all others before it is imported.
func NewBase(files []*File, now time.Time) (*Base, error) {
	if err := noConflict(files); err != nil {
		return nil, err
	}
	newest := map[string]*tag{}
	var order []*tag
	for _, f := range files {
		if f.NotBefore.After(now) {
			continue
		}
		for i := range f.tags {
			t := &f.tags[i]
			other, taken := newest[t.id]
			if !taken || t.version > other.version || t.version == other.version && other.expired(now) {
				newest[t.id] = t
				order = append(order, t)
			}
		}
	}
	replaced := map[string]bool{}
	for _, t := range newest {
		for _, id := range t.replaces {
			replaced[id] = replaced[id] || id != t.id
		}
	}
	inForce := slices.DeleteFunc(order, func(t *tag) bool {
		return newest[t.id] != t || replaced[t.id] || t.expired(now)
	})
	values, keys := 0, 0
	for _, t := range inForce {
		values, keys = values+len(t.references), keys+len(t.keys)
	}
	references, attestKeys := make([]Reference, 0, values), make([]AttestKey, 0, keys)
	for _, t := range inForce {
		references, attestKeys = append(references, t.references...), append(attestKeys, t.keys...)
	}
	return &Base{
		newIndex(references, func(r *Reference) *Environment { return &r.Environment }),
		newIndex(attestKeys, func(k *AttestKey) *Environment { return &k.Environment }),
	}, nil
}

// noConflict looks at all files, also at those that are not valid now: a set of files that
// is good today is good on every other day.
func noConflict(files []*File) error {
	seen := map[string]*tag{}
	for _, f := range files {
		for i := range f.tags {
			t := &f.tags[i]
			if other, taken := seen[t.source()]; taken && !bytes.Equal(other.raw, t.raw) {
				return fmt.Errorf("%w: two files have a tag %q of version %d, with different content; give what replaces the other a higher version, and what stands beside it an id of its own", ErrConflict, t.id, t.version)
			}
			seen[t.source()] = t
		}
	}
	return nil
}

// take returns the statements at these positions, in their order.
func (x *index[T]) take(at []int) []T {
	if len(at) == 0 {
		return nil
	}
	slices.Sort(at)
	found := make([]T, len(at))
	for i, from := range at {
		found[i] = x.all[from]
	}
	return found
}
