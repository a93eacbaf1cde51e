package processor

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Config is what a Processor is made of. Only Host and Limits are needed; what is left
// out the device cannot do, and a manifest that asks for it is refused or, where it is
// a condition, does not hold.
type Config struct {
	Host   Host
	Limits Limits
	Mode   Mode
	// Fetcher gets payloads; nil: integrated ones only.
	Fetcher Fetcher
	// Authority authenticates dependencies; nil: manifests have none.
	Authority Authority
	// Signatures are the algorithms of signatures and MACs that whoever authenticates
	// manifests checks. They are told in Capabilities.
	Signatures []cosekit.Algorithm
	// Keys decrypt payloads.
	Keys cosekit.DecryptionKeys
	// Invoke transfers control to a component; nil: nothing can be invoked.
	Invoke func(context.Context, Invocation) error
	// Circumstances answer the conditions about more than the components.
	Circumstances Circumstances
	// Custom are commands of the private range, -257 and below.
	Custom map[suit.CommandCode]CustomCommand
	// Names are what errors and steps call them; nil: by their numbers.
	Names suit.CommandNames
	// Observe sees each command when it has ended; nil: nobody does.
	Observe func(Step)
}

// Mode says how strictly a manifest is taken.
type Mode int

const (
	// Strict follows the text of the drafts. It is the zero value.
	Strict Mode = iota
	// Compat accepts what the published examples do against that text; every rule that
	// it bends is in [Outcome.Bent] and in the report.
	Compat
)

// Rule is one that Compat can bend, by its name.
type Rule string

// Authority says which manifests are authentic, and what their signers may do. It is
// asked for each dependency; for the manifest that a procedure is called with, its
// caller has answered already.
type Authority interface {
	Authenticate(*suit.Envelope) (*suit.Verified, Rights, error)
}

// AuthorityFunc is an Authority.
type AuthorityFunc func(*suit.Envelope) (*suit.Verified, Rights, error)

// Authenticate implements Authority.
func (f AuthorityFunc) Authenticate(e *suit.Envelope) (*suit.Verified, Rights, error) { return f(e) }

// Rights says what the signer of a manifest may do. It is asked about each component,
// and about each command and parameter that the manifest uses on it: the access control
// models of draft-ietf-suit-manifest-37 section 9. A nil Rights allows nothing.
type Rights func(Access) bool

// Access is one question to Rights. With neither Command nor Parameter it is whether the
// component may be touched at all, or the manifest component id be owned.
type Access struct {
	Component suit.ComponentID
	Command   suit.CommandCode   // zero for none
	Parameter suit.ParameterCode // zero for none
}

// Invocation is what invoke hands over.
type Invocation struct {
	Component suit.ComponentID
	// Open reads the component's image, and tells its size.
	Open func() (io.ReadCloser, uint64, error)
	Args []byte // invoke-args, nil for none
}

// Circumstances are what a device knows about itself and its surroundings, for the
// conditions and the wait of draft-ietf-suit-update-management. A nil function is a fact
// that is not known: what depends on it fails.
type Circumstances struct {
	// Clock tells the time, for use-before.
	Clock func() time.Time
	// Battery returns the charge in mWh, the unit of minimum-battery.
	Battery func(context.Context) (uint64, error)
	// Authorize returns nil where the update may be made now. The priority is nil
	// where the manifest gives none.
	Authorize func(ctx context.Context, priority *int64) error
	// Wait returns nil when all of the event holds.
	Wait func(context.Context, *suit.WaitInfo) error
}

// CustomCommand is a command of the private range that the device understands. Its
// argument comes as it is encoded.
type CustomCommand struct {
	// Condition tells a condition, which may be softened and must change nothing, from a
	// directive.
	Condition bool
	Run       func(ctx context.Context, call CustomCall) error
}

// CustomCall is the current component of a custom command.
type CustomCall struct {
	Component  suit.ComponentID
	Parameters *suit.Parameters // not to be changed
	Argument   suit.Argument
	Open       func() (io.ReadCloser, uint64, error) // ErrNoImage where there is none
}

