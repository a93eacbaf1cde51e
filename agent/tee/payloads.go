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

// Bounds of the payloads that are kept between two transactions.
const (
	maxPayloads     = 8
	maxPayloadBytes = 4 << 30 // as much as processor.DefaultLimits lets one manifest fetch
	// maxIdle is how many changes of the store a payload waits for its rest: every session
	// with a TAM is one, at least.
	maxIdle = 1024
)

const defaultCheckpoint = 4 << 20

// keptPayload is a file that can be resumed.
type keptPayload struct {
	payload
	by *transaction // that has it in hand; nil for none
}

// receiver is the candidate of a component that need not arrive at once. Its file is
// known by its name, and says there how much of it is surely on the disk.
type receiver struct {
	store *Store
	kept  *keptPayload
	file  file
	grown uint64       // bytes since the last checkpoint
	lost  bool         // something of it could not be written
	whole func(string) // told the name of the file when it has arrived whole
}

// Resume implements processor.Resumable. A second one for the same component in the same
// transaction begins anew: what the first one gave was of no use.
func (t *transaction) Resume(ctx context.Context, component suit.ComponentID, want suit.Digest) (processor.Partial, io.ReadCloser, error) {
	if err := t.ready(ctx, component); err != nil {
		return nil, nil, err
	}
	p := newPayload(component, want)
	old, err := t.claim(p)
	if err != nil {
		return nil, nil, fmt.Errorf("resume the payload of component %s: %w", component, err)
	}
	r := &receiver{store: t.store, kept: old, whole: func(file string) { t.candidates[component.Key()] = file }}
	if old != nil {
		earlier, err := r.proceed()
		if err == nil {
			return r, earlier, nil
		}
		// It is not what its name says: another file, a link, or less than was there.
		if err := t.drop(old); err != nil {
			return nil, nil, err
		}
	}
	return r, nil, r.begin(t, p)
}

// claim returns what is kept of the payload, for this transaction alone; nil where there
// is nothing of use.
func (t *transaction) claim(p payload) (*keptPayload, error) {
	t.store.mu.Lock()
	old := t.store.payloads[p.component]
	useless := old != nil && (old.by == t || old.by == nil && old.want != p.want)
	taken := old != nil && !useless && old.by != nil
	if old != nil && !useless && !taken {
		old.by = t
	}
	t.store.mu.Unlock()
	switch {
	case useless:
		return nil, t.drop(old)
	case taken:
		return nil, errors.New("another transaction receives it")
	}
	return old, nil
}

// begin makes the file of a payload of which nothing is there.
func (r *receiver) begin(t *transaction, p payload) (err error) {
	p.serial, p.temp = r.store.nextNumber()
	if r.file, err = r.store.files.Create(p.name()); err != nil {
		return err
	}
	r.kept = &keptPayload{p, t}
	r.store.keepPayload(r.kept)
	return nil
}

// proceed takes the file up where it was left, and reads what is there.
func (r *receiver) proceed() (earlier io.ReadCloser, err error) {
	name, size := r.kept.name(), r.kept.size
	if r.file, err = r.store.files.Append(name, size); err != nil {
		return nil, err
	}
	if earlier, _, err = r.store.files.Open(name); err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return earlier, nil
}

func (r *receiver) Write(p []byte) (int, error) {
	n, err := r.store.write(r.file, p)
	r.grown += uint64(n)
	if err == nil && r.grown >= r.store.checkpoint {
		err = r.save()
	}
	r.lost = r.lost || err != nil
	return n, err
}

// save makes what has arrived durable, and only then says so in the name.
func (r *receiver) save() error {
	if err := r.file.Sync(); err != nil {
		return err
	}
	next := r.kept.payload
	next.size += r.grown
	next.serial, next.temp = r.store.nextNumber()
	if err := r.store.files.Rename(r.kept.name(), next.name()); err != nil {
		return err
	}
	r.store.mu.Lock()
	r.kept.payload, r.grown = next, 0
	r.store.mu.Unlock()
	return r.store.files.SyncDir()
}

