package suit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// ComponentID is a SUIT_Component_Identifier: an array of byte strings, read as
// the segments of a path (draft-ietf-suit-manifest-37 section 8.4.5.1).
type ComponentID [][]byte

// Key returns the deterministic encoding as a string, for use as a map key and in
// a store's index.
func (c ComponentID) Key() string { return string(cosekit.MustMarshal(c)) }

// Equal reports whether both name the same component.
func (c ComponentID) Equal(other ComponentID) bool {
	if len(c) != len(other) {
		return false
	}
	for i := range c {
		if !bytes.Equal(c[i], other[i]) {
			return false
		}
	}
	return true
}

// HasPrefix reports whether the first segments of c are those of prefix.
func (c ComponentID) HasPrefix(prefix ComponentID) bool {
	return len(c) >= len(prefix) && c[:len(prefix)].Equal(prefix)
}

// String writes the segments joined by "/". A segment that is not plain text, or
// that could be read in two ways, is written as 0x and hexadecimal digits.
// [ParseComponentID] reads it back.
func (c ComponentID) String() string {
	parts := make([]string, len(c))
	for i, s := range c {
		parts[i] = "0x" + hex.EncodeToString(s)
		if plainSegment(s) {
			parts[i] = string(s)
		}
	}
	return strings.Join(parts, "/")
}

func plainSegment(s []byte) bool {
	if len(s) == 0 || bytes.HasPrefix(s, []byte("0x")) {
		return false
	}
	for _, b := range s {
		if b <= ' ' || b == '/' || b == '\\' || b >= 0x7f {
			return false
		}
	}
	return true
}

// ParseComponentID reads the form that String writes, for example "app/hello" or
// "0x0a1b/app". The empty string is the empty identifier.
func ParseComponentID(s string) (ComponentID, error) {
	if s == "" {
		return ComponentID{}, nil
	}
	var c ComponentID
	for part := range strings.SplitSeq(s, "/") {
		segment := []byte(part)
		if digits, ok := strings.CutPrefix(part, "0x"); ok {
			var err error
			if segment, err = hex.DecodeString(digits); err != nil {
				return nil, fmt.Errorf("component id %q: segment %q is not hexadecimal", s, part)
			}
		} else if !plainSegment(segment) {
			return nil, fmt.Errorf("component id %q: segment %q; write other bytes than printable ASCII as 0x…", s, part)
		}
		c = append(c, segment)
	}
	return c, nil
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (c ComponentID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *ComponentID) UnmarshalText(text []byte) error {
	p, err := ParseComponentID(string(text))
	if err == nil {
		*c = p
	}
	return err
}

// MarshalCBOR encodes the array of byte strings; a nil identifier is the empty array.
func (c ComponentID) MarshalCBOR() ([]byte, error) { return cosekit.Marshal([][]byte(c)) }

// UnmarshalCBOR decodes an array of byte strings and nothing else.
func (c *ComponentID) UnmarshalCBOR(data []byte) error {
	items, err := cosekit.Elements(data)
	if err != nil {
		return fmt.Errorf("component id: %w", err)
	}
	if len(items) > MaxComponentSegments || len(data) > MaxComponentSize {
		return fmt.Errorf("%w: component id of %d segments in %d bytes, at most %d in %d",
			ErrLimit, len(items), len(data), MaxComponentSegments, MaxComponentSize)
	}
	out := make(ComponentID, len(items))
	for i, item := range items {
		if out[i], err = cosekit.Bytes(item); err != nil {
			return fmt.Errorf("component id: segment %d: %w", i, err)
		}
	}
	*c = out
	return nil
}
