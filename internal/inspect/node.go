package inspect

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Node is one item of the tree. Its JSON is a stable shape: members may be added,
// none changes its meaning (docs/inspect.md).
type Node struct {
	// Name is what the standard calls the item: a label, an option, a command, or
	// the part of an array. Empty where it has none.
	Name string `json:"name,omitempty"`
	// Key is the map key in diagnostic notation.
	Key string `json:"key,omitempty"`
	// Kind is set where the item is an object that Inspect knows.
	Kind Kind `json:"kind,omitempty"`
	// Tags are the CBOR tags in front of the item, from the outside in.
	Tags []uint64 `json:"tags,omitempty"`
	// Encoded says that the item stands encoded in a byte string.
	Encoded bool `json:"encoded,omitempty"`
	// Type is the type of the item: integer, bytes, text, array, map, boolean, null,
	// undefined, float, simple; json inside a JWT; computed for what the object does
	// not carry itself.
	Type string `json:"type"`
	// Value is a number, a text, a boolean, or the hexadecimal digits of a byte
	// string. An item that an array or a map is too long or too deep for has none.
	Value any `json:"value,omitempty"`
	// Text says what the value means: a name, a path, a time, a UUID.
	Text string `json:"text,omitempty"`
	// Items are the elements of an array and the values of a map, in their order.
	Items []Node `json:"items,omitempty"`

	raw   []byte // of an object, for its strict decoder
	path  string
	holds Kind // what a JWT or the payload of a COSE structure should be; empty where nobody says
}

// child returns the item of that name.
func (n *Node) child(name string) *Node {
	for i := range n.Items {
		if n.Items[i].Name == name {
			return &n.Items[i]
		}
	}
	return nil
}

const (
	shownBytes = 32  // of a byte string, unless all are wanted
	shownRunes = 200 // of a text
)

// printer writes a tree for people.
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

func (p *printer) node(n *Node, indent int) {
	label := n.Name
	if label == "" {
		label = n.Key
	}
	if label == "" {
		label = "-"
	} else {
		label += ":"
	}
	p.printf("%*s%s", indent, "", printable(label))
	if n.Kind != "" {
		p.printf(" %s", kinds[n.Kind].title)
	}
	for _, tag := range n.Tags {
		p.printf(" (tag %d)", tag)
	}
	if shown := p.show(n); shown != "" {
		p.printf(" %s", shown)
	}
	p.printf("\n")
	for i := range n.Items {
		p.node(&n.Items[i], indent+2)
	}
}

// show returns the value on one line.
func (p *printer) show(n *Node) string {
	value := p.value(n)
	switch {
	case n.Text == "":
		return value
	case n.Type == "integer" || n.Type == "simple":
		return printable(n.Text) + " (" + value + ")"
	}
	return printable(n.Text)
}

func (p *printer) value(n *Node) string {
	switch v := n.Value.(type) {
	case nil:
		return emptyMark(n)
	case string:
		switch n.Type {
		case "bytes":
			return p.bytes(v)
		case "text":
			return p.text(v)
		}
		return printable(v)
	default:
		return fmt.Sprint(v)
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
func (p *printer) bytes(digits string) string {
	if p.full || len(digits) <= 2*shownBytes {
		return "h'" + digits + "'"
	}
	return fmt.Sprintf("h'%s…' (%d bytes)", digits[:2*shownBytes], len(digits)/2)
}

func (p *printer) text(s string) string {
	if runes := []rune(s); !p.full && len(runes) > shownRunes {
		return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(string(runes[:shownRunes])), len(s))
	}
	return strconv.Quote(s)
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