var errLost = errors.New("the payload could not be written whole")

// Suspend implements processor.Partial. A payload that the disk did not take is not kept:
// where it is full, the payload would be what fills it.
func (r *receiver) Suspend() error {
	err := errLost
	if !r.lost {
		err = r.save()
	}
	err = errors.Join(err, r.file.Close())
	if err == nil {
		return nil
	}
	r.store.forgetPayload(r.kept)
	return errors.Join(err, r.store.removeIfThere(r.kept.name()))
}

// Close implements processor.Partial. The whole payload is kept also where the
// transaction comes to nothing: the reason may be another component.
func (r *receiver) Close() error {
	if err := r.Suspend(); err != nil {
		return err
	}
	r.whole(r.kept.name())
	return nil
}

// drop forgets a payload, and removes its file unless that has become a candidate.
func (t *transaction) drop(p *keptPayload) error {
	t.store.forgetPayload(p)
	for _, name := range t.candidates {
		if name == p.name() {
			return nil
		}
	}
	return t.store.removeIfThere(p.name())
}

// received returns the payload that this transaction has received for the component, nil
// for none.
func (t *transaction) received(id suit.ComponentID) *keptPayload {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if p := t.store.payloads[hashed(id.Key())]; p != nil && p.by == t {
		return p
	}
	return nil
}

func (s *Store) keepPayload(p *keptPayload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payloads[p.component] = p
}

func (s *Store) forgetPayload(p *keptPayload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.payloads, p.component)
}

// resumable reports whether the file is one that a later transaction can go on with.
func (s *Store) resumable(name string) bool {
	p, ok := parsePayload(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.payloads[p.component]
	return ok && kept != nil && kept.name() == name
}

// dropped returns the files of x that next does not name, and that have the names of
// payloads.
func (x *index) dropped(next *index) []string {
	var names []string
	named := next.files()
	for name := range x.files() {
		if _, ok := parsePayload(name); ok && !named[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// adopt takes over a payload that an earlier process has left in the directory. It
// reports false for a file that is to be removed.
func (s *Store) adopt(name string) bool {
	p, ok := parsePayload(name)
	if !ok || s.payloads[p.component] != nil {
		return false
	}
	s.payloads[p.component] = &keptPayload{payload: p}
	return true
}

// supersede forgets what is kept of payloads for components that are installed now, and
// removes it unless it is what was installed.
func (s *Store) supersede(t *transaction, installed []suit.ComponentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := s.index.files()
	for _, id := range installed {
		p := s.payloads[hashed(id.Key())]
		if p == nil || p.by != nil && p.by != t {
			continue
		}
		delete(s.payloads, p.component)
		if !named[p.name()] {
			_ = s.files.Remove(p.name())
		}
	}
}

// release ends the transaction's hold on payloads, and drops what is not worth keeping:
// what nobody has asked for since long ago, and the oldest, until the others are within
// their bounds.
func (s *Store) release(t *transaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for _, p := range s.payloads {
		if p.by == t {
			p.by = nil
		}
	}
	for p := s.excess(); p != nil; p = s.excess() {
		delete(s.payloads, p.component)
		faults = append(faults, s.removeIfThere(p.name()))
	}
	return errors.Join(faults...)
}

// excess returns a payload that is not worth keeping, or nil.
func (s *Store) excess() *keptPayload {
	var oldest *keptPayload
	var total uint64
	count := 0
	for _, p := range s.payloads {
		if p.by != nil {
			continue
		}
		if p.size == 0 {
			return p
		}
		count++
		total += p.size
		if oldest == nil || p.before(oldest.payload) {
			oldest = p
		}
	}
	if count > maxPayloads || total > maxPayloadBytes || oldest != nil && oldest.serial+maxIdle < s.index.Serial {
		return oldest
	}
	return nil
}
