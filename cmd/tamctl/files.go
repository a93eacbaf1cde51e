package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// replaceable refuses an --out that would destroy what an envelope is made of, or
// any other file that is no envelope.
func replaceable(out string, inputs ...string) error {
	return replaces(out, "SUIT envelope", isEnvelope, inputs...)
}

func isEnvelope(data []byte) bool {
	_, err := suit.Decode(data)
	return err == nil
}

// replaces refuses to write over an input, and over a file that is not of the kind that
// is written.
func replaces(out, kind string, is func([]byte) bool, inputs ...string) error {
	there, err := os.Stat(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, input := range inputs {
		if sameFile(there, input) {
			return usage("--out %s would overwrite %s, from which it is made; choose another name", out, input)
		}
	}
	if !holds(out, there, is) {
		return advise(fmt.Errorf("%s exists, is no %s and is left as it is", out, kind), "choose another name with --out")
	}
	return nil
}

// vacant refuses a name that is taken.
func vacant(out string) error {
	if _, err := os.Lstat(out); err == nil {
		return advise(fmt.Errorf("%s exists and is left as it is", out), "choose another name")
	}
	return nil
}

func sameFile(there fs.FileInfo, name string) bool {
	given, err := os.Stat(name)
	return err == nil && os.SameFile(there, given)
}

func holds(path string, info fs.FileInfo, is func([]byte) bool) bool {
	if !info.Mode().IsRegular() || info.Size() > author.MaxEnvelope {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && is(data)
}

// readBounded reads a file that holds an envelope, a manifest or a part of one.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, author.MaxEnvelope+1))
	if err != nil {
		return nil, err
	}
	if len(data) > author.MaxEnvelope {
		return nil, fmt.Errorf("%s has more than %s, too much for an envelope", path, size(uint64(author.MaxEnvelope)))
	}
	return data, nil
}

// writeWhole leaves path with all of data, or as it was. place is os.Rename, which
// replaces what is there, or os.Link, which does not.
func writeWhole(path string, data []byte, place func(from, to string) error) error {
	if err := writeBeside(path, data, place); err != nil {
		return fmt.Errorf("write %s: %w", path, bare(err))
	}
	return nil
}

// bare is the reason of a failure without the name of the file in between, which
// tells nobody anything.
func bare(err error) error {
	var at *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &at):
		return at.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

func writeBeside(path string, data []byte, place func(from, to string) error) error {
	return streamBeside(path, place, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// writeStream is writeWhole for a new file that is not held in memory.
func writeStream(path string, write func(io.Writer) error) error {
	if err := streamBeside(path, os.Link, write); err != nil {
		return fmt.Errorf("write %s: %w", path, bare(err))
	}
	return nil
}

func streamBeside(path string, place func(from, to string) error, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tamctl-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = write(f)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(f.Name(), path)
}
