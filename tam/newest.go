package tam

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// NewestPlanner offers the newest acceptable manifest of every component that the
// device must have, has, or asks for. A manifest is acceptable while its signer is
// an anchor with rights over all that it touches. The newest acceptable one that
// rests (see devices.ComponentStatus.RetryAfter) is waited for, not gone around.
//
// Unlinked is what operators ordered gone, and what the agent says it no longer
// needs, unless somebody requires it. What is to go is not offered.
//
// A request with have-binary is for the manifest alone: its envelope goes out
// without integrated payloads, or not at all where another component needs one of
// them. Dependencies and rollouts are later matters.
type NewestPlanner struct {
	MaxManifests int   // in one Update, and as many to unlink; 0 for 8
	MaxBytes     int64 // of all envelopes in one Update; 0 for 768 KiB
}

// Bounds of one plan.
const (
	defaultMaxManifests = 8
	defaultMaxBytes     = 768 << 10
	maxConsidered       = 256 // components; an agent says how many it has
	maxCandidates       = 16  // manifests of one component
	maxRead             = 512 // manifests to offer, of all components
	maxUnneeded         = 32  // manifests that an agent wants to be rid of
)

// Plan implements Planner. The order of its offers is: required, requested,
// installed, and within these by component id.
func (p NewestPlanner) Plan(r Reader, in PlanInput) (Plan, error) {
	if p.MaxManifests == 0 {
		p.MaxManifests = defaultMaxManifests
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = defaultMaxBytes
	}
	plan := Plan{}
	l := lookout{r: r, in: in, maxBytes: p.MaxBytes, anchors: make(map[cosekit.Thumbprint]anchor.Anchor)}
	if err := l.look(); err != nil {
		return Plan{}, err
	}
	if err := l.unlink(&plan); err != nil {
		return Plan{}, err
	}
	left := p.MaxBytes
	for i, w := range l.wants {
		if i == maxConsidered || l.read >= maxRead {
			plan.note(w.component, "not considered, nor any further: %d components and %d manifests in one plan", i, l.read)
			break
		}
		m, why, err := l.newest(w)
		offer := Offer{Manifest: m}
		if err == nil && why == "" {
			offer.WithoutPayload, why = l.withoutPayload(m)
		}
		switch {
		case err != nil:
			return Plan{}, err
		case why != "":
			plan.note(w.component, "%s", why)
		case slices.ContainsFunc(plan.Offers, func(o Offer) bool { return o.Digest.Equal(m.Digest) }):
		case len(plan.Offers) == p.MaxManifests || m.Size > left:
			plan.note(w.component, "sequence %d waits for the next Update", m.Sequence)
		default:
			left -= m.Size
			plan.Offers = append(plan.Offers, offer)
		}
	}
	l.addRemovals(&plan, p.MaxManifests)
	return plan, nil
}

// want is a component to look after.
type want struct {
	component suit.ComponentID
	min       uint64 // lowest sequence number asked for
	listed    bool   // it is only there, neither required nor asked for
}

// lookout is what one plan looks at.
type lookout struct {
	r          Reader
	in         PlanInput
	maxBytes   int64
	wants      []want
	required   []devices.Requirement
	removals   []devices.Removal
	leaving    []suit.ComponentID // manifest component ids that are to go, now or later
	due        []departure        // those of them that do not rest
	inventory  map[string]suit.Digest
	statuses   map[string]devices.ComponentStatus
	unneeded   []suit.ComponentID                   // what the agent wants to be rid of, each once
	isUnneeded map[string]bool                      // the same by key
	anchors    map[cosekit.Thumbprint]anchor.Anchor // those that were looked up
	read       int                                  // manifests, to choose what to offer
}

