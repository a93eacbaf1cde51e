package tee

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Store is the component store and memory of one agent. Its methods may be called
// at the same time; a transaction belongs to one caller.
type Store struct {
	identity processor.Identity
	files    files
	unlock   func() error
	// checkpoint is how many bytes a payload may grow by until they are made durable.
	checkpoint uint64

	mu       sync.Mutex
	index    *index
	broken   error                   // of a commit whose outcome is not known
	temps    int                     // files begun since Open, for their names
	payloads map[string]*keptPayload // by the hash of their component
	reserved int                     // bytes of the reserve
}

// Open takes the directory for this process, and makes it where it does not exist.
// What an interrupted change left behind is removed. ErrLocked where another
// process has it.
func Open(dir string, identity processor.Identity) (*Store, error) {
	root, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	held, err := lock(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	unlock := func() error { return errors.Join(held.Close(), root.Close()) }
	s, err := open(dirFiles{root}, identity, unlock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("component store %s: %w", dir, err), unlock())
	}
	return s, nil
}

// Read opens the directory to look at it: without the lock, and without cleaning it.
// Changes are refused.
func Read(dir string, identity processor.Identity) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{identity: identity, files: dirFiles{root}, unlock: root.Close, broken: errReadOnly}
	if s.index, err = readIndex(s.files); err != nil {
		return nil, errors.Join(fmt.Errorf("component store %s: %w", dir, err), root.Close())
	}
	return s, nil
}

var errReadOnly = errors.New("store is open for reading only")

func open(f files, identity processor.Identity, unlock func() error) (*Store, error) {
	x, err := readIndex(f)
	if err != nil {
		return nil, err
	}
	s := &Store{identity: identity, files: f, unlock: unlock, index: x, checkpoint: defaultCheckpoint, payloads: map[string]*keptPayload{}}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	return s, s.findReserve()
}

// Close ends the use of the directory.
func (s *Store) Close() error { return s.unlock() }

func readIndex(f files) (*index, error) {
	r, _, err := f.Open(indexName)
	if errors.Is(err, fs.ErrNotExist) {
		return new(index), nil
	}
	if err != nil {
		return nil, err
	}
	data, err := readAll(r, maxIndexSize)
	if err != nil {
		return nil, err
	}
	return decodeIndex(data)
}

// sweep removes the files that the index does not name, unless they can be resumed, and
// checks that those it names are there.
func (s *Store) sweep() error {
	names, err := s.files.Names()
	if err != nil {
		return err
	}
	missing := s.index.files()
	for _, name := range names {
		if missing[name] {
			delete(missing, name)
		} else if ownFile(name) && (slices.Contains(s.index.Dropped, name) || !s.adopt(name)) {
			if err := s.files.Remove(name); err != nil {
				return err
			}
		}
	}
	for name := range missing {
		return fmt.Errorf("%w: file %s is gone", ErrDamaged, name)
	}
	return s.release(nil)
}

// change makes next the state of the store: with a new index, or not at all. It is for
// what has to be possible also where the disk is full.
func (s *Store) change(edit func(next *index) error) error { return s.replace(edit, false) }

// enlarge is change for what makes the store larger: it leaves the reserve alone, and is
// refused where that could not be large enough for the change after it.
func (s *Store) enlarge(edit func(next *index) error) error { return s.replace(edit, true) }

func (s *Store) replace(edit func(next *index) error, larger bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	next := s.index.clone()
	next.Serial++
	if err := edit(next); err != nil {
		return err
	}
	next.Dropped = s.index.dropped(next)
	if err := next.checkReadable(); err != nil {
		return err
	}
	data := next.encode()
	if err := s.hold(len(data)); err != nil && larger {
		return fmt.Errorf("hold disk space back for later changes: %w", err)
	}
	err := s.writeTemp(data)
	if isFull(err) && s.dropKept() {
		err = s.writeTemp(data)
	}
	if isFull(err) && !larger && s.letGo() {
		err = s.writeTemp(data)
	}
	if err != nil {
		return err
	}
	if err := s.switchIndex(); err != nil {
		return err
	}
	old := s.index
	s.index = next
	s.discard(old, next)
	_ = s.hold(len(data)) // as far as there is room: what needs more asks again
	return nil
}

// writeTemp makes the new index, and the names that it refers to, durable.
func (s *Store) writeTemp(data []byte) error {
	if s.broken != nil {
		return s.broken
	}
	err := writeFile(s.files, indexTemp, data)
	if err == nil {
		err = s.files.SyncDir()
	}
	if err == nil {
		return nil
	}
	if left := s.removeIfThere(indexTemp); left != nil {
		// The next change could not create the file.
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		return s.broken
	}
	return err
}

// switchIndex is the one place where a state begins to count.
func (s *Store) switchIndex() error {
	err := s.files.Rename(indexTemp, indexName)
	if err == nil {
		err = s.files.SyncDir()
	}
	if err != nil {
		s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
		return s.broken
	}
	return nil
}

func writeFile(f files, name string, data []byte) error {
	w, err := f.Create(name)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

func (s *Store) removeIfThere(name string) error {
	if err := s.files.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// discard removes the files that the old index named and the new one does not. One
// that stays behind is swept at the next Open: it does not count as installed.
func (s *Store) discard(old, next *index) {
	named := next.files()
	for name := range old.files() {
		if !named[name] {
			_ = s.files.Remove(name)
		}
	}
}

// view returns the committed state. Nothing that it points to is ever changed.
func (s *Store) view() *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index
}

// movedOn reports whether the state is no longer x. A store that was opened with Read
// looks at the disk for it.
func (s *Store) movedOn(x *index) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.broken, errReadOnly) {
		if next, err := readIndex(s.files); err == nil {
			s.index = next
		}
	}
	return s.index.Serial != x.Serial
}

// Identity implements processor.Host.
func (s *Store) Identity() processor.Identity { return s.identity }

// Components implements processor.Selective: all, or where there is no room for another one
// those that are there.
func (s *Store) Components() []suit.ComponentCapability {
	x := s.view()
	if len(x.Components) < maxComponents {
		return nil
	}
	list := make([]suit.ComponentCapability, len(x.Components))
	for i, c := range x.Components {
		list[i].ID = c.ID
	}
	return list
}

// Supports implements processor.Host: any named component, as long as there is room.
// The bounds are those that an id is read back with.
func (s *Store) Supports(component suit.ComponentID) error {
	if len(component) == 0 {
		return errors.New("the empty component id names nothing in this store")
	}
	if size := len(component.Key()); len(component) > suit.MaxComponentSegments || size > suit.MaxComponentSize {
		return fmt.Errorf("component id of %d segments in %d bytes, at most %d in %d",
			len(component), size, suit.MaxComponentSegments, suit.MaxComponentSize)
	}
	x := s.view()
	if _, known := x.image(component); !known && len(x.Components) == maxComponents {
		return fmt.Errorf("%w: the store holds %d components", ErrFull, maxComponents)
	}
	return nil
}
