package store

import (
	"context"
	"sync"

	"github.com/tamarack-tam/tamarack/tam"
)

// transaction is what one caller does in a transaction, from its first statement
// to its last.
type transaction struct {
	ctx  context.Context
	conn *conn

	mu     sync.Mutex // keeps a use after the end off the connection's next transaction
	ended  bool
	broken error // of the statement that the database refused
}

// snapshot is a transaction that reads, update one that writes as well.
type (
	snapshot struct{ *transaction }
	update   struct{ snapshot }
)

var (
	_ tam.Reader = snapshot{}
	_ tam.Tx     = update{}
)

// snapshot runs work on one state of the database.
func (p *pool) snapshot(ctx context.Context, work func(*transaction) error) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer func() { p.put(c) }()
	if _, err := c.exec(beginRead); err != nil {
		return about(fault(err), "begin a transaction")
	}
	defer func() { c = c.undone() }()
	return (&transaction{ctx: ctx, conn: c}).run(work)
}

// undone rolls back and returns the connection, or nil where that did not succeed:
// its state is unknown then, and the next caller gets a new one.
func (c *conn) undone() *conn {
	if _, err := c.exec(rollback); err != nil {
		c.close() // closing rolls back
		return nil
	}
	return c
}

// run does the work of one caller.
func (t *transaction) run(work func(*transaction) error) error {
	defer t.end()
	if err := work(t); err != nil {
		return err
	}
	return t.usable()
}

func (t *transaction) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

func (t *transaction) usable() error {
	switch {
	case t.ended:
		return errEnded
	case t.broken != nil:
		return t.broken
	}
	return t.ctx.Err()
}

// refused notes an error of the database. A lookup that finds nothing is none.
func (t *transaction) refused(err error) error {
	t.broken = fault(err)
	return t.broken
}

// exec runs a statement that writes and returns the number of rows that it changed.
func (t *transaction) exec(s *statement, args ...any) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return 0, err
	}
	n, err := t.conn.exec(s, args...)
	if err != nil {
		return 0, t.refused(err)
	}
	return n, nil
}

// insert runs an INSERT … ON CONFLICT DO NOTHING; a conflict is the given fault.
func (t *transaction) insert(conflict error, s *statement, args ...any) error {
	n, err := t.exec(s, args...)
	if err == nil && n == 0 {
		return conflict
	}
	return err
}

// remove runs a DELETE by key; to find nothing is ErrNotFound.
func (t *transaction) remove(s *statement, args ...any) error {
	n, err := t.exec(s, args...)
	if err == nil && n == 0 {
		return tam.ErrNotFound
	}
	return err
}

// list returns what scan makes of every row.
func list[T any](t *transaction, s *statement, scan func(*row) (T, error), args ...any) ([]T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return nil, err
	}
	var out []T
	var unread error
	err := t.conn.query(s, func(r *row) bool {
		v, err := scan(r)
		if r.fault != nil {
			err = r.fault
		}
		if err != nil {
			unread = err
			return false
		}
		out = append(out, v)
		return true
	}, args...)
	if err != nil {
		return nil, t.refused(err)
	}
	if unread != nil {
		return nil, unread
	}
	return out, nil
}

// one is list for a statement that finds a row or none, which is ErrNotFound.
func one[T any](t *transaction, s *statement, scan func(*row) (T, error), args ...any) (T, error) {
	var none T
	found, err := list(t, s, scan, args...)
	switch {
	case err != nil:
		return none, err
	case len(found) == 0:
		return none, tam.ErrNotFound
	}
	return found[0], nil
}
