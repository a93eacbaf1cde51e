package api

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/api.md must list every problem with its code and status.
func TestProblemsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(kinds, internal) {
		p := problemOf(k.err)
		row := fmt.Sprintf("| `%s` | %d | %s |", p.Code, p.Status, p.Title)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/api.md has no row\n%s", row)
		}
	}
}
