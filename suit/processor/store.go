package processor

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"reflect"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

const (
	bufferSize = 128 << 10
	noLimit    = math.MaxInt64 - 1
	// maxIdle is how often in a row a source may return nothing.
	maxIdle = 100
)

// pump moves source into to, both of which may be nil, and into the hash. What is above
// the limit it does not read, but for one byte that shows it.
func (m *machine) pump(ctx context.Context, to io.Writer, h hash.Hash, source io.Reader, limit uint64) (n uint64, err error) {
	if m.buffer == nil {
		m.buffer = make([]byte, bufferSize)
	}
	limit = min(limit, noLimit)
	for idle := 0; ; {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		part, readErr := source.Read(m.buffer[:min(bufferSize, limit+1-n)])
		if n += uint64(part); n > limit {
			return n, fmt.Errorf("%w: more than %d bytes", ErrLimit, limit)
		}
		if to != nil && part > 0 {
			if _, err := to.Write(m.buffer[:part]); err != nil {
				return n, fmt.Errorf("store image: %w", err)
			}
		}
		if h != nil {
			h.Write(m.buffer[:part])
		}
		switch {
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		}
		if idle++; part > 0 {
			idle = 0
		}
		if idle == maxIdle {
			return n, io.ErrNoProgress
		}
	}
}

// altered notes that the component has another image now: what was known about it is void.
func (f *frame) altered(c *component) {
	c.writer, c.checked, c.deciphered, c.voucher, c.measured, c.from = f.of, false, false, nil, nil, nil
	c.stage++
	c.metadata = c.params.Metadata
}

// store makes a candidate of the component from source, which may hold limit bytes, and
// measures it on the way, so that it need not be read again to be checked. The caller has
// asked mayAlter.
func (f *frame) store(ctx context.Context, c *component, source io.Reader, limit uint64) error {
	if err := f.mayStore(c); err != nil {
		return err
	}
	f.altered(c)
	candidate, err := f.tx.Create(ctx, c.id)
	if err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	in, err := f.newIntake(c)
	if err == nil {
		err = in.take(ctx, candidate, source, limit)
	}
	if fault := candidate.Close(); fault != nil {
		err = errors.Join(err, fmt.Errorf("store image: %w", fault))
	}
	if err == nil {
		in.done()
	}
	return err
}

// mayStore asks what is common to all that stores.
func (f *frame) mayStore(c *component) error {
	if err := f.order.use(c, nil); err != nil {
		return err
	}
	if c.dependency || !f.proc.keeps {
		return nil
	}
	for _, of := range f.manifests {
		for i, e := range of.table {
			if e.dependency && of.dependency(i) == nil {
				return f.bend(RuleDependenciesFirst, "%q is not at hand yet", e.id)
			}
		}
	}
	return nil
}

// intake measures an image that is being stored.
type intake struct {
	frame     *frame
	component *component
	algorithm suit.DigestAlgorithm
	hash      hash.Hash // nil for an envelope: its manifest is what is measured
	size      uint64
}

// newIntake measures with the algorithm that the image will be checked with.
func (f *frame) newIntake(c *component) (*intake, error) {
	in := &intake{frame: f, component: c, algorithm: suit.SHA256}
	if c.dependency {
		return in, nil
	}
	if want := c.params.ImageDigest; want != nil {
		in.algorithm = want.Algorithm
	}
	var ok bool
	if in.hash, ok = in.algorithm.New(); !ok {
		return nil, fmt.Errorf("%w: %s", suit.ErrDigestAlgorithm, in.algorithm)
	}
	return in, nil
}

// take moves source into the candidate, within limit and what may still be stored.
func (in *intake) take(ctx context.Context, candidate io.Writer, source io.Reader, limit uint64) error {
	m := in.frame.machine
	left := m.config.Limits.StoredBytes - min(m.stored, m.config.Limits.StoredBytes)
	n, err := m.pump(ctx, candidate, in.hash, source, min(limit, left))
	m.stored += n
	in.size += n
	return err
}

// done is for an image that has arrived whole.
func (in *intake) done() {
	if in.hash != nil {
		digest := suit.Digest{Algorithm: in.algorithm, Bytes: in.hash.Sum(nil)}
		in.component.measured = &measurement{digest, in.size}
	}
}

// spared reports whether a command that would store can be left out: the component may
// not be altered, but has the very image that the manifest asks for already, be it by
// image-digest or because it is what would be written (nil where that is not at hand). So
// several manifests can share what they agree on.
func (f *frame) spared(ctx context.Context, c *component, written []byte) (bool, error) {
	fault := f.mayAlter(ctx, c)
	if fault == nil {
		return false, nil
	}
	there, err := f.alreadyThere(ctx, c)
	if err == nil && !there && c.params.EncryptionInfo == nil && written != nil {
		want := suit.SumSHA256(written)
		if there, err = f.holds(ctx, c, want, uint64(len(written))); there {
			c.vouch(suit.ParameterContent)
		}
	}
	if there || err != nil {
		return there, err
	}
	return false, fault
}

