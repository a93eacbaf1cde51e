package suit

import (
	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// parameterField is a parameter that has a field of its own: how it is read, what it
// is on the wire (nil where it is unset), and how it is copied.
type parameterField struct {
	decode func(p *Parameters, raw []byte) error
	value  func(p *Parameters) any
	copy   func(to, from *Parameters)
}

var parameterFields = map[ParameterCode]parameterField{
	ParameterVendorID:        vendorField,
	ParameterClassID:         field(func(p *Parameters) **uuid.UUID { return &p.ClassID }, decodeUUID, uuidBytes),
	ParameterDeviceID:        field(func(p *Parameters) **uuid.UUID { return &p.DeviceID }, decodeUUID, uuidBytes),
	ParameterImageDigest:     field(func(p *Parameters) **Digest { return &p.ImageDigest }, inString(decodeDigest), inBytes),
	ParameterImageSize:       field(func(p *Parameters) **uint64 { return &p.ImageSize }, cosekit.Uint, asIs),
	ParameterComponentSlot:   field(func(p *Parameters) **uint64 { return &p.ComponentSlot }, cosekit.Uint, asIs),
	ParameterStrictOrder:     field(func(p *Parameters) **bool { return &p.StrictOrder }, cosekit.Bool, asIs),
	ParameterSoftFailure:     field(func(p *Parameters) **bool { return &p.SoftFailure }, cosekit.Bool, asIs),
	ParameterContent:         bytesField(func(p *Parameters) *[]byte { return &p.Content }),
	ParameterURI:             field(func(p *Parameters) **string { return &p.URI }, decodeURI, asIs),
	ParameterSourceComponent: field(func(p *Parameters) **uint64 { return &p.SourceComponent }, cosekit.Uint, asIs),
	ParameterInvokeArgs:      bytesField(func(p *Parameters) *[]byte { return &p.InvokeArgs }),
	ParameterFetchArguments:  bytesField(func(p *Parameters) *[]byte { return &p.FetchArguments }),
	ParameterEncryptionInfo:  encryptionField,

	ParameterUseBefore:         field(func(p *Parameters) **uint64 { return &p.UseBefore }, cosekit.Uint, asIs),
	ParameterMinimumBattery:    field(func(p *Parameters) **uint64 { return &p.MinimumBattery }, cosekit.Uint, asIs),
	ParameterUpdatePriority:    field(func(p *Parameters) **int64 { return &p.UpdatePriority }, cosekit.Int, asIs),
	ParameterVersion:           field(func(p *Parameters) **VersionMatch { return &p.Version }, inString(decodeVersionMatch), inBytes),
	ParameterWaitInfo:          field(func(p *Parameters) **WaitInfo { return &p.WaitInfo }, inString(decodeWaitInfo), inBytes),
	ParameterComponentMetadata: field(func(p *Parameters) **ComponentMetadata { return &p.Metadata }, inString(decodeMetadata), inBytes),
}

func field[T any](of func(*Parameters) **T, read func([]byte) (T, error), wire func(T) any) parameterField {
	return parameterField{
		decode: func(p *Parameters, raw []byte) error {
			v, err := read(raw)
			return putNew(of(p), v, err)
		},
		value: func(p *Parameters) any {
			if v := *of(p); v != nil {
				return wire(*v)
			}
			return nil
		},
		copy: func(to, from *Parameters) { *of(to) = *of(from) },
	}
}

func bytesField(of func(*Parameters) *[]byte) parameterField {
	return parameterField{
		decode: func(p *Parameters, raw []byte) error {
			b, err := cosekit.Bytes(raw)
			return put(of(p), b, err)
		},
		value: func(p *Parameters) any {
			if b := *of(p); b != nil {
				return b
			}
			return nil
		},
		copy: func(to, from *Parameters) { *of(to) = *of(from) },
	}
}

// vendorField is the one parameter with two forms.
var vendorField = parameterField{
	decode: func(p *Parameters, raw []byte) error {
		if cosekit.Major(raw) != cosekit.MajorTag {
			id, err := decodeUUID(raw)
			return putNew(&p.VendorID, id, err)
		}
		content, err := decodeTagged(raw, tagPEN)
		if err != nil {
			return err
		}
		pen, err := cosekit.Bytes(content)
		return put(&p.VendorPEN, pen, err)
	},
	value: func(p *Parameters) any {
		switch {
		case p.VendorID != nil:
			return p.VendorID[:]
		case p.VendorPEN != nil:
			return cosekit.Tag{Number: tagPEN, Content: cosekit.MustMarshal(p.VendorPEN)}
		}
		return nil
	},
	copy: func(to, from *Parameters) { to.VendorID, to.VendorPEN = from.VendorID, from.VendorPEN },
}

func asIs[T any](v T) any { return v }

func uuidBytes(id uuid.UUID) any { return id[:] }

// encryptionField looks no further into a COSE_Encrypt than that it is one CBOR item.
var encryptionField = func() parameterField {
	f := bytesField(func(p *Parameters) *[]byte { return &p.EncryptionInfo })
	f.decode = func(p *Parameters, raw []byte) error {
		info, err := decodeWrapped(raw)
		return put(&p.EncryptionInfo, info, err)
	}
	return f
}()

// decodeParameters reads a map of parameters; it may be empty, as in a SUIT_Record.
func decodeParameters(raw []byte, ordered bool) (Parameters, error) {
	var p Parameters
	name := func(key int64) string { return ParameterCode(key).String() }
	err := decodeIntMap(raw, ordered, name, func(key int64, value []byte) error {
		return p.decode(ParameterCode(key), value)
	})
	return p, err
}

func (p *Parameters) decode(code ParameterCode, value []byte) error {
	switch f, known := parameterFields[code]; {
	case len(value) > MaxParameterSize:
		return overLimit("%d bytes, at most %d", len(value), MaxParameterSize)
	case known:
		return f.decode(p, value)
	case code == 0:
		return malformed("parameter 0 is reserved")
	}
	keep(&p.Other, code, value)
	return nil
}

func encodeParameters(p *Parameters) (map[int64]any, error) {
	if p == nil {
		return nil, malformed("no parameters")
	}
	if p.VendorID != nil && p.VendorPEN != nil {
		return nil, at(ParameterVendorID.String(), malformed("both a UUID and a Private Enterprise Number"))
	}
	out := make(map[int64]any)
	for code, raw := range p.Other {
		if _, known := parameterFields[code]; known || len(raw) == 0 {
			return nil, at(code.String(), malformed("a known or an empty parameter among the others"))
		}
		out[int64(code)] = raw
	}
	for code, f := range parameterFields {
		v := f.value(p)
		if v == nil {
			continue
		}
		raw, err := cosekit.Marshal(v)
		if err != nil {
			return nil, at(code.String(), err)
		}
		out[int64(code)] = cosekit.RawMessage(raw)
	}
	return out, nil
}
