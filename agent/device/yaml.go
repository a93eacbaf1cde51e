package device

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/google/uuid"
)

// maxSettings is the size of the largest config.yaml that is read, in bytes.
const maxSettings = 64 << 10

// mistake is what is wrong with one setting: which, with what value, and what is wanted.
type mistake struct {
	key string // dotted; empty for the whole file
	err error
}

func wrong(key, format string, args ...any) error { return &mistake{key, fmt.Errorf(format, args...)} }

func (m *mistake) Error() string {
	if m.key == "" {
		return m.err.Error()
	}
	return m.key + ": " + m.err.Error()
}

func (m *mistake) Unwrap() error { return m.err }

// document is a config.yaml as it is read.
type document map[string]int // lines by dotted key

// locate puts the line before each mistake that stands somewhere in the file.
func (d document) locate(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range several.Unwrap() {
			out = append(out, d.locate(e))
		}
		return errors.Join(out...)
	}
	if m := (*mistake)(nil); errors.As(err, &m) && d[m.key] > 0 {
		return fmt.Errorf("line %d, %w", d[m.key], err)
	}
	return err
}

// position is how the parser begins the first line of what it says.
var position = regexp.MustCompile(`(?s)^\[(\d+):\d+\] ([^\n]*).*$`)

// readYAML reads one document into a structure whose fields have yaml tags. It is strict:
// a key that is unknown or there twice is a mistake, and so is a value that only looks
// like what is wanted, or would have to be rounded.
func readYAML(data []byte, into any) (document, error) {
	if len(data) > maxSettings {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxSettings)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, errors.New(position.ReplaceAllString(yaml.FormatError(err, false, false), "line $1: $2"))
	}
	d := document{}
	switch {
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		return d, nil
	case len(file.Docs) > 1:
		return nil, errors.New("more than one YAML document")
	}
	return d, d.section("", file.Docs[0].Body, reflect.ValueOf(into).Elem())
}

// section reads a mapping into a structure. One whose keys are all commented out is empty.
func (d document) section(name string, value ast.Node, into reflect.Value) error {
	var entries []*ast.MappingValueNode
	switch m := value.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		entries = m.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{m}
	default:
		return wrong(name, "want keys with values, not %s", kind(value))
	}
	for _, entry := range entries {
		key, ok := scalar(entry.Key)
		if !ok {
			return wrong(name, "a key that is not plain text: anchors and merges are not read")
		}
		if name != "" {
			key = name + "." + key
		}
		d[key] = line(entry.Key)
		field, ok := fieldOf(into, strings.TrimPrefix(key, name+"."))
		if !ok {
			return wrong(key, "unknown key")
		}
		if err := d.setting(key, entry.Value, field); err != nil {
			return err
		}
	}
	return nil
}

// field is a setting and what the value of it has to be, where its type does not say.
type field struct {
	value reflect.Value
	want  string
}

func fieldOf(structure reflect.Value, key string) (field, bool) {
	for i := range structure.NumField() {
		f := structure.Type().Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); tag == key {
			return field{structure.Field(i), f.Tag.Get("want")}, true
		}
	}
	return field{}, false
}

func (d document) setting(key string, value ast.Node, into field) error {
	if into.value.Kind() == reflect.Pointer {
		into.value.Set(reflect.New(into.value.Type().Elem()))
		into.value = into.value.Elem()
	}
	_, text := into.value.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case text:
	case into.value.Kind() == reflect.Struct:
		return d.section(key, value, into.value)
	case into.value.Kind() == reflect.Slice:
		return d.list(key, value, into)
	}
	written, single := scalar(value)
	if !single {
		want := into.want
		if want == "" {
			want = "a single value"
		}
		return wrong(key, "want %s, not %s", want, kind(value))
	}
	if b, ok := into.value.Addr().Interface().(*bool); ok {
		if node, ok := value.(*ast.BoolNode); ok && node.GetToken().Type == token.BoolType {
			*b = node.Value
			return nil
		}
		return wrong(key, "%q: want true or false", written)
	}
	err := set(into.value.Addr().Interface(), written)
	if err != nil && !strings.Contains(err.Error(), strconv.Quote(written)) {
		err = fmt.Errorf("%q: %w", written, err)
	}
	if err != nil {
		return &mistake{key, err}
	}
	return nil
}

// list reads a list of settings.
func (d document) list(key string, value ast.Node, into field) error {
	s, ok := value.(*ast.SequenceNode)
	if !ok {
		return wrong(key, "want a list such as [first, second], not %s", kind(value))
	}
	into.value.SetZero()
	for i, v := range s.Values {
		element := reflect.New(into.value.Type().Elem()).Elem()
		name := fmt.Sprintf("%s[%d]", key, i)
		d[name] = line(v)
		if err := d.setting(name, v, field{value: element}); err != nil {
			return err
		}
		into.value.Set(reflect.Append(into.value, element))
	}
	return nil
}

// set reads a value from the text that people write.
func set(into any, text string) (err error) {
	switch v := into.(type) {
	case *string:
		*v = text
	case *uint64:
		if *v, err = strconv.ParseUint(text, 10, 64); err != nil {
			err = fmt.Errorf("want a whole number up to %d", uint64(math.MaxUint64))
		}
	case *uint32:
		n, fault := strconv.ParseUint(text, 10, 32)
		if *v = uint32(n); fault != nil {
			err = fmt.Errorf("want a whole number up to %d", uint32(math.MaxUint32))
		}
	case *time.Duration:
		if *v, err = time.ParseDuration(text); err != nil {
			err = errors.New("want a time with its unit, such as 10s, 5m or 1h30m")
		}
	case *uuid.UUID:
		if err = v.UnmarshalText([]byte(text)); err != nil {
			err = errors.New("want a UUID such as cfbff0d1-9375-5685-968c-48ce8b15ae17")
		}
	case encoding.TextUnmarshaler:
		err = v.UnmarshalText([]byte(text))
	default:
		err = fmt.Errorf("nothing reads a %T", into)
	}
	return err
}

func kind(value ast.Node) string {
	switch value.(type) {
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
// like a number.
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

func line(value ast.Node) int {
	if t := value.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
