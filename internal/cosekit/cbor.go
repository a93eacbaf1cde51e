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
	MaxDepth    = 24      // nested arrays, maps and tags
	MaxElements = 4096    // elements of one array, pairs of one map
	MaxItems    = 1 << 16 // items in all, at every level
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
	enc.NilContainers = cbor.NilContainerAsEmpty
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
		BignumTag:        cbor.BignumTagForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
}

// Marshal encodes v deterministically (RFC 8949 section 4.2.1). A nil slice or
// map is an empty one, not null.
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
// indefinite lengths, no duplicate map keys nor keys that could hide one (longer
// encodings than needed, floats, maps), valid UTF-8, nothing behind it. It looks
// at every level, also those that a decoder would skip. The content of byte
// strings is not looked into.
func Validate(data []byte) error {
	n, err := (&walk{left: MaxItems}).item(data, 0, false)
	if err != nil {
		return err
	}
	return nothingLeft(data[n:])
}

// head is the first part of an item: its major type, argument and size in bytes.
type head struct {
	major     MajorType
	info      byte
	arg       uint64
	size      int
	preferred bool
}

func readHead(b []byte) (head, error) {
	if len(b) == 0 {
		return head{}, fmt.Errorf("%w: truncated", ErrMalformed)
	}
	h := head{major: MajorType(b[0] >> 5), info: b[0] & 0x1f, size: 1, preferred: true}
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
	h.preferred = h.arg >= smallest || h.major == MajorSimple
	return h, nil
}

// ambiguous reports whether the same value has other encodings: a longer head, a
// float of another width, a map in another order.
func (h head) ambiguous() bool {
	return !h.preferred || h.major == MajorMap || h.major == MajorSimple && h.info > 24
}

// walk is a way through an item that ends after so many items inside it.
type walk struct{ left int }

// item returns the length of the first item in b. Inside a map key nothing
// ambiguous may stand.
func (w *walk) item(b []byte, depth int, key bool) (int, error) {
	if w.left--; w.left < 0 {
		return 0, fmt.Errorf("%w: more than %d items", ErrMalformed, MaxItems)
	}
	if depth > MaxDepth {
		return 0, fmt.Errorf("%w: nested deeper than %d", ErrMalformed, MaxDepth)
	}
	h, err := readHead(b)
	if err != nil {
		return 0, err
	}
	if key && h.ambiguous() {
		return 0, fmt.Errorf("%w: map key that could hide a duplicate", ErrMalformed)
	}
	switch h.major {
	case MajorUint, MajorNegative:
		return h.size, nil
	case MajorBytes, MajorText:
		if h.arg > uint64(len(b)-h.size) {
			return 0, fmt.Errorf("%w: truncated string", ErrMalformed)
		}
		end := h.size + int(h.arg)
		if h.major == MajorText && !utf8.Valid(b[h.size:end]) {
			return 0, fmt.Errorf("%w: text that is not UTF-8", ErrMalformed)
		}
		return end, nil
	case MajorArray:
		return w.array(b, h, depth, key)
	case MajorMap:
		return w.pairs(b, h, depth, key)
	case MajorTag:
		n, err := w.item(b[h.size:], depth+1, key)
		return h.size + n, err
	default:
		if h.info == 24 && h.arg < 32 {
			return 0, fmt.Errorf("%w: reserved simple value", ErrMalformed)
		}
		return h.size, nil
	}
}

func (w *walk) array(b []byte, h head, depth int, key bool) (int, error) {
	if h.arg > MaxElements {
		return 0, fmt.Errorf("%w: array of more than %d elements", ErrMalformed, MaxElements)
	}
	pos := h.size
	for range h.arg {
		n, err := w.item(b[pos:], depth+1, key)
		if err != nil {
			return 0, err
		}
		pos += n
	}
	return pos, nil
}

func (w *walk) pairs(b []byte, h head, depth int, key bool) (int, error) {
	if h.arg > MaxElements {
		return 0, fmt.Errorf("%w: map of more than %d pairs", ErrMalformed, MaxElements)
	}
	pos := h.size
	var seen keySet
	for range h.arg {
		n, err := w.item(b[pos:], depth+1, true)
		if err != nil {
			return 0, err
		}
		if !seen.add(b[pos : pos+n]) {
			return 0, fmt.Errorf("%w: duplicate map key %x", ErrMalformed, b[pos:pos+min(n, 16)])
		}
		pos += n
		if n, err = w.item(b[pos:], depth+1, key); err != nil {
			return 0, err
		}
		pos += n
	}
	return pos, nil
}

// keySet finds duplicates: by comparison while a map is small, as nearly all are.
// It lives on the stack, for a message can hold very many maps.
type keySet struct {
	few  [8][]byte
	n    int
	many map[string]struct{}
}

// add reports whether the key is new.
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
	if s.n < len(s.few) {
		s.few[s.n] = key
		s.n++
		return true
	}
	s.many = map[string]struct{}{string(key): {}}
	for _, k := range s.few {
		s.many[string(k)] = struct{}{}
	}
	return true
}
