package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// none is the UUID that names nothing.
var none uuid.UUID

// simulator runs procedures on a simulated device and notes what happens.
type simulator struct {
	path         string
	envelope     *suit.Envelope
	store        *tee.Store
	closeFetcher func() error
	fetches      bool
	decrypts     bool
	publishers   *publishers
	processor    *processor.Processor

	// dependencies are the envelopes that were authenticated, by the key of their
	// component; latest is the last one.
	dependencies map[string]*suit.Envelope
	latest       *suit.Envelope
	report       *suit.Report
	result       simulated
	current      *simulatedProcedure
}

// procedure is a method of the processor.
type procedure struct {
	name string
	run  func(context.Context, *suit.Verified, processor.Rights) (*processor.Outcome, error)
}

func (d *simulator) configure(compat bool, fetcher processor.Fetcher, keys cosekit.DecryptionKeys, c circumstances) {
	mode := processor.Strict
	if compat {
		mode = processor.Compat
	}
	d.fetches, d.decrypts = fetcher != nil, len(keys.Agreements)+len(keys.Secrets) > 0
	d.processor = processor.New(processor.Config{
		Host: d.store, Limits: processor.DefaultLimits(), Mode: mode, Fetcher: fetcher, Keys: keys,
		Authority: processor.AuthorityFunc(d.authenticate), Invoke: d.invoke, Circumstances: c.processor(),
		Custom:  map[suit.CommandCode]processor.CustomCommand{author.SelfTestCondition: {Condition: true, Run: d.selfTest}},
		Names:   author.CommandNames,
		Observe: d.observe,
	})
}

func (d *simulator) close() error { return errors.Join(d.store.Close(), d.closeFetcher()) }

func (d *simulator) authenticate(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
	v, rights, err := d.publishers.Authenticate(e)
	if err == nil {
		d.latest = e
		// By its own name too: the compatibility mode may never check it by its component.
		d.dependencies[v.Manifest().ComponentID.Key()] = e
	}
	return v, rights, err
}

func (d *simulator) observe(step processor.Step) {
	if step.Command == suit.ConditionDependencyIntegrity && step.Err == nil && d.latest != nil {
		d.dependencies[step.Component.Key()] = d.latest
	}
	d.current.Steps = append(d.current.Steps, newSimulatedStep(step))
}

// execute runs one procedure.
func (d *simulator) execute(ctx context.Context, p procedure, v *suit.Verified) error {
	d.result.Procedures = append(d.result.Procedures, simulatedProcedure{Name: p.name})
	d.current = &d.result.Procedures[len(d.result.Procedures)-1]
	outcome, err := p.run(ctx, v, d.publishers.rights(v))
	d.report = outcome.Report
	for _, rule := range outcome.Bent {
		d.current.Bent = append(d.current.Bent, string(rule))
	}
	statements, fault := suit.Explain(outcome.Report, d.envelope, d.dependency, author.CommandNames)
	if fault != nil { // it has been read already
		return errors.Join(err, fault)
	}
	for _, s := range statements {
		d.current.Report = append(d.current.Report, s.Text)
	}
	if err != nil {
		d.current.Failure = oneLine(err)
	}
	return err
}

// dependency finds the envelope of a manifest of the tree by its path.
func (d *simulator) dependency(path []uint64) *suit.Envelope {
	at := d.envelope
	for _, index := range path {
		m, err := at.UnverifiedManifest()
		if err != nil {
			return nil
		}
		table, err := m.Common.Table()
		if err != nil || index >= uint64(len(table)) {
			return nil
		}
		if at = d.dependencyAt(table[index].ID); at == nil {
			return nil
		}
	}
	return at
}

// dependencyAt is the envelope that a component holds: the one that was checked there, or
// the one that is installed.
func (d *simulator) dependencyAt(id suit.ComponentID) *suit.Envelope {
	if e := d.dependencies[id.Key()]; e != nil {
		return e
	}
	data, err := d.store.Envelope(id)
	if err != nil {
		return nil
	}
	e, err := suit.Decode(data)
	if err != nil {
		return nil
	}
	return e
}

// invoke runs a WebAssembly application until it ends.
func (d *simulator) invoke(ctx context.Context, i processor.Invocation) error {
	args, err := wasm.ParseArguments(i.Args)
	if err != nil {
		return err
	}
	return d.runModule(ctx, i.Component, i.Open, args)
}

// selfTest runs what may be a candidate with the argument of author.SelfTestCondition.
func (d *simulator) selfTest(ctx context.Context, call processor.CustomCall) error {
	return d.runModule(ctx, call.Component, call.Open, []string{"--self-test"})
}

func (d *simulator) runModule(ctx context.Context, id suit.ComponentID, open func() (io.ReadCloser, uint64, error), args []string) error {
	limits := wasm.DefaultLimits()
	image, size, err := open()
	if err != nil {
		return err
	}
	defer image.Close() // it was only read
	if size > limits.Module {
		return fmt.Errorf("%w: %d bytes, at most %d", wasm.ErrModule, size, limits.Module)
	}
	module := make([]byte, size)
	if _, err := io.ReadFull(image, module); err != nil {
		return err
	}
	ended, err := wasm.Run(ctx, module, append([]string{id.String()}, args...), limits)
	run := simulatedRun{Component: id, Arguments: args, ExitCode: ended.ExitCode, Output: string(ended.Output)}
	if err == nil && ended.ExitCode != 0 {
		err = fmt.Errorf("%w: exit code %d", wasm.ErrExit, ended.ExitCode)
	}
	if err != nil {
		run.Error = err.Error()
	}
	d.current.Runs = append(d.current.Runs, run)
	return err
}

// look notes what is installed afterwards.
func (d *simulator) look(ctx context.Context) error {
	installed, err := d.store.Installed(context.WithoutCancel(ctx))
	for _, c := range installed {
		d.result.Components = append(d.result.Components, simulatedComponent{c.ID, c.Size, c.Digest.String(), c.Manifests, c.Sequence, suit.FormatVersion(c.Version)})
	}
	return err
}

func (d *simulator) writeReport(path string) error {
	if path == "" || d.report == nil {
		return nil
	}
	data, err := d.report.Encode()
	if err != nil {
		return err
	}
	return writeWhole(path, data, os.Rename)
}
