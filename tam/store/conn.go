package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
)

// conn is a connection with the statements that it has prepared so far. One
// caller uses it at a time. It speaks to the driver without database/sql in
// between: that keeps a lock, a retry, and a conversion of every value for
// connections that are shared, which these are not.
type conn struct {
	driver   driverConn
	prepared []driverStmt

	args []driver.NamedValue // of the statement under way
	row  row                 // of the result under way
}

// What the driver's connections and statements can do.
type (
	driverConn interface {
		driver.Conn
		driver.ExecerContext
		driver.QueryerContext
	}
	driverStmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
)

// Statements run without the caller's context: each is short and bounded by an
// index and a limit, while the driver would start a goroutine for each context
// that can end. The context is looked at between statements.
var unhurried = context.Background()

func openConn(name string) (*conn, error) {
	c, err := new(sqlite.Driver).Open(name)
	if err != nil {
		return nil, fault(err)
	}
	return &conn{driver: c.(driverConn), prepared: make([]driverStmt, len(statements))}, nil
}

func (c *conn) statement(s *statement) (driverStmt, error) {
	if p := c.prepared[s.index]; p != nil {
		return p, nil
	}
	p, err := c.driver.Prepare(s.text)
	if err != nil {
		return nil, err
	}
	c.prepared[s.index] = p.(driverStmt)
	return c.prepared[s.index], nil
}

// bind makes arguments of values; they are good until the next statement.
func (c *conn) bind(values []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, value := range values {
		v, err := driver.DefaultParameterConverter.ConvertValue(value)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args, nil
}

// exec runs a statement that returns no rows and tells how many it changed.
func (c *conn) exec(s *statement, values ...any) (int64, error) {
	p, err := c.statement(s)
	if err != nil {
		return 0, err
	}
	args, err := c.bind(values)
	if err != nil {
		return 0, err
	}
	result, err := p.ExecContext(unhurried, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query calls each for every row of the result, until it returns false.
func (c *conn) query(s *statement, each func(*row) bool, values ...any) error {
	p, err := c.statement(s)
	if err != nil {
		return err
	}
	args, err := c.bind(values)
	if err != nil {
		return err
	}
	rows, err := p.QueryContext(unhurried, args)
	if err != nil {
		return err
	}
	return c.read(rows, each)
}

func (c *conn) read(rows driver.Rows, each func(*row) bool) error {
	values := c.row.begin(len(rows.Columns()))
	for {
		err := rows.Next(values)
		if err == io.EOF { // as database/sql/driver has it
			return rows.Close()
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
		c.row.next, c.row.fault = 0, nil
		if !each(&c.row) {
			return rows.Close()
		}
	}
}

// script runs SQL of several statements, without arguments.
func (c *conn) script(text string) error {
	_, err := c.driver.ExecContext(unhurried, text, nil)
	return fault(err)
}

// ask runs a query that is asked once and not prepared.
func (c *conn) ask(text string, each func(*row) bool) error {
	rows, err := c.driver.QueryContext(unhurried, text, nil)
	if err != nil {
		return fault(err)
	}
	return fault(c.read(rows, each))
}

// close ends the connection; an open transaction is rolled back by it. The
// statements go first: SQLite does not survive one that outlives its connection.
func (c *conn) close() error {
	for _, p := range c.prepared {
		if p != nil {
			p.Close() // it tells of its last run, which was told
		}
	}
	return c.driver.Close()
}
