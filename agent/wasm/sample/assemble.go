package sample

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// The sections of a module (WebAssembly 2.0 section 5.5.2), in their order.
const (
	sectionType   = 1
	sectionImport = 2
	sectionFunc   = 3
	sectionMemory = 5
	sectionGlobal = 6
	sectionExport = 7
	sectionStart  = 8
	sectionCode   = 10
	sectionData   = 11
)

const (
	kindFunction = 0
	kindMemory   = 2

	mutable = 1
	typeI32 = 0x7f
	opEnd   = 0x0b
)

// module collects the entries of the sections; the indices of functions and globals
// are those of their names.
type module struct {
	types, imports, funcs, memories, globals, exports, codes, datas [][]byte

	start       []byte
	funcNames   []string
	globalNames []string
}

// Assemble makes a module of its text. Errors name the line.
func Assemble(source string) ([]byte, error) {
	root, err := read(source)
	if err != nil {
		return nil, err
	}
	if root.head() != "module" {
		return nil, root.fault("want (module …)")
	}
	m := new(module)
	fields := root.list[1:]
	// Imported functions have the first indices, and calls may look ahead.
	for _, own := range []string{"import", "func"} {
		for _, f := range fields {
			if f.head() == own {
				if err := m.declare(f); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, f := range fields {
		if err := m.field(f); err != nil {
			return nil, err
		}
	}
	return m.encode(), nil
}

// declare gives a function, imported or not, its index and type.
func (m *module) declare(f node) error {
	parts := f.list[1:]
	if f.head() == "import" {
		if len(parts) != 3 || parts[0].text == nil || parts[1].text == nil || parts[2].head() != "func" {
			return f.fault("want (import \"module\" \"name\" (func …))")
		}
		s, _, err := m.signature(parts[2])
		if err != nil {
			return err
		}
		m.imports = append(m.imports, slices.Concat(name(parts[0].text), name(parts[1].text), []byte{kindFunction}, number(s.index)))
		return m.named(f, s)
	}
	s, _, err := m.signature(f)
	if err != nil {
		return err
	}
	m.funcs = append(m.funcs, number(s.index))
	return m.named(f, s)
}

// named gives a function the next index.
func (m *module) named(f node, s signature) error {
	if slices.Contains(m.funcNames, s.name) {
		return f.fault("there is another function %s", s.name)
	}
	m.funcNames = append(m.funcNames, s.name)
	return nil
}

// field assembles everything else.
func (m *module) field(f node) error {
	switch f.head() {
	case "import":
		return nil
	case "func":
		return m.function(f)
	case "memory":
		return m.memory(f)
	case "global":
		return m.global(f)
	case "data":
		return m.data(f)
	case "start":
		if len(f.list) != 2 {
			return f.fault("want (start $function)")
		}
		index, err := find(m.funcNames, f.list[1])
		m.start = number(index)
		return err
	}
	return f.fault("unknown field %q", f.head())
}

// memory is (memory (export "name") pages).
func (m *module) memory(f node) error {
	parts := f.list[1:]
	if len(parts) == 2 && parts[0].head() == "export" {
		if err := m.export(parts[0], kindMemory, 0); err != nil {
			return err
		}
		parts = parts[1:]
	}
	if len(parts) != 1 {
		return f.fault("want (memory pages)")
	}
	pages, err := strconv.ParseUint(parts[0].word, 10, 32)
	if err != nil {
		return parts[0].fault("%q is no number of pages", parts[0].word)
	}
	m.memories = append(m.memories, slices.Concat([]byte{0}, number(int(pages))))
	return nil
}

// global is (global $name i32 (i32.const n)) or (global $name (mut i32) (i32.const n)).
func (m *module) global(f node) error {
	if len(f.list) != 4 || !isName(f.list[1]) {
		return f.fault("want (global $name type (i32.const n))")
	}
	var variable byte
	kind := f.list[2]
	if kind.head() == "mut" && len(kind.list) == 2 {
		variable, kind = mutable, kind.list[1]
	}
	if kind.word != "i32" {
		return kind.fault("a global is an i32")
	}
	value, err := constant(f.list[3])
	if err != nil {
		return err
	}
	m.globals = append(m.globals, slices.Concat([]byte{typeI32, variable}, value))
	m.globalNames = append(m.globalNames, f.list[1].word)
	return nil
}

// data is (data (i32.const offset) "bytes").
func (m *module) data(f node) error {
	if len(f.list) != 3 || f.list[2].text == nil {
		return f.fault("want (data (i32.const offset) \"bytes\")")
	}
	offset, err := constant(f.list[1])
	m.datas = append(m.datas, slices.Concat([]byte{0}, offset, name(f.list[2].text)))
	return err
}

func (m *module) export(e node, kind byte, index int) error {
	if len(e.list) != 2 || e.list[1].text == nil {
		return e.fault("want (export \"name\")")
	}
	m.exports = append(m.exports, slices.Concat(name(e.list[1].text), []byte{kind}, number(index)))
	return nil
}

// constant is an initial value.
func constant(n node) ([]byte, error) {
	if n.head() != "i32.const" || len(n.list) != 2 {
		return nil, n.fault("want (i32.const n)")
	}
	value, err := integer(n.list[1])
	return slices.Concat([]byte{0x41}, value, []byte{opEnd}), err
}

// encode puts the sections together (section 5.5.16).
func (m *module) encode() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id      byte
		entries [][]byte
	}{
		{sectionType, m.types}, {sectionImport, m.imports}, {sectionFunc, m.funcs}, {sectionMemory, m.memories},
		{sectionGlobal, m.globals}, {sectionExport, m.exports}, {sectionStart, nil}, {sectionCode, m.codes}, {sectionData, m.datas},
	} {
		content := slices.Concat(number(len(s.entries)), slices.Concat(s.entries...))
		if s.id == sectionStart {
			content = m.start
		} else if len(s.entries) == 0 {
			continue
		}
		if len(content) > 0 {
			out = slices.Concat(out, []byte{s.id}, number(len(content)), content)
		}
	}
	return out
}

func isName(n node) bool { return strings.HasPrefix(n.word, "$") }

func find(names []string, n node) (int, error) {
	if at := slices.Index(names, n.word); at >= 0 && isName(n) {
		return at, nil
	}
	return 0, n.fault("%q is not known here", n.word)
}

// number is an unsigned LEB128 (section 5.2.2).
func number(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// name is a vector of bytes (section 5.2.4).
func name(text []byte) []byte { return slices.Concat(number(len(text)), text) }

// integer is a signed LEB128 of 32 bits, written in decimal.
func integer(n node) ([]byte, error) {
	value, err := strconv.ParseInt(n.word, 10, 64)
	if err != nil || value < -1<<31 || value >= 1<<32 {
		return nil, n.fault("%q is no 32-bit integer", n.word)
	}
	var out []byte
	for v := int32(value); ; {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b), nil
		}
		out = append(out, b|0x80)
	}
}
