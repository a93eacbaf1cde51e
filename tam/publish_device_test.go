package tam

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// host is a device in memory. Images that are pinned belong to another manifest, too.
type host struct {
	slot      uint64
	pinned    map[string]bool
	images    map[string][]byte
	manifests map[string]suit.Digest
}

func (h *host) Identity() processor.Identity          { return processor.Identity{} }
func (h *host) Supports(suit.ComponentID) error       { return nil }
func (h *host) Slot(suit.ComponentID) (uint64, error) { return h.slot, nil }
func (h *host) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	payload, ok := served[r.URI]
	if !ok {
		return nil, processor.ErrFetch
	}
	return io.NopCloser(bytes.NewReader(payload)), nil
}

func (h *host) Begin(context.Context) (processor.Transaction, error) {
	return &hostTx{host: h, images: maps.Clone(h.images)}, nil
}

var served = map[string][]byte{"x": []byte("a"), "y": []byte("b"), "z": []byte("c")}

type hostTx struct {
	*host
	images map[string][]byte
}

func (tx *hostTx) Sequence(context.Context, suit.ComponentID) (uint64, bool, error) {
	return 0, false, nil
}

func (tx *hostTx) Installed(context.Context, suit.ComponentID) (processor.InstalledManifest, bool, error) {
	return processor.InstalledManifest{}, false, nil
}

func (tx *hostTx) References(_ context.Context, id suit.ComponentID) ([]suit.ComponentID, error) {
	if tx.pinned[id.Key()] {
		return []suit.ComponentID{named("another manifest")}, nil
	}
	return nil, nil
}

func (tx *hostTx) Floor(context.Context, suit.ComponentID) (uint64, error) { return 0, nil }

func (tx *hostTx) Version(context.Context, suit.ComponentID) ([]int64, error) { return nil, nil }

func (tx *hostTx) Open(_ context.Context, id suit.ComponentID) (io.ReadCloser, uint64, error) {
	image, ok := tx.images[id.Key()]
	if !ok {
		return nil, 0, processor.ErrNoImage
	}
	return io.NopCloser(bytes.NewReader(image)), uint64(len(image)), nil
}

type hostImage struct {
	bytes.Buffer
	close func([]byte)
}

func (i *hostImage) Close() error {
	i.close(i.Bytes())
	return nil
}

func (tx *hostTx) Create(_ context.Context, id suit.ComponentID) (io.WriteCloser, error) {
	return &hostImage{close: func(image []byte) { tx.images[id.Key()] = image }}, nil
}

func (tx *hostTx) Swap(_ context.Context, a, b suit.ComponentID) error {
	tx.images[a.Key()], tx.images[b.Key()] = tx.images[b.Key()], tx.images[a.Key()]
	return nil
}

func (tx *hostTx) Commit(_ context.Context, change processor.Change) error {
	tx.host.images = tx.images
	for _, in := range change.Install {
		if !in.Root {
			tx.manifests[in.Manifest.Key()] = in.Digest
		}
	}
	return nil
}

func (tx *hostTx) Rollback() error { return nil }

// drawn makes manifests of the components a and b, and of dependencies behind them.
type drawn struct {
	*rapid.T
	dependencies []*suit.Verified
	members      int // components and dependencies of the manifest
}

func (d *drawn) one(n int) int { return rapid.IntRange(0, n-1).Draw(d.T, "") }

func (d *drawn) index() uint64 {
	if d.one(4) == 0 {
		return uint64(d.one(d.members))
	}
	return uint64(d.one(2))
}

// parameters of one of three images, or of some of them.
func (d *drawn) parameters() suit.Parameters {
	which := d.one(3)
	digest := []suit.Digest{imageA, imageB, imageC}[which]
	uri, content, size := []string{"x", "y", "z"}[which], []byte{'a' + byte(which)}, uint64(1)
	all := suit.Parameters{ImageDigest: &digest, URI: &uri, ImageSize: &size}
	switch d.one(10) {
	case 0:
		return suit.Parameters{ImageDigest: &digest}
	case 1:
		return suit.Parameters{URI: &uri}
	case 2:
		all.Content = content
	case 3:
		return suit.Parameters{SourceComponent: ptr(uint64(d.one(2)))}
	case 4:
		all.SourceComponent = ptr(uint64(d.one(d.members)))
	}
	return all
}

func (d *drawn) sequence(length, depth int) *suit.Sequence {
	list := []suit.Command{index(suit.Index(d.index()))}
	for range 1 + d.one(length) {
		list = append(list, d.commands(depth)...)
	}
	return sequence(list...)
}

func (d *drawn) nested(depth int) suit.Sequence {
	s := d.sequence(4, depth+1)
	if d.one(2) == 0 {
		s.Commands = s.Commands[1:] // what is selected around it
	}
	if d.one(3) == 0 {
		p := suit.Parameters{SoftFailure: ptr(d.one(2) == 0)}
		first := override(p)
		if d.one(2) == 0 {
			first = setParameters(p)
		}
		s.Commands = append([]suit.Command{first}, s.Commands...)
	}
	return *s
}

