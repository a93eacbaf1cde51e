package tee

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// TestFloorOutlivesTheManifest: once a manifest is uninstalled, no other name brings back
// what is older than it, over a restart and however long that name was known.
func TestFloorOutlivesTheManifest(t *testing.T) {
	id := component(t, "app/hello")
	before := named(t, "app/before", id, 1, []byte("before"))
	ten := named(t, "app/v2", id, 10, []byte("ten"))
	for _, tt := range []struct {
		name string
		next *suit.Verified
		want error
	}{
		{"another name, lower", named(t, "app/v1", id, 9, []byte("nine")), processor.ErrRollback},
		{"another name, equal", named(t, "app/v1", id, 10, []byte("other")), nil},
		{"another name, higher", named(t, "app/v1", id, 11, []byte("eleven")), nil},
		{"the name that was there first", before, processor.ErrRollback},
		{"the same name, lower", named(t, "app/v2", id, 9, []byte("nine")), processor.ErrRollback},
		{"the same name, equal", ten, nil},
		{"the same name, another component", named(t, "app/v2", component(t, "app/other"), 10, []byte("x")), nil},
		{"another component", named(t, "app/v1", component(t, "app/other"), 1, []byte("x")), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			if err := errors.Join(install(t.Context(), s, before), uninstall(t.Context(), s, before),
				install(t.Context(), s, ten), uninstall(t.Context(), s, ten)); err != nil {
				t.Fatal(err)
			}
			s = openDisk(t, d)
			state := fingerprint(t, s)
			if err := install(t.Context(), s, tt.next); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.want != nil && fingerprint(t, s) != state {
				t.Error("the refusal changed the store")
			}
			checkTidy(t, d, s)
		})
	}
}

func numberedComponent(i int) suit.ComponentID {
	return suit.ComponentID{binary.BigEndian.AppendUint32(nil, uint32(i))}
}

func numberedFloors(n int) []floorEntry {
	list := make([]floorEntry, n)
	for i := range list {
		list[i] = floorEntry{numberedComponent(i), 1}
	}
	return list
}

// TestFloorsAreBounded: the oldest goes, but not that of an installed component.
func TestFloorsAreBounded(t *testing.T) {
	x := sampleIndex()
	installed, unlinked := x.Components[0].ID, x.Floors[0].Component
	x.raiseFloor(installed, 3)
	if got := x.floor(installed); got != 8 {
		t.Errorf("a lower number took the floor down to %d", got)
	}
	x.Floors = append(slices.Clone(x.Floors[1:]), x.Floors[0]) // the installed one is the oldest
	for i := range maxFloors {
		x.raiseFloor(numberedComponent(i), 2)
	}
	if err := x.checkFloors(); err != nil || len(x.Floors) != maxFloors {
		t.Fatalf("%d floors, %v", len(x.Floors), err)
	}
	for name, tt := range map[string]struct {
		id   suit.ComponentID
		want uint64
	}{
		"installed": {installed, 8}, "the oldest": {unlinked, 0}, "the oldest after it": {numberedComponent(0), 0},
		"the next": {numberedComponent(1), 2}, "the newest": {numberedComponent(maxFloors - 1), 2},
	} {
		if got := x.floor(tt.id); got != tt.want {
			t.Errorf("%s: floor %d, want %d", name, got, tt.want)
		}
	}
	x.raiseFloor(numberedComponent(1), 2) // is the newest again
	x.raiseFloor(component(t, "one/more"), 1)
	if x.floor(numberedComponent(1)) != 2 || x.floor(numberedComponent(2)) != 0 {
		t.Error("a floor that was confirmed is still the oldest")
	}
}

// TestIndexWithoutFloors: an index of the version before gets the floors that follow
// from what is installed, and is written as one of this version.
func TestIndexWithoutFloors(t *testing.T) {
	old := sampleIndex()
	old.Floors = nil
	body := cosekit.MustMarshal(old)
	sum := sha256.Sum256(body)
	x, err := decodeIndex(cosekit.MustMarshal([]any{withoutFloors, sum[:], body}))
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Floors) != 1 || x.floor(x.Components[0].ID) != 7 {
		t.Errorf("floors %+v", x.Floors)
	}
	if _, err := decodeIndex(x.encode()); err != nil {
		t.Error(err)
	}
	if _, err := decodeIndex(cosekit.MustMarshal([]any{withoutFloors - 1, sum[:], body})); !errors.Is(err, ErrDamaged) {
		t.Errorf("the version before that: %v", err)
	}
}

// TestFloorNeedsAnImage: what a manifest only lists was never installed, and takes no
// room from what was.
func TestFloorNeedsAnImage(t *testing.T) {
	x := sampleIndex()
	own, installed := x.Manifests[0].ID, x.Components[0].ID
	x.Manifests[0].Sequence = 12
	x.reference(own, []suit.ComponentID{installed, numberedComponent(1)})
	if x.floor(installed) != 12 || len(x.Floors) != 2 {
		t.Errorf("floors %+v", x.Floors)
	}
}
