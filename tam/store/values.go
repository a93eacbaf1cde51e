package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// How values stand in columns. The first migration documents the forms.

// maxRows bounds the answer to one listing.
const maxRows = 1000

func checkLimit(limit int) error {
	if limit < 1 || limit > maxRows {
		return fmt.Errorf("limit of %d rows, want 1 to %d", limit, maxRows)
	}
	return nil
}

// micros needs no special zero: the zero time has its microseconds as well.
func micros(t time.Time) int64 { return t.UnixMicro() }

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func wide(u uint64) []byte { return binary.BigEndian.AppendUint64(nil, u) }

func wideOf(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("stored number of %d bytes, want 8", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// componentKey refuses an id that could not be read back.
func componentKey(c suit.ComponentID) ([]byte, error) {
	key := []byte(c.Key())
	return key, about(cosekit.Validate(key), "component id")
}

// encode returns v as CBOR. What could not be read back (text that is not UTF-8,
// too long a list) is refused here, not when it is too late.
func encode(v any) ([]byte, error) {
	b, err := cosekit.Marshal(v)
	if err == nil {
		err = cosekit.Validate(b)
	}
	return b, err
}

// decode reads CBOR into v; NULL leaves v as it is.
func decode(column string, data []byte, v any) error {
	if data == nil {
		return nil
	}
	err := cosekit.Validate(data)
	if own, ok := v.(interface{ UnmarshalCBOR([]byte) error }); ok && err == nil {
		err = own.UnmarshalCBOR(data)
	} else if err == nil {
		err = cosekit.UnmarshalValid(data, v)
	}
	if err != nil {
		return fmt.Errorf("stored %s: %w", column, err)
	}
	return nil
}

func digestValue(d suit.Digest) []byte { return cosekit.MustMarshal(d) }

// digestOrNull keeps the zero digest as NULL.
func digestOrNull(d suit.Digest) []byte {
	if d.IsZero() {
		return nil
	}
	return digestValue(d)
}

// orNull keeps an empty byte string as NULL, for columns that are asked whether there is
// anything in them.
func orNull(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// mapOrNull keeps an empty map as NULL.
func mapOrNull[V any](m map[string]V) ([]byte, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return encode(m)
}

// keyOrNull keeps a missing key as NULL.
func keyOrNull(k *cosekit.PublicKey) []byte {
	if k == nil {
		return nil
	}
	return k.COSEKey()
}

func keyOf(column string, coseKey []byte) (*cosekit.PublicKey, error) {
	if coseKey == nil {
		return nil, nil
	}
	k, err := keys.parse(coseKey)
	if err != nil {
		return nil, fmt.Errorf("stored %s: %w", column, err)
	}
	return k, nil
}

// teepKeyOf is keyOf for those that sign messages and reports. Anchors may have keys for
// manifests alone.
func teepKeyOf(column string, coseKey []byte) (*cosekit.PublicKey, error) {
	k, err := keyOf(column, coseKey)
	if err != nil {
		return nil, err
	}
	return k, about(checkTEEPKey(k), "stored %s", column)
}

// checkTEEPKey lets nil pass.
func checkTEEPKey(k *cosekit.PublicKey) error {
	if k == nil || k.SignsTEEP() {
		return nil
	}
	return fmt.Errorf("%w: a key for %s signs manifests and nothing else", cosekit.ErrKey, cosekit.AlgorithmName(k.Algorithm()))
}

func thumbprintOf(column string, b []byte) (cosekit.Thumbprint, error) {
	if len(b) != len(cosekit.Thumbprint{}) {
		return cosekit.Thumbprint{}, fmt.Errorf("stored %s: thumbprint of %d bytes", column, len(b))
	}
	return cosekit.Thumbprint(b), nil
}
