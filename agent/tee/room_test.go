package tee

import (
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestDiskOfAnySize lets the disk be full at every single byte of an update, in each of
// the ways in which an update takes room. Whatever came of it, the device accepts the next
// Update, takes something smaller, and uninstalls, now and after a restart.
func TestDiskOfAnySize(t *testing.T) {
	const kept, large = 300, 900
	payload := strings.Repeat("p", large)
	digest := suit.SumSHA256([]byte(payload))
	for name, update := range map[string]func(s *Store) error{
		"an image at once": func(s *Store) error {
			return commit(t, s, nil, part{"big", 1, true, map[string]string{"big": payload}, nil})
		},
		"a payload that can be resumed": func(s *Store) error {
			_, err := receive(t, s, "big", digest, payload, true)
			return err
		},
		"a payload that breaks off": func(s *Store) error {
			_, err := receive(t, s, "big", digest, payload, false)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := newDisk()
			s := openDisk(t, base)
			mustCommit(t, s, nil, part{"a", 1, true, map[string]string{"a": "image of a"}, nil}, part{"b", 1, true, map[string]string{"b": "image of b"}, nil})
			mustReceive(t, s, "kept", suit.SumSHA256(nil), strings.Repeat("k", kept))
			passed := map[bool]int{}
			for room := 0; passed[true] == 0; room += 11 {
				for _, restart := range []bool{false, true} {
					d := base.reboot(aftermaths[0])
					d.size = d.used() + room
					s := openDisk(t, d)
					s.checkpoint = 400
					err := update(s)
					if err != nil && !isFull(err) {
						t.Fatalf("%d bytes free: %v", room, err)
					}
					if p := s.payloads[hashed(component(t, "big").Key())]; err != nil && p != nil {
						t.Errorf("%d bytes are kept of what there was no room for", p.size)
					}
					passed[err == nil]++
					if restart {
						again := d.reboot(aftermaths[0])
						again.size = d.size
						d, s = again, openDisk(t, again)
					}
					goesOn(t, d, s)
				}
				if t.Failed() {
					t.Fatalf("with %d bytes free", room)
				}
			}
			if passed[false] == 0 {
				t.Error("the disk was never full")
			}
		})
	}
}

// goesOn wants a device that can be helped.
func goesOn(t *testing.T, d *disk, s *Store) {
	t.Helper()
	for i := range byte(3) {
		if fresh, err := s.AcceptUpdate([32]byte{i}); err != nil || !fresh {
			t.Errorf("accept an Update: %v, %v", fresh, err)
		}
	}
	leave := []string{"b"}
	if s.view().manifest(component(t, "big")) != nil {
		leave = append(leave, "big")
	}
	for _, root := range leave {
		if err := commit(t, s, []string{root}); err != nil {
			t.Errorf("uninstall: %v", err)
		}
	}
	if err := commit(t, s, nil, part{"a", 2, true, map[string]string{"a": "a"}, nil}); err != nil {
		t.Errorf("update with something smaller: %v", err)
	}
	if err := commit(t, s, []string{"a"}); err != nil {
		t.Errorf("uninstall: %v", err)
	}
	if d.open != 0 {
		t.Errorf("%d files left open", d.open)
	}
	checkTidy(t, d, s)
}

// TestWhatIsKeptMakesRoom before anything is refused.
func TestWhatIsKeptMakesRoom(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	mustReceive(t, s, "kept", suit.SumSHA256(nil), strings.Repeat("k", 4000))
	d.size = d.used() + 1000
	mustCommit(t, s, nil, part{"a", 1, true, map[string]string{"a": strings.Repeat("a", 3000)}, nil})
	if len(s.payloads) != 0 || s.reserved != reserveFor(0) {
		t.Errorf("%d payloads, reserve of %d bytes", len(s.payloads), s.reserved)
	}
}

// TestInstallationLeavesTheReserve: what makes the store larger does not get it.
func TestInstallationLeavesTheReserve(t *testing.T) {
	d := newDisk()
	openDisk(t, d)
	if err := d.Remove(reserveName); err != nil {
		t.Fatal(err)
	}
	d.size = d.used() + 4000
	s := openDisk(t, d)
	if s.reserved == 0 || s.reserved >= reserveFor(0) {
		t.Fatalf("reserve of %d bytes", s.reserved)
	}
	err := commit(t, s, nil, part{"a", 1, true, map[string]string{"a": "a"}, nil})
	if !isFull(err) || errors.Is(err, ErrBroken) {
		t.Errorf("installed without a reserve: %v", err)
	}
	held := s.reserved
	if _, err := s.Request(teep.RequestedTC{Component: component(t, "x")}); !isFull(err) || s.reserved != held {
		t.Errorf("a wish has taken %d bytes of the reserve: %v", held-s.reserved, err)
	}
	if _, err := s.AcceptUpdate([32]byte{1}); err != nil {
		t.Error(err)
	}
	d.size = 0 // somebody made room
	mustCommit(t, s, nil, part{"a", 1, true, map[string]string{"a": "a"}, nil})
	if s.reserved != reserveFor(0) {
		t.Errorf("reserve of %d bytes", s.reserved)
	}
}
