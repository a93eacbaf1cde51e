package tee

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

func TestOpenRefusesWhatItDidNotWrite(t *testing.T) {
	id := component(t, "app/hello")
	tests := []struct {
		name   string
		spoil  func(t *testing.T, dir, image string)
		isDone error
	}{
		{"index flipped", func(t *testing.T, dir, _ string) { flip(t, filepath.Join(dir, indexName)) }, ErrDamaged},
		{"index empty", func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, indexName), nil) }, ErrDamaged},
		{"index too large", func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, indexName), make([]byte, maxIndexSize+1))
		}, ErrDamaged},
		{"index of a newer version", func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, indexName), cosekit.MustMarshal([]any{indexVersion + 1, []byte{}, []byte{}}))
		}, ErrTooNew},
		{"image gone", func(t *testing.T, dir, image string) {
			if err := os.Remove(image); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			if err := install(t.Context(), s, manifest(t, id, 1, []byte("hello"))); err != nil {
				t.Fatal(err)
			}
			image := filepath.Join(dir, s.view().component(id).File)
			s.Close()
			tt.spoil(t, dir, image)
			if _, err := Open(dir, identity); !errors.Is(err, tt.isDone) {
				t.Errorf("Open: %v, want %v", err, tt.isDone)
			}
		})
	}
}

func TestSymbolicLinkIsNoImage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	id := component(t, "app/hello")
	if err := install(t.Context(), s, manifest(t, id, 1, []byte("hello"))); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, s.view().component(id).File)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, []byte("hello"))
	if err := errors.Join(os.Remove(image), os.Symlink(secret, image)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Measure(t.Context()); err == nil {
		t.Error("a planted link was measured as the component")
	}
}

// TestOnlyRegularFilesAreOpened, to be read or to be written on, also where somebody puts
// something else there at the last moment.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := dirFiles{root}
	write(t, filepath.Join(dir, "file"), []byte("content"))
	write(t, filepath.Join(dir, "other"), []byte("content"))
	if err := errors.Join(root.Mkdir("directory", 0o700), root.Symlink("file", "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"directory", "link", "none"} {
		if f, _, err := d.Open(name); err == nil {
			t.Errorf("%s was opened", name)
			f.Close()
		}
		if f, err := d.Append(name, 0); err == nil {
			t.Errorf("%s was appended to", name)
			f.Close()
		}
	}
	seen, err := root.Lstat("file")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := d.openRegular("other", os.O_RDONLY, seen); err == nil {
		t.Error("a file was opened that is not the one that was looked at")
		f.Close()
	}
	if f, err := d.openRegular("file", os.O_RDONLY, seen); err != nil || f.Close() != nil {
		t.Errorf("the one that was looked at: %v", err)
	}
}

func TestOpenSweepsLeftoversOnly(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir).Close()
	leftovers := []string{indexTemp, fileName(imagePrefix, component(t, "a"), 3, 1), fileName(envelopePrefix, component(t, "a"), 3, 2)}
	for _, name := range append(leftovers, "notes.txt", "image-of-my-cat.jpg") {
		write(t, filepath.Join(dir, name), []byte("x"))
	}
	openStore(t, dir)
	for _, name := range leftovers {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	for _, name := range []string{"notes.txt", "image-of-my-cat.jpg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("somebody's file: %v", err)
		}
	}
}

func TestComponentIDsNeverNameFiles(t *testing.T) {
	outer := t.TempDir()
	s := openStore(t, filepath.Join(outer, "store"))
	in := installation(t, manifest(t, component(t, "app"), 1, []byte("x")))
	for _, id := range []suit.ComponentID{
		{[]byte(".."), []byte(".."), []byte("etc"), []byte("passwd")},
		{[]byte("/etc/passwd")}, {[]byte("a\x00b")}, {[]byte("index")}, {{}}, {[]byte(strings.Repeat("x", 500))},
		{[]byte("."), {}, []byte("/")}, {[]byte("\u202eknil\u2215")}, {{0xff, 0xfe}}, {[]byte("payload-00-00-1-1-1")},
	} {
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w, err := tx.Create(t.Context(), id)
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		in.Manifest, in.Components = id, []suit.ComponentID{id}
		if err := errors.Join(w.Close(), tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}})); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		// A payload that is kept is a file too.
		if tx, err = s.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, _, err := tx.(processor.Resumable).Resume(t.Context(), id, suit.SumSHA256(id[0]))
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		if _, err := p.Write([]byte("beginning")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Suspend(), tx.Rollback()); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(outer, "store"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !validFile(e.Name()) && e.Name() != indexName && e.Name() != lockName && e.Name() != reserveName {
			t.Errorf("file %q", e.Name())
		}
	}
	if beside, _ := os.ReadDir(outer); len(beside) != 1 {
		t.Errorf("files beside the store: %v", beside)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	write(t, path, data)
}
