package sample

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// node is an expression of the text format: a word, a string or a list.
type node struct {
	line int
	word string // of a word
	text []byte // of a string; nil for none
	list []node // of a list; nil for none
}

// fault is an error with the line that it is in.
func (n node) fault(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", n.line, fmt.Sprintf(format, args...))
}

// head is the word that a list begins with.
func (n node) head() string {
	if len(n.list) == 0 {
		return ""
	}
	return n.list[0].word
}

// maxNesting bounds lists inside lists.
const maxNesting = 16

// reader turns a source into nodes.
type reader struct {
	rest string
	line int
}

// read reads the one expression that a source consists of.
func read(source string) (node, error) {
	r := &reader{rest: source, line: 1}
	n, err := r.node(0)
	if err != nil {
		return node{}, err
	}
	if r.space(); r.rest != "" {
		return node{}, node{line: r.line}.fault("something after the module")
	}
	return n, nil
}

// space skips blanks and comments.
func (r *reader) space() {
	for r.rest != "" {
		switch {
		case r.rest[0] == '\n':
			r.line++
			r.rest = r.rest[1:]
		case strings.ContainsRune(" \t\r", rune(r.rest[0])):
			r.rest = r.rest[1:]
		case strings.HasPrefix(r.rest, ";;"):
			_, after, _ := strings.Cut(r.rest, "\n")
			r.rest = r.rest[len(r.rest)-len(after):]
			r.line++
		default:
			return
		}
	}
}

func (r *reader) node(depth int) (node, error) {
	r.space()
	n := node{line: r.line}
	switch {
	case r.rest == "":
		return n, n.fault("it ends too early")
	case r.rest[0] == '"':
		return r.text()
	case r.rest[0] == ')':
		return n, n.fault("')' closes nothing")
	case r.rest[0] != '(':
		end := strings.IndexAny(r.rest, " \t\r\n();\"")
		if end < 0 {
			end = len(r.rest)
		}
		if end == 0 {
			return n, n.fault("%q is no word", r.rest[0])
		}
		n.word, r.rest = r.rest[:end], r.rest[end:]
		return n, nil
	case depth == maxNesting:
		return n, n.fault("more than %d lists inside each other", maxNesting)
	}
	r.rest = r.rest[1:]
	n.list = []node{}
	for {
		if r.space(); strings.HasPrefix(r.rest, ")") {
			r.rest = r.rest[1:]
			return n, nil
		}
		inner, err := r.node(depth + 1)
		if err != nil {
			return n, err
		}
		n.list = append(n.list, inner)
	}
}

// text reads a string: bytes as they stand, and the escapes \n, \" , \\ and two
// hexadecimal digits.
func (r *reader) text() (node, error) {
	n := node{line: r.line, text: []byte{}}
	s := r.rest[1:]
	for {
		switch {
		case s == "" || s[0] == '\n':
			return n, n.fault("the string has no end")
		case s[0] == '"':
			r.rest = s[1:]
			return n, nil
		case s[0] != '\\':
			n.text, s = append(n.text, s[0]), s[1:]
		case strings.HasPrefix(s, `\n`):
			n.text, s = append(n.text, '\n'), s[2:]
		case strings.HasPrefix(s, `\"`), strings.HasPrefix(s, `\\`):
			n.text, s = append(n.text, s[1]), s[2:]
		default:
			digits := s[1:min(3, len(s))]
			b, err := hex.DecodeString(digits)
			if err != nil || len(b) != 1 {
				return n, n.fault("unknown escape %q", s[:min(3, len(s))])
			}
			n.text, s = append(n.text, b[0]), s[1+len(digits):]
		}
	}
}
