package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// isDependency tells dependencies from images (draft-ietf-suit-trust-domains,
// suit-condition-is-dependency).
func isDependency(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	if !f.at().dependency {
		return suit.Parameters{}, fmt.Errorf("%w: %w", ErrMismatch, ErrNotDependency)
	}
	return suit.Parameters{}, nil
}

// dependencyIntegrity authenticates the dependency and holds it against image-digest. A
// miss aborts (suit-condition-dependency-integrity).
func dependencyIntegrity(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	if !c.dependency {
		return suit.Parameters{}, ErrNotDependency
	}
	if c.params.ImageDigest == nil {
		return suit.Parameters{}, missing(suit.ParameterImageDigest)
	}
	d, err := f.load(ctx, f.of, f.index, *c.params.ImageDigest)
	if err != nil {
		return suit.Parameters{}, err
	}
	digest := d.digest()
	return suit.Parameters{ImageDigest: &digest}, nil
}

// processDependency runs the section of the dependency that has the name of the one that
// runs (suit-directive-process-dependency). A section runs once in a procedure, also
// where several dependents ask for it.
func processDependency(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	if !f.at().dependency {
		if f.all { // which is all dependencies
			f.note = "no dependency"
			return suit.Parameters{}, nil
		}
		return suit.Parameters{}, ErrNotDependency
	}
	d := f.of.dependency(f.index)
	if d == nil {
		var err error
		if d, err = f.loadUnasked(ctx); err != nil {
			return suit.Parameters{}, err
		}
	}
	if f.running == suit.SectionUninstall {
		return suit.Parameters{}, f.release(ctx, d)
	}
	if _, has := d.content.Section(f.running); !has {
		f.note = fmt.Sprintf("the dependency has no %s", f.running)
	} else if d.done[f.running] {
		f.note = fmt.Sprintf("%s of the dependency has run already", f.running)
		return suit.Parameters{}, f.of.sameInputs(d, f.running)
	}
	d.inputs[f.running] = d.input()
	if failure := f.section(ctx, d, f.running); failure != nil {
		failure.soft = false // a directive has failed
		return suit.Parameters{}, failure
	}
	return suit.Parameters{}, nil
}

// input is what the sequences of a manifest find at one of its components.
type input struct {
	params suit.Parameters
	source *component
}

func (of *manifest) input() []input {
	list := make([]input, len(of.table))
	for i, e := range of.table {
		list[i].params.Override(&e.params)
		list[i].source = e.source
	}
	return list
}

// sameInputs wants a section that ran already to have had all parameters that this manifest
// has set for it since: they would be lost.
func (of *manifest) sameInputs(d *manifest, section suit.Section) error {
	for i, in := range d.inputs[section] {
		c := d.table[i].component
		for _, code := range c.params.Codes() {
			if c.setter[code] == of && !in.has(c, code) {
				return fmt.Errorf("%w: %s of the dependency has run with another %s of %q", ErrConflict, section, code, c.id)
			}
		}
	}
	return nil
}

func (in *input) has(c *component, code suit.ParameterCode) bool {
	if code == suit.ParameterSourceComponent { // an index, in the list of whoever set it
		return in.source == c.source
	}
	var was, is suit.Parameters
	return was.CopyFrom(&in.params, code) && is.CopyFrom(&c.params, code) && reflect.DeepEqual(was, is)
}

// loadUnasked is for a dependency that was not checked before it is processed. Where not
// even a digest is given, it is the one that is installed.
func (f *frame) loadUnasked(ctx context.Context) (*manifest, error) {
	if err := f.bend(RuleIntegrity, "%q was not checked before", f.at().id); err != nil {
		return nil, err
	}
	if digest := f.at().params.ImageDigest; digest != nil {
		return f.load(ctx, f.of, f.index, *digest)
	}
	return f.loadInstalled(ctx, f.of, f.index)
}

