package sample

import (
	"slices"
	"strconv"
	"strings"
)

// signature is what a function says before its instructions.
type signature struct {
	name   string
	index  int // of its type
	params []string
	locals []string
	export *node
}

// signature reads the head of a function, and returns its instructions.
func (m *module) signature(f node) (s signature, body []node, err error) {
	body = f.list[1:]
	if len(body) == 0 || !isName(body[0]) {
		return s, nil, f.fault("a function needs a name")
	}
	s.name, body = body[0].word, body[1:]
	var results int
	for ; len(body) > 0 && body[0].list != nil; body = body[1:] {
		part := body[0]
		if part.head() == "export" {
			s.export = &part
			continue
		}
		names, err := values(part)
		if err != nil {
			return s, nil, err
		}
		switch part.head() {
		case "param":
			s.params = append(s.params, names...)
		case "local":
			s.locals = append(s.locals, names...)
		case "result":
			results += len(names)
		}
	}
	kind := slices.Concat([]byte{0x60}, number(len(s.params)), slices.Repeat([]byte{typeI32}, len(s.params)),
		number(results), slices.Repeat([]byte{typeI32}, results))
	if s.index = slices.IndexFunc(m.types, func(t []byte) bool { return string(t) == string(kind) }); s.index < 0 {
		s.index = len(m.types)
		m.types = append(m.types, kind)
	}
	return s, body, nil
}

// values reads (param i32 i32) or (param $name i32), and returns a name for each value.
func values(part node) ([]string, error) {
	if !slices.Contains([]string{"param", "local", "result"}, part.head()) {
		return nil, part.fault("unknown part %q of a function", part.head())
	}
	rest := part.list[1:]
	if len(rest) == 2 && isName(rest[0]) && rest[1].word == "i32" {
		return []string{rest[0].word}, nil
	}
	for _, v := range rest {
		if v.word != "i32" {
			return nil, part.fault("want (%s i32 …) or (%s $name i32)", part.head(), part.head())
		}
	}
	return make([]string, len(rest)), nil
}

// function assembles the code of one.
func (m *module) function(f node) error {
	s, instructions, err := m.signature(f)
	if err != nil {
		return err
	}
	index, err := find(m.funcNames, node{line: f.line, word: s.name})
	if err != nil {
		return err
	}
	if s.export != nil {
		if err := m.export(*s.export, kindFunction, index); err != nil {
			return err
		}
	}
	b := &body{module: m, locals: slices.Concat(s.params, s.locals), rest: instructions}
	if len(s.locals) > 0 {
		b.code = slices.Concat(number(1), number(len(s.locals)), []byte{typeI32})
	} else {
		b.code = number(0)
	}
	for len(b.rest) > 0 {
		if err := b.instruction(); err != nil {
			return err
		}
	}
	if len(b.labels) > 0 {
		return f.fault("%s: %d blocks have no end", s.name, len(b.labels))
	}
	b.code = append(b.code, opEnd)
	m.codes = append(m.codes, name(b.code))
	return nil
}

// body is the code of a function in the making.
type body struct {
	module *module
	locals []string
	labels []string // of the open blocks, outermost first
	rest   []node
	code   []byte
}

// operand is what follows an instruction.
type operand int

const (
	none    operand = iota
	opens           // a block: an optional label
	label           // of an open block
	callee          // a function
	local           // a parameter or local variable
	global          // a global variable
	literal         // an integer
	access          // a memory access: an optional offset=n
	zero            // the index of the one memory
)

// instructions are those of the text format that are known here (section 5.4).
var instructions = map[string]struct {
	code    byte
	operand operand
	align   byte // of a memory access, as a power of two
}{
	"unreachable": {0x00, none, 0}, "nop": {0x01, none, 0}, "return": {0x0f, none, 0}, "drop": {0x1a, none, 0},
	"block": {0x02, opens, 0}, "loop": {0x03, opens, 0}, "if": {0x04, opens, 0}, "else": {0x05, none, 0}, "end": {opEnd, none, 0},
	"br": {0x0c, label, 0}, "br_if": {0x0d, label, 0}, "call": {0x10, callee, 0},
	"local.get": {0x20, local, 0}, "local.set": {0x21, local, 0}, "local.tee": {0x22, local, 0},
	"global.get": {0x23, global, 0}, "global.set": {0x24, global, 0},
	"i32.load": {0x28, access, 2}, "i32.load8_u": {0x2d, access, 0}, "i32.store": {0x36, access, 2}, "i32.store8": {0x3a, access, 0},
	"memory.size": {0x3f, zero, 0}, "memory.grow": {0x40, zero, 0},
	"i32.const": {0x41, literal, 0}, "i32.eqz": {0x45, none, 0}, "i32.eq": {0x46, none, 0}, "i32.ne": {0x47, none, 0},
	"i32.lt_u": {0x49, none, 0}, "i32.gt_u": {0x4b, none, 0},
	"i32.add": {0x6a, none, 0}, "i32.sub": {0x6b, none, 0}, "i32.mul": {0x6c, none, 0},
	"i32.div_u": {0x6e, none, 0}, "i32.rem_u": {0x70, none, 0}, "i32.and": {0x71, none, 0},
}

// next takes the word after an instruction.
func (b *body) next(after node) (node, error) {
	if len(b.rest) == 0 {
		return node{}, after.fault("%s needs an operand", after.word)
	}
	n := b.rest[0]
	b.rest = b.rest[1:]
	return n, nil
}

func (b *body) instruction() error {
	word := b.rest[0]
	b.rest = b.rest[1:]
	in, known := instructions[word.word]
	if !known {
		return word.fault("unknown instruction %q", word.word)
	}
	if word.word == "end" {
		if len(b.labels) == 0 {
			return word.fault("end of no block")
		}
		b.labels = b.labels[:len(b.labels)-1]
	}
	b.code = append(b.code, in.code)
	switch in.operand {
	case opens:
		b.open()
		return nil
	case access:
		return b.access(in.align)
	case zero:
		b.code = append(b.code, 0)
		return nil
	case none:
		return nil
	}
	n, err := b.next(word)
	if err != nil {
		return err
	}
	return b.operand(in.operand, n)
}

func (b *body) operand(kind operand, n node) error {
	var index int
	var err error
	switch kind {
	case literal:
		value, err := integer(n)
		b.code = append(b.code, value...)
		return err
	case label:
		// Counted from the innermost block, which also has the first claim to its name.
		inward := slices.Clone(b.labels)
		slices.Reverse(inward)
		index, err = find(inward, n)
	case callee:
		index, err = find(b.module.funcNames, n)
	case local:
		index, err = find(b.locals, n)
	case global:
		index, err = find(b.module.globalNames, n)
	}
	if err == nil {
		b.code = append(b.code, number(index)...)
	}
	return err
}

// open begins a block without a result.
func (b *body) open() {
	const empty = 0x40
	b.code = append(b.code, empty)
	var name string
	if len(b.rest) > 0 && isName(b.rest[0]) {
		name, b.rest = b.rest[0].word, b.rest[1:]
	}
	b.labels = append(b.labels, name)
}

func (b *body) access(align byte) error {
	var offset uint64
	if len(b.rest) > 0 {
		if digits, ok := strings.CutPrefix(b.rest[0].word, "offset="); ok {
			var err error
			if offset, err = strconv.ParseUint(digits, 10, 31); err != nil {
				return b.rest[0].fault("%q is no offset", digits)
			}
			b.rest = b.rest[1:]
		}
	}
	b.code = append(append(b.code, align), number(int(offset))...)
	return nil
}