// Step is one command that has ended.
type Step struct {
	// Manifest is the path of dependency indices to the manifest, empty for the root.
	Manifest  []uint64
	Section   suit.Section
	Depth     int // of nested sequences, 0 for the section's own
	Offset    int // of the command in its section, in bytes
	Command   suit.CommandCode
	Name      string // of the command
	Index     int    // of the component
	Component suit.ComponentID
	Measured  suit.Parameters
	// Note says what was done, where that is not plain: "the image was there already".
	Note string
	Err  error
	// Softened: the failure ended its sequence only.
	Softened bool
}

// Host is the device that manifests are processed on. Its methods may be called
// from one procedure at a time.
type Host interface {
	// Identity returns what the identifier conditions compare with.
	Identity() Identity
	// Supports returns nil where the device has, or can make room for, the
	// component; otherwise an error that says why not.
	Supports(component suit.ComponentID) error
	// Begin starts the one transaction in which a procedure reads and writes. It
	// changes nothing that outlives a Rollback.
	Begin(ctx context.Context) (Transaction, error)
}

// Identity names the device: RFC 9562 UUIDs as in draft-ietf-suit-manifest-37
// section 8.4.8.2. One that is zero matches no manifest.
type Identity struct {
	Vendor uuid.UUID
	Class  uuid.UUID
	Device uuid.UUID
	// VendorPEN is the vendor as a relative OID, the other form of a vendor-id; nil for none.
	VendorPEN []byte
}

// Transaction is the state of the device as one procedure sees and changes it. What
// it writes are candidates: until Commit the installed images stay in place and in
// use, and a crash or Rollback leaves nothing but them.
//
// A manifest is stored under an id: a root manifest under its manifest-component-id, a
// dependency under the component id that its dependents list it by. The image of that
// component is the manifest's envelope.
type Transaction interface {
	// Sequence returns the sequence number of the manifest that was last committed
	// under this id, also where it was uninstalled since: removing a manifest must not
	// open the way back to an older one. known is false where there was none.
	Sequence(ctx context.Context, manifest suit.ComponentID) (number uint64, known bool, err error)
	// Installed returns what is known of the manifest that is installed under this id;
	// known is false where there is none.
	Installed(ctx context.Context, manifest suit.ComponentID) (m InstalledManifest, known bool, err error)
	// References returns the ids of the installed manifests that list the component, be
	// it an image or a dependency. It is the reference count of
	// draft-ietf-suit-trust-domains, with names: no manifest counts twice, and none can
	// take back more than its own. That a manifest is a root does not stand here.
	References(ctx context.Context, component suit.ComponentID) ([]suit.ComponentID, error)
	// Floor returns the highest sequence number of all manifests that were committed
	// with the component in their list, not as Observed, and an image of it on the device,
	// whatever their names, also where it is not installed any more; 0 where there was none.
	Floor(ctx context.Context, component suit.ComponentID) (number uint64, err error)
	// Version returns the set-version of the manifest that installed the component's
	// image; nil where it had none. ErrNoImage where there is no image.
	Version(ctx context.Context, component suit.ComponentID) ([]int64, error)
	// Open reads the component's candidate, or the installed image where this
	// transaction has none, and tells its size. ErrNoImage where there is neither.
	Open(ctx context.Context, component suit.ComponentID) (image io.ReadCloser, size uint64, err error)
	// Create starts a candidate for the component, in place of an earlier one. It is
	// complete when Close has returned nil; the caller closes it before Open, Swap,
	// Commit or Rollback.
	Create(ctx context.Context, component suit.ComponentID) (io.WriteCloser, error)
	// Swap makes the image of each component, candidate or installed, the candidate of
	// the other. ErrNoImage where one has none.
	Swap(ctx context.Context, a, b suit.ComponentID) error
	// Commit makes the change durably or, where it returns an error, nothing of it.
	Commit(ctx context.Context, change Change) error
	// Rollback drops the candidates. After Commit it does nothing.
	Rollback() error
}

