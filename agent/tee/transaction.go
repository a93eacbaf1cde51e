package tee

import (
	"context"
	"errors"
	"io"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// transaction collects candidates in files that no index names yet, or names for
// another component.
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

// nextNumber returns the numbers of a file name that was never used, and will not be.
func (s *Store) nextNumber() (serial uint64, temp int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.temps++
	return s.index.Serial, s.temps
}

func (s *Store) nextName(prefix string, id suit.ComponentID) string {
	serial, temp := s.nextNumber()
	return fileName(prefix, id, serial, temp)
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
	return processor.InstalledManifest{Digest: m.digest, Sequence: e.Sequence, Root: e.Root}, err == nil, err
}

// References implements processor.Transaction.
func (t *transaction) References(_ context.Context, component suit.ComponentID) ([]suit.ComponentID, error) {
	return t.store.view().references(component), nil
}

// Floor implements processor.Transaction.
func (t *transaction) Floor(_ context.Context, component suit.ComponentID) (uint64, error) {
	return t.store.view().floor(component), nil
}

// Version implements processor.Transaction.
func (t *transaction) Version(_ context.Context, component suit.ComponentID) ([]int64, error) {
	x := t.store.view()
	if _, ok := x.image(component); !ok {
		return nil, processor.ErrNoImage
	}
	return x.version(component), nil
}

// file returns where the component's image is in this transaction.
func (t *transaction) file(component suit.ComponentID) (string, error) {
	if name, ok := t.candidates[component.Key()]; ok {
		return name, nil
	}
	if name, ok := t.store.view().image(component); ok {
		return name, nil
	}
	return "", processor.ErrNoImage
}

// Open implements processor.Transaction.
func (t *transaction) Open(_ context.Context, component suit.ComponentID) (io.ReadCloser, uint64, error) {
	if t.done {
		return nil, 0, ErrFinished
	}
	name, err := t.file(component)
	if err != nil {
		return nil, 0, err
	}
	return t.store.files.Open(name)
}

// Create implements processor.Transaction. A payload that this transaction received for
// the component was of no use then.
func (t *transaction) Create(ctx context.Context, component suit.ComponentID) (io.WriteCloser, error) {
	if err := t.ready(ctx, component); err != nil {
		return nil, err
	}
	if p := t.received(component); p != nil {
		if err := t.drop(p); err != nil {
			return nil, err
		}
	}
	name := t.store.nextName(imagePrefix, component)
	f, err := t.store.files.Create(name)
	if err != nil {
		return nil, err
	}
	t.candidates[component.Key()] = name
	return &candidate{f, t.store}, nil
}

// ready makes room for a new candidate of the component.
func (t *transaction) ready(ctx context.Context, component suit.ComponentID) error {
	if t.done {
		return ErrFinished
	}
	if err := errors.Join(ctx.Err(), t.store.Supports(component)); err != nil {
		return err
	}
	earlier, ok := t.candidates[component.Key()]
	if !ok {
		return nil
	}
	if err := t.remove(earlier); err != nil {
		return err
	}
	delete(t.candidates, component.Key())
	return nil
}

// remove removes the file of a candidate, unless it is the image of something that is
// installed, or can be resumed.
func (t *transaction) remove(name string) error {
	if t.store.resumable(name) || t.store.view().files()[name] {
		return nil
	}
	return t.store.removeIfThere(name)
}

// candidate syncs on Close: an image counts only once it is on the disk.
type candidate struct {
	file
	store *Store
}

func (c *candidate) Write(p []byte) (int, error) { return c.store.write(c.file, p) }

func (c *candidate) Close() error {
	err := c.Sync()
	if isFull(err) {
		c.store.makeRoom() // for the next try; what was lost here cannot be told
	}
	return errors.Join(err, c.file.Close())
}

// Swap implements processor.Transaction.
func (t *transaction) Swap(ctx context.Context, a, b suit.ComponentID) error {
	if t.done {
		return ErrFinished
	}
	if err := errors.Join(ctx.Err(), t.store.Supports(a), t.store.Supports(b)); err != nil {
		return err
	}
	ofA, errA := t.file(a)
	ofB, errB := t.file(b)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	t.candidates[a.Key()], t.candidates[b.Key()] = ofB, ofA
	return nil
}

// Rollback implements processor.Transaction.
func (t *transaction) Rollback() error {
	if t.done {
		return nil
	}
	t.done = true
	var errs []error
	for _, name := range t.candidates {
		errs = append(errs, t.remove(name))
	}
	return errors.Join(append(errs, t.store.release(t))...)
}
