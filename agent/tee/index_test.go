package tee

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func sampleIndex() *index {
	least := uint64(3)
	id, own := suit.ComponentID{[]byte("app")}, suit.ComponentID{[]byte("app"), []byte("suit")}
	lib := suit.ComponentID{[]byte("lib"), []byte("suit")}
	permissions, author := suit.Permissions(0o755), "somebody"
	return &index{
		Serial: 4,
		Components: []componentEntry{{
			ID: id, File: fileName(imagePrefix, id, 2, 1),
			Metadata: &metadataEntry{Permissions: &permissions, Creator: &creatorEntry{Text: &author}},
		}},
		Manifests: []manifestEntry{
			{ID: lib, Sequence: 2, File: fileName(envelopePrefix, lib, 2, 3)},
			{
				ID: own, Sequence: 7, File: fileName(envelopePrefix, own, 2, 2), Root: true, Version: []int64{1, -1, 2},
				Components: []suit.ComponentID{id, {[]byte("no image")}}, Dependencies: []suit.ComponentID{lib},
			},
		},
		Requests: []requestEntry{{Component: suit.ComponentID{[]byte("b")}, MinSequence: &least}},
		Updates:  [][]byte{make([]byte, 32)},
		LastPoll: &pollEntry{At: 1, Outcome: "ok"},
		Retired:  []retiredEntry{{ID: suit.ComponentID{[]byte("c"), []byte("suit")}, Sequence: 9}},
		Unneeded: []suit.ComponentID{own},
		Floors:   []floorEntry{{Component: suit.ComponentID{[]byte("d")}, Sequence: 5}, {Component: id, Sequence: 8}},
	}
}

// oldIndex is a body as versions 2 and 3 had it: components name their manifests.
func oldIndex() *index {
	x := sampleIndex()
	x.Components[0].Manifests = []suit.ComponentID{x.Manifests[1].ID}
	x.Components[0].Metadata = nil
	for i := range x.Manifests {
		m := &x.Manifests[i]
		*m = manifestEntry{ID: m.ID, Sequence: m.Sequence, File: m.File}
	}
	return x
}

func encodeAs(version uint64, x *index) []byte {
	body := cosekit.MustMarshal(x)
	sum := sha256.Sum256(body)
	return cosekit.MustMarshal([]any{version, sum[:], body})
}

func TestIndexRoundTrip(t *testing.T) {
	data := sampleIndex().encode()
	x, err := decodeIndex(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x.encode(), data) {
		t.Error("a second encoding differs")
	}
}

func TestDamagedIndexIsRefused(t *testing.T) {
	data := sampleIndex().encode()
	for i := range data {
		if _, err := decodeIndex(data[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		spoilt := bytes.Clone(data)
		spoilt[i] ^= 0x40
		if _, err := decodeIndex(spoilt); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooNew) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	if _, err := decodeIndex(append(data, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("trailing byte: %v", err)
	}
}

// TestIndexThatLies has a right checksum and a content that this package never writes.
func TestIndexThatLies(t *testing.T) {
	for name, spoil := range map[string]func(x *index){
		"file outside":         func(x *index) { x.Components[0].File = "../secret" },
		"file of somebody":     func(x *index) { x.Manifests[0].File = "notes.txt" },
		"file twice":           func(x *index) { x.Manifests[0].File = x.Components[0].File },
		"component twice":      func(x *index) { x.Components = append(x.Components, x.Components[0]) },
		"manifest twice":       func(x *index) { x.Manifests = append(x.Manifests, x.Manifests[0]) },
		"component of nothing": func(x *index) { x.Manifests, x.Unneeded = nil, nil },
		"short update digest":  func(x *index) { x.Updates = [][]byte{{1}} },
		"too many updates":     func(x *index) { x.Updates = make([][]byte, maxUpdates+1) },
		"too many requests":    func(x *index) { x.Requests = make([]requestEntry, maxRequests+1) },
		"component of nobody":  func(x *index) { x.Manifests[1].Components = nil },
		"component names one":  func(x *index) { x.Components[0].Manifests = x.Unneeded },
		"listed twice":         func(x *index) { m := &x.Manifests[1]; m.Components = append(m.Components, m.Components[0]) },
		"one dependency twice": func(x *index) { m := &x.Manifests[1]; m.Dependencies = append(m.Dependencies, m.Dependencies[0]) },
		"dependency of nobody": func(x *index) { x.Manifests[1].Dependencies = nil },
		"dependency of itself": func(x *index) {
			x.Manifests[1].Dependencies = nil
			x.Manifests[0].Dependencies = []suit.ComponentID{x.Manifests[0].ID}
		},
		"no root":                 func(x *index) { x.Manifests[1].Root, x.Unneeded = false, nil },
		"unneeded and unknown":    func(x *index) { x.Unneeded = []suit.ComponentID{{[]byte("x")}} },
		"unneeded twice":          func(x *index) { x.Unneeded = append(x.Unneeded, x.Unneeded[0]) },
		"unneeded and no root":    func(x *index) { x.Unneeded = []suit.ComponentID{x.Manifests[0].ID} },
		"retired and installed":   func(x *index) { x.Retired[0].ID = x.Manifests[0].ID },
		"too many listed":         func(x *index) { x.Manifests[1].Dependencies = make([]suit.ComponentID, maxListed) },
		"too many retired":        func(x *index) { x.Retired = make([]retiredEntry, maxRetired+1) },
		"component, no floor":     func(x *index) { x.Floors = x.Floors[:1] },
		"above its floor":         func(x *index) { x.Manifests[1].Sequence = 9 },
		"floor twice":             func(x *index) { x.Floors = append(x.Floors, x.Floors[0]) },
		"too many floors":         func(x *index) { x.Floors = append(x.Floors, numberedFloors(maxFloors-1)...) },
		"component without name":  func(x *index) { x.Components[0].File = "" },
		"more permissions":        func(x *index) { p := suit.Permissions(1 << 14); x.Components[0].Metadata.Permissions = &p },
		"long creator":            func(x *index) { s := strings.Repeat("x", maxCreator+1); x.Components[0].Metadata.Creator.Text = &s },
		"creator with short UUID": func(x *index) { x.Components[0].Metadata.Creator.UUID = []byte{1} },
	} {
		x := sampleIndex()
		spoil(x)
		if _, err := decodeIndex(x.encode()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(sampleIndex().encode())
	f.Add(new(index).encode())
	f.Add(encodeAs(withoutLists, oldIndex()))
	f.Add(encodeAs(withoutFloors, oldIndex()))
	f.Add([]byte(cosekit.MustMarshal(sampleIndex())))
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		x, err := decodeIndex(cosekit.MustMarshal([]any{indexVersion, sum[:], data})) // as a body
		if err != nil {
			x, err = decodeIndex(data)
		}
		if err != nil {
			return
		}
		again, err := decodeIndex(x.encode())
		if err != nil {
			t.Fatalf("own encoding: %v", err)
		}
		if !bytes.Equal(again.encode(), x.encode()) {
			t.Fatal("encoding is no fixpoint")
		}
	})
}
