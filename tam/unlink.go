package tam

import (
	"errors"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
)

// departure is a manifest that is to go, and how often its removal was tried.
type departure struct {
	Manifest
	tried int
}

// unlink finds what goes: first what operators ordered, then what the agent no
// longer needs (draft-ietf-teep-protocol-26 sections 4.3 and 4.4,
// unneeded-manifest-list).
func (l *lookout) unlink(plan *Plan) error {
	for _, order := range l.removals {
		known, err := l.r.ManifestsFor(order.Component, maxConsidered)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			plan.note(order.Component, "to be removed, but no manifest for it is published here")
		}
		for _, family := range l.held(families(known)) {
			if err := l.unlinkOne(plan, family); err != nil {
				return err
			}
		}
	}
	for i, id := range l.unneeded {
		if i == maxUnneeded {
			plan.note(id, "not considered, nor any further: %d manifests that the device does not need in one plan", maxUnneeded)
			break
		}
		family, err := l.family(id)
		if err != nil {
			return err
		}
		switch why := l.needed(family); {
		case len(family) == 0:
			plan.note(id, "the device no longer needs it, but no such manifest is published here")
		case why != "":
			plan.note(id, "the device no longer needs it, but %s", why)
		default:
			if err := l.unlinkOne(plan, family); err != nil {
				return err
			}
		}
	}
	return nil
}

// family is what matters of a manifest component id: the newest manifest, and the one
// that the device lists.
func (l *lookout) family(id suit.ComponentID) (family []Manifest, err error) {
	newest, err := l.r.LatestManifest(id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	family = []Manifest{newest}
	listed := l.inventory[id.Key()]
	if listed.IsZero() || listed.Equal(newest.Digest) {
		return family, nil
	}
	switch held, err := l.r.Manifest(listed); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return nil, err
	case held.Component.Equal(id):
		family = append(family, held)
	}
	return family, nil
}

// held narrows the families that touch one component down to those that the device
// holds: an agent need not take a list that names one that it does not hold. Where
// the agent names manifests, its word is enough. Else it is what the device is known
// to hold, or to have held; else it may be any.
func (l *lookout) held(all [][]Manifest) [][]Manifest {
	for _, known := range []func(suit.ComponentID) bool{l.names, l.installedOnce} {
		held := slices.DeleteFunc(slices.Clone(all), func(f []Manifest) bool { return !known(f[0].Component) })
		if len(held) > 0 {
			return held
		}
	}
	return all
}

// families groups manifests by their manifest component id, in the order given:
// the newest of each is the first.
func families(list []Manifest) (groups [][]Manifest) {
	at := make(map[string]int)
	for _, m := range list {
		key := m.Component.Key()
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], m)
	}
	return groups
}

// unlinkOne finds a family of manifests that have one manifest component id on its
// way out, if the device holds one of them.
func (l *lookout) unlinkOne(plan *Plan, family []Manifest) error {
	id := family[0].Component
	if slices.ContainsFunc(l.leaving, id.Equal) {
		return nil
	}
	if listed, err := l.listsAny(family); err != nil || !listed {
		plan.note(id, "the device does not hold it")
		return err
	}
	l.leaving = append(l.leaving, id)
	status, tried := l.statuses[id.Key()], 0
	if status.State.Removal() {
		tried = status.Attempts
		if l.in.Now.Before(status.RetryAfter) {
			plan.note(id, "its removal rests until %s after %d attempts", status.RetryAfter.UTC().Format(time.RFC3339), tried)
			return nil
		}
	}
	l.due = append(l.due, departure{family[0], tried})
	return nil
}

// addRemovals completes the plan with what is to go. An agent unlinks in order, stops
// at the first failure and then installs nothing; one that does not hold a manifest
// of the list may refuse all of it. So a removal that was tried before goes out
// alone, and not before all that was tried less often.
func (l *lookout) addRemovals(plan *Plan, limit int) {
	var again *departure
	anew := false
	for i, d := range l.due {
		switch {
		case d.tried == 0:
			anew = true
		case again == nil || l.sooner(d, *again):
			again = &l.due[i]
		}
	}
	alone := again != nil && !anew && l.attempts(plan.Offers) >= again.tried
	for i, d := range l.due {
		switch {
		case alone && again == &l.due[i], d.tried == 0 && len(plan.Unneeded) < limit:
			plan.Unneeded = append(plan.Unneeded, d.Manifest)
		case d.tried == 0:
			plan.note(d.Component, "its removal waits for the next Update")
		default:
			plan.note(d.Component, "its removal was tried before and waits for an Update of its own")
		}
	}
	if alone {
		for _, o := range plan.Offers {
			plan.note(o.Component, "sequence %d waits: the removal of %s goes alone", o.Sequence, again.Component)
		}
		plan.Offers = nil
	}
}

