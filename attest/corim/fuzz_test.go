package corim

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// FuzzRead holds what is read to what the types promise, and writes it again: what was
// written reads as the same statements.
func FuzzRead(f *testing.F) {
	f.Add(encoded(f, every(f)))
	signed, err := every(f).Sign(newSigner(f, cosekit.Ed25519), "Acme")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	environment := map[int]any{1: taggedItem(99, 1)}
	for _, value := range []map[int]any{
		{14: map[any]any{7: []any{[]any{-43, make([]byte, 48)}}, "rim": []any{[]any{"sha256", make([]byte, 32)}}}},
		{4: taggedItem(tagBytes, []byte{1}), 5: []byte{0}, 11: "name"},
		{3: map[int]any{0: true}},
	} {
		comid := cosekit.MustMarshal(map[int]any{1: map[int]any{0: make([]byte, 16)}, 4: map[int]any{1: []any{[]any{environment, []any{map[int]any{1: value}}}}}})
		f.Add(cosekit.MustMarshal(map[int]any{0: "f", 1: []any{cosekit.MustMarshal(taggedItem(tagCoMID, comid))}, 3: []any{taggedItem(tagOID, []byte{0x2a, 3})}}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Read(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrKey) && !errors.Is(err, cosekit.ErrAlgorithm) && !errors.Is(err, cosekit.ErrCritical) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		base, err := NewBase([]*File{file}, now)
		if err != nil {
			t.Fatal(err)
		}
		if file.CheckValidity(now) == nil && len(file.Replaces()) == 0 {
			holdsEverything(t, base, file)
		}
		for _, r := range file.References() {
			if r.Mask != nil && len(r.Mask) != len(r.Raw) || r.SVN != nil && r.MinSVN != nil || r.Source == "" {
				t.Fatalf("value %+v", r)
			}
		}
		rewrite(t, file)
	})
}

// holdsEverything looks each statement up by its own environment.
func holdsEverything(t *testing.T, b *Base, f *File) {
	t.Helper()
	for _, r := range f.References() {
		if got := b.References(r.Environment); len(got) == 0 {
			t.Fatalf("%+v is not found by its environment", r)
		}
	}
	for _, k := range f.Keys() {
		if got := b.Keys(k.Environment); len(got) == 0 || k.Public == nil {
			t.Fatalf("%+v is not found by its environment", k)
		}
	}
}

func rewrite(t *testing.T, f *File) {
	t.Helper()
	u := &Unsigned{ID: f.ID, Version: f.Version, References: f.References(), Keys: f.Keys()}
	raw, err := u.Encode()
	if err != nil {
		return // not everything that is read is written, such as digests by unknown algorithms
	}
	again := readFile(t, raw)
	u = &Unsigned{ID: again.ID, Version: again.Version, References: again.References(), Keys: again.Keys()}
	if once := encoded(t, u); !bytes.Equal(once, raw) {
		t.Fatalf("writing is no fixpoint:\n%x\n%x", raw, once)
	}
	if len(again.References()) != len(f.References()) || len(again.Keys()) != len(f.Keys()) {
		t.Fatalf("read %d values and %d keys again, were %d and %d", len(again.References()), len(again.Keys()), len(f.References()), len(f.Keys()))
	}
	for _, r := range f.References() {
		found := false
		for _, other := range again.References() {
			found = found || r.Key == other.Key && r.Endorsed == other.Endorsed && reflect.DeepEqual(r.Digests, other.Digests) &&
				bytes.Equal(r.Raw, other.Raw) && bytes.Equal(r.Mask, other.Mask) && reflect.DeepEqual(r.SVN, other.SVN) &&
				reflect.DeepEqual(r.MinSVN, other.MinSVN) && r.Version == other.Version && bytes.Equal(r.Signer, other.Signer) &&
				r.Environment.covers(&other.Environment) && other.Environment.covers(&r.Environment)
		}
		if !found {
			t.Fatalf("%+v is not there again", r)
		}
	}
}

// FuzzFromManifest makes reference values of anything that is an envelope.
func FuzzFromManifest(f *testing.F) {
	f.Add(envelopeOf(f, f.TempDir(), motd, newSigner(f, cosekit.Ed25519)))
	if folder := os.Getenv("TEEP_VECTORS"); folder != "" {
		paths, err := filepath.Glob(filepath.Join(folder, "suit-*", "*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			if raw, err := os.ReadFile(path); err == nil && len(raw) < 1<<16 {
				f.Add(raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, err := FromManifest(raw, ManifestOptions{ID: "fuzz"})
		if err != nil {
			return
		}
		if len(u.References) == 0 {
			t.Fatal("no values and no error")
		}
		encodedOnce, err := u.Encode()
		if err != nil {
			if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrMalformed) {
				return // an empty component id, or a name that is too long, cannot be written down
			}
			t.Fatal(err)
		}
		if got := readFile(t, encodedOnce); len(got.References()) != len(u.References) {
			t.Fatalf("wrote %d values, read %d", len(u.References), len(got.References()))
		}
	})
}
