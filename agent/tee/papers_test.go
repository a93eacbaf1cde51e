package tee

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var issued = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

func samplePapers() agent.Papers {
	return agent.Papers{
		Passport: &agent.Passport{Format: "application/eat+jwt", Payload: []byte("a result"), Received: issued, Expires: issued.Add(time.Hour), Verified: true},
		TAMs:     []agent.AttestedTAM{{Key: cosekit.Thumbprint{1}, At: issued}, {Key: cosekit.Thumbprint{2}, At: issued}},
	}
}

// papersOfOne is the life of papers: a passport comes, another takes its place, a TAM
// attests itself, the passport is dropped.
func papersOfOne(t *testing.T) *scenario {
	keep := func(p agent.Papers) func(*testing.T, *Store) error {
		return func(_ *testing.T, s *Store) error { return s.KeepPapers(p) }
	}
	first, second, third := samplePapers(), samplePapers(), samplePapers()
	second.Passport = &agent.Passport{Payload: []byte("a newer result"), Received: issued}
	third.Passport = nil
	return newScenario(t, func(*Store) error { return nil }, keep(second),
		step{"first", keep(first)}, step{"second", keep(second)}, step{"drop", keep(third)})
}

func TestPapers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, identity)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := s.Papers(); err != nil || !reflect.DeepEqual(p, agent.Papers{}) {
		t.Errorf("at first %+v, %v", p, err)
	}
	for _, want := range []agent.Papers{samplePapers(), {Passport: &agent.Passport{Payload: []byte{1}, Received: issued}}, {}} {
		if err := s.KeepPapers(want); err != nil {
			t.Fatal(err)
		}
		reader, err := Read(dir, identity)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := reader.Papers(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("kept %+v, want %+v (%v)", got, want, err)
		}
		if err := reader.KeepPapers(want); !errors.Is(err, errReadOnly) {
			t.Errorf("a reader writes: %v", err)
		}
		reader.Close()
	}
	for name, p := range map[string]agent.Papers{
		"large passport": {Passport: &agent.Passport{Payload: make([]byte, attest.MaxTokenSize+1)}},
		"long format":    {Passport: &agent.Passport{Format: strings.Repeat("x", maxFormat+1)}},
		"many TAMs":      {TAMs: make([]agent.AttestedTAM, anchor.MaxAnchors+1)},
	} {
		if err := s.KeepPapers(p); err == nil {
			t.Errorf("%s: kept", name)
		}
	}
	largest := agent.Papers{Passport: &agent.Passport{Payload: make([]byte, attest.MaxTokenSize)}, TAMs: make([]agent.AttestedTAM, anchor.MaxAnchors)}
	if err := s.KeepPapers(largest); err != nil {
		t.Error(err)
	}
	if _, err := s.Papers(); err != nil {
		t.Errorf("the largest cannot be read back: %v", err)
	}
	s.Close()

	// Damage is said, does not keep the store from opening, and is written over.
	if err := os.WriteFile(filepath.Join(dir, papersName), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, identity); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Papers(); !errors.Is(err, ErrDamaged) {
		t.Errorf("garbage: %v", err)
	}
	if err := s.KeepPapers(samplePapers()); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Papers(); err != nil || !reflect.DeepEqual(p, samplePapers()) {
		t.Errorf("afterwards %+v, %v", p, err)
	}
}

func TestDamagedPapers(t *testing.T) {
	whole, err := encodePapers(samplePapers())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodePapers(whole); err != nil {
		t.Fatal(err)
	}
	body := cosekit.MustMarshal(papers{TAMs: []tamEntry{{Key: []byte{1}}}})
	sum := sha256.Sum256(body)
	for name, data := range map[string][]byte{
		"truncated":        whole[:len(whole)-1],
		"one bit":          bytes.Replace(whole, []byte("a result"), []byte("a resulT"), 1),
		"newer":            bytes.Replace(whole, []byte{0x83, papersVersion}, []byte{0x83, papersVersion + 1}, 1),
		"short thumbprint": cosekit.MustMarshal([]any{papersVersion, sum[:], body}),
		"two parts":        cosekit.MustMarshal([]any{papersVersion, sum[:]}),
		"empty":            {},
	} {
		if _, err := decodePapers(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodePapers(f *testing.F) {
	whole, err := encodePapers(samplePapers())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		p, err := decodePapers(cosekit.MustMarshal([]any{papersVersion, sum[:], data})) // as a body
		if err != nil {
			p, err = decodePapers(data)
		}
		if err != nil {
			return
		}
		once, err := encodePapers(p)
		if err != nil {
			t.Fatalf("own content: %v", err)
		}
		again, err := decodePapers(once)
		if err != nil {
			t.Fatalf("own encoding: %v", err)
		}
		if twice, err := encodePapers(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatal("encoding is no fixpoint")
		}
	})
}
