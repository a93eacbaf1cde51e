package tam

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// shelf is a ManifestReader of one tree that counts how often it is asked.
type shelf struct {
	ManifestReader
	root      Manifest
	envelopes map[string][]byte
	asked     int
}

func (s *shelf) Manifest(suit.Digest) (Manifest, error) { return s.root, nil }

func (s *shelf) Envelope(d suit.Digest) ([]byte, error) {
	s.asked++
	if raw, ok := s.envelopes[d.String()]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, d)
}

func (s *shelf) add(t *testing.T, v *suit.Verified) []byte {
	t.Helper()
	raw, err := v.Envelope().Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	s.envelopes[v.Digest().String()] = raw
	return raw
}

// dependents lists d1 and d2 as its dependencies 2 and 3.
func dependents() *suit.Manifest {
	m := manifestOf(nil, nil, sequence(index(suit.Index(0)), fetching))
	m.Common.Dependencies = []suit.Dependency{{Index: 2, Prefix: named("d1")}, {Index: 3, Prefix: named("d2")}}
	return m
}

func recordAt(path ...uint64) suit.Record {
	return suit.Record{ManifestID: path, Section: suit.SectionInstall, Offset: 1}
}

// A dependency is found inside the envelopes above it, or in the store, and each is read
// once.
func TestReplayFindsDependencies(t *testing.T) {
	s := &shelf{envelopes: map[string][]byte{}}
	leaf := verifiedManifest(t, manifestOf(nil, nil, sequence(index(suit.Index(0)), fetching)), nil)
	raw := s.add(t, leaf)
	delete(s.envelopes, leaf.Digest().String())
	middle := verifiedManifest(t, dependents(), map[string][]byte{"#leaf": raw, "#else": []byte("no envelope")})
	s.add(t, middle)
	m := dependents()
	m.SequenceNumber = 2
	root := verifiedManifest(t, m, nil)
	s.add(t, root)
	s.root = Manifest{Digest: root.Digest(), Dependencies: []Dependency{
		{Component: named("d1"), Digest: middle.Digest()}, {Component: named("d2"), Digest: leaf.Digest()}}}
	report := &suit.Report{Reference: suit.Reference{Digest: root.Digest()}, Entries: []suit.ReportEntry{
		recordAt(2), recordAt(2, 3), recordAt(2), recordAt(2, 2), recordAt(0), recordAt(9), recordAt(2, 3, 2)}}
	out, err := replay(s, report)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dependency [2]: install[0]", "dependency [2 3]: install[0]", "dependency [2]: install[0]",
		"[2 2] is not at hand", "[0] is not at hand", "[9] is not at hand", "[2 3 2] is not at hand", "completed"}
	for i, line := range out.Lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d: %q, want %q", i, line, want[i])
		}
	}
	if s.asked != 2 {
		t.Errorf("%d envelopes were read, want the root and the one dependency that is not inside another", s.asked)
	}
}

// A small report must not have everything decoded again and again: here a dependency
// that lists itself under two names, with large payloads.
func TestReplayBoundsPaths(t *testing.T) {
	s := &shelf{envelopes: map[string][]byte{}}
	filling := verifiedManifest(t, manifestOf(nil, nil, sequence(slices.Repeat(
		[]suit.Command{override(suit.Parameters{Content: bytes.Repeat([]byte{1}, 60000)})}, 4)...)), nil)
	payload := s.add(t, filling)
	dependency := verifiedManifest(t, dependents(), map[string][]byte{"#a": payload, "#b": payload, "#c": payload})
	m := dependents()
	m.SequenceNumber = 2
	root := verifiedManifest(t, m, nil)
	s.add(t, dependency)
	s.add(t, root)
	s.root = Manifest{Digest: root.Digest(), Dependencies: []Dependency{
		{Component: named("d1"), Digest: dependency.Digest()}, {Component: named("d2"), Digest: dependency.Digest()}}}
	report := &suit.Report{Reference: suit.Reference{Digest: root.Digest()}}
	for i := range 12 {
		var path []uint64
		for b := range 16 {
			path = append(path, 2+uint64(i>>b&1))
		}
		report.Entries = append(report.Entries, recordAt(path...), recordAt(path[:2]...))
	}
	out, err := replay(s, report)
	if err != nil {
		t.Fatal(err)
	}
	if s.asked > 2 {
		t.Errorf("%d envelopes were read of two", s.asked)
	}
	for _, line := range out.Lines[:len(out.Lines)-1] {
		if !strings.Contains(line, "not at hand") {
			t.Error(line)
		}
	}
}
