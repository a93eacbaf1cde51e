package tee

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// named is a manifest of a name of its own for a component.
func named(t testing.TB, name string, id suit.ComponentID, sequence uint64, image []byte) *suit.Verified {
	t.Helper()
	m, payloads, err := author.CreateFrom(&author.Description{
		Component: id, ManifestComponent: component(t, name), SequenceNumber: sequence,
		VendorDomain: vendor, ClassInfo: class, Payload: author.Payload{Integrated: true},
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

// TestUninstallLeavesNoByte: the directory holds no more than an empty store's.
func TestUninstallLeavesNoByte(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	other := manifest(t, component(t, "app/other"), 1, []byte("other image"))
	if err := install(t.Context(), s, other); err != nil {
		t.Fatal(err)
	}
	m := manifest(t, component(t, "app/hello"), 3, []byte("hello image"))
	if err := install(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	if files := tree(t, dir); !bytes.Contains([]byte(files), []byte("hello image")) {
		t.Fatal("the image is not found where it is installed")
	}
	if ids := s.Manifests(); len(ids) != 2 || !ids[1].Equal(component(t, "app/hello/suit")) {
		t.Errorf("manifests %v", ids)
	}
	if err := uninstall(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	files := []byte(tree(t, dir))
	if bytes.Contains(files, []byte("hello image")) || bytes.Contains(files, m.Digest().Bytes) {
		t.Error("bytes of the image or of the manifest are left")
	}
	if _, err := s.Envelope(component(t, "app/hello/suit")); !errors.Is(err, processor.ErrNotInstalled) {
		t.Errorf("envelope: %v", err)
	}
	s.Close()
	s = openStore(t, dir)
	installed, err := s.Installed(t.Context())
	if err != nil || len(installed) != 1 || !installed[0].ID.Equal(component(t, "app/other")) {
		t.Errorf("installed %+v, %v", installed, err)
	}
	claims, err := s.Measure(t.Context())
	if err != nil || len(claims) != 2 {
		t.Errorf("claims %+v, %v", claims, err)
	}
}

// TestSequenceOutlivesTheManifest: uninstalling does not open the way to an older one,
// and is bounded in what it remembers.
func TestSequenceOutlivesTheManifest(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	id := component(t, "app/hello")
	five := manifest(t, id, 5, []byte("five"))
	if err := errors.Join(install(t.Context(), s, five), uninstall(t.Context(), s, five)); err != nil {
		t.Fatal(err)
	}
	s = openDisk(t, d)
	if err := install(t.Context(), s, manifest(t, id, 4, []byte("four"))); !errors.Is(err, processor.ErrRollback) {
		t.Errorf("older one: %v", err)
	}
	if err := install(t.Context(), s, five); err != nil {
		t.Error(err)
	}
	if n := len(s.view().Retired); n != 0 {
		t.Errorf("%d retired beside the installed one", n)
	}
	x := new(index)
	for i := range maxRetired + 1 {
		x.putManifest(processor.Installation{Manifest: numbered(i), Sequence: 1, Root: true}, fileName(envelopePrefix, id, 1, 1))
		if err := x.apply(processor.Change{Uninstall: []suit.ComponentID{numbered(i)}}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := x.sequence(numbered(0)); known || len(x.Retired) != maxRetired {
		t.Errorf("%d remembered", len(x.Retired))
	}
	if n, known := x.sequence(numbered(maxRetired)); !known || n != 1 {
		t.Errorf("the last one: %d, %v", n, known)
	}
}

// TestReferences: a component stays as long as one manifest lists it, and a manifest
// has one reference to it however often it is updated.
func TestReferences(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	id := component(t, "app/hello")
	image := []byte("shared")
	a, b := named(t, "app/a", id, 9, image), named(t, "app/b", id, 1, image)
	for _, m := range []*suit.Verified{a, b, named(t, "app/b", id, 2, image), a, b} {
		if err := install(t.Context(), s, m); err != nil && !errors.Is(err, processor.ErrRollback) {
			t.Fatal(err)
		}
	}
	s = openDisk(t, d)
	installed, err := s.Installed(t.Context())
	if err != nil || len(installed) != 1 {
		t.Fatal(installed, err)
	}
	want := []suit.ComponentID{component(t, "app/a"), component(t, "app/b")}
	if c := installed[0]; !slices.EqualFunc(c.Manifests, want, suit.ComponentID.Equal) || c.Sequence != 9 {
		t.Errorf("references %v, sequence %d", c.Manifests, c.Sequence)
	}
	if err := install(t.Context(), s, named(t, "app/b", id, 3, []byte("older"))); !errors.Is(err, processor.ErrReferenced) {
		t.Errorf("overwritten by another manifest: %v", err)
	}
	if err := uninstall(t.Context(), s, a); err != nil {
		t.Fatal(err)
	}
	if installed, err = s.Installed(t.Context()); err != nil || len(installed) != 1 || installed[0].Sequence != 2 {
		t.Fatalf("after the first: %+v, %v", installed, err)
	}
	if err := install(t.Context(), s, named(t, "app/b", id, 8, []byte("next"))); !errors.Is(err, processor.ErrRollback) {
		t.Errorf("an image older than that of the first: %v", err)
	}
	if err := install(t.Context(), s, named(t, "app/b", id, 9, []byte("next"))); err != nil {
		t.Errorf("the last reference may update: %v", err)
	}
}

// TestUpdateGivesUpComponents: what a newer version of the only manifest does not list
// any more is not vouched for by anything.
func TestUpdateGivesUpComponents(t *testing.T) {
	s := openDisk(t, newDisk())
	for _, m := range []*suit.Verified{
		named(t, "app/a", component(t, "app/x"), 1, []byte("x")), named(t, "app/a", component(t, "app/y"), 2, []byte("y")),
	} {
		if err := install(t.Context(), s, m); err != nil {
			t.Fatal(err)
		}
	}
	installed, err := s.Installed(t.Context())
	if err != nil || len(installed) != 1 || !installed[0].ID.Equal(component(t, "app/y")) {
		t.Errorf("installed %+v, %v", installed, err)
	}
	checkTidy(t, s.files.(*disk), s)
}
