package inspect

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// reader walks over one object and gathers what is found.
type reader struct {
	opts   Options
	result *Result
	budget int // items left to parse
	opened int // byte strings that we are inside of
	path   []string
	// section is where the standard describes the object that is being read.
	section string
	// components are those of the manifest that is being read, for its indices.
	components []string
}

// shape shows an item of which it is known what it should be. Where the item is
// something else, a shape lists that as lint and shows it plainly.
type shape func(r *reader, it item) Node

const maxStep = 24 // bytes of one step of a path

// here is the path to the item that is being read.
func (r *reader) here() string { return "/" + strings.Join(r.path, "/") }

// within does something one step further down.
func (r *reader) within(step string, do func()) {
	if len(step) > maxStep {
		step = strings.ToValidUTF8(step[:maxStep], "") + "…"
	}
	r.path = append(r.path, step)
	do()
	r.path = r.path[:len(r.path)-1]
}

// at shows an item one step further down.
func (r *reader) at(step string, show shape, it item) (n Node) {
	r.within(step, func() { n = show(r, it) })
	return n
}

// field is a named part with its shape; nil stands for plain.
type field struct {
	name string
	show shape
}

func (f field) shape() shape {
	if f.show == nil {
		return plain
	}
	return f.show
}

// labels are the integer keys of a map.
type labels map[int64]field

// plain shows an item of which nothing is known but its encoding.
func plain(r *reader, it item) Node {
	switch it.major {
	case cosekit.MajorUint, cosekit.MajorNegative:
		return Node{Type: "integer", Value: integerValue(it)}
	case cosekit.MajorBytes:
		return plainBytes(r, it)
	case cosekit.MajorText:
		return Node{Type: "text", Value: strings.ToValidUTF8(string(it.content), "\ufffd")}
	case cosekit.MajorArray:
		return arrayOf(plain)(r, it)
	case cosekit.MajorMap:
		return mapOf(nil)(r, it)
	case cosekit.MajorTag:
		return plainTag(r, it)
	}
	return plainSimple(it)
}

// plainTag is set in init: what a tag announces can hold anything again.
var plainTag shape

func init() { plainTag = tagged }

// integerValue is an int64, an uint64, or a text where neither can hold it.
func integerValue(it item) any {
	if n, ok := it.integer(); ok {
		return n
	}
	if it.isUint() {
		return it.arg
	}
	text, _ := cbor.Diagnose(it.raw)
	return text
}

// plainBytes opens a byte string that holds an encoded object and nothing else.
func plainBytes(r *reader, it item) Node {
	if looksJWT(it.content) {
		return r.jwt(it.content)
	}
	if inner, ok := r.open(it); ok {
		return r.inside(inner, guess)
	}
	return hexNode(it)
}

func hexNode(it item) Node { return Node{Type: "bytes", Value: hex.EncodeToString(it.content)} }

func plainSimple(it item) Node {
	switch {
	case it.isNull():
		return Node{Type: "null"}
	case it.isBool():
		return Node{Type: "boolean", Value: it.info == 21}
	case it.info == 23:
		return Node{Type: "undefined"}
	case it.info >= 25:
		return floatNode(it)
	}
	return Node{Type: "simple", Value: it.arg}
}

func floatNode(it item) Node {
	var f float64
	if err := cbor.Unmarshal(it.raw, &f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		text, _ := cbor.Diagnose(it.raw)
		return Node{Type: "float", Text: text}
	}
	return Node{Type: "float", Value: f}
}

// open parses what a byte string holds, if that is one array, map or tagged item
// and not empty: shorter or simpler content is more likely there by chance.
func (r *reader) open(it item) (item, bool) {
	if r.opened >= maxOpened || len(it.content) < 2 {
		return item{}, false
	}
	if major := cosekit.Major(it.content); major < cosekit.MajorArray || major > cosekit.MajorTag {
		return item{}, false
	}
	inner, err := parseWhole(it.content, &r.budget, len(r.path))
	return inner, err == nil && len(inner.items) > 0
}

// inside shows what was found encoded in a byte string.
func (r *reader) inside(inner item, show shape) Node {
	r.opened++
	r.lintEncoding(inner)
	n := show(r, inner)
	r.opened--
	n.Encoded = true
	return n
}

// wrapped shows a byte string that holds an encoded item (bstr .cbor).
func wrapped(show shape) shape {
	return func(r *reader, it item) Node {
		if !it.isBytes() {
			return r.unfit(it, "a byte string")
		}
		if r.opened >= maxOpened {
			r.lint(SeverityError, secWellFormed, "more than %d byte strings inside each other; not opened", maxOpened)
			return hexNode(it)
		}
		inner, err := parseWhole(it.content, &r.budget, len(r.path))
		if err != nil {
			r.lint(SeverityError, secWellFormed, "the byte string should hold CBOR: %v", err)
			return hexNode(it)
		}
		return r.inside(inner, show)
	}
}

