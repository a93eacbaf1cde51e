package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

type (
	m   = map[any]any
	arr = []any
	tag = cosekit.Tag
)

func enc(v any) []byte { return cosekit.MustMarshal(v) }

func tagged18(v any) []byte { return enc(tag{Number: 18, Content: enc(v)}) }

// TestLint shows each fault that is listed, in the smallest object that has it.
func TestLint(t *testing.T) {
	sha := arr{-16, make([]byte, 32)}
	protected := enc(m{1: -9})
	signature := make([]byte, 64)
	manifest := func(more m) []byte {
		all := m{1: 1, 2: 3, 3: enc(m{2: arr{arr{[]byte("a")}}})}
		for k, v := range more {
			all[k] = v
		}
		return enc(all)
	}
	fetch := enc(arr{20, m{21: "https://x.example"}, 21, 15})
	for _, c := range []struct {
		name     string
		data     []byte
		as       Kind
		severity Severity
		message  string
		section  string
	}{
		{"key order", unhex(t, "a2020001f5"), "", SeverityWarning, "map key out of deterministic order at byte 3", "RFC 8949"},
		{"duplicate", unhex(t, "a201000100"), "", SeverityError, "duplicate map key at byte 3", "RFC 8949"},
		{"duplicate in disguise", unhex(t, "a20100180100"), "", SeverityError, "duplicate map key", "RFC 8949"},
		{"indefinite", unhex(t, "9f01ff"), "", SeverityError, "indefinite length at byte 0", "RFC 8949"},
		{"long head", unhex(t, "811817"), "", SeverityWarning, "head longer than needed at byte 1", "RFC 8949"},
		{"many", unhex(t, "8218171816"), "", SeverityWarning, "the first of 2", "RFC 8949"},
		{"not UTF-8", unhex(t, "61ff"), "", SeverityError, "not UTF-8", "RFC 8949"},
		{"reserved simple", unhex(t, "f810"), "", SeverityError, "reserved simple value", "RFC 8949"},
		{"trailing", unhex(t, "0000"), "", SeverityError, "1 byte behind the end of the object", "RFC 8949"},
		{"unprotected alg", tagged18(arr{[]byte{}, m{1: -9}, []byte("x"), signature}), "", SeverityError, "alg in the unprotected header", "RFC 9052 section 3.1"},
		{"no alg", tagged18(arr{[]byte{}, m{}, []byte("x"), signature}), "", SeverityError, "no alg", "RFC 9052"},
		{"empty map", tagged18(arr{[]byte{0xa0}, m{1: -9}, []byte("x"), signature}), "", SeverityNote, "empty protected header", "RFC 9052"},
		{"both headers", tagged18(arr{enc(m{1: -9, 4: []byte("k")}), m{4: []byte("k")}, []byte("x"), signature}), "", SeverityError, "kid in both headers", "RFC 9052 section 3"},
		{"crit", tagged18(arr{enc(m{1: -9, 2: arr{99}}), m{}, []byte("x"), signature}), "", SeverityError, "critical header parameter 99", "RFC 9052 section 3.1"},
		{"crit unprotected", tagged18(arr{protected, m{2: arr{99}}, []byte("x"), signature}), "", SeverityError, "crit in the unprotected", "RFC 9052"},
		{"crit empty", tagged18(arr{enc(m{1: -9, 2: arr{}}), m{}, []byte("x"), signature}), "", SeverityError, "crit is not an array", "RFC 9052"},
		{"no signatures", enc(tag{Number: 98, Content: enc(arr{[]byte{}, m{}, []byte("x"), arr{}})}), "", SeverityError, "no signature at all", "RFC 9052 section 4.1"},
		{"ES256", tagged18(arr{enc(m{1: -7}), m{}, []byte("x"), signature}), "", SeverityWarning, "ES256 (-7)", "RFC 9864"},
		{"EdDSA", tagged18(arr{enc(m{1: -8}), m{}, []byte("x"), signature}), "", SeverityWarning, "EdDSA (-8)", "RFC 9864"},
		{"GCM IV", enc(tag{Number: 96, Content: enc(arr{enc(m{1: 1}), m{5: make([]byte, 16)}, nil, arr{arr{[]byte{}, m{1: -3}, make([]byte, 24)}}})}), "", SeverityWarning, "IV of 16 bytes", "RFC 9053"},
		{"wrong tag", enc(tag{Number: 998, Content: enc(arr{protected, m{}, []byte("x"), signature})}), "", SeverityError, "looks like COSE_Sign1", "RFC 8949"},
		{"wrong tag, forced", enc(tag{Number: 998, Content: enc(arr{protected, m{}, []byte("x"), signature})}), KindSign1, SeverityError, "tag 998 is not that of a COSE_Sign1", "RFC 9052 section 4.2"},
		{"old tag", enc(tag{Number: 480, Content: manifest(nil)}), "", SeverityWarning, "stale tag 480", "suit-manifest"},
		{"stale install", manifest(m{9: fetch}), "", SeverityWarning, "stale key 9", "suit-manifest"},
		{"stale 17", manifest(m{17: fetch}), "", SeverityWarning, "stale key 17: it was install (now 20)", "suit-manifest"},
		{"version", manifest(m{1: 2}), "", SeverityError, "manifest version is not 1", "suit-manifest"},
		{"odd sequence", manifest(m{7: enc(arr{3})}), "", SeverityError, "no argument", "suit-manifest"},
		{"unknown command", manifest(m{7: enc(arr{99, 15})}), "", SeverityNote, "command 99 is not registered", "suit-manifest"},
		{"digest size", enc(arr{-16, make([]byte, 31)}), KindDigest, SeverityError, "sha-256 of 31 bytes", "suit-manifest"},
		{"not signed", enc(m{2: enc(arr{enc(sha)}), 3: manifest(nil)}), "", SeverityWarning, "not signed", "suit-manifest"},
		{"severed", enc(m{2: enc(arr{enc(sha)}), 3: manifest(m{20: sha})}), "", SeverityNote, "install is severed", "suit-manifest section 8.6"},
		{"not severed", enc(m{2: enc(arr{enc(sha)}), 3: manifest(nil), 20: fetch}), "", SeverityError, "no digest of it", "suit-manifest section 8.6"},
		{"untagged block", enc(m{2: enc(arr{enc(sha), enc(arr{protected, m{}, nil, signature})}), 3: manifest(nil)}), "", SeverityError, "block without a tag", "suit-manifest section 8.3"},
		{"attached block", enc(m{2: enc(arr{enc(sha), tagged18(arr{protected, m{}, enc(sha), signature})}), 3: manifest(nil)}), "", SeverityError, "the payload is attached", "suit-manifest section 8.3"},
		{"old reference", enc(m{99: m{1: "u", 0: sha}, 3: arr{}, 4: true}), "", SeverityWarning, "SUIT_Reference as a map", "suit-report"},
		{"old report", enc(m{1: enc(sha), 2: "u", 4: arr{m{1: arr{}, 6: 404}}}), "", SeverityWarning, "stale form", "suit-report"},
		{"nonce", enc(m{10: []byte("short")}), "", SeverityError, "5 bytes, want 8 to 64", "RFC 9711"},
		{"label 273", enc(m{10: make([]byte, 8), 273: arr{arr{60, arr{"u", sha}}}}), "", SeverityWarning, "label 273", "RFC 9711"},
		{"token", enc(arr{1, m{19: make([]byte, 8)}, arr{arr{arr{18, -9}}}, arr{arr{-16, -9, -29, 1}}, 1}), "", SeverityWarning, "token beside the attestation bit", "teep-protocol"},
		{"token size", enc(arr{2, m{19: make([]byte, 7)}}), "", SeverityError, "7 bytes, want 8 to 64", "teep-protocol"},
		{"err-code", enc(arr{5, m{}, 0}), "", SeverityError, "err-code 0", "teep-protocol"},
		{"type", enc(arr{6, m{}, 1}), "", SeverityError, "no message has type 6", "TEEP registry"},
		{"numbering", enc(arr{6, m{}, 1}), "", SeverityNote, "--numbering pre-iana fits this message better", "TEEP registry"},
		{"elements", enc(arr{4, m{}, 1}), "", SeverityError, "Success of 3 elements, want 2", "teep-protocol"},
		{"wrong type", enc(arr{4, m{10: 7}}), "", SeverityError, "want a text string, found an unsigned integer", "teep-protocol"},
		{"wrong kind", enc(7), KindEnvelope, SeverityError, "want a map, found an unsigned integer", "suit-manifest section 8.2"},
		{"not CBOR inside", enc(m{2: []byte{0xff}, 3: manifest(nil)}), "", SeverityError, "the byte string should hold CBOR", "RFC 8949"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Inspect(c.data, Options{As: c.as})
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Lint, func(l Lint) bool { return strings.Contains(l.Message, c.message) })
			if i < 0 {
				t.Fatalf("no lint %q in %+v", c.message, r.Lint)
			}
			if l := r.Lint[i]; l.Severity != c.severity || !strings.Contains(strings.ReplaceAll(l.Section, "-37", ""), c.section) || !strings.HasPrefix(l.Path, "/") {
				t.Errorf("%+v, want %s of %s", l, c.severity, c.section)
			}
			if strings.ContainsAny(r.Lint[i].Message, "\n") {
				t.Error("more than one line")
			}
		})
	}
}

