package teep

import (
	"fmt"
	"math"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// field binds a parameter of a type of message to the Go field that holds it. The
// constructors below take that as a function of the message.
type field struct {
	label  label
	decode func(n Numbering, m Message, item cosekit.RawMessage) error
	encode func(n Numbering, m Message) any // nil where the parameter is absent
}

// newField makes a field of a message M with a value V.
func newField[M, V any](l label, at func(*M) *V, decode func(n Numbering, p *V, item []byte) error, encode func(n Numbering, v V) any) field {
	return field{
		label: l,
		decode: func(n Numbering, m Message, item cosekit.RawMessage) error {
			return decode(n, at(any(m).(*M)), item)
		},
		encode: func(n Numbering, m Message) any { return encode(n, *at(any(m).(*M))) },
	}
}

// bytesField is a byte string of a bounded size; nil is absent.
func bytesField[M any](l label, at func(*M) *[]byte, least, most int) field {
	return newField(l, at, func(_ Numbering, p *[]byte, item []byte) (err error) {
		if *p, err = cosekit.Bytes(item); err == nil && (len(*p) < least || len(*p) > most) {
			err = fmt.Errorf("%d bytes, want %d to %d", len(*p), least, most)
		}
		return err
	}, func(_ Numbering, v []byte) any {
		if v == nil {
			return nil
		}
		return v
	})
}

// textField is a text string of 1 to most bytes; empty is absent.
func textField[M any](l label, at func(*M) *string, most int) field {
	return newField(l, at, func(_ Numbering, p *string, item []byte) (err error) {
		if *p, err = cosekit.Text(item); err == nil && (len(*p) < 1 || len(*p) > most) {
			err = fmt.Errorf("%d bytes, want 1 to %d", len(*p), most)
		}
		return err
	}, func(_ Numbering, v string) any {
		if v == "" {
			return nil
		}
		return v
	})
}

// listField is an array of at least one element; an empty list is absent.
func listField[M, T any](l label, at func(*M) *[]T, decode func([]byte) (T, error)) field {
	return newField(l, at, func(_ Numbering, p *[]T, item []byte) (err error) {
		*p, err = decodeList(item, decode)
		return err
	}, func(_ Numbering, v []T) any {
		if len(v) == 0 {
			return nil
		}
		return v
	})
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

func dataItemsField[M any](at func(*M) *DataItems) field {
	return newField(labelDataItems, at, func(_ Numbering, p *DataItems, item []byte) error {
		bits, err := cosekit.Uint(item)
		*p = DataItems(bits)
		return err
	}, func(_ Numbering, v DataItems) any { return v })
}

// versionField is always sent: its absence means the same as 0, but not every
// peer knows that.
func versionField[M any](l label, at func(*M) *uint32) field {
	return newField(l, at, func(_ Numbering, p *uint32, item []byte) (err error) {
		*p, err = decodeUint32(item)
		return err
	}, func(_ Numbering, v uint32) any { return v })
}

func errorCodeField[M any](at func(*M) *ErrorCode) field {
	return newField(labelErrCode, at, func(n Numbering, p *ErrorCode, item []byte) error {
		number, err := cosekit.Uint(item)
		if err == nil && number == 0 {
			err = fmt.Errorf("0 is reserved")
		}
		*p = ErrorCode(n.errorCode(number))
		return err
	}, func(n Numbering, v ErrorCode) any {
		if v == 0 {
			return nil
		}
		return n.errorCode(uint64(v))
	})
}

// attestationFields are attestation-payload and attestation-payload-format. Where
// only the format is present, Payload stays nil, which decode refuses.
func attestationFields[M any](at func(*M) **AttestationPayload) []field {
	target := func(p **AttestationPayload) *AttestationPayload {
		if *p == nil {
			*p = new(AttestationPayload)
		}
		return *p
	}
	return []field{
		newField(labelAttestationPayload, at, func(_ Numbering, p **AttestationPayload, item []byte) (err error) {
			target(p).Payload, err = cosekit.Bytes(item)
			return err
		}, func(_ Numbering, v *AttestationPayload) any {
			if v == nil || v.Payload == nil {
				return nil
			}
			return v.Payload
		}),
		newField(labelAttestationFormat, at, func(_ Numbering, p **AttestationPayload, item []byte) (err error) {
			if target(p).Format, err = cosekit.Text(item); err == nil && (*p).Format == "" {
				err = fmt.Errorf("an empty media type")
			}
			return err
		}, func(_ Numbering, v *AttestationPayload) any {
			if v == nil || v.Format == "" {
				return nil
			}
			return v.Format
		}),
	}
}

func requestedTCsField[M any](at func(*M) *[]RequestedTC) field {
	return newField(labelRequestedTCList, at, func(n Numbering, p *[]RequestedTC, item []byte) (err error) {
		*p, err = decodeList(item, func(item []byte) (RequestedTC, error) { return decodeRequestedTC(n, item) })
		return err
	}, func(n Numbering, v []RequestedTC) any {
		if len(v) == 0 {
			return nil
		}
		list := make([]map[uint64]any, len(v))
		for i, r := range v {
			list[i] = map[uint64]any{labelComponentID.number(n): r.Component}
			if r.MinSequence != nil {
				list[i][labelSequenceNumber.number(n)] = *r.MinSequence
			}
			if r.HaveBinary {
				list[i][labelHaveBinary.number(n)] = true
			}
		}
		return list
	})
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
