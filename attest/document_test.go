package attest

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestDocument writes every kind of claim, and reads it back as a store does.
func TestDocument(t *testing.T) {
	c := goodClaims(t)
	size := uint64(7)
	c.Measurements[0].Components[0].ImageSize = &size
	c.Confirmation.KeyID = []byte{1, 2}
	c.OtherMeasurements = []ContentEntry{{ContentFormat: 60, Body: cosekit.MustMarshal("x")}}
	c.OtherManifests = []ContentEntry{{ContentFormat: 61, Body: cosekit.MustMarshal([]byte{9})}}
	c.Unknown = map[int64]cosekit.RawMessage{
		-70099: {0x01}, 257: cosekit.MustMarshal(map[int]int{1: 2}),
		11: cosekit.MustMarshal(map[string]any{"a": []any{1, -1, "x", []byte{1}, true, nil, 1.5, math.Inf(1)}}),
	}
	c.Named = map[string]cosekit.RawMessage{"own": {0x01}, "snp-debug": {0xf4}, "ueid": {0x61, 'x'}, "1 twice": cosekit.MustMarshal(map[any]any{int64(1): "a", "1": "b"})}
	d := c.Document()
	for name, want := range map[string]any{
		"-70099": 1.0, "sueids": map[string]any{"1": 2.0},
		"11":    map[string]any{"a": []any{1.0, -1.0, "x", "01", true, nil, 1.5, "+Inf"}},
		"named": map[string]any{"own": 1.0, "snp-debug": false, "ueid": "x", "1 twice": map[string]any{"1": "a", "6131": "b"}},
		"cnf":   map[string]any{"key": c.Confirmation.Key.Thumbprint().String(), "kid": "0102"},
		"other-measurements": []any{
			map[string]any{"content-format": 60.0, "body": "x"},
		},
	} {
		if got := d[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", name, got, want)
		}
	}
	if _, posing := d["snp-debug"]; posing {
		t.Error("a text label stands among the names of hardware")
	}
	component := c.Measurements[0].Components[0]
	measured := d["measurements"].(map[string]any)[component.Component.String()]
	if want := (map[string]any{"image-digest": component.ImageDigest.String(), "image-size": 7.0}); !reflect.DeepEqual(measured, want) {
		t.Errorf("measured %v, want %v", measured, want)
	}
	if manifests := d["manifests"].([]any); len(manifests) != len(c.Manifests)+1 ||
		!reflect.DeepEqual(manifests[len(c.Manifests)], map[string]any{"content-format": 61.0, "body": "09"}) {
		t.Errorf("manifests %v", d["manifests"])
	}
	for _, name := range []string{"eat_nonce", "ueid", "oemid", "hwmodel", "hwversion", "iat"} {
		if _, text := d[name].(string); !text && name != "oemid" || d[name] == nil {
			t.Errorf("%s is %#v", name, d[name])
		}
	}
	stored, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(stored, &back); err != nil || !reflect.DeepEqual(back, d) {
		t.Errorf("read back as %v (%v)\nwas %v", back, err, d)
	}
	if d := (&Claims{}).Document(); len(d) != 0 {
		t.Errorf("of nothing: %v", d)
	}
}

// TestPlainItemDepth: what nests deeper than it is worth is not gone through.
func TestPlainItemDepth(t *testing.T) {
	nested := func(levels int) cosekit.RawMessage {
		return append(bytes.Repeat([]byte{0x81}, levels), 0x07)
	}
	depth := func(v any) (levels int, end any) {
		for {
			list, ok := v.([]any)
			if !ok {
				return levels, v
			}
			levels, v = levels+1, list[0]
		}
	}
	if levels, end := depth(PlainItem(nested(maxPlain))); levels != maxPlain || end != 7.0 {
		t.Errorf("%d levels around %v", levels, end)
	}
	if levels, end := depth(PlainItem(nested(maxPlain + 2))); levels != maxPlain || end != "818107" {
		t.Errorf("%d levels around %v", levels, end)
	}
}
