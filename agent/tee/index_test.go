package tee

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

func sampleIndex() *index {
	least := uint64(3)
	id, own := suit.ComponentID{[]byte("app")}, suit.ComponentID{[]byte("app"), []byte("suit")}
	return &index{
		Serial:     4,
		Components: []componentEntry{{ID: id, File: fileName(imagePrefix, id, 2, 1), Manifests: []suit.ComponentID{own}}},
		Manifests:  []manifestEntry{{ID: own, Sequence: 7, File: fileName(envelopePrefix, own, 2, 2)}},
		Requests:   []requestEntry{{Component: suit.ComponentID{[]byte("b")}, MinSequence: &least}},
		Updates:    [][]byte{make([]byte, 32)},
		LastPoll:   &pollEntry{At: 1, Outcome: "ok"},
		Retired:    []retiredEntry{{ID: suit.ComponentID{[]byte("c"), []byte("suit")}, Sequence: 9}},
		Unneeded:   []suit.ComponentID{own},
		Floors:     []floorEntry{{Component: suit.ComponentID{[]byte("d")}, Sequence: 5}, {Component: id, Sequence: 8}},
	}
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
		"file outside":           func(x *index) { x.Components[0].File = "../secret" },
		"file of somebody":       func(x *index) { x.Manifests[0].File = "notes.txt" },
		"component twice":        func(x *index) { x.Components = append(x.Components, x.Components[0]) },
		"manifest twice":         func(x *index) { x.Manifests = append(x.Manifests, x.Manifests[0]) },
		"component of nothing":   func(x *index) { x.Manifests = nil },
		"short update digest":    func(x *index) { x.Updates = [][]byte{{1}} },
		"too many updates":       func(x *index) { x.Updates = make([][]byte, maxUpdates+1) },
		"too many requests":      func(x *index) { x.Requests = make([]requestEntry, maxRequests+1) },
		"component of nobody":    func(x *index) { x.Components[0].Manifests = nil },
		"one reference twice":    func(x *index) { x.Components[0].Manifests = append(x.Components[0].Manifests, x.Manifests[0].ID) },
		"unneeded and unknown":   func(x *index) { x.Unneeded = []suit.ComponentID{{[]byte("x")}} },
		"unneeded twice":         func(x *index) { x.Unneeded = append(x.Unneeded, x.Unneeded[0]) },
		"retired and installed":  func(x *index) { x.Retired[0].ID = x.Manifests[0].ID },
		"too many retired":       func(x *index) { x.Retired = make([]retiredEntry, maxRetired+1) },
		"component, no floor":    func(x *index) { x.Floors = x.Floors[:1] },
		"above its floor":        func(x *index) { x.Manifests[0].Sequence = 9 },
		"floor twice":            func(x *index) { x.Floors = append(x.Floors, x.Floors[0]) },
		"too many floors":        func(x *index) { x.Floors = append(x.Floors, numberedFloors(maxFloors-1)...) },
		"component without name": func(x *index) { x.Components[0].File = "" },
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
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := decodeIndex(data)
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
