package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// Directives (draft-ietf-suit-manifest-37 section 8.4.10) change parameters, the
// machine or the current component.

func setComponentIndex(_ context.Context, m *machine, arg suit.Argument) (suit.Parameters, error) {
	selected, err := m.indices(arg)
	if err == nil {
		m.selected = selected
	}
	return suit.Parameters{}, err
}

func overrideParameters(_ context.Context, m *machine, arg suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, m.assign(arg, true)
}

func setParameters(_ context.Context, m *machine, arg suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, m.assign(arg, false)
}

func (m *machine) assign(arg suit.Argument, replace bool) error {
	params, ok := arg.(*suit.Parameters)
	if !ok {
		return ErrUnsupportedCommand
	}
	if params.SoftFailure != nil {
		return fmt.Errorf("%w: soft-failure outside try-each and run-sequence", ErrAbort)
	}
	merge(&m.at().params, params, replace)
	return nil
}

// fetch stores what the URI names. It does not judge it: that is for the conditions
// that follow, so that an alternative can be tried where they fail.
func fetch(ctx context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	c := m.at()
	if c.params.URI == nil {
		return suit.Parameters{}, missing(suit.ParameterURI)
	}
	if present, err := m.alreadyThere(ctx, c); present || err != nil {
		return suit.Parameters{}, err
	}
	if err := m.mayAlter(ctx, c); err != nil {
		return suit.Parameters{}, err
	}
	limit := m.limits.FetchedBytes - m.fetched
	if size := c.params.ImageSize; size != nil && *size < limit {
		limit = *size
	}
	source, err := m.open(ctx, *c.params.URI, limit)
	if err != nil {
		return suit.Parameters{}, err
	}
	defer source.Close() // only read
	n, err := m.store(ctx, c, source, limit)
	m.fetched += n
	return suit.Parameters{}, err
}

// alreadyThere spares a fetch whose result the component has (section 8.4.10.4).
func (m *machine) alreadyThere(ctx context.Context, c *component) (bool, error) {
	want, wantSize := c.params.ImageDigest, c.params.ImageSize
	if want == nil || wantSize == nil {
		return false, nil
	}
	image, size, err := m.image(ctx, c)
	if errors.Is(err, ErrNoImage) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	image.Close() // nothing was read
	if size != *wantSize {
		return false, nil
	}
	have, err := m.measure(ctx, c, want.Algorithm)
	return err == nil && have.digest.Equal(*want), err
}

// open finds the integrated payload with this key, else asks the fetcher.
func (m *machine) open(ctx context.Context, uri string, limit uint64) (io.ReadCloser, error) {
	if payload, ok := m.integrated(uri); ok {
		return io.NopCloser(bytes.NewReader(payload)), nil
	}
	if strings.HasPrefix(uri, "#") {
		return nil, fmt.Errorf("%w: the envelope has no payload %q", ErrFetch, uri)
	}
	if m.fetcher == nil {
		return nil, fmt.Errorf("%w: the device fetches integrated payloads only", ErrURI)
	}
	return m.fetcher.Fetch(ctx, Request{URI: uri, Limit: limit})
}

func write(ctx context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	c := m.at()
	if c.params.Content == nil {
		return suit.Parameters{}, missing(suit.ParameterContent)
	}
	if err := m.mayAlter(ctx, c); err != nil {
		return suit.Parameters{}, err
	}
	content := c.params.Content
	_, err := m.store(ctx, c, bytes.NewReader(content), uint64(len(content)))
	// The signature covers the content itself.
	c.checked = err == nil
	return suit.Parameters{}, err
}

// mayAlter aborts a command that would alter what another installed manifest relies on
// (draft-ietf-suit-trust-domains, suit-directive-unlink), or roll the component back. The
// manifest's own earlier version does not stand in its way: admitSequenceNumber has
// compared with that. But sequence numbers are per manifest, so an older image could come
// under another name once nothing references the component: its floor, which all
// manifests have in common, is what stops that (docs/decisions/0006).
func (m *machine) mayAlter(ctx context.Context, c *component) error {
	manifests, err := m.tx.References(ctx, c.id)
	if err != nil {
		return err
	}
	for _, other := range manifests {
		if !other.Equal(m.manifestID()) {
			return fmt.Errorf("%w: %s; unlink that one first", ErrReferenced, other)
		}
	}
	floor, err := m.tx.Floor(ctx, c.id)
	if err != nil {
		return err
	}
	if number := m.manifest.SequenceNumber; number < floor {
		return fmt.Errorf("%w: %d, the component has been at %d", ErrRollback, number, floor)
	}
	return nil
}

// unlink gives the component up (draft-ietf-suit-trust-domains, suit-directive-unlink). The
// reference itself goes with the manifest when the procedure ends, so a second unlink
// has nothing to take.
func unlink(_ context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	m.at().unlinked = true
	return suit.Parameters{}, nil
}

// store makes a candidate of the component from source, which may hold limit bytes.
func (m *machine) store(ctx context.Context, c *component, source io.Reader, limit uint64) (uint64, error) {
	c.written, c.checked, c.measured = true, false, nil
	candidate, err := m.tx.Create(ctx, c.id)
	if err != nil {
		return 0, fmt.Errorf("store image: %w", err)
	}
	limit = min(limit, math.MaxInt64-1)
	n, err := io.Copy(candidate, io.LimitReader(contextReader{ctx, source}, int64(limit)+1))
	if err == nil && uint64(n) > limit {
		err = fmt.Errorf("%w: more than %d bytes", ErrLimit, limit)
	}
	if err := errors.Join(err, candidate.Close()); err != nil {
		return uint64(n), fmt.Errorf("store image: %w", err)
	}
	return uint64(n), nil
}
