package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/tam"
)

// Memory is the path of a database that lives in memory, for tests. It has one
// connection, which View and Update share: they wait for each other, so neither
// may be called inside the other.
const Memory = ":memory:"

// Options tune a database. The zero value is right for a server.
type Options struct {
	// Readers is how many Views run at once; 0 means 8.
	Readers int
	// BusyTimeout is how long to wait for a lock that another process holds;
	// 0 means 5 seconds.
	BusyTimeout time.Duration
}

// SQLite is a tam.Store in one SQLite file. Close it when done.
//
// The file is in WAL mode and synced at every commit: what Update acknowledged
// survives the death of the process and the loss of power.
type SQLite struct {
	readers *pool
	writer  *writer
	close   func() error
}

var _ tam.Store = (*SQLite)(nil)

// OpenSQLite opens the database file at path, or creates it with mode 0600, and
// brings its schema up to date. It returns ErrNewerSchema, and changes nothing,
// where a newer program has written it.
func OpenSQLite(ctx context.Context, path string, opts Options) (*SQLite, error) {
	s, err := openSQLite(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(ctx context.Context, path string, opts Options) (*SQLite, error) {
	if opts.Readers <= 0 {
		opts.Readers = 8
	}
	if opts.BusyTimeout <= 0 {
		opts.BusyTimeout = 5 * time.Second
	}
	name := Memory
	if path != Memory {
		if err := createFile(path); err != nil {
			return nil, err
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		name = "file:" + (&url.URL{Path: absolute}).EscapedPath()
	}
	writing := openPool(name, 1, opts)
	s := &SQLite{writer: newWriter(writing), readers: writing, close: sync.OnceValue(writing.close)}
	if path != Memory {
		s.readers = openPool(name, opts.Readers, opts, "query_only(1)")
		s.close = sync.OnceValue(func() error { return errors.Join(s.readers.close(), writing.close()) })
	}
	if err := s.prepare(ctx, path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// createFile makes the file where it is missing: SQLite gives its companions the
// mode of the database, so this one decides. The directory is synced for the
// new name to last.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func openPool(name string, size int, opts Options, pragmas ...string) *pool {
	pragmas = append([]string{
		fmt.Sprintf("busy_timeout(%d)", opts.BusyTimeout.Milliseconds()),
		"journal_mode(wal)", "synchronous(full)", "foreign_keys(1)",
	}, pragmas...)
	return newPool(name+"?"+url.Values{"_pragma": pragmas}.Encode(), size)
}

// prepare checks what durability rests on and migrates the schema.
func (s *SQLite) prepare(ctx context.Context, path string) error {
	c, err := s.writer.pool.take(ctx)
	if err != nil {
		return err
	}
	defer s.writer.pool.put(c)
	var mode string
	if err := c.ask(`PRAGMA journal_mode`, func(r *row) bool { mode = r.text(); return true }); err != nil {
		return err
	}
	if mode != "wal" && path != Memory {
		return fmt.Errorf("journal mode is %q, want wal: put the file on a local file system that can map memory", mode)
	}
	return migrateUp(c)
}

// View implements tam.Store. The snapshot is taken at the first read.
func (s *SQLite) View(ctx context.Context, fn func(tam.Reader) error) error {
	return s.readers.snapshot(ctx, func(t *transaction) error { return fn(snapshot{t}) })
}

// Update implements tam.Store. Updates run one after the other, in the order in
// which they came; those that came while others were being committed share the
// next commit. A fn that calls Update waits for itself, until its context ends.
func (s *SQLite) Update(ctx context.Context, fn func(tam.Tx) error) error {
	return s.writer.transact(ctx, func(t *transaction) error { return fn(update{snapshot{t}}) })
}

// Close waits for running transactions and closes the database. Calls after it
// return ErrUnavailable.
func (s *SQLite) Close() error { return s.close() }
