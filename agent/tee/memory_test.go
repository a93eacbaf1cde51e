package tee

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

func TestRequests(t *testing.T) {
	s := openDisk(t, newDisk())
	id, own := component(t, "app/hello"), component(t, "app/hello/suit")
	number := func(n uint64) *uint64 { return &n }
	if err := install(t.Context(), s, manifest(t, id, 4, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		tc   teep.RequestedTC
		want bool
	}{
		{"installed", teep.RequestedTC{Component: id}, false},
		{"installed, by its manifest", teep.RequestedTC{Component: own}, false},
		{"installed and new enough", teep.RequestedTC{Component: id, MinSequence: number(4)}, false},
		{"installed but too old", teep.RequestedTC{Component: id, MinSequence: number(5)}, true},
		{"not installed", teep.RequestedTC{Component: component(t, "app/other")}, true},
	}
	for _, tt := range tests {
		if added, err := s.Request(tt.tc); added != tt.want || err != nil {
			t.Errorf("%s: added %v, %v", tt.name, added, err)
		}
	}
	if r := s.Requests(); len(r) != 2 {
		t.Fatalf("requests %v", r)
	}
	// The same component once more is the same wish with another minimum.
	if _, err := s.Request(teep.RequestedTC{Component: id, MinSequence: number(9)}); err != nil {
		t.Fatal(err)
	}
	r := s.Requests()
	if len(r) != 2 || !r[1].Component.Equal(id) || *r[1].MinSequence != 9 {
		t.Errorf("requests %v", r)
	}
	if err := install(t.Context(), s, manifest(t, id, 9, []byte("y"))); err != nil {
		t.Fatal(err)
	}
	if r := s.Requests(); len(r) != 1 || r[0].Component.Equal(id) {
		t.Errorf("after the installation: %v", r)
	}
	if _, err := s.Request(teep.RequestedTC{Component: component(t, "app/none"), MinSequence: number(1), HaveBinary: true}); !errors.Is(err, processor.ErrNoImage) {
		t.Errorf("a manifest to an image that is not there was requested: %v", err)
	}
	if added, err := s.Request(teep.RequestedTC{Component: id, MinSequence: number(10), HaveBinary: true}); !added || err != nil {
		t.Errorf("a manifest to an image that is there: %v, %v", added, err)
	}
	if r := s.Requests(); len(r) != 2 || !r[1].HaveBinary {
		t.Errorf("requests %v", r)
	}
	for i, want := range []bool{true, false} {
		if removed, err := s.Withdraw(component(t, "app/other")); removed != want || err != nil {
			t.Errorf("withdrawal %d: %v, %v", i, removed, err)
		}
	}
	if _, err := s.Request(teep.RequestedTC{}); err == nil {
		t.Error("a component without a name was requested")
	}
}

// TestUnneeded: what is withdrawn is listed by its manifests until they are gone, or
// until somebody asks for it again.
func TestUnneeded(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	id, own := component(t, "app/hello"), component(t, "app/hello/suit")
	m := manifest(t, id, 1, []byte("x"))
	if err := install(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	check := func(want ...suit.ComponentID) {
		t.Helper()
		for name, s := range map[string]*Store{"store": s, "reopened": openDisk(t, d)} {
			if got := s.Unneeded(); !slices.EqualFunc(got, want, suit.ComponentID.Equal) {
				t.Errorf("%s: unneeded %v, want %v", name, got, want)
			}
		}
	}
	check()
	for _, name := range []suit.ComponentID{id, own} {
		for i, want := range []bool{true, false} {
			if changed, err := s.Withdraw(name); changed != want || err != nil {
				t.Errorf("withdrawal %d: %v, %v", i, changed, err)
			}
		}
		check(own)
		if added, err := s.Request(teep.RequestedTC{Component: id}); added || err != nil {
			t.Errorf("needed again: %v, %v", added, err)
		}
		check()
	}
	// A newer one is needed: so is the manifest.
	five := uint64(5)
	if _, err := s.Withdraw(id); err != nil {
		t.Fatal(err)
	}
	if added, err := s.Request(teep.RequestedTC{Component: id, MinSequence: &five}); !added || err != nil {
		t.Errorf("a newer one: %v, %v", added, err)
	}
	check()
	if changed, err := s.Withdraw(id); !changed || err != nil || len(s.Requests()) > 0 {
		t.Errorf("withdrawal of both: %v, %v", changed, err)
	}
	check(own)
	if err := uninstall(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	check()
	if changed, err := s.Withdraw(id); changed || err != nil {
		t.Errorf("withdrawal of nothing: %v, %v", changed, err)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := openDisk(t, newDisk())
	for i := range maxRequests {
		if added, err := s.Request(teep.RequestedTC{Component: numbered(i)}); !added || err != nil {
			t.Fatal(i, added, err)
		}
	}
	if _, err := s.Request(teep.RequestedTC{Component: numbered(maxRequests)}); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if added, err := s.Request(teep.RequestedTC{Component: numbered(0)}); !added || err != nil {
		t.Errorf("a known one again: %v, %v", added, err)
	}
}

func numbered(i int) suit.ComponentID {
	return suit.ComponentID{binary.BigEndian.AppendUint32([]byte("c"), uint32(i))}
}

func TestUpdatesAreAcceptedOnce(t *testing.T) {
	s := openDisk(t, newDisk())
	digest := func(i int) (d [32]byte) { binary.BigEndian.PutUint32(d[:], uint32(i)); return d }
	for i := range maxUpdates + 1 {
		if fresh, err := s.AcceptUpdate(digest(i)); !fresh || err != nil {
			t.Fatal(i, fresh, err)
		}
	}
	for _, i := range []int{1, maxUpdates} {
		if fresh, err := s.AcceptUpdate(digest(i)); fresh || err != nil {
			t.Errorf("update %d again: fresh %v, %v", i, fresh, err)
		}
	}
	if n := len(s.view().Updates); n != maxUpdates {
		t.Errorf("%d digests kept", n)
	}
}

func TestLastPoll(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	if _, ok := s.LastPoll(); ok {
		t.Error("a poll before the first")
	}
	at := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	// The cut falls into the middle of a character.
	if err := s.RecordPoll(Poll{At: at, Outcome: strings.Repeat("x", maxOutcome-1) + "é", Failed: true}); err != nil {
		t.Fatal(err)
	}
	p, ok := openDisk(t, d).LastPoll()
	if !ok || !p.At.Equal(at) || !p.Failed || p.Outcome != strings.Repeat("x", maxOutcome-1) {
		t.Errorf("last poll %+v, %v", p, ok)
	}
}

func wish(t testing.TB, name string, least uint64) teep.RequestedTC {
	t.Helper()
	return teep.RequestedTC{Component: component(t, name), MinSequence: &least}
}
