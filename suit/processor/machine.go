package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// machine is the abstract machine of draft-ietf-suit-manifest-37 section 6.4 in the
// middle of one procedure, over the whole tree of dependencies.
type machine struct {
	config   Config
	slots    Slotted        // nil where the host has none
	metadata MetadataKeeper // nil where the host has none
	proc     *procedure
	tx       Transaction

	root      *manifest
	manifests map[string]*manifest  // by the key of their ids, the root included
	component map[string]*component // by the key of their ids
	order     []*component          // as they were first listed

	executed        int           // commands
	fetched, stored uint64        // bytes
	waited, spent   time.Duration // by wait directives, and by commands of the private range
	read            uint64        // bytes, of what was measured again
	invoked         int
	bent            []Rule
	trace           trace
	buffer          []byte
}

func newMachine(c Config, proc *procedure) *machine {
	m := &machine{config: c, proc: proc, manifests: map[string]*manifest{}, component: map[string]*component{}}
	m.slots, _ = c.Host.(Slotted)
	m.metadata, _ = c.Host.(MetadataKeeper)
	return m
}

// manifest is one manifest of the tree: what draft-ietf-suit-trust-domains calls a
// manifest context.
type manifest struct {
	content  *suit.Manifest
	verified *suit.Verified
	rights   Rights
	id       suit.ComponentID // that it is stored under
	path     []uint64         // of dependency indices from the root
	parent   *manifest        // through which it came first, nil for the root
	table    []entry
	// checks are the results of dependency-integrity, by index: results of another
	// manifest's checks do not count.
	checks map[int]integrity
	done   map[suit.Section]bool // sections that ran to their end
	// inputs are the parameters that the sections were run with, by index.
	inputs map[suit.Section][]input
	// leaving: this procedure uninstalls it.
	leaving bool
}

// entry is what a component index of one manifest stands for.
type entry struct {
	*component
	dependency bool
}

// integrity is a dependency that was checked, and when: what alters the component
// afterwards makes the result void.
type integrity struct {
	of    *manifest
	stage int
}

// component is what the machine knows of a component. All manifests of the tree share it,
// with its parameters: a dependency finds there what its dependent has set, and leaves
// there what it sets itself.
type component struct {
	id         suit.ComponentID
	dependency bool // it holds an envelope
	params     suit.Parameters
	// setter says which manifest a parameter is by: the one that gave its value, nil where
	// another one took it over from elsewhere.
	setter map[suit.ParameterCode]*manifest
	// source is the component that the source-component parameter meant to the manifest
	// that set it; as an index it would mean another one elsewhere.
	source *component
	// metadata is how the image was asked to be stored when it was.
	metadata *suit.ComponentMetadata
	// writer is the manifest that the candidate is by, nil where the image is the
	// installed one. checked: the image, as it is now, was found to be what a signed
	// manifest says; voucher is that manifest, nil where no single one says it. deciphered:
	// nothing but the tag of an AEAD says so, under a key of the writer.
	writer              *manifest
	checked, deciphered bool
	voucher             *manifest
	stage               int // counts what altered the image
	// from is the component that the image was copied from, when that was at fromStage.
	from      *component
	fromStage int
	unlinked  map[*manifest]bool // manifests that have given it up
	// measured is the digest of the image as it is now, nil before it was read.
	measured *measurement
}

type measurement struct {
	digest suit.Digest
	size   uint64
}

func (of *manifest) digest() suit.Digest { return of.verified.Digest() }

// dependency returns the manifest at an index as far as its check is still good.
func (of *manifest) dependency(index int) *manifest {
	check, ok := of.checks[index]
	if !ok || check.stage != of.table[index].stage {
		return nil
	}
	return check.of
}

// dependsOn reports whether other is the manifest or one that it depends on, however far.
func (of *manifest) dependsOn(other *manifest) bool {
	if of == other {
		return true
	}
	for _, check := range of.checks {
		if check.of.dependsOn(other) {
			return true
		}
	}
	return false
}

// dependenciesFirst lists the tree as it is to be installed.
func (m *machine) dependenciesFirst() []*manifest {
	var list []*manifest
	var visit func(*manifest)
	visit = func(of *manifest) {
		if slices.Contains(list, of) {
			return
		}
		for i := range of.table {
			if d := of.dependency(i); d != nil {
				visit(d)
			}
		}
		list = append(list, of)
	}
	visit(m.root)
	return list
}

// enter takes a manifest into the tree: it is held against all that can be known without
// running it, so that a manifest runs as a whole or not at all.
func (m *machine) enter(of *manifest) *Failure {
	of.checks, of.done, of.inputs = map[int]integrity{}, map[suit.Section]bool{}, map[suit.Section][]input{}
	if f := m.resolve(of); f != nil {
		return f
	}
	if f := m.check(of); f != nil {
		return f
	}
	m.manifests[of.id.Key()] = of
	return nil
}

// resolve finds the components that the manifest lists among those of the tree.
func (m *machine) resolve(of *manifest) *Failure {
	common := &of.content.Common
	refuse := func(err error) *Failure { return of.refusal(suit.SectionShared, nil, err) }
	table, err := common.Table()
	if err != nil {
		return refuse(fmt.Errorf("%w: %w", ErrUnsupportedElement, err))
	}
	if of.id == nil { // the root; the one of a dependency is ignored
		if of.id = of.content.ComponentID; of.id == nil && len(common.Components) > 0 {
			of.id = common.Components[0]
		}
	}
	switch {
	case len(table) == 0 || of.id == nil:
		return refuse(fmt.Errorf("%w: the manifest names none", ErrUnsupportedComponent))
	case len(table) > m.config.Limits.Components:
		return refuse(fmt.Errorf("%w: %d components, at most %d", ErrUnsupportedComponent, len(table), m.config.Limits.Components))
	case len(common.Dependencies) > 0 && m.config.Authority == nil:
		return refuse(fmt.Errorf("%w: dependencies; the device has nobody to authenticate them", ErrUnsupportedElement))
	}
	for i, t := range table {
		if err := m.list(of, t); err != nil {
			f := of.refusal(suit.SectionShared, t.ID, err)
			f.Component = i
			return f
		}
	}
	return nil
}