// TestCleanObjectsHaveNoLint: what Tamarack makes itself gives nothing to say.
func TestCleanObjectsHaveNoLint(t *testing.T) {
	for name, data := range map[string][]byte{
		"envelope": helloEnvelope(t), "evidence": evidence(t), "result": result(t),
		"key": signer(t, 0).PublicKey().COSEKey(),
	} {
		if r := must[*Result](t)(Inspect(data, Options{})); len(r.Lint) > 0 {
			t.Errorf("%s: %+v", name, r.Lint)
		}
	}
	if r := must[*Result](t)(Inspect(successMessage(t), Options{Numbering: teep.PreIANA})); len(r.Lint) > 0 {
		t.Errorf("success: %+v", r.Lint)
	}
}

// TestVerdicts: a signature that does not hold is found under every way to be wrong.
func TestVerdicts(t *testing.T) {
	own, other := signer(t, 0), signer(t, 1)
	good := must[[]byte](t)(cosekit.Sign1(own, []byte("payload"), cosekit.Form{}))
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	detached := must[[]byte](t)(cosekit.Sign1(own, []byte("payload"), cosekit.Form{Detached: true}))
	anonymous := func(alg int) []byte {
		return tagged18(arr{enc(m{1: alg}), m{}, []byte("payload"), make([]byte, 64)})
	}
	both := must[[]byte](t)(cosekit.Sign([]cosekit.Signer{own, other}, []byte("payload"), cosekit.Form{}))
	for _, c := range []struct {
		name string
		data []byte
		keys []cosekit.Signer
		want []Verdict
	}{
		{"valid", good, []cosekit.Signer{other, own}, []Verdict{Valid}},
		{"broken", broken, []cosekit.Signer{own}, []Verdict{Invalid}},
		{"no key", good, nil, []Verdict{NoKey}},
		{"another key", good, []cosekit.Signer{other}, []Verdict{NoKey}},
		{"no kid", anonymous(-19), []cosekit.Signer{own, other}, []Verdict{Invalid}},
		{"unsupported", anonymous(-257), []cosekit.Signer{own}, []Verdict{Unsupported}},
		{"detached", detached, []cosekit.Signer{own}, []Verdict{NoPayload}},
		{"one of two", both, []cosekit.Signer{other}, []Verdict{NoKey, Valid}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var opts Options
			for _, s := range c.keys {
				opts.Keys = append(opts.Keys, NewKey(s.PublicKey()))
			}
			r := must[*Result](t)(Inspect(c.data, opts))
			var got []Verdict
			for _, check := range r.Checks {
				got = append(got, check.Verdict)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v: %+v", got, c.want, r.Checks)
			}
			if sound := !slices.Contains(c.want, Invalid); r.Sound() != sound {
				t.Errorf("sound %t, want %t", r.Sound(), sound)
			}
		})
	}
}

