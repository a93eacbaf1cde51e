package store

import (
	"strings"
	"testing"
)

// wholeTables may be read whole: their rows are few by their nature.
var wholeTables = map[*statement]string{
	selectTokenKeys: "at most 256 keys",
}

// No statement may look at more rows than it answers with: no scan of a table, no
// sorting of what an index does not give in order.
func TestStatementsUseIndexes(t *testing.T) {
	s := openFile(t)
	args := make([]any, 20) // SQLite ignores those that a statement has no place for
	withWriter(t, s, func(c *conn) {
		for _, stmt := range statements {
			if verb, _, _ := strings.Cut(strings.TrimSpace(stmt.text), " "); verb == "BEGIN" || verb == "COMMIT" || verb == "ROLLBACK" {
				continue
			}
			rows, err := c.sql.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+stmt.text, args...)
			if err != nil {
				t.Fatalf("%s: %v", stmt.text, err)
			}
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					t.Fatal(err)
				}
				if wholeTables[stmt] == "" && (strings.HasPrefix(step, "SCAN ") || strings.Contains(step, "TEMP B-TREE")) {
					t.Errorf("%s\n\t%s", stmt.text, step)
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			rows.Close()
		}
	})
}
