package wasm

import (
	"encoding/binary"
	"fmt"
)

// What preparing a module costs has no limit in the runtime, and no context ends it. It
// grows with more than the bytes of the module, so those things are bounded here that
// make it grow. Compilers stay far below.
const (
	maxEntries    = 1 << 16 // of one section: functions, globals, types
	maxArity      = 128     // parameters and results of one function type
	maxLocals     = 1 << 14 // of one function
	maxAllLocals  = 1 << 20 // of all functions
	maxWidth      = 1 << 21 // blocks of one function, times the values that live in it
	maxAllWidths  = 1 << 23 // the same of all functions
	maxTargets    = 1 << 15 // of one function's br_tables
	maxAllTargets = 1 << 16
	// maxBulk bounds the operations of one function on a whole memory: between two calls
	// or turns of a loop nothing looks at the time.
	maxBulk = 256
)

// code adds up what the functions of a module cost.
type code struct{ locals, widths, targets int }

// checkCode walks the functions. It refuses instructions that it does not know, which
// are none that the runtime is asked to run (see features).
func checkCode(content []byte) error {
	r := reader{rest: content}
	var all code
	for count := r.number(); count > 0 && !r.failed; count-- {
		if err := all.add(r.take(r.number())); err != nil {
			return err
		}
	}
	return r.fault()
}

// add checks one function by itself and with those before it.
func (all *code) add(body []byte) error {
	r := reader{rest: body}
	locals := 0
	for groups := r.number(); groups > 0 && !r.failed; groups-- {
		locals += min(r.number(), maxLocals+1)
		r.take(1) // their type
		if locals > maxLocals {
			return tooMuch("a function of more than %d locals", maxLocals)
		}
	}
	var f function
	for len(r.rest) > 0 && !r.failed {
		f.instruction(&r)
	}
	if err := r.fault(); err != nil {
		return err
	}
	width := f.blocks*(locals+8) + f.typed*maxArity
	all.locals, all.widths, all.targets = all.locals+locals, all.widths+width, all.targets+f.targets
	switch {
	case width > maxWidth || all.widths > maxAllWidths:
		return tooMuch("too many blocks (%d) and locals (%d) in one function, or in all", f.blocks, locals)
	case f.targets > maxTargets || all.targets > maxAllTargets:
		return tooMuch("more than %d br_table targets in a function, or %d in all", maxTargets, maxAllTargets)
	case all.locals > maxAllLocals:
		return tooMuch("more than %d locals in all", maxAllLocals)
	case f.bulk > maxBulk:
		return tooMuch("a function with more than %d bulk memory operations", maxBulk)
	}
	return nil
}

// checkTypes bounds the function types.
func checkTypes(content []byte) error {
	const function = 0x60
	r := reader{rest: content}
	for count := r.number(); count > 0 && !r.failed; count-- {
		if kind := r.take(1); len(kind) == 1 && kind[0] != function {
			r.failed = true
		}
		parameters := r.number()
		r.take(parameters)
		results := r.number()
		r.take(results)
		if parameters > maxArity || results > maxArity {
			return tooMuch("a function type of more than %d parameters or results", maxArity)
		}
	}
	return r.fault()
}

func tooMuch(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrModule}, args...)...)
}

// function counts what is dear in one function.
type function struct {
	blocks, typed int // typed: with parameters, or results that are more than one
	targets, bulk int
}

// Opcodes (WebAssembly 2.0 section 5.4) with operands of their own.
const (
	opBlock, opLoop, opIf       = 0x02, 0x03, 0x04
	opBr, opBrIf, opBrTable     = 0x0c, 0x0d, 0x0e
	opCall, opCallIndirect      = 0x10, 0x11
	opSelectTyped               = 0x1c
	opLocalGet, opTableSet      = 0x20, 0x26
	opLoad, opStore             = 0x28, 0x3e
	opMemorySize, opMemoryGrow  = 0x3f, 0x40
	opI32Const, opI64Const      = 0x41, 0x42
	opF32Const, opF64Const      = 0x43, 0x44
	opLastNumeric               = 0xc4
	opRefNull, opRefFunc        = 0xd0, 0xd2
	opBulkPrefix, opSIMDPrefix  = 0xfc, 0xfd
	bulkFirst, bulkLast         = 8, 17 // memory.init … table.fill
	simdLastMemory              = 11
	simdConst, simdShuffle      = 12, 13
	simdFirstLane, simdLastLane = 21, 34
	simdLoadLane, simdStoreLane = 84, 91
	simdLoad32, simdLoad64      = 92, 93
)

// instruction reads one with its operands.
func (f *function) instruction(r *reader) {
	op := r.take(1)
	if len(op) == 0 {
		return
	}
	switch op := op[0]; {
	case op >= opBlock && op <= opIf:
		f.blocks++
		const shortest = 0x40 // of the types that are no index: one negative byte
		if len(r.rest) > 0 && (r.rest[0] < shortest || r.rest[0] >= 0x80) {
			f.typed++
		}
		r.skipNumber()
	case op == opBrTable:
		n := r.number()
		f.targets += min(n, len(r.rest))
		for ; n >= 0 && !r.failed; n-- { // and the default
			r.skipNumber()
		}
	case op == opBr, op == opBrIf, op == opCall, op == opI32Const, op == opI64Const, op == opMemorySize, op == opMemoryGrow,
		op >= opLocalGet && op <= opTableSet, op == opRefNull, op == opRefFunc:
		r.skipNumber()
	case op == opCallIndirect, op >= opLoad && op <= opStore:
		r.skipNumber()
		r.skipNumber()
	case op == opSelectTyped:
		r.take(r.number())
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op == opBulkPrefix:
		f.bulkInstruction(r)
	case op == opSIMDPrefix:
		vectorInstruction(r)
	case op > opLastNumeric && op != opRefNull+1:
		r.failed = true
	}
}

func (f *function) bulkInstruction(r *reader) {
	switch op := r.number(); {
	case op < bulkFirst: // a saturating conversion
	case op > bulkLast:
		r.failed = true
	default:
		f.bulk++
		r.skipNumber()
		const one = 1<<9 | 1<<11 | 1<<13 | 1<<15 | 1<<16 | 1<<17 // data.drop, memory.fill, elem.drop, table.grow, .size, .fill
		if one>>op&1 == 0 {
			r.skipNumber()
		}
	}
}

func vectorInstruction(r *reader) {
	switch op := r.number(); {
	case op == simdConst, op == simdShuffle:
		r.take(16)
	case op >= simdFirstLane && op <= simdLastLane:
		r.take(1)
	case op <= simdLastMemory, op == simdLoad32, op == simdLoad64:
		r.skipNumber()
		r.skipNumber()
	case op >= simdLoadLane && op <= simdStoreLane:
		r.skipNumber()
		r.skipNumber()
		r.take(1)
	}
}

// reader reads bytes until one is missing, and nothing after that.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fault() error {
	if r.failed {
		return fmt.Errorf("%w: it is damaged, or has instructions that are not known here", ErrModule)
	}
	return nil
}

// number reads an unsigned number of 32 bits.
func (r *reader) number() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<32-1 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// skipNumber passes over a number of any kind.
func (r *reader) skipNumber() {
	const longest = 10
	for i := 0; i < min(longest, len(r.rest)); i++ {
		if r.rest[i] < 0x80 {
			r.rest = r.rest[i+1:]
			return
		}
	}
	r.failed = true
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}