// TestAttachedPayload: a signature over something else, which the block brings along,
// says nothing about the manifest.
func TestAttachedPayload(t *testing.T) {
	manifest := enc(m{1: 1, 2: 3, 3: enc(m{2: arr{arr{[]byte("a")}}})})
	digest := suit.SumSHA256(enc(manifest))
	block := must[[]byte](t)(cosekit.Sign1(signer(t, 0), []byte("another digest"), cosekit.Form{}))
	data := enc(m{2: enc(arr{enc(arr{-16, digest.Bytes}), block}), 3: manifest})
	r := must[*Result](t)(Inspect(data, Options{Keys: []*Key{NewKey(signer(t, 0).PublicKey())}}))
	wantVerdicts(t, r, "digest", Valid)
	wantVerdicts(t, r, "signature", Invalid)
}

// TestExternalAAD: it belongs to the object that was given, not to those inside.
func TestExternalAAD(t *testing.T) {
	outer := must[[]byte](t)(cosekit.Sign1(signer(t, 0), evidence(t), cosekit.Form{}))
	keys := []*Key{NewKey(signer(t, 0).PublicKey()), NewKey(signer(t, 2).PublicKey())}
	r := must[*Result](t)(Inspect(outer, Options{Keys: keys, ExternalAAD: []byte("aad")}))
	want := map[string]Verdict{"/": Invalid, "/payload": Valid}
	if len(r.Checks) != len(want) {
		t.Fatalf("%+v", r.Checks)
	}
	for _, c := range r.Checks {
		if c.Verdict != want[c.Path] {
			t.Errorf("%+v, want %s", c, want[c.Path])
		}
	}
}

