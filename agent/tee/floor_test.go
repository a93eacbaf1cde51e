package tee

import (
	"encoding/binary"
	"errors"
	"testing"

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

// A manifest that may only look at a component, as its signer has no right to more, does
// not raise its floor; over a restart neither.
func TestFloorOfAnObserver(t *testing.T) {
	id := component(t, "app/hello")
	for _, observed := range []bool{false, true} {
		d := newDisk()
		s := openDisk(t, d)
		if err := install(t.Context(), s, named(t, "app/owner", id, 10, []byte("ten"))); err != nil {
			t.Fatal(err)
		}
		in := installation(t, named(t, "app/reader", id, 99, []byte("ten")))
		if observed {
			in.Observed = []suit.ComponentID{id}
		}
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}), tx.Rollback()); err != nil {
			t.Fatal(err)
		}
		s = openDisk(t, d)
		if want := map[bool]uint64{false: 99, true: 10}[observed]; s.view().floor(id) != want {
			t.Errorf("observed %t: floor %d, want %d", observed, s.view().floor(id), want)
		}
	}
}

// An index in which a manifest observes what it does not list is not one of ours.
func TestObservedIsListed(t *testing.T) {
	x := sampleIndex()
	m := &x.Manifests[1]
	m.Observed = m.Components[:1]
	if _, err := decodeIndex(x.encode()); err != nil {
		t.Fatal(err)
	}
	m.Observed = []suit.ComponentID{numberedComponent(1)}
	if _, err := decodeIndex(x.encode()); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
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
	installed, gone := x.Components[0].ID, x.Floors[0].Component
	own := &x.Manifests[1]
	own.Sequence = 3
	x.raiseFloors()
	if got := x.floor(installed); got != 8 {
		t.Errorf("a lower number took the floor down to %d", got)
	}
	// The components of others come and go, one after the other.
	for i := range maxFloors {
		id := numberedComponent(i)
		own.Components = []suit.ComponentID{installed, id}
		x.putImage(id, fileName(imagePrefix, id, 1, i))
		x.prune()
		x.raiseFloors()
	}
	if err := errors.Join(x.checkBounds(), x.checkFloors()); err != nil || len(x.Floors) != maxFloors {
		t.Fatalf("%d floors, %v", len(x.Floors), err)
	}
	for name, tt := range map[string]struct {
		id   suit.ComponentID
		want uint64
	}{
		"installed": {installed, 8}, "the oldest": {gone, 0}, "the oldest after it": {numberedComponent(0), 0},
		"the next": {numberedComponent(1), 3}, "the newest": {numberedComponent(maxFloors - 1), 3},
	} {
		if got := x.floor(tt.id); got != tt.want {
			t.Errorf("%s: floor %d, want %d", name, got, tt.want)
		}
	}
}

// TestIndexWithoutFloors: an index of that version gets the floors that follow from what
// is installed, and is written as one of this version.
func TestIndexWithoutFloors(t *testing.T) {
	old := oldIndex()
	old.Floors = nil
	x, err := decodeIndex(encodeAs(withoutFloors, old))
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Floors) != 1 || x.floor(x.Components[0].ID) != 7 {
		t.Errorf("floors %+v", x.Floors)
	}
	if _, err := decodeIndex(x.encode()); err != nil {
		t.Error(err)
	}
	if _, err := decodeIndex(encodeAs(withoutFloors-1, old)); !errors.Is(err, ErrDamaged) {
		t.Errorf("the version before that: %v", err)
	}
}

// TestFloorNeedsAnImage: what a manifest only lists was never installed, and takes no
// room from what was. Once there is an image its number counts.
func TestFloorNeedsAnImage(t *testing.T) {
	x := sampleIndex()
	own, installed := &x.Manifests[1], x.Components[0].ID
	own.Sequence, own.Components = 12, []suit.ComponentID{installed, numberedComponent(1)}
	x.raiseFloors()
	if x.floor(installed) != 12 || len(x.Floors) != 2 {
		t.Errorf("floors %+v", x.Floors)
	}
	x.putImage(numberedComponent(1), fileName(imagePrefix, installed, 1, 1))
	x.raiseFloors()
	if x.floor(numberedComponent(1)) != 12 || x.checkFloors() != nil {
		t.Errorf("floors %+v", x.Floors)
	}
}
