package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// memory is a Host that keeps everything in maps. It complains about a caller that
// breaks the contract of Transaction.
type memory struct {
	identity  Identity
	unknown   map[string]bool // components that the device does not have, by Key
	images    map[string][]byte
	manifests map[string]Installation
	retired   map[string]uint64 // sequence numbers of what was uninstalled
	floors    map[string]uint64 // by component
	faults    map[string]error  // by the name of the method that returns it
	room      int               // set aside for a candidate
	open      bool              // a transaction is
	broken    []string          // breaches of the contract
}

func newMemory(identity Identity) *memory {
	return &memory{
		identity: identity, unknown: map[string]bool{},
		images: map[string][]byte{}, manifests: map[string]Installation{},
		retired: map[string]uint64{}, floors: map[string]uint64{}, faults: map[string]error{},
	}
}

func (h *memory) Identity() Identity { return h.identity }

func (h *memory) Supports(id suit.ComponentID) error {
	if h.unknown[id.Key()] {
		return errors.New("no such component")
	}
	return nil
}

func (h *memory) Begin(context.Context) (Transaction, error) {
	if h.open {
		h.breach("a second transaction")
	}
	if err := h.faults["Begin"]; err != nil {
		return nil, err
	}
	h.open = true
	return &memoryTx{host: h, candidates: map[string][]byte{}}, nil
}

func (h *memory) breach(what string) { h.broken = append(h.broken, what) }

// snapshot is a copy of what survives a transaction.
func (h *memory) snapshot() *memory {
	return &memory{images: maps.Clone(h.images), manifests: maps.Clone(h.manifests)}
}

func (h *memory) same(before *memory) error {
	if h.open {
		return errors.New("the transaction is still open")
	}
	if len(h.broken) > 0 {
		return fmt.Errorf("contract broken: %q", h.broken)
	}
	if !maps.EqualFunc(h.images, before.images, bytes.Equal) {
		return errors.New("the images changed")
	}
	if !maps.EqualFunc(h.manifests, before.manifests, func(a, b Installation) bool { return a.Digest.Equal(b.Digest) }) {
		return errors.New("the manifests changed")
	}
	return nil
}

type memoryTx struct {
	host       *memory
	candidates map[string][]byte
	writing    int
	done       bool
}

func (tx *memoryTx) use(method string) error {
	if tx.done {
		tx.host.breach(method + " after the end")
	}
	if tx.writing > 0 && method != "Sequence" {
		tx.host.breach(method + " before Close")
	}
	return tx.host.faults[method]
}

func (tx *memoryTx) Sequence(_ context.Context, id suit.ComponentID) (uint64, bool, error) {
	if err := tx.use("Sequence"); err != nil {
		return 0, false, err
	}
	installed, ok := tx.host.manifests[id.Key()]
	if !ok {
		number, ok := tx.host.retired[id.Key()]
		return number, ok, nil
	}
	return installed.Sequence, ok, nil
}

func (tx *memoryTx) Installed(_ context.Context, id suit.ComponentID) (suit.Digest, bool, error) {
	if err := tx.use("Installed"); err != nil {
		return suit.Digest{}, false, err
	}
	installed, ok := tx.host.manifests[id.Key()]
	return installed.Digest, ok, nil
}

func (tx *memoryTx) References(_ context.Context, id suit.ComponentID) ([]suit.ComponentID, error) {
	if err := tx.use("References"); err != nil {
		return nil, err
	}
	return tx.host.references(id), nil
}

func (tx *memoryTx) Floor(_ context.Context, id suit.ComponentID) (uint64, error) {
	return tx.host.floors[id.Key()], tx.use("Floor")
}

func (h *memory) references(id suit.ComponentID) (manifests []suit.ComponentID) {
	for _, m := range h.manifests {
		if slices.ContainsFunc(m.Components, id.Equal) {
			manifests = append(manifests, m.Manifest)
		}
	}
	return manifests
}

func (tx *memoryTx) Open(_ context.Context, id suit.ComponentID) (io.ReadCloser, uint64, error) {
	if err := tx.use("Open"); err != nil {
		return nil, 0, err
	}
	image, ok := tx.candidates[id.Key()]
	if !ok {
		image, ok = tx.host.images[id.Key()]
	}
	if !ok {
		return nil, 0, ErrNoImage
	}
	return io.NopCloser(&faultyReader{bytes.NewReader(image), tx.host.faults["Read"]}), uint64(len(image)), nil
}

type faultyReader struct {
	io.Reader
	err error
}

func (r *faultyReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.Reader.Read(p)
}

func (tx *memoryTx) Create(_ context.Context, id suit.ComponentID) (io.WriteCloser, error) {
	if err := tx.use("Create"); err != nil {
		return nil, err
	}
	delete(tx.candidates, id.Key())
	tx.writing++
	return &memoryImage{tx: tx, key: id.Key(), content: make([]byte, 0, tx.host.room)}, nil
}

type memoryImage struct {
	content []byte
	tx      *memoryTx
	key     string
}

func (i *memoryImage) Write(p []byte) (int, error) {
	if err := i.tx.host.faults["Write"]; err != nil {
		return 0, err
	}
	i.content = append(i.content, p...)
	return len(p), nil
}

func (i *memoryImage) Close() error {
	i.tx.writing--
	if err := i.tx.host.faults["Close"]; err != nil {
		return err
	}
	i.tx.candidates[i.key] = i.content
	return nil
}

func (tx *memoryTx) Commit(_ context.Context, installed Installation) error {
	if err := tx.use("Commit"); err != nil {
		return err
	}
	tx.done, tx.host.open = true, false
	maps.Copy(tx.host.images, tx.candidates)
	tx.host.manifests[installed.Manifest.Key()] = installed
	for _, id := range installed.Components {
		if _, ok := tx.host.images[id.Key()]; ok {
			tx.host.floors[id.Key()] = max(installed.Sequence, tx.host.floors[id.Key()])
		}
	}
	return nil
}

func (tx *memoryTx) Uninstall(_ context.Context, id suit.ComponentID) error {
	if err := tx.use("Uninstall"); err != nil {
		return err
	}
	old, ok := tx.host.manifests[id.Key()]
	if !ok {
		return ErrNotInstalled
	}
	tx.done, tx.host.open = true, false
	delete(tx.host.manifests, id.Key())
	tx.host.retired[id.Key()] = old.Sequence
	for _, c := range old.Components {
		if tx.host.references(c) == nil {
			delete(tx.host.images, c.Key())
		}
	}
	return nil
}

func (tx *memoryTx) Rollback() error {
	if tx.writing > 0 {
		tx.host.breach("Rollback before Close")
	}
	tx.done, tx.host.open = true, false
	return tx.host.faults["Rollback"]
}

// slotted is a memory whose components have a slot.
type slotted struct {
	*memory
	slot uint64
}

func (h slotted) Slot(suit.ComponentID) (uint64, error) { return h.slot, h.faults["Slot"] }

// served is a Fetcher with fixed payloads.
type served map[string][]byte

func (s served) Fetch(_ context.Context, uri string, _ uint64) (io.ReadCloser, error) {
	payload, ok := s[uri]
	if !ok {
		return nil, fmt.Errorf("%w: nothing at %s", ErrFetch, uri)
	}
	return io.NopCloser(bytes.NewReader(payload)), nil
}
