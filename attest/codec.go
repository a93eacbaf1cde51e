package attest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/eat"
)

// MaxTokenSize caps an EAT and a claims set, in bytes.
const MaxTokenSize = 64 << 10

// Labels of the CWT Claims registry.
const (
	labelExpires      = 4
	labelNotBefore    = 5
	labelIssuedAt     = 6
	labelConfirmation = 8
	labelNonce        = 10
	labelUEID         = 256
	labelOEMID        = 258
	labelHWModel      = 259
	labelHWVersion    = 260
	labelProfile      = 265
	labelManifests    = 272
	labelMeasurements = 273
)

// claim is how one registered claim is read, written and told absent.
type claim struct {
	label    int64
	name     string
	required bool // by the EAT profile of TEEP
	present  func(c *Claims) bool
	decode   func(c *Claims, raw cosekit.RawMessage) error
	encode   func(c *Claims) (any, error)
}

// registered are the claims with a field of their own.
//
// The types of veraison/eat read and write eat_profile, whose OID form is worth
// sharing, and hwversion. Its other types are wrong for us: oemid knows no
// enterprise number, a cnf key loses its alg, iat comes out as tag 1, nonce takes
// arrays and any size, UEID looks into an identifier that RFC 9711 section 4.2.1
// forbids a consumer to look into, and Manifest fixes bodies to byte strings.
var registered = []claim{
	{
		labelProfile, "eat_profile", false,
		func(c *Claims) bool { return c.Profile != "" },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.Profile, err = decodeProfile(raw); return },
		func(c *Claims) (any, error) { return encodeProfile(c.Profile) },
	}, {
		labelNonce, "eat_nonce", false,
		func(c *Claims) bool { return c.Nonce != nil },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.Nonce, err = decodeNonce(raw); return },
		func(c *Claims) (any, error) { return c.Nonce, nil },
	}, {
		labelUEID, "ueid", true,
		func(c *Claims) bool { return c.UEID != nil },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.UEID, err = byteString(raw, 7, 33); return },
		func(c *Claims) (any, error) { return c.UEID, nil },
	}, {
		labelOEMID, "oemid", true,
		func(c *Claims) bool { return c.OEMID != nil },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.OEMID, err = decodeOEMID(raw); return },
		func(c *Claims) (any, error) { return cosekit.RawMessage(c.OEMID), nil },
	}, {
		labelHWModel, "hwmodel", true,
		func(c *Claims) bool { return c.HWModel != nil },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.HWModel, err = byteString(raw, 1, 32); return },
		func(c *Claims) (any, error) { return c.HWModel, nil },
	}, {
		labelHWVersion, "hwversion", true,
		func(c *Claims) bool { return c.HWVersion != "" },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.HWVersion, err = decodeVersion(raw); return },
		func(c *Claims) (any, error) { return eat.Version{Version: c.HWVersion}, nil },
	}, {
		labelManifests, "manifests", true,
		func(c *Claims) bool { return c.Manifests != nil || len(c.OtherManifests) > 0 },
		(*Claims).decodeManifests,
		(*Claims).encodeManifests,
	}, {
		labelConfirmation, "cnf", true,
		func(c *Claims) bool { return c.Confirmation.Key != nil || c.Confirmation.KeyID != nil },
		func(c *Claims, raw cosekit.RawMessage) (err error) { c.Confirmation, err = decodeCnf(raw); return },
		func(c *Claims) (any, error) { return c.Confirmation.members(), nil },
	}, {
		labelMeasurements, "measurements", false,
		func(c *Claims) bool { return len(c.Measurements) > 0 || len(c.OtherMeasurements) > 0 },
		(*Claims).decodeMeasurements,
		(*Claims).encodeMeasurements,
	},
	timeClaim(labelExpires, "exp", func(c *Claims) *time.Time { return &c.Expires }),
	timeClaim(labelNotBefore, "nbf", func(c *Claims) *time.Time { return &c.NotBefore }),
	timeClaim(labelIssuedAt, "iat", func(c *Claims) *time.Time { return &c.IssuedAt }),
}

func timeClaim(label int64, name string, field func(*Claims) *time.Time) claim {
	return claim{
		label, name, false,
		func(c *Claims) bool { return !field(c).IsZero() },
		func(c *Claims, raw cosekit.RawMessage) (err error) { *field(c), err = decodeTime(raw); return },
		func(c *Claims) (any, error) { return field(c).Unix(), nil },
	}
}

// DecodeClaims decodes an EAT claims set (RFC 9711 section 3) strictly: one map
// without duplicate labels, no tags anywhere, and each registered claim as its
// specification says. Whether the claims are those that are wanted is not its
// business; see [Claims.CheckProfile].
func DecodeClaims(data []byte) (*Claims, error) {
	if len(data) > MaxTokenSize {
		return nil, fmt.Errorf("%w: claims set of %d bytes, at most %d", ErrTooLarge, len(data), MaxTokenSize)
	}
	if err := cosekit.Validate(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if hasTag(data) {
		return nil, fmt.Errorf("%w: CBOR tag; the EAT profile of TEEP uses none", ErrClaims)
	}
	pairs, err := cosekit.Pairs(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	c := &Claims{}
	for _, p := range pairs {
		if err := c.take(p); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Claims) take(p cosekit.Pair) error {
	if name, err := cosekit.Text(p.Key); err == nil {
		if c.Named == nil {
			c.Named = map[string]cosekit.RawMessage{}
		}
		c.Named[name] = bytes.Clone(p.Value)
		return nil
	}
	label, err := cosekit.Int(p.Key)
	if err != nil {
		return fmt.Errorf("%w: a label that is neither a 64-bit integer nor text", ErrClaims)
	}
	i := slices.IndexFunc(registered, func(r claim) bool { return r.label == label })
	if i < 0 {
		if c.Unknown == nil {
			c.Unknown = map[int64]cosekit.RawMessage{}
		}
		c.Unknown[label] = bytes.Clone(p.Value)
		return nil
	}
	if err := registered[i].decode(c, p.Value); err != nil {
		return fmt.Errorf("%w: %s (%d): %w", ErrClaims, registered[i].name, label, err)
	}
	return nil
}

// EncodeClaims encodes a claims set deterministically. It refuses what
// [DecodeClaims] would refuse.
func EncodeClaims(c *Claims) ([]byte, error) {
	set := make(map[any]any, len(registered)+len(c.Unknown)+len(c.Named))
	for label, raw := range c.Unknown {
		set[label] = raw
	}
	for label, raw := range c.Named {
		set[label] = raw
	}
	for _, r := range registered {
		if _, twice := c.Unknown[r.label]; twice {
			return nil, fmt.Errorf("%w: %s (%d) has a field and must not be among the unknown claims", ErrClaims, r.name, r.label)
		}
		if !r.present(c) {
			continue
		}
		value, err := r.encode(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %s (%d): %w", ErrClaims, r.name, r.label, err)
		}
		set[r.label] = value
	}
	data, err := cosekit.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if _, err := DecodeClaims(data); err != nil {
		return nil, err
	}
	return data, nil
}
