package wasm

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// magic and version begin every module (WebAssembly 2.0 section 5.5.16).
var preamble = []byte("\x00asm\x01\x00\x00\x00")

// IsModule reports whether data begins as a WebAssembly module does.
func IsModule(data []byte) bool { return bytes.HasPrefix(data, preamble) }

const (
	sectionType  = 1
	sectionTable = 4
	sectionCode  = 10
	// maxTable bounds the entries of a table, which the runtime makes at once.
	maxTable = 1 << 16
	// maxCompiled bounds the bytes of a function that is compiled. The time that takes
	// grows faster than the function, minutes for half a megabyte of loops, and nothing
	// ends it.
	maxCompiled = 32 << 10
	// maxInterpreted bounds a module that is interpreted, in bytes: the interpreter's form
	// of it takes fifty times the room.
	maxInterpreted = 4 << 20
)

// check refuses what would cost too much before the runtime has looked at it.
func check(module []byte, l Limits) error {
	switch {
	case !IsModule(module):
		return fmt.Errorf("%w: it does not begin as one", ErrModule)
	case uint64(len(module)) > l.Module:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrModule, len(module), l.Module)
	}
	if len(module) > maxInterpreted && !compilable(module) {
		return tooMuch("%d bytes, at most %d with functions of more than %d", len(module), maxInterpreted, maxCompiled)
	}
	return sections(module, func(id byte, content []byte) error {
		if err := checkEntries(id, content); err != nil {
			return err
		}
		switch {
		case id == sectionType:
			return checkTypes(content)
		case id == sectionCode:
			return checkCode(content)
		case id == sectionTable && !smallTables(content):
			return tooMuch("a table of more than %d entries", maxTable)
		}
		return nil
	})
}

// checkEntries bounds the sections that are lists: all but custom ones, the start function
// and the count of data segments.
func checkEntries(id byte, content []byte) error {
	const custom, start, dataCount = 0, 8, 12
	if id == custom || id == start || id >= dataCount {
		return nil // what is above is refused by the runtime
	}
	r := reader{rest: content}
	if r.number() > maxEntries {
		return tooMuch("a section of more than %d entries", maxEntries)
	}
	return r.fault()
}

// compilable reports whether all functions are small enough to be compiled. Others are
// interpreted, which is slower, but begins at once.
func compilable(module []byte) bool {
	return IsModule(module) && sections(module, func(id byte, content []byte) error {
		if id != sectionCode {
			return nil
		}
		count, n := binary.Uvarint(content)
		for rest, ok := content[max(n, 0):], true; count > 0; count-- {
			var body []byte
			if body, rest, ok = section(rest); !ok || len(body) > maxCompiled {
				return ErrModule
			}
		}
		return nil
	}) == nil
}

// sections calls each for every section of a module that begins as one, until an error.
func sections(module []byte, each func(id byte, content []byte) error) error {
	for rest := module[len(preamble):]; len(rest) > 0; {
		content, after, ok := section(rest[1:])
		if !ok {
			return fmt.Errorf("%w: it ends inside a section", ErrModule)
		}
		if err := each(rest[0], content); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// section splits off the content of a section by its size.
func section(data []byte) (content, rest []byte, ok bool) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, false
	}
	return data[n:][:size], data[n:][size:], true
}

// smallTables reports whether the one table that a module may have is small. It need
// not understand what the runtime refuses anyhow, only must not pass what it takes.
func smallTables(content []byte) bool {
	count, n := binary.Uvarint(content)
	if count == 0 && n > 0 {
		return true
	}
	const funcref, withMaximum = 0x70, 1
	if n <= 0 || count > 1 || len(content) < n+2 || content[n] != funcref || content[n+1] > withMaximum {
		return false
	}
	least, n := binary.Uvarint(content[n+2:])
	return n > 0 && least <= maxTable
}

// checkInterface wants a command: one that begins at _start, and imports WASI only.
func checkInterface(m wazero.CompiledModule) error {
	for _, f := range m.ImportedFunctions() {
		if from, name, _ := f.Import(); from != wasi_snapshot_preview1.ModuleName {
			return fmt.Errorf("%w: it imports %q of %q, and there is WASI preview 1 only", ErrModule, name, from)
		}
	}
	if len(m.ImportedMemories()) > 0 {
		return fmt.Errorf("%w: it imports a memory", ErrModule)
	}
	start, ok := m.ExportedFunctions()["_start"]
	if !ok || len(start.ParamTypes())+len(start.ResultTypes()) > 0 {
		return fmt.Errorf("%w: it exports no function _start", ErrModule)
	}
	return nil
}
