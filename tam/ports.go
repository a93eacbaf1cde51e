package tam

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Faults that every Store tells apart; test with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	// ErrSpent: the token was spent before.
	ErrSpent = errors.New("token already spent")
	// ErrTooLarge: more bytes than the caller's limit; nothing was kept.
	ErrTooLarge = errors.New("too large")
	// ErrUnavailable: the store cannot do its work now; nothing was changed.
	ErrUnavailable = errors.New("store unavailable")
)

// Store keeps everything that a TAM must not forget. What Update has acknowledged
// survives the death of the process and the loss of power.
//
// View and Update are not called from within fn of either, on any backend: the inner
// one may wait for the outer one, until the context ends. fn reads from what it is given.
type Store interface {
	// View runs fn on a consistent snapshot.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn in one transaction: all of it is kept, or nothing where fn
	// or the commit fails. fn may run more than once, so it has no other effect.
	Update(ctx context.Context, fn func(Tx) error) error
}

// Attester makes Evidence about the TAM (RFC 9334 section 4.1), for agents that ask for it.
type Attester interface {
	// Evidence answers the challenge and vouches for key as the TAM's.
	Evidence(ctx context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error)
}

// ResultVerifier checks who issued an Attestation Result, and reads it. A result that is
// not by a trusted verifier, or cannot be read, is an error; so is a verifier that nobody
// can look up just now. Test with errors.Is for ear.ErrResult and ear.ErrSignature.
type ResultVerifier interface {
	Verify(ctx context.Context, format string, data []byte) (*attest.Result, error)
}

// Issuer signs what the built-in verifier has appraised, for agents to keep as a passport.
type Issuer interface {
	Issue(r *attest.Result) (*teep.AttestationPayload, error)
}

// Reader is what a snapshot answers. A missing row is ErrNotFound, an empty list is not.
type Reader interface {
	DeviceReader
	StatusReader
	ManifestReader
	AnchorReader
	PolicyReader
	ReferenceReader
	SessionReader
	audit.Reader
}

// Tx is a transaction: it reads its own writes.
type Tx interface {
	Reader
	DeviceWriter
	StatusWriter
	ManifestWriter
	AnchorWriter
	PolicyWriter
	ReferenceWriter
	SessionWriter
	audit.Log
	Retention
}

// Page asks for the rows behind a cursor, in the order of their keys.
type Page struct {
	After string // cursor: the key of the last row seen, empty for the start
	Limit int    // 1..1000, as the limit of every listing below
}

// DeviceReader finds devices and their agents.
type DeviceReader interface {
	Device(id devices.ID) (devices.Device, error)
	DeviceByUEID(ueid []byte) (devices.Device, error)
	// Devices lists by ascending id; an empty state means all.
	Devices(state devices.State, page Page) ([]devices.Device, error)
	// DeviceAttestedBy returns the first device by id whose attestation key it is.
	DeviceAttestedBy(key cosekit.Thumbprint) (devices.Device, error)
	Agent(key cosekit.Thumbprint) (devices.Agent, error)
	AgentsOf(id devices.ID) ([]devices.Agent, error)
}

// DeviceWriter creates or replaces by key. A row of a device that is not there,
// here and below, is ErrNotFound.
type DeviceWriter interface {
	// PutDevice returns ErrExists for the ueid of another device.
	PutDevice(d devices.Device) error
	PutAgent(a devices.Agent) error
	// DeleteAgent removes an agent and its outstanding Updates. Its device and its
	// appraisals stay. A Delete by key of what is not there is ErrNotFound.
	DeleteAgent(key cosekit.Thumbprint) error
}

// StatusReader tells what a device holds, should hold and was offered.
type StatusReader interface {
	Inventory(id devices.ID) ([]devices.InventoryItem, error)
	ComponentStatuses(id devices.ID) ([]devices.ComponentStatus, error)
	Requirements(id devices.ID) ([]devices.Requirement, error)
	Removals(id devices.ID) ([]devices.Removal, error)
	// Reports returns the last report about each manifest component id.
	Reports(id devices.ID) ([]Report, error)
	// Appraisals returns the last one that was added first, without what is large, which
	// Appraisal has: Claims, Comparisons, Evidence and Result are nil.
	Appraisals(q AppraisalQuery) ([]devices.Appraisal, error)
	Appraisal(id int64) (devices.Appraisal, error)
	// LatestAppraisals returns the last appraisal of each device that has one, by
	// ascending device id, without Evidence and Result.
	LatestAppraisals(page Page) ([]devices.Appraisal, error)
}

// AppraisalQuery asks for appraisals; what is zero does not narrow.
type AppraisalQuery struct {
	Device   devices.ID
	Accepted *bool
	Genuine  bool  // only those with claims
	Before   int64 // cursor: the id of the last row seen
	Limit    int
}

