package tam

import (
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
)

// unlink plans what goes: first what operators ordered, then what the agent no
// longer needs (draft-ietf-teep-protocol-26 sections 4.3 and 4.4,
// unneeded-manifest-list).
func (l *lookout) unlink(plan *Plan, limit int) error {
	for _, order := range l.removals {
		known, err := l.r.ManifestsFor(order.Component, maxConsidered)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			plan.note(order.Component, "to be removed, but no manifest for it is published here")
		}
		all := families(known)
		if held := slices.DeleteFunc(slices.Clone(all), func(f []Manifest) bool { return !l.installedOnce(f[0].Component) }); len(held) > 0 {
			all = held
		}
		for _, family := range all {
			l.unlinkOne(plan, family, limit)
		}
	}
	for i, id := range l.in.Unneeded {
		if i == maxConsidered {
			plan.note(id, "not considered, nor any further: %d manifests to unlink in one plan", maxConsidered)
			break
		}
		known, err := l.r.ManifestsFor(id, maxConsidered)
		if err != nil {
			return err
		}
		known = slices.DeleteFunc(known, func(m Manifest) bool { return !m.Component.Equal(id) })
		switch why := l.needed(known); {
		case len(known) == 0:
			plan.note(id, "the device no longer needs it, but no such manifest is published here")
		case why != "":
			plan.note(id, "the device no longer needs it, but %s", why)
		default:
			l.unlinkOne(plan, known, limit)
		}
	}
	return nil
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

// unlinkOne plans to unlink a family of manifests that have one manifest
// component id, if the device holds one of them.
func (l *lookout) unlinkOne(plan *Plan, family []Manifest, limit int) {
	id := family[0].Component
	status := l.statuses[id.Key()]
	switch {
	case slices.ContainsFunc(l.unlinked, id.Equal):
	case !slices.ContainsFunc(family, l.lists):
		plan.note(id, "the device does not hold it")
	case status.State.Removal() && l.in.Now.Before(status.RetryAfter):
		plan.note(id, "its removal rests until %s after %d attempts", status.RetryAfter.UTC().Format(time.RFC3339), status.Attempts)
	case len(plan.Unneeded) == limit:
		plan.note(id, "its removal waits for the next Update")
	default:
		l.unlinked = append(l.unlinked, id)
		plan.Unneeded = append(plan.Unneeded, family[0])
	}
}

// installedOnce reports whether the device is known to hold a manifest of this id, or
// to have held it. Of several that install one component it may be one alone, and
// an agent need not take a list that names one that it does not hold.
func (l *lookout) installedOnce(id suit.ComponentID) bool {
	_, listed := l.inventory[id.Key()]
	switch l.statuses[id.Key()].State {
	case "", devices.Offered, devices.Failed, devices.Removed:
		return listed
	}
	return true
}

// lists reports whether the inventory of the device, or its wish to be rid of the
// manifest, shows that it holds something of it.
func (l *lookout) lists(m Manifest) bool {
	if slices.ContainsFunc(l.in.Unneeded, m.Component.Equal) {
		return true
	}
	for _, c := range m.touches() {
		if _, listed := l.inventory[c.Key()]; listed {
			return true
		}
	}
	return false
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
	if slices.ContainsFunc(l.unlinked, m.Component.Equal) {
		return "it is being removed"
	}
	for _, order := range l.removals {
		if slices.ContainsFunc(m.touches(), order.Component.Equal) {
			return "its removal is ordered"
		}
	}
	return ""
}

// touches lists what a manifest is about: its own id and what it installs.
func (m Manifest) touches() []suit.ComponentID {
	list := []suit.ComponentID{m.Component}
	for _, t := range m.Targets {
		list = append(list, t.Component)
	}
	return list
}

// withoutPayload reports whether the agent has what the envelope carries, or says
// why it can be sent neither with its payloads nor without: the agent has a part.
func (l *lookout) withoutPayload(m Manifest) (bool, string) {
	has := func(c suit.ComponentID) bool {
		for _, q := range l.in.Requested {
			if q.HaveBinary && (q.Component.Equal(c) || q.Component.Equal(m.Component)) {
				return true
			}
		}
		return false
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
