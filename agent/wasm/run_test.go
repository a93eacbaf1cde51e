package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// runtimes are both kinds of platform; the compiler is not there on all of them.
var runtimes = map[string]func() wazero.RuntimeConfig{
	"as the platform has it": wazero.NewRuntimeConfig,
	"interpreter":            wazero.NewRuntimeConfigInterpreter,
}

func assemble(t testing.TB, source string) []byte {
	t.Helper()
	module, err := sample.Assemble(source)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// command is a module whose _start has this code.
func command(code string) string {
	return `(module
		(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
		(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
		(memory (export "memory") 1)
		(global $n (mut i32) (i32.const 0))
		(data (i32.const 0) "\20\00\00\00\05\00\00\00")
		(data (i32.const 32) "again")
		(func $main (export "_start") ` + code + `))`
}

const printOn = "i32.const 1 i32.const 0 i32.const 1 i32.const 8 call $fd_write"

// TestHostile: whatever a module does ends in a clear error.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		is           error
		want         string
	}{
		{"endless loop", command("loop $l br $l end"), ErrTime, "300ms"},
		{"endless start function", `(module (func $s loop $l br $l end) (func $m (export "_start")) (start $s))`, ErrTime, "300ms"},
		{"start function traps", `(module (func $s unreachable) (func $m (export "_start")) (start $s))`, ErrModule, "unreachable"},
		{"endless calls", command("loop $l i32.const 99 i32.const 0 i32.const 0 i32.const 8 call $fd_write drop br $l end"), ErrTime, "300ms"},
		{"traps", command("unreachable"), ErrTrap, "unreachable"},
		{"divides by zero", command("i32.const 1 i32.const 0 i32.div_u drop"), ErrTrap, "divide by zero"},
		{"reads beyond its memory", command("i32.const 65536 i32.load drop"), ErrTrap, "out of bounds"},
		{"recurses for ever", `(module (func $m (export "_start") call $m))`, ErrTrap, "stack overflow"},
		{"prints for ever", command("loop $l " + printOn + " drop br $l end"), ErrOutput, "1000 bytes"},
		{"prints too much and ends well", command("loop $l " + printOn + " i32.eqz br_if $l end"), ErrOutput, "1000 bytes"},
		{"declares too much memory", `(module (memory 17) (func $m (export "_start")))`, ErrModule, "16 pages"},
		{"data outside its memory", `(module (memory 1) (data (i32.const 65536) "x") (func $m (export "_start")))`, ErrModule, "out of"},
		{"unknown import", `(module (import "env" "open" (func $o)) (func $m (export "_start")))`, ErrModule, `"open" of "env"`},
		{"unknown function of WASI", `(module (import "wasi_snapshot_preview1" "fork" (func $o)) (func $m (export "_start")))`, ErrModule, "fork"},
		{"function of WASI with another type", `(module (import "wasi_snapshot_preview1" "proc_exit" (func $o)) (func $m (export "_start")))`, ErrModule, "proc_exit"},
		{"no _start", `(module (func $m (export "main")))`, ErrModule, "no function _start"},
		{"_start wants something", `(module (func $m (export "_start") (param i32)))`, ErrModule, "no function _start"},
		{"does not validate", command("i32.add"), ErrModule, "i32.add"},
	} {
		for platform, config := range runtimes {
			t.Run(tt.name+"/"+platform, func(t *testing.T) {
				limits := Limits{Module: 64 << 10, Memory: 16, Time: time.Minute, Output: 1000}
				if errors.Is(tt.is, ErrTime) {
					limits.Time = 300 * time.Millisecond
				}
				r, err := run(t.Context(), config(), assemble(t, tt.source), []string{"hostile"}, limits)
				if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want %q with %q", err, tt.is, tt.want)
				}
				if len(r.Output) > limits.Output {
					t.Errorf("%d bytes of output", len(r.Output))
				}
			})
		}
	}
}

// TestMemoryEnds: a module that asks for more memory than there is does not get it.
func TestMemoryEnds(t *testing.T) {
	limits := DefaultLimits()
	limits.Memory = 10
	module := assemble(t, command(`loop $l
		i32.const 1
		memory.grow
		i32.const -1
		i32.ne
		br_if $l
		end
		memory.size
		call $proc_exit`))
	r, err := Run(t.Context(), module, nil, limits)
	if err != nil || r.ExitCode != 10 {
		t.Errorf("it got %d pages, %v", r.ExitCode, err)
	}
}