// StatusWriter changes the same.
type StatusWriter interface {
	ReplaceInventory(id devices.ID, items []devices.InventoryItem) error
	PutComponentStatus(s devices.ComponentStatus) error // keyed by device and component
	PutRequirement(r devices.Requirement) error
	DeleteRequirement(id devices.ID, component suit.ComponentID) error
	PutRemoval(r devices.Removal) error
	DeleteRemoval(id devices.ID, component suit.ComponentID) error
	PutReport(r Report) error // keyed by device and component
	AddAppraisal(a devices.Appraisal) error
}

// Report is a SUIT_Report of a device, without what protected it on its way.
type Report struct {
	Device    devices.ID
	Component suit.ComponentID // manifest component id
	Manifest  suit.Digest
	At        time.Time // of its arrival
	Encoded   []byte
}

// Manifest is an envelope that the TAM accepted for its devices, as far as plans
// and people need it; Envelope returns the bytes.
type Manifest struct {
	Digest    suit.Digest      // of the manifest, as its authentication wrapper has it
	Component suit.ComponentID // manifest-component-id
	Sequence  uint64
	Signer    cosekit.Thumbprint
	// Signatures say who vouches for which components, the dependencies' included; nil
	// where it is Signer, for the manifest component id and all targets.
	Signatures []Signature
	// Targets are what it installs with its dependencies. Where there are several of one
	// component, the device chooses between their images.
	Targets      []Target
	Dependencies []Dependency // the manifests that it depends on, and those these do
	Size         int64        // of the envelope, in bytes
	PublishedAt  time.Time
	PublishedBy  string
}

// Target is a component that a manifest installs, and the image it must have then.
type Target struct {
	Component   suit.ComponentID
	ImageDigest suit.Digest
	ImageSize   uint64
	URI         string // empty for an integrated payload
}

// Dependency is a manifest that is installed with the one that needs it.
type Dependency struct {
	Component suit.ComponentID // where it is stored
	Digest    suit.Digest      // of the manifest
}

// ManifestReader finds manifests.
type ManifestReader interface {
	Manifest(digest suit.Digest) (Manifest, error)
	Envelope(digest suit.Digest) ([]byte, error)
	// ManifestsFor lists those whose manifest component id, or one of whose
	// targets, is the component: highest sequence number first.
	ManifestsFor(component suit.ComponentID, limit int) ([]Manifest, error)
	// LatestManifest returns the one with the highest sequence number of a manifest
	// component id.
	LatestManifest(component suit.ComponentID) (Manifest, error)
	// Manifests lists by ascending digest (Page.After: its hexadecimal digits).
	Manifests(page Page) ([]Manifest, error)
}

// ManifestWriter adds manifests; they never change.
type ManifestWriter interface {
	// AddManifest returns ErrExists for a known digest, and for a sequence number
	// that the manifest component id already has.
	AddManifest(m Manifest, envelope []byte) error
}

// PolicyReader finds policies and groups.
type PolicyReader interface {
	// PolicyState is another number after each change of what the others return, one that
	// was never seen before; so whoever keeps something by it may read both in any
	// transaction. It is another, too, after each change by which evidence that was accepted
	// may not be any more: when reference values come or go, when a device CA goes, or an
	// anchor of attesters, verifiers or signers of reference values.
	PolicyState() (int64, error)
	// Policies returns the version in force of each policy, by position, then name.
	Policies() ([]policy.Policy, error)
	// PolicyVersions returns all versions of one policy, the newest first.
	PolicyVersions(name string) ([]policy.Policy, error)
	// Groups lists by name.
	Groups() ([]devices.Group, error)
}

// PolicyWriter changes them.
type PolicyWriter interface {
	// AddPolicy adds a version; ErrExists for one that is there.
	AddPolicy(p policy.Policy) error
	PutGroup(g devices.Group) error
	DeleteGroup(name string) error
}

// ReferenceFile is an imported CoRIM.
type ReferenceFile struct {
	ID         string // tag id
	Version    uint64
	Signer     string
	Raw        []byte
	ImportedAt time.Time
	ImportedBy string
}

// DeviceCA is a certificate of those who certify device attestation keys.
type DeviceCA struct {
	Fingerprint [sha256.Size]byte // of Certificate
	Title       string
	Certificate []byte          // DER
	Formats     []anchor.Format // of the evidence that it certifies keys for; empty for EATs only
	AddedAt     time.Time
	AddedBy     string
}

