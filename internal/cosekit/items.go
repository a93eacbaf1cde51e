package cosekit

import (
	"fmt"
	"math"
)

// The readers in this file take one encoded item and accept exactly the type that
// they are named after. [Unmarshal] is laxer: the library behind it takes null for
// every type, an array of small integers for a byte string, and a tagged integer
// for a bare one. Use these wherever the difference could matter, which is wherever
// the bytes come from somebody else. Like [UnmarshalValid] they are for parts of
// what [Validate] has seen. Elements and Pairs return parts of item, not copies.

// MajorType is the kind of a data item (RFC 8949 section 3.1).
type MajorType byte

// The major types.
const (
	MajorUint MajorType = iota
	MajorNegative
	MajorBytes
	MajorText
	MajorArray
	MajorMap
	MajorTag
	MajorSimple
)

func (m MajorType) String() string {
	return [...]string{
		"an unsigned integer", "a negative integer", "a byte string", "a text string",
		"an array", "a map", "a tag", "a simple value",
	}[m&7]
}

// Major returns the major type of the item, or MajorSimple for no bytes at all.
func Major(item []byte) MajorType {
	if len(item) == 0 {
		return MajorSimple
	}
	return MajorType(item[0] >> 5)
}

// Elements splits an array into its elements. What stands in front of the first one
// is the head of the array.
func Elements(item []byte) ([]RawMessage, error) {
	rest, n, err := open(item, MajorArray)
	if err != nil {
		return nil, err
	}
	elements := make([]RawMessage, n)
	for i := range elements {
		if elements[i], rest, err = cut(rest); err != nil {
			return nil, err
		}
	}
	return elements, nothingLeft(rest)
}

// Pair is one entry of a map, encoded.
type Pair struct {
	Key, Value RawMessage
}

// Pairs splits a map into its entries in the order of the encoding.
func Pairs(item []byte) ([]Pair, error) {
	rest, n, err := open(item, MajorMap)
	if err != nil {
		return nil, err
	}
	pairs := make([]Pair, n)
	for i := range pairs {
		if pairs[i].Key, rest, err = cut(rest); err != nil {
			return nil, err
		}
		if pairs[i].Value, rest, err = cut(rest); err != nil {
			return nil, err
		}
	}
	return pairs, nothingLeft(rest)
}

// member returns a copy of the value that a map has under an integer label.
func member(item []byte, label int64) (RawMessage, error) {
	pairs, err := Pairs(item)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if key, err := Int(p.Key); err == nil && key == label {
			return append(RawMessage{}, p.Value...), nil
		}
	}
	return nil, fmt.Errorf("%w: no member %d", ErrMalformed, label)
}

// Bytes returns a copy of the content of a byte string, never nil.
func Bytes(item []byte) ([]byte, error) {
	b, err := content(item, MajorBytes)
	if err != nil {
		return nil, err
	}
	return append([]byte{}, b...), nil
}

// Text reads a text string.
func Text(item []byte) (string, error) {
	b, err := content(item, MajorText)
	return string(b), err
}

// Uint reads an unsigned integer.
func Uint(item []byte) (uint64, error) {
	h, err := readHead(item)
	if err != nil {
		return 0, err
	}
	if h.major != MajorUint || h.size != len(item) {
		return 0, fmt.Errorf("%w: not an unsigned integer", ErrMalformed)
	}
	return h.arg, nil
}

// Int reads an integer that an int64 can hold.
func Int(item []byte) (int64, error) {
	h, err := readHead(item)
	if err != nil {
		return 0, err
	}
	if h.major > MajorNegative || h.size != len(item) || h.arg > math.MaxInt64 {
		return 0, fmt.Errorf("%w: not an integer of 64 bits", ErrMalformed)
	}
	if h.major == MajorNegative {
		return -1 - int64(h.arg), nil
	}
	return int64(h.arg), nil
}

// Bool reads true or false.
func Bool(item []byte) (bool, error) {
	if len(item) == 1 && item[0]|1 == 0xf5 {
		return item[0] == 0xf5, nil
	}
	return false, fmt.Errorf("%w: neither true nor false", ErrMalformed)
}

// content returns what stands behind the head of a string.
func content(item []byte, want MajorType) ([]byte, error) {
	h, err := readHead(item)
	if err != nil {
		return nil, err
	}
	if h.major != want || h.arg != uint64(len(item)-h.size) {
		return nil, fmt.Errorf("%w: not %s", ErrMalformed, want)
	}
	return item[h.size:], nil
}

// open reads the head of an array or a map and checks that it is one. The count is
// held against the bytes that are there before anything is allocated for it.
func open(item []byte, want MajorType) (rest []byte, n uint64, err error) {
	h, err := readHead(item)
	if err != nil {
		return nil, 0, err
	}
	if h.major != want {
		return nil, 0, fmt.Errorf("%w: not %s", ErrMalformed, want)
	}
	if h.arg > MaxElements || h.arg > uint64(len(item)) {
		return nil, 0, fmt.Errorf("%w: %d elements", ErrMalformed, h.arg)
	}
	return item[h.size:], h.arg, nil
}

// cut splits off the first item.
func cut(b []byte) (item RawMessage, rest []byte, err error) {
	n, err := (&walk{left: MaxItems}).item(b, 0, false)
	if err != nil {
		return nil, nil, err
	}
	return RawMessage(b[:n:n]), b[n:], nil
}

func nothingLeft(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes behind the end of the item", ErrMalformed, len(rest))
	}
	return nil
}
