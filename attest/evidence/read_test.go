package evidence_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

var (
	now   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	nonce = bytes.Repeat([]byte{0xc4}, 32)
	ueid  = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
	key   = localtest.NewKey(localtest.P256, "attestation")
	teep  = localtest.NewKey(localtest.Ed25519, "TEEP").COSE()
)

func claims() *attest.Claims {
	digest := suit.SumSHA256([]byte("image"))
	ref := attest.ManifestRef{URI: "https://example.com/m", Digest: suit.SumSHA256([]byte("manifest"))}
	return &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: nonce, UEID: ueid, OEMID: []byte{0x43, 1, 2, 3},
		HWModel: []byte("board"), HWVersion: "1", IssuedAt: now,
		Confirmation: attest.Confirmation{Key: teep.PublicKey()},
		Manifests:    []attest.ManifestRef{ref},
		Measurements: []attest.Measurement{{Manifest: ref, Components: []suit.PropertyClaims{
			{Component: suit.ComponentID{[]byte("app")}, ImageDigest: &digest},
		}}},
		Unknown: map[int64]cosekit.RawMessage{
			261: cosekit.MustMarshal(77), 301: {0xf9, 0x7e, 0}, 300: cosekit.MustMarshal([]any{1, -2, "text", []byte{0xab}, true, nil, 1.5}),
		},
		Named: map[string]cosekit.RawMessage{"own": cosekit.MustMarshal(map[any]any{1: "one", "1": "text", "b": []byte{1}})},
	}
}

