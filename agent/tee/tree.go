package tee

import (
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// listers returns the manifests that list each component among their images, by its key,
// the longest there first.
func (x *index) listers() map[string][]suit.ComponentID {
	by := map[string][]suit.ComponentID{}
	for _, m := range x.Manifests {
		for _, id := range m.Components {
			key := id.Key()
			by[key] = append(by[key], m.ID)
		}
	}
	return by
}

// references returns the manifests that list the id, as an image or as a dependency.
func (x *index) references(id suit.ComponentID) []suit.ComponentID {
	var by []suit.ComponentID
	for _, m := range x.Manifests {
		if contains(m.Components, id) || contains(m.Dependencies, id) {
			by = append(by, m.ID)
		}
	}
	return by
}

// needed returns the keys of the manifests that are roots, or that a root depends on,
// over others or not. Dependencies that need each other and that no root needs are not
// among them.
func (x *index) needed() map[string]bool {
	manifests := map[string]manifestEntry{}
	var roots []suit.ComponentID
	for _, m := range x.Manifests {
		manifests[m.ID.Key()] = m
		if m.Root {
			roots = append(roots, m.ID)
		}
	}
	return reach(manifests, roots)
}

// below returns the keys of the manifest and of all that it depends on.
func (x *index) below(m manifestEntry) map[string]bool {
	manifests := map[string]manifestEntry{}
	for _, m := range x.Manifests {
		manifests[m.ID.Key()] = m
	}
	return reach(manifests, []suit.ComponentID{m.ID})
}

func reach(manifests map[string]manifestEntry, from []suit.ComponentID) map[string]bool {
	reached := map[string]bool{}
	for len(from) > 0 {
		key := from[0].Key()
		from = from[1:]
		if m, ok := manifests[key]; ok && !reached[key] {
			reached[key] = true
			from = append(from, m.Dependencies...)
		}
	}
	return reached
}

// prune takes out the manifests that no root needs, and remembers how far they had
// come; and the images that no manifest lists any more, whose floors stay.
func (x *index) prune() {
	needed := x.needed()
	x.Manifests = slices.DeleteFunc(x.Manifests, func(m manifestEntry) bool {
		if needed[m.ID.Key()] {
			return false
		}
		x.Retired = append(x.Retired, retiredEntry{m.ID, m.Sequence})
		return true
	})
	x.Retired = x.Retired[max(0, len(x.Retired)-maxRetired):]
	listed := x.listers()
	x.Components = slices.DeleteFunc(x.Components, func(c componentEntry) bool { return len(listed[c.ID.Key()]) == 0 })
}

// version returns the set-version of a component set that the id belongs to
// (draft-ietf-suit-update-management-14 section 3.1): for a manifest its own, for an
// image that of the manifest that lists it, the longest there of those that have one.
func (x *index) version(id suit.ComponentID) []int64 {
	if x.component(id) == nil {
		return x.manifest(id).Version
	}
	for _, m := range x.Manifests {
		if m.Version != nil && contains(m.Components, id) {
			return m.Version
		}
	}
	return nil
}

// providers returns the manifests that stand for what somebody asks for, be it by the
// name of a component or by that of its manifest.
func (x *index) providers(name suit.ComponentID) []manifestEntry {
	installed := x.component(name) != nil
	var out []manifestEntry
	for _, m := range x.Manifests {
		if m.ID.Equal(name) || installed && contains(m.Components, name) {
			out = append(out, m)
		}
	}
	return out
}

// satisfied reports whether a wish is fulfilled by what is installed, and new enough, be
// it a dependency only.
func (x *index) satisfied(r requestEntry) bool {
	return slices.ContainsFunc(x.providers(r.Component), func(m manifestEntry) bool {
		return r.MinSequence == nil || m.Sequence >= *r.MinSequence
	})
}

// holders returns the manifests that keep on the device what somebody asks for: by
// themselves or by what they depend on.
func (x *index) holders(name suit.ComponentID) []manifestEntry {
	providers := x.providers(name)
	var out []manifestEntry
	for _, m := range x.Manifests {
		below := x.below(m)
		if slices.ContainsFunc(providers, func(p manifestEntry) bool { return below[p.ID.Key()] }) {
			out = append(out, m)
		}
	}
	return out
}