func (d *drawn) commands(depth int) []suit.Command {
	p := d.parameters()
	switch n := d.one(20); {
	case n < 5:
		return []suit.Command{override(p), fetching, matches}
	case n == 5:
		return []suit.Command{override(p)}
	case n == 6:
		return []suit.Command{setParameters(p)}
	case n == 7:
		sets := suit.ParameterSets{}
		for range 1 + d.one(2) {
			sets[d.index()] = ptr(d.parameters())
		}
		return []suit.Command{argument(suit.DirectiveOverrideMultiple, sets)}
	case n == 8:
		copies := suit.ParameterCopies{}
		for range 1 + d.one(2) {
			copies[d.index()] = []suit.ParameterCode{suit.ParameterImageDigest, suit.ParameterURI}
		}
		return []suit.Command{argument(suit.DirectiveCopyParams, copies)}
	case n == 9:
		return []suit.Command{[]suit.Command{fetching, writing}[d.one(2)]}
	case n == 10:
		return []suit.Command{[]suit.Command{matches, differs, override(suit.Parameters{ComponentSlot: ptr(uint64(d.one(2)))}), slot}[d.one(4)]}
	case n == 11:
		return []suit.Command{override(suit.Parameters{SourceComponent: ptr(uint64(d.one(2)))}), []suit.Command{copying, command(suit.DirectiveSwap)}[d.one(2)]}
	case n < 14:
		return []suit.Command{index([]suit.Argument{suit.Index(d.index()), suit.IndexList{d.index(), d.index()}, suit.AllComponents{}}[d.one(3)])}
	case n < 16 && depth < 2:
		return []suit.Command{override(suit.Parameters{ComponentSlot: ptr(uint64(d.one(2)))}), tryEach(d.one(2) == 0, ptr(d.nested(depth)), ptr(d.nested(depth)))}
	case n == 16 && depth < 2 && d.one(2) == 0:
		return []suit.Command{override(p), override(suit.Parameters{ComponentSlot: ptr(uint64(d.one(2)))}),
			runSequence(soft(d.one(4) > 0), setParameters(suit.Parameters{SoftFailure: ptr(d.one(2) == 0)}), slot, override(d.parameters())),
			fetching, matches}
	case n == 16 && depth < 2:
		return []suit.Command{runSequence(d.nested(depth).Commands...)}
	case len(d.dependencies) > 0:
		return d.process()
	}
	return []suit.Command{matches}
}

// process are the commands for a dependency, or some of them.
func (d *drawn) process() []suit.Command {
	which := d.one(len(d.dependencies))
	given := suit.Parameters{ImageDigest: ptr(d.dependencies[which].Digest()), URI: ptr(fmt.Sprintf("#%d", which))}
	list := []suit.Command{override(given), fetching, integrity, processes}
	at := index(suit.Index(2 + d.one(d.members-2)))
	switch d.one(8) {
	case 0:
		list = []suit.Command{processes}
	case 1:
		list = []suit.Command{override(given), processes}
	case 2: // another digest behind the check
		other := d.dependencies[d.one(len(d.dependencies))].Digest()
		list = []suit.Command{override(given), fetching, integrity, digestOf(other), processes}
	case 3: // twice, with other parameters
		p := index(suit.Index(d.one(2)))
		list = append([]suit.Command{p, override(d.parameters()), at}, append(list, p, setParameters(d.parameters()), at, processes)...)
	}
	return append([]suit.Command{at}, append(list, index(suit.Index(d.index())))...)
}

func argument(code suit.CommandCode, a suit.Argument) suit.Command {
	return suit.Command{Code: code, Argument: a}
}

func (d *drawn) manifest(sequenceNumber uint64) *suit.Manifest {
	d.members = 2 + len(d.dependencies)
	m := manifestOf(nil, nil, d.sequence(6, 0))
	if len(d.dependencies) == 0 && d.one(3) == 0 { // what its dependent says
		m.Sections[suit.SectionInstall] = suit.Severable{Sequence: sequence(index(suit.Index(d.one(2))), fetching, matches)}
	}
	if d.one(2) == 0 { // another order: an index means another component
		slices.Reverse(m.Common.Components)
	}
	m.SequenceNumber = sequenceNumber
	if d.one(2) == 0 {
		m.Common.Shared = sequence(index(suit.Index(0)), override(d.parameters()))
	}
	if d.one(3) == 0 {
		m.Sections[suit.SectionPayloadFetch] = suit.Severable{Sequence: d.sequence(4, 0)}
	}
	for i := range d.dependencies {
		m.Common.Dependencies = append(m.Common.Dependencies, suit.Dependency{Index: uint64(2 + i), Prefix: named(fmt.Sprintf("d%d", i))})
	}
	return m
}