func eat(t testing.TB) []byte {
	t.Helper()
	token, err := attest.SignEAT(claims(), key.COSE())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// detached puts a claims set beside a main token that has its digest.
func detached(t testing.TB, set []byte, algorithm any, digest []byte) []byte {
	t.Helper()
	c := claims()
	c.Unknown = map[int64]cosekit.RawMessage{266: cosekit.MustMarshal(map[string]any{
		"modem": []any{algorithm, digest}, "attached": map[int]any{10: nonce},
	})}
	token, err := attest.SignEAT(c, key.COSE())
	if err != nil {
		t.Fatal(err)
	}
	return cosekit.MustMarshal(cosekit.Tag{Number: 602, Content: cosekit.MustMarshal([]any{token, map[string]any{"modem": set}})})
}

func sum512(b []byte) []byte { s := sha512.Sum512(b); return s[:] }

func TestRead(t *testing.T) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	set := cosekit.MustMarshal(map[int]any{259: []byte("modem")})
	bundle := localtest.Bundle(claims(), localtest.PSAFormat, func(n []byte) []byte { return psa.Token(n) })
	teepEAT := `application/eat+cwt; eat_profile="` + attest.ProfileTEEP + `"`
	for _, test := range []struct {
		name, format string
		payload      []byte
		kind         evidence.Kind
		nonce, ueid  []byte
		document     map[string]any
	}{
		{"EAT", attest.EvidenceMediaType, eat(t), evidence.EAT, nonce, ueid, map[string]any{
			"eat_profile": attest.ProfileEAT, "ueid": "01dededededededededededededededede", "hwmodel": "626f617264",
			"iat": "2026-11-21T12:00:00Z", "uptime": 77.0, "oemid": "010203",
			"300":          []any{1.0, -2.0, "text", "ab", true, nil, 1.5},
			"301":          "NaN",
			"named":        map[string]any{"own": map[string]any{"1": "one", "6131": "text", "b": "01"}},
			"measurements": map[string]any{"app": map[string]any{"image-digest": suit.SumSHA256([]byte("image")).String()}},
		}},
		{"EAT of TEEP", teepEAT, eat(t), evidence.TEEP, nonce, ueid, nil},
		{"detached EAT", "application/eat-bun+cbor", detached(t, set, -44, sum512(set)), evidence.DetachedEAT, nonce, ueid, map[string]any{
			"submods": map[string]any{"modem": map[string]any{"hwmodel": "6d6f64656d"}, "attached": map[string]any{"10": strings.Repeat("c4", 32)}},
		}},
		{"PSA 1", localtest.PSA1Format, psa.Token1(nonce), evidence.PSA, nonce, nil, map[string]any{
			"psa-security-lifecycle": "secured", "psa-profile": "PSA_IOT_PROFILE_1", "psa-client-id": 1.0,
		}},
		{"PSA 2", localtest.PSAFormat, psa.Token(nonce), evidence.PSA, nonce, nil, map[string]any{
			"psa-profile": evidence.ProfilePSA, "psa-nonce": strings.Repeat("c4", 32),
		}},
		{"CCA", localtest.CCAFormat, cca.Token(nonce, nil, nil), evidence.CCA, nonce, nil, map[string]any{
			"cca-platform-lifecycle": "secured", "cca-realm-hash-algo-id": "sha-256",
		}},
		{"bundle", bundle.Format, bundle.Payload, evidence.Bundle, nonce, ueid, map[string]any{"hwmodel": "626f617264"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := evidence.Read(test.format, test.payload)
			if err != nil {
				t.Fatal(err)
			}
			if kind, _ := evidence.KindOf(r.Media); kind != test.kind {
				t.Errorf("kind %s", kind)
			}
			if !bytes.Equal(r.Claims.Nonce, test.nonce) || !bytes.Equal(r.Claims.UEID, test.ueid) {
				t.Errorf("claims %+v", r.Claims)
			}
			for name, want := range test.document {
				if !reflect.DeepEqual(r.Document()[name], want) {
					t.Errorf("%s is %#v, want %#v", name, r.Document()[name], want)
				}
			}
			checkJSON(t, r.Document())
		})
	}
	r, err := evidence.Read(bundle.Format, bundle.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if inner := r.Document()["evidence"].(map[string]any); inner["psa-security-lifecycle"] != "secured" || r.Inner.Evidence.Format != localtest.PSAFormat {
		t.Errorf("inner evidence %+v", r.Inner)
	}
}

// checkJSON finds a document to be in the types of encoding/json.
func checkJSON(t *testing.T, document map[string]any) {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var again map[string]any
	if err := json.Unmarshal(data, &again); err != nil || !reflect.DeepEqual(document, again) {
		t.Errorf("%v: %#v is read from JSON as %#v", err, document, again)
	}
}

func TestKinds(t *testing.T) {
	for format, want := range map[string]evidence.Kind{
		"application/eat+cwt": evidence.EAT,
		`application/eat+cwt; eat_profile="urn:ietf:rfc:rfc9711"`:          evidence.EAT,
		`application/eat+cwt; eat_profile="tag:ietf.org,2026:rats/ear#03"`: 0,
		`application/eat+cwt; eat_profile="tag:example.com,2026:x"`:        0,
		"application/eat+jwt":      0,
		"application/eat-bun+cbor": evidence.DetachedEAT,
		`application/eat-bun+cbor; eat_profile="tag:ietf.org,2026:rats/ear#03"`: 0,
		"application/eat-bun+json":                                                0,
		"application/psa-attestation-token":                                       evidence.PSA,
		`application/eat+cwt; eat_profile="tag:psacertified.org,2023:psa#tfm"`:    evidence.PSA,
		`application/eat+cwt; eat_profile="tag:psacertified.org,2019:psa#legacy"`: evidence.PSA,
		`application/eat-cwt; profile="http://arm.com/psa/2.0.0"`:                 evidence.PSA,
		`application/eat-cwt; profile="tag:example.com,2026:x"`:                   0,
		`application/eat-collection; profile="http://arm.com/CCA-SSD/1.0.0"`:      evidence.CCA,
		`application/eat-collection`:                                              0,
		`application/eat+cwt; eat_profile="tag:arm.com,2023:cca_platform#1.0.0"`:  evidence.CCA,
		evidence.MediaSEVSNP: evidence.SEVSNP,
		evidence.MediaTDX:    evidence.TDX,
		evidence.MediaTPM:    evidence.TPM,
		evidence.MediaBundle: evidence.Bundle,
	} {
		media, err := attest.ParseMediaType(format)
		if err != nil {
			t.Fatal(err)
		}
		if kind, known := evidence.KindOf(media); kind != want || known != (want != 0) {
			t.Errorf("%s: %s, want %s", format, kind, want)
		}
	}
}

func TestBadDetached(t *testing.T) {
	set := cosekit.MustMarshal(map[int]any{259: []byte("modem")})
	empty := cosekit.MustMarshal(cosekit.Tag{Number: 602, Content: cosekit.MustMarshal([]any{eat(t), map[string]any{}})})
	unnamed := cosekit.MustMarshal(cosekit.Tag{Number: 602, Content: cosekit.MustMarshal([]any{eat(t), map[string]any{"modem": set}})})
	stray := bytes.Replace(detached(t, set, -44, sum512(set)), []byte("modem\x4a"), []byte("other\x4a"), 1)
	for _, test := range []struct {
		name    string
		payload []byte
		reason  string
	}{
		{"digest of something else", detached(t, set, -44, sum512(nil)), "not the one"},
		{"digest that is cut", detached(t, set, -44, sum512(set)[:16]), "not the one"},
		{"digest by another algorithm", detached(t, set, -16, sum512(set)), "not the one"},
		{"unknown algorithm", detached(t, set, "md5", sum512(set)), "hash algorithm md5"},
		{"no claims set", empty, "want a map of detached claims sets"},
		{"no submods", unnamed, "no submods"},
		{"claims set without a digest", stray, "no digest of it"},
		{"claims set that is none", detached(t, []byte{0x01}, -44, sum512([]byte{0x01})), "submodule"},
		{"attached submodule as detached", detached(t, set, map[int]any{}, nil), "modem"},
		{"empty", nil, "malformed"},
		{"oversize", make([]byte, attest.MaxTokenSize+1), "at most"},
	} {
		r, err := evidence.Read("application/eat-bun+cbor", test.payload)
		if err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q; %+v", test.name, err, test.reason, r)
		}
	}
}

