package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// Limits bound what one run may take.
type Limits struct {
	Module uint64        // bytes of the module itself
	Memory uint32        // pages of 64 KiB
	Time   time.Duration // from the start of compilation to the end
	Output int           // bytes, standard output and standard error together
}

// DefaultLimits suits small applications: 16 MiB of module, 64 MiB of memory, a minute,
// and 64 KiB of output.
func DefaultLimits() Limits {
	return Limits{Module: 16 << 20, Memory: 1024, Time: time.Minute, Output: 64 << 10}
}

// Result is how a module ended, or how far it came.
type Result struct {
	ExitCode uint32
	// Output is what it wrote to standard output and standard error, as it came.
	Output []byte
}

// features are those of WebAssembly 2.0 without reference types: a module could make
// tables grow with them, for which there is no limit.
const features = api.CoreFeaturesV2 &^ api.CoreFeatureReferenceTypes

// granularity is that of the clocks, too coarse to time what else the device does.
const granularity = time.Millisecond

// Run prepares the module and calls its _start with the arguments, of which the first
// is the module's name. It returns when the module has ended, or ctx. The result holds
// the output also where there is an error.
func Run(ctx context.Context, module []byte, args []string, l Limits) (Result, error) {
	config := wazero.NewRuntimeConfig() // compiles where the platform can
	if !compilable(module) {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	return run(ctx, config, module, args, l)
}

func run(ctx context.Context, config wazero.RuntimeConfig, module []byte, args []string, l Limits) (result Result, err error) {
	if err := check(module, l); err != nil {
		return Result{}, err
	}
	defer func() {
		// The runtime panics at some modules that are damaged.
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: the runtime fails at it: %v", ErrModule, fault)
		}
	}()
	ctx, stop := context.WithTimeoutCause(ctx, l.Time, fmt.Errorf("%w, %s", ErrTime, l.Time))
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := &output{limit: l.Output, full: func() { end(fmt.Errorf("%w, over %d bytes", ErrOutput, l.Output)) }}
	defer func() { result.Output = out.bytes() }()

	runtime := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).
		WithMemoryLimitPages(l.Memory).WithCloseOnContextDone(true).WithDebugInfoEnabled(false))
	defer func() { err = errors.Join(err, runtime.Close(context.WithoutCancel(ctx))) }()
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		return Result{}, fmt.Errorf("WASI: %w", err)
	}
	compiled, err := runtime.CompileModule(ctx, module)
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case err != nil:
		return Result{}, fmt.Errorf("%w: %s", ErrModule, firstLine(err))
	}
	if err := checkInterface(compiled); err != nil {
		return Result{}, err
	}
	instance, err := runtime.InstantiateModule(ctx, compiled, environment(ctx, args, out))
	if err != nil {
		return judge(ctx, err, ErrModule)
	}
	_, err = instance.ExportedFunction("_start").Call(ctx)
	return judge(ctx, err, ErrTrap)
}

// environment is all that a module sees of the device.
func environment(ctx context.Context, args []string, out io.Writer) wazero.ModuleConfig {
	began := time.Now()
	return wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithArgs(args...).WithStdout(out).WithStderr(out).WithRandSource(rand.Reader).
		WithWalltime(func() (int64, int32) {
			now := time.Now().Truncate(granularity)
			return now.Unix(), int32(now.Nanosecond())
		}, sys.ClockResolution(granularity)).
		WithNanotime(func() int64 { return int64(time.Since(began).Truncate(granularity)) }, sys.ClockResolution(granularity)).
		WithNanosleep(func(nanoseconds int64) {
			timer := time.NewTimer(time.Duration(nanoseconds))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		})
}

// judge tells the ways apart in which a module ends. A context that has ended comes
// first: the exit code that the runtime then makes up could also be the module's own.
func judge(ctx context.Context, err, otherwise error) (Result, error) {
	var exit *sys.ExitError
	switch {
	case ctx.Err() != nil:
		return Result{}, context.Cause(ctx)
	case errors.As(err, &exit):
		return Result{ExitCode: exit.ExitCode()}, nil
	case err != nil:
		return Result{}, fmt.Errorf("%w: %s", otherwise, firstLine(err))
	}
	return Result{}, nil
}

// firstLine leaves out the stack trace, which is of use to nobody but the author.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimSuffix(line, " (recovered by wazero)")
}

// output keeps what a module prints, up to a limit.
type output struct {
	limit int
	full  func()

	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer. What is over the limit is lost, and the module with it.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(p), o.limit-len(o.kept))
	o.kept = append(o.kept, p[:n]...)
	if n < len(p) {
		o.full()
		return n, ErrOutput
	}
	return n, nil
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept
}
