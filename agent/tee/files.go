package tee

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// files is one flat directory, with the operations whose order decides what
// survives a crash. The tests put a disk behind it that forgets what was not synced.
type files interface {
	// Create makes a new empty file; it fails where the name is taken.
	Create(name string) (file, error)
	// Append opens a regular file for writing behind its first size bytes, and cuts off
	// what follows them; it fails where there are fewer.
	Append(name string, size uint64) (file, error)
	// Open opens a regular file for reading, and tells its size.
	Open(name string) (io.ReadCloser, uint64, error)
	// Rename replaces newName in one step.
	Rename(oldName, newName string) error
	Remove(name string) error
	// SyncDir makes creations, renames and removals durable.
	SyncDir() error
	// Names lists the directory.
	Names() ([]string, error)
}

// file is a file that is being written.
type file interface {
	io.WriteCloser
	Sync() error
}

// dirFiles is a directory of the operating system. os.Root keeps every name inside
// it, also where somebody plants a symbolic link.
type dirFiles struct{ root *os.Root }

func (d dirFiles) Create(name string) (file, error) {
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d dirFiles) Append(name string, size uint64) (file, error) {
	f, has, err := d.open(name, os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	if has < size {
		err = &fs.PathError{Op: "append", Path: name, Err: fmt.Errorf("%d bytes, should be %d", has, size)}
	} else if err = f.Truncate(int64(size)); err == nil {
		_, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d dirFiles) Open(name string) (io.ReadCloser, uint64, error) { return d.open(name, os.O_RDONLY) }

// open opens what is a regular file by that name, not one that the name leads to.
func (d dirFiles) open(name string, flag int) (*os.File, uint64, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := d.openRegular(name, flag, info)
	if err != nil {
		return nil, 0, err
	}
	return f, uint64(info.Size()), nil
}

func (d dirFiles) openRegular(name string, flag int, info fs.FileInfo) (*os.File, error) {
	refused := &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	if !info.Mode().IsRegular() {
		return nil, refused
	}
	f, err := d.root.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	// Somebody may have put a link there in the meantime.
	opened, err := f.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = refused
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (d dirFiles) Rename(oldName, newName string) error { return d.root.Rename(oldName, newName) }
func (d dirFiles) Remove(name string) error             { return d.root.Remove(name) }

func (d dirFiles) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d dirFiles) Names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// openDir opens a directory for keeps. It makes a missing one, durably: the entry in
// the parent is synced, or a power cut could take the store away whole.
func openDir(dir string) (*os.Root, error) {
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		parent, err := os.Open(filepath.Dir(dir))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrExist):
		return nil, err
	}
	return os.OpenRoot(dir)
}