// Every way in which PSA and CCA claims are not what their specification says.
func TestBadPlatformClaims(t *testing.T) {
	type edit = func(map[int]any)
	set := func(label int, value any) edit { return func(c map[int]any) { c[label] = value } }
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	for name, payload := range map[string][]byte{
		"PSA short nonce":                   psa.Token(nonce[:16]),
		"PSA nonce as text":                 psa.Token(nonce, set(10, "nonce")),
		"PSA null nonce":                    psa.Token(nonce, set(10, nil)),
		"PSA no instance":                   psa.Token(nonce, localtest.Without(256)),
		"PSA short instance":                psa.Token(nonce, set(256, ueid)),
		"PSA instance of type 2":            psa.Token(nonce, set(256, append([]byte{2}, make([]byte, 32)...))),
		"PSA short implementation":          psa.Token(nonce, set(2396, nonce[:31])),
		"PSA implementation as list":        psa.Token(nonce, set(2396, []int{1, 2, 3})),
		"PSA bad lifecycle":                 psa.Token(nonce, set(2395, 0x7000)),
		"PSA negative lifecycle":            psa.Token(nonce, set(2395, -1)),
		"PSA no software":                   psa.Token(nonce, localtest.Without(2399)),
		"PSA component without digest":      psa.Token(nonce, set(2399, []any{map[int]any{1: "BL", 5: nonce}})),
		"PSA short digest":                  psa.Token(nonce, set(2399, []any{map[int]any{1: "BL", 2: nonce[:8], 5: nonce}})),
		"PSA certification of no form":      psa.Token(nonce, set(2398, "1234")),
		"PSA profile of CCA":                psa.Token(nonce, set(265, evidence.ProfileCCA)),
		"PSA boot seed as text":             psa.Token(nonce, set(268, "seed")),
		"PSA 1 under the name of 2":         psa.Token1(nonce),
		"PSA 1 wrong profile":               psa.Token1(nonce, set(-75000, "PSA_IOT_PROFILE_2")),
		"PSA 1 media type, unknown profile": psa.Token(nonce, set(265, "tag:example.com,2026:other")),
		"PSA 1 no nonce":                    psa.Token1(nonce, localtest.Without(-75008)),
		"CCA no profile":                    cca.Token(nonce, localtest.Without(265), nil),
		"CCA profile of PSA":                cca.Token(nonce, set(265, evidence.ProfilePSA), nil),
		"CCA no configuration":              cca.Token(nonce, localtest.Without(2401), nil),
		"CCA short challenge":               cca.Token(nonce, nil, set(10, nonce)),
		"CCA two challenges":                cca.Token(nonce, nil, set(10, []any{make([]byte, 64), make([]byte, 64)})),
		"CCA key that is none":              cca.Token(nonce, nil, set(44237, []byte{0xa0})),
		"CCA key off the curve": cca.Token(nonce, nil, set(44237, cosekit.MustMarshal(map[int]any{
			1: 2, -1: 2, -2: make([]byte, 48), -3: make([]byte, 48)}))),
		"CCA raw key of no profile": cca.Token(nonce, nil, func(c map[int]any) {
			delete(c, 265)
			c[44237] = append([]byte{4}, make([]byte, 96)...)
		}),
		"CCA key with duplicate members": cca.Token(nonce, nil, func(c map[int]any) {
			k := slices.Clone(c[44237].([]byte))
			k[0]++
			c[44237] = append(k, 1, 2)
		}),
		"CCA no extensible measurements": cca.Token(nonce, nil, set(44239, []any{})),
		"CCA no realm token":             cosekit.MustMarshal(map[int][]byte{44234: psa.Token(nonce)}),
		"CCA tokens that are none":       cca.Collect([]byte{1}, []byte{2}),
	} {
		format := localtest.PSAFormat
		switch {
		case strings.HasPrefix(name, "PSA 1 under"):
		case strings.HasPrefix(name, "PSA 1"):
			format = localtest.PSA1Format
		case strings.HasPrefix(name, "CCA"):
			format = localtest.CCAFormat
		}
		r, err := evidence.Read(format, payload)
		if err == nil {
			t.Errorf("%s: read as %+v", name, r.Document())
		} else if !errors.Is(err, attest.ErrClaims) && !errors.Is(err, attest.ErrToken) {
			t.Errorf("%s: %v is neither ErrClaims nor ErrToken", name, err)
		}
	}
}

