package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// maxEnvelope bounds what is read to see whether a file is an envelope: as much
// payload as one may carry, and all that stands around it.
const maxEnvelope = author.MaxIntegrated + 16*suit.MaxManifestSize

// replaceable refuses an --out that would destroy what an envelope is made of, or
// any other file that is no envelope.
func replaceable(out string, inputs ...string) error {
	there, err := os.Stat(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, input := range inputs {
		if given, err := os.Stat(input); err == nil && os.SameFile(there, given) {
			return usage("--out %s would overwrite %s, from which the envelope is made; choose another name", out, input)
		}
	}
	if !holdsEnvelope(out, there) {
		return advise(fmt.Errorf("%s exists, is no SUIT envelope and is left as it is", out), "choose another name with --out")
	}
	return nil
}

func holdsEnvelope(path string, info fs.FileInfo) bool {
	if !info.Mode().IsRegular() || info.Size() > maxEnvelope {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	_, err = suit.Decode(data)
	return err == nil
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
	f, err := os.CreateTemp(filepath.Dir(path), ".tamctl-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(f.Name(), path)
}
