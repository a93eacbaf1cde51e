package tee

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// resume goes on with a payload in a transaction, and returns what was kept of it.
func resume(t testing.TB, tx processor.Transaction, id suit.ComponentID, want suit.Digest) (processor.Partial, string, error) {
	t.Helper()
	p, kept, err := tx.(processor.Resumable).Resume(t.Context(), id, want)
	if err != nil || kept == nil {
		return p, "", err
	}
	data, err := io.ReadAll(kept)
	return p, string(data), errors.Join(err, kept.Close())
}

// receive lets content arrive after what was kept, in a transaction that comes to
// nothing; whole says whether that was all of it.
func receive(t testing.TB, s *Store, name string, want suit.Digest, content string, whole bool) (kept string, err error) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	p, kept, err := resume(t, tx, component(t, name), want)
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(p, content)
	end := p.Suspend
	if whole {
		end = p.Close
	}
	return kept, errors.Join(err, end())
}

func mustReceive(t testing.TB, s *Store, name string, want suit.Digest, content string) (kept string) {
	t.Helper()
	kept, err := receive(t, s, name, want, content, false)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestPayloadArrivesInParts over transactions and restarts, and is installed then.
func TestPayloadArrivesInParts(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	want := suit.SumSHA256([]byte("abcdef"))
	if kept := mustReceive(t, s, "x", want, "ab"); kept != "" {
		t.Errorf("kept %q of nothing", kept)
	}
	if kept := mustReceive(t, s, "x", want, "cd"); kept != "ab" {
		t.Errorf("kept %q", kept)
	}
	s = openDisk(t, d.reboot(aftermaths[1]))
	d = s.files.(*disk)
	checkTidy(t, d, s)
	if len(s.view().Components) != 0 {
		t.Error("a payload is taken for an image")
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	id := component(t, "x")
	p, kept, err := resume(t, tx, id, want)
	if err != nil || kept != "abcd" {
		t.Fatal(kept, err)
	}
	if _, _, err := tx.Open(t.Context(), id); !errors.Is(err, processor.ErrNoImage) {
		t.Errorf("opened before it has arrived: %v", err)
	}
	if _, err := io.WriteString(p, "ef"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open1(t, tx, id); got != "abcdef" {
		t.Errorf("the candidate reads %q", got)
	}
	in := part{"app", 1, true, map[string]string{"x": ""}, nil}.installation(t)
	if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s); got != "app* x=abcdef" || len(s.payloads) != 0 {
		t.Errorf("%s, %d payloads", got, len(s.payloads))
	}
	s = openDisk(t, d)
	checkTidy(t, d, s)
	if got := contents(t, s); got != "app* x=abcdef" {
		t.Error(got)
	}
	// The image stays when another payload for the component begins and ends.
	if kept := mustReceive(t, s, "x", want, "zz"); kept != "" {
		t.Errorf("the image was resumed: %q", kept)
	}
	if got := contents(t, openDisk(t, d)); got != "app* x=abcdef" {
		t.Error(got)
	}
}

// TestPayloadsOfNoUse are dropped.
func TestPayloadsOfNoUse(t *testing.T) {
	one, two := suit.SumSHA256([]byte("one")), suit.SumSHA256([]byte("two"))
	for name, tt := range map[string]struct {
		do   func(t *testing.T, s *Store)
		want string // of what is kept for digest one
	}{
		"none of these": {func(*testing.T, *Store) {}, "o"},
		"another digest": {func(t *testing.T, s *Store) {
			if kept := mustReceive(t, s, "x", two, "t"); kept != "" {
				t.Errorf("kept %q of another digest", kept)
			}
		}, ""},
		"the component is installed": {func(t *testing.T, s *Store) {
			mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"x": "other"}, nil})
		}, ""},
		"the component was found to be right": {func(t *testing.T, s *Store) {
			mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"x": ""}, nil})
		}, ""},
		"another component is installed": {func(t *testing.T, s *Store) {
			mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"y": "other"}, nil})
		}, "o"},
		"another component is installed by who received it": {func(t *testing.T, s *Store) {
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, _, err := resume(t, tx, component(t, "x"), one)
			if err := errors.Join(err, p.Suspend(), put(t, tx, component(t, "y"), "other")); err != nil {
				t.Fatal(err)
			}
			in := part{"app", 1, true, map[string]string{"y": ""}, nil}.installation(t)
			if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}); err != nil {
				t.Fatal(err)
			}
			if kept := mustReceive(t, s, "x", one, ""); kept != "o" {
				t.Errorf("kept %q", kept)
			}
		}, "o"},
		"it arrived whole, and something else failed": {func(t *testing.T, s *Store) {
			if _, err := receive(t, s, "x", one, "ne", true); err != nil {
				t.Fatal(err)
			}
		}, "one"},
		"begun anew in one transaction": {func(t *testing.T, s *Store) {
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"o", "", ""} {
				p, kept, err := resume(t, tx, component(t, "x"), one)
				if err != nil || kept != want {
					t.Fatalf("resumed for the %d. time: %q, %v", i+1, kept, err)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"created after it was resumed": {func(t *testing.T, s *Store) {
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p, kept, err := resume(t, tx, component(t, "x"), one)
			if err := errors.Join(err, p.Close()); err != nil || kept != "o" {
				t.Fatal(kept, err)
			}
			if err := errors.Join(put(t, tx, component(t, "x"), "whole"), tx.Rollback()); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"nobody asks for it any more": {func(t *testing.T, s *Store) {
			err := s.change(func(next *index) error { next.Serial += maxIdle; return nil })
			if tx, begun := s.Begin(t.Context()); errors.Join(err, begun, tx.Rollback()) != nil {
				t.Fatal(err, begun)
			}
		}, ""},
		"it has lost bytes": {func(t *testing.T, s *Store) {
			d := s.files.(*disk)
			d.names[s.payloads[hashed(component(t, "x").Key())].name()].data = nil
			if kept := mustReceive(t, s, "x", one, ""); kept != "" {
				t.Errorf("kept %q", kept)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			mustReceive(t, s, "x", one, "o")
			tt.do(t, s)
			checkTidy(t, d, s)
			s = openDisk(t, d)
			checkTidy(t, d, s)
			if kept := mustReceive(t, s, "x", one, ""); kept != tt.want {
				t.Errorf("kept %q, want %q", kept, tt.want)
			}
		})
	}
}

// TestPayloadsAreBounded in number and in bytes: the oldest makes room, but none that
// has just grown.
func TestPayloadsAreBounded(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	digest := suit.SumSHA256(nil)
	for i := range maxPayloads {
		mustReceive(t, s, fmt.Sprint("c", i), digest, "x")
	}
	if kept := mustReceive(t, s, "c0", digest, "y"); kept != "x" {
		t.Errorf("kept %q", kept)
	}
	mustReceive(t, s, "one-more", digest, "z")
	s = openDisk(t, d)
	checkTidy(t, d, s)
	names := slices.Sorted(maps.Keys(s.payloads))
	if len(names) != maxPayloads || s.payloads[hashed(component(t, "c1").Key())] != nil || s.payloads[hashed(component(t, "c0").Key())] == nil {
		t.Errorf("%d payloads are kept: %v", len(names), names)
	}
	for _, p := range s.payloads {
		p.size = maxPayloadBytes/2 + 1 // no two of them fit
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = tx.Rollback() // some are not there under that name
	if len(s.payloads) != 1 || s.payloads[hashed(component(t, "one-more").Key())] == nil {
		t.Errorf("%d payloads are kept", len(s.payloads))
	}
}

// TestPayloadIsSavedOnTheWay: a process that dies leaves what it had at the last
// checkpoint, and nothing that it had not.
func TestPayloadIsSavedOnTheWay(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	s.checkpoint = 10
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := resume(t, tx, component(t, "x"), suit.SumSHA256(nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := io.WriteString(p, "0123456"); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range aftermaths {
		s := openDisk(t, d.reboot(a))
		checkTidy(t, s.files.(*disk), s)
		if kept := mustReceive(t, s, "x", suit.SumSHA256(nil), ""); kept != "01234560123456" {
			t.Errorf("%s: kept %q", a.name, kept)
		}
	}
}

// TestTwoTransactionsWithOnePayload: the second does not get it.
func TestTwoTransactionsWithOnePayload(t *testing.T) {
	s := openDisk(t, newDisk())
	first, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback()
	p, _, err := resume(t, first, component(t, "x"), suit.SumSHA256(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receive(t, s, "x", suit.SumSHA256(nil), "x", false); err == nil || !strings.Contains(err.Error(), "another transaction") {
		t.Errorf("the second: %v", err)
	}
	if err := p.Suspend(); err != nil {
		t.Error(err)
	}
}

// TestOthersWhileAPayloadArrives: the store is asked and changed in the meantime; the race
// detector watches.
func TestOthersWhileAPayloadArrives(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.checkpoint = 1
	mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"y": "1"}, nil})
	var others sync.WaitGroup
	for i := range 2 {
		others.Go(func() {
			for n := range 10 {
				name := fmt.Sprintf("c%d-%d", i, n%3)
				if _, err := receive(t, s, name, suit.SumSHA256(nil), "abc", n%2 == 0); err != nil {
					t.Error(err)
				}
				if _, err := s.Measure(t.Context()); err != nil {
					t.Error(err)
				}
				if err := s.RecordPoll(Poll{Outcome: name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	others.Wait()
	if got := contents(t, s); got != "app* y=1" || len(s.payloads) != 6 {
		t.Errorf("%s, and %d payloads", got, len(s.payloads))
	}
}

// TestPlantedPayloads: what somebody puts there under the name of a payload is neither
// followed nor believed, and does not bring the store down.
func TestPlantedPayloads(t *testing.T) {
	digest := suit.SumSHA256([]byte("abc"))
	victim := []byte("not yours")
	for name, plant := range map[string]func(t *testing.T, path, outside string) error{
		"link outside":  func(_ *testing.T, path, outside string) error { return os.Symlink(outside, path) },
		"link inside":   func(_ *testing.T, path, _ string) error { return os.Symlink(indexName, path) },
		"directory":     func(_ *testing.T, path, _ string) error { return os.Mkdir(path, 0o700) },
		"shorter file":  func(_ *testing.T, path, _ string) error { return os.WriteFile(path, []byte("a"), 0o600) },
		"link to a pit": func(_ *testing.T, path, _ string) error { return os.Symlink(filepath.Base(path), path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "victim")
			write(t, outside, victim)
			s := openStore(t, dir)
			mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"y": "1"}, nil})
			mustReceive(t, s, "x", digest, "ab")
			path := filepath.Join(dir, s.payloads[hashed(component(t, "x").Key())].name())
			if err := errors.Join(os.Remove(path), plant(t, path, outside)); err != nil {
				t.Fatal(err)
			}
			if kept, err := receive(t, s, "x", digest, "abc", true); err != nil || kept != "" {
				t.Errorf("resumed with %q, %v", kept, err)
			}
			if kept := mustReceive(t, s, "x", digest, ""); kept != "abc" {
				t.Errorf("what was received after it: %q", kept)
			}
			if got, err := os.ReadFile(outside); err != nil || !bytes.Equal(got, victim) {
				t.Errorf("the file outside holds %q, %v", got, err)
			}
			s.Close()
			if got := contents(t, openStore(t, dir)); got != "app* y=1" {
				t.Error(got)
			}
		})
	}
}

func TestPayloadNames(t *testing.T) {
	p := newPayload(suit.ComponentID{[]byte("x")}, suit.SumSHA256(nil))
	p.serial, p.temp, p.size = 18446744073709551615, 3, 4
	if got, ok := parsePayload(p.name()); !ok || got != p {
		t.Errorf("%+v, %v", got, ok)
	}
	hex := strings.Repeat("0", 32)
	for _, name := range []string{
		"", "payload-", "payload-" + hex, "image-" + hex + "-" + hex + "-1-1-1", "payload-" + hex + "-" + hex + "-01-1-1",
		"payload-" + hex + "-" + hex + "-1-1--1", "payload-" + hex + "-" + hex + "-1-1-18446744073709551616", "payload-../../x-" + hex + "-1-1-1",
		"payload-" + hex + "-" + hex + "-1-1-1-1", "payload-" + hex + "-" + hex + "-1-1-1x",
	} {
		if _, ok := parsePayload(name); ok {
			t.Errorf("%q is taken for a payload", name)
		}
	}
}

// TestImageLeftByACrash: an image that came as a payload, and whose removal a crash
// prevented, is not taken for one that can be resumed.
func TestImageLeftByACrash(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *Store){
		"replaced": func(t *testing.T, s *Store) { takeWhole(t, s, 2, "ghi") },
		"uninstalled": func(t *testing.T, s *Store) {
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context(), processor.Change{Uninstall: []suit.ComponentID{component(t, "app")}}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			takeWhole(t, s, 1, "abcdef")
			file := s.view().component(component(t, "x")).File
			image := *d.names[file]
			change(t, s)
			if d.names[file] != nil {
				t.Fatal("the image was not removed at once")
			}
			d.names[file] = &image
			s = openDisk(t, d)
			checkTidy(t, d, s)
			if d.names[file] != nil || len(s.payloads) != 0 {
				t.Errorf("%s is still there, %d payloads", file, len(s.payloads))
			}
		})
	}
}

// takeWhole installs a payload that arrives whole as component x of manifest app.
func takeWhole(t *testing.T, s *Store, sequence uint64, content string) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := resume(t, tx, component(t, "x"), suit.SumSHA256([]byte(content)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, content); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	in := part{"app", sequence, true, map[string]string{"x": ""}, nil}.installation(t)
	if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}); err != nil {
		t.Fatal(err)
	}
}
