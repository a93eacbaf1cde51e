package tam

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// dependency returns how the dependencies of an envelope are found: inside it, among
// the payloads that this server hosts, or among the manifests that were published here.
// One that is hosted elsewhere and was not published would be installed unseen.
func (f *Fleet) dependency(ctx context.Context, keys suit.Keys) findDependency {
	return func(parent *member, digest suit.Digest, uri *string) (*suit.Verified, error) {
		raw, err := f.dependencyEnvelope(ctx, parent, digest, uri)
		if err != nil {
			return nil, err
		}
		v, err := f.verify(raw, keys)
		if err != nil {
			return nil, err
		}
		if !v.Digest().Equal(digest) {
			return nil, fmt.Errorf("%w: the dependency is manifest %s, the manifest says %s", ErrPayloadMismatch, v.Digest(), digest)
		}
		return v, nil
	}
}

func (f *Fleet) dependencyEnvelope(ctx context.Context, parent *member, digest suit.Digest, uri *string) (raw []byte, err error) {
	if uri != nil {
		if raw, ok := parent.verified.Integrated(*uri); ok {
			return raw, nil
		}
		if raw, err := f.hostedEnvelope(ctx, *uri); raw != nil || err != nil {
			return raw, err
		}
	}
	err = f.config.Store.View(ctx, func(r Reader) error {
		raw, err = r.Envelope(digest)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: manifest %s; put its envelope into this one, or publish it first", ErrDependencyMissing, digest)
	}
	return raw, err
}

// hostedEnvelope reads a payload of this server; nil where the URI leads to none.
func (f *Fleet) hostedEnvelope(ctx context.Context, uri string) ([]byte, error) {
	sum, err := hex.DecodeString(path.Base(uri))
	if _, served := hosting(f.config.PayloadURL, uri); !served || err != nil || len(sum) != len(cosekit.Thumbprint{}) {
		return nil, nil
	}
	payload, size, err := f.config.Payloads.Open(ctx, suit.Digest{Algorithm: suit.SHA256, Bytes: sum})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: %s", ErrPayloadMissing, uri)
	case err != nil:
		return nil, err
	}
	defer payload.Close()
	if size > f.config.MaxEnvelope {
		return nil, fmt.Errorf("%w: dependency %s: more than %d bytes", ErrEnvelopeTooLarge, uri, f.config.MaxEnvelope)
	}
	return io.ReadAll(io.LimitReader(payload, f.config.MaxEnvelope))
}
