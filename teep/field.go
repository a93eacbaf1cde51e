package teep

import (
	"fmt"
	"math"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// field binds a parameter of a message to the Go field that holds it.
type field struct {
	label  label
	decode func(item cosekit.RawMessage) error
	encode func() any // nil where the parameter is absent
}

// bytesField is a byte string of a bounded size; nil is absent.
func bytesField(l label, p *[]byte, least, most int) field {
	return field{
		label: l,
		decode: func(item cosekit.RawMessage) (err error) {
			if *p, err = cosekit.Bytes(item); err == nil && (len(*p) < least || len(*p) > most) {
				err = fmt.Errorf("%d bytes, want %d to %d", len(*p), least, most)
			}
			return err
		},
		encode: func() any {
			if *p == nil {
				return nil
			}
			return *p
		},
	}
}

// textField is a text string of 1 to most bytes; empty is absent.
func textField(l label, p *string, most int) field {
	return field{
		label: l,
		decode: func(item cosekit.RawMessage) (err error) {
			if *p, err = cosekit.Text(item); err == nil && (len(*p) < 1 || len(*p) > most) {
				err = fmt.Errorf("%d bytes, want 1 to %d", len(*p), most)
			}
			return err
		},
		encode: func() any {
			if *p == "" {
				return nil
			}
			return *p
		},
	}
}

// listField is an array of at least one element; an empty list is absent.
func listField[T any](l label, p *[]T, decode func([]byte) (T, error)) field {
	return field{
		label: l,
		decode: func(item cosekit.RawMessage) (err error) {
			*p, err = decodeList(item, decode)
			return err
		},
		encode: func() any {
			if len(*p) == 0 {
				return nil
			}
			return *p
		},
	}
}

func decodeList[T any](item []byte, decode func([]byte) (T, error)) ([]T, error) {
	elements, err := cosekit.Elements(item)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, fmt.Errorf("an empty list")
	}
	list := make([]T, len(elements))
	for i, element := range elements {
		if list[i], err = decode(element); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return list, nil
}

func dataItemsField(p *DataItems) field {
	return field{
		label: labelDataItems,
		decode: func(item cosekit.RawMessage) error {
			bits, err := cosekit.Uint(item)
			*p = DataItems(bits)
			return err
		},
		encode: func() any { return *p },
	}
}

// versionField is always sent: its absence means the same as 0, but not every
// peer knows that.
func versionField(l label, p *uint32) field {
	return field{
		label: l,
		decode: func(item cosekit.RawMessage) (err error) {
			*p, err = decodeUint32(item)
			return err
		},
		encode: func() any { return *p },
	}
}

func errorCodeField(n Numbering, p *ErrorCode) field {
	return field{
		label: labelErrCode,
		decode: func(item cosekit.RawMessage) error {
			number, err := cosekit.Uint(item)
			if err == nil && number == 0 {
				err = fmt.Errorf("0 is reserved")
			}
			*p = ErrorCode(n.errorCode(number))
			return err
		},
		encode: func() any {
			if *p == 0 {
				return nil
			}
			return n.errorCode(uint64(*p))
		},
	}
}

// attestationFields are attestation-payload and attestation-payload-format. Where
// only the format is present, Payload stays nil, which decode refuses.
func attestationFields(p **AttestationPayload) []field {
	target := func() *AttestationPayload {
		if *p == nil {
			*p = new(AttestationPayload)
		}
		return *p
	}
	return []field{{
		label: labelAttestationPayload,
		decode: func(item cosekit.RawMessage) (err error) {
			target().Payload, err = cosekit.Bytes(item)
			return err
		},
		encode: func() any {
			if *p == nil || (*p).Payload == nil {
				return nil
			}
			return (*p).Payload
		},
	}, {
		label: labelAttestationFormat,
		decode: func(item cosekit.RawMessage) (err error) {
			if target().Format, err = cosekit.Text(item); err == nil && (*p).Format == "" {
				err = fmt.Errorf("an empty media type")
			}
			return err
		},
		encode: func() any {
			if *p == nil || (*p).Format == "" {
				return nil
			}
			return (*p).Format
		},
	}}
}

func requestedTCsField(n Numbering, p *[]RequestedTC) field {
	f := listField(labelRequestedTCList, p, func(item []byte) (RequestedTC, error) { return decodeRequestedTC(n, item) })
	f.encode = func() any {
		if len(*p) == 0 {
			return nil
		}
		list := make([]map[uint64]any, len(*p))
		for i, r := range *p {
			list[i] = map[uint64]any{labelComponentID.number(n): r.Component}
			if r.MinSequence != nil {
				list[i][labelSequenceNumber.number(n)] = *r.MinSequence
			}
			if r.HaveBinary {
				list[i][labelHaveBinary.number(n)] = true
			}
		}
		return list
	}
	return f
}

// decodeRequestedTC decodes requested-tc-info (section 4.3), a map that the
// standard does not leave open for more members.
func decodeRequestedTC(n Numbering, item []byte) (r RequestedTC, err error) {
	pairs, err := cosekit.Pairs(item)
	if err != nil {
		return r, err
	}
	for _, pair := range pairs {
		number, err := cosekit.Uint(pair.Key)
		if err != nil {
			return r, err
		}
		switch number {
		case labelComponentID.number(n):
			err = r.Component.UnmarshalCBOR(pair.Value)
		case labelSequenceNumber.number(n):
			r.MinSequence = new(uint64)
			*r.MinSequence, err = cosekit.Uint(pair.Value)
		case labelHaveBinary.number(n):
			r.HaveBinary, err = cosekit.Bool(pair.Value)
		default:
			err = fmt.Errorf("unknown member")
		}
		if err != nil {
			return r, fmt.Errorf("label %d: %w", number, err)
		}
	}
	switch {
	case r.Component == nil:
		return r, fmt.Errorf("no %s", labelComponentID)
	case r.HaveBinary && r.MinSequence == nil:
		return r, fmt.Errorf("%s without %s", labelHaveBinary, labelSequenceNumber)
	}
	return r, nil
}

func decodeFreshness(item []byte) (FreshnessMechanism, error) {
	v, err := cosekit.Uint(item)
	return FreshnessMechanism(v), err
}

func decodeUint32(item []byte) (uint32, error) {
	v, err := cosekit.Uint(item)
	if err == nil && v > math.MaxUint32 {
		err = fmt.Errorf("%d does not fit into 4 bytes", v)
	}
	return uint32(v), err
}

func decodeCipherSuite(item []byte) (CipherSuite, error) { return decodeList(item, decodeOperation) }

func decodeOperation(item []byte) (op Operation, err error) {
	parts, err := cosekit.Elements(item)
	if err != nil {
		return op, err
	}
	if len(parts) != 2 {
		return op, fmt.Errorf("operation of %d elements, want 2", len(parts))
	}
	if op.COSEType, err = cosekit.Uint(parts[0]); err != nil {
		return op, err
	}
	algorithm, err := cosekit.Int(parts[1])
	op.Algorithm = cosekit.Algorithm(algorithm)
	return op, err
}

func decodeCOSEProfile(item []byte) (profile suit.COSEProfile, err error) {
	parts, err := cosekit.Elements(item)
	if err != nil {
		return profile, err
	}
	if len(parts) != len(profile) {
		return profile, fmt.Errorf("profile of %d algorithms, want %d", len(parts), len(profile))
	}
	for i, part := range parts {
		if profile[i], err = cosekit.Int(part); err != nil {
			return profile, err
		}
	}
	return profile, nil
}

func decodePropertyClaims(item []byte) (claims suit.PropertyClaims, err error) {
	err = claims.UnmarshalCBOR(item)
	return claims, err
}

// decodeManifestComponent decodes a SUIT_Component_Identifier. One peer wraps each
// in a byte string; it is sent as the array that the standard wants.
func decodeManifestComponent(item []byte) (id suit.ComponentID, err error) {
	if cosekit.Major(item) == cosekit.MajorBytes {
		if item, err = cosekit.Bytes(item); err != nil {
			return nil, err
		}
		if err = cosekit.Validate(item); err != nil {
			return nil, err
		}
	}
	err = id.UnmarshalCBOR(item)
	return id, err
}