// maybeWrapped takes the item in a byte string or as it is: the drafts of the SUIT
// family differ.
func maybeWrapped(show shape) shape {
	return func(r *reader, it item) Node {
		if it.isBytes() {
			return wrapped(show)(r, it)
		}
		return show(r, it)
	}
}

// unfit shows an item that is not what stands in the standard.
func (r *reader) unfit(it item, want string) Node {
	r.lint(SeverityError, "", "want %s, found %s", want, describe(it))
	return plain(r, it)
}

func byteCount(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

func describe(it item) string {
	switch {
	case it.isNull():
		return "null"
	case it.isBool():
		return "a boolean"
	case it.major == cosekit.MajorTag:
		return fmt.Sprintf("tag %d", it.arg)
	}
	return it.major.String()
}

// arrayOf shows an array of elements of one shape.
func arrayOf(element shape) shape {
	return func(r *reader, it item) Node {
		if !it.isArray() {
			return r.unfit(it, "an array")
		}
		n := Node{Type: "array"}
		for i, e := range it.items {
			n.Items = append(n.Items, r.at(strconv.Itoa(i), element, e))
		}
		return n
	}
}

// tuple shows an array whose elements have names; what comes behind them is plain.
func tuple(required int, fields ...field) shape {
	return func(r *reader, it item) Node {
		if !it.isArray() {
			return r.unfit(it, "an array")
		}
		if len(it.items) < required {
			r.lint(SeverityError, "", "array of %d elements, want %d", len(it.items), required)
		}
		n := Node{Type: "array"}
		for i, e := range it.items {
			f := field{name: strconv.Itoa(i)}
			if i < len(fields) {
				f = fields[i]
			}
			n.Items = append(n.Items, r.named(f, e))
		}
		return n
	}
}

// named shows a part under its name.
func (r *reader) named(f field, it item) Node {
	n := r.at(f.name, f.shape(), it)
	n.Name = f.name
	return n
}

// mapOf shows a map with known integer keys. Others are shown plainly.
func mapOf(known labels) shape {
	return mapBy(func(key item) field {
		if label, ok := key.integer(); ok {
			return known[label]
		}
		return field{}
	})
}

// mapBy shows a map; what a key means is for of to say.
func mapBy(of func(key item) field) shape {
	return func(r *reader, it item) Node {
		if !it.isMap() {
			return r.unfit(it, "a map")
		}
		n := Node{Type: "map"}
		for i := 0; i < len(it.items); i += 2 {
			n.Items = append(n.Items, r.member(of(it.items[i]), it.items[i], it.items[i+1]))
		}
		return n
	}
}

// member shows one entry of a map.
func (r *reader) member(f field, key, value item) Node {
	shown := keyText(key)
	step := f.name
	if step == "" {
		step = shown
	}
	n := r.at(step, f.shape(), value)
	n.Name, n.Key = f.name, shown
	return n
}

const maxKey = 64 // bytes of a key's notation

// keyText is a map key in diagnostic notation, a component id as its path.
func keyText(key item) string {
	if len(key.raw) > maxKey || key.major == cosekit.MajorMap {
		return fmt.Sprintf("(key of %d bytes)", len(key.raw))
	}
	text, err := cbor.Diagnose(key.raw)
	if err != nil {
		return fmt.Sprintf("h'%x'", key.raw)
	}
	return text
}

// names shows an integer that stands for something.
func names(of func(int64) string) shape {
	return func(r *reader, it item) Node {
		value, ok := it.integer()
		if !ok {
			return r.unfit(it, "an integer")
		}
		return Node{Type: "integer", Value: value, Text: of(value)}
	}
}

// table is names for a list of names.
func table(list map[int64]string) shape {
	return names(func(n int64) string { return list[n] })
}

// only wants items for which fits holds.
func only(want string, fits func(item) bool, show shape) shape {
	return func(r *reader, it item) Node {
		if !fits(it) {
			return r.unfit(it, want)
		}
		return show(r, it)
	}
}

// either takes the first shape for items that fit, else the second.
func either(fits func(item) bool, first, second shape) shape {
	return func(r *reader, it item) Node {
		if fits(it) {
			return first(r, it)
		}
		return second(r, it)
	}
}

// Shapes of single types. digits shows a byte string that is known to be opaque.
var (
	digits  = only("a byte string", item.isBytes, func(_ *reader, it item) Node { return hexNode(it) })
	payload = only("a byte string", item.isBytes, plainBytes)
	text    = only("a text string", item.isText, plain)
	uinteg  = only("an unsigned integer", item.isUint, plain)
	boolean = only("true or false", item.isBool, plain)
)

// sized is digits with bounds on the length.
func sized(least, most int, section string) shape {
	return func(r *reader, it item) Node {
		if n := len(it.content); it.isBytes() && (n < least || n > most) {
			r.lint(SeverityError, section, "%d bytes, want %d to %d", n, least, most)
		}
		return digits(r, it)
	}
}
