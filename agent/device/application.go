package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Applications bound what one run of a WebAssembly application may take. What is zero is
// as wasm.DefaultLimits has it.
type Applications struct {
	Time   time.Duration `yaml:"time,omitempty"`
	Memory uint32        `yaml:"memory-mib,omitempty"`
}

const (
	pagesPerMiB = 16
	maxMemory   = 4096 // MiB, all that a module can address
)

func (a Applications) check() error {
	switch {
	case a.Time < 0:
		return wrong("applications.time", "%s is negative", a.Time)
	case a.Memory > maxMemory:
		return wrong("applications.memory-mib", "%d, at most %d", a.Memory, maxMemory)
	}
	return nil
}

func (a Applications) limits() wasm.Limits {
	l := wasm.DefaultLimits()
	if a.Time > 0 {
		l.Time = a.Time
	}
	if a.Memory > 0 {
		l.Memory = a.Memory * pagesPerMiB
	}
	return l
}

// selfTestArgument is what the module of the current component is called with by the
// condition author.SelfTestCondition. It has to end with exit code 0. In the validate
// section that decides about an update before it is committed. The argument of the
// condition says nothing.
const selfTestArgument = "--self-test"

// selfTests is how many of the longest self-tests one manifest has time for.
const selfTests = 2

// custom are the commands of this device in the private range.
func (d *Device) custom() map[suit.CommandCode]processor.CustomCommand {
	return map[suit.CommandCode]processor.CustomCommand{author.SelfTestCondition: {Condition: true, Run: d.selfTest}}
}

// selfTest runs what may be a candidate, so nothing is kept of the run.
func (d *Device) selfTest(ctx context.Context, call processor.CustomCall) error {
	module, err := d.module(call.Open)
	if err != nil {
		return err
	}
	result, err := d.runModule(ctx, agent.StepSelfTest, module, call.Component, []string{selfTestArgument})
	if err = failed(result, err); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// invoke transfers control to an application until it ends
// (draft-ietf-suit-manifest-37 section 8.4.10.7), and remembers how it ended.
func (d *Device) invoke(ctx context.Context, i processor.Invocation) error {
	args, err := wasm.ParseArguments(i.Args)
	if err != nil {
		return err
	}
	module, err := d.module(i.Open)
	if err != nil {
		return err
	}
	began := d.clock()
	result, err := d.runModule(ctx, agent.StepOutput, module, i.Component, args)
	err = failed(result, err)
	run := Run{Component: i.Component, At: began.UTC(), ExitCode: result.ExitCode, Output: tail(result.Output)}
	if err != nil {
		run.Error = err.Error()
	}
	return errors.Join(err, d.recordRun(run))
}

// runModule runs it and tells what it prints, line by line.
func (d *Device) runModule(ctx context.Context, step agent.Step, module []byte, component suit.ComponentID, args []string) (wasm.Result, error) {
	name := component.String()
	result, err := wasm.Run(ctx, module, append([]string{name}, args...), d.settings.Applications.limits())
	for line := range strings.Lines(printable(result.Output)) {
		d.observe(agent.Event{Step: step, Detail: name + ": " + strings.TrimSuffix(line, "\n")})
	}
	return result, err
}

// failed makes an exit code other than zero an error.
func failed(result wasm.Result, err error) error {
	if err == nil && result.ExitCode != 0 {
		return fmt.Errorf("%w: exit code %d", wasm.ErrExit, result.ExitCode)
	}
	return err
}

// module reads the image of a component, if it is of a size that is run.
func (d *Device) module(open func() (io.ReadCloser, uint64, error)) ([]byte, error) {
	image, size, err := open()
	if err != nil {
		return nil, err
	}
	defer image.Close() // it was only read
	if limit := d.settings.Applications.limits().Module; size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", wasm.ErrModule, size, limit)
	}
	module := make([]byte, size)
	_, err = io.ReadFull(image, module)
	return module, err
}

// printable is what an application printed, fit for a terminal and a log.
func printable(output []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(string(output), string(unicode.ReplacementChar)))
}

// Run is how an application ended when it was last invoked; its JSON form is stable.
type Run struct {
	Component suit.ComponentID `json:"component"`
	At        time.Time        `json:"at"`
	ExitCode  uint32           `json:"exit_code"`
	Error     string           `json:"error,omitempty"` // why it did not end well
	Output    string           `json:"output"`          // the end of it
}

const (
	// maxRuns bounds the file of the runs, maxRunOutput what is kept of each.
	maxRuns      = 64
	maxRunOutput = 4 << 10
)

// tail keeps the end of an output, from the beginning of a line on if there is one.
func tail(output []byte) string {
	if len(output) <= maxRunOutput {
		return printable(output)
	}
	text := printable(output[len(output)-maxRunOutput:])
	if _, whole, ok := strings.Cut(text, "\n"); ok {
		return whole
	}
	return text
}

// recordRun remembers the last run of each component, the newest first.
func (d *Device) recordRun(r Run) error {
	runs, err := readRuns(d.dir)
	if err != nil {
		return err
	}
	runs = slices.DeleteFunc(runs, func(old Run) bool { return old.Component.Equal(r.Component) })
	runs = append([]Run{r}, runs...)
	data, err := json.Marshal(runs[:min(len(runs), maxRuns)])
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(d.dir, runsFile), data)
}

func readRuns(dir string) ([]Run, error) {
	data, err := os.ReadFile(filepath.Join(dir, runsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []Run
	if err := json.Unmarshal(data, &runs); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it, it is only for people", filepath.Join(dir, runsFile), err)
	}
	return runs, nil
}
