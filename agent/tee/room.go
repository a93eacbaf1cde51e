package tee

import (
	"crypto/rand"
	"errors"
	"syscall"
)

// A full disk must not keep the device from getting rid of what fills it. What is kept of
// payloads goes first: it can be fetched again. Then a change that needs no room to speak
// of, such as an uninstallation, gets the reserve, a file that is there for nothing else.
// What makes the store larger has to leave the reserve alone.
const (
	reserveName = "reserve"
	reserveUnit = 64 << 10
)

// reserveFor is how large the reserve is for an index of that size: the next one may be
// larger by the Updates and uninstalled manifests that it remembers.
func reserveFor(index int) int { return (index/reserveUnit + 2) * reserveUnit }

// isFull tells a disk without room from one that is at fault.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// write writes, and lets kept payloads make room.
func (s *Store) write(f file, p []byte) (int, error) {
	n, err := f.Write(p)
	if !isFull(err) || !s.makeRoom() {
		return n, err
	}
	more, err := f.Write(p[n:])
	return n + more, err
}

// writeFile writes a file whole, and lets kept payloads make room.
func (s *Store) writeFile(name string, data []byte) error {
	err := writeFile(s.files, name, data)
	if !isFull(err) || !s.makeRoom() {
		return err
	}
	if err := s.removeIfThere(name); err != nil {
		return err
	}
	return writeFile(s.files, name, data)
}

func (s *Store) makeRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropKept()
}

// dropKept drops the payloads that no transaction has in hand. It reports whether one is
// gone.
func (s *Store) dropKept() (dropped bool) {
	for _, p := range s.payloads {
		if p.by == nil {
			delete(s.payloads, p.component)
			dropped = s.removeIfThere(p.name()) == nil || dropped
		}
	}
	return dropped
}

// hold makes the reserve large enough for an index of that size. Where it cannot, the
// reserve is as large as there was room for.
func (s *Store) hold(index int) error {
	want := reserveFor(index)
	if s.reserved >= want {
		return nil
	}
	err := s.extend(want - s.reserved)
	if isFull(err) && s.dropKept() {
		err = s.extend(want - s.reserved)
	}
	return err
}

// extend adds bytes that no file system can compress, or take for a hole.
func (s *Store) extend(by int) error {
	f, err := s.openReserve()
	if err != nil {
		return err
	}
	noise := make([]byte, by)
	rand.Read(noise) // never fails
	n, err := f.Write(noise)
	s.reserved += n
	return errors.Join(err, f.Sync(), f.Close())
}

func (s *Store) openReserve() (file, error) {
	if s.reserved > 0 {
		return s.files.Append(reserveName, uint64(s.reserved))
	}
	if err := s.removeIfThere(reserveName); err != nil {
		return nil, err
	}
	return s.files.Create(reserveName)
}

// letGo gives the reserve away. It reports false where there was none.
func (s *Store) letGo() bool {
	if s.reserved == 0 || s.removeIfThere(reserveName) != nil {
		return false
	}
	s.reserved = 0
	return true
}

// findReserve takes over the reserve of an earlier process, and makes a missing one. A
// disk that has no room for it is still one to uninstall from.
func (s *Store) findReserve() error {
	if f, size, err := s.files.Open(reserveName); err == nil {
		s.reserved = int(min(size, maxIndexSize))
		f.Close() // nothing was read
	}
	if err := s.hold(len(s.index.encode())); !isFull(err) {
		return err
	}
	return nil
}