// InstalledManifest is a manifest that is installed.
type InstalledManifest struct {
	Digest   suit.Digest // measured now
	Sequence uint64
	// Root: it was installed for itself, not only as a dependency.
	Root bool
}

// Change is what a procedure makes last, all of it together: every candidate becomes
// the installed image of its component. Afterwards a manifest that is neither a root
// nor a dependency of an installed manifest is gone, and so is an image that no
// installed manifest lists.
type Change struct {
	// Install are the manifests that were processed, dependencies before dependents.
	Install []Installation
	// Uninstall are roots that are not to be roots any more; ErrNotInstalled where one
	// is none.
	Uninstall []suit.ComponentID
}

// Installation is one manifest that a committed Update procedure put on the device.
type Installation struct {
	// Manifest is the id that it is stored under. For a root without a
	// manifest-component-id it is the id of its first component.
	Manifest suit.ComponentID
	Digest   suit.Digest // of the manifest
	Sequence uint64      // of the manifest
	Version  []int64     // its set-version; nil for none
	// Root stays set until it is uninstalled, also where the manifest is installed again
	// as a dependency.
	Root bool
	// Components are the images that it lists; those it does not list any more lose it as
	// a reference. Dependencies are the manifests that it lists.
	Components   []suit.ComponentID
	Dependencies []suit.ComponentID
	// Observed are those of Components whose image the signer may not determine: the
	// sequence number does not count for their Floor.
	Observed []suit.ComponentID
	// Metadata is how the images are to be stored, by the key of the component's id, as
	// far as the manifest says.
	Metadata map[string]*suit.ComponentMetadata
	// Envelope is the authenticated envelope, tagged, for later procedures on what it
	// installed. It takes the place of a candidate under the same id.
	Envelope []byte
}

// Resumable is implemented by a Transaction that keeps what has arrived of a payload
// when a procedure ends early.
type Resumable interface {
	// Resume is Create for a payload with this digest: what of it arrived in an earlier
	// transaction is the beginning of the candidate, kept reads it, nil where there is
	// none. The caller reads kept to its end and closes it before it writes the rest.
	Resume(ctx context.Context, component suit.ComponentID, want suit.Digest) (candidate Partial, kept io.ReadCloser, err error)
}

// Partial is a candidate that need not arrive at once. A store keeps one for each
// component at most, and none for ever.
type Partial interface {
	io.WriteCloser // Close: it has arrived whole
	// Suspend keeps what was written for a later Resume, instead of Close.
	Suspend() error
}

// MetadataKeeper is implemented by a Host that stores images with component-metadata.
// Without it a manifest that gives such metadata is refused.
type MetadataKeeper interface {
	// SupportsMetadata returns nil where the device can store the component so.
	SupportsMetadata(suit.ComponentID, *suit.ComponentMetadata) error
	// HasMetadata reports whether the installed image of the component is stored so.
	HasMetadata(suit.ComponentID, *suit.ComponentMetadata) bool
}

// Selective is implemented by a Host that knows beforehand which components it supports.
// Without it Capabilities names all.
type Selective interface {
	// Components returns them; nil for all.
	Components() []suit.ComponentCapability
}

// Slotted is implemented by a Host whose components have slots. Without it a
// manifest that uses component-slot is refused.
type Slotted interface {
	// Slot returns the index of the slot that the component would be installed in.
	Slot(component suit.ComponentID) (uint64, error)
}

// Fetcher gets payloads by URI.
type Fetcher interface {
	// Fetch opens the resource. It fails early where the source announces more than
	// the limit; the reader itself need not stop there. Reads end with ctx.
	Fetch(ctx context.Context, r Request) (io.ReadCloser, error)
}

// Request is what is to be fetched.
type Request struct {
	URI string
	// Offset is where to begin, in bytes: what stands before is at hand.
	Offset uint64
	// Limit is how many bytes the whole resource may have.
	Limit uint64
	// Arguments are the fetch-arguments of the manifest; nil for none.
	Arguments []byte
}
