package main

import (
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// A device's account of an update has long lines, and they are its own words.
func TestReportFitsATerminal(t *testing.T) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	describeReport(w, client.Report{At: time.Unix(1, 0), Lines: []string{strings.Repeat("fetch failed ", 30), "bell\a"}})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > lines.Width+1 || strings.Contains(line, "   :") || strings.Contains(line, "\a") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(out.String(), "\n    fetch failed") || !strings.Contains(out.String(), "\n    bell?") {
		t.Error(out.String())
	}
}
