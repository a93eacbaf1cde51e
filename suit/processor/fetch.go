package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// fetch stores what the URI names. It does not judge it: that is for the conditions
// that follow, so that an alternative can be tried where they fail.
func fetch(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	if c.params.URI == nil {
		return suit.Parameters{}, missing(suit.ParameterURI)
	}
	if there, err := f.alreadyThere(ctx, c); there || err != nil {
		return suit.Parameters{}, err
	}
	if err := f.mayAlter(ctx, c); err != nil {
		return suit.Parameters{}, err
	}
	if payload, ok := f.of.integrated(*c.params.URI); ok {
		return suit.Parameters{}, f.fetchFrom(ctx, c, bytes.NewReader(payload))
	}
	if resumable, ok := f.tx.(Resumable); ok && c.resumes() {
		return suit.Parameters{}, f.resume(ctx, resumable, c)
	}
	source, err := f.open(ctx, c, 0)
	if err != nil {
		return suit.Parameters{}, err
	}
	defer source.Close() // only read
	return suit.Parameters{}, f.fetchFrom(ctx, c, source)
}

// fetchFrom stores what arrives. An encryption-info on a component that is fetched into is
// for fetch itself, which only a template of draft-ietf-suit-trust-domains has decrypt.
func (f *frame) fetchFrom(ctx context.Context, c *component, source io.Reader) error {
	counted := &counter{source: source, fetched: &f.fetched}
	if c.params.EncryptionInfo == nil {
		return f.store(ctx, c, counted, f.fetchLimit(c))
	}
	if err := f.bend(RuleFetchDecrypts, "component %q has an encryption-info; write or copy decrypts", c.id); err != nil {
		return err
	}
	plain, integrity, err := f.decrypted(c, io.LimitReader(counted, int64(min(f.fetchBudget(), noLimit))))
	if err != nil {
		return err
	}
	err = f.store(ctx, c, plain, f.fetchLimit(c))
	c.deciphered = err == nil && integrity
	return err
}

// counter counts what was fetched.
type counter struct {
	source  io.Reader
	fetched *uint64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	*c.fetched += uint64(n)
	return n, err
}

// fetchBudget is what may be fetched besides what was.
func (m *machine) fetchBudget() uint64 {
	return m.config.Limits.FetchedBytes - min(m.fetched, m.config.Limits.FetchedBytes)
}

// fetchLimit is how large the payload of the component may be.
func (m *machine) fetchLimit(c *component) uint64 {
	limit := m.fetchBudget()
	if size := c.params.ImageSize; size != nil {
		limit = min(limit, *size)
	}
	if c.dependency {
		limit = min(limit, uint64(m.config.Limits.EnvelopeBytes))
	}
	return limit
}

// integrated finds the integrated payload with this key, in the manifest's envelope or in
// that of a dependent, which may have set the URI.
func (of *manifest) integrated(uri string) ([]byte, bool) {
	for ; of != nil; of = of.parent {
		if payload, ok := of.verified.Integrated(uri); ok {
			return payload, true
		}
	}
	return nil, false
}

// open asks the fetcher for the payload from an offset on.
func (m *machine) open(ctx context.Context, c *component, offset uint64) (io.ReadCloser, error) {
	uri := *c.params.URI
	if strings.HasPrefix(uri, "#") {
		return nil, fmt.Errorf("%w: the envelope has no payload %q", ErrFetch, uri)
	}
	if m.config.Fetcher == nil {
		return nil, fmt.Errorf("%w: the device fetches integrated payloads only", ErrURI)
	}
	limit := m.fetchLimit(c)
	switch {
	case c.params.EncryptionInfo != nil:
		limit = m.fetchBudget() // the image-size is that of the plaintext
	case offset > 0:
		limit = *c.params.ImageSize
	}
	return m.config.Fetcher.Fetch(ctx, Request{
		URI: uri, Offset: offset, Limit: limit, Arguments: c.params.FetchArguments,
	})
}

// resumes reports whether the payload is known well enough to go on with a part of it.
func (c *component) resumes() bool {
	p := &c.params
	return !c.dependency && p.ImageDigest != nil && p.ImageSize != nil && p.EncryptionInfo == nil
}

// errStale: what was kept of a payload is not its beginning.
var errStale = errors.New("the part that was kept is of no use")

// resume goes on where an earlier procedure ended. Where the whole is not what was asked
// for, the part from earlier may be at fault: then it is fetched once more, from the
// beginning.
func (f *frame) resume(ctx context.Context, tx Resumable, c *component) error {
	if err := f.mayStore(c); err != nil {
		return err
	}
	kept, err := f.goOn(ctx, tx, c)
	if err == nil && kept > 0 && !c.measured.digest.Equal(*c.params.ImageDigest) {
		err = errStale
	}
	if !errors.Is(err, errStale) {
		return err
	}
	f.note = ""
	source, err := f.open(ctx, c, 0)
	if err != nil {
		return err
	}
	defer source.Close() // only read
	return f.fetchFrom(ctx, c, source)
}

// goOn fetches the rest of a payload. It returns how much of it was there.
func (f *frame) goOn(ctx context.Context, tx Resumable, c *component) (kept uint64, err error) {
	f.altered(c)
	candidate, part, err := tx.Resume(ctx, c.id, *c.params.ImageDigest)
	if err != nil {
		return 0, fmt.Errorf("store image: %w", err)
	}
	in, err := f.newIntake(c)
	if part != nil {
		if err == nil {
			err = f.recall(ctx, in, part)
		}
		part.Close() // only read
	}
	if kept = in.size; err == nil && kept < *c.params.ImageSize {
		err = f.rest(ctx, candidate, in)
	}
	end := candidate.Close
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, errStale) {
		end = candidate.Suspend // it is the beginning of the payload, for all that is known
	}
	if fault := end(); fault != nil {
		err = errors.Join(err, fmt.Errorf("store image: %w", fault))
	}
	if err == nil {
		in.done()
		if kept > 0 {
			f.note = fmt.Sprintf("%d bytes were there already", kept)
		}
	}
	return kept, err
}

// recall measures what was kept.
func (f *frame) recall(ctx context.Context, in *intake, part io.Reader) (err error) {
	in.size, err = f.pump(ctx, nil, in.hash, part, *in.component.params.ImageSize)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errStale, err)
	}
	return err
}

func (f *frame) rest(ctx context.Context, candidate io.Writer, in *intake) error {
	source, err := f.open(ctx, in.component, in.size)
	if err != nil {
		return err
	}
	defer source.Close() // only read
	limit := min(f.fetchBudget(), *in.component.params.ImageSize-in.size)
	return in.take(ctx, candidate, &counter{source, &f.fetched}, limit)
}
