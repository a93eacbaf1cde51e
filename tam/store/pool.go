package store

import (
	"context"
	"errors"
)

// pool lends connections, each to one caller at a time, first come first served.
type pool struct {
	name   string     // of the database, as the driver takes it
	slots  chan *conn // nil stands for a connection that is still to be opened
	closed chan struct{}
}

func newPool(name string, size int) *pool {
	p := &pool{name: name, slots: make(chan *conn, size), closed: make(chan struct{})}
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
		c, err := openConn(p.name)
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

// put takes a connection back, or nil for one that is not to be used again.
func (p *pool) put(c *conn) { p.slots <- c }

// close waits for the connections that are lent out.
func (p *pool) close() error {
	close(p.closed)
	var err error
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			err = errors.Join(err, c.close())
		}
	}
	return err
}
