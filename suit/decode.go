package suit

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The readers below add to those of cosekit what is particular to SUIT. Like them
// each takes one item and accepts exactly one type.

func decodeURI(raw []byte) (string, error) {
	uri, err := cosekit.Text(raw)
	if err == nil && len(uri) > MaxURILength {
		return "", overLimit("URI of %d bytes, at most %d", len(uri), MaxURILength)
	}
	return uri, err
}

func decodeUUID(raw []byte) (uuid.UUID, error) {
	b, err := cosekit.Bytes(raw)
	if err != nil {
		return uuid.UUID{}, err
	}
	if len(b) != len(uuid.UUID{}) {
		return uuid.UUID{}, malformed("UUID of %d bytes, want 16", len(b))
	}
	return uuid.UUID(b), nil
}

func decodeDigest(raw []byte) (Digest, error) {
	var d Digest
	err := d.UnmarshalCBOR(raw)
	return d, err
}

// decodeWrapped returns the one item inside a byte string.
func decodeWrapped(raw []byte) ([]byte, error) {
	inner, err := cosekit.Bytes(raw)
	if err != nil {
		return nil, err
	}
	return inner, cosekit.Validate(inner)
}

func decodeComponentID(raw []byte) (ComponentID, error) {
	var id ComponentID
	err := id.UnmarshalCBOR(raw)
	return id, err
}

// decodeMap calls set for each entry of a map. In envelopes and manifests the keys
// must stand in deterministic order (draft-ietf-suit-manifest-37 section 8.1); a
// report may come in any.
func decodeMap(raw []byte, ordered bool, set func(key, value []byte) error) error {
	pairs, err := cosekit.Pairs(raw)
	if err != nil {
		return err
	}
	for i, p := range pairs {
		if ordered && i > 0 && bytes.Compare(pairs[i-1].Key, p.Key) >= 0 {
			return malformed("map keys are not in deterministic order")
		}
		if err := set(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// decodeIntMap is decodeMap for a map whose keys are all integers. name gives a
// key's step in the path of an error.
func decodeIntMap(raw []byte, ordered bool, name func(int64) string, set func(key int64, value []byte) error) error {
	return decodeMap(raw, ordered, func(k, value []byte) error {
		key, err := cosekit.Int(k)
		if err != nil {
			return malformed("map key that is not an integer")
		}
		return at(name(key), set(key, value))
	})
}

// namer names the known keys of a map in the path of an error.
func namer(names map[int64]string) func(int64) string {
	return func(key int64) string {
		if name, ok := names[key]; ok {
			return name
		}
		return fmt.Sprintf("element %d", key)
	}
}

// decodeInts reads [+ int], codes of one registry.
func decodeInts[T ~int64](raw []byte) ([]T, error) {
	items, err := cosekit.Elements(raw)
	switch {
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, malformed("empty list")
	case len(items) > MaxCodes:
		return nil, overLimit("%d codes, at most %d", len(items), MaxCodes)
	}
	list := make([]T, len(items))
	for i, item := range items {
		n, err := cosekit.Int(item)
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
		list[i] = T(n)
	}
	return list, nil
}

// put stores the result of a reader.
func put[T any](dst *T, value T, err error) error {
	if err == nil {
		*dst = value
	}
	return err
}

// putNew stores the result of a reader behind a new pointer.
func putNew[T any](dst **T, value T, err error) error {
	if err == nil {
		*dst = &value
	}
	return err
}

// keep stores a copy of an element that this package does not look into.
func keep[K comparable](dst *map[K]cosekit.RawMessage, key K, raw []byte) {
	if *dst == nil {
		*dst = map[K]cosekit.RawMessage{}
	}
	(*dst)[key] = bytes.Clone(raw)
}