// loadInstalled takes the dependency as it was installed.
func (m *machine) loadInstalled(ctx context.Context, of *manifest, index int) (*manifest, error) {
	if d := of.dependency(index); d != nil {
		return d, nil
	}
	id := of.table[index].id
	installed, known, err := m.tx.Installed(ctx, id)
	if err == nil && !known {
		err = fmt.Errorf("dependency %q: %w", id, ErrNotInstalled)
	}
	if err != nil {
		return nil, err
	}
	return m.load(ctx, of, index, installed.Digest)
}

// load checks the dependency at an index of a manifest and takes it into the tree. The
// result holds for that manifest until the component is altered.
func (m *machine) load(ctx context.Context, of *manifest, index int, want suit.Digest) (*manifest, error) {
	c := of.table[index].component
	if d := of.dependency(index); d != nil && d.digest().Equal(want) {
		return d, nil
	}
	envelope, _, err := m.envelope(ctx, c)
	if err != nil {
		return nil, err
	}
	if have := envelope.Digest(); !have.Equal(want) {
		return nil, fmt.Errorf("%w: the dependency is %s, want %s", ErrMismatch, have, want)
	}
	v, rights, err := m.config.Authority.Authenticate(envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	d, failure := m.adopt(ctx, of, index, v, rights)
	if failure != nil {
		return nil, failure
	}
	of.checks[index] = integrity{d, c.stage}
	return d, m.bindSections(of, d)
}

// adopt finds the place of an authentic dependency in the tree.
func (m *machine) adopt(ctx context.Context, of *manifest, index int, v *suit.Verified, rights Rights) (*manifest, *Failure) {
	id := of.table[index].id
	d := &manifest{
		content: v.Manifest(), verified: v, rights: rights, id: id, parent: of,
		path: append(slices.Clone(of.path), uint64(index)),
	}
	refuse := func(err error) (*manifest, *Failure) { return nil, d.refusal(keyManifest, id, err) }
	if depth := len(d.path); depth > m.config.Limits.DependencyDepth {
		return refuse(fmt.Errorf("%w: dependencies %d deep, at most %d", ErrLimit, depth, m.config.Limits.DependencyDepth))
	}
	if known := m.manifests[id.Key()]; known != nil {
		switch {
		case known.dependsOn(of):
			return refuse(ErrCycle)
		case !known.digest().Equal(d.digest()):
			return refuse(fmt.Errorf("%w: two manifests under one id, %s and %s", ErrConflict, known.digest(), d.digest()))
		}
		return known, nil
	}
	for up := of; up != nil; up = up.parent {
		if up.digest().Equal(d.digest()) {
			return refuse(ErrCycle)
		}
	}
	if len(m.manifests) >= m.config.Limits.Manifests {
		return refuse(fmt.Errorf("%w: more than %d manifests", ErrLimit, m.config.Limits.Manifests))
	}
	if rights == nil || !rights(Access{Component: id}) {
		return refuse(ErrUnauthorized)
	}
	if f := m.enter(d); f != nil {
		return nil, f
	}
	if f := m.admitNumber(ctx, d); f != nil {
		return nil, f
	}
	return d, nil
}

// envelope reads the envelope that a component holds.
func (m *machine) envelope(ctx context.Context, c *component) (*suit.Envelope, uint64, error) {
	image, size, err := m.tx.Open(ctx, c.id)
	if err != nil {
		return nil, 0, err
	}
	defer image.Close() // only read
	limit := m.config.Limits.EnvelopeBytes
	if size > uint64(limit) {
		return nil, 0, fmt.Errorf("%w: envelope of %d bytes, at most %d", ErrLimit, size, limit)
	}
	if err := m.mayRead(size); err != nil {
		return nil, 0, err
	}
	encoded, err := io.ReadAll(io.LimitReader(image, int64(limit)))
	if err != nil {
		return nil, 0, fmt.Errorf("read envelope: %w", err)
	}
	envelope, err := suit.Decode(encoded)
	return envelope, size, err
}

// bindSections wants the dependent to have every section that the dependency provides, and
// to process it there: those of this procedure, and of the others that are foreseen
// (draft-ietf-suit-trust-domains, Changes to Required Checks).
func (m *machine) bindSections(of, d *manifest) error {
	if m.proc.optional {
		return nil
	}
	sections := m.proc.sections
	if m.proc.keeps {
		sections = append(slices.Clone(sections), invocation.sections...)
	}
	for _, section := range sections {
		if _, provided := d.content.Section(section); !provided {
			continue
		}
		sequence, ok := of.content.Section(section)
		if ok && (contains(sequence, suit.DirectiveProcessDependency) || !slices.Contains(m.proc.sections, section)) {
			continue
		}
		if err := m.bend(RuleSections, "%s of %q", section, d.id); err != nil {
			return err
		}
	}
	return nil
}

// reached wants a section to have run in every manifest of the tree that has it, before
// the next one begins.
func (m *machine) reached(section suit.Section) *Failure {
	if m.proc.optional {
		return nil
	}
	for _, of := range m.dependenciesFirst() {
		if _, has := of.content.Section(section); has && !of.done[section] {
			if err := m.bend(RuleSections, "%s of %q", section, of.id); err != nil {
				return of.refusal(section, of.id, err)
			}
		}
	}
	if section != m.proc.sections[len(m.proc.sections)-1] {
		return nil
	}
	// What was never looked at may have sections as well, and earlier ones than that in
	// which it was.
	for _, of := range m.dependenciesFirst() {
		for _, earlier := range m.proc.sections {
			if _, has := of.content.Section(earlier); has && !of.done[earlier] {
				if err := m.bend(RuleSections, "%s of %q", earlier, of.id); err != nil {
					return of.refusal(earlier, of.id, err)
				}
			}
		}
		for i, e := range of.table {
			if e.dependency && of.dependency(i) == nil {
				if err := m.bend(RuleSections, "dependency %q was not looked at", e.id); err != nil {
					return of.refusal(section, e.id, err)
				}
			}
		}
	}
	return nil
}

// unlink gives the component up (draft-ietf-suit-trust-domains, suit-directive-unlink). The
// reference itself goes with the manifest when the procedure ends, so a second unlink
// has nothing to take.
func unlink(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	if f.running != suit.SectionUninstall { // RuleUnlink: nothing is given up here
		f.note = "left out"
		return suit.Parameters{}, nil
	}
	c := f.at()
	if c.unlinked[f.of] {
		f.note = "it was given up already"
		return suit.Parameters{}, nil
	}
	if c.dependency {
		d, err := f.loadInstalled(ctx, f.of, f.index)
		if err == nil {
			err = f.release(ctx, d)
		}
		if err != nil {
			return suit.Parameters{}, err
		}
	}
	c.unlinked[f.of] = true
	return suit.Parameters{}, nil
}

func (f *frame) release(ctx context.Context, d *manifest) error {
	stays, err := f.machine.release(ctx, d)
	if stays != "" {
		f.note = "the dependency stays: " + stays
	}
	return err
}

// release runs the uninstall section of a dependency whose last reference goes with this
// procedure, once. Else it says why the dependency stays.
func (m *machine) release(ctx context.Context, d *manifest) (stays string, err error) {
	if d.leaving {
		return "", nil
	}
	installed, known, err := m.tx.Installed(ctx, d.id)
	switch {
	case err != nil:
		return "", err
	case known && installed.Root:
		return "it is installed for itself", nil
	}
	references, err := m.tx.References(ctx, d.id)
	if err != nil {
		return "", err
	}
	for _, other := range references {
		if of := m.manifests[other.Key()]; of == nil || !of.leaving {
			return fmt.Sprintf("%s depends on it", other), nil
		}
	}
	d.leaving = true
	if failure := m.section(ctx, d, suit.SectionUninstall); failure != nil {
		failure.soft = false
		return "", failure
	}
	return "", m.releaseAll(ctx, d)
}

// releaseAll releases what the manifest depends on.
func (m *machine) releaseAll(ctx context.Context, of *manifest) error {
	for i, e := range of.table {
		if !e.dependency {
			continue
		}
		d, err := m.loadInstalled(ctx, of, i)
		if err == nil {
			_, err = m.release(ctx, d)
		}
		var failure *Failure
		if err != nil && !errors.As(err, &failure) {
			err = of.refusal(suit.SectionUninstall, e.id, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
