package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

func openPayloads(t testing.TB, dir string) *Payloads {
	t.Helper()
	p, err := OpenPayloads(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// files lists the regular files under dir, by their relative paths.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			path, err = filepath.Rel(dir, path)
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPayloads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "payloads")
	for name, content := range map[string][]byte{
		"empty": {}, "small": []byte("hello"), "big": bytes.Repeat([]byte("0123456789abcdef"), 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			p := openPayloads(t, dir)
			want := suit.SumSHA256(content)
			if _, _, err := p.Open(t.Context(), want); !errors.Is(err, tam.ErrNotFound) {
				t.Fatalf("before Put: %v, want ErrNotFound", err)
			}
			for range 2 { // the second time finds it there
				digest, size, err := p.Put(t.Context(), iotest.HalfReader(bytes.NewReader(content)), int64(len(content)))
				if err != nil {
					t.Fatal(err)
				}
				if !digest.Equal(want) || size != int64(len(content)) {
					t.Errorf("Put gives %s, %d bytes; want %s, %d", digest, size, want, len(content))
				}
			}
			r, size, err := openPayloads(t, dir).Open(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, ok := r.(*os.File); !ok {
				t.Errorf("Open gives %T, want *os.File", r)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, content) || size != int64(len(content)) {
				t.Errorf("read %d bytes of %d (%v)", len(got), size, err)
			}
			digits := hex.EncodeToString(want.Bytes)
			info, err := os.Lstat(filepath.Join(dir, digits[:2], digits[2:4], digits))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != 0o600 {
				t.Errorf("mode %v, want 0600", info.Mode())
			}
		})
	}
	if found := files(t, dir); len(found) != 3 {
		t.Errorf("the directory holds %v, want three payloads", found)
	}
}

func TestPutRefuses(t *testing.T) {
	broken := errors.New("line broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	content := func() io.Reader { return strings.NewReader("0123456789") }
	for name, c := range map[string]struct {
		ctx   context.Context
		r     io.Reader
		limit int64
		want  error
	}{
		"one byte too many":   {t.Context(), content(), 9, tam.ErrTooLarge},
		"without end":         {t.Context(), endless{}, 1 << 20, tam.ErrTooLarge},
		"no room at all":      {t.Context(), content(), 0, tam.ErrTooLarge},
		"a negative limit":    {t.Context(), strings.NewReader(""), -1, tam.ErrTooLarge},
		"a broken stream":     {t.Context(), io.MultiReader(content(), iotest.ErrReader(broken)), 100, broken},
		"a truncated stream":  {t.Context(), io.MultiReader(content(), iotest.ErrReader(io.ErrUnexpectedEOF)), 100, io.ErrUnexpectedEOF},
		"a cancelled context": {cancelled, content(), 100, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			digest, size, err := openPayloads(t, dir).Put(c.ctx, c.r, c.limit)
			if !errors.Is(err, c.want) || !digest.IsZero() || size != 0 {
				t.Errorf("got %s, %d, %v; want %v alone", digest, size, err, c.want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestPayloadsUnavailable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "payloads")
	p := openPayloads(t, dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Put(t.Context(), strings.NewReader("x"), 10); !errors.Is(err, tam.ErrUnavailable) {
		t.Errorf("Put without its directory: %v, want ErrUnavailable", err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPayloads(dir); err == nil {
		t.Error("opened a file as a directory")
	}
}

func TestPayloadOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	p := openPayloads(t, dir)
	digest, _, err := p.Put(t.Context(), strings.NewReader("x"), 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]suit.Digest{
		"unknown":         suit.SumSHA256([]byte("y")),
		"other algorithm": {Algorithm: suit.SHAKE128, Bytes: digest.Bytes},
		"short":           {Algorithm: suit.SHA256, Bytes: digest.Bytes[:1]},
		"zero":            {},
	} {
		if _, _, err := p.Open(t.Context(), d); !errors.Is(err, tam.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "regular")
	if err := os.WriteFile(elsewhere, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(elsewhere, path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := p.path(digest)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := replace(path); err != nil {
			t.Fatal(err)
		}
		if r, _, err := p.Open(t.Context(), digest); !errors.Is(err, tam.ErrUnavailable) {
			t.Errorf("%s: %v, %v; want ErrUnavailable", name, r, err)
		}
	}
}

func TestPutSameContentAtOnce(t *testing.T) {
	dir := t.TempDir()
	p := openPayloads(t, dir)
	content := bytes.Repeat([]byte("same"), 1<<14)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			digest, _, err := p.Put(t.Context(), iotest.OneByteReader(bytes.NewReader(content)), 1<<20)
			if err != nil {
				t.Error(err)
				return
			}
			r, size, err := p.Open(t.Context(), digest)
			if err != nil || size != int64(len(content)) {
				t.Errorf("%d bytes, %v", size, err)
				return
			}
			r.Close()
		})
	}
	wg.Wait()
	if found := files(t, dir); len(found) != 1 {
		t.Errorf("the directory holds %v, want one payload", found)
	}
}

func TestInterruptedUploadsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	p := openPayloads(t, dir)
	digest, _, err := p.Put(t.Context(), strings.NewReader("whole"), 10)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.CreateTemp(dir, uploadPrefix+"*")
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	r, _, err := openPayloads(t, dir).Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if found := files(t, dir); len(found) != 1 || strings.HasPrefix(found[0], uploadPrefix) {
		t.Errorf("the directory holds %v, want the payload alone", found)
	}
}
