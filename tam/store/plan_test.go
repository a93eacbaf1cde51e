package store

import (
	"database/sql/driver"
	"slices"
	"strings"
	"testing"
)

// wholeTables may be read whole: their rows are few by their nature.
var wholeTables = map[*statement]string{
	selectTokenKeys:         "at most 256 keys",
	deleteOldestOutstanding: "the Updates of one agent, at most as many as it keeps and one",
}

// control are the statements around those that have a plan.
var control = []*statement{beginRead, beginWrite, commit, rollback, savepoint, releaseMember, rollbackMember}

// No statement may look at more rows than it answers with: no scan of a table, no
// sorting of what an index does not give in order.
func TestStatementsUseIndexes(t *testing.T) {
	s := openFile(t)
	args := make([]driver.NamedValue, 20) // the driver ignores those that a statement has no place for
	for i := range args {
		args[i].Ordinal = i + 1
	}
	withWriter(t, s, func(c *conn) {
		for _, stmt := range statements {
			if slices.Contains(control, stmt) {
				continue
			}
			rows, err := c.driver.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+stmt.text, args)
			if err != nil {
				t.Fatalf("%s: %v", stmt.text, err)
			}
			err = c.read(rows, func(r *row) bool {
				r.int()
				r.int()
				r.int()
				step := r.text()
				if wholeTables[stmt] == "" && (strings.HasPrefix(step, "SCAN ") || strings.Contains(step, "TEMP B-TREE")) {
					t.Errorf("%s\n\t%s", stmt.text, step)
				}
				return true
			})
			if err != nil {
				t.Fatalf("%s: %v", stmt.text, err)
			}
		}
	})
}
