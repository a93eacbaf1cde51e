package suit

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// severedManifest has a severable install section and text.
func severedManifest(t testing.TB) *Manifest {
	t.Helper()
	m := smallManifest()
	install := m.Sections[SectionInstall].Sequence
	raw, err := encodeSequence(install, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Sections[SectionInstall] = Severable{Sequence: install, Digest: ptr(SumSHA256(wrap(raw)))}
	m.Text = Text{"en": {ManifestDescription: "m"}}
	if raw, err = encodeText(m.Text); err != nil {
		t.Fatal(err)
	}
	m.TextDigest = ptr(SumSHA256(wrap(raw)))
	return m
}

func TestSeveredElements(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	keys := KeyList{s.PublicKey()}
	whole, err := Sign(severedManifest(t), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	without := func(change func(elements map[int64][]byte)) *Envelope {
		out := *whole
		out.elements = map[int64][]byte{}
		for k, e := range whole.elements {
			out.elements[k] = e
		}
		change(out.elements)
		return &out
	}
	v, err := whole.Verify(keys, false)
	if err != nil {
		t.Fatal(err)
	}
	clearOffsets(v.Manifest())
	if !reflect.DeepEqual(v.Manifest(), severedManifest(t)) {
		t.Errorf("manifest %+v", v.Manifest())
	}
	again, err := NewEnvelope(v.Manifest(), nil)
	if err != nil || !again.Digest().Equal(whole.Digest()) || !reflect.DeepEqual(again.elements, whole.elements) {
		t.Errorf("made again: %+v, %v", again, err)
	}

	v, err = without(func(e map[int64][]byte) { clear(e) }).Verify(keys, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Manifest().Section(SectionInstall); ok || v.Manifest().Text != nil || v.Manifest().TextDigest == nil {
		t.Errorf("severed: %+v", v.Manifest())
	}

	for name, change := range map[string]func(map[int64][]byte){
		"another sequence":      func(e map[int64][]byte) { e[20] = wrap([]any{14, 15}) },
		"another text":          func(e map[int64][]byte) { e[23] = wrap(rawMap{"en": rawMap{1: "x"}}) },
		"swapped":               func(e map[int64][]byte) { e[20], e[23] = e[23], e[20] },
		"sequence of no digest": func(e map[int64][]byte) { e[16] = wrap([]any{14, 15}) },
		"CoSWID of no digest":   func(e map[int64][]byte) { e[14] = []byte{1} },
	} {
		if _, err := without(change).Verify(keys, false); !errors.Is(err, ErrDigest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An extension of the envelope is nobody's to vouch for: kept, and not looked at.
	extended := without(func(e map[int64][]byte) { e[-7] = []byte("x"); e[99] = []byte("y") })
	if _, err := extended.Verify(keys, false); err != nil {
		t.Errorf("extension: %v", err)
	}
	back, err := Decode(encoded(t, extended))
	if err != nil || !reflect.DeepEqual(back.elements, extended.elements) {
		t.Errorf("extensions %v, %v", back.elements, err)
	}
}

func TestSeveredCoSWID(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	m := smallManifest()
	m.CoSWIDDigest = ptr(SumSHA256(wrap([]byte("coswid"))))
	e, err := Sign(m, nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]error{"coswid": nil, "other": ErrDigest} {
		e.elements[int64(SectionCoSWID)] = []byte(content)
		v, err := e.Verify(KeyList{s.PublicKey()}, false)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", content, err, want)
		}
		if err == nil && string(v.Manifest().CoSWID) != content {
			t.Errorf("CoSWID %q", v.Manifest().CoSWID)
		}
	}
}

// A severed element is digested by its own algorithm, and read like any other.
func TestSeveredElementMustBeASequence(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	for _, content := range [][]byte{{0xff}, {0x80}, {0x01}} {
		h, _ := SHA384.New()
		h.Write(wrap(content))
		m := smallManifest()
		m.Sections[SectionInstall] = Severable{Digest: &Digest{SHA384, h.Sum(nil)}}
		m.TextDigest = &Digest{SHA384, h.Sum(nil)}
		for _, key := range []int64{int64(SectionInstall), int64(SectionText)} {
			e, err := Sign(m, nil, s)
			if err != nil {
				t.Fatal(err)
			}
			e.elements[key] = content
			if _, err := e.Verify(KeyList{s.PublicKey()}, false); !errors.Is(err, ErrMalformed) {
				t.Errorf("element %d = %x: %v", key, content, err)
			}
		}
	}
}

// largeInstall has an install section that is worth severing.
func largeInstall() *Manifest {
	m := smallManifest()
	m.Sections[SectionInstall] = Severable{Sequence: seq(m.Common.Shared.Commands...)}
	return m
}

// everySeverable has each severable element, all of them large enough.
func everySeverable(t testing.TB) *Manifest {
	t.Helper()
	m := largeInstall()
	for _, s := range []Section{SectionDependencyResolution, SectionPayloadFetch, SectionCandidateVerification} {
		m.Sections[s] = m.Sections[SectionInstall]
	}
	m.CoSWID = []byte(strings.Repeat("coswid", 20))
	m.Text = Text{"en": {ManifestDescription: strings.Repeat("text", 20)}}
	if err := m.MakeSeverable(severableElements...); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSever(t *testing.T) {
	s := newSigner(t, cosekit.Ed25519)
	keys := KeyList{s.PublicKey()}
	whole, err := Sign(everySeverable(t), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	if severed, err := whole.Severed(); err != nil || severed != nil {
		t.Errorf("severed before anybody severs: %v, %v", severed, err)
	}
	all, err := whole.Sever()
	if err != nil {
		t.Fatal(err)
	}
	if severed, err := all.Severed(); err != nil || !slices.Equal(severed, severableElements) {
		t.Errorf("severed %v, %v", severed, err)
	}
	if len(whole.elements) != len(severableElements) {
		t.Error("severing has changed the envelope that it was asked of")
	}
	for _, element := range severableElements {
		one, err := whole.Sever(element)
		if err != nil {
			t.Fatal(err)
		}
		if severed, err := one.Severed(); err != nil || !slices.Equal(severed, []Section{element}) {
			t.Errorf("severed %v (%v), want %s", severed, err, element)
		}
		v, err := one.Verify(keys, false)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := v.Manifest().encodeElement(element); content != nil || err != nil {
			t.Errorf("%s is still in the manifest (%v)", element, err)
		}
		content, ok := whole.Element(element)
		if !ok {
			t.Fatalf("%s is not carried", element)
		}
		back, err := one.Restore(element, content)
		if err != nil || !reflect.DeepEqual(back, whole) {
			t.Errorf("%s restored: %+v, %v", element, back, err)
		}
		spoilt := slices.Clone(content)
		spoilt[len(spoilt)-1] ^= 1
		if _, err := one.Restore(element, spoilt); !errors.Is(err, ErrDigest) {
			t.Errorf("%s restored from other content: %v", element, err)
		}
		if _, err := whole.Restore(element, content); !errors.Is(err, ErrNotSeverable) {
			t.Errorf("%s restored twice: %v", element, err)
		}
		if _, err := one.Sever(element); !errors.Is(err, ErrNotSeverable) {
			t.Errorf("%s severed twice: %v", element, err)
		}
	}
}

func TestSeverRefusals(t *testing.T) {
	e := signed(t, newSigner(t, cosekit.Ed25519))
	for _, s := range []Section{SectionInstall, SectionValidate, SectionText, 3, 99} {
		if _, err := e.Sever(s); !errors.Is(err, ErrNotSeverable) || !strings.Contains(err.Error(), "envelope."+s.String()) {
			t.Errorf("sever %s: %v", s, err)
		}
	}
	install, err := encodeSequence(smallManifest().Sections[SectionInstall].Sequence, 0)
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[Section]error{
		SectionInstall: ErrDigest, SectionText: ErrDigest, SectionUninstall: ErrNotSeverable, 2: ErrNotSeverable,
	} {
		if _, err := e.Restore(s, install); !errors.Is(err, want) {
			t.Errorf("restore %s: %v, want %v", s, err, want)
		}
	}
	m := everySeverable(t)
	bare, err := NewEnvelope(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bare, err = bare.Sever(SectionInstall); err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Restore(SectionInstall, make([]byte, MaxManifestSize+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("restore of a large element: %v", err)
	}
}

func TestMakeSeverable(t *testing.T) {
	text := func(n int) *Manifest {
		m := largeInstall()
		m.Text = Text{"en": {ManifestDescription: strings.Repeat("x", n)}}
		return m
	}
	for _, test := range []struct {
		name     string
		m        *Manifest
		elements []Section
		want     error
	}{
		{"validate", largeInstall(), []Section{SectionValidate}, ErrNotSeverable},
		{"shared sequence", largeInstall(), []Section{SectionShared}, ErrNotSeverable},
		{"what is not there", largeInstall(), []Section{SectionCoSWID}, ErrNotSeverable},
		{"install and what is not there", largeInstall(), []Section{SectionInstall, SectionPayloadFetch}, ErrNotSeverable},
		{"39 bytes", text(39 - 8), []Section{SectionText}, ErrNotWorthSevering},
		{"install and a short text", text(1), []Section{SectionInstall, SectionText}, ErrNotWorthSevering},
		{"40 bytes", text(40 - 8), []Section{SectionText}, nil},
		{"install", largeInstall(), []Section{SectionInstall}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := *test.m
			err := test.m.MakeSeverable(test.elements...)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if err != nil {
				if test.m.TextDigest != before.TextDigest || test.m.Sections[SectionInstall].Digest != nil {
					t.Errorf("refused, and the manifest has changed: %+v", test.m)
				}
				return
			}
			e, err := NewEnvelope(test.m, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range test.elements {
				if _, carried := e.Element(s); !carried {
					t.Errorf("the envelope does not carry %s", s)
				}
			}
		})
	}
	// What changes behind the digest is noticed before anybody signs it.
	m := largeInstall()
	if err := m.MakeSeverable(SectionInstall); err != nil {
		t.Fatal(err)
	}
	m.Sections[SectionInstall].Sequence.Commands = m.Sections[SectionInstall].Sequence.Commands[:1]
	if _, err := NewEnvelope(m, nil); !errors.Is(err, ErrDigest) {
		t.Errorf("changed after it was made severable: %v", err)
	}
}
