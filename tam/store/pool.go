package store

import (
	"context"
	"database/sql"
)

// conn is a connection with the statements that it has prepared so far.
type conn struct {
	sql      *sql.Conn
	prepared []*sql.Stmt
}

// Statements run without the caller's context: each is short and bounded by an
// index and a limit, while database/sql would start a goroutine for each context
// that can end. The context is looked at between statements.
var unhurried = context.Background()

func (c *conn) statement(s *statement) (*sql.Stmt, error) {
	if p := c.prepared[s.index]; p != nil {
		return p, nil
	}
	p, err := c.sql.PrepareContext(unhurried, s.text)
	if err == nil {
		c.prepared[s.index] = p
	}
	return p, err
}

func (c *conn) exec(s *statement, args ...any) (sql.Result, error) {
	p, err := c.statement(s)
	if err != nil {
		return nil, err
	}
	return p.ExecContext(unhurried, args...)
}

func (c *conn) query(s *statement, args ...any) (*sql.Rows, error) {
	p, err := c.statement(s)
	if err != nil {
		return nil, err
	}
	return p.QueryContext(unhurried, args...)
}

// close ends the connection; an open transaction is rolled back by it. The
// statements go first: database/sql does not know them, and SQLite does not
// survive one that outlives its connection.
func (c *conn) close() error {
	for _, p := range c.prepared {
		if p != nil {
			p.Close() //nolint:errcheck // it tells of its last run, which was told
		}
	}
	return c.sql.Close()
}

// pool lends connections, each to one caller at a time, first come first served.
type pool struct {
	db     *sql.DB
	slots  chan *conn // nil stands for a connection that is still to be opened
	closed chan struct{}
}

func newPool(db *sql.DB, size int) *pool {
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(-1) // a connection ends with its conn
	p := &pool{db: db, slots: make(chan *conn, size), closed: make(chan struct{})}
	for range size {
		p.slots <- nil
	}
	return p
}

// take borrows a connection; put gives it back.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.closed:
		return nil, errClosed
	default:
	}
	select {
	case c := <-p.slots:
		if c != nil {
			return c, nil
		}
		c, err := p.open(ctx)
		if err != nil {
			p.put(nil)
		}
		return c, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, errClosed
	}
}

func (p *pool) open(ctx context.Context) (*conn, error) {
	c, err := p.db.Conn(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fault(err)
	}
	return &conn{sql: c, prepared: make([]*sql.Stmt, len(statements))}, nil
}

// put takes a connection back, or nil for one that is not to be used again.
func (p *pool) put(c *conn) { p.slots <- c }

// close waits for the connections that are lent out.
func (p *pool) close() error {
	close(p.closed)
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			c.close() //nolint:errcheck // the database goes next
		}
	}
	return p.db.Close()
}
