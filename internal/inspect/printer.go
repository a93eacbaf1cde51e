package inspect

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Columns of the text, unless everything is wanted. What stands too deep for them
// keeps some room.
const (
	width      = 100
	leastRoom  = 24
	labelWidth = 40
	shownBytes = 32 // of a byte string
)

// printer writes for people: a tree, and lines below it.
type printer struct {
	w    io.Writer
	full bool
	err  error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// line writes a text behind what begins its line, and goes on below it where the
// columns do not suffice.
func (p *printer) line(begin, s string) {
	words := strings.Split(printable(s), " ")
	indent := max(len(begin), 2)
	p.printf("%s", begin)
	column, first := len(begin), true
	for _, word := range words {
		word = p.clip(word, width-indent)
		size := utf8.RuneCountInString(word)
		switch {
		case first:
			first = false
		case !p.full && column+1+size > width:
			p.printf("\n%*s", indent, "")
			column = indent
		default:
			p.printf(" ")
			column++
		}
		p.printf("%s", word)
		column += size
	}
	p.printf("\n")
}

// clip shortens a text to so many runes.
func (p *printer) clip(s string, room int) string {
	if runes := []rune(s); !p.full && len(runes) > room {
		return string(runes[:room-1]) + "…"
	}
	return s
}

func (p *printer) node(n *Node, indent int) {
	label := n.Name
	if label == "" {
		label = n.Key
	}
	if label == "" {
		label = "-"
	} else {
		label = p.clip(printable(label), labelWidth) + ":"
	}
	line := strings.Repeat(" ", indent) + label
	if n.Kind != "" {
		line += " " + kinds[n.Kind].title
	}
	for _, tag := range n.Tags {
		line += fmt.Sprintf(" (tag %d)", tag)
	}
	if shown := p.show(n, max(leastRoom, width-1-utf8.RuneCountInString(line))); shown != "" {
		line += " " + shown
	}
	p.printf("%s\n", line)
	for i := range n.Items {
		p.node(&n.Items[i], indent+2)
	}
}

// show returns the value on one line.
func (p *printer) show(n *Node, room int) string {
	switch {
	case n.Text == "":
		return p.value(n, room)
	case n.Type == "integer" || n.Type == "simple":
		value := " (" + p.value(n, room) + ")"
		return p.clip(printable(n.Text), max(1, room-len(value))) + value
	}
	return p.clip(printable(n.Text), room)
}

func (p *printer) value(n *Node, room int) string {
	switch v := n.Value.(type) {
	case nil:
		return emptyMark(n)
	case string:
		switch n.Type {
		case "bytes":
			return p.bytes(v, room)
		case "text":
			return p.text(v, room)
		}
		return p.clip(printable(v), room)
	default:
		return p.clip(fmt.Sprint(v), room)
	}
}

func emptyMark(n *Node) string {
	switch {
	case n.Type == "array" && len(n.Items) == 0:
		return "[]"
	case n.Type == "map" && len(n.Items) == 0:
		return "{}"
	case n.Type == "null" || n.Type == "undefined":
		return n.Type
	}
	return ""
}

// bytes shortens the digits of a byte string.
func (p *printer) bytes(digits string, room int) string {
	if whole := "h'" + digits + "'"; p.full || len(digits) <= 2*shownBytes && len(whole) <= room {
		return whole
	}
	length := fmt.Sprintf("…' (%d bytes)", len(digits)/2)
	fits := room - len("h'") - utf8.RuneCountInString(length)
	return "h'" + digits[:min(len(digits), 2*shownBytes, max(fits, 2)&^1)] + length
}

// text shortens a text so that it fits in quotes.
func (p *printer) text(s string, room int) string {
	whole := strconv.Quote(s)
	if p.full || utf8.RuneCountInString(whole) <= room {
		return whole
	}
	length := fmt.Sprintf("… (%d bytes)", len(s))
	runes := []rune(s)
	for n := min(len(runes), room); n > 0; n-- {
		part := strconv.Quote(string(runes[:n])) + length
		if utf8.RuneCountInString(part) <= room {
			return part
		}
	}
	return `""` + length
}

// printable keeps what somebody else wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// oneLine joins the lines of an error that wraps several.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
