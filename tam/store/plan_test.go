package store

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// wholeTables may be read whole: their rows are few by their nature.
var wholeTables = map[*statement]string{
	selectTokenKeys:         "at most 256 keys",
	selectGroups:            "operators write them by hand",
	selectReferenceFiles:    "all of it is what evidence is appraised against",
	selectDeviceCAs:         "the same",
	deleteOldestOutstanding: "the Updates of one agent, at most as many as it keeps and one",
}

// control are the statements around those that have a plan.
var control = []*statement{beginRead, beginWrite, commit, rollback, savepoint, releaseMember, rollbackMember}

// planOf returns the steps in which a statement is run.
func planOf(t *testing.T, c *conn, stmt *statement) (steps []string) {
	t.Helper()
	args := make([]driver.NamedValue, 20) // the driver ignores those that a statement has no place for
	for i := range args {
		args[i].Ordinal = i + 1
	}
	rows, err := c.driver.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+stmt.text, args)
	if err == nil {
		err = c.read(rows, func(r *row) bool {
			r.int()
			r.int()
			r.int()
			steps = append(steps, r.text())
			return true
		})
	}
	if err != nil {
		t.Fatalf("%s: %v", stmt.text, err)
	}
	return steps
}

// No statement may look at more rows than it answers with: no scan of a table, no
// sorting of what an index does not give in order.
func TestStatementsUseIndexes(t *testing.T) {
	s := openFile(t)
	withWriter(t, s, func(c *conn) {
		for _, stmt := range statements {
			if slices.Contains(control, stmt) {
				continue
			}
			for _, step := range planOf(t, c, stmt) {
				if wholeTables[stmt] == "" && (strings.HasPrefix(step, "SCAN ") || strings.Contains(step, "TEMP B-TREE")) {
					t.Errorf("%s\n\t%s", stmt.text, step)
				}
			}
		}
	})
}

// Each of these has the one index that keeps it from what others have left: the history
// of the fleet from that of a device, what was accepted from what was refused, what is
// done from what is still to do.
func TestAppraisalIndexes(t *testing.T) {
	want := map[*statement]string{
		selectLatestBehind: "appraisals_by_device (device>?)",
		dropEvidence:       "appraisals_raw (at<?)",
		selectPolicies:     "policies_in_force (in_force=?)",
		updateDevice:       "devices USING PRIMARY KEY (id=?)",
	}
	for n, stmt := range selectAppraisals {
		switch {
		case n.device:
			want[stmt] = "appraisals_by_device (device=? AND id<?)"
		case n.accepted == 0:
			want[stmt] = "appraisals_refused (accepted=? AND id<?)"
		default:
			want[stmt] = "INTEGER PRIMARY KEY (rowid<?)"
		}
	}
	s := openFile(t)
	withWriter(t, s, func(c *conn) {
		for stmt, index := range want {
			if steps := fmt.Sprint(planOf(t, c, stmt)); !strings.Contains(steps, index) {
				t.Errorf("%s\n\t%s, want %s", stmt.text, steps, index)
			}
		}
	})
}
