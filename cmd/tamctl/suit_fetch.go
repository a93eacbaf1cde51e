package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/tamarack-tam/tamarack/suit/processor"
)

// fromNetwork is the value of --fetch-from that is no folder.
const fromNetwork = "network"

// How long the network may take for one payload, and stay silent.
const (
	downloadTimeout = time.Hour
	stallTimeout    = time.Minute
)

// newFetcher returns nil where payloads come in the envelope only.
func newFetcher(from string) (processor.Fetcher, func() error, error) {
	nothing := func() error { return nil }
	switch from {
	case "":
		return nil, nothing, nil
	case fromNetwork:
		return processor.NewHTTPFetcher(&http.Client{Timeout: downloadTimeout}, processor.StallTimeout(stallTimeout)), nothing, nil
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return nil, nil, fmt.Errorf("--fetch-from: %w", err)
	}
	return &folder{root: root}, root.Close, nil
}

// folder has in files what devices fetch from servers. The last segment of a URI is the
// name of the file; one that is a SHA-256, as with --uri-base, may also be what the file
// has.
type folder struct {
	root *os.Root
	sums map[string]string // name by SHA-256; nil before it was needed
}

// Fetch implements processor.Fetcher.
func (f *folder) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	u, err := url.Parse(r.URI)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is no URI", processor.ErrURI, r.URI)
	}
	file, err := f.find(path.Base(u.Path))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", processor.ErrFetch, r.URI, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%w: %s is not a regular file", processor.ErrFetch, file.Name())
	case uint64(info.Size()) > r.Limit:
		err = fmt.Errorf("%w: %s has %d bytes, and up to %d are wanted", processor.ErrLimit, file.Name(), info.Size(), r.Limit)
	default:
		_, err = file.Seek(int64(min(r.Offset, uint64(info.Size()))), io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f *folder) find(name string) (*os.File, error) {
	file, err := f.root.Open(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if sum, bad := hex.DecodeString(name); bad == nil && len(sum) == sha256.Size {
		if err := f.sum(); err != nil {
			return nil, err
		}
		if other, ok := f.sums[name]; ok {
			return f.root.Open(other)
		}
		return nil, fmt.Errorf("no file in %s has this SHA-256", f.root.Name())
	}
	return nil, fmt.Errorf("there is no %s in %s", name, f.root.Name())
}

// sum reads all files of the folder.
func (f *folder) sum() error {
	if f.sums != nil {
		return nil
	}
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	f.sums = map[string]string{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if sum, err := f.sumOf(e.Name()); err == nil { // what cannot be read is not there
			f.sums[sum] = e.Name()
		}
	}
	return nil
}

func (f *folder) sumOf(name string) (string, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close() // it was only read
	h := sha256.New()
	_, err = io.Copy(h, file)
	return hex.EncodeToString(h.Sum(nil)), err
}