// TestRefusedBytes: what is refused before the runtime sees it, or by it.
func TestRefusedBytes(t *testing.T) {
	const preamble = "\x00asm\x01\x00\x00\x00"
	table := func(entries string) string { return preamble + "\x04" + string(rune(len(entries))) + entries }
	for name, tt := range map[string]struct{ module, want string }{
		"nothing":              {"", "does not begin"},
		"a text":               {"#!/bin/sh\n", "does not begin"},
		"a component":          {"\x00asm\x0d\x00\x01\x00", "does not begin"},
		"too large":            {preamble + strings.Repeat("\x00", 1000), "at most 1000"},
		"section without size": {preamble + "\x01", "inside a section"},
		"size without end":     {preamble + "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "inside a section"},
		"size too large":       {preamble + "\x01\xff\xff\xff\xff\x0f", "inside a section"},
		"unknown section":      {preamble + "\x63\x00", "section"},
		"huge table":           {table("\x01\x70\x00\x81\x80\x04"), "65536 entries"},
		"huge table, bounded":  {table("\x01\x70\x01\x80\x80\x80\x40\x80\x80\x80\x40"), "65536 entries"},
		"two tables":           {table("\x02\x70\x00\x01\x70\x00\x01"), "65536 entries"},
		"table with a value":   {table("\x01\x40\x00\x70\x00\x01"), "65536 entries"},
		"table of externals":   {table("\x01\x6f\x00\x01"), "65536 entries"},
		"table without size":   {table("\x01\x70\x00"), "65536 entries"},
		"empty module":         {preamble, "_start"},
		"small table":          {table("\x01\x70\x00\x80\x80\x04"), "_start"}, // nothing else is wrong with it
		"no table":             {table("\x00"), "_start"},
	} {
		limits := DefaultLimits()
		limits.Module = 1000
		_, err := Run(t.Context(), []byte(tt.module), nil, limits)
		if !errors.Is(err, ErrModule) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestTablesCannotGrow: table.grow has no limit, so it must not be there.
func TestTablesCannotGrow(t *testing.T) {
	module := assemble(t, `(module (func $m (export "_start") nop nop nop nop nop nop nop nop nop nop))`)
	const grow = "\xd0\x70\x41\x01\xfc\x0f\x00\x1a\x01\x01" // ref.null func, i32.const 1, table.grow 0, drop
	module = bytes.Replace(module, bytes.Repeat([]byte{1}, len(grow)), []byte(grow), 1)
	exports := bytes.Index(module, []byte("\x07\x0a\x01\x06_start"))
	module = slices.Insert(module, exports, []byte("\x04\x04\x01\x70\x00\x01")...) // a table before them
	if _, err := Run(t.Context(), module, nil, DefaultLimits()); !errors.Is(err, ErrModule) || !strings.Contains(err.Error(), "reference-types") {
		t.Error(err)
	}
}

// TestLargeFunctions: compiling this one would take minutes, in which nothing could
// stop it.
func TestLargeFunctions(t *testing.T) {
	loops := strings.Repeat("loop $l global.get $n br_if $l end ", 50_000)
	if r, err := Run(t.Context(), assemble(t, command(loops)), nil, DefaultLimits()); err != nil || r.ExitCode != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	nops := func(n int) []byte { return assemble(t, command(strings.Repeat("nop ", n))) }
	const around = 2 // no locals, end
	for name, tt := range map[string]struct {
		module []byte
		want   bool
	}{
		"small":             {nops(0), true},
		"of the size":       {nops(maxCompiled - around), true},
		"larger":            {nops(maxCompiled - around + 1), false},
		"no module":         {[]byte("x"), false},
		"no code":           {preamble, true},
		"fewer than told":   {append(slices.Clone(preamble), sectionCode, 1, 5), false},
		"count without end": {append(slices.Clone(preamble), sectionCode, 1, 0x80), true}, // the runtime refuses it
	} {
		if got := compilable(tt.module); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestEnvironment: what a module sees of the device, asked for with every function of
// WASI that could show more.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name, imports, code string
		exit                uint32
	}{
		{"no environment", `(import "wasi_snapshot_preview1" "environ_sizes_get" (func $f (param i32 i32) (result i32)))`,
			"i32.const 0 i32.const 4 call $f drop i32.const 0 i32.load", 0},
		{"no directory", `(import "wasi_snapshot_preview1" "fd_prestat_get" (func $f (param i32 i32) (result i32)))`,
			"i32.const 3 i32.const 0 call $f", 8}, // EBADF
		{"nothing to read", `(import "wasi_snapshot_preview1" "fd_read" (func $f (param i32 i32 i32 i32) (result i32)))`,
			"i32.const 16 i32.const 32 i32.store i32.const 20 i32.const 8 i32.store " +
				"i32.const 0 i32.const 16 i32.const 1 i32.const 8 call $f drop i32.const 8 i32.load", 0},
		{"no socket", `(import "wasi_snapshot_preview1" "sock_shutdown" (func $f (param i32 i32) (result i32)))`,
			"i32.const 3 i32.const 0 call $f", 8},
		{"randomness", `(import "wasi_snapshot_preview1" "random_get" (func $f (param i32 i32) (result i32)))`,
			"i32.const 0 i32.const 32 call $f drop i32.const 0 i32.load i32.const 4 i32.load i32.add i32.eqz", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			module := assemble(t, `(module `+tt.imports+`
				(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
				(memory (export "memory") 1)
				(func $main (export "_start") `+tt.code+` call $exit))`)
			r, err := Run(t.Context(), module, []string{"x"}, DefaultLimits())
			if err != nil || r.ExitCode != tt.exit {
				t.Errorf("%d, want %d, %v", r.ExitCode, tt.exit, err)
			}
		})
	}
}

// TestExitCodes: also those that the runtime uses for modules that it ends itself.
func TestExitCodes(t *testing.T) {
	for _, code := range []uint32{0, 1, 255, 0xefffffff, 0xffffffff} {
		module := assemble(t, command(fmt.Sprintf("%s drop i32.const %d call $proc_exit", printOn, code)))
		r, err := Run(t.Context(), module, nil, DefaultLimits())
		if err != nil || r.ExitCode != code || string(r.Output) != "again" {
			t.Errorf("exit code %d: %d, %q, %v", code, r.ExitCode, r.Output, err)
		}
	}
}

// TestOutputOfAFault: what was printed before is what a person needs to see.
func TestOutputOfAFault(t *testing.T) {
	r, err := Run(t.Context(), assemble(t, command(printOn+" drop unreachable")), nil, DefaultLimits())
	if !errors.Is(err, ErrTrap) || string(r.Output) != "again" {
		t.Errorf("%q, %v", r.Output, err)
	}
}

func TestCancelled(t *testing.T) {
	cause := errors.New("the device goes down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Run(ctx, assemble(t, command("loop $l br $l end")), nil, DefaultLimits()); !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestArguments(t *testing.T) {
	if args, err := ParseArguments(nil); args != nil || err != nil {
		t.Errorf("%q, %v", args, err)
	}
	for _, want := range [][]string{{}, {"a"}, {"", "é", "--x=y"}, make([]string, MaxArguments)} {
		got, err := ParseArguments(FormatArguments(want...))
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	for name, raw := range map[string][]byte{
		"nothing":         {},
		"bytes":           {0x41, 'a'},
		"text":            {0x61, 'a'},
		"null":            {0xf6},
		"array of null":   {0x81, 0xf6},
		"array of bytes":  {0x81, 0x41, 'a'},
		"array of number": {0x81, 0x01},
		"tagged text":     {0x81, 0xc0, 0x61, 'a'},
		"indefinite":      {0x9f, 0x61, 'a', 0xff},
		"two items":       {0x80, 0x80},
		"cut":             {0x82, 0x61, 'a'},
		"not UTF-8":       {0x81, 0x61, 0xff},
		"zero byte":       FormatArguments("a\x00b"),
		"too many":        FormatArguments(make([]string, MaxArguments+1)...),
		"too long":        FormatArguments(strings.Repeat("a", MaxArgumentBytes+1)),
	} {
		if args, err := ParseArguments(raw); !errors.Is(err, ErrArguments) {
			t.Errorf("%s: %q, %v", name, args, err)
		}
	}
}

// FuzzRun: any bytes end in an exit code or one of the errors, within the limits.
func FuzzRun(f *testing.F) {
	for _, source := range []string{
		command(printOn + " call $proc_exit"), command("loop $l br $l end"), command("i32.const 1 memory.grow call $proc_exit"),
		`(module (func $m (export "_start") call $m))`,
	} {
		f.Add(assemble(f, source))
	}
	module, err := sample.Application("1", true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(module)
	limits := Limits{Module: 64 << 10, Memory: 4, Time: 100 * time.Millisecond, Output: 1000}
	f.Fuzz(func(t *testing.T, module []byte) {
		r, err := Run(t.Context(), module, []string{"fuzz", "--self-test"}, limits)
		if len(r.Output) > limits.Output {
			t.Errorf("%d bytes of output", len(r.Output))
		}
		for _, known := range []error{nil, ErrModule, ErrTrap, ErrTime, ErrOutput} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Error(err)
	})
}

// FuzzParseArguments: what is accepted comes out as it went in.
func FuzzParseArguments(f *testing.F) {
	f.Add(FormatArguments("a", ""))
	f.Add([]byte{0x81, 0xf6})
	f.Fuzz(func(t *testing.T, raw []byte) {
		args, err := ParseArguments(raw)
		if err != nil {
			return
		}
		again, err := ParseArguments(FormatArguments(args...))
		if err != nil || !bytes.Equal(cosekit.MustMarshal(again), cosekit.MustMarshal(args)) {
			t.Errorf("%q, then %q, %v", args, again, err)
		}
	})
}
