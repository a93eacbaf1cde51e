package suit

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestPropertyClaimsCBOR(t *testing.T) {
	digest, size, none := SumSHA256([]byte("abc")), uint64(20), uint64(0)
	component := ComponentID{[]byte("app")}
	digestItem := "03 5824 822f5820 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for _, tt := range []struct {
		name   string
		claims PropertyClaims
		item   string
	}{
		{"digest", PropertyClaims{Component: component, ImageDigest: &digest}, "a2 00 8143617070" + digestItem},
		{"digest and size", PropertyClaims{Component: component, ImageDigest: &digest, ImageSize: &size}, "a3 00 8143617070" + digestItem + "0e 14"},
		{"size of nothing", PropertyClaims{Component: ComponentID{}, ImageSize: &none}, "a2 00 80 0e 00"},
		{"others", PropertyClaims{Component: component, Other: Parameters{
			VendorPEN: []byte{9}, Version: &VersionMatch{Equal, []int64{1}},
			Other: map[ParameterCode]cosekit.RawMessage{-5: {0xf6}, 300: {0xa0}},
		}}, "a5 00 8143617070 01 d870 4109 181c 44 82038101 19012c a0 24 f6"},
		{"every parameter", PropertyClaims{Component: component, Other: Parameters{UpdatePriority: ptr(int64(-2)), URI: ptr("u")}},
			"a3 00 8143617070 15 6175 181b 21"},
	} {
		got, err := cosekit.Marshal(tt.claims)
		if err != nil || !bytes.Equal(got, fromHex(t, tt.item)) {
			t.Errorf("%s: got %x, %v; want %x", tt.name, got, err, fromHex(t, tt.item))
			continue
		}
		var decoded PropertyClaims
		err = cosekit.Unmarshal(got, &decoded)
		clear(got)
		if err != nil || !reflect.DeepEqual(decoded, tt.claims) {
			t.Errorf("%s: decoded %+v, %v", tt.name, decoded, err)
		}
	}
}

func TestPropertyClaimsRefuses(t *testing.T) {
	for name, item := range map[string]string{
		"not a map":                  "80",
		"null":                       "f6",
		"no component":               "a10e01",
		"no property":                "a10080",
		"nothing":                    "a0",
		"component null":             "a200f60e01",
		"component of text":          "a2008161610e01",
		"text label":                 "a30080616101 0e01",
		"label over 63 bits":         "a200801b800000000000000001",
		"duplicate label":            "a300800e010e01",
		"duplicate of another":       "a3008018c80118c801",
		"digest not wrapped":         "a2008003821903e74101",
		"digest null":                "a2008003f6",
		"digest empty":               "a200800340",
		"digest with trailing bytes": "a2008003 47 821903e7 4101 00",
		"digest of the wrong length": "a200800345822f4201ff",
		"size null":                  "a200800ef6",
		"negative size":              "a200800e20",
		"size text":                  "a200800e6131",
		"version of another form":    "a20080181c820101",
	} {
		var c PropertyClaims
		if err := cosekit.Unmarshal(fromHex(t, item), &c); !errors.Is(err, cosekit.ErrMalformed) || c.Component != nil {
			t.Errorf("%s: got %+v, %v; want ErrMalformed", name, c, err)
		}
	}
	size := uint64(1)
	unknown := func(code ParameterCode, raw ...byte) Parameters {
		return Parameters{Other: map[ParameterCode]cosekit.RawMessage{code: raw}}
	}
	for name, c := range map[string]PropertyClaims{
		"no property":         {Component: ComponentID{}},
		"digest unset":        {ImageDigest: &Digest{}},
		"size among others":   {ImageSize: &size, Other: Parameters{ImageSize: &size}},
		"label 0 twice":       {ImageSize: &size, Other: unknown(0, 0x80)},
		"parameter unset":     {Other: unknown(99)},
		"parameter malformed": {Other: unknown(99, 0xff)},
	} {
		if b, err := cosekit.Marshal(c); err == nil {
			t.Errorf("%s: encodes as %x", name, b)
		}
	}
}

// FuzzPropertyClaims: what decodes encodes, decodes to an equal value, and its
// encoding is a fixpoint.
func FuzzPropertyClaims(f *testing.F) {
	digest, size := SumSHA256([]byte("abc")), uint64(20)
	for _, c := range []PropertyClaims{
		{Component: ComponentID{[]byte("app")}, ImageDigest: &digest, ImageSize: &size},
		{Component: ComponentID{}, Other: Parameters{Other: map[ParameterCode]cosekit.RawMessage{99: {0x82, 1, 2}}}},
		{Component: ComponentID{}, Other: Parameters{WaitInfo: fullWaitInfo(), Metadata: fullMetadata()}},
	} {
		f.Add([]byte(cosekit.MustMarshal(c)))
	}
	f.Fuzz(func(t *testing.T, item []byte) {
		var c, again PropertyClaims
		if cosekit.Unmarshal(item, &c) != nil {
			return
		}
		encoded, err := cosekit.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := cosekit.Unmarshal(encoded, &again); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%+v\n%+v\n%v", c, again, err)
		}
		if !bytes.Equal(cosekit.MustMarshal(again), encoded) {
			t.Fatal("encoding is not a fixpoint")
		}
	})
}