// TestDigests: a changed manifest and a changed severed element are found.
func TestDigests(t *testing.T) {
	install := enc(arr{20, m{14: 1}})
	inner := func(install any) []byte {
		return enc(m{1: 1, 2: 3, 3: enc(m{2: arr{arr{[]byte("a")}}}), 20: install})
	}
	digestOf := func(content []byte) arr {
		d := suit.SumSHA256(enc(content))
		return arr{-16, d.Bytes}
	}
	manifest := inner(digestOf(install))
	envelope := func(manifest, install []byte, of []byte) []byte {
		return enc(m{2: enc(arr{enc(digestOf(of))}), 3: manifest, 20: install})
	}
	for _, c := range []struct {
		name string
		data []byte
		want map[string]Verdict
	}{
		{"good", envelope(manifest, install, manifest), map[string]Verdict{"/authentication/digest": Valid, "/install": Valid}},
		{"manifest", envelope(manifest, install, []byte("x")), map[string]Verdict{"/authentication/digest": Invalid, "/install": Valid}},
		{"element", envelope(manifest, enc(arr{20, m{14: 2}}), manifest), map[string]Verdict{"/authentication/digest": Valid, "/install": Invalid}},
	} {
		r := must[*Result](t)(Inspect(c.data, Options{}))
		if len(r.Checks) != len(c.want) {
			t.Errorf("%s: %+v", c.name, r.Checks)
		}
		for _, check := range r.Checks {
			if check.Verdict != c.want[check.Path] {
				t.Errorf("%s: %+v, want %s", c.name, check, c.want[check.Path])
			}
		}
	}
}

// TestOpinions: the strict decoders are asked about objects inside objects too.
func TestOpinions(t *testing.T) {
	r := must[*Result](t)(Inspect(enc(arr{3, m{9: arr{enc(m{2: enc(arr{}), 3: enc(m{})})}}}), Options{}))
	var refused []string
	for _, o := range r.Opinions {
		if !o.Accepted {
			refused = append(refused, o.Path)
			if o.Reason == "" {
				t.Errorf("%+v: no reason", o)
			}
		}
	}
	if !slices.Contains(refused, "/options/manifest-list/0") {
		t.Errorf("opinions %+v", r.Opinions)
	}
	trailing := append(signer(t, 0).PublicKey().COSEKey(), 0)
	if r := must[*Result](t)(Inspect(trailing, Options{})); len(r.Opinions) != 1 || r.Opinions[0].Accepted {
		t.Errorf("trailing byte: %+v", r.Opinions)
	}
}

// TestPrivateKeysAreHidden: what is shown ends up in terminals and logs.
func TestPrivateKeysAreHidden(t *testing.T) {
	secret := bytes.Repeat([]byte{0x5e}, 32)
	for name, key := range map[string]m{
		"OKP": {1: 1, -1: 6, -2: make([]byte, 32), -4: secret},
		"EC2": {1: 2, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32), -4: secret},
		"RSA": {1: 3, -1: []byte{1}, -2: []byte{3}, -3: secret, -4: secret, -12: secret},
		"sym": {1: 4, -1: secret},
	} {
		r := must[*Result](t)(Inspect(enc(key), Options{}))
		var text strings.Builder
		if err := r.WriteText(&text, true); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), "5e5e5e") || !strings.Contains(text.String(), "private, not shown") {
			t.Errorf("%s:\n%s", name, text.String())
		}
	}
}

