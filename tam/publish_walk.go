package tam

import (
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// updating are the sections of the Update procedure, in their order
// (draft-ietf-suit-manifest-37 section 6.6, draft-ietf-suit-trust-domains).
var updating = []suit.Section{
	suit.SectionDependencyResolution, suit.SectionPayloadFetch,
	suit.SectionCandidateVerification, suit.SectionInstall, suit.SectionValidate,
}

// Caps of one evaluation. What is beyond them is refused, for its outcome is not known.
const (
	maxStates          = 64      // ways that a device can take, at one command
	maxWork            = 1 << 20 // components that commands look at, in all ways together
	maxImages          = 256     // that the components can end with, of all of them
	maxMembers         = 16      // a manifest and all that it depends on
	maxDependencyDepth = 4
)

// member is a manifest of the tree that is published: the root, or a dependency.
type member struct {
	verified *suit.Verified
	manifest *suit.Manifest
	digest   suit.Digest
	table    []entry // what its component indices stand for
	uses     uses    // of the components
}

// entry is a component of a member by its number in the walk.
type entry struct {
	number     int
	dependency bool
}

// inForce says of each parameter that decides what a component ends with, which
// parameter block of the manifests has set it last. Blocks are compared by their place,
// so that a state is compared without looking into them.
type inForce [len(deciding)]*suit.Parameters

// deciding are those parameters; the constants are their places in inForce.
var deciding = [...]suit.ParameterCode{
	suit.ParameterImageDigest, suit.ParameterImageSize, suit.ParameterURI,
	suit.ParameterContent, suit.ParameterSourceComponent, suit.ParameterEncryptionInfo,
}

const (
	digestInForce = iota
	sizeInForce
	uriInForce
	contentInForce
	sourceInForce
	encryptionInForce
)

func (p *inForce) digest() *suit.Digest {
	if block := p[digestInForce]; block != nil {
		return block.ImageDigest
	}
	return nil
}

func (p *inForce) size() *uint64 {
	if block := p[sizeInForce]; block != nil {
		return block.ImageSize
	}
	return nil
}

func (p *inForce) uri() *string {
	if block := p[uriInForce]; block != nil {
		return block.URI
	}
	return nil
}

// held is what a component holds, as far as the manifests say.
type held struct {
	written  bool         // by this Update; else it is what the device had before
	matched  bool         // an image-match has found the digest
	digest   *suit.Digest // nil: not known
	manifest *suit.Digest // of the manifest that it was found to be; nil: not known
	size     *uint64
	from     *member          // whose command it was
	uri      *string          // of the fetch; nil for a write
	content  *suit.Parameters // of the write
	sealed   bool             // the digest is of what decryption makes of the payload
	place    string           // of the command that wrote it
}

// component is one component of a state.
type component struct {
	parameters inForce
	source     int // the component that source-component meant to the manifest that set it
	image      held
	through    sections // of the manifest that it holds, that ran to their end
}

// set takes what the block gives, and with keep only what is not set yet. source is what
// its source-component names.
func (c *component) set(block *suit.Parameters, keep bool, source int) {
	for i, code := range deciding {
		if block.Has(code) && (!keep || c.parameters[i] == nil) {
			c.take(i, block, source)
		}
	}
}

func (c *component) take(i int, block *suit.Parameters, source int) {
	if c.parameters[i] = block; i == sourceInForce {
		c.source = source
	}
}

// sections is a set of those in updating, a bit for each.
type sections uint

func bitOf(section suit.Section) sections { return 1 << slices.Index(updating, section) }

// state is one way that a device can have taken up to a command, by component.
type state []component

// walk evaluates the Update procedure of a tree of manifests without a device. A
// condition can hold or fail, so there is a state for each way through the
// alternatives; those that come to the same are one. Whatever a device does that
// completes the procedure, its components end as in one of the last states.
type walk struct {
	find         func(parent *member, digest suit.Digest, uri *string) (*suit.Verified, error)
	ids          []suit.ComponentID // of all members, each once
	numbers      map[string]int     // in ids, by key
	dependency   map[int]bool       // those that hold manifests
	members      []*member          // the root first
	dependencies []Dependency       // those that were processed
	work         int
	seed         maphash.Seed
}

// call is a sequence on its way.
type call struct {
	up      *call // the one whose process-dependency this is; nil in the root
	member  *member
	section suit.Section
	path    string
	nested  bool // in try-each or run-sequence, for which a failure need not be the end
	depth   int
	// Commands change these for those behind them.
	soft, softSet bool // Soft Failure, and whether the manifest has set it in this sequence
	all           bool // the components were selected with true
}

// failures are the states in which a sequence has failed: softly, or so that what
// called it fails as well.
type failures struct{ soft, hard []state }

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupportedManifest, fmt.Sprintf(format, args...))
}

// spend counts work, and refuses more than the cap.
func (w *walk) spend(n int) error {
	if w.work += n; w.work > maxWork {
		return unsupported("too much to evaluate; let it have fewer commands, components or alternatives")
	}
	return nil
}

