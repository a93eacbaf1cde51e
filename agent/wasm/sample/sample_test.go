package sample_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
)

func TestApplication(t *testing.T) {
	const greeting = "Hello from a Trusted Application, version 2.1.\n"
	for _, tt := range []struct {
		name    string
		healthy bool
		args    []string
		code    uint32
		output  string
	}{
		{"greets", true, nil, 0, greeting},
		{"passes its self-test", true, []string{"--self-test"}, 0, "version 2.1, self-test: passed\n"},
		{"a broken one greets too", false, nil, 0, greeting},
		{"a broken one fails its self-test", false, []string{"--self-test"}, 1, "version 2.1, self-test: FAILED\n"},
		{"other arguments", true, []string{"--self-tes", "--self-test"}, 0, greeting},
		{"a longer word", true, []string{"--self-tests"}, 0, greeting},
		{"an empty word", true, []string{""}, 0, greeting},
		{"too long", true, []string{strings.Repeat("a", 61000)}, 70, ""},
		{"too many", true, make([]string, 801), 70, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			module, err := sample.Application("2.1", tt.healthy)
			if err != nil {
				t.Fatal(err)
			}
			got, err := wasm.Run(t.Context(), module, append([]string{"sample"}, tt.args...), wasm.DefaultLimits())
			if err != nil || got.ExitCode != tt.code || string(got.Output) != tt.output {
				t.Errorf("exit %d, %q, %v", got.ExitCode, got.Output, err)
			}
		})
	}
}

func TestApplicationRefusesVersions(t *testing.T) {
	for _, version := range []string{"a b", `"`, `\00`, "{health}", "1\n", "é", strings.Repeat("1", 33)} {
		if _, err := sample.Application(version, true); err == nil {
			t.Errorf("%q: accepted", version)
		}
	}
}

func TestAssembleRefuses(t *testing.T) {
	in := func(field string) string { return "(module\n" + field + ")" }
	code := func(body string) string { return in("(func $f\n" + body + ")") }
	for _, tt := range []struct{ source, want string }{
		{"", "line 1: it ends too early"},
		{"(module", "line 1: it ends too early"},
		{"(module) x", "something after"},
		{"module", "want (module"},
		{")", "closes nothing"},
		{"(module ;", "no word"},
		{strings.Repeat("(", 17), "inside each other"},
		{in("(table 1)"), `line 2: unknown field "table"`},
		{in("()"), `unknown field ""`},
		{in("(func)"), "needs a name"},
		{in("(func $f) (func $f)"), "another function $f"},
		{in(`(import "a" "b" (func $f)) (func $f)`), "another function $f"},
		{in("(func $f (param f32))"), "want (param i32"},
		{in("(func $f (result f32))"), "want (result i32"},
		{in("(func $f (colour i32))"), "unknown part"},
		{in("(func $f ())"), "unknown part"},
		{in("(func $f (export))"), "want (export"},
		{in("(import)"), "want (import"},
		{in(`(import "a" "b" (memory 1))`), "want (import"},
		{in("(memory)"), "want (memory"},
		{in("(memory x)"), "number of pages"},
		{in("(memory (export) 1)"), "want (export"},
		{in("(global $g)"), "want (global"},
		{in("(global $g f32 (i32.const 1))"), "is an i32"},
		{in("(global $g i32 (i32.const 4294967296))"), "32-bit"},
		{in("(global $g i32 (f32.const 1))"), "want (i32.const n)"},
		{in(`(data (i32.const 0))`), "want (data"},
		{in(`(data (i32.const 0) "\x")`), "unknown escape"},
		{in(`(data (i32.const 0) "\`), "unknown escape"},
		{in("(data (i32.const 0) \"a\n\")"), "has no end"},
		{in("(start)"), "want (start"},
		{in("(start $g)"), `"$g" is not known`},
		{code("f32.add"), `line 3: unknown instruction "f32.add"`},
		{code("call $g"), `"$g" is not known`},
		{code("call f"), `"f" is not known`},
		{code("call"), "needs an operand"},
		{code("local.get $x"), "not known"},
		{code("global.get $x"), "not known"},
		{code("i32.const x"), "32-bit"},
		{code("i32.const -2147483649"), "32-bit"},
		{code("i32.load offset=x"), "no offset"},
		{code("br $l"), "not known"},
		{code("block $l\nend\nbr $l"), "line 5"},
		{code("end"), "end of no block"},
		{code("block"), "1 blocks have no end"},
	} {
		if module, err := sample.Assemble(tt.source); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %x, %v, want %q", tt.source, module, err, tt.want)
		}
	}
}

// TestEncoding holds numbers of every length against what the runtime computes.
func TestEncoding(t *testing.T) {
	for _, n := range []string{"0", "1", "63", "64", "127", "128", "8191", "8192", "2147483647", "-1", "-64", "-65", "-8193", "-2147483648", "4294967295"} {
		module, err := sample.Assemble(`(module
			(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
			(memory (export "memory") 1)
			(global $g (mut i32) (i32.const ` + n + `))
			(func $main (export "_start")
				i32.const ` + n + `
				global.get $g
				i32.sub
				call $exit))`)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := wasm.Run(t.Context(), module, nil, wasm.DefaultLimits()); err != nil || r.ExitCode != 0 {
			t.Errorf("%s: differs by %d, %v", n, r.ExitCode, err)
		}
	}
}

func isRefusal(err error) bool {
	return errors.Is(err, wasm.ErrModule) || errors.Is(err, wasm.ErrTrap) || errors.Is(err, wasm.ErrTime)
}

// FuzzAssemble: any text gives a module or an error, and whatever it gives, running it
// ends.
func FuzzAssemble(f *testing.F) {
	f.Add(`(module (memory (export "memory") 1) (data (i32.const 0) "\00\n\"") (func $f (export "_start") block $a br $a end))`)
	f.Add(`(module (global $g (mut i32) (i32.const -1)) (func $f (param $a i32) (result i32) (local $b i32) local.get $a i32.load offset=3) (start $f))`)
	f.Fuzz(func(t *testing.T, source string) {
		module, err := sample.Assemble(source)
		if err != nil {
			return
		}
		limits := wasm.DefaultLimits()
		limits.Time = 50 * time.Millisecond
		if _, err := wasm.Run(t.Context(), module, nil, limits); err != nil && !isRefusal(err) {
			t.Error(err)
		}
	})
}