// sooner reports whether the removal a goes before b: the one tried less often, and
// of equals the one that the agent has not called done.
func (l *lookout) sooner(a, b departure) bool {
	done := func(d departure) bool { return l.statuses[d.Component.Key()].State == devices.Unlinked }
	return a.tried < b.tried || a.tried == b.tried && done(b) && !done(a)
}

// attempts is how often the least tried of the offers was made; without any it is more
// than any removal was tried.
func (l *lookout) attempts(offers []Offer) int {
	least := math.MaxInt
	for _, o := range offers {
		tried := 0
		if status := l.statuses[o.Component.Key()]; status.Manifest.Equal(o.Digest) && !status.State.Removal() {
			tried = status.Attempts
		}
		least = min(least, tried)
	}
	return least
}

// names reports whether the agent itself names the manifest: it lists it, or wants to
// be rid of it.
func (l *lookout) names(id suit.ComponentID) bool {
	_, listed := l.inventory[id.Key()]
	return listed || l.isUnneeded[id.Key()]
}

// installedOnce reports whether the device is known to hold a manifest of this id, or
// to have held it.
func (l *lookout) installedOnce(id suit.ComponentID) bool {
	switch l.statuses[id.Key()].State {
	case "", devices.Offered, devices.Failed, devices.Removed:
		return false
	}
	return true
}

// listsAny reports whether the inventory of the device, or its wish to be rid of the
// manifest, shows that it holds something of one of the family. Where the family is known
// to be gone, what another manifest has brought as well does not show that it is back.
func (l *lookout) listsAny(family []Manifest) (bool, error) {
	id := family[0].Component
	if l.names(id) {
		return true, nil
	}
	gone := l.statuses[id.Key()].State == devices.Removed
	for _, m := range family {
		for _, c := range m.touches() {
			if _, listed := l.inventory[c.Key()]; !listed {
				continue
			}
			if !gone {
				return true, nil
			}
			if other, err := shared(l.r, maps.Values(l.statuses), c, m); err != nil || !other {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// needed says who still needs a family of manifests; empty for nobody.
func (l *lookout) needed(family []Manifest) string {
	touched := func(c suit.ComponentID) bool {
		return slices.ContainsFunc(family, func(m Manifest) bool { return slices.ContainsFunc(m.touches(), c.Equal) })
	}
	for _, q := range l.required {
		if touched(q.Component) {
			return "it is required: " + q.Component.String()
		}
	}
	for _, q := range l.in.Requested {
		if touched(q.Component) {
			return "it asks for " + q.Component.String()
		}
	}
	return ""
}

// unwanted says why the device must not get a manifest; empty for no reason.
func (l *lookout) unwanted(m Manifest) string {
	if slices.ContainsFunc(l.leaving, m.Component.Equal) {
		return "it is being removed"
	}
	for _, order := range l.removals {
		if slices.ContainsFunc(m.touches(), order.Component.Equal) {
			return "its removal is ordered"
		}
	}
	return ""
}

// touches lists what a manifest is about: its own id, what it installs, and where the
// manifests are that it depends on.
func (m Manifest) touches() []suit.ComponentID {
	list := []suit.ComponentID{m.Component}
	for c := range m.outcomes() {
		list = append(list, c)
	}
	for _, d := range m.Dependencies {
		list = append(list, d.Component)
	}
	return list
}

// outcomes goes through the components that the manifest installs, with the digests
// that each may have then.
func (m Manifest) outcomes() iter.Seq2[suit.ComponentID, []suit.Digest] {
	return func(yield func(suit.ComponentID, []suit.Digest) bool) {
		for i, t := range m.Targets {
			same := func(other Target) bool { return other.Component.Equal(t.Component) }
			if slices.ContainsFunc(m.Targets[:i], same) {
				continue
			}
			digests := []suit.Digest{t.ImageDigest}
			for _, other := range m.Targets[i+1:] {
				if same(other) {
					digests = append(digests, other.ImageDigest)
				}
			}
			if !yield(t.Component, digests) {
				return
			}
		}
	}
}

// withoutPayload reports whether the agent has what the envelope carries, or says
// why it can be sent neither with its payloads nor without: the agent has a part. One
// with dependencies is sent whole.
func (l *lookout) withoutPayload(m Manifest) (bool, string) {
	has := func(c suit.ComponentID) bool {
		for _, q := range l.in.Requested {
			if q.HaveBinary && (q.Component.Equal(c) || q.Component.Equal(m.Component)) {
				return true
			}
		}
		return false
	}
	if len(m.Dependencies) > 0 {
		return false, "" // their envelopes may be among the payloads
	}
	var had, lacking bool
	var lacks suit.ComponentID
	for _, t := range m.Targets {
		switch {
		case has(t.Component):
			had = true
		case t.URI == "":
			lacking, lacks = true, t.Component
		}
	}
	if had && lacking {
		return false, "the device has its binary, but not that of " + lacks.String() + ", which comes in the same envelope"
	}
	return had, ""
}
