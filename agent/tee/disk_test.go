package tee

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// disk is a directory that can lose power. It keeps what a process sees apart from
// what is on the platter: a file's bytes get there by Sync, a name by SyncDir. After
// a crash only an open of the platter, in one of the forms a file system may leave it
// in, tells what is left.
type disk struct {
	names   map[string]*inode // as the process sees it
	durable map[string]*inode // after the last SyncDir
	log     []change          // what happened to names since then

	ops     int // operations so far
	fail    int // the operation that fails, counted from 1; 0 for none
	crash   bool
	crashed bool // everything after a crash fails
	open    int  // files that are open
	stuck   bool // it was a removal that failed
	size    int  // bytes that it has room for; 0 for enough
}

// entrySize is what a file takes besides its bytes.
const entrySize = 64

// used is how many bytes are taken.
func (d *disk) used() (n int) {
	for _, node := range d.names {
		n += entrySize + len(node.data)
	}
	return n
}

// room returns how many of n more bytes there is room for.
func (d *disk) room(n int) (int, error) {
	if d.size == 0 || d.used()+n <= d.size {
		return n, nil
	}
	return max(0, d.size-d.used()), syscall.ENOSPC
}

type inode struct {
	data   []byte
	synced []byte // what is on the platter; nil for nothing
}

type change struct{ apply func(names map[string]*inode) }

var (
	errDisk  = errors.New("injected disk fault")
	errCrash = errors.New("injected crash")
)

func newDisk() *disk {
	return &disk{names: map[string]*inode{}, durable: map[string]*inode{}}
}

// step counts an operation. On the chosen one it fails, or the process dies before it.
func (d *disk) step() error {
	d.ops++
	if d.crashed {
		return errCrash
	}
	if d.ops != d.fail {
		return nil
	}
	if d.crash {
		d.crashed = true
		return errCrash
	}
	return errDisk
}

func (d *disk) record(apply func(names map[string]*inode)) {
	apply(d.names)
	d.log = append(d.log, change{apply})
}

func (d *disk) Create(name string) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	if _, err := d.room(entrySize); err != nil {
		return nil, err
	}
	node := new(inode)
	d.record(func(names map[string]*inode) { names[name] = node })
	d.open++
	return &diskFile{d, node}, nil
}

func (d *disk) Append(name string, size uint64) (file, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	node := d.names[name]
	if node == nil {
		return nil, fs.ErrNotExist
	}
	if uint64(len(node.data)) < size {
		return nil, io.ErrUnexpectedEOF
	}
	node.data = bytes.Clone(node.data[:size])
	d.open++
	return &diskFile{d, node}, nil
}

func (d *disk) Open(name string) (io.ReadCloser, uint64, error) {
	if d.crashed {
		return nil, 0, errCrash
	}
	node := d.names[name]
	if node == nil {
		return nil, 0, fs.ErrNotExist
	}
	d.open++
	return &diskReader{bytes.NewReader(node.data), d}, uint64(len(node.data)), nil
}

type diskReader struct {
	io.Reader
	disk *disk
}

func (r *diskReader) Close() error { r.disk.open--; return nil }

func (d *disk) Rename(oldName, newName string) error {
	if err := d.step(); err != nil {
		return err
	}
	node := d.names[oldName]
	if node == nil {
		return fs.ErrNotExist
	}
	d.record(func(names map[string]*inode) { delete(names, oldName); names[newName] = node })
	return nil
}

func (d *disk) Remove(name string) error {
	if err := d.step(); err != nil {
		d.stuck = true
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	d.record(func(names map[string]*inode) { delete(names, name) })
	return nil
}

func (d *disk) SyncDir() error {
	if err := d.step(); err != nil {
		return err
	}
	d.durable, d.log = maps.Clone(d.names), nil
	return nil
}

func (d *disk) Names() ([]string, error) {
	if d.crashed {
		return nil, errCrash
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

type diskFile struct {
	disk *disk
	node *inode
}

func (f *diskFile) Write(p []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		if f.disk.crashed || len(p) < 2 {
			return 0, err
		}
		f.node.data = append(f.node.data, p[:len(p)/2]...) // a short write, as of a full disk
		return len(p) / 2, err
	}
	n, err := f.disk.room(len(p))
	f.node.data = append(f.node.data, p[:n]...)
	return n, err
}

func (f *diskFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.node.synced = bytes.Clone(f.node.data)
	return nil
}

func (f *diskFile) Close() error { f.disk.open--; return f.disk.step() }

// aftermath is what a file system may make of a crash.
type aftermath struct {
	name  string
	names bool // changes of names that were not synced have reached the platter
	data  bool // and so have the bytes of files
	// late keeps only the last change of names: directories are not written in order.
	late bool
}

var aftermaths = []aftermath{
	{name: "killed", names: true, data: true},
	{name: "power lost, all that was not synced is gone"},
	{name: "power lost, names ahead of bytes", names: true},
	{name: "power lost, bytes ahead of names", data: true},
	{name: "power lost, the last name ahead of the others", names: true, late: true},
}

// reboot returns the disk as the next process finds it.
func (d *disk) reboot(a aftermath) *disk {
	names := maps.Clone(d.durable)
	if a.names {
		changes := d.log
		if a.late && len(changes) > 1 {
			changes = changes[len(changes)-1:]
		}
		for _, c := range changes {
			c.apply(names)
		}
	}
	next := newDisk()
	for name, node := range names {
		data := node.synced
		if a.data {
			data = node.data
		}
		fresh := &inode{bytes.Clone(data), bytes.Clone(data)}
		next.names[name], next.durable[name] = fresh, fresh
	}
	return next
}
