package attest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"pgregory.net/rapid"
)

// testSigner returns the same Ed25519 signer for the same number in every run.
func testSigner(t testing.TB, n byte) cosekit.Signer {
	t.Helper()
	s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	issued    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	challenge = bytes.Repeat([]byte{0xc4}, 32)
	ueid      = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
)

// goodClaims has a value in every field.
func goodClaims(t testing.TB) *Claims {
	t.Helper()
	digest, size := suit.SumSHA256([]byte("image")), uint64(5)
	hello := ManifestRef{URI: "https://example.com/hello.suit", Digest: suit.SumSHA256([]byte("manifest"))}
	kid := testSigner(t, 1).PublicKey().Thumbprint()
	return &Claims{
		Profile:      ProfileEAT,
		Nonce:        challenge,
		UEID:         ueid,
		OEMID:        []byte{0x43, 0x89, 0x48, 0x23},
		HWModel:      []byte("board-7"),
		HWVersion:    "1.3.4",
		Confirmation: Confirmation{Key: testSigner(t, 1).PublicKey(), KeyID: kid[:]},
		Manifests:    []ManifestRef{hello, {Digest: suit.SumSHA256([]byte("other"))}},
		Measurements: []Measurement{{hello, []suit.PropertyClaims{
			{Component: suit.ComponentID{[]byte("app"), []byte("hello")}, ImageDigest: &digest, ImageSize: &size},
			{Component: suit.ComponentID{[]byte("app"), []byte("data")}, ImageDigest: &digest},
		}}},
		OtherManifests:    []ContentEntry{{258, cosekit.RawMessage{0x41, 0xa0}}},
		OtherMeasurements: []ContentEntry{{258, cosekit.RawMessage{0x41, 0xa0}}},
		IssuedAt:          issued,
		NotBefore:         issued.Add(-time.Minute),
		Expires:           issued.Add(time.Hour),
		Unknown:           map[int64]cosekit.RawMessage{262: {0xf5}, -80000: {0x61, 'x'}},
		Named:             map[string]cosekit.RawMessage{"vendor": {0x01}},
	}
}

func TestClaimsRoundTrip(t *testing.T) {
	for name, claims := range map[string]*Claims{
		"every field":   goodClaims(t),
		"no field":      {},
		"kid only":      {Confirmation: Confirmation{KeyID: []byte("key 1")}},
		"no manifest":   {Manifests: []ManifestRef{}},
		"OID profile":   {Profile: "1.3.6.1.4.1.99999"},
		"PEN as oemid":  {OEMID: []byte{0x19, 0xff, 0xff}},
		"random oemid":  {OEMID: append([]byte{0x50}, make([]byte, 16)...)},
		"other formats": {OtherManifests: []ContentEntry{{60, cosekit.RawMessage{0xa0}}}},
		"time zero":     {IssuedAt: time.Unix(0, 0).UTC()},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := EncodeClaims(claims)
			if err != nil {
				t.Fatal(err)
			}
			back, err := DecodeClaims(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, claims) {
				t.Fatalf("decoded %+v\nwant %+v", back, claims)
			}
			again, err := EncodeClaims(back)
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("encoded again: %x (%v), want %x", again, err, data)
			}
		})
	}
}

func TestMeasured(t *testing.T) {
	c := goodClaims(t)
	c.Measurements = append(c.Measurements, c.Measurements[0])
	if got := c.Measured(); len(got) != 4 || !got[3].Component.Equal(got[1].Component) {
		t.Errorf("measured %v", got)
	}
	if (&Claims{}).Measured() != nil {
		t.Error("nothing measured, but something listed")
	}
}

// raw is a claims set of encoded values.
type raw map[any]cosekit.RawMessage

