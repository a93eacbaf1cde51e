package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// memory is a Host that keeps everything in maps. It complains about a caller that
// breaks the contract of Transaction.
type memory struct {
	identity  Identity
	unknown   map[string]bool // components that the device does not have, by Key
	images    map[string][]byte
	versions  map[string][]int64 // of the images
	metadata  map[string]*suit.ComponentMetadata
	manifests map[string]Installation
	retired   map[string]uint64 // sequence numbers of what was uninstalled
	floors    map[string]uint64 // by component
	parts     map[string][]byte // what arrived of payloads, by component and digest
	faults    map[string]error  // by the name of the method that returns it
	room      int               // set aside for a candidate
	resumes   bool              // it keeps what arrived of a payload
	discards  bool              // images are counted, not kept
	open      bool              // a transaction is
	broken    []string          // breaches of the contract
	last      Change
}

func newMemory(identity Identity) *memory {
	return &memory{
		identity: identity, unknown: map[string]bool{}, images: map[string][]byte{}, versions: map[string][]int64{}, metadata: map[string]*suit.ComponentMetadata{},
		manifests: map[string]Installation{}, retired: map[string]uint64{}, floors: map[string]uint64{},
		parts: map[string][]byte{}, faults: map[string]error{},
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
	tx := &memoryTx{host: h, candidates: map[string][]byte{}}
	if h.resumes {
		return resumableTx{tx}, nil
	}
	return tx, nil
}

func (h *memory) breach(what string) { h.broken = append(h.broken, what) }

// snapshot is a copy of what survives a transaction.
func (h *memory) snapshot() *memory {
	return &memory{
		images: maps.Clone(h.images), manifests: maps.Clone(h.manifests), retired: maps.Clone(h.retired), floors: maps.Clone(h.floors),
	}
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
	if !maps.EqualFunc(h.manifests, before.manifests, func(a, b Installation) bool { return a.Digest.Equal(b.Digest) && a.Root == b.Root }) {
		return errors.New("the manifests changed")
	}
	if before.floors != nil && !(maps.Equal(h.floors, before.floors) && maps.Equal(h.retired, before.retired)) {
		return errors.New("what is remembered of sequence numbers changed")
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
	if tx.writing > 0 && slices.Contains([]string{"Open", "Swap", "Commit", "Rollback"}, method) {
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

func (tx *memoryTx) Installed(_ context.Context, id suit.ComponentID) (InstalledManifest, bool, error) {
	if err := tx.use("Installed"); err != nil {
		return InstalledManifest{}, false, err
	}
	in, ok := tx.host.manifests[id.Key()]
	return InstalledManifest{Digest: in.Digest, Sequence: in.Sequence, Root: in.Root}, ok, nil
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

func (tx *memoryTx) Version(_ context.Context, id suit.ComponentID) ([]int64, error) {
	if _, ok := tx.host.images[id.Key()]; !ok {
		return nil, ErrNoImage
	}
	return tx.host.versions[id.Key()], tx.use("Version")
}

func (h *memory) references(id suit.ComponentID) (manifests []suit.ComponentID) {
	for _, key := range slices.Sorted(maps.Keys(h.manifests)) {
		m := h.manifests[key]
		if slices.ContainsFunc(m.Components, id.Equal) || slices.ContainsFunc(m.Dependencies, id.Equal) {
			manifests = append(manifests, m.Manifest)
		}
	}
	return manifests
}

func (tx *memoryTx) image(id suit.ComponentID) ([]byte, bool) {
	key := id.Key()
	if image, ok := tx.candidates[key]; ok {
		return image, true
	}
	if image, ok := tx.host.images[key]; ok {
		return image, true
	}
	in, ok := tx.host.manifests[key]
	return in.Envelope, ok
}

func (tx *memoryTx) Open(_ context.Context, id suit.ComponentID) (io.ReadCloser, uint64, error) {
	if err := tx.use("Open"); err != nil {
		return nil, 0, err
	}
	image, ok := tx.image(id)
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
	part    string // key of what is kept of it
}

func (i *memoryImage) Write(p []byte) (int, error) {
	if err := i.tx.host.faults["Write"]; err != nil {
		return 0, err
	}
	if !i.tx.host.discards {
		i.content = append(i.content, p...)
	}
	return len(p), nil
}

func (i *memoryImage) Close() error {
	i.tx.writing--
	if err := i.tx.host.faults["Close"]; err != nil {
		return err
	}
	i.tx.candidates[i.key] = i.content
	delete(i.tx.host.parts, i.part)
	return nil
}

func (i *memoryImage) Suspend() error {
	i.tx.writing--
	i.tx.host.parts[i.part] = i.content
	return i.tx.host.faults["Suspend"]
}

// resumableTx keeps what arrived of a payload.
type resumableTx struct{ *memoryTx }

func (tx resumableTx) Resume(ctx context.Context, id suit.ComponentID, want suit.Digest) (Partial, io.ReadCloser, error) {
	if err := tx.use("Resume"); err != nil {
		return nil, nil, err
	}
	candidate, err := tx.Create(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	image := candidate.(*memoryImage)
	image.part = id.Key() + want.String()
	kept, ok := tx.host.parts[image.part]
	if !ok {
		return image, nil, nil
	}
	image.content = bytes.Clone(kept)
	return image, io.NopCloser(bytes.NewReader(kept)), nil
}

func (tx *memoryTx) Swap(_ context.Context, a, b suit.ComponentID) error {
	if err := tx.use("Swap"); err != nil {
		return err
	}
	one, okA := tx.image(a)
	other, okB := tx.image(b)
	if !okA || !okB {
		return ErrNoImage
	}
	tx.candidates[a.Key()], tx.candidates[b.Key()] = other, one
	return nil
}

func (tx *memoryTx) Commit(_ context.Context, change Change) error {
	if err := tx.use("Commit"); err != nil {
		return err
	}
	h := tx.host
	for _, id := range change.Uninstall {
		if in, ok := h.manifests[id.Key()]; !ok || !in.Root {
			return ErrNotInstalled
		}
	}
	tx.done, h.open, h.last = true, false, change
	for _, id := range change.Uninstall {
		in := h.manifests[id.Key()]
		in.Root = false
		h.manifests[id.Key()] = in
	}
	listed := map[string]bool{}
	for _, in := range change.Install {
		in.Root = in.Root || h.manifests[in.Manifest.Key()].Root
		h.manifests[in.Manifest.Key()] = in
		if in.Manifest.Equal(first(in.Components)) { // a nameless one stands beside its image
			continue
		}
		delete(tx.candidates, in.Manifest.Key())
	}
	maps.Copy(h.images, tx.candidates)
	for _, in := range change.Install {
		maps.Copy(h.metadata, in.Metadata)
		for _, id := range in.Components {
			listed[id.Key()] = true
			if _, ok := tx.candidates[id.Key()]; ok {
				h.versions[id.Key()] = in.Version
			}
			if _, ok := h.images[id.Key()]; ok && !slices.ContainsFunc(in.Observed, id.Equal) {
				h.floors[id.Key()] = max(in.Sequence, h.floors[id.Key()])
			}
		}
	}
	for key := range tx.candidates {
		if !listed[key] {
			h.breach("a candidate of no manifest")
		}
	}
	h.collect()
	return nil
}

// first is nil for none.
func first(ids []suit.ComponentID) suit.ComponentID {
	if len(ids) == 0 {
		return nil
	}
	return ids[0]
}

// collect removes what nothing refers to any more.
func (h *memory) collect() {
	for again := true; again; {
		again = false
		for key, in := range h.manifests {
			users := slices.DeleteFunc(h.references(in.Manifest), in.Manifest.Equal)
			if !in.Root && len(users) == 0 {
				delete(h.manifests, key)
				h.retired[key] = in.Sequence
				again = true
				for _, id := range in.Components {
					if h.references(id) == nil {
						delete(h.images, id.Key())
					}
				}
			}
		}
	}
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

// keeper is a memory that knows permissions.
type keeper struct{ *memory }

func (h keeper) SupportsMetadata(_ suit.ComponentID, metadata *suit.ComponentMetadata) error {
	if metadata.Creator != nil {
		return errors.New("images have no creator here")
	}
	return nil
}

func (h keeper) HasMetadata(id suit.ComponentID, metadata *suit.ComponentMetadata) bool {
	return reflect.DeepEqual(h.metadata[id.Key()], metadata)
}

// served is a Fetcher with fixed payloads.
type served map[string][]byte

func (s served) Fetch(_ context.Context, r Request) (io.ReadCloser, error) {
	payload, ok := s[r.URI]
	if !ok {
		return nil, fmt.Errorf("%w: nothing at %s", ErrFetch, r.URI)
	}
	return io.NopCloser(bytes.NewReader(payload[min(int(r.Offset), len(payload)):])), nil
}