// ReferenceReader finds what evidence is appraised against.
type ReferenceReader interface {
	// ReferenceState rises with every change of what the others return, and of the anchors
	// of attesters, verifiers and signers of reference values. Whoever keeps something
	// by it reads both in one View: what an Update reads may be undone.
	ReferenceState() (int64, error)
	// ReferenceFiles lists by id, then version.
	ReferenceFiles() ([]ReferenceFile, error)
	// DeviceCAs lists by fingerprint.
	DeviceCAs() ([]DeviceCA, error)
}

// ReferenceWriter changes it. ErrExists and ErrNotFound as everywhere.
type ReferenceWriter interface {
	AddReferenceFile(f ReferenceFile) error
	DeleteReferenceFile(id string, version uint64) error
	AddDeviceCA(ca DeviceCA) error
	DeleteDeviceCA(fingerprint [sha256.Size]byte) error
}

// AnchorReader finds the keys that the TAM itself trusts: publishers (tc-signer),
// device attestation keys (attester), verifiers of attestation results (verifier), and
// those who sign CoRIM files (reference-values).
type AnchorReader interface {
	Anchor(key cosekit.Thumbprint) (anchor.Anchor, error)
	Anchors(purpose anchor.Purpose) ([]anchor.Anchor, error)
}

// AnchorWriter adds and removes them.
type AnchorWriter interface {
	AddAnchor(a anchor.Anchor) error // ErrExists for a known key
	DeleteAnchor(key cosekit.Thumbprint) error
}

// Outstanding is an Update that was sent and not yet answered.
type Outstanding struct {
	Agent     cosekit.Thumbprint
	Device    devices.ID
	Token     []byte
	Manifests []suit.Digest
	Unneeded  []suit.ComponentID // manifest component ids to unlink
	SentAt    time.Time
	ExpiresAt time.Time
}

// TokenKey is a MAC key of the tokens. All replicas share them.
type TokenKey struct {
	ID        uint8
	Secret    []byte // 32 bytes
	CreatedAt time.Time
}

// SessionReader reads what sessions leave behind.
type SessionReader interface {
	// Outstanding is looked up by agent and token together, never by token alone.
	Outstanding(agent cosekit.Thumbprint, token []byte) (Outstanding, error)
	// TokenKeys lists by ascending creation time.
	TokenKeys() ([]TokenKey, error)
	// Spent reports whether a token was spent and its mark not yet dropped.
	Spent(token []byte) (bool, error)
}

// SessionWriter changes it.
type SessionWriter interface {
	// Spend marks a token as used until its MAC expires; a second time is ErrSpent.
	Spend(token []byte, until time.Time) error
	// PutOutstanding adds one and drops the agent's oldest beyond keep.
	PutOutstanding(o Outstanding, keep int) error
	DeleteOutstanding(agent cosekit.Thumbprint, token []byte) error
	// DeleteExpired drops spent marks and outstanding Updates that ended before
	// now, at most limit of each.
	DeleteExpired(now time.Time, limit int) (deleted int, err error)
	// DropOutstanding drops Updates that wait for an answer, of whichever agent and
	// however long they are good, at most limit.
	DropOutstanding(limit int) (dropped int, err error)
	AddTokenKey(k TokenKey) error // ErrExists for a known id
	DeleteTokenKey(id uint8) error
}

// Retention drops what nobody needs any longer, a bounded number of rows in each
// transaction, so that sessions never wait for it.
type Retention interface {
	// DropEvidence takes the raw evidence and results out of appraisals from before a
	// time, at most limit rows; what they came to stays.
	DropEvidence(before time.Time, limit int) (dropped int, err error)
	// DeleteAppraisals drops old appraisals, those from before a time and not among
	// the newest keep of their agent. It goes through the agents in the order of
	// their keys, from the one behind after, and looks at no more than limit of them
	// and drops no more than limit rows; what is left of the last agent then waits
	// for the next round. It returns where to go on, the zero thumbprint when it has
	// come to the end.
	DeleteAppraisals(after cosekit.Thumbprint, before time.Time, keep, limit int) (next cosekit.Thumbprint, err error)
	// DeleteEvents drops the start of the audit log, up to the first event that is
	// not from before a time, at most limit events. It is the only way in which
	// events go. Where any did, it appends the given event, with the number of the
	// last one that is gone as its detail "through".
	DeleteEvents(before time.Time, limit int, record audit.Event) (deleted int, err error)
}

// Payloads keeps payload files under their SHA-256 digest.
type Payloads interface {
	// Put streams r into the store. It fails with ErrTooLarge, keeping nothing,
	// beyond limit bytes.
	Put(ctx context.Context, r io.Reader, limit int64) (suit.Digest, int64, error)
	// Open returns ErrNotFound for an unknown digest.
	Open(ctx context.Context, digest suit.Digest) (io.ReadSeekCloser, int64, error)
}