func TestDecodeClaimsReads(t *testing.T) {
	digest := cosekit.MustMarshal(suit.SumSHA256(nil))
	direct := cosekit.MustMarshal([]any{[]any{60, []any{"u", cosekit.RawMessage(digest)}}})
	c, err := DecodeClaims(cosekit.MustMarshal(raw{int64(272): direct}))
	if err != nil || len(c.Manifests) != 1 || c.Manifests[0].URI != "u" {
		t.Errorf("reference without a byte string around it: %+v, %v", c, err)
	}
	thumbprint := testSigner(t, 1).PublicKey().Thumbprint()
	ckt := cosekit.MustMarshal(map[any]any{5: thumbprint[:], 99: 1, "x": 1})
	c, err = DecodeClaims(cosekit.MustMarshal(raw{int64(8): ckt}))
	if err != nil || !bytes.Equal(c.Confirmation.KeyID, thumbprint[:]) || c.Confirmation.Key != nil {
		t.Errorf("ckt and unknown members: %+v, %v", c, err)
	}
	c, err = DecodeClaims(cosekit.MustMarshal(raw{int64(260): cosekit.MustMarshal([]any{"1.2", 1})}))
	if err != nil || c.HWVersion != "1.2" {
		t.Errorf("hwversion with scheme: %+v, %v", c, err)
	}
	// The oemid of a device is compared byte by byte: one encoding for one value.
	c, err = DecodeClaims(cosekit.MustMarshal(raw{int64(258): {0x1b, 0, 0, 0, 0, 0, 0, 0, 7}}))
	if err != nil || !bytes.Equal(c.OEMID, []byte{7}) {
		t.Errorf("oemid in a longer encoding: %+v, %v", c, err)
	}
	trace := cosekit.MustMarshal(map[int]any{
		99: []any{"", cosekit.RawMessage(digest)}, 2: []byte("nonce"),
		3: []any{[]any{[]any{}, 20, 0, 0, map[int]any{}}}, 4: true,
	})
	c, err = DecodeClaims(cosekit.MustMarshal(raw{int64(273): cosekit.MustMarshal([]any{[]any{ContentFormatSUITReport, trace}})}))
	if err != nil || len(c.Measurements) != 1 || c.Measured() != nil {
		t.Errorf("report with a trace only: %+v, %v", c, err)
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	one := func(label int, value any) []byte { return cosekit.MustMarshal(map[int]any{label: value}) }
	digest := suit.SumSHA256(nil)
	reference := func(body any) []byte { return one(272, []any{[]any{ContentFormatSUITReport, body}}) }
	report := func(elements map[int]any) []byte {
		return one(273, []any{[]any{ContentFormatSUITReport, cosekit.MustMarshal(elements)}})
	}
	thumbprint := testSigner(t, 1).PublicKey().Thumbprint()
	for _, test := range []struct {
		name, reason string
		data         []byte
	}{
		{"nothing", "truncated", nil},
		{"null", "not a map", []byte{0xf6}},
		{"an array", "not a map", []byte{0x80}},
		{"trailing byte", "behind the end", []byte{0xa0, 0}},
		{"duplicate claim", "duplicate", []byte{0xa2, 4, 1, 4, 2}},
		{"duplicate in a longer encoding", "hide a duplicate", []byte{0xa2, 4, 1, 0x18, 4, 2}},
		{"indefinite length", "indefinite", []byte{0xbf, 0xff}},
		{"byte string as label", "label", []byte{0xa1, 0x41, 1, 2}},
		{"label beyond 64 bits", "label", append([]byte{0xa1, 0x1b}, append(bytes.Repeat([]byte{0xff}, 8), 1)...)},
		{"tag", "CBOR tag", []byte{0xa1, 6, 0xc1, 1}},
		{"tag in an unknown claim", "CBOR tag", []byte{0xa1, 0x61, 'x', 0x82, 0x41, 0xc1, 0xc1, 1}},
		{"nonces in an array", "eat_nonce (10): an array", one(10, [][]byte{challenge, challenge})},
		{"short nonce", "eat_nonce (10): 7 bytes", one(10, challenge[:7])},
		{"long nonce", "eat_nonce (10): 65 bytes", one(10, make([]byte, 65))},
		{"nonce as text", "eat_nonce (10)", one(10, "12345678")},
		{"null nonce", "eat_nonce (10)", one(10, nil)},
		{"nonce as numbers", "eat_nonce (10)", one(10, []int{1, 2, 3, 4, 5, 6, 7, 8})},
		{"short ueid", "ueid (256): 6 bytes", one(256, make([]byte, 6))},
		{"long ueid", "ueid (256): 34 bytes", one(256, make([]byte, 34))},
		{"oemid of 4 bytes", "oemid (258): 4 bytes", one(258, make([]byte, 4))},
		{"oemid as text", "oemid (258)", one(258, "abc")},
		{"empty hwmodel", "hwmodel (259): 0 bytes", one(259, []byte{})},
		{"long hwmodel", "hwmodel (259): 33 bytes", one(259, make([]byte, 33))},
		{"hwversion as text", "hwversion (260)", one(260, "1.0")},
		{"empty hwversion", "hwversion (260): empty", one(260, []string{""})},
		{"hwversion of three", "hwversion (260)", one(260, []any{"1", 1, 1})},
		{"hwversion of none", "hwversion (260)", one(260, []any{})},
		{"null in hwversion", "hwversion (260)", one(260, []any{nil})},
		{"relative profile", "eat_profile (265)", one(265, "teep")},
		{"broken OID profile", "eat_profile (265)", one(265, []byte{0x80})},
		{"profile as number", "eat_profile (265)", one(265, 1)},
		{"exp as float", "exp (4)", one(4, 1.5)},
		{"negative nbf", "nbf (5)", one(5, -1)},
		{"iat as text", "iat (6)", one(6, "2026")},
		{"iat as float", "iat (6)", one(6, float64(1e9))},
		{"exp beyond 9999", "exp (4): 253402300800 seconds", one(4, latest+1)},
		{"cnf as array", "cnf (8)", one(8, []int{1})},
		{"cnf without a key", "cnf (8): neither carries", one(8, map[int]any{2: 1})},
		{"cnf with a private key", "cnf (8): member 1", one(8, map[int]any{1: map[int]any{1: 1, -1: 6, -2: make([]byte, 32), -4: make([]byte, 32)}})},
		{"cnf with a broken key", "cnf (8): member 1", one(8, map[int]any{1: map[int]any{1: 2}})},
		{"cnf with an empty kid", "cnf (8): member 3", one(8, map[int]any{3: []byte{}})},
		{"cnf with a short ckt", "cnf (8): member 5", one(8, map[int]any{5: make([]byte, 31)})},
		{"kid against ckt", "cnf (8): kid and ckt", one(8, map[int]any{3: []byte("x"), 5: thumbprint[:]})},
		{"manifests not an array", "manifests (272)", one(272, 1)},
		{"manifest not an array", "manifests (272): entry 0", one(272, []any{1})},
		{"manifest of one element", "manifests (272): entry 0", one(272, []any{[]any{60}})},
		{"manifest without format", "manifests (272): entry 0", one(272, []any{[]any{"cbor", []byte{}}})},
		{"content format too large", "manifests (272): entry 0", one(272, []any{[]any{65536, []byte{}}})},
		{"reference empty", "manifests (272): entry 0", reference([]byte{})},
		{"reference as a map, the old form", "manifests (272): entry 0", reference(map[int]any{0: digest, 1: "u"})},
		{"reference of one element", "SUIT_Reference: malformed: array of 1", reference([]any{"u"})},
		{"reference without URI", "uri: malformed", reference([]any{nil, digest})},
		{"reference with a short digest", "digest", reference([]any{"u", []any{-16, []byte{1}}})},
		{"reference with trailing bytes", "behind the end", reference(append(cosekit.MustMarshal([]any{"u", digest}), 0))},
		{"no measurement", "measurements (273): no entry", one(273, []any{})},
		{"report not in a byte string", "measurements (273): entry 0", one(273, []any{[]any{ContentFormatSUITReport, map[int]any{}}})},
		{"protected report", "protected by itself", one(273, []any{[]any{ContentFormatSUITReport, []byte{0xd2, 0x80}}})},
		{"report without reference", "report.reference: malformed: missing", report(map[int]any{3: []any{}, 4: true})},
		{"report without records", "report.records: malformed: missing", report(map[int]any{99: []any{"", digest}, 4: true})},
		{"report without result", "report.result: malformed: missing", report(map[int]any{99: []any{"", digest}, 3: []any{}})},
		{"record of no kind", "report.records[0]", report(map[int]any{99: []any{"", digest}, 3: []any{1}, 4: true})},
		{"measurement without component", "report.records[0]", report(map[int]any{99: []any{"", digest}, 3: []any{map[int]any{14: 1}}, 4: true})},
		{"report with text label", "not an integer", one(273, []any{[]any{ContentFormatSUITReport, cosekit.MustMarshal(map[string]int{"x": 1})}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := DecodeClaims(test.data)
			if !errors.Is(err, ErrClaims) || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("got %v, want ErrClaims with %q", err, test.reason)
			}
			if c != nil {
				t.Fatal("claims come with the error")
			}
		})
	}
	if _, err := DecodeClaims(make([]byte, MaxTokenSize+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("oversize: %v", err)
	}
}

func TestDecodeClaimsTruncated(t *testing.T) {
	data, err := EncodeClaims(goodClaims(t))
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := DecodeClaims(data[:n]); !errors.Is(err, ErrClaims) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestEncodeClaimsRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Claims){
		"short nonce":            func(c *Claims) { c.Nonce = []byte{1} },
		"relative profile":       func(c *Claims) { c.Profile = "teep" },
		"oemid not encoded":      func(c *Claims) { c.OEMID = []byte{0x89, 0x48, 0x23} },
		"known claim as unknown": func(c *Claims) { c.Unknown[10] = cosekit.RawMessage{0x40} },
		"broken unknown claim":   func(c *Claims) { c.Unknown[11] = cosekit.RawMessage{0x42} },
		"two items as one claim": func(c *Claims) { c.Unknown[11] = cosekit.RawMessage{1, 1} },
		"before 1970":            func(c *Claims) { c.IssuedAt = time.Unix(-1, 0) },
		"nothing measured":       func(c *Claims) { c.Measurements[0].Components[0] = suit.PropertyClaims{} },
		"no manifest digest":     func(c *Claims) { c.Manifests[0].Digest = suit.Digest{Algorithm: suit.SHA256} },
		"text that is not UTF-8": func(c *Claims) { c.HWVersion = "\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			c := goodClaims(t)
			spoil(c)
			if data, err := EncodeClaims(c); !errors.Is(err, ErrClaims) || data != nil {
				t.Fatalf("got %x, %v, want ErrClaims", data, err)
			}
		})
	}
}

