package testvectors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// slotted is a component store with the slot of the index.
type slotted struct {
	*tee.Store
	slot uint64
}

func (d slotted) Slot(suit.ComponentID) (uint64, error) { return d.slot, nil }

// served is the network of a vector.
type served map[string]testvectors.Hex

func (s served) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	content, ok := s[r.URI]
	if !ok || r.Offset > uint64(len(content)) {
		return nil, fmt.Errorf("%w: nothing at %s", processor.ErrFetch, r.URI)
	}
	return io.NopCloser(bytes.NewReader(content[r.Offset:])), nil
}

func everything(processor.Access) bool { return true }

// update takes an envelope through the processor, onto a component store of its own. What
// is refused must not change one file of it.
func (j judge) update() error {
	dir, err := os.MkdirTemp("", "vector")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	device := j.index.Device
	store, err := tee.Open(dir, processor.Identity{Vendor: uuid.UUID(device.VendorID), Class: uuid.UUID(device.ClassID)})
	if err != nil {
		return err
	}
	defer store.Close()
	before := dump(dir)
	err = j.install(slotted{store, device.Slot})
	if err != nil {
		if after := dump(dir); !maps.Equal(before, after) {
			return fmt.Errorf("refused (%v), and yet the device has changed: %q, was %q", err, after, before)
		}
		return err
	}
	return j.holds(store)
}

func (j judge) install(host processor.Host) error {
	e, err := suit.Decode(j.vector.Data)
	if err != nil {
		return err
	}
	authenticate := func(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
		v, err := e.Verify(j.ring, j.legacy)
		return v, everything, err
	}
	v, rights, err := authenticate(e)
	if err != nil {
		return err
	}
	_, err = processor.New(processor.Config{
		Host: host, Limits: processor.DefaultLimits(), Mode: j.mode, Fetcher: served(j.vector.Fetch),
		Authority: processor.AuthorityFunc(authenticate), Keys: j.decrypt,
	}).Update(context.Background(), v, rights)
	return err
}

// holds compares the images on the device with those of the index.
func (j judge) holds(store *tee.Store) error {
	tx, err := store.Begin(context.Background())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for path, want := range j.vector.Images {
		id, err := suit.ParseComponentID(path)
		if err != nil {
			return err
		}
		image, _, err := tx.Open(context.Background(), id)
		if err != nil {
			return fmt.Errorf("component %s: %w", path, err)
		}
		got, err := io.ReadAll(image)
		if err := errors.Join(err, image.Close()); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("component %s holds %q, want %q", path, got, want)
		}
	}
	return nil
}

// dump is every file below a directory, but for what is kept of downloads: nothing opens
// those as an image.
func dump(dir string) map[string]string {
	files := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "payload-") {
			return err
		}
		content, err := fs.ReadFile(root, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		files["error"] = err.Error()
	}
	return files
}