// deviceEndsAsSaid takes a drawn tree of manifests through this package and through the
// processor: what a device ends with, when it completes the Update, was among what
// operators were told, or the manifest would have been refused.
func deviceEndsAsSaid(t *rapid.T) (accepted, completed bool) {
	d := &drawn{T: t}
	signer, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	keys := suit.KeyList{signer.PublicKey()}
	verified := func(m *suit.Manifest, integrated map[string][]byte) *suit.Verified {
		e, err := suit.Sign(m, integrated, signer)
		if err != nil {
			t.Skip(err)
		}
		v, err := e.Verify(keys, false)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	integrated := map[string][]byte{}
	var dependencies []*suit.Verified
	for i := range d.one(3) {
		v := verified(d.manifest(uint64(i)), nil)
		dependencies = append(dependencies, v)
		if integrated[fmt.Sprintf("#%d", i)], err = v.Envelope().Encode(true); err != nil {
			t.Fatal(err)
		}
	}
	d.dependencies = dependencies
	m := d.manifest(7)
	m.ComponentID = named("root")
	root := verified(m, integrated)

	h := &host{slot: uint64(d.one(2)), pinned: map[string]bool{}, images: map[string][]byte{}, manifests: map[string]suit.Digest{}}
	for _, id := range m.Common.Components {
		if d.one(2) == 0 {
			h.images[id.Key()] = []byte{'a' + byte(d.one(4))}
			h.pinned[id.Key()] = d.one(4) == 0
		}
	}
	before := maps.Clone(h.images)
	all := func(processor.Access) bool { return true }
	device := processor.New(processor.Config{
		Host: h, Fetcher: h, Limits: processor.DefaultLimits(), Mode: []processor.Mode{processor.Compat, processor.Strict}[d.one(6)/5],
		Authority: processor.AuthorityFunc(func(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
			v, err := e.Verify(keys, false)
			return v, all, err
		}),
	})
	tree, refused := evaluate(root, root.Manifest(), root.Digest(), among(dependencies...))
	if refused == nil {
		refused = tree.contradicted()
	}
	_, failed := device.Update(context.Background(), root, all)
	if refused != nil || failed != nil {
		return refused == nil, failed == nil
	}
	for _, id := range m.Common.Components {
		if fault := tree.misses(id, before, h.images); fault != "" {
			raw, _ := m.Encode(true)
			t.Fatalf("%s\nimages %v\nmanifest %x", fault, tree.images, raw)
		}
	}
	for i := range dependencies {
		id := named(fmt.Sprintf("d%d", i))
		digest, installed := h.manifests[id.Key()]
		if installed && !slices.ContainsFunc(tree.dependencies, func(d Dependency) bool { return d.Component.Equal(id) && d.Digest.Equal(digest) }) {
			t.Fatalf("the device has %s as %s, dependencies are %v", digest, id, tree.dependencies)
		}
	}
	return true, true
}

// contradicted is what publishing finds of content that is not what its digest says.
func (t *tree) contradicted() error {
	for _, img := range t.images {
		if img.content != nil {
			if err := new(Fleet).checkPayload(context.Background(), img); err != nil {
				return err
			}
		}
	}
	return nil
}

// misses says how a component has ended otherwise than the tree says.
func (t *tree) misses(id suit.ComponentID, before, after map[string][]byte) string {
	image, there := after[id.Key()]
	told := false
	for _, img := range t.images {
		if !img.Component.Equal(id) {
			continue
		}
		told = true
		if there && img.ImageDigest.Equal(suit.SumSHA256(image)) {
			return ""
		}
	}
	switch {
	case told:
		return fmt.Sprintf("%s ends with %q, which is none of its images", id, image)
	case !bytes.Equal(image, before[id.Key()]):
		return fmt.Sprintf("%s ends with %q, and has no image", id, image)
	}
	return ""
}

func TestDevicesEndAsSaid(t *testing.T) {
	accepted, completed, both := 0, 0, 0
	for range 5 { // one update in fifteen is completed
		rapid.Check(t, func(t *rapid.T) {
			a, c := deviceEndsAsSaid(t)
			for n, yes := range map[*int]bool{&accepted: a, &completed: c, &both: a && c} {
				if yes {
					*n++
				}
			}
		})
	}
	if both == 0 {
		t.Errorf("%d manifests were accepted and %d updates completed, none of which were both", accepted, completed)
	}
	t.Logf("%d accepted, %d completed, %d both", accepted, completed, both)
}

func FuzzDevicesEndAsSaid(f *testing.F) {
	source := rand.NewChaCha8([32]byte{})
	for range 16 {
		seed := make([]byte, 8<<10)
		source.Read(seed)
		f.Add(seed)
	}
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { deviceEndsAsSaid(t) }))
}
