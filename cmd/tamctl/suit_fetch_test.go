package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tamarack-tam/tamarack/suit/processor"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	for name, content := range map[string]string{"inside/a.bin": "hello", "secret": "secret", "inside/sub/b.bin": "below"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	fetcher, done, err := newFetcher(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	sum := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	for name, c := range map[string]struct {
		request processor.Request
		want    string
		fault   error
	}{
		"by name":           {processor.Request{URI: "https://x.example/any/a.bin", Limit: 5}, "hello", nil},
		"with a query":      {processor.Request{URI: "https://x.example/a.bin?token=1", Limit: 5}, "hello", nil},
		"by digest":         {processor.Request{URI: "https://x.example/" + sum("hello"), Limit: 5}, "hello", nil},
		"from an offset":    {processor.Request{URI: "https://x.example/a.bin", Limit: 5, Offset: 3}, "lo", nil},
		"from behind it":    {processor.Request{URI: "https://x.example/a.bin", Limit: 9, Offset: 9}, "", nil},
		"too large":         {processor.Request{URI: "https://x.example/a.bin", Limit: 4}, "", processor.ErrLimit},
		"not there":         {processor.Request{URI: "https://x.example/c.bin", Limit: 5}, "", processor.ErrFetch},
		"another digest":    {processor.Request{URI: "https://x.example/" + sum("secret"), Limit: 9}, "", processor.ErrFetch},
		"a folder":          {processor.Request{URI: "https://x.example/sub", Limit: 9}, "", processor.ErrFetch},
		"the folder itself": {processor.Request{URI: "https://x.example/", Limit: 9}, "", processor.ErrFetch},
		"up":                {processor.Request{URI: "https://x.example/..", Limit: 9}, "", processor.ErrFetch},
		"up, encoded":       {processor.Request{URI: "https://x.example/%2e%2e%2fsecret", Limit: 9}, "", processor.ErrFetch},
		"no URI":            {processor.Request{URI: "https://x.example/%zz", Limit: 9}, "", processor.ErrURI},
	} {
		r, err := fetcher.Fetch(t.Context(), c.request)
		if !errors.Is(err, c.fault) {
			t.Errorf("%s: %v, want %v", name, err, c.fault)
		}
		if err != nil {
			continue
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestNewFetcher(t *testing.T) {
	if f, done, err := newFetcher(""); f != nil || err != nil || done() != nil {
		t.Errorf("nothing: %v, %v", f, err)
	}
	if f, done, err := newFetcher("network"); f == nil || err != nil || done() != nil {
		t.Errorf("network: %v, %v", f, err)
	}
	if _, _, err := newFetcher("missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}
