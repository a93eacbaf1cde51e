package store

import (
	"context"
	"sync"

	"github.com/tamarack-tam/tamarack/tam"
)

// transaction is one transaction on one connection, from begin to commit.
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

// transact runs work in a transaction of its own. Where work fails or panics,
// or the commit fails, nothing of it is kept.
func (p *pool) transact(ctx context.Context, begin *statement, work func(*transaction) error) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	defer func() { p.put(c) }()
	if _, err := c.exec(begin); err != nil {
		return about(fault(err), "begin a transaction")
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		if _, err := c.exec(rollback); err != nil {
			// Its state is unknown: the next caller gets a new connection.
			c.close() //nolint:errcheck // closing rolls back
			c = nil
		}
	}()
	t := &transaction{ctx: ctx, conn: c}
	if err := t.run(work); err != nil {
		return err
	}
	if _, err := c.exec(commit); err != nil {
		return about(fault(err), "commit")
	}
	committed = true
	return nil
}

// run does the work of one caller. It is apart from begin and commit so that
// several callers' work can share them.
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
	result, err := t.conn.exec(s, args...)
	if err != nil {
		return 0, t.refused(err)
	}
	n, err := result.RowsAffected()
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

// row is the current row of a result.
type row interface{ Scan(dst ...any) error }

// list returns what scan makes of every row.
func list[T any](t *transaction, s *statement, scan func(row) (T, error), args ...any) ([]T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable(); err != nil {
		return nil, err
	}
	rows, err := t.conn.query(s, args...)
	if err != nil {
		return nil, t.refused(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, t.refused(err)
	}
	return out, nil
}

// one is list for a statement that finds a row or none, which is ErrNotFound.
func one[T any](t *transaction, s *statement, scan func(row) (T, error), args ...any) (T, error) {
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