func TestCheckProfile(t *testing.T) {
	if err := goodClaims(t).CheckProfile(true); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Claims){
		"eat_nonce (10)":  func(c *Claims) { c.Nonce = nil },
		"ueid (256)":      func(c *Claims) { c.UEID = nil },
		"oemid (258)":     func(c *Claims) { c.OEMID = nil },
		"hwmodel (259)":   func(c *Claims) { c.HWModel = nil },
		"hwversion (260)": func(c *Claims) { c.HWVersion = "" },
		"manifests (272)": func(c *Claims) { c.Manifests, c.OtherManifests = nil, nil },
		"cnf (8)":         func(c *Claims) { c.Confirmation = Confirmation{} },
	} {
		c := goodClaims(t)
		spoil(c)
		if err := c.CheckProfile(true); !errors.Is(err, ErrProfile) || !strings.HasSuffix(err.Error(), ": "+name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	timestamped := goodClaims(t)
	timestamped.Nonce, timestamped.Manifests, timestamped.OtherManifests = nil, []ManifestRef{}, nil
	if err := timestamped.CheckProfile(false); err != nil {
		t.Errorf("no nonce where none is wanted, no manifest installed: %v", err)
	}
	if err := (&Claims{}).CheckProfile(true); err == nil || strings.Count(err.Error(), ",") != 6 {
		t.Errorf("not all that is missing is named: %v", err)
	}
}

// TestClaimsProperty encodes any claims that can be drawn and wants them back.
func TestClaimsProperty(t *testing.T) {
	signer := testSigner(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		blob := func(label string, least, most int) []byte {
			return rapid.SliceOfN(rapid.Byte(), least, most).Draw(t, label)
		}
		c := &Claims{
			Nonce: blob("nonce", 8, 64), UEID: blob("ueid", 7, 33), HWModel: blob("model", 1, 32),
			OEMID:     cosekit.MustMarshal(rapid.Int64().Draw(t, "pen")),
			HWVersion: rapid.StringN(1, 20, -1).Draw(t, "version"),
			IssuedAt:  time.Unix(rapid.Int64Range(0, latest).Draw(t, "iat"), 0).UTC(),
		}
		if rapid.Bool().Draw(t, "key") {
			c.Confirmation.Key = signer.PublicKey()
		} else {
			c.Confirmation.KeyID = blob("kid", 1, 64)
		}
		for range rapid.IntRange(0, 3).Draw(t, "manifests") {
			ref := ManifestRef{URI: rapid.String().Draw(t, "uri"), Digest: suit.SumSHA256(blob("manifest", 0, 4))}
			size := rapid.Uint64().Draw(t, "size")
			c.Manifests = append(c.Manifests, ref)
			c.Measurements = append(c.Measurements, Measurement{ref, []suit.PropertyClaims{
				{Component: suit.ComponentID{blob("segment", 0, 5)}, ImageSize: &size},
			}})
		}
		data, err := EncodeClaims(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeClaims(data)
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("decoded %+v (%v)\nwant %+v", back, err, c)
		}
	})
}