// add takes a manifest into the tree.
func (w *walk) add(v *suit.Verified, manifest *suit.Manifest, digest suit.Digest) (*member, error) {
	for _, m := range w.members {
		if m.digest.Equal(digest) {
			return m, nil
		}
	}
	if len(w.members) == maxMembers {
		return nil, unsupported("more than %d manifests", maxMembers)
	}
	if manifest.Version != suit.ManifestVersion {
		return nil, unsupported("manifest version %d, want %d", manifest.Version, suit.ManifestVersion)
	}
	table, err := manifest.Common.Table()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelopeMalformed, err)
	}
	m := &member{verified: v, manifest: manifest, digest: digest}
	for _, e := range table {
		number, known := w.numbers[e.ID.Key()]
		if !known {
			number = len(w.ids)
			w.numbers[e.ID.Key()] = number
			w.ids = append(w.ids, e.ID)
		}
		if e.Dependency {
			w.dependency[number] = true
		}
		m.table = append(m.table, entry{number, e.Dependency})
	}
	w.members = append(w.members, m)
	return m, w.findUses(m)
}

// update runs the sections of the root and returns how it can end.
func (w *walk) update(root *member) ([]state, error) {
	states := []state{make(state, len(w.ids))}
	for _, section := range updating {
		done, err := w.section(call{member: root, section: section, path: section.String()}, states)
		if err != nil {
			return nil, err
		}
		if states = done; len(states) == 0 {
			return nil, unsupported("%s: it fails on every device", section)
		}
	}
	for i := range states {
		states[i] = w.whole(states[i])
	}
	return states, nil
}

// section runs a section of a member, the shared sequence before it. One that the
// manifest does not have succeeds. A device on which it fails gives the Update up.
func (w *walk) section(c call, states []state) ([]state, error) {
	element, present := c.member.manifest.Sections[c.section]
	switch {
	case !present:
		return states, nil
	case element.Sequence == nil:
		return nil, fmt.Errorf("%w: %s is not in the envelope", ErrSeveredMismatch, c.path)
	}
	if shared := c.member.manifest.Common.Shared; shared != nil {
		before := c
		before.section, before.path = suit.SectionShared, suit.SectionShared.String()
		var err error
		if states, _, err = w.run(before, shared, states, []int{0}); err != nil {
			return nil, err
		}
	}
	done, _, err := w.run(c, element.Sequence, states, []int{0})
	return done, err
}

// run follows a sequence from each of the states, which are its own to change.
// selected are the indices that its first command applies to.
func (w *walk) run(c call, sequence *suit.Sequence, states []state, selected []int) ([]state, failures, error) {
	var failed failures
	if len(c.member.table) == 0 {
		return nil, failed, fmt.Errorf("%w: %s: the manifest names no component", ErrNoTarget, c.path)
	}
	for i, command := range sequence.Commands {
		if len(states) == 0 {
			break
		}
		s := step{walk: w, call: c, at: i, command: command, selected: selected}
		done, failing, err := s.take(states)
		if err != nil {
			return nil, failed, fmt.Errorf("%s[%d].%s: %w", c.path, i, command.Code, err)
		}
		target := &failed.hard
		if c.soft {
			target = &failed.soft
		}
		if *target, err = w.union(*target, failing); err != nil {
			return nil, failed, fmt.Errorf("%s[%d].%s: %w", c.path, i, command.Code, err)
		}
		states, selected, c = done, s.selected, s.call
	}
	return states, failed, nil
}

// copies returns the states for another way to go on from them.
func (w *walk) copies(states []state) ([]state, error) {
	out := make([]state, len(states))
	for i, s := range states {
		if err := w.spend(len(s)); err != nil {
			return nil, err
		}
		out[i] = slices.Clone(s)
	}
	return out, nil
}

// union adds the states to the list that are not in it.
func (w *walk) union(list, more []state) ([]state, error) {
	if len(more) == 0 {
		return list, nil
	}
	if err := w.spend((len(list) + len(more)) * len(w.ids)); err != nil {
		return nil, err
	}
	known := make(map[uint64][]state, len(list)+len(more))
	for i, s := range list {
		list[i] = w.whole(s)
		key := w.hash(list[i])
		known[key] = append(known[key], list[i])
	}
	for _, s := range more {
		s = w.whole(s)
		key := w.hash(s)
		if slices.ContainsFunc(known[key], func(one state) bool { return slices.Equal(one, s) }) {
			continue
		}
		if len(list) == maxStates {
			return nil, unsupported("more than %d ways to go on", maxStates)
		}
		list, known[key] = append(list, s), append(known[key], s)
	}
	return list, nil
}

func (w *walk) hash(s state) uint64 {
	var h maphash.Hash
	h.SetSeed(w.seed)
	for _, c := range s {
		maphash.WriteComparable(&h, c)
	}
	return h.Sum64()
}

// whole gives a state the components that came with dependencies since.
func (w *walk) whole(s state) state {
	if missing := len(w.ids) - len(s); missing > 0 {
		s = append(s, make(state, missing)...)
	}
	return s
}
