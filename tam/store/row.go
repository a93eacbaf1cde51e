package store

import (
	"database/sql/driver"
	"fmt"
)

// row reads the columns of a result's row from left to right. A column of another
// type than it is asked for comes out as zero, and fault tells of it.
type row struct {
	values []driver.Value
	next   int
	fault  error
}

// begin makes room for rows of n columns.
func (r *row) begin(n int) []driver.Value {
	if cap(r.values) < n {
		r.values = make([]driver.Value, n)
	}
	r.values = r.values[:n]
	return r.values
}

func (r *row) text() string { return column[string](r) }
func (r *row) int() int64   { return column[int64](r) }

// bytes returns nil for NULL. The driver has copied them.
func (r *row) bytes() []byte {
	if r.next < len(r.values) && r.values[r.next] == nil {
		r.next++
		return nil
	}
	return column[[]byte](r)
}

func column[T any](r *row) T {
	var v T
	ok := false
	if r.next < len(r.values) {
		v, ok = r.values[r.next].(T)
	}
	if !ok && r.fault == nil {
		r.fault = fmt.Errorf("column %d of a stored row is no %T", r.next, v)
	}
	r.next++
	return v
}