func (l *lookout) look() error {
	var err error
	if l.required, err = l.r.Requirements(l.in.Device.ID); err != nil {
		return err
	}
	if l.removals, err = l.r.Removals(l.in.Device.ID); err != nil {
		return err
	}
	statuses, err := l.r.ComponentStatuses(l.in.Device.ID)
	if err != nil {
		return err
	}
	l.statuses = make(map[string]devices.ComponentStatus, len(statuses))
	for _, s := range statuses {
		l.statuses[s.Component.Key()] = s
	}
	at := make(map[string]int)
	add := func(list []want) {
		slices.SortStableFunc(list, func(a, b want) int { return strings.Compare(a.component.Key(), b.component.Key()) })
		for _, w := range list {
			key := w.component.Key()
			if i, ok := at[key]; ok {
				l.wants[i].min = max(l.wants[i].min, w.min)
				continue
			}
			at[key] = len(l.wants)
			l.wants = append(l.wants, w)
		}
	}
	var list []want
	for _, q := range l.required {
		list = append(list, want{component: q.Component})
	}
	add(list)
	list = nil
	for _, q := range l.in.Requested {
		w := want{component: q.Component}
		if q.MinSequence != nil {
			w.min = *q.MinSequence
		}
		list = append(list, w)
	}
	add(list)
	list = nil
	l.inventory = make(map[string]suit.Digest, len(l.in.Inventory))
	for _, item := range l.in.Inventory {
		l.inventory[item.Component.Key()] = item.Digest
		list = append(list, want{component: item.Component, listed: true})
	}
	add(list)
	l.isUnneeded = make(map[string]bool)
	for _, id := range l.in.Unneeded {
		if key := id.Key(); !l.isUnneeded[key] {
			l.isUnneeded[key] = true
			l.unneeded = append(l.unneeded, id)
		}
	}
	return nil
}

// newest returns the manifest to offer for a component, or why there is none. What is
// only there belongs to the manifests that the device holds, where it holds some: that
// another one installs the same library is no reason to install that one.
func (l *lookout) newest(w want) (m Manifest, why string, err error) {
	why = "no manifest is published for it"
	var others []Manifest
	held := false
	for m, err := range l.candidates(w.component) {
		if err != nil {
			return Manifest{}, "", err
		}
		if w.listed && !l.names(m.Component) && !l.installedOnce(m.Component) {
			others = append(others, m)
			continue
		}
		held = true
		var chosen bool
		if chosen, why, err = l.choose(m, w); chosen || err != nil {
			return m, why, err
		}
	}
	if held {
		return Manifest{}, why, nil
	}
	for _, m := range others {
		var chosen bool
		if chosen, why, err = l.choose(m, w); chosen || err != nil {
			return m, why, err
		}
	}
	return Manifest{}, why, nil
}

// choose reports whether a candidate is the one, and why it cannot be offered now or
// was passed over.
func (l *lookout) choose(m Manifest, w want) (chosen bool, why string, err error) {
	if why := l.unwanted(m); why != "" {
		return false, why, nil
	}
	if m.Sequence < w.min {
		return true, fmt.Sprintf("the device asks for sequence %d or higher, there is %d", w.min, m.Sequence), nil
	}
	fault, err := l.signerFault(m)
	if fault != "" || err != nil {
		return false, fmt.Sprintf("sequence %d: %s", m.Sequence, fault), err
	}
	why, err = l.obstacle(m)
	return true, why, err
}

// candidates are the manifests for a component, highest sequence number first. Most
// often the first will do, and no other is read.
func (l *lookout) candidates(component suit.ComponentID) iter.Seq2[Manifest, error] {
	return func(yield func(Manifest, error) bool) {
		seen := 0
		for _, limit := range []int{1, maxCandidates} {
			list, err := l.r.ManifestsFor(component, limit)
			if err != nil {
				yield(Manifest{}, err)
				return
			}
			l.read += len(list)
			for _, m := range list[seen:] {
				if !yield(m, nil) {
					return
				}
			}
			if seen = len(list); seen < limit {
				return
			}
		}
	}
}

