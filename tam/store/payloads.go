package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// Payloads is tam.Payloads in a directory: a file for each payload, named by the
// hexadecimal digits of its SHA-256 digest, under two levels of the first digits.
type Payloads struct{ dir string }

var _ tam.Payloads = (*Payloads)(nil)

// uploadPrefix begins the name of a file that is still being written. It lies in
// the directory itself, so that a rename never crosses a file system.
const uploadPrefix = "upload-"

// OpenPayloads opens the directory, or creates it with mode 0700, and removes what
// interrupted uploads have left. One process at a time may have it open.
func OpenPayloads(dir string) (*Payloads, error) {
	if err := prepareDir(dir); err != nil {
		return nil, fmt.Errorf("open the payload directory %s: %w", dir, err)
	}
	return &Payloads{dir}, nil
}

func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), uploadPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syncDir(filepath.Dir(dir))
}

// Put implements tam.Payloads. A payload that is there already is replaced by the
// same bytes, which readers do not notice. An error of r is wrapped as it is.
func (p *Payloads) Put(ctx context.Context, r io.Reader, limit int64) (suit.Digest, int64, error) {
	digest, size, err := p.put(ctx, r, limit)
	if err != nil {
		return suit.Digest{}, 0, fmt.Errorf("store a payload: %w", err)
	}
	return digest, size, nil
}

func (p *Payloads) put(ctx context.Context, r io.Reader, limit int64) (suit.Digest, int64, error) {
	f, err := os.CreateTemp(p.dir, uploadPrefix+"*")
	if err != nil {
		return suit.Digest{}, 0, diskFault(err)
	}
	digest, size, err := receive(f, &bounded{ctx: ctx, r: r, left: limit})
	if closing := f.Close(); err == nil {
		err = diskFault(closing)
	}
	if err == nil {
		err = diskFault(p.keep(f.Name(), digest))
	}
	if err != nil {
		os.Remove(f.Name()) // the next start removes it
	}
	return digest, size, err
}

// receive writes all of r to f and syncs it.
func receive(f *os.File, r *bounded) (suit.Digest, int64, error) {
	sum := sha256.New()
	size, err := io.CopyBuffer(io.MultiWriter(f, sum), r, make([]byte, 128<<10))
	switch {
	case r.fault != nil:
		return suit.Digest{}, 0, r.fault
	case err != nil:
		return suit.Digest{}, 0, diskFault(err)
	}
	return suit.Digest{Algorithm: suit.SHA256, Bytes: sum.Sum(nil)}, size, diskFault(f.Sync())
}

// bounded is a stream with an end: of its context, or after so many bytes. It
// keeps the fault that ended it, apart from those of the file.
type bounded struct {
	ctx   context.Context
	r     io.Reader
	left  int64
	fault error
}

func (b *bounded) Read(buf []byte) (int, error) {
	if b.fault = b.ctx.Err(); b.fault != nil {
		return 0, b.fault
	}
	n, err := b.r.Read(buf)
	if b.left -= int64(n); b.left < 0 {
		b.fault = tam.ErrTooLarge
		return 0, b.fault
	}
	if err != nil && err != io.EOF {
		b.fault = err
	}
	return n, err
}

// keep gives a written file its name, so that it lasts.
func (p *Payloads) keep(written string, digest suit.Digest) error {
	path := p.path(digest)
	inner := filepath.Dir(path)
	if err := os.MkdirAll(inner, 0o700); err != nil {
		return err
	}
	if err := os.Rename(written, path); err != nil {
		return err
	}
	// Another upload may just have made the directories, and not synced them yet.
	return errors.Join(syncDir(inner), syncDir(filepath.Dir(inner)), syncDir(p.dir))
}

func (p *Payloads) path(digest suit.Digest) string {
	digits := hex.EncodeToString(digest.Bytes)
	return filepath.Join(p.dir, digits[:2], digits[2:4], digits)
}

// Open implements tam.Payloads. The stream is an *os.File.
func (p *Payloads) Open(ctx context.Context, digest suit.Digest) (io.ReadSeekCloser, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, size, err := p.open(digest)
	if err != nil {
		return nil, 0, fmt.Errorf("payload %s: %w", digest, err)
	}
	return f, size, nil
}

func (p *Payloads) open(digest suit.Digest) (*os.File, int64, error) {
	if digest.Algorithm != suit.SHA256 || len(digest.Bytes) != sha256.Size {
		return nil, 0, tam.ErrNotFound
	}
	path := p.path(digest)
	info, err := os.Lstat(path) // to open a pipe would wait for its writer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, tam.ErrNotFound
	case err != nil:
		return nil, 0, diskFault(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a regular file; remove it and upload the payload again", tam.ErrUnavailable, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, diskFault(err)
	}
	return f, info.Size(), nil
}

// diskFault: what the file system refuses, it may do another time.
func diskFault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", tam.ErrUnavailable, err)
}
