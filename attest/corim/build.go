package corim

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// statedTag is a tag with who says so. Names of tags are whatever their authors write, so
// a tag has nothing to do with one of the same id that somebody else has signed.
type statedTag struct {
	*tag
	by string // File.Signer
}

type tagName struct{ by, id string }

func (t statedTag) name() tagName { return tagName{t.by, t.id} }

// NewBase compiles files that were verified. Of tags with the same id by the same signer,
// the highest version counts, and a tag that another of that signer replaces does not. What
// is not valid at now is left out; a file that has expired still keeps older versions of
// its tags from coming back. Where tags that are in force differ about a measurement, each
// value is good.
//
// Two different tags of a signer with one id and version are ErrConflict, more than
// MaxStatements or MaxAlike ErrTooLarge: try a new file together with all others before it
// is imported.
func NewBase(files []*File, now time.Time) (*Base, error) {
	if err := noConflict(files); err != nil {
		return nil, err
	}
	if err := notTooMany(files); err != nil {
		return nil, err
	}
	newest := map[tagName]*tag{}
	var order []statedTag
	for _, f := range files {
		if f.NotBefore.After(now) {
			continue
		}
		for i := range f.tags {
			t := statedTag{&f.tags[i], f.Signer}
			other, taken := newest[t.name()]
			if !taken || t.version > other.version || t.version == other.version && other.expired(now) {
				newest[t.name()] = t.tag
				order = append(order, t)
			}
		}
	}
	replaced := map[tagName]bool{}
	for name, t := range newest {
		for _, id := range t.replaces {
			other := tagName{name.by, id}
			replaced[other] = replaced[other] || id != t.id
		}
	}
	return compile(slices.DeleteFunc(order, func(t statedTag) bool {
		return newest[t.name()] != t.tag || replaced[t.name()] || t.expired(now)
	})), nil
}

// Unchanged tells for which times around now NewBase makes the same of the files: from the
// last beginning or end among them until, exclusively, the next. Each is zero for ever.
func Unchanged(files []*File, now time.Time) (from, until time.Time) {
	change := func(at time.Time) {
		switch {
		case !at.After(now) && at.After(from):
			from = at
		case at.After(now) && (until.IsZero() || at.Before(until)):
			until = at
		}
	}
	for _, f := range files {
		change(f.NotBefore)
		if !f.NotAfter.IsZero() {
			change(f.NotAfter.Add(1)) // which still counts itself
		}
	}
	return from, until
}

// compile takes together what the tags that are in force say.
func compile(tags []statedTag) *Base {
	values, keys := 0, 0
	for _, t := range tags {
		values, keys = values+len(t.references), keys+len(t.keys)
	}
	references, attestKeys := make([]Reference, 0, values), make([]AttestKey, 0, keys)
	for _, t := range tags {
		references = append(references, t.references...)
		for _, k := range t.keys {
			k.By = t.by
			attestKeys = append(attestKeys, k)
		}
	}
	return &Base{
		newIndex(references, func(r *Reference) *Environment { return &r.Environment }),
		newIndex(attestKeys, func(k *AttestKey) *Environment { return &k.Environment }),
	}
}

// notTooMany counts all statements of all files, like noConflict: what begins later, or
// comes back when something ends, must not be too much then.
func notTooMany(files []*File) error {
	total := 0
	alike := map[tagName]int{} // of a signer, by slot
	for _, f := range files {
		if total += f.statements; total > MaxStatements {
			return fmt.Errorf("%w: more than %d reference values and keys in all files; remove those that no device needs", ErrTooLarge, MaxStatements)
		}
		for i := range f.tags {
			for j := range f.tags[i].references {
				about := &f.tags[i].references[j].Environment
				name := tagName{f.Signer, about.slot()}
				if alike[name]++; alike[name] > MaxAlike {
					return fmt.Errorf("%w: more than %d reference values for %s; remove files that no device needs", ErrTooLarge, MaxAlike, about)
				}
			}
		}
	}
	return nil
}

// noConflict looks at all files, also at those that are not valid now: a set of files that
// is good today is good on every other day.
func noConflict(files []*File) error {
	type version struct {
		tagName
		version uint64
	}
	seen := map[version]*tag{}
	for _, f := range files {
		for i := range f.tags {
			t := &f.tags[i]
			v := version{tagName{f.Signer, t.id}, t.version}
			if other, taken := seen[v]; taken && !bytes.Equal(other.raw, t.raw) {
				return fmt.Errorf("%w: two files have a tag %q of version %d, with different content; give what replaces the other a higher version, and what stands beside it an id of its own", ErrConflict, t.id, t.version)
			}
			seen[v] = t
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
	if first, end := at[0], at[len(at)-1]+1; end-first == len(at) {
		return x.all[first:end:end] // of one file, as most are
	}
	found := make([]T, len(at))
	for i, from := range at {
		found[i] = x.all[from]
	}
	return found
}