func TestReadInput(t *testing.T) {
	want := helloEnvelope(t)
	digits := hex.EncodeToString(want)
	for name, text := range map[string]string{
		"binary": string(want), "hex": digits, "HEX in lines": strings.ToUpper(digits[:80]) + "\r\n " + digits[80:] + "\n",
		"0x": "0x" + digits, "base64": base64.StdEncoding.EncodeToString(want), "base64url": base64.RawURLEncoding.EncodeToString(want),
	} {
		got, err := ReadInput(strings.NewReader(text))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	token := string(jwtResult())
	if got, err := ReadInput(strings.NewReader(token + "\n")); err != nil || string(got) != token {
		t.Errorf("JWT: %q, %v", got, err)
	}
	if got, err := ReadInput(strings.NewReader("8301")); err != nil || !bytes.Equal(got, []byte{0x83, 1}) {
		t.Errorf("truncated, as text: %x, %v", got, err)
	}
	if got, err := ReadInput(strings.NewReader("eab...")); err != nil || string(got) != "eab..." {
		t.Errorf("a CBOR text that is text: %q, %v", got, err)
	}
	for _, text := range []string{"", " \n", "-----BEGIN PUBLIC KEY-----", "component: app/hello\n"} {
		if _, err := ReadInput(strings.NewReader(text)); !errors.Is(err, ErrNotCBOR) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestRefused: what cannot be read at all, and what is beyond the caps.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty":          {nil, ErrNotCBOR},
		"truncated":      {unhex(t, "8201"), ErrNotCBOR},
		"truncated head": {unhex(t, "19ff"), ErrNotCBOR},
		"truncated text": {unhex(t, "6261"), ErrNotCBOR},
		"huge array":     {unhex(t, "9bffffffffffffffff"), ErrNotCBOR},
		"huge map":       {unhex(t, "bb8000000000000000"), ErrNotCBOR},
		"huge string":    {unhex(t, "5bffffffffffffffff"), ErrNotCBOR},
		"reserved":       {unhex(t, "1c"), ErrNotCBOR},
		"break":          {unhex(t, "ff"), ErrNotCBOR},
		"odd map":        {unhex(t, "bf01ff"), ErrNotCBOR},
		"wrong chunk":    {unhex(t, "5f6161ff"), ErrNotCBOR},
		"unbroken":       {unhex(t, "9f01"), ErrNotCBOR},
		"deep":           {bytes.Repeat([]byte{0x81}, maxNesting+2), ErrTooLarge},
		"many":           {append(unhex(t, "9a00030000"), make([]byte, 3<<16)...), ErrTooLarge},
		"large":          {make([]byte, MaxInput+1), ErrTooLarge},
	} {
		if _, err := Inspect(c.data, Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := Diagnose(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s, diagnosed: %v, want %v", name, err, c.want)
		}
	}
}

// TestNestedByteStrings: encodings inside encodings end somewhere.
func TestNestedByteStrings(t *testing.T) {
	data := enc(arr{1})
	for range 200 {
		data = enc(arr{data})
	}
	r := must[*Result](t)(Inspect(data, Options{}))
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	if text.Len() > 1<<16 {
		t.Errorf("%d bytes of text", text.Len())
	}
	if out := must[string](t)(Diagnose(data)); strings.Count(out, "<<") != maxOpened {
		t.Errorf("%d strings opened, want %d", strings.Count(out, "<<"), maxOpened)
	}
}

// TestWideObjects: no step of the reader takes the square of what it reads. Each of
// these would take minutes.
func TestWideObjects(t *testing.T) {
	wide := func(n int, value any) m {
		all := m{}
		for i := range n {
			all[i+1000] = value
		}
		return all
	}
	submods, detached := m{}, m{}
	for i := range 20000 {
		name := strconv.Itoa(i)
		submods[name], detached[name] = arr{-16, make([]byte, 32)}, enc(m{})
	}
	token := tagged18(arr{enc(m{1: -9}), m{}, enc(m{266: submods}), make([]byte, 64)})
	for name, data := range map[string][]byte{
		"headers": tagged18(arr{enc(wide(30000, 0)), wide(30000, 0), []byte("x"), make([]byte, 64)}),
		"bundle":  enc(tag{Number: 602, Content: enc(arr{token, detached})}),
		"claims":  enc(wide(60000, 0)),
	} {
		r := must[*Result](t)(Inspect(data, Options{}))
		if len(r.Lint) > maxLint+1 || len(r.Checks) > maxChecks+1 {
			t.Errorf("%s: %d lints, %d checks", name, len(r.Lint), len(r.Checks))
		}
	}
}

// TestTooManyChecks: a signature that nobody looked at does not count as good.
func TestTooManyChecks(t *testing.T) {
	one := must[[]byte](t)(cosekit.Sign1(signer(t, 0), []byte("x"), cosekit.Form{}))
	list := make(arr, maxChecks+2)
	for i := range list {
		list[i] = one
	}
	r := must[*Result](t)(Inspect(enc(list), Options{Keys: []*Key{NewKey(signer(t, 0).PublicKey())}}))
	if r.Sound() || len(r.Checks) != maxChecks+1 {
		t.Errorf("sound %t with %d checks", r.Sound(), len(r.Checks))
	}
}

func TestDiagnose(t *testing.T) {
	for digits, want := range map[string]string{
		"8301a1020343820102": "[1, {2: 3}, <<[1, 2]>>]",
		"9f01ff":             "[_ 1]",
		"bf0102ff":           "{_ 1: 2}",
		"5f42010241 03ff":    "(_ h'0102', h'03')",
		"4431323334":         "h'31323334'",
		"d2820140":           "18([1, h''])",
		"61ff":               "/ not valid / h'61ff'",
		"fb7ff8000000000000": "NaN",
		"41a0":               "h'a0'",
	} {
		got, err := Diagnose(unhex(t, strings.ReplaceAll(digits, " ", "")))
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", digits, got, err, want)
		}
	}
}

// TestPlainValues: all of CBOR has a place in the tree, and in JSON.
func TestPlainValues(t *testing.T) {
	for _, c := range []struct {
		data []byte
		want any
		text string
	}{
		{enc(uint64(math.MaxUint64)), uint64(math.MaxUint64), ""},
		{unhex(t, "3bffffffffffffffff"), "-18446744073709551616", ""},
		{enc(1.5), 1.5, ""},
		{enc(math.Inf(1)), nil, "Infinity"},
		{unhex(t, "f7"), nil, ""},
		{unhex(t, "f0"), uint64(16), ""},
		{unhex(t, "c11a65536ad4"), int64(1699965652), "2023-11-14T12:40:52Z"},
		{unhex(t, "d82550000102030405060708090a0b0c0d0e0f"), "000102030405060708090a0b0c0d0e0f", ""},
		{unhex(t, "7f61616162ff"), "ab", ""},
	} {
		n := must[*Result](t)(Inspect(c.data, Options{})).Tree
		if n.Value != c.want || c.text != "" && n.Text != c.text {
			t.Errorf("%x: %+v, want %v %q", c.data, n, c.want, c.text)
		}
	}
}

func TestParseKind(t *testing.T) {
	for _, kind := range Kinds() {
		if got, err := ParseKind(string(kind)); err != nil || got != kind {
			t.Errorf("%s: %s, %v", kind, got, err)
		}
		if _, err := Inspect(enc(m{1: 2}), Options{As: kind}); err != nil {
			t.Errorf("as %s: %v", kind, err)
		}
	}
	if _, err := ParseKind("sonnet"); !errors.Is(err, ErrKind) {
		t.Errorf("sonnet: %v", err)
	}
}

// TestTerminal: nothing that an object says steers the terminal.
func TestTerminal(t *testing.T) {
	evil := "\x1b[2J\u202e\n"
	data := enc(m{evil: arr{evil, m{evil: 1}}, 10: make([]byte, 8), 266: m{evil: m{270: evil}}})
	var text strings.Builder
	if err := must[*Result](t)(Inspect(data, Options{})).WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Errorf("%q", text.String())
	}
}
