package attest

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// claimNames are the claims of RFC 9711 and RFC 8392 that [Claims] has no field for.
// One that is not here goes by its number.
var claimNames = map[int64]string{
	1: "iss", 2: "sub", 3: "aud", 7: "cti",
	257: "sueids", 261: "uptime", 262: "oemboot", 263: "dbgstat", 264: "location",
	266: "submods", 267: "bootcount", 268: "bootseed", 269: "dloas", 270: "swname",
	271: "swversion", 274: "measres", 275: "intuse",
}

// Document writes the claims by their names, in the types of encoding/json: byte strings in
// hexadecimal digits, times in RFC 3339, measurements by component. Claims of evidence and of
// results are written alike, so that a policy need not know which of them it sees. Claims
// whose label is text stand apart, under "named": whoever makes evidence is free to choose
// their labels, also such as hardware and verifiers have for theirs.
func (c *Claims) Document() map[string]any {
	d := map[string]any{}
	if len(c.Named) > 0 {
		named := map[string]any{}
		for name, raw := range c.Named {
			named[name] = PlainItem(raw)
		}
		d["named"] = named
	}
	for label, raw := range c.Unknown {
		name, ok := claimNames[label]
		if !ok {
			name = strconv.FormatInt(label, 10)
		}
		d[name] = PlainItem(raw)
	}
	putText(d, "eat_profile", c.Profile)
	putText(d, "hwversion", c.HWVersion)
	putBytes(d, "eat_nonce", c.Nonce)
	putBytes(d, "ueid", c.UEID)
	putBytes(d, "hwmodel", c.HWModel)
	if c.OEMID != nil {
		d["oemid"] = PlainItem(c.OEMID)
	}
	putTime(d, "exp", c.Expires)
	putTime(d, "nbf", c.NotBefore)
	putTime(d, "iat", c.IssuedAt)
	putConfirmation(d, c.Confirmation)
	putManifests(d, c)
	putMeasurements(d, c)
	return d
}

func putText(d map[string]any, name, s string) {
	if s != "" {
		d[name] = s
	}
}

func putBytes(d map[string]any, name string, b []byte) {
	if b != nil {
		d[name] = hex.EncodeToString(b)
	}
}

func putTime(d map[string]any, name string, t time.Time) {
	if !t.IsZero() {
		d[name] = t.UTC().Format(time.RFC3339)
	}
}

func putConfirmation(d map[string]any, cnf Confirmation) {
	members := map[string]any{}
	if cnf.Key != nil {
		members["key"] = cnf.Key.Thumbprint().String()
	}
	putBytes(members, "kid", cnf.KeyID)
	if len(members) > 0 {
		d["cnf"] = members
	}
}

func putManifests(d map[string]any, c *Claims) {
	if c.Manifests == nil && c.OtherManifests == nil {
		return
	}
	list := []any{}
	for _, m := range c.Manifests {
		list = append(list, reference(m))
	}
	d["manifests"] = append(list, others(c.OtherManifests)...)
}

// putMeasurements writes one entry for each component, so that two documents can be
// compared by component.
func putMeasurements(d map[string]any, c *Claims) {
	if c.Measurements == nil && c.OtherMeasurements == nil {
		return
	}
	measured := map[string]any{}
	for _, p := range c.Measured() {
		measured[p.Component.String()] = properties(p)
	}
	d["measurements"] = measured
	if c.OtherMeasurements != nil {
		d["other-measurements"] = others(c.OtherMeasurements)
	}
}

func reference(m ManifestRef) map[string]any {
	return map[string]any{"uri": m.URI, "digest": m.Digest.String()}
}

func properties(p suit.PropertyClaims) map[string]any {
	d := map[string]any{}
	if p.ImageDigest != nil {
		d["image-digest"] = p.ImageDigest.String()
	}
	if p.ImageSize != nil {
		d["image-size"] = float64(*p.ImageSize)
	}
	return d
}

func others(entries []ContentEntry) []any {
	list := []any{}
	for _, e := range entries {
		list = append(list, map[string]any{"content-format": float64(e.ContentFormat), "body": PlainItem(e.Body)})
	}
	return list
}

// PlainItem turns a valid CBOR item into the types of encoding/json. Numbers become float64
// as they do there; what JSON has nothing for is written as the digits of its encoding, and
// so is what is nested deeper than anybody would look.
func PlainItem(raw cosekit.RawMessage) any { return plain(raw, 0) }

// maxPlain caps how deep a document is nested, for each level is gone through anew.
const maxPlain = 8

func plain(raw cosekit.RawMessage, depth int) any {
	switch cosekit.Major(raw) {
	case cosekit.MajorUint:
		if n, err := cosekit.Uint(raw); err == nil {
			return float64(n)
		}
	case cosekit.MajorNegative:
		if n, err := cosekit.Int(raw); err == nil {
			return float64(n)
		}
	case cosekit.MajorBytes:
		if b, err := cosekit.Bytes(raw); err == nil {
			return hex.EncodeToString(b)
		}
	case cosekit.MajorText:
		if s, err := cosekit.Text(raw); err == nil {
			return s
		}
	case cosekit.MajorArray:
		if depth < maxPlain {
			return plainArray(raw, depth+1)
		}
	case cosekit.MajorMap:
		if depth < maxPlain {
			return plainMap(raw, depth+1)
		}
	case cosekit.MajorSimple:
		return plainSimple(raw)
	}
	return hex.EncodeToString(raw)
}

func plainArray(raw cosekit.RawMessage, depth int) any {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return hex.EncodeToString(raw)
	}
	list := make([]any, len(items))
	for i, item := range items {
		list[i] = plain(item, depth)
	}
	return list
}

func plainMap(raw cosekit.RawMessage, depth int) any {
	pairs, err := cosekit.Pairs(raw)
	if err != nil {
		return hex.EncodeToString(raw)
	}
	d := make(map[string]any, len(pairs))
	for _, p := range pairs {
		name := fmt.Sprint(plain(p.Key, depth))
		if _, taken := d[name]; taken {
			name = hex.EncodeToString(p.Key) // 1 and "1" are two keys in CBOR
		}
		d[name] = plain(p.Value, depth)
	}
	return d
}

func plainSimple(raw cosekit.RawMessage) any {
	if b, err := cosekit.Bool(raw); err == nil {
		return b
	}
	var f float64
	if len(raw) < 2 || cosekit.UnmarshalValid(raw, &f) != nil {
		return nil
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f) // JSON has no number for it
	}
	return f
}
