package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// PropertyClaims is system-property-claims (draft-ietf-suit-report-18 section 4):
// what was measured of one component. TEEP's tc-list and the records of a
// SUIT_Report are made of them. At least one property is present.
type PropertyClaims struct {
	Component   ComponentID
	ImageDigest *Digest // parameter 3
	ImageSize   *uint64 // parameter 14
	// Other holds every further parameter, encoded as it came.
	Other map[int64]cosekit.RawMessage
}

// Labels of system-property-claims: the component, and the SUIT parameters
// (draft-ietf-suit-manifest-37 section 11.4) that have a field of their own.
const (
	propertyComponent   int64 = 0
	propertyImageDigest int64 = 3
	propertyImageSize   int64 = 14
)

// MarshalCBOR encodes the map of component id and parameters.
func (p PropertyClaims) MarshalCBOR() ([]byte, error) {
	m := map[int64]any{propertyComponent: p.Component}
	if p.ImageDigest != nil {
		digest, err := p.ImageDigest.MarshalCBOR()
		if err != nil {
			return nil, err
		}
		m[propertyImageDigest] = digest // as a byte string
	}
	if p.ImageSize != nil {
		m[propertyImageSize] = *p.ImageSize
	}
	for label, value := range p.Other {
		switch label {
		case propertyComponent, propertyImageDigest, propertyImageSize:
			return nil, fmt.Errorf("property claims of %s: label %d among the other parameters", p.Component, label)
		}
		if len(value) == 0 {
			return nil, fmt.Errorf("property claims of %s: parameter %d without a value", p.Component, label)
		}
		m[label] = value
	}
	if len(m) < 2 {
		return nil, fmt.Errorf("property claims of %s: no property", p.Component)
	}
	return cosekit.Marshal(m)
}

// UnmarshalCBOR decodes the map. A parameter other than image digest and size is
// kept as it came.
func (p *PropertyClaims) UnmarshalCBOR(data []byte) error {
	pairs, err := cosekit.Pairs(data)
	if err != nil {
		return fmt.Errorf("property claims: %w", err)
	}
	var out PropertyClaims
	for _, pair := range pairs {
		label, err := cosekit.Int(pair.Key)
		if err != nil {
			return fmt.Errorf("property claims: label: %w", err)
		}
		if err := out.set(label, pair.Value); err != nil {
			return fmt.Errorf("property claims: parameter %d: %w", label, err)
		}
	}
	if out.Component == nil {
		return fmt.Errorf("%w: property claims without a component id", cosekit.ErrMalformed)
	}
	if len(pairs) < 2 {
		return fmt.Errorf("%w: property claims without a property", cosekit.ErrMalformed)
	}
	*p = out
	return nil
}

func (p *PropertyClaims) set(label int64, value cosekit.RawMessage) error {
	switch label {
	case propertyComponent:
		return p.Component.UnmarshalCBOR(value)
	case propertyImageDigest:
		digest, err := unwrapDigest(value)
		p.ImageDigest = digest
		return err
	case propertyImageSize:
		size, err := cosekit.Uint(value)
		p.ImageSize = &size
		return err
	}
	if p.Other == nil {
		p.Other = make(map[int64]cosekit.RawMessage)
	}
	p.Other[label] = append(cosekit.RawMessage{}, value...)
	return nil
}

// unwrapDigest decodes a SUIT_Digest inside a byte string.
func unwrapDigest(value cosekit.RawMessage) (*Digest, error) {
	encoded, err := cosekit.Bytes(value)
	if err != nil {
		return nil, err
	}
	if err := cosekit.Validate(encoded); err != nil {
		return nil, err
	}
	var d Digest
	if err := d.UnmarshalCBOR(encoded); err != nil {
		return nil, err
	}
	return &d, nil
}
