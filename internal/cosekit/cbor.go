package cosekit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Caps on untrusted CBOR. Byte strings are bounded by the size of their message,
// which the caller has checked before it reads.
const (
	MaxDepth    = 24   // nested arrays, maps and tags
	MaxElements = 4096 // elements of one array, pairs of one map
)

// RawMessage is one encoded data item, kept as it came.
type RawMessage = cbor.RawMessage

// Tag is a CBOR tag with its undecoded content.
type Tag = cbor.RawTag

var (
	encMode cbor.EncMode
	decMode cbor.DecMode
)

func init() {
	var err error
	enc := cbor.CoreDetEncOptions()
	enc.TimeTag = cbor.EncTagNone
	if encMode, err = enc.EncMode(); err != nil {
		panic(err)
	}
	decMode, err = cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		MaxNestedLevels:  MaxDepth,
		MaxArrayElements: MaxElements,
		MaxMapPairs:      MaxElements,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err)
	}
}

// Marshal encodes v deterministically (RFC 8949 section 4.2.1).
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// MustMarshal is Marshal for values that cannot fail to encode.
func MustMarshal(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Unmarshal decodes exactly one data item, after [Validate], into v.
func Unmarshal(data []byte, v any) error {
	if err := Validate(data); err != nil {
		return err
	}
	return UnmarshalValid(data, v)
}

// UnmarshalValid decodes an item that is part of one that [Validate] has seen.
// It saves the second walk, nothing else: the caps still hold.
func UnmarshalValid(data []byte, v any) error {
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// Validate checks that data is exactly one well-formed item within the caps: no
// indefinite lengths, no duplicate or non-preferred map keys (a longer encoding
// could hide a duplicate), valid UTF-8, nothing behind it. It looks at every
// level, also those that a decoder would skip. The content of byte strings is
// not looked into.
func Validate(data []byte) error {
	n, err := skipItem(data, 0, false)
	if err != nil {
		return err
	}
	if n != len(data) {
		return fmt.Errorf("%w: %d bytes behind the end of the item", ErrMalformed, len(data)-n)
	}
	return nil
}

// head is the first part of an item: its major type, argument and size in bytes.
type head struct {
	major     byte
	info      byte
	arg       uint64
	size      int
	preferred bool
}

func readHead(b []byte) (head, error) {
	if len(b) == 0 {
		return head{}, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	h := head{major: b[0] >> 5, info: b[0] & 0x1f, size: 1, preferred: true}
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
		return h, nil
	case h.info > 27:
		return head{}, fmt.Errorf("%w: indefinite length or reserved head 0x%02x", ErrMalformed, b[0])
	}
	width := 1 << (h.info - 24)
	if len(b) < 1+width {
		return head{}, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	var wide [8]byte
	copy(wide[8-width:], b[1:1+width])
	h.arg = binary.BigEndian.Uint64(wide[:])
	h.size = 1 + width
	smallest := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[h.info-24]
	h.preferred = h.arg >= smallest || h.major == 7
	return h, nil
}

// skipItem returns the length of the first item in b.
func skipItem(b []byte, depth int, key bool) (int, error) {
	if depth > MaxDepth {
		return 0, fmt.Errorf("%w: nested deeper than %d", ErrMalformed, MaxDepth)
	}
	h, err := readHead(b)
	if err != nil {
		return 0, err
	}
	if key && !h.preferred {
		return 0, fmt.Errorf("%w: map key in a longer encoding than needed", ErrMalformed)
	}
	switch h.major {
	case 0, 1:
		return h.size, nil
	case 2, 3:
		if h.arg > uint64(len(b)-h.size) {
			return 0, fmt.Errorf("%w: truncated string", ErrMalformed)
		}
		end := h.size + int(h.arg)
		if h.major == 3 && !utf8.Valid(b[h.size:end]) {
			return 0, fmt.Errorf("%w: text that is not UTF-8", ErrMalformed)
		}
		return end, nil
	case 4:
		return skipArray(b, h, depth, key)
	case 5:
		return skipMap(b, h, depth, key)
	case 6:
		n, err := skipItem(b[h.size:], depth+1, key)
		return h.size + n, err
	default:
		if h.info == 24 && h.arg < 32 {
			return 0, fmt.Errorf("%w: reserved simple value", ErrMalformed)
		}
		return h.size, nil
	}
}

func skipArray(b []byte, h head, depth int, key bool) (int, error) {
	if h.arg > MaxElements {
		return 0, fmt.Errorf("%w: array of more than %d elements", ErrMalformed, MaxElements)
	}
	pos := h.size
	for range h.arg {
		n, err := skipItem(b[pos:], depth+1, key)
		if err != nil {
			return 0, err
		}
		pos += n
	}
	return pos, nil
}

func skipMap(b []byte, h head, depth int, key bool) (int, error) {
	if h.arg > MaxElements {
		return 0, fmt.Errorf("%w: map of more than %d pairs", ErrMalformed, MaxElements)
	}
	pos := h.size
	seen := newKeySet(int(min(h.arg, uint64(len(b)))))
	for range h.arg {
		n, err := skipItem(b[pos:], depth+1, true)
		if err != nil {
			return 0, err
		}
		if !seen.add(b[pos : pos+n]) {
			return 0, fmt.Errorf("%w: duplicate map key %x", ErrMalformed, b[pos:pos+min(n, 16)])
		}
		pos += n
		if n, err = skipItem(b[pos:], depth+1, key); err != nil {
			return 0, err
		}
		pos += n
	}
	return pos, nil
}

// keySet finds duplicates: by comparison while a map is small, as nearly all are.
type keySet struct {
	few  [12][]byte
	n    int
	many map[string]struct{}
}

func newKeySet(pairs int) *keySet {
	s := &keySet{}
	if pairs > len(s.few) {
		s.many = make(map[string]struct{})
	}
	return s
}

func (s *keySet) add(key []byte) bool {
	if s.many != nil {
		_, dup := s.many[string(key)]
		s.many[string(key)] = struct{}{}
		return !dup
	}
	for _, k := range s.few[:s.n] {
		if bytes.Equal(k, key) {
			return false
		}
	}
	s.few[s.n] = key
	s.n++
	return true
}