// list adds a component to the manifest's table.
func (m *machine) list(of *manifest, t suit.TableEntry) error {
	key := t.ID.Key()
	c, known := m.component[key]
	switch {
	case slices.ContainsFunc(of.table, func(e entry) bool { return e.id.Equal(t.ID) }):
		return fmt.Errorf("%w: it is listed twice", ErrUnsupportedComponent)
	case t.Dependency && t.ID.Equal(of.id):
		return fmt.Errorf("%w: it lists itself", ErrCycle)
	case of == m.root && of.content.ComponentID != nil && t.ID.Equal(of.id):
		return fmt.Errorf("%w: it is the manifest's own", ErrUnsupportedComponent)
	case known && c.dependency != t.Dependency:
		return fmt.Errorf("%w: one has it as an image, another as a dependency", ErrConflict)
	case !known && m.manifests[key] != nil && !t.Dependency:
		return fmt.Errorf("%w: it is a manifest", ErrConflict)
	case of.rights == nil || !of.rights(Access{Component: t.ID}):
		return ErrUnauthorized
	}
	if fault := m.config.Host.Supports(t.ID); fault != nil {
		return fmt.Errorf("%w: %w", ErrUnsupportedComponent, fault)
	}
	if !known {
		c = &component{
			id: t.ID, dependency: t.Dependency,
			setter: map[suit.ParameterCode]*manifest{}, unlinked: map[*manifest]bool{},
		}
		m.component[key] = c
		m.order = append(m.order, c)
	}
	of.table = append(of.table, entry{c, t.Dependency})
	return nil
}

// vouch notes that the image was held against a parameter.
func (c *component) vouch(by suit.ParameterCode) {
	c.checked, c.voucher = true, c.setter[by]
}

// madeBy reports whether all of these parameters are by the manifest.
func (c *component) madeBy(of *manifest, codes ...suit.ParameterCode) bool {
	return of != nil && !slices.ContainsFunc(codes, func(code suit.ParameterCode) bool { return c.setter[code] != of })
}

// image opens the component's image as the manifest sees it now.
func (m *machine) image(ctx context.Context, of *manifest, c *component) (io.ReadCloser, uint64, error) {
	if c.unlinked[of] {
		return nil, 0, fmt.Errorf("%w: it was unlinked", ErrNoImage)
	}
	return m.tx.Open(ctx, c.id)
}

// measureFor is measure as the manifest sees the image.
func (m *machine) measureFor(ctx context.Context, of *manifest, c *component, algorithm suit.DigestAlgorithm) (measurement, error) {
	if c.unlinked[of] {
		return measurement{}, fmt.Errorf("%w: it was unlinked", ErrNoImage)
	}
	return m.measure(ctx, c, algorithm)
}

// measure returns the digest and size of a component's image as it is now. Of a dependency
// it is the digest of the manifest in its envelope (draft-ietf-suit-trust-domains,
// SUIT_Dependencies).
func (m *machine) measure(ctx context.Context, c *component, algorithm suit.DigestAlgorithm) (measurement, error) {
	if c.measured != nil && c.measured.digest.Algorithm == algorithm {
		return *c.measured, nil
	}
	if c.dependency {
		return m.measureEnvelope(ctx, c, algorithm)
	}
	h, ok := algorithm.New()
	if !ok {
		return measurement{}, fmt.Errorf("%w: %s", suit.ErrDigestAlgorithm, algorithm)
	}
	image, size, err := m.tx.Open(ctx, c.id)
	if err != nil {
		return measurement{}, err
	}
	defer image.Close() // only read
	if err := m.mayRead(size); err != nil {
		return measurement{}, err
	}
	n, err := m.pump(ctx, nil, h, image, size)
	if err != nil {
		return measurement{}, fmt.Errorf("read image: %w", err)
	}
	c.measured = &measurement{suit.Digest{Algorithm: algorithm, Bytes: h.Sum(nil)}, n}
	return *c.measured, nil
}

// mayRead counts what is read again: a manifest that asks for one digest after another would
// keep the device reading for ever.
func (m *machine) mayRead(size uint64) error {
	limit := m.config.Limits.MeasuredBytes
	if size > limit-min(m.read, limit) {
		return fmt.Errorf("%w: more than %d bytes read to be measured", ErrLimit, limit)
	}
	m.read += size
	return nil
}

func (m *machine) measureEnvelope(ctx context.Context, c *component, algorithm suit.DigestAlgorithm) (measurement, error) {
	envelope, size, err := m.envelope(ctx, c)
	if errors.Is(err, suit.ErrMalformed) {
		err = fmt.Errorf("%w: not an envelope: %w", ErrMismatch, err)
	}
	if err != nil {
		return measurement{}, err
	}
	digest, err := envelope.MeasureDigestBy(algorithm)
	if err != nil {
		return measurement{}, err
	}
	c.measured = &measurement{digest, size}
	return *c.measured, nil
}
