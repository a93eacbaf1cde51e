package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// progress draws how far an upload has come, on a terminal only.
type progress struct {
	w            io.Writer // nil: not a terminal, or done
	name         string
	sent, total  int64
	shown, width int
}

func newProgress(w io.Writer, name string, total int64) *progress {
	p := &progress{name: name, total: total, shown: -1, width: 30}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.w = w
	}
	return p
}

// Write counts; it implements io.Writer for an io.TeeReader.
func (p *progress) Write(b []byte) (int, error) {
	p.sent += int64(len(b))
	if percent := int(p.sent * 100 / max(p.total, 1)); p.w != nil && percent != p.shown {
		p.shown = percent
		full := min(p.width, percent*p.width/100)
		fmt.Fprintf(p.w, "\r%s [%s%s] %3d%% of %s", p.name,
			strings.Repeat("#", full), strings.Repeat(".", p.width-full), percent, size(p.total))
	}
	return len(b), nil
}

// done clears the line.
func (p *progress) done() {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K")
		p.w = nil
	}
}
