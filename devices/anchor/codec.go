package anchor

import (
	"bytes"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// MaxEncoded caps an encoded store, in bytes.
const MaxEncoded = 1 << 20

// latest is the end of year 9999; a later time cannot be written in RFC 3339.
const latest = 253402300799

// The encoding of a store: a map, of which element 1 is the array of its anchors by
// ascending thumbprint. What is absent is left out.
type (
	encodedStore struct {
		Anchors []encodedAnchor `cbor:"1,keyasint"`
	}
	encodedAnchor struct {
		Key         cosekit.RawMessage `cbor:"1,keyasint"` // COSE_Key
		Title       string             `cbor:"2,keyasint,omitempty"`
		Purposes    []Purpose          `cbor:"3,keyasint"`
		Constraints *encodedLimits     `cbor:"4,keyasint,omitempty"`
		NotBefore   *int64             `cbor:"5,keyasint,omitempty"` // seconds since 1970
		NotAfter    *int64             `cbor:"6,keyasint,omitempty"`
	}
	encodedLimits struct {
		Components []suit.ComponentID `cbor:"1,keyasint,omitempty"`
		VendorIDs  [][]byte           `cbor:"2,keyasint,omitempty"`
		ClassIDs   [][]byte           `cbor:"3,keyasint,omitempty"`
		Grants     []Purpose          `cbor:"4,keyasint,omitempty"`
		Scopes     []Scope            `cbor:"5,keyasint,omitempty"`
		Formats    []Format           `cbor:"6,keyasint,omitempty"`
		Products   []string           `cbor:"7,keyasint,omitempty"`
	}
)

// Encode returns the deterministic encoding of the store. Equal stores have equal
// encodings.
func (s Store) Encode() []byte {
	out := encodedStore{Anchors: make([]encodedAnchor, len(s.anchors))}
	for i, a := range s.anchors {
		out.Anchors[i] = encodedAnchor{
			Key: a.Key.COSEKey(), Title: a.Title, Purposes: a.Purposes,
			NotBefore: whole(a.NotBefore), NotAfter: whole(a.NotAfter),
		}
		if c := a.Constraints; len(c.Components)+len(c.VendorIDs)+len(c.ClassIDs)+len(c.Grants)+len(c.Scopes)+len(c.Formats)+len(c.Products) > 0 {
			out.Anchors[i].Constraints = (*encodedLimits)(&c)
		}
	}
	return cosekit.MustMarshal(out)
}

// DecodeStore reads what Encode writes, and nothing else: a store has one encoding,
// so that its digest identifies it.
func DecodeStore(data []byte) (Store, error) {
	if len(data) > MaxEncoded {
		return Store{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(data), MaxEncoded)
	}
	var in encodedStore
	if err := cosekit.Unmarshal(data, &in); err != nil {
		return Store{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(in.Anchors) > MaxAnchors {
		return Store{}, fmt.Errorf("%w: %d anchors, at most %d", ErrMalformed, len(in.Anchors), MaxAnchors)
	}
	var s Store
	for i, e := range in.Anchors {
		a, err := e.anchor()
		if err == nil {
			s, err = s.With(a)
		}
		if err != nil {
			return Store{}, fmt.Errorf("%w: anchor %d: %w", ErrMalformed, i, err)
		}
	}
	if !bytes.Equal(s.Encode(), data) {
		return Store{}, fmt.Errorf("%w: not the deterministic encoding", ErrMalformed)
	}
	return s, nil
}

func (e encodedAnchor) anchor() (Anchor, error) {
	key, err := cosekit.ParseManifestKey(e.Key)
	if err != nil {
		return Anchor{}, err
	}
	a := Anchor{
		Key: key, Title: e.Title, Purposes: e.Purposes,
		NotBefore: fromSeconds(e.NotBefore), NotAfter: fromSeconds(e.NotAfter),
	}
	if e.Constraints != nil {
		a.Constraints = Constraints(*e.Constraints)
	}
	return a, nil
}

// whole returns the seconds since 1970, nil for the zero time.
func whole(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	seconds := t.Unix()
	return &seconds
}

func fromSeconds(seconds *int64) time.Time {
	if seconds == nil {
		return time.Time{}
	}
	return time.Unix(*seconds, 0).UTC()
}
