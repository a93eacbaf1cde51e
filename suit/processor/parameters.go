package processor

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// parameters refuses values that no command here could use, and those that the signer may
// not set. A parameter that was ignored could have changed what a command does.
func (k *checker) parameters(p *suit.Parameters, selected []int) error {
	if err := k.values(p); err != nil {
		return err
	}
	for _, i := range selected {
		c := k.of.table[i].component
		for _, code := range p.Codes() {
			if !k.of.rights(Access{Component: c.id, Parameter: code}) {
				return fmt.Errorf("%w: %s of %q", ErrUnauthorized, code, c.id)
			}
		}
		if p.Metadata != nil {
			if err := k.storable(c.id, p.Metadata); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *checker) values(p *suit.Parameters) error {
	limit := k.config.Limits.ParameterBytes
	for code := range p.Other {
		if err := k.customParameter(code, len(p.Other[code])); err != nil {
			return err
		}
	}
	switch {
	case p.URI != nil && len(*p.URI) > k.config.Limits.URILength:
		return fmt.Errorf("%w: %w: URI of %d bytes, at most %d", ErrUnsupportedParameter, ErrLimit, len(*p.URI), k.config.Limits.URILength)
	case len(p.Content) > limit, len(p.InvokeArgs) > limit, len(p.FetchArguments) > limit:
		return fmt.Errorf("%w: %w: content or arguments of more than %d bytes", ErrUnsupportedParameter, ErrLimit, limit)
	case p.SourceComponent != nil && *p.SourceComponent >= uint64(len(k.of.table)):
		return fmt.Errorf("%w: source-component %d of %d components", ErrUnsupportedComponent, *p.SourceComponent, len(k.of.table))
	case p.Version != nil && (len(p.Version.Version) == 0 || p.Version.Comparison < suit.Greater || p.Version.Comparison > suit.Lesser):
		return fmt.Errorf("%w: version with %s", ErrUnsupportedParameter, p.Version.Comparison)
	case p.WaitInfo != nil && len(p.WaitInfo.Other) > 0:
		return fmt.Errorf("%w: wait-info with an event that is not known", ErrUnsupportedParameter)
	}
	if p.ImageDigest != nil {
		if _, ok := p.ImageDigest.Algorithm.New(); !ok {
			return fmt.Errorf("%w: %s", suit.ErrDigestAlgorithm, p.ImageDigest.Algorithm)
		}
	}
	if p.EncryptionInfo != nil {
		if k.config.Keys.Empty() {
			return fmt.Errorf("%w: encryption-info; the device has no key to decrypt with: %w", ErrUnsupportedParameter, cosekit.ErrNoDecryptionKey)
		}
		_, err := parseEncryptionInfo(p.EncryptionInfo)
		return err
	}
	return nil
}

// customParameter is for custom commands, where the device has some: for all others it is
// a hint at most (draft-ietf-suit-manifest-37, suit-parameter-custom).
func (k *checker) customParameter(code suit.ParameterCode, size int) error {
	switch {
	case !suit.CommandCode(code).IsCustom() || len(k.config.Custom) == 0:
		return fmt.Errorf("%w: %s", ErrUnsupportedParameter, code)
	case k.section == suit.SectionShared:
		return fmt.Errorf("%w: %s in the shared sequence", ErrUnsupportedParameter, code)
	case size > k.config.Limits.ParameterBytes:
		return fmt.Errorf("%w: %w: %s of %d bytes", ErrUnsupportedParameter, ErrLimit, code, size)
	}
	return nil
}

// storable asks the device about component-metadata.
func (k *checker) storable(id suit.ComponentID, metadata *suit.ComponentMetadata) error {
	err := errors.New("the device keeps none")
	if k.metadata != nil {
		err = k.metadata.SupportsMetadata(id, metadata)
	}
	if err != nil {
		return fmt.Errorf("%w: component-metadata: %w", ErrUnsupportedParameter, err)
	}
	return nil
}

// parameterSets checks an override-multiple, behind which the last component is selected.
func (k *checker) parameterSets(sets suit.ParameterSets, selected []int, code suit.CommandCode) ([]int, error) {
	for _, index := range slices.Sorted(maps.Keys(sets)) {
		if index >= uint64(len(k.of.table)) {
			return nil, fmt.Errorf("%w: index %d of %d components", ErrUnsupportedComponent, index, len(k.of.table))
		}
		selected = []int{int(index)}
		p := sets[index]
		if p.SoftFailure != nil || p.StrictOrder != nil {
			return nil, fmt.Errorf("%w: soft-failure or strict-order for one of several components", ErrUnsupportedParameter)
		}
		if err := errors.Join(k.allowed(selected, code), k.parameters(p, selected)); err != nil {
			return nil, err
		}
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("%w: no parameters", ErrUnsupportedParameter)
	}
	return selected, nil
}

// parameterCopies checks a copy-params: the signer needs the right to set what it copies.
func (k *checker) parameterCopies(copies suit.ParameterCopies, selected []int) error {
	for _, index := range slices.Sorted(maps.Keys(copies)) {
		if index >= uint64(len(k.of.table)) {
			return fmt.Errorf("%w: index %d of %d components", ErrUnsupportedComponent, index, len(k.of.table))
		}
		for _, code := range copies[index] {
			if code == suit.ParameterSoftFailure || code == suit.ParameterStrictOrder {
				return fmt.Errorf("%w: %s belongs to a sequence, not to a component", ErrUnsupportedParameter, code)
			}
			for _, i := range selected {
				if id := k.of.table[i].id; !k.of.rights(Access{Component: id, Parameter: code}) {
					return fmt.Errorf("%w: %s of %q", ErrUnauthorized, code, id)
				}
			}
		}
	}
	return nil
}
