package tee

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// transaction collects candidates in files that no index names yet.
type transaction struct {
	store      *Store
	candidates map[string]string // component key → file
	done       bool
}

// Begin implements processor.Host.
func (s *Store) Begin(ctx context.Context) (processor.Transaction, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.broken); err != nil {
		return nil, err
	}
	return &transaction{store: s, candidates: map[string]string{}}, nil
}

// nextName returns a file name that was never used, and will not be.
func (s *Store) nextName(prefix string, id suit.ComponentID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.temps++
	return fileName(prefix, id, s.index.Serial, s.temps)
}

// Sequence implements processor.Transaction.
func (t *transaction) Sequence(_ context.Context, manifest suit.ComponentID) (uint64, bool, error) {
	number, known := t.store.view().sequence(manifest)
	return number, known, nil
}

// Installed implements processor.Transaction. The digest is that of the file, now.
func (t *transaction) Installed(_ context.Context, manifest suit.ComponentID) (processor.InstalledManifest, bool, error) {
	e := t.store.view().manifest(manifest)
	if e == nil {
		return processor.InstalledManifest{}, false, nil
	}
	m, err := t.store.measureManifest(*e)
	return processor.InstalledManifest{Digest: m.digest, Sequence: e.Sequence, Root: true}, err == nil, err
}

// References implements processor.Transaction.
func (t *transaction) References(_ context.Context, component suit.ComponentID) ([]suit.ComponentID, error) {
	c := t.store.view().component(component)
	if c == nil {
		return nil, nil
	}
	return slices.Clone(c.Manifests), nil
}

// Floor implements processor.Transaction.
func (t *transaction) Floor(_ context.Context, component suit.ComponentID) (uint64, error) {
	return t.store.view().floor(component), nil
}

// Open implements processor.Transaction.
func (t *transaction) Open(_ context.Context, component suit.ComponentID) (io.ReadCloser, uint64, error) {
	if t.done {
		return nil, 0, ErrFinished
	}
	name, ok := t.candidates[component.Key()]
	if !ok {
		c := t.store.view().component(component)
		if c == nil {
			return nil, 0, processor.ErrNoImage
		}
		name = c.File
	}
	return t.store.files.Open(name)
}

// Create implements processor.Transaction.
func (t *transaction) Create(ctx context.Context, component suit.ComponentID) (io.WriteCloser, error) {
	if t.done {
		return nil, ErrFinished
	}
	if err := errors.Join(ctx.Err(), t.store.Supports(component)); err != nil {
		return nil, err
	}
	key := component.Key()
	if earlier, ok := t.candidates[key]; ok {
		if err := t.store.files.Remove(earlier); err != nil {
			return nil, err
		}
		delete(t.candidates, key)
	}
	name := t.store.nextName(imagePrefix, component)
	f, err := t.store.files.Create(name)
	if err != nil {
		return nil, err
	}
	t.candidates[key] = name
	return &candidate{f}, nil
}

// candidate syncs on Close: an image counts only once it is on the disk.
type candidate struct{ file }

func (c *candidate) Close() error { return errors.Join(c.Sync(), c.file.Close()) }

// Commit implements processor.Transaction. The index is the one switch: it names the
// new images, the new manifest and its sequence number together.
func (t *transaction) Commit(ctx context.Context, change processor.Change) error {
	for _, id := range change.Uninstall {
		if err := t.uninstall(ctx, id); err != nil {
			return err
		}
	}
	for _, in := range change.Install {
		if err := t.install(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// Version implements processor.Transaction.
func (t *transaction) Version(context.Context, suit.ComponentID) ([]int64, error) {
	return nil, errors.ErrUnsupported
}

// Swap implements processor.Transaction.
func (t *transaction) Swap(context.Context, suit.ComponentID, suit.ComponentID) error {
	return errors.ErrUnsupported
}

func (t *transaction) install(ctx context.Context, in processor.Installation) error {
	if t.done {
		return ErrFinished
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	envelope := t.store.nextName(envelopePrefix, in.Manifest)
	if err := writeFile(t.store.files, envelope, in.Envelope); err != nil {
		return errors.Join(err, t.store.removeIfThere(envelope))
	}
	err := t.store.change(func(next *index) error {
		if err := next.putManifest(manifestEntry{ID: in.Manifest, Sequence: in.Sequence, File: envelope}); err != nil {
			return err
		}
		if err := t.record(next, in); err != nil {
			return err
		}
		return t.store.checkEvidence(ctx, next)
	})
	switch {
	case err == nil:
		t.done = true
		return nil
	case errors.Is(err, ErrBroken):
		// The disk may hold the new index already: leave every file to the next Open.
		t.done = true
		return err
	}
	return errors.Join(err, t.store.removeIfThere(envelope))
}

// record enters the new images, and makes the manifest reference the components that
// it lists: those, and others whose installed image was found to be right.
func (t *transaction) record(next *index, in processor.Installation) error {
	written := 0
	for _, id := range in.Components {
		name, ok := t.candidates[id.Key()]
		if !ok {
			continue
		}
		if err := next.putImage(id, name); err != nil {
			return err
		}
		written++
	}
	if written != len(t.candidates) {
		return fmt.Errorf("a candidate is of no component of manifest %s", in.Manifest)
	}
	next.reference(in.Manifest, in.Components)
	next.Requests = slices.DeleteFunc(next.Requests, next.satisfied)
	return nil
}

// uninstall: as with Commit the index is the switch;
// the files go after it.
func (t *transaction) uninstall(ctx context.Context, manifest suit.ComponentID) error {
	if t.done {
		return ErrFinished
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := t.store.change(func(next *index) error {
		if !next.dropManifest(manifest) {
			return processor.ErrNotInstalled
		}
		return nil
	})
	if err == nil || errors.Is(err, ErrBroken) {
		t.done = true
	}
	return err
}

// Rollback implements processor.Transaction.
func (t *transaction) Rollback() error {
	if t.done {
		return nil
	}
	t.done = true
	var errs []error
	for _, name := range t.candidates {
		errs = append(errs, t.store.removeIfThere(name))
	}
	return errors.Join(errs...)
}
