package processor

import (
	"context"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// run executes the sections of the procedure in lockstep over the tree: when the root's
// section is through, so is that of every manifest that it depends on
// (draft-ietf-suit-trust-domains, Processing Dependencies).
func (m *machine) run(ctx context.Context) *Failure {
	for _, section := range m.proc.sections {
		if f := m.section(ctx, m.root, section); f != nil {
			return f
		}
		if f := m.reached(section); f != nil {
			return f
		}
	}
	return nil
}

// section runs one section of a manifest, where it has it, behind the shared sequence
// (draft-ietf-suit-manifest-37 sections 6.4, 8.4.5).
func (m *machine) section(ctx context.Context, of *manifest, section suit.Section) *Failure {
	if _, ok := of.content.Section(section); ok {
		parts := &order{strict: true}
		for _, part := range []suit.Section{suit.SectionShared, section} {
			sequence, ok := of.content.Section(part)
			if !ok {
				continue
			}
			f := &frame{machine: m, of: of, part: part, running: section, order: parts, selected: []int{0}}
			if failure := f.run(ctx, sequence); failure != nil {
				return failure
			}
		}
	}
	of.done[section] = true
	return nil
}

// frame is one command sequence that is being executed.
type frame struct {
	*machine
	of       *manifest
	part     suit.Section // that the sequence stands in
	running  suit.Section // that is executed: the same, or behind the shared sequence
	depth    int          // of sequences around it
	selected []int        // what set-component-index selected
	all      bool         // with true, so that it means what a command can be for
	index    int          // the one of them that the command runs on now

	// soft is Soft Failure, which is not inherited and ends with the sequence; softSet says
	// that the manifest has set it (section 8.4.8.16).
	soft, softSet bool
	order         *order
	// pinned: moves more changes of the index are allowed, because the sequence may run
	// beside others (section 6.7).
	pinned bool
	moves  int
	note   string // of the current command
}

// order keeps Strict Order, and while it is false which components commands have read
// and written: one that is both would make the result depend on the order.
type order struct {
	strict           bool
	targets, sources map[*component]bool
}

func (o *order) set(strict bool) {
	if o.strict = strict; strict {
		o.targets, o.sources = nil, nil
	} else if o.targets == nil {
		o.targets, o.sources = map[*component]bool{}, map[*component]bool{}
	}
}

// use notes what a command reads and writes.
func (o *order) use(target, source *component) error {
	if o.strict {
		return nil
	}
	if source != nil {
		o.sources[source] = true
	}
	o.targets[target] = true
	for c := range o.targets {
		if o.sources[c] {
			return fmt.Errorf("%w: component %q is read and written; set strict-order", ErrOrder, c.id)
		}
	}
	return nil
}

// nest begins a sequence inside the current one, on the current component.
func (f *frame) nest(soft bool) *frame {
	return &frame{
		machine: f.machine, of: f.of, part: f.part, running: f.running, depth: f.depth + 1,
		selected: []int{f.index}, soft: soft, order: f.order, pinned: f.pinned,
	}
}

func (f *frame) run(ctx context.Context, sequence *suit.Sequence) *Failure {
	for i := range sequence.Commands {
		c := &sequence.Commands[i]
		indices := f.selected
		if commands[c.Code].once {
			indices = indices[:1]
		}
		for _, f.index = range indices {
			if failure := f.command(ctx, c); failure != nil {
				return failure
			}
		}
	}
	return nil
}

// command executes c on the current component. A condition that does not hold ends the
// sequence; whether it ends more is for the sequence around it to say. Every other failure
// ends the procedure (section 6.4).
func (f *frame) command(ctx context.Context, c *suit.Command) *Failure {
	f.note = ""
	measured, err := f.dispatch(ctx, c)
	f.trace.record(f, c, measured, err)
	var failure *Failure
	if err != nil {
		failure = f.failure(c, measured, err)
	}
	f.observe(c, measured, failure)
	return failure
}

// failure says where err happened, if it does not know better itself: in a sequence that
// the command ran.
func (f *frame) failure(c *suit.Command, measured suit.Parameters, err error) *Failure {
	if inner, ok := err.(*Failure); ok {
		return inner
	}
	failure := &Failure{
		Reason: reasonFor(err), Manifest: f.of.path, Section: f.part, Command: c.Code, Offset: c.Offset,
		name: f.config.Names.Of(c.Code), Component: f.index, ID: f.at().id, Measured: measured, Err: err,
	}
	if f.isCondition(c.Code) && isUnmet(err) {
		failure.Reason = suit.ReasonConditionFailed
		// A failed check of a dependency aborts (draft-ietf-suit-trust-domains).
		failure.soft = c.Code != suit.ConditionDependencyIntegrity
	}
	return failure
}

func (f *frame) isCondition(code suit.CommandCode) bool {
	return code.IsCondition() || code == suit.DirectiveTryEach || f.config.Custom[code].Condition
}

func (f *frame) observe(c *suit.Command, measured suit.Parameters, failure *Failure) {
	if f.config.Observe == nil {
		return
	}
	step := Step{
		Manifest: f.of.path, Section: f.part, Depth: f.depth, Offset: c.Offset, Command: c.Code,
		Name: f.config.Names.Of(c.Code), Index: f.index, Component: f.at().id, Measured: measured, Note: f.note,
	}
	if failure != nil {
		step.Err, step.Softened = failure, failure.soft && f.soft
	}
	f.config.Observe(step)
}

func (f *frame) dispatch(ctx context.Context, c *suit.Command) (suit.Parameters, error) {
	if err := ctx.Err(); err != nil {
		return suit.Parameters{}, err
	}
	if f.executed++; f.executed > f.config.Limits.Commands {
		return suit.Parameters{}, fmt.Errorf("%w: more than %d commands", ErrLimit, f.config.Limits.Commands)
	}
	if c.Code.IsCustom() {
		return suit.Parameters{}, f.custom(ctx, c)
	}
	known, ok := commands[c.Code]
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	return known.run(ctx, f, c.Argument)
}

// at is the current component.
func (f *frame) at() *component { return f.of.table[f.index].component }

// indices reads the argument of set-component-index (section 6.5).
func (of *manifest) indices(arg suit.Argument) ([]int, error) {
	count := uint64(len(of.table))
	var list []uint64
	switch arg := arg.(type) {
	case suit.Index:
		list = []uint64{uint64(arg)}
	case suit.IndexList:
		list = arg
	case suit.AllComponents:
		for i := range count {
			list = append(list, i)
		}
	default:
		return nil, ErrUnsupportedCommand
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: an empty list of components", ErrUnsupportedComponent)
	}
	selected := make([]int, len(list))
	for i, index := range list {
		if index >= count {
			return nil, fmt.Errorf("%w: index %d of %d components", ErrUnsupportedComponent, index, count)
		}
		selected[i] = int(index)
	}
	return selected, nil
}

func setComponentIndex(_ context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	selected, err := f.of.indices(arg)
	if err == nil {
		err = f.move(selected)
	}
	_, f.all = arg.(suit.AllComponents)
	return suit.Parameters{}, err
}

func (f *frame) move(selected []int) error {
	if f.pinned && f.moves == 0 {
		return fmt.Errorf("%w: the index may not change in a sequence that may run beside others", ErrOrder)
	}
	f.moves--
	f.selected, f.all = selected, false
	return nil
}

// tryEach runs one sequence after another until a condition fails in none of them
// (section 8.4.10.2).
func tryEach(ctx context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	alternatives, ok := arg.(*suit.Alternatives)
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	var last error
	for i := range alternatives.Sequences {
		nested := f.nest(true)
		failure := nested.run(ctx, &alternatives.Sequences[i])
		if failure == nil {
			f.note = fmt.Sprintf("alternative %d of %d", i+1, len(alternatives.Sequences))
			return suit.Parameters{}, nil
		}
		if !failure.soft || !nested.soft {
			failure.soft = false // soft-failure was set to false to force an abort (section 8.4.8.16)
			return suit.Parameters{}, failure
		}
		last = failure
	}
	if alternatives.Optional {
		f.note = "none of the alternatives, and none was needed"
		return suit.Parameters{}, nil
	}
	return suit.Parameters{}, fmt.Errorf("%w: no alternative succeeds, the last one: %w", ErrMismatch, last)
}

// runSequence runs one sequence (section 8.4.10.8). Where the order is left open, the
// sequence has to keep to one component (section 6.7).
func runSequence(ctx context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	sequence, ok := arg.(*suit.Sequence)
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	nested := f.nest(false)
	if !f.order.strict {
		nested.order, nested.pinned = &order{strict: true}, true
		if len(f.selected) == 1 {
			if sequence.Commands[0].Code != suit.DirectiveSetComponentIndex {
				return suit.Parameters{}, fmt.Errorf("%w: run-sequence without strict-order has to begin with set-component-index", ErrOrder)
			}
			nested.moves = 1
		}
	}
	failure := nested.run(ctx, sequence)
	switch {
	case failure == nil:
		return suit.Parameters{}, nil
	case failure.soft && nested.soft:
		f.note = "ended early by a condition"
		return suit.Parameters{}, nil
	}
	return suit.Parameters{}, failure
}

// contains reports whether the sequence, or one inside it, has the command.
func contains(sequence *suit.Sequence, code suit.CommandCode) bool {
	return slices.ContainsFunc(sequence.Commands, func(c suit.Command) bool {
		switch arg := c.Argument.(type) {
		case *suit.Sequence:
			return contains(arg, code)
		case *suit.Alternatives:
			return slices.ContainsFunc(arg.Sequences, func(s suit.Sequence) bool { return contains(&s, code) })
		}
		return c.Code == code
	})
}
