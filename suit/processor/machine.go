package processor

import (
	"context"
	"fmt"
	"io"

	"github.com/tamarack-tam/tamarack/suit"
)

// machine is the abstract machine of draft-ietf-suit-manifest-37 section 6.4 in the
// middle of one procedure.
type machine struct {
	host    Host
	slots   Slotted // nil where the host has none
	fetcher Fetcher
	limits  Limits

	manifest   *suit.Manifest
	integrated func(name string) ([]byte, bool)
	tx         Transaction

	components []component
	selected   []int // what set-component-index selected
	current    int   // the one of them that the command runs on now

	executed int    // commands
	fetched  uint64 // bytes
	trace    trace
}

// component is what the machine knows of one component of the manifest.
type component struct {
	id     suit.ComponentID
	params suit.Parameters
	// written: the candidate is by this procedure. checked: the image, as it is now,
	// was found to be what the signed manifest says.
	written, checked bool
	// unlinked: this procedure has given the component up.
	unlinked bool
	// measured is the digest of the image as it is now, nil before it was read.
	measured *measurement
}

type measurement struct {
	digest suit.Digest
	size   uint64
}

// run executes the sections that the manifest has, in the procedure's order. The
// shared sequence runs before each (section 6.4, 8.4.5).
func (m *machine) run(ctx context.Context, sections []suit.Section) *Failure {
	for _, section := range sections {
		sequence, ok := m.manifest.Section(section)
		if !ok {
			continue
		}
		if shared := m.manifest.Common.Shared; shared != nil {
			if f := m.sequence(ctx, suit.SectionShared, shared); f != nil {
				return f
			}
		}
		if f := m.sequence(ctx, section, sequence); f != nil {
			return f
		}
	}
	return nil
}

// sequence executes one top-level command sequence, which begins with component 0.
func (m *machine) sequence(ctx context.Context, section suit.Section, sequence *suit.Sequence) *Failure {
	m.selected = []int{0}
	for _, c := range sequence.Commands {
		for _, m.current = range m.selected {
			if f := m.command(ctx, section, c); f != nil {
				return f
			}
		}
	}
	return nil
}

// command executes c on the current component. What fails ends the procedure:
// nothing softens a condition at this level, and a directive is never softened
// (section 6.4).
func (m *machine) command(ctx context.Context, section suit.Section, c suit.Command) *Failure {
	measured, err := m.dispatch(ctx, c)
	if policy, ok := c.Argument.(suit.Policy); ok {
		m.trace.record(place{section, c.Offset, m.current}, policy, measured, err)
	}
	if err == nil {
		return nil
	}
	return &Failure{
		Reason: commandReason(c.Code, err), Section: section, Command: c.Code, Offset: c.Offset,
		Component: m.current, ID: m.at().id, Measured: measured, Err: err,
	}
}

func (m *machine) dispatch(ctx context.Context, c suit.Command) (suit.Parameters, error) {
	if err := ctx.Err(); err != nil {
		return suit.Parameters{}, err
	}
	if m.executed++; m.executed > m.limits.Commands {
		return suit.Parameters{}, fmt.Errorf("%w: more than %d commands", ErrLimit, m.limits.Commands)
	}
	known, ok := commands[c.Code]
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	return known.run(ctx, m, c.Argument)
}

// at is the current component.
func (m *machine) at() *component { return &m.components[m.current] }

// indices reads the argument of set-component-index (section 6.5).
func (m *machine) indices(arg suit.Argument) ([]int, error) {
	count := uint64(len(m.manifest.Common.Components))
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

// image opens the component's image as the manifest sees it now.
func (m *machine) image(ctx context.Context, c *component) (io.ReadCloser, uint64, error) {
	if c.unlinked {
		return nil, 0, fmt.Errorf("%w: it was unlinked", ErrNoImage)
	}
	return m.tx.Open(ctx, c.id)
}

// measure returns the digest and size of a component's image as it is now.
func (m *machine) measure(ctx context.Context, c *component, algorithm suit.DigestAlgorithm) (measurement, error) {
	if c.measured != nil && c.measured.digest.Algorithm == algorithm && !c.unlinked {
		return *c.measured, nil
	}
	h, ok := algorithm.New()
	if !ok {
		return measurement{}, fmt.Errorf("%w: %s", suit.ErrDigestAlgorithm, algorithm)
	}
	image, _, err := m.image(ctx, c)
	if err != nil {
		return measurement{}, err
	}
	defer image.Close() // only read
	n, err := io.Copy(h, contextReader{ctx, image})
	if err != nil {
		return measurement{}, fmt.Errorf("read image: %w", err)
	}
	c.measured = &measurement{suit.Digest{Algorithm: algorithm, Bytes: h.Sum(nil)}, uint64(n)}
	return *c.measured, nil
}

// settle holds the result of an update against the first design goal of section
// 6.3: an error, or a state that was checked against what the author signed.
func (m *machine) settle() error {
	checked := false
	for i := range m.components {
		c := &m.components[i]
		if c.written && !c.checked {
			return fmt.Errorf("component %q: %w; the manifest lacks an image-match", c.id, ErrUnchecked)
		}
		checked = checked || c.checked
	}
	if !checked {
		return fmt.Errorf("%w; the manifest lacks an image-match", ErrUnchecked)
	}
	return nil
}

// contextReader ends the reading of a long image or payload with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