// signerFault says why the manifest is not acceptable; empty where it is.
func (l *lookout) signerFault(m Manifest) (string, error) {
	for _, signature := range m.signatures() {
		signer, err := l.anchor(signature.Signer)
		if errors.Is(err, ErrNotFound) {
			return "its signer is no publisher any more", nil
		}
		if err != nil {
			return "", err
		}
		if err := signer.Allows(anchor.TCSigner, l.in.Now); err != nil {
			return err.Error(), nil
		}
		for _, c := range signature.Components {
			if !signer.MayPublish(c) {
				return "its signer may not publish " + c.String(), nil
			}
		}
	}
	return "", nil
}

// anchor reads a key that the TAM trusts, once in a plan.
func (l *lookout) anchor(key cosekit.Thumbprint) (anchor.Anchor, error) {
	if known, ok := l.anchors[key]; ok {
		return known, nil
	}
	found, err := l.r.Anchor(key)
	if err == nil {
		l.anchors[key] = found
	}
	return found, err
}

// obstacle says why an acceptable manifest is not offered now; empty for nothing.
func (l *lookout) obstacle(m Manifest) (string, error) {
	if l.installed(m) {
		return fmt.Sprintf("sequence %d is installed", m.Sequence), nil
	}
	held, err := l.heldSequence(m.Component)
	if err != nil {
		return "", err
	}
	status := l.statuses[m.Component.Key()]
	switch {
	case m.Sequence < held:
		return fmt.Sprintf("sequence %d is below the installed %d", m.Sequence, held), nil
	case m.Size > l.maxBytes:
		return fmt.Sprintf("sequence %d: envelope of %d bytes, an Update takes %d; publish its payload apart", m.Sequence, m.Size, l.maxBytes), nil
	case status.Manifest.Equal(m.Digest) && !status.State.Removal() && l.in.Now.Before(status.RetryAfter):
		return fmt.Sprintf("sequence %d rests until %s after %d offers", m.Sequence, status.RetryAfter.UTC().Format(time.RFC3339), status.Attempts), nil
	}
	return "", nil
}

// installed reports whether the device holds what the manifest installs: by the
// digest of the manifest or those of all its targets, or, where the agent lists
// the targets without digests, by its word. A target with another digest is a no, and so
// is another manifest of the id, whose images may be the same; and what has failed, by the
// measurements perhaps, is not there because the agent lists it.
func (l *lookout) installed(m Manifest) bool {
	status := l.statuses[m.Component.Key()]
	if status.Manifest.Equal(m.Digest) && status.State == devices.Failed {
		return false
	}
	claimed := status.Manifest.Equal(m.Digest) && (status.State == devices.Claimed || status.State == devices.Confirmed)
	shown := len(m.Targets) > 0
	for c, wanted := range m.outcomes() {
		d, listed := l.inventory[c.Key()]
		switch {
		case listed && !d.IsZero() && !slices.ContainsFunc(wanted, d.Equal):
			return false
		case !listed || d.IsZero() && !claimed:
			shown = false
		}
	}
	held := l.inventory[m.Component.Key()]
	return held.Equal(m.Digest) || shown && (held.IsZero() || claimed)
}

// heldSequence is the highest sequence number that the device is known to have
// accepted for a manifest component id; it refuses lower ones.
func (l *lookout) heldSequence(component suit.ComponentID) (uint64, error) {
	var held uint64
	if s := l.statuses[component.Key()]; s.State == devices.Claimed || s.State == devices.Confirmed {
		held = s.Sequence
	}
	d, listed := l.inventory[component.Key()]
	if !listed || d.IsZero() {
		return held, nil
	}
	m, err := l.r.Manifest(d)
	switch {
	case errors.Is(err, ErrNotFound):
		return held, nil
	case err != nil:
		return 0, err
	case !m.Component.Equal(component):
		return held, nil
	}
	return max(held, m.Sequence), nil
}
