package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// opened is a new device, and what it says.
func opened(t *testing.T) (*Device, *[]agent.Event) {
	t.Helper()
	dir := t.TempDir()
	if err := Create(dir, newSetup(t, "https://tam.example/tam")); err != nil {
		t.Fatal(err)
	}
	events := new([]agent.Event)
	d, err := Open(dir, Options{Observe: func(e agent.Event) { *events = append(*events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, events
}

func application(t *testing.T, version string, healthy bool) []byte {
	t.Helper()
	module, err := sample.Application(version, healthy)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func image(content []byte) func() (io.ReadCloser, uint64, error) {
	return func() (io.ReadCloser, uint64, error) {
		return io.NopCloser(bytes.NewReader(content)), uint64(len(content)), nil
	}
}

// component is one that needs care where it is written.
var component = suit.ComponentID{[]byte("app"), {0x1b, '/'}}

func TestSelfTest(t *testing.T) {
	d, events := opened(t)
	command, ok := d.custom()[author.SelfTestCondition]
	if !ok || !command.Condition {
		t.Fatalf("%+v, %v", command, ok)
	}
	run := func(open func() (io.ReadCloser, uint64, error)) error {
		return command.Run(t.Context(), processor.CustomCall{Component: component, Open: open})
	}
	if err := run(image(application(t, "1", true))); err != nil {
		t.Error(err)
	}
	if want := (agent.Event{Step: agent.StepSelfTest, Detail: "app/0x1b2f: version 1, self-test: passed"}); len(*events) != 1 || (*events)[0] != want {
		t.Errorf("events %q", *events)
	}
	for name, tt := range map[string]struct {
		open func() (io.ReadCloser, uint64, error)
		is   error
	}{
		"a broken one":     {image(application(t, "1", false)), wasm.ErrExit},
		"not a module":     {image([]byte("#!/bin/sh")), wasm.ErrModule},
		"one that traps":   {image(assembled(t, "unreachable")), wasm.ErrTrap},
		"without an image": {func() (io.ReadCloser, uint64, error) { return nil, 0, processor.ErrNoImage }, processor.ErrNoImage},
	} {
		if err := run(tt.open); !errors.Is(err, tt.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := command.Run(ctx, processor.CustomCall{Component: component, Open: image(application(t, "1", true))})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if s, err := d.Status(t.Context()); err != nil || len(s.Runs) > 0 {
		t.Errorf("self-tests are kept as runs: %+v, %v", s.Runs, err)
	}
}

func assembled(t *testing.T, code string) []byte {
	t.Helper()
	module, err := sample.Assemble(`(module
		(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
		(memory (export "memory") 1)
		(data (i32.const 0) "\20\00\00\00\0e\00\00\00")
		(data (i32.const 32) "\1b[31mr\80ed\0d\0aend")
		(func $main (export "_start") ` + code + `))`)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func TestInvoke(t *testing.T) {
	d, events := opened(t)
	var runs []Run
	invoke := func(module []byte, args []byte) error {
		t.Helper()
		err := d.invoke(t.Context(), processor.Invocation{Component: component, Open: image(module), Args: args})
		s, fault := d.Status(t.Context())
		if fault != nil {
			t.Fatal(fault)
		}
		runs = s.Runs
		return err
	}
	if err := invoke(application(t, "7", true), wasm.FormatArguments("--colour")); err != nil {
		t.Fatal(err)
	}
	const greeting = "Hello from a Trusted Application, version 7."
	if len(runs) != 1 || !runs[0].Component.Equal(component) || runs[0].Output != greeting+"\n" || runs[0].Error != "" || runs[0].At.IsZero() {
		t.Errorf("runs %+v", runs)
	}
	if want := (agent.Event{Step: agent.StepOutput, Detail: "app/0x1b2f: " + greeting}); len(*events) != 1 || (*events)[0] != want {
		t.Errorf("events %q", *events)
	}
	// The arguments get there: with this one a broken application fails.
	if err := invoke(application(t, "8", false), wasm.FormatArguments("--self-test")); !errors.Is(err, wasm.ErrExit) {
		t.Errorf("%v", err)
	}
	if len(runs) != 1 || runs[0].ExitCode != 1 || !strings.Contains(runs[0].Error, "exit code 1") {
		t.Errorf("runs %+v", runs)
	}
	// What it prints is made fit for a terminal.
	*events = nil
	if err := invoke(assembled(t, "i32.const 1 i32.const 0 i32.const 1 i32.const 8 call $fd_write drop unreachable"), nil); !errors.Is(err, wasm.ErrTrap) {
		t.Errorf("%v", err)
	}
	if want := "\ufffd[31mr\ufffded\ufffd\nend"; runs[0].Output != want || len(*events) != 2 || strings.ContainsAny((*events)[0].Detail, "\x1b\r\n") {
		t.Errorf("output %q, events %q", runs[0].Output, *events)
	}
	for name, args := range map[string][]byte{"a text": {0x61, 'a'}, "bytes": []byte("--colour"), "empty": {}} {
		if err := invoke(application(t, "9", true), args); !errors.Is(err, wasm.ErrArguments) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(runs[0].Output, "version 9") {
		t.Error("it ran with arguments that are none")
	}
}

func TestModuleTooLarge(t *testing.T) {
	d, _ := opened(t)
	huge := func() (io.ReadCloser, uint64, error) {
		return io.NopCloser(strings.NewReader("")), wasm.DefaultLimits().Module + 1, nil
	}
	if err := d.invoke(t.Context(), processor.Invocation{Component: component, Open: huge}); !errors.Is(err, wasm.ErrModule) {
		t.Error(err)
	}
}

// TestRunsAreBounded: one for each component, the newest, and not more than the file
// may hold.
func TestRunsAreBounded(t *testing.T) {
	d, _ := opened(t)
	for i := range maxRuns + 3 {
		for _, output := range []string{"first", "second"} {
			if err := d.recordRun(Run{Component: suit.ComponentID{fmt.Append(nil, i)}, Output: output}); err != nil {
				t.Fatal(err)
			}
		}
	}
	runs, err := readRuns(d.dir)
	if err != nil || len(runs) != maxRuns || runs[0].Component.String() != fmt.Sprint(maxRuns+2) || runs[0].Output != "second" {
		t.Errorf("%d runs, first %+v, %v", len(runs), runs[0], err)
	}
	long := strings.Repeat("x", maxRunOutput) + "\n" + strings.Repeat("y", 100) + "\n"
	if got := tail([]byte(long)); got != strings.Repeat("y", 100)+"\n" {
		t.Errorf("kept %q", got)
	}
	if got := tail([]byte(strings.Repeat("x", 2*maxRunOutput))); len(got) != maxRunOutput {
		t.Errorf("kept %d bytes", len(got))
	}
	if err := os.WriteFile(filepath.Join(d.dir, runsFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Status(t.Context()); err == nil || !strings.Contains(err.Error(), runsFile) {
		t.Errorf("%v", err)
	}
}
