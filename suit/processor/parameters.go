package processor

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// merge sets the parameters of src in dst. Those that dst has already are replaced
// only where replace is true.
func merge(dst, src *suit.Parameters, replace bool) {
	set(&dst.VendorID, src.VendorID, replace)
	set(&dst.ClassID, src.ClassID, replace)
	set(&dst.DeviceID, src.DeviceID, replace)
	set(&dst.ImageDigest, src.ImageDigest, replace)
	set(&dst.ImageSize, src.ImageSize, replace)
	set(&dst.ComponentSlot, src.ComponentSlot, replace)
	set(&dst.URI, src.URI, replace)
	if src.Content != nil && (replace || dst.Content == nil) {
		dst.Content = src.Content
	}
}

func set[T any](dst **T, src *T, replace bool) {
	if src != nil && (replace || *dst == nil) {
		*dst = src
	}
}

// checkParameters refuses parameters that no command here reads: one that was
// ignored could have changed what a command does. Strict-order may be ignored,
// because running in order always conforms (draft-ietf-suit-manifest-37 section 6.7);
// soft-failure is judged where it is set.
func checkParameters(p *suit.Parameters, limits Limits) error {
	if code, ok := unread(p); ok {
		return fmt.Errorf("%w: %s", ErrUnsupportedParameter, code)
	}
	switch {
	case p.VendorPEN != nil:
		return fmt.Errorf("%w: vendor-id as a private enterprise number, want a UUID", ErrUnsupportedParameter)
	case p.URI != nil && len(*p.URI) > limits.URILength:
		return fmt.Errorf("%w: %w: URI of %d bytes, at most %d", ErrUnsupportedParameter, ErrLimit, len(*p.URI), limits.URILength)
	case len(p.Content) > limits.ParameterBytes:
		return fmt.Errorf("%w: %w: content of %d bytes, at most %d", ErrUnsupportedParameter, ErrLimit, len(p.Content), limits.ParameterBytes)
	}
	if p.ImageDigest != nil {
		if _, ok := p.ImageDigest.Algorithm.New(); !ok {
			return fmt.Errorf("%w: %s", suit.ErrDigestAlgorithm, p.ImageDigest.Algorithm)
		}
	}
	return nil
}

// unread returns a parameter that no command here reads.
func unread(p *suit.Parameters) (suit.ParameterCode, bool) {
	switch {
	case p.SourceComponent != nil:
		return suit.ParameterSourceComponent, true
	case p.InvokeArgs != nil:
		return suit.ParameterInvokeArgs, true
	case p.FetchArguments != nil:
		return suit.ParameterFetchArguments, true
	case len(p.Other) > 0:
		return slices.Min(slices.Collect(maps.Keys(p.Other))), true
	}
	return 0, false
}
