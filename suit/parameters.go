package suit

import (
	"bytes"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// tagPEN marks a Private Enterprise Number as relative OID (RFC 9090).
const tagPEN = 112

// Parameters are SUIT_Parameters (draft-ietf-suit-manifest-37 section 8.4.8). A nil
// field is an unset parameter.
type Parameters struct {
	VendorID        *uuid.UUID
	VendorPEN       []byte // vendor-id in its other form, a relative OID (tag 112)
	ClassID         *uuid.UUID
	DeviceID        *uuid.UUID
	ImageDigest     *Digest
	ImageSize       *uint64
	ComponentSlot   *uint64
	StrictOrder     *bool
	SoftFailure     *bool
	Content         []byte
	URI             *string
	SourceComponent *uint64
	InvokeArgs      []byte
	FetchArguments  []byte

	// EncryptionInfo is the encoded COSE_Encrypt of draft-ietf-suit-firmware-encryption.
	EncryptionInfo []byte

	// Of draft-ietf-suit-update-management:
	UseBefore      *uint64 // seconds since 1970
	MinimumBattery *uint64 // mWh
	UpdatePriority *int64  // the smaller, the more urgent
	Version        *VersionMatch
	WaitInfo       *WaitInfo
	Metadata       *ComponentMetadata

	// Other holds every further parameter as it came.
	Other map[ParameterCode]cosekit.RawMessage
}

// Override sets every parameter that is set in from, as override-parameters does
// (section 8.4.10.3).
func (p *Parameters) Override(from *Parameters) {
	for _, code := range from.Codes() {
		p.take(code, from)
	}
}

// SetUnset sets those parameters of from that are not set in p, as set-parameters
// does (draft-ietf-suit-trust-domains).
func (p *Parameters) SetUnset(from *Parameters) {
	for _, code := range from.Codes() {
		if !p.Has(code) {
			p.take(code, from)
		}
	}
}

// CopyFrom sets one parameter to its value in from, as copy-params does
// (draft-ietf-suit-update-management). It reports whether from has it.
func (p *Parameters) CopyFrom(from *Parameters, code ParameterCode) bool {
	if !from.Has(code) {
		return false
	}
	p.take(code, from)
	return true
}

// Has reports whether the parameter is set.
func (p *Parameters) Has(code ParameterCode) bool {
	if f, known := parameterFields[code]; known {
		return f.value(p) != nil
	}
	_, ok := p.Other[code]
	return ok
}

// Codes returns the parameters that are set, in the order of their encoding.
func (p *Parameters) Codes() []ParameterCode {
	var codes []ParameterCode
	for code, f := range parameterFields {
		if f.value(p) != nil {
			codes = append(codes, code)
		}
	}
	for code := range p.Other {
		codes = append(codes, code)
	}
	slices.SortFunc(codes, func(a, b ParameterCode) int {
		return bytes.Compare(cosekit.MustMarshal(int64(a)), cosekit.MustMarshal(int64(b)))
	})
	return codes
}

func (p *Parameters) take(code ParameterCode, from *Parameters) {
	if f, known := parameterFields[code]; known {
		f.copy(p, from)
		return
	}
	keep(&p.Other, code, from.Other[code])
}

func (p *Parameters) empty() bool {
	for _, f := range parameterFields {
		if f.value(p) != nil {
			return false
		}
	}
	return len(p.Other) == 0
}
