package tee

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

const vendor, class = "example.com", "lamp"

var identity = processor.Identity{
	Vendor: author.VendorID(vendor),
	Class:  author.ClassID(author.VendorID(vendor), class),
}

var publisher = func() cosekit.Signer {
	s, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		panic(err)
	}
	return s
}()

func component(t testing.TB, s string) suit.ComponentID {
	t.Helper()
	id, err := suit.ParseComponentID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// manifest is a verified manifest that installs image as id.
func manifest(t testing.TB, id suit.ComponentID, sequence uint64, image []byte) *suit.Verified {
	t.Helper()
	m, payloads, err := author.CreateFrom(&author.Description{
		Component: id, SequenceNumber: sequence, VendorDomain: vendor, ClassInfo: class,
		Payload: author.Payload{Integrated: true},
	}, bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Sign(m, payloads, publisher)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

func all(processor.Access) bool { return true }

func device(s *Store) *processor.Processor {
	return processor.New(processor.Config{Host: s, Limits: processor.DefaultLimits()})
}

func install(ctx context.Context, s *Store, m *suit.Verified) error {
	_, err := device(s).Update(ctx, m, all)
	return err
}

func uninstall(ctx context.Context, s *Store, m *suit.Verified) error {
	_, err := device(s).Uninstall(ctx, m, all)
	return err
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, identity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestInstalledComponentIsMeasuredFromItsFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	id := component(t, "app/hello")
	m := manifest(t, id, 3, []byte("hello"))
	if err := install(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	claims, err := s.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) != 2 {
		t.Fatalf("%d claims, want component and manifest", len(claims))
	}
	image, own := claims[0], claims[1]
	if !image.Component.Equal(id) || !image.ImageDigest.Equal(suit.SumSHA256([]byte("hello"))) || *image.ImageSize != 5 {
		t.Errorf("component measured as %+v", image)
	}
	if !own.Component.Equal(component(t, "app/hello/suit")) || !own.ImageDigest.Equal(m.Digest()) {
		t.Errorf("manifest measured as %+v, want %s", own, m.Digest())
	}

	// Whoever changes the file changes the measurement: nothing is remembered.
	file := filepath.Join(dir, s.view().component(id).File)
	if err := os.WriteFile(file, []byte("HELLO!"), 0o600); err != nil {
		t.Fatal(err)
	}
	installed, err := s.Installed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := installed[0]; !c.Digest.Equal(suit.SumSHA256([]byte("HELLO!"))) || c.Size != 6 || c.Sequence != 3 {
		t.Errorf("after tampering measured as %+v", c)
	}
}

func TestStoreSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	id := component(t, "app/hello")
	least := uint64(7)
	if err := install(t.Context(), s, manifest(t, id, 1, []byte("one"))); err != nil {
		t.Fatal(err)
	}
	if added, err := s.Request(teep.RequestedTC{Component: component(t, "app/other"), MinSequence: &least}); !added || err != nil {
		t.Fatal(added, err)
	}
	if fresh, err := s.AcceptUpdate([32]byte{1}); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	want := fingerprint(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, dir)
	if got := fingerprint(t, again); got != want {
		t.Errorf("reopened as\n%s\nwant\n%s", got, want)
	}
	if fresh, err := again.AcceptUpdate([32]byte{1}); fresh || err != nil {
		t.Errorf("a known update is fresh=%v, %v", fresh, err)
	}
	if r := again.Requests(); len(r) != 1 || *r[0].MinSequence != 7 {
		t.Errorf("requests %+v", r)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	_, err := Open(dir, identity)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "its own directory") {
		t.Fatalf("second Open: %v", err)
	}
	reader, err := Read(dir, identity)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.AcceptUpdate([32]byte{}); !errors.Is(err, errReadOnly) {
		t.Errorf("change through a reader: %v", err)
	}
	if err := install(t.Context(), reader, manifest(t, component(t, "a"), 1, []byte("x"))); !errors.Is(err, errReadOnly) {
		t.Errorf("installation through a reader: %v", err)
	}
}

// TestReaderBesideAnUpdate: the file that the reader knew of is gone.
func TestReaderBesideAnUpdate(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	id := component(t, "app/hello")
	if err := install(t.Context(), s, manifest(t, id, 1, []byte("one"))); err != nil {
		t.Fatal(err)
	}
	reader, err := Read(dir, identity)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := install(t.Context(), s, manifest(t, id, 2, []byte("two"))); err != nil {
		t.Fatal(err)
	}
	installed, err := reader.Installed(t.Context())
	if err != nil || installed[0].Sequence != 2 || !installed[0].Digest.Equal(suit.SumSHA256([]byte("two"))) {
		t.Errorf("%+v, %v", installed, err)
	}
}

func TestSupports(t *testing.T) {
	s := openStore(t, t.TempDir())
	for name, id := range map[string]suit.ComponentID{
		"empty":             {},
		"too many segments": make(suit.ComponentID, suit.MaxComponentSegments+1),
		"too long":          {make([]byte, suit.MaxComponentSize)},
	} {
		if s.Supports(id) == nil {
			t.Errorf("%s: supported", name)
		}
	}
}

func TestRollbackLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	id := component(t, "app/hello")
	if err := install(t.Context(), s, manifest(t, id, 5, []byte("five"))); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	tests := map[string]*suit.Verified{
		"lower sequence": manifest(t, id, 4, []byte("four")),
	}
	for name, m := range tests {
		if err := install(t.Context(), s, m); !errors.Is(err, processor.ErrRollback) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second replaces the first
		w, err := tx.Create(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("candidate")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if claims, err := s.Measure(t.Context()); err != nil || !claims[0].ImageDigest.Equal(suit.SumSHA256([]byte("five"))) {
		t.Errorf("the candidate shows: %v %v", claims, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tx.Open(t.Context(), id); !errors.Is(err, ErrFinished) {
		t.Errorf("Open after Rollback: %v", err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("directory changed:\n%s\nwas\n%s", after, before)
	}
}

func TestCommitRefusesAStrayCandidate(t *testing.T) {
	s := openStore(t, t.TempDir())
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	w, err := tx.Create(t.Context(), component(t, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in := installation(t, manifest(t, component(t, "a"), 1, []byte("x")))
	if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}); err == nil || !strings.Contains(err.Error(), "candidate") {
		t.Errorf("a candidate of a foreign component was committed: %v", err)
	}
	if len(s.view().Manifests) != 0 {
		t.Error("something is installed")
	}
}

// installation is what a processor commits of a root.
func installation(t testing.TB, v *suit.Verified) processor.Installation {
	t.Helper()
	envelope, err := v.Envelope().Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	m := v.Manifest()
	return processor.Installation{
		Manifest: m.ComponentID, Digest: v.Digest(), Sequence: m.SequenceNumber, Version: m.SetVersion,
		Root: true, Components: m.Common.Components, Envelope: envelope,
	}
}

// fingerprint is all that the store knows, as text.
func fingerprint(t testing.TB, s *Store) string {
	t.Helper()
	claims, err := s.Measure(t.Context())
	if err != nil {
		t.Fatalf("measure: %v", err)
	}
	x := s.view().clone()
	x.Serial = 0
	for i := range x.Components {
		x.Components[i].File = ""
	}
	for i := range x.Manifests {
		x.Manifests[i].File = ""
	}
	p, err := s.Papers()
	if err != nil {
		t.Fatalf("papers: %v", err)
	}
	kept, err := encodePapers(p)
	if err != nil {
		t.Fatalf("papers: %v", err)
	}
	return string(cosekit.MustMarshal([]any{claims, x, kept}))
}

// tree is every file of a directory with its content.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
