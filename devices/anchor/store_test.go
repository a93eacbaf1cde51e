package anchor

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"pgregory.net/rapid"
)

// testKey returns the same key for the same number in every run.
func testKey(t testing.TB, n byte) *cosekit.PublicKey {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	key, err := cosekit.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func component(t testing.TB, s string) suit.ComponentID {
	t.Helper()
	c, err := suit.ParseComponentID(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func uuid(n byte) []byte { return bytes.Repeat([]byte{n}, 16) }

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func publisher(t testing.TB) Anchor {
	return Anchor{
		Key: testKey(t, 1), Title: "Höhenwerk releases", Purposes: []Purpose{Verifier, TCSigner},
		Constraints: Constraints{
			Components: []suit.ComponentID{component(t, "os"), component(t, "app/hello")},
			VendorIDs:  [][]byte{uuid(9), uuid(8)}, ClassIDs: [][]byte{uuid(7)},
			Scopes: []Scope{
				scope(t, "shared commands=process-dependency,-300 parameters=uri,encryption-info"), scope(t, "data parameters=content"),
			},
		},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
}

func quantumSafe(t testing.TB) *cosekit.PublicKey {
	t.Helper()
	s, err := cosekit.GenerateSigner(cosekit.MLDSA44)
	if err != nil {
		t.Fatal(err)
	}
	return s.PublicKey()
}

// TestQuantumSafePublisher: a publisher's key of ML-DSA is kept as others are.
func TestQuantumSafePublisher(t *testing.T) {
	s, err := NewStore(Anchor{Key: quantumSafe(t), Purposes: []Purpose{TCSigner}}, publisher(t))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := DecodeStore(s.Encode()); err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("decoded %+v, %v", back, err)
	}
}

func TestValidate(t *testing.T) {
	if err := publisher(t).Validate(); err != nil {
		t.Fatal(err)
	}
	many := make([]suit.ComponentID, MaxList+1)
	for i := range many {
		many[i] = suit.ComponentID{{byte(i)}}
	}
	for _, test := range []struct {
		name, reason string
		spoil        func(*Anchor)
	}{
		{"no key", "no key", func(a *Anchor) { a.Key = nil }},
		{"no purpose", "no purpose", func(a *Anchor) { a.Purposes = nil }},
		{"unknown purpose", `unknown purpose "root"`, func(a *Anchor) { a.Purposes = []Purpose{TCSigner, "root"} }},
		{"purpose twice", "purpose tc-signer twice", func(a *Anchor) { a.Purposes = []Purpose{TCSigner, TCSigner} }},
		{"long title", "title", func(a *Anchor) { a.Title = strings.Repeat("x", MaxTitle+1) }},
		{"title with escape", "title", func(a *Anchor) { a.Title = "ok\x1b[31m" }},
		{"title not UTF-8", "title", func(a *Anchor) { a.Title = "\xff" }},
		{"ends before it begins", "which is before", func(a *Anchor) { a.NotAfter = a.NotBefore.Add(-time.Second) }},
		{"begins before 1970", "years 1970 to 9999", func(a *Anchor) { a.NotBefore = time.Unix(-1, 0) }},
		{"ends after 9999", "years 1970 to 9999", func(a *Anchor) { a.NotAfter = time.Unix(latest+1, 0) }},
		{"empty prefix", "empty component prefix", func(a *Anchor) { a.Constraints.Components = []suit.ComponentID{{}} }},
		{"prefix twice", "twice", func(a *Anchor) {
			a.Constraints.Components = append(a.Constraints.Components, a.Constraints.Components[0])
		}},
		{"too many prefixes", "more than 64", func(a *Anchor) { a.Constraints.Components = many }},
		{"short vendor id", "vendor id of 15 bytes", func(a *Anchor) { a.Constraints.VendorIDs = [][]byte{make([]byte, 15)} }},
		{"class id twice", "class id", func(a *Anchor) { a.Constraints.ClassIDs = [][]byte{uuid(1), uuid(1)} }},
		{"grants of no manager", "for manager anchors", func(a *Anchor) { a.Constraints.Grants = []Purpose{TAM} }},
		{"unknown grant", "unknown purpose", func(a *Anchor) { a.Purposes, a.Constraints.Grants = []Purpose{Manager}, []Purpose{"x"} }},
		{"components of a TAM", "are for tc-signer and manager", func(a *Anchor) { a.Purposes = []Purpose{TAM} }},
		{"quantum-safe TAM", "ML-DSA-44 keys are for tc-signer and nothing else", func(a *Anchor) { *a = Anchor{Key: quantumSafe(t), Purposes: []Purpose{TAM}} }},
		{"quantum-safe attester", "and nothing else", func(a *Anchor) { *a = Anchor{Key: quantumSafe(t), Purposes: []Purpose{Attester}} }},
		{"quantum-safe verifier", "and nothing else", func(a *Anchor) { *a = Anchor{Key: quantumSafe(t), Purposes: []Purpose{Verifier}} }},
		{"quantum-safe manager", "and nothing else", func(a *Anchor) { *a = Anchor{Key: quantumSafe(t), Purposes: []Purpose{Manager}} }},
		{"quantum-safe for two", "and nothing else", func(a *Anchor) { *a = Anchor{Key: quantumSafe(t), Purposes: []Purpose{TCSigner, TAM}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := publisher(t)
			test.spoil(&a)
			err := a.Validate()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.reason) {
				t.Fatalf("got %v, want ErrInvalid with %q", err, test.reason)
			}
			s, err := NewStore(a)
			if !errors.Is(err, ErrInvalid) || len(s.Anchors()) != 0 {
				t.Fatalf("NewStore: %v, %d anchors", err, len(s.Anchors()))
			}
		})
	}
}

func TestLookup(t *testing.T) {
	signer, tam := publisher(t), Anchor{Key: testKey(t, 2), Purposes: []Purpose{TAM}}
	s, err := NewStore(signer, tam)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		key     cosekit.Thumbprint
		purpose Purpose
		at      time.Time
		want    error
	}{
		{"signer", signer.Thumbprint(), TCSigner, now, nil},
		{"its other purpose", signer.Thumbprint(), Verifier, now, nil},
		{"first moment", signer.Thumbprint(), TCSigner, signer.NotBefore, nil},
		{"last moment", signer.Thumbprint(), TCSigner, signer.NotAfter, nil},
		{"TAM, whenever", tam.Thumbprint(), TAM, time.Time{}, nil},
		{"unknown key", testKey(t, 3).Thumbprint(), TCSigner, now, ErrUnknown},
		{"wrong purpose", signer.Thumbprint(), TAM, now, ErrPurpose},
		{"TAM as signer", tam.Thumbprint(), TCSigner, now, ErrPurpose},
		{"too early", signer.Thumbprint(), TCSigner, signer.NotBefore.Add(-time.Second), ErrNotYetValid},
		{"too late", signer.Thumbprint(), TCSigner, signer.NotAfter.Add(time.Second), ErrExpired},
	} {
		a, err := s.Lookup(test.key, test.purpose, test.at)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if (err == nil) != (a.Key != nil) || err == nil && a.Thumbprint() != test.key {
			t.Errorf("%s: anchor %v with error %v", test.name, a.Key, err)
		}
		listed := slices.ContainsFunc(s.For(test.purpose, test.at), func(a Anchor) bool { return a.Thumbprint() == test.key })
		if listed != (test.want == nil) {
			t.Errorf("%s: For lists it: %t", test.name, listed)
		}
	}
	if _, err := (Store{}).Lookup(tam.Thumbprint(), TAM, now); !errors.Is(err, ErrUnknown) {
		t.Errorf("empty store: %v", err)
	}
	if err := (Anchor{}).Allows(TAM, now); !errors.Is(err, ErrUnknown) {
		t.Errorf("zero anchor: %v", err)
	}
}

func TestStoreDoesNotChange(t *testing.T) {
	a := publisher(t)
	one, err := NewStore(a)
	if err != nil {
		t.Fatal(err)
	}
	before := one.Encode()
	two, err := one.With(Anchor{Key: testKey(t, 2), Purposes: []Purpose{TAM}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.With(Anchor{Key: testKey(t, 1), Purposes: []Purpose{TAM}}); !errors.Is(err, ErrExists) {
		t.Errorf("second anchor of a key: %v", err)
	}
	none, err := two.Without(a.Thumbprint())
	if err != nil || len(none.Anchors()) != 1 || len(two.Anchors()) != 2 {
		t.Errorf("Without: %v, %d anchors left of %d", err, len(none.Anchors()), len(two.Anchors()))
	}
	if _, err := none.Without(a.Thumbprint()); !errors.Is(err, ErrUnknown) {
		t.Errorf("Without an unknown key: %v", err)
	}
	// Neither what was put in nor what comes out leads into the store.
	found, err := one.Lookup(a.Thumbprint(), TCSigner, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, handle := range []Anchor{a, found, one.Anchors()[0], one.For(TCSigner, now)[0]} {
		handle.Purposes[0] = Manager
		handle.Constraints.Components[0][0][0] ^= 1
		handle.Constraints.VendorIDs[0][0] ^= 1
		handle.Constraints.Scopes[0].Prefix[0][0] ^= 1
		for _, s := range handle.Constraints.Scopes {
			clear(s.Commands)
			clear(s.Parameters)
		}
	}
	if !bytes.Equal(one.Encode(), before) {
		t.Error("a store was changed from outside")
	}
}

func TestMayPublish(t *testing.T) {
	narrow, wide := publisher(t), Anchor{Key: testKey(t, 2), Purposes: []Purpose{TCSigner}}
	for _, test := range []struct {
		anchor    Anchor
		component string
		want      bool
	}{
		{narrow, "app/hello", true}, {narrow, "app/hello/data", true}, {narrow, "os", true},
		{narrow, "app", false}, {narrow, "app/hello2", false}, {narrow, "app/other", false}, {narrow, "", false},
		{wide, "app", true}, {wide, "", true},
		{Anchor{Key: testKey(t, 3), Purposes: []Purpose{TAM}}, "app", false},
	} {
		if got := test.anchor.MayPublish(component(t, test.component)); got != test.want {
			t.Errorf("%v may publish %q: %t", test.anchor.Purposes, test.component, got)
		}
	}
}

func TestMayTarget(t *testing.T) {
	narrow, wide := publisher(t), Anchor{Key: testKey(t, 2), Purposes: []Purpose{TCSigner}}
	for _, test := range []struct {
		anchor        Anchor
		vendor, class []byte
		want          bool
	}{
		{narrow, uuid(9), uuid(7), true}, {narrow, uuid(8), uuid(7), true},
		{narrow, uuid(7), uuid(7), false}, {narrow, uuid(9), uuid(9), false}, {narrow, nil, nil, false},
		{wide, uuid(1), uuid(1), true}, {wide, nil, nil, true},
	} {
		if got := test.anchor.MayTarget(test.vendor, test.class); got != test.want {
			t.Errorf("vendor %x class %x: %t", test.vendor, test.class, got)
		}
	}
}

func TestEncoding(t *testing.T) {
	a, b := publisher(t), Anchor{Key: testKey(t, 2), Title: "fleet", Purposes: []Purpose{Manager},
		Constraints: Constraints{Grants: []Purpose{TCSigner, TAM}}}
	one, err := NewStore(a, b)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(a.Purposes)
	slices.Reverse(a.Constraints.Components)
	slices.Reverse(a.Constraints.VendorIDs)
	for _, s := range a.Constraints.Scopes {
		slices.Reverse(s.Commands)
		slices.Reverse(s.Parameters)
	}
	slices.Reverse(a.Constraints.Scopes)
	slices.Reverse(b.Constraints.Grants)
	a.NotBefore = a.NotBefore.In(time.FixedZone("", 3600)).Add(time.Millisecond)
	other, err := NewStore(b, a)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Encode(), other.Encode()) || !one.Digest().Equal(other.Digest()) {
		t.Error("the order of what means no order shows in the encoding")
	}
	back, err := DecodeStore(one.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, one) {
		t.Errorf("decoded %+v, want %+v", back, one)
	}
	empty, err := DecodeStore((Store{}).Encode())
	if err != nil || len(empty.Anchors()) != 0 {
		t.Errorf("empty store: %v", err)
	}
}

func TestDecodeStoreRefuses(t *testing.T) {
	s, err := NewStore(publisher(t), Anchor{Key: testKey(t, 2), Purposes: []Purpose{TAM}})
	if err != nil {
		t.Fatal(err)
	}
	good := s.Encode()
	for n := range good {
		if _, err := DecodeStore(good[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	key := testKey(t, 2).COSEKey()
	anchors := func(list ...any) []byte { return cosekit.MustMarshal(map[int]any{1: list}) }
	tam := map[int]any{1: cosekit.RawMessage(key), 3: []string{"tam"}}
	if _, err := DecodeStore(anchors(tam)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, data := range map[string][]byte{
		"nothing":             {},
		"null":                {0xf6},
		"trailing byte":       append(slices.Clone(good), 0),
		"unknown element":     cosekit.MustMarshal(map[int]any{1: []any{}, 9: 1}),
		"no anchors":          cosekit.MustMarshal(map[int]any{}),
		"anchors null":        {0xa1, 1, 0xf6},
		"duplicate element":   {0xa2, 1, 0x80, 1, 0x80},
		"indefinite array":    {0xa1, 1, 0x9f, 0xff},
		"long head":           {0xb8, 1, 1, 0x80},
		"too large":           make([]byte, MaxEncoded+1),
		"same key twice":      anchors(tam, tam),
		"no purpose":          anchors(map[int]any{1: cosekit.RawMessage(key)}),
		"unknown purpose":     anchors(map[int]any{1: cosekit.RawMessage(key), 3: []string{"root"}}),
		"unknown in anchor":   anchors(map[int]any{1: cosekit.RawMessage(key), 3: []string{"tam"}, 7: 1}),
		"no key":              anchors(map[int]any{3: []string{"tam"}}),
		"private key":         anchors(map[int]any{1: map[int]any{1: 1, -1: 6, -2: make([]byte, 32), -4: make([]byte, 32)}, 3: []string{"tam"}}),
		"empty title":         anchors(map[int]any{1: cosekit.RawMessage(key), 2: "", 3: []string{"tam"}}),
		"empty constraints":   anchors(map[int]any{1: cosekit.RawMessage(key), 3: []string{"tam"}, 4: map[int]any{}}),
		"time as float":       anchors(map[int]any{1: cosekit.RawMessage(key), 3: []string{"tam"}, 5: 1.5}),
		"purposes unsorted":   anchors(map[int]any{1: cosekit.RawMessage(key), 3: []string{"verifier", "tam"}}),
		"key with more in it": anchors(map[int]any{1: map[int]any{1: 1, 3: -19, -1: 6, -2: cosekit.RawMessage(key[len(key)-34:])}, 3: []string{"tam"}}),
	} {
		if s, err := DecodeStore(data); !errors.Is(err, ErrMalformed) || len(s.anchors) != 0 {
			t.Errorf("%s: %v, %d anchors", name, err, len(s.anchors))
		}
	}
}

// TestStoreModel holds a store against a plain map through any run of changes.
func TestStoreModel(t *testing.T) {
	keys := make([]*cosekit.PublicKey, 8)
	for i := range keys {
		keys[i] = testKey(t, byte(i+1))
	}
	purposes := []Purpose{TCSigner, TAM, Verifier, Manager, Attester}
	rapid.Check(t, func(t *rapid.T) {
		var s Store
		model := map[cosekit.Thumbprint]Purpose{}
		type past struct {
			store   Store
			encoded []byte
		}
		var history []past
		for step := range rapid.IntRange(0, 30).Draw(t, "steps") {
			history = append(history, past{s, s.Encode()})
			key := rapid.SampledFrom(keys).Draw(t, fmt.Sprint("key", step))
			_, known := model[key.Thumbprint()]
			if rapid.Bool().Draw(t, fmt.Sprint("add", step)) {
				p := rapid.SampledFrom(purposes).Draw(t, fmt.Sprint("purpose", step))
				next, err := s.With(Anchor{Key: key, Purposes: []Purpose{p}})
				if known != errors.Is(err, ErrExists) || !known && err != nil {
					t.Fatalf("With: %v, known %t", err, known)
				}
				if err == nil {
					s, model[key.Thumbprint()] = next, p
				}
				continue
			}
			next, err := s.Without(key.Thumbprint())
			if known != (err == nil) {
				t.Fatalf("Without: %v, known %t", err, known)
			}
			if err == nil {
				s = next
				delete(model, key.Thumbprint())
			}
		}
		for _, h := range history {
			if !bytes.Equal(h.store.Encode(), h.encoded) {
				t.Fatal("a later change reached an earlier store")
			}
		}
		for _, key := range keys {
			for _, p := range purposes {
				_, err := s.Lookup(key.Thumbprint(), p, now)
				if want := model[key.Thumbprint()] == p; want != (err == nil) {
					t.Fatalf("Lookup %s: %v", p, err)
				}
			}
		}
		back, err := DecodeStore(s.Encode())
		if err != nil || !bytes.Equal(back.Encode(), s.Encode()) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func FuzzDecodeStore(f *testing.F) {
	s, err := NewStore(publisher(f), Anchor{Key: testKey(f, 2), Purposes: []Purpose{TAM, Attester}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Encode())
	f.Add(Store{}.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStore(data)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), data) {
			t.Fatal("decoded something else than the encoding")
		}
		for _, a := range s.Anchors() {
			if err := a.Validate(); err != nil {
				t.Fatalf("an anchor that is not valid: %v", err)
			}
		}
	})
}
