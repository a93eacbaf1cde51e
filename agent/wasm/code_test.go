package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func contentOf(id byte, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	return slices.Concat([]byte{id}, uleb(len(all)), all)
}

// commandOf is a module of these function bodies, the first of them _start, and one
// page of memory.
func commandOf(bodies ...[]byte) []byte {
	var functions, code []byte
	for _, b := range bodies {
		functions = append(functions, 0)
		code = append(append(code, uleb(len(b))...), b...)
	}
	const memory = 5
	return slices.Concat(preamble, contentOf(sectionType, []byte{1, 0x60, 0, 0}), contentOf(3, uleb(len(bodies)), functions),
		contentOf(memory, []byte{1, 0, 1}), contentOf(7, []byte("\x01\x06_start\x00\x00")), contentOf(sectionCode, uleb(len(bodies)), code))
}

// body is a function with so many locals and this code n times.
func body(locals int, code string, n int, after string) []byte {
	groups := []byte{0}
	if locals > 0 {
		groups = slices.Concat([]byte{1}, uleb(locals), []byte{0x7f})
	}
	return slices.Concat(groups, bytes.Repeat([]byte(code), n), []byte(after), []byte{0x0b})
}

// TestDearToPrepare: modules that the runtime would take minutes, or gigabytes, to
// prepare, or that would run for long without a look at the time.
func TestDearToPrepare(t *testing.T) {
	const branch = "\x02\x40\x41\x00\x0e" // block, i32.const 0, br_table
	table := func(targets int) []byte {
		return slices.Concat([]byte{0}, []byte(branch), uleb(targets), make([]byte, targets+1), []byte{0x0b, 0x0b})
	}
	const (
		ifs  = "\x20\x00\x04\x40\x41\x01\x21\x01\x0b" // if local 0 then set local 1
		fill = "\x41\x00\x41\x00\x41\x01\xfc\x0b\x00"
	)
	for name, tt := range map[string]struct {
		module []byte
		want   string // "" where it runs
	}{
		"locals":                     {commandOf(body(maxLocals+1, "", 0, "")), "16384 locals"},
		"locals of several types":    {commandOf(slices.Concat([]byte{2}, uleb(maxLocals), []byte{0x7f}, uleb(1), []byte{0x7e, 0x0b})), "16384 locals"},
		"more locals than a number":  {commandOf([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b}), "16384 locals"},
		"locals of many functions":   {commandOf(slices.Repeat([][]byte{body(maxLocals, "", 0, "")}, 65)...), "locals in all"},
		"too many functions":         {commandOf(slices.Repeat([][]byte{{0, 0x0b}}, maxEntries+1)...), "65536 entries"},
		"functions up to the bound":  {commandOf(slices.Repeat([][]byte{{0, 0x0b}}, maxEntries)...), ""},
		"too many globals":           {slices.Concat(preamble, contentOf(6, uleb(maxEntries+1), bytes.Repeat([]byte{0x7f, 0, 0x41, 0, 0x0b}, maxEntries+1))), "65536 entries"},
		"a list without a length":    {slices.Concat(preamble, contentOf(9, []byte{0x80})), "damaged"},
		"many functions":             {commandOf(slices.Repeat([][]byte{body(16, "", 0, "")}, 5000)...), ""},
		"blocks and locals":          {commandOf(body(2000, ifs, 2000, "")), "blocks (2000) and locals (2000)"},
		"of many functions":          {commandOf(slices.Repeat([][]byte{body(500, ifs, 4000, "")}, 5)...), "in all"},
		"blocks":                     {commandOf(body(2, ifs, 20_000, "")), ""},
		"targets of a branch":        {commandOf(table(maxTargets + 1)), "br_table"},
		"targets of many functions":  {commandOf(slices.Repeat([][]byte{table(maxTargets / 2)}, 5)...), "br_table"},
		"a branch":                   {commandOf(table(1000)), ""},
		"memory operations":          {commandOf(body(0, fill, maxBulk+1, "")), "256 bulk"},
		"a few memory operations":    {commandOf(body(0, fill, maxBulk, "")), ""},
		"much to interpret":          {commandOf(body(0, "\x01", maxInterpreted, "")), "4194304"},
		"much to compile":            {commandOf(slices.Repeat([][]byte{body(0, "\x01", maxCompiled-100, "")}, 140)...), ""},
		"a type of many parameters":  {slices.Concat(preamble, contentOf(sectionType, []byte{1, 0x60}, uleb(129), bytes.Repeat([]byte{0x7f}, 129), []byte{0})), "128 parameters"},
		"blocks of many parameters":  {commandOf(body(0, "\x02\x00\x0b", 20_000, "")), "blocks (20000)"},
		"an instruction of nobody":   {commandOf(body(0, "\xff", 1, "")), "not known"},
		"a bulk one of nobody":       {commandOf(body(0, "\xfc\x12", 1, "")), "not known"},
		"ends inside an instruction": {commandOf([]byte{0, 0x43, 0x0b}), "damaged"},
		"a branch without its end":   {commandOf([]byte{0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b}), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			limits := DefaultLimits()
			limits.Time = time.Hour // what is refused is refused at once
			_, err := Run(t.Context(), tt.module, nil, limits)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrModule) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestInstructions: operands of every kind are passed over, so that what comes after
// them is counted.
func TestInstructions(t *testing.T) {
	for name, code := range map[string]string{
		"control":  "\x00\x01\x02\x40\x03\x7f\x04\x80\x01\x05\x0b\x0c\x80\x01\x0d\x00\x0e\x02\x00\x01\x02\x0f\x10\x80\x02\x11\x81\x01\x00",
		"values":   "\x1a\x1b\x1c\x01\x7f\x20\x80\x01\x21\x00\x22\x00\x23\x00\x24\x00\x25\x00\x26\x00\x41\xff\xff\xff\xff\x0f\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f\x43....\x44........",
		"memory":   "\x28\x02\x80\x01\x3e\x00\x00\x3f\x00\x40\x00\xfc\x00\xfc\x07\xfc\x08\x00\x00\xfc\x09\x00\xfc\x0a\x00\x00\xfc\x0b\x00",
		"tables":   "\xfc\x0c\x00\x00\xfc\x0d\x00\xfc\x0e\x00\x00\xfc\x0f\x00\xfc\x10\x00\xfc\x11\x00\xd0\x70\xd1\xd2\x80\x01",
		"numbers":  "\x45\x6a\xa7\xc0\xc4",
		"vectors":  "\xfd\x00\x04\x80\x01\xfd\x0b\x00\x00\xfd\x0c0123456789abcdef\xfd\x0d0123456789abcdef\xfd\x0e\xfd\x15\x01\xfd\x22\x01\xfd\x23",
		"vectors2": "\xfd\x54\x00\x00\x01\xfd\x5b\x00\x80\x01\x01\xfd\x5c\x00\x00\xfd\x5d\x00\x00\xfd\x5e\xfd\xff\x01",
	} {
		var before, after function
		r := reader{rest: []byte(code)}
		for len(r.rest) > 0 && !r.failed {
			before.instruction(&r)
		}
		if r.failed {
			t.Errorf("%s: not read to its end", name)
		}
		r = reader{rest: []byte(code + "\x03\x40\xfc\x0b\x00")}
		for len(r.rest) > 0 && !r.failed {
			after.instruction(&r)
		}
		if after.blocks != before.blocks+1 || after.bulk != before.bulk+1 || after.typed != before.typed {
			t.Errorf("%s: %+v, then %+v", name, before, after)
		}
		for cut := range len(code) {
			r := reader{rest: []byte(code)[:cut]}
			for len(r.rest) > 0 && !r.failed {
				after.instruction(&r)
			}
		}
	}
}