// Duplicate keys, indefinite lengths and trailing bytes in the claims, before a library
// could see them.
func TestLaxCBOR(t *testing.T) {
	good, err := evidence.ParseToken(localtest.NewPSA("one").Token(nonce))
	if err != nil {
		t.Fatal(err)
	}
	duplicate := append(slices.Clone(good.Payload), 0x0a, 0x48, 1, 2, 3, 4, 5, 6, 7, 8)
	duplicate[0]++
	indefinite := append(append([]byte{0xbf}, good.Payload[1:]...), 0xff)
	for name, payload := range map[string][]byte{
		"duplicate": duplicate, "indefinite": indefinite, "trailing": append(slices.Clone(good.Payload), 0), "cut": good.Payload[:len(good.Payload)-1], "none": {},
	} {
		if _, err := evidence.Read(localtest.PSAFormat, key.Sign1(payload, nil, nil)); !errors.Is(err, attest.ErrClaims) && !errors.Is(err, attest.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenForms(t *testing.T) {
	tagged := localtest.NewPSA("one").Token(nonce)
	multi, err := cosekit.Sign([]cosekit.Signer{key.COSE()}, []byte{0xa0}, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		payload []byte
		reads   bool
	}{
		"tagged": {tagged, true}, "untagged": {tagged[1:], true}, "CWT": {append([]byte{0xd8, 61}, tagged...), true},
		"COSE_Sign":              {multi, false},
		"CWT without a COSE tag": {append([]byte{0xd8, 61}, tagged[1:]...), false},
		"twice tagged":           {append([]byte{0xd2}, tagged...), false},
		"other tag":              {append([]byte{0xd1}, tagged[1:]...), false},
	} {
		if _, err := evidence.ParseToken(test.payload); (err == nil) != test.reads {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, chain := range map[string]any{
		"one in an array": [][]byte{{1}}, "six": [][]byte{{1}, {2}, {3}, {4}, {5}, {6}}, "text": "x", "texts": []string{"a", "b"},
	} {
		if _, err := evidence.ParseToken(key.Sign1([]byte{0xa0}, nil, map[int]any{33: chain})); !errors.Is(err, attest.ErrToken) {
			t.Errorf("x5chain %s: %v", name, err)
		}
	}
}

func TestTokenVerify(t *testing.T) {
	for _, kind := range []string{localtest.P256, localtest.P384, localtest.P521, localtest.Ed25519} {
		signer := localtest.NewKey(kind, "signer")
		token, err := evidence.ParseToken(signer.Sign1([]byte("payload"), nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := token.Verify(signer.Public()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, other := range []string{localtest.P256, localtest.P384, localtest.P521, localtest.Ed25519} {
			err := token.Verify(localtest.NewKey(other, "other").Public())
			if want := map[bool]error{true: cosekit.ErrSignature, false: cosekit.ErrAlgorithm}[other == kind]; !errors.Is(err, want) {
				t.Errorf("%s under %s: %v, want %v", kind, other, err, want)
			}
		}
		if err := token.Verify("no key"); !errors.Is(err, cosekit.ErrAlgorithm) {
			t.Error(err)
		}
		token.Payload = []byte("Payload")
		if err := token.Verify(signer.Public()); !errors.Is(err, cosekit.ErrSignature) {
			t.Errorf("%s, changed: %v", kind, err)
		}
	}
}

// A collection comes with the tag of either draft, or none; the members go with the tag.
func TestCollections(t *testing.T) {
	device := localtest.NewCCA("one")
	token := device.Token(nonce, nil, nil)
	pairs, err := cosekit.Pairs(token[3:])
	if err != nil {
		t.Fatal(err)
	}
	platform, errP := cosekit.Bytes(pairs[0].Value)
	realm, errR := cosekit.Bytes(pairs[1].Value)
	if errP != nil || errR != nil {
		t.Fatal(errP, errR)
	}
	records := device.CollectRecords(platform, realm)
	retagged := func(tag, content []byte) []byte { return append(bytes.Clone(tag), content...) }
	for name, test := range map[string]struct {
		payload []byte
		reads   bool
	}{
		"tag 399": {token, true}, "no tag": {token[3:], true}, "tag 907": {records, true},
		"tokens under tag 907": {retagged(records[:3], token[3:]), false}, "records under tag 399": {retagged(token[:3], records[3:]), false},
		"records without a tag": {records[3:], false}, "both tags": {retagged(records[:3], token), false},
		"another content format": {bytes.Replace(records, []byte{0x19, 263 >> 8, 263 & 0xff}, []byte{0x19, 1, 8}, 1), false},
	} {
		if _, err := evidence.Read(localtest.CCAFormat, test.payload); (err == nil) != test.reads {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signature that is too short for its curve, or too long.
func TestSignatureSizes(t *testing.T) {
	for _, kind := range []string{localtest.P256, localtest.Ed25519} {
		signer := localtest.NewKey(kind, "signer")
		parts, err := cosekit.Elements(signer.Sign1([]byte("payload"), nil, nil)[1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 32, 63, 65, 128} {
			parts[3] = cosekit.MustMarshal(make([]byte, size))
			token, err := evidence.ParseToken(cosekit.MustMarshal(parts))
			if err != nil {
				t.Fatal(err)
			}
			if err := token.Verify(signer.Public()); !errors.Is(err, cosekit.ErrSignature) {
				t.Errorf("%s, %d bytes: %v", kind, size, err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		format  string
		payload []byte
		want    error
	}{
		{"", nil, attest.ErrMediaType},
		{"text/plain", nil, attest.ErrFormat},
		{localtest.PSAFormat, make([]byte, evidence.MaxSize+1), attest.ErrTooLarge},
		{localtest.PSAFormat, make([]byte, attest.MaxTokenSize+1), attest.ErrTooLarge},
		{localtest.CCAFormat, make([]byte, attest.MaxTokenSize+1), attest.ErrTooLarge},
		{evidence.MediaBundle, nil, attest.ErrMediaType},
		{evidence.BundleFormat("text/plain"), nil, attest.ErrFormat},
		{evidence.BundleFormat(evidence.BundleFormat(localtest.PSAFormat)), nil, attest.ErrFormat},
		{evidence.BundleFormat(localtest.PSAFormat), []byte{0x81, 0x40}, attest.ErrToken},
		{evidence.BundleFormat(localtest.PSAFormat), []byte{0x82, 0x40, 0x60}, attest.ErrToken},
	} {
		if r, err := evidence.Read(test.format, test.payload); !errors.Is(err, test.want) || r != nil {
			t.Errorf("%q: %v, want %v", test.format, err, test.want)
		}
	}
	if _, err := evidence.BindingDigest(attest.EvidenceMediaType, nil); !errors.Is(err, attest.ErrFormat) {
		t.Error(err)
	}
}

// TestHardwareByFormat: one instance id in two formats names two pieces of hardware.
func TestHardwareByFormat(t *testing.T) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	cca.Platform.InstanceID = psa.InstanceID
	names := map[cosekit.Thumbprint]string{}
	for format, payload := range map[string][]byte{
		localtest.PSAFormat: psa.Token(nonce), localtest.CCAFormat: cca.Token(nonce, nil, nil), attest.EvidenceMediaType: eat(t),
	} {
		r, err := evidence.Read(format, payload)
		if err != nil {
			t.Fatal(err)
		}
		if other, same := names[r.Hardware]; same {
			t.Errorf("%s names the hardware of %s", format, other)
		}
		names[r.Hardware] = format
	}
	if names[cosekit.Thumbprint{}] != attest.EvidenceMediaType {
		t.Error("an EAT names hardware by a claim")
	}
}

// BenchmarkReadOfStranger: what anybody can make a TAM do before anything is verified.
func BenchmarkReadOfStranger(b *testing.B) {
	set := []byte{0xaf} // 15 claims, each an array of 3900 numbers within 20 arrays
	for i := range 15 {
		set = append(append(set, 0x19, 0x20, byte(i)), bytes.Repeat([]byte{0x81}, 20)...)
		set = append(append(set, 0x99, 3900>>8, 3900&0xff), make([]byte, 3900)...)
	}
	token := key.Sign1(set, nil, nil)
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		if _, err := evidence.Read(attest.EvidenceMediaType, token); err != nil {
			b.Fatal(err)
		}
	}
}

// TestErrorsQuoteLittle: what was sent is not in the error, however it does not fit.
func TestErrorsQuoteLittle(t *testing.T) {
	secret := strings.Repeat("secret!!", 7000)
	sign := func(set any) []byte { return key.Sign1(cosekit.MustMarshal(set), nil, nil) }
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	for name, e := range map[string]struct {
		format  string
		payload []byte
	}{
		"profile in bytes":       {localtest.PSAFormat, sign(map[int]any{265: []byte(secret)})},
		"profile in text":        {localtest.PSAFormat, sign(map[int]any{265: secret})},
		"profile of an EAT":      {attest.EvidenceMediaType, sign(map[int]any{265: []any{secret}})},
		"profile of CCA":         {localtest.CCAFormat, cca.Token(nonce, func(set map[int]any) { set[265] = secret }, nil)},
		"hash algorithm of CCA":  {localtest.CCAFormat, cca.Token(nonce, func(set map[int]any) { set[2402] = secret }, nil)},
		"name of a submodule":    {"application/eat-bun+cbor", detached(t, []byte(secret), -16, nonce)},
		"algorithm of a digest":  {"application/eat-bun+cbor", detached(t, cosekit.MustMarshal(map[int]any{}), secret, nonce)},
		"software component":     {localtest.PSAFormat, psa.Token(nonce, func(set map[int]any) { set[2399] = []any{map[int]any{1: secret}} })},
		"lifecycle":              {localtest.PSAFormat, psa.Token(nonce, func(set map[int]any) { set[2395] = secret })},
		"service indicator":      {localtest.PSAFormat, psa.Token(nonce, func(set map[int]any) { set[2400] = []byte(secret) })},
		"certification":          {localtest.PSAFormat, psa.Token(nonce, func(set map[int]any) { set[2398] = secret })},
		"media type":             {"application/" + secret[:400], nil},
		"parameter":              {"application/x; x=" + secret[:400], nil},
		"parameter without name": {"application/x; " + secret[:400], nil},
	} {
		_, err := evidence.Read(e.format, e.payload)
		if err == nil {
			t.Errorf("%s: read", name)
			continue
		}
		if text := err.Error(); len(text) > 400 || strings.Count(text, "secret!!") > 18 {
			t.Errorf("%s: %d characters: %.600s", name, len(text), text)
		}
	}
}
