package tee

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Commit implements processor.Transaction. The index is the one switch: it names the new
// images, the new manifests and their sequence numbers together, and what is uninstalled
// no more.
func (t *transaction) Commit(ctx context.Context, change processor.Change) error {
	if t.done {
		return ErrFinished
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	envelopes, err := t.writeEnvelopes(change.Install)
	if err == nil {
		replace := t.store.enlarge
		if len(change.Install) == 0 {
			replace = t.store.change
		}
		err = replace(func(next *index) error {
			if err := next.apply(change, envelopes, t.candidates); err != nil || len(change.Install) == 0 {
				return err // what is uninstalled makes evidence smaller
			}
			return t.store.checkEvidence(ctx, next)
		})
	}
	switch {
	case err == nil:
		t.done = true
		t.tidy(change.Install, envelopes)
		return nil
	case errors.Is(err, ErrBroken):
		// The disk may hold the new index already: leave every file to the next Open.
		t.done = true
		return err
	}
	for _, name := range envelopes {
		err = errors.Join(err, t.store.removeIfThere(name))
	}
	return err
}

// writeEnvelopes stores the envelopes, and returns the names of their files in the same
// order. Where it fails it returns those that may be there.
func (t *transaction) writeEnvelopes(list []processor.Installation) (names []string, err error) {
	for _, in := range list {
		data, err := bare(in)
		if err != nil {
			return names, fmt.Errorf("envelope of manifest %s: %w", in.Manifest, err)
		}
		name := t.store.nextName(envelopePrefix, in.Manifest)
		names = append(names, name)
		if err := t.store.writeFile(name, data); err != nil {
			return names, err
		}
	}
	return names, nil
}

// bare returns the envelope without what it integrates, payloads and envelopes of
// dependencies: what was used of these is in files of its own.
func bare(in processor.Installation) ([]byte, error) {
	envelope, err := suit.Decode(in.Envelope)
	if err != nil {
		return nil, err
	}
	digest, err := envelope.MeasureDigest()
	if err != nil {
		return nil, err
	}
	if !digest.Equal(in.Digest) {
		return nil, fmt.Errorf("%w: it has %s, to be installed is %s", suit.ErrDigest, digest, in.Digest)
	}
	return envelope.WithoutPayloads().Encode(true)
}

// apply makes the change in the index.
func (x *index) apply(change processor.Change, envelopes []string, candidates map[string]string) error {
	for _, id := range change.Uninstall {
		m := x.manifest(id)
		if m == nil || !m.Root {
			return fmt.Errorf("%w: %s", processor.ErrNotInstalled, id)
		}
		m.Root = false
		x.Unneeded = remove(x.Unneeded, id)
	}
	for i, in := range change.Install {
		if slices.ContainsFunc(change.Install[:i], func(other processor.Installation) bool { return other.Manifest.Equal(in.Manifest) }) {
			return fmt.Errorf("manifest %s stands twice in one change", in.Manifest)
		}
		x.putManifest(in, envelopes[i])
	}
	if err := x.putImages(change.Install, candidates); err != nil {
		return err
	}
	x.prune()
	x.raiseFloors()
	x.Requests = slices.DeleteFunc(x.Requests, x.satisfied)
	if len(change.Install) == 0 {
		return nil
	}
	return x.checkRoom()
}

func (x *index) putManifest(in processor.Installation, file string) {
	e := manifestEntry{
		ID: in.Manifest, Sequence: in.Sequence, File: file, Root: in.Root, Version: slices.Clone(in.Version),
		Components: unique(in.Components), Dependencies: unique(in.Dependencies), Observed: unique(in.Observed),
	}
	if old := x.manifest(in.Manifest); old != nil {
		e.Root = e.Root || old.Root
		*old = e
		return
	}
	x.Manifests = append(x.Manifests, e)
	x.Retired = slices.DeleteFunc(x.Retired, func(r retiredEntry) bool { return r.ID.Equal(in.Manifest) })
}

func unique(list []suit.ComponentID) []suit.ComponentID {
	var out []suit.ComponentID
	for _, id := range list {
		if !contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// putImages makes every candidate the image of its component. Those of manifests are the
// envelopes as they were fetched; what is stored of them is in place already.
func (x *index) putImages(list []processor.Installation, candidates map[string]string) error {
	placed := map[string]bool{}
	for _, in := range list {
		placed[in.Manifest.Key()] = true
	}
	for _, in := range list {
		for _, id := range in.Components {
			key := id.Key()
			metadata, err := newMetadata(in.Metadata[key])
			if err != nil {
				return fmt.Errorf("component %s: %w", id, err)
			}
			if file, ok := candidates[key]; ok {
				x.putImage(id, file)
				placed[key] = true
			}
			if c := x.component(id); c != nil && metadata != nil {
				c.Metadata = metadata
			}
		}
	}
	for key := range candidates {
		if !placed[key] {
			var id suit.ComponentID
			err := id.UnmarshalCBOR([]byte(key))
			return errors.Join(fmt.Errorf("the candidate %s is of no component of the manifests that are installed", id), err)
		}
	}
	return nil
}

// putImage makes the file the image of the component.
func (x *index) putImage(id suit.ComponentID, file string) {
	switch old := x.component(id); {
	case old == nil:
		x.Components = append(x.Components, componentEntry{ID: id, File: file})
	case old.File != file:
		*old = componentEntry{ID: id, File: file}
	}
}

// checkRoom refuses an index of more entries than there may be, and one in which an id
// means two things: the image of one manifest and the name of another.
func (x *index) checkRoom() error {
	switch {
	case len(x.Components) > maxComponents:
		return fmt.Errorf("%w: %d components, at most %d; unlink something first", ErrFull, len(x.Components), maxComponents)
	case len(x.Manifests) > maxComponents:
		return fmt.Errorf("%w: %d manifests, at most %d; unlink something first", ErrFull, len(x.Manifests), maxComponents)
	case x.listed() > maxListed:
		return fmt.Errorf("%w: %d components and dependencies in all manifests, at most %d; unlink something first", ErrFull, x.listed(), maxListed)
	}
	listed := x.listers()
	for _, m := range x.Manifests {
		for _, by := range listed[m.ID.Key()] {
			if !by.Equal(m.ID) {
				return fmt.Errorf("%w: %s is a component of manifest %s and the name of another", ErrAmbiguous, m.ID, by)
			}
		}
	}
	return nil
}

// tidy removes what the transaction had and the index does not name, such as the
// envelopes of dependencies as they were fetched, and what is left of payloads whose
// components are installed. A file that stays behind is swept at the next Open.
func (t *transaction) tidy(installed []processor.Installation, envelopes []string) {
	for _, in := range installed {
		t.store.supersede(t, append([]suit.ComponentID{in.Manifest}, in.Components...))
	}
	named := t.store.view().files()
	for _, name := range slices.AppendSeq(envelopes, maps.Values(t.candidates)) {
		if !named[name] && !t.store.resumable(name) {
			_ = t.store.files.Remove(name)
		}
	}
	_ = t.store.release(t)
}