// alreadyThere spares a command whose result the component has (section 8.4.10.4).
func (f *frame) alreadyThere(ctx context.Context, c *component) (bool, error) {
	want, size := c.params.ImageDigest, c.params.ImageSize
	switch {
	case want == nil, size == nil && !c.dependency:
		return false, nil
	case size == nil:
		size = new(uint64)
	}
	there, err := f.holds(ctx, c, *want, *size)
	if there {
		c.vouch(suit.ParameterImageDigest)
	}
	return there, err
}

// holds reports whether the component has an image, and this one. Of a dependency the
// size says nothing: its envelope may have lost elements since.
func (f *frame) holds(ctx context.Context, c *component, want suit.Digest, wantSize uint64) (bool, error) {
	image, size, err := f.image(ctx, f.of, c)
	if errors.Is(err, ErrNoImage) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	image.Close() // nothing was read
	if size != wantSize && !c.dependency {
		return false, nil
	}
	have, err := f.measure(ctx, c, want.Algorithm)
	if errors.Is(err, ErrMismatch) { // something that is no envelope
		return false, nil
	}
	if err != nil || !have.digest.Equal(want) {
		return false, err
	}
	if err := f.mark(ctx, c); err != nil {
		return false, err
	}
	f.note = "the image was there already"
	return true, nil
}

// mark has an image that is there stored as the manifest asks. Where it is not yet, that
// alters the component.
func (f *frame) mark(ctx context.Context, c *component) error {
	want := c.params.Metadata
	if want == nil {
		return nil
	}
	same := reflect.DeepEqual(want, c.metadata)
	if c.writer == nil && c.metadata == nil {
		same = f.metadata.HasMetadata(c.id, want)
	}
	if !same {
		if err := f.mayAlter(ctx, c); err != nil {
			return fmt.Errorf("the image is there with other component-metadata: %w", err)
		}
	}
	c.metadata = want
	return nil
}

// mayAlter aborts a command that would alter what an installed manifest outside the tree
// relies on (draft-ietf-suit-trust-domains, suit-directive-unlink), or roll the component
// back. The manifest's own earlier version does not stand in its way: its sequence number
// was compared with that. But sequence numbers are per manifest, so an older image could
// come under another name once nothing references the component: its floor, which all
// manifests have in common, is what stops that (docs/decisions/0006).
func (f *frame) mayAlter(ctx context.Context, c *component) error {
	if !f.proc.keeps {
		return nil
	}
	if err := f.referenced(ctx, c.id, nil); err != nil {
		return err
	}
	floor, err := f.tx.Floor(ctx, c.id)
	if err != nil {
		return err
	}
	if number := f.number(c); number < floor {
		return fmt.Errorf("%w: %d, the component has been at %d", ErrRollback, number, floor)
	}
	return nil
}

// referenced finds a manifest outside the tree that relies on the component, itself or
// through manifests of the tree.
func (m *machine) referenced(ctx context.Context, id suit.ComponentID, seen []string) error {
	references, err := m.tx.References(ctx, id)
	if err != nil {
		return err
	}
	for _, other := range references {
		key := other.Key()
		if slices.Contains(seen, key) || m.root.id.Equal(other) {
			continue
		}
		if m.manifests[key] == nil {
			return fmt.Errorf("%w: %s; unlink that one first", ErrReferenced, other)
		}
		if err := m.referenced(ctx, other, append(seen, key)); err != nil {
			return err
		}
	}
	return nil
}

// number is the sequence number that counts for a component: the highest of those that may
// determine its image, among the manifest, the one that says what the image is to be, and
// their dependents, which vouch for them. 0 where none may.
func (f *frame) number(c *component) uint64 {
	author := c.setter[suit.ParameterImageDigest]
	if author == nil {
		author = c.setter[suit.ParameterContent]
	}
	var number uint64
	for _, of := range []*manifest{f.of, author} {
		for ; of != nil; of = of.parent {
			if of.determines(c.id) {
				number = max(number, of.content.SequenceNumber)
			}
		}
	}
	return number
}

// determines reports whether the signer may say what the component's image is, and put it
// there. Who may only look at it, or say where it comes from, has no part in how new it is.
func (of *manifest) determines(id suit.ComponentID) bool {
	return slices.ContainsFunc(storingCommands, func(code suit.CommandCode) bool {
		return of.rights(Access{Component: id, Command: code})
	}) && slices.ContainsFunc(identifying, func(code suit.ParameterCode) bool {
		return of.rights(Access{Component: id, Parameter: code})
	})
}

var (
	storingCommands = []suit.CommandCode{suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy, suit.DirectiveSwap}
	identifying     = []suit.ParameterCode{suit.ParameterImageDigest, suit.ParameterContent}
)
