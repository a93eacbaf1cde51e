package author

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxDescription is the size of the largest description document, in bytes.
const MaxDescription = 256 << 10

// Parse reads one YAML document. An unknown key is an error, and so are one that
// appears twice and one without a value. Errors name the line and the key. File names
// are taken as they stand; [Load] looks for them beside the description.
func Parse(data []byte) (*Description, error) {
	if len(data) > MaxDescription {
		return nil, refuse("%d bytes, at most %d: a payload is named, not contained", len(data), MaxDescription)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, refuse("%s", plainSyntax(err))
	}
	switch {
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return nil, refuse("the document is empty")
	case len(file.Docs) > 1:
		return nil, refuse("more than one YAML document")
	}
	d := &Description{lines: map[string]int{}}
	if err := (node{value: file.Docs[0].Body, lines: d.lines}).fields(d.keys()); err != nil {
		return nil, err
	}
	return d, nil
}

// Load reads a description file. The files that it names are looked for beside it.
func Load(path string) (*Description, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	read, written := d.files()
	for _, name := range slices.Concat(read, written) {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(filepath.Dir(path), *name)
		}
	}
	return d, nil
}

// position is how the parser begins the first line of what it says.
var position = regexp.MustCompile(`^\[(\d+):\d+\] `)

// plainWords say what to mend where the parser speaks of its own parts.
var plainWords = strings.NewReplacer(
	"found character '\t' that cannot start any token", "a tab at the beginning of the line: indent with spaces",
	"unexpected key name", "a line without a key: a colon may be missing (key: value)",
	"non-map value is specified", "a line without a key: a colon may be missing (key: value)",
	"mapping value is not allowed in this context", "a second colon in the line: put the value in quotes",
	"sequence end token ']' not found", "a list that begins with [ and has no ]",
	"could not find end character of double-quoted text", "a quote that is not closed",
	"could not find end character of single-quoted text", "a quote that is not closed",
)

func plainSyntax(err error) string {
	return plainWords.Replace(position.ReplaceAllString(yaml.FormatError(err, false, false), "line $1: "))
}

// node is a value in a document, and its place there.
type node struct {
	value ast.Node
	path  string         // "components[1].payload"; empty for the whole document
	lines map[string]int // by path, filled as the document is read
}

// keyTable says what reads the value of each key of a mapping.
type keyTable map[string]func(node) error

func (n node) refuse(format string, args ...any) error {
	return refuse("line %d: %s%s", lineOf(n.value), prefix(n.path), fmt.Sprintf(format, args...))
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func lineOf(value ast.Node) int {
	if t := value.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (n node) child(step string, value ast.Node) node {
	path := step
	if n.path != "" && step[0] != '[' {
		path = "." + step
	}
	c := node{value, n.path + path, n.lines}
	c.lines[c.path] = lineOf(value)
	return c
}

// entries calls each for the entries of a mapping.
func (n node) entries(each func(key string, value node) error) error {
	var values []*ast.MappingValueNode
	switch m := n.value.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return n.refuse("want keys with values, not %s", n.kind())
	}
	for _, v := range values {
		key, ok := scalar(v.Key)
		if !ok {
			return n.refuse("a key that is not plain text: anchors and merges are not read")
		}
		c := n.child(key, v.Value)
		c.lines[c.path] = lineOf(v.Key)
		if err := each(key, c); err != nil {
			return err
		}
	}
	return nil
}

// fields reads a mapping whose keys are known.
func (n node) fields(known keyTable) error {
	return n.entries(func(key string, value node) error {
		read, ok := known[key]
		if !ok {
			return refuse("line %d: %s: unknown key", n.lines[value.path], value.path)
		}
		return read(value)
	})
}

// list calls each for the elements of a sequence.
func (n node) list(each func(node) error) error {
	s, ok := n.value.(*ast.SequenceNode)
	if !ok {
		return n.refuse("want a list, not %s", n.kind())
	}
	for i, v := range s.Values {
		if err := each(n.child(fmt.Sprintf("[%d]", i), v)); err != nil {
			return err
		}
	}
	return nil
}

func (n node) kind() string {
	switch n.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "an anchor, an alias or a tag"
	}
	return "a single value"
}

// scalar returns a single value as it is written, which keeps the digits of what looks
// like a number: 1.10 is another version than 1.1.
func scalar(value ast.Node) (string, bool) {
	switch v := value.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, true
	}
	return "", false
}

func (n node) text() (string, error) {
	s, ok := scalar(n.value)
	if !ok {
		return "", n.refuse("want text, not %s", n.kind())
	}
	return s, nil
}

// words reads a text that says something.
func words(dst *string) func(node) error {
	return func(n node) (err error) {
		*dst, err = n.text()
		if err == nil && *dst == "" {
			err = n.refuse("is empty")
		}
		return err
	}
}

// texts reads a list of texts; a single one needs no list.
func texts(dst *[]string) func(node) error {
	add := func(n node) error {
		var s string
		err := words(&s)(n)
		*dst = append(*dst, s)
		return err
	}
	return func(n node) error {
		if _, single := scalar(n.value); single {
			return add(n)
		}
		return n.list(add)
	}
}

// parsed reads a text that is more than text.
func parsed[T any](dst *T, read func(string) (T, error)) func(node) error {
	return func(n node) error {
		s, err := n.text()
		if err != nil {
			return err
		}
		v, err := read(s)
		if err != nil {
			return n.refuse("%v", err)
		}
		*dst = v
		return nil
	}
}

// optional is parsed for a field that is nil where the key is absent.
func optional[T any](dst **T, read func(string) (T, error)) func(node) error {
	return func(n node) error {
		v := new(T)
		*dst = v
		return parsed(v, read)(n)
	}
}

// marshaled reads a text that its type can read.
func marshaled[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](dst *T) func(node) error {
	return parsed(dst, func(s string) (v T, err error) { return v, P(&v).UnmarshalText([]byte(s)) })
}

// several reads a list with a reader for each element.
func several[T any](dst *[]T, read func(*T) func(node) error) func(node) error {
	return func(n node) error {
		*dst = []T{}
		return n.list(func(n node) error {
			var v T
			err := read(&v)(n)
			*dst = append(*dst, v)
			return err
		})
	}
}

// flag reads true or false, and nothing that only looks like it.
func flag(dst *bool) func(node) error {
	return func(n node) error {
		b, ok := n.value.(*ast.BoolNode)
		if !ok || b.GetToken().Type != token.BoolType {
			return n.refuse("want true or false")
		}
		*dst = b.Value
		return nil
	}
}

// wholeNumber reads decimal digits, and nothing that has to be rounded.
func wholeNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a whole number, not %q", s)
	}
	return n, nil
}

func integer(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a whole number, not %q", s)
	}
	return n, nil
}

// moment reads a time. SUIT counts whole seconds since 1970.
func moment(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		if t, err = time.Parse(time.DateOnly, s); err != nil {
			return t, errors.New("want a time such as 2027-01-31T12:00:00Z, or a day, 2027-01-31")
		}
	}
	if t.Unix() < 0 || t.Nanosecond() != 0 {
		return t, errors.New("want whole seconds, and not before 1970")
	}
	return t.UTC(), nil
}
