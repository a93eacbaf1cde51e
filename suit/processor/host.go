package processor

import (
	"context"
	"io"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

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
}

// Transaction is the state of the device as one procedure sees and changes it. What
// it writes are candidates: until Commit the installed images stay in place and in
// use, and a crash or Rollback leaves nothing but them.
type Transaction interface {
	// Sequence returns the sequence number of the manifest that was last committed
	// under this manifest component id, also where it was uninstalled since: removing a
	// manifest must not open the way back to an older one. known is false where there
	// was none.
	Sequence(ctx context.Context, manifest suit.ComponentID) (number uint64, known bool, err error)
	// Installed returns the digest of the manifest that is installed under this id;
	// known is false where there is none.
	Installed(ctx context.Context, manifest suit.ComponentID) (digest suit.Digest, known bool, err error)
	// References returns the ids of the installed manifests that list the component. It
	// is the reference count of draft-ietf-suit-trust-domains, with names:
	// no manifest counts twice, and none can take back more than its own.
	References(ctx context.Context, component suit.ComponentID) ([]suit.ComponentID, error)
	// Floor returns the highest sequence number of all manifests that were committed
	// with the component in their list and an image of it on the device, whatever their
	// names, also where it is not installed any more; 0 where there was none.
	Floor(ctx context.Context, component suit.ComponentID) (number uint64, err error)
	// Open reads the component's candidate, or the installed image where this
	// transaction has none, and tells its size. ErrNoImage where there is neither.
	Open(ctx context.Context, component suit.ComponentID) (image io.ReadCloser, size uint64, err error)
	// Create starts a candidate for the component, in place of an earlier one. It is
	// complete when Close has returned nil; the caller closes it before Open, Commit
	// or Rollback.
	Create(ctx context.Context, component suit.ComponentID) (io.WriteCloser, error)
	// Commit makes every candidate the installed image and records the manifest, all
	// of it durably or, where it returns an error, nothing. From then on the manifest
	// references the components that it lists and no others; a component that no
	// manifest references any more is gone.
	Commit(ctx context.Context, installed Installation) error
	// Uninstall removes the manifest with its references, and every component that no
	// manifest references any more: durably, or where it returns an error, nothing.
	// ErrNotInstalled where there is no such manifest.
	Uninstall(ctx context.Context, manifest suit.ComponentID) error
	// Rollback drops the candidates. After Commit and Uninstall it does nothing.
	Rollback() error
}

// Installation is what a committed Update procedure put on the device.
type Installation struct {
	// Manifest names the manifest: its manifest-component-id (draft-ietf-suit-trust-domains)
	// or, where it has none, the id of its first component.
	Manifest   suit.ComponentID
	Digest     suit.Digest // of the manifest
	Sequence   uint64      // of the manifest
	Components []suit.ComponentID
	// Envelope is the authenticated envelope, tagged, for later procedures on what it
	// installed.
	Envelope []byte
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
	// limit bytes; the reader itself need not stop there. Reads end with ctx.
	Fetch(ctx context.Context, uri string, limit uint64) (io.ReadCloser, error)
}

// Rights says whether the signer of a manifest may install and change a component,
// or own a manifest component id: the second access control model of
// draft-ietf-suit-manifest-37 section 9. A nil Rights allows nothing.
type Rights func(component suit.ComponentID) bool
