package suit

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// PropertyClaims is system-property-claims (draft-ietf-suit-report-18 section 4):
// what was measured of one component. TEEP's tc-list and the records of a
// SUIT_Report are made of them. At least one property is present.
type PropertyClaims struct {
	Component   ComponentID
	ImageDigest *Digest
	ImageSize   *uint64
	// Other holds every further parameter; image digest and size are unset in it.
	Other Parameters
}

// propertyComponent is the label of the component; the others are those of parameters
// (draft-ietf-suit-manifest-37 section 11.4).
const propertyComponent = 0

// Parameters returns all properties.
func (p PropertyClaims) Parameters() Parameters {
	all := p.Other
	all.ImageDigest, all.ImageSize = p.ImageDigest, p.ImageSize
	return all
}

// MarshalCBOR encodes the map of component id and parameters.
func (p PropertyClaims) MarshalCBOR() ([]byte, error) {
	if p.Other.ImageDigest != nil || p.Other.ImageSize != nil {
		return nil, malformed("property claims of %s: image digest or size among the other parameters", p.Component)
	}
	all := p.Parameters()
	out, err := encodeParameters(&all)
	if err != nil {
		return nil, at("property claims of "+p.Component.String(), err)
	}
	if len(out) == 0 {
		return nil, malformed("property claims of %s: no property", p.Component)
	}
	if _, taken := out[propertyComponent]; taken {
		return nil, malformed("property claims of %s: label 0 among the other parameters", p.Component)
	}
	out[propertyComponent] = p.Component
	return cosekit.Marshal(out)
}

// UnmarshalCBOR decodes the map. A parameter that this package does not know is kept
// as it came.
func (p *PropertyClaims) UnmarshalCBOR(data []byte) error {
	return at("property claims", p.decode(data))
}

func (p *PropertyClaims) decode(data []byte) error {
	var out PropertyClaims
	var all Parameters
	name := func(key int64) string {
		if key == propertyComponent {
			return "component-id"
		}
		return ParameterCode(key).String()
	}
	err := decodeIntMap(data, false, name, func(key int64, value []byte) error {
		if key == propertyComponent {
			return out.Component.UnmarshalCBOR(value)
		}
		return all.decode(ParameterCode(key), value)
	})
	switch {
	case err != nil:
		return err
	case out.Component == nil:
		return malformed("property claims without a component id")
	case all.empty():
		return malformed("property claims without a property")
	}
	out.ImageDigest, out.ImageSize = all.ImageDigest, all.ImageSize
	all.ImageDigest, all.ImageSize = nil, nil
	out.Other = all
	*p = out
	return nil
}
