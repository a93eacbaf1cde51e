package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// narrator prints the demo's story: a line per step and, on a terminal, a
// progress bar below it.
type narrator struct {
	w        io.Writer
	terminal bool
	bar      string // what stands below the last line
}

func newNarrator(w io.Writer) *narrator {
	f, ok := w.(*os.File)
	return &narrator{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (n *narrator) line(who, format string, args ...any) {
	n.clear()
	fmt.Fprintf(n.w, "%-10s %s\n", who, fmt.Sprintf(format, args...))
	n.draw()
}

// below goes on from a line.
func (n *narrator) below(format string, args ...any) { n.line("", format, args...) }

// text prints lines as they are.
func (n *narrator) text(lines string) {
	n.clear()
	fmt.Fprint(n.w, lines)
	n.draw()
}

func (n *narrator) progress(what string, done, total int) {
	n.clear()
	n.bar = ""
	if done < total {
		const width = 30
		full := done * width / total
		n.bar = fmt.Sprintf("%-10s [%s%s] %d of %d", what, strings.Repeat("#", full), strings.Repeat(".", width-full), done, total)
	}
	n.draw()
}

func (n *narrator) clear() {
	if n.terminal && n.bar != "" {
		fmt.Fprint(n.w, "\r\x1b[K")
	}
}

func (n *narrator) draw() {
	if n.terminal {
		fmt.Fprint(n.w, n.bar)
	}
}

// row is one device in the final table.
type row struct {
	device   string
	held     string // SHA-256 of the component, in hexadecimal
	sequence uint64
	tam      string
	right    bool
}

func (n *narrator) table(rows []row, want *release) {
	n.clear()
	fmt.Fprintf(n.w, "\n%-10s %-10s %-4s %-10s %-64s\n", "DEVICE", "COMPONENT", "SEQ", "TAM SAYS", "SHA-256 ON THE DEVICE")
	right := 0
	for _, r := range rows {
		fmt.Fprintf(n.w, "%-10s %-10s %-4d %-10s %-64s\n", r.device, demoComponent, r.sequence, r.tam, r.held)
		if r.right {
			right++
		}
	}
	fmt.Fprintf(n.w, "%-37s %s\n\n", want.name()+" itself", want.sha256)
	fmt.Fprintf(n.w, "Devices that hold exactly that, confirmed by their own attestation: %d of %d\n", right, len(rows))
}

// next says what a person can try, now or with processes of their own.
func (n *narrator) next(d *demo, exit bool) {
	if exit {
		fmt.Fprint(n.w, `
Next: without --exit the TAM serves on, to be looked at with tamctl;
docs/quickstart.md does the same with your own processes and keys.
`)
		return
	}
	fmt.Fprintf(n.w, `
The TAM serves on. In another terminal, in this directory, try:

  export TAMCTL_SERVER=%s
  export TAMCTL_TOKEN_FILE=%s
  go run ./cmd/tamctl device list
  go run ./cmd/tamctl manifest list

Everything is in %s and goes when you interrupt (Ctrl-C).
docs/quickstart.md does the same with your own processes and keys.
`, d.server.apiURL, d.server.tokenFile, d.dir)
}
