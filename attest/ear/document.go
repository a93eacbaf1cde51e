package ear

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// documentOf writes claims as attest/evidence writes those of evidence, so that a policy
// need not know whether it sees evidence or a result. The two packages stand side by side
// and cannot share it.
func documentOf(c *attest.Claims) map[string]any {
	d := map[string]any{}
	for label, raw := range c.Unknown {
		name, ok := claimNames.names[label]
		if !ok {
			name = strconv.FormatInt(label, 10)
		}
		d[name] = plainItem(raw)
	}
	for name, raw := range c.Named {
		d[name] = plainItem(raw)
	}
	for name, text := range map[string]string{"eat_profile": c.Profile, "hwversion": c.HWVersion} {
		if text != "" {
			d[name] = text
		}
	}
	for name, b := range map[string][]byte{"eat_nonce": c.Nonce, "ueid": c.UEID, "hwmodel": c.HWModel} {
		if b != nil {
			d[name] = hex.EncodeToString(b)
		}
	}
	for name, t := range map[string]time.Time{"exp": c.Expires, "nbf": c.NotBefore, "iat": c.IssuedAt} {
		if !t.IsZero() {
			d[name] = t.UTC().Format(time.RFC3339)
		}
	}
	if c.OEMID != nil {
		d["oemid"] = plainItem(c.OEMID)
	}
	if cnf := confirmation(c.Confirmation); len(cnf) > 0 {
		d["cnf"] = cnf
	}
	if c.Manifests != nil || c.OtherManifests != nil {
		list := []any{}
		for _, m := range c.Manifests {
			list = append(list, map[string]any{"uri": m.URI, "digest": m.Digest.String()})
		}
		d["manifests"] = append(list, others(c.OtherManifests)...)
	}
	if c.Measurements != nil || c.OtherMeasurements != nil {
		d["measurements"] = measurements(c)
	}
	if c.OtherMeasurements != nil {
		d["other-measurements"] = others(c.OtherMeasurements)
	}
	return d
}

func confirmation(cnf attest.Confirmation) map[string]any {
	members := map[string]any{}
	if cnf.Key != nil {
		members["key"] = cnf.Key.Thumbprint().String()
	}
	if cnf.KeyID != nil {
		members["kid"] = hex.EncodeToString(cnf.KeyID)
	}
	return members
}

func measurements(c *attest.Claims) map[string]any {
	measured := map[string]any{}
	for _, p := range c.Measured() {
		properties := map[string]any{}
		if p.ImageDigest != nil {
			properties["image-digest"] = p.ImageDigest.String()
		}
		if p.ImageSize != nil {
			properties["image-size"] = float64(*p.ImageSize)
		}
		measured[p.Component.String()] = properties
	}
	return measured
}

func others(entries []attest.ContentEntry) []any {
	list := []any{}
	for _, e := range entries {
		list = append(list, map[string]any{"content-format": float64(e.ContentFormat), "body": plainItem(e.Body)})
	}
	return list
}

// plainItem is plain for an encoded item of a claims set that was decoded before.
func plainItem(raw cosekit.RawMessage) any {
	v, err := readItem(raw, nil)
	if err != nil {
		return hex.EncodeToString(raw)
	}
	return plain(v)
}
