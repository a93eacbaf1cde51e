package devices

import (
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// ID names a device in this TAM: a UUID in its text form, given at first contact.
type ID string

// State is where a device stands with the operators.
type State string

// The states of a device. Only an accepted one is offered anything.
const (
	Pending     State = "pending"
	Accepted    State = "accepted"
	Quarantined State = "quarantined"
	Rejected    State = "rejected"
	Retired     State = "retired"
)

// Device is one piece of hardware, known by its ueid (RFC 9711 section 4.2.1).
type Device struct {
	ID          ID
	UEID        []byte
	Name        string
	State       State
	StateReason string
	OEMID       []byte // encoded claim value
	HWModel     []byte
	HWVersion   string
	// Labels are the operators' own, for selectors: "site": "hall-3".
	Labels map[string]string
	// QuarantinedBy is the policy that put the device into quarantine, as name@version:
	// evidence that a policy accepts releases it. Empty where an operator did, who alone
	// ends it then, or where the device is not in quarantine.
	QuarantinedBy string
	// Exception lets the device pass with faults that an operator has looked at; nil
	// for none.
	Exception *Exception
	// Attestations counts what became of its evidence since it is known. It is never reset.
	Attestations AttestationCount
	// AttestationKey is the identity of the hardware that made the first evidence of the
	// device which was accepted, as attest.Result has it; zero where there was none, or
	// the Verifier does not name it.
	AttestationKey cosekit.Thumbprint
	// EvidenceAt is the newest time that bound evidence, accepted or not, proved:
	// its iat, or the issue of the challenge that it answered. It outlives the agent.
	EvidenceAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Agent is a TEEP Agent on a device, known by its message key.
type Agent struct {
	Key       *cosekit.PublicKey
	Device    ID
	Numbering teep.Numbering
	// Algorithm is that of the agent's last message, as it named it: ES256 or EdDSA
	// where it speaks a legacy suite. Zero where it is not on record.
	Algorithm cosekit.Algorithm
	// ReportKey signs the agent's SUIT_Reports; nil until one was seen under a
	// valid TEEP signature, then pinned.
	ReportKey  *cosekit.PublicKey
	Extensions []uint32
	CreatedAt  time.Time
	LastSeen   time.Time
	// AttestedAt is when evidence was last affirmed and bound; zero for never.
	AttestedAt time.Time
	// AcceptedUnder marks the policies by which that evidence was accepted.
	AcceptedUnder int64
	// EvidenceAt is the greatest iat of evidence that was taken for its timestamp.
	EvidenceAt time.Time
	// Repeats counts the answers in a row that led nowhere.
	Repeats int
	// HoldUntil is the end of a back-off, HoldReason what caused it.
	HoldUntil  time.Time
	HoldReason string
	// Noted is when what an agent can repeat was last written to the record, by its
	// reason. It is short: what is older than an hour is dropped from it.
	Noted map[string]time.Time
}

// InventoryItem is what a device last said, under a valid signature, to hold.
type InventoryItem struct {
	Component suit.ComponentID
	Digest    suit.Digest // zero where the agent gave none
	Since     time.Time
}

// ComponentState is how far an update of a component has come on a device.
type ComponentState string

// The states of a component that is installed. Confirmed is the attester's word,
// not the agent's.
const (
	Offered   ComponentState = "offered"
	Claimed   ComponentState = "claimed"
	Confirmed ComponentState = "confirmed"
	Failed    ComponentState = "failed"
)

// The states of a component that is unlinked. Unlinked is the agent's word; Removed
// says that the attester measures it no longer.
const (
	Removing      ComponentState = "removing"
	Unlinked      ComponentState = "unlinked"
	Removed       ComponentState = "removed"
	RemovalFailed ComponentState = "removal-failed"
)

// ComponentStatus is the last manifest offered to a device for a component, or the
// one to unlink.
type ComponentStatus struct {
	Device     ID
	Component  suit.ComponentID // manifest component id
	Manifest   suit.Digest
	Sequence   uint64
	State      ComponentState
	Reason     string    // of a failure, in words
	Attempts   int       // offers of this manifest, or of its removal, so far
	RetryAfter time.Time // the planner holds the manifest back until then
	Since      time.Time // when State was entered
	// Held is another manifest of the same id, which evidence last showed on the device
	// instead; zero where there is none, or none is known. MeasuredAt is when evidence was
	// last held against the manifest, zero for never.
	Held       suit.Digest
	MeasuredAt time.Time
}

// Requirement says that a device must have a component.
type Requirement struct {
	Device    ID
	Component suit.ComponentID
	CreatedAt time.Time
}

// Removal orders that a device must not have a component.
type Removal struct {
	Device    ID
	Component suit.ComponentID
	CreatedAt time.Time
}

// Exception accepts what policy would not, for a time. It covers what was wrong when an
// operator granted it, and nothing else.
type Exception struct {
	Until     time.Time
	Reason    string
	By        string // the operator
	At        time.Time
	Appraisal int64 // the one whose faults are accepted
	// Policy is that which did not accept them, as name@version: what others say stands.
	Policy string
	// Elements are the faults of that appraisal, Comparisons all that was compared there,
	// matching or not: a result passes if it has no other faults, none of a worse tier,
	// and leaves nothing out.
	Elements    []attest.Element
	Comparisons []attest.Comparison
}

// AttestationCount is how often evidence of a device was accepted, and not, by the reason.
type AttestationCount struct {
	Accepted uint64
	Failed   map[string]uint64 // by reason code
}

// Group is a selector with a name.
type Group struct {
	Name     string
	Selector string // CEL over device
}

// Appraisal is one stored attestation of an agent. Rows are added, never changed.
type Appraisal struct {
	ID       int64 // given by the store, rising
	Device   ID
	Agent    cosekit.Thumbprint
	At       time.Time
	Accepted bool
	Reason   string // why it was not accepted, in words
	Code     string // the same as a stable reason code; empty where accepted
	Status   int8   // AR4SI tier
	Vector   []byte // JSON of []attest.Element
	Verifier string
	// Claims and Comparisons are what the Verifier found, as JSON of attest.Result's fields
	// Document and Comparisons; nil where the evidence was not genuine.
	Claims      []byte
	Comparisons []byte
	Genuine     bool // whether there are claims, also where a list leaves them out; the store says so
	// Outcome is what policy made of it and Policy which one, as name@version; empty
	// where the result was not bound to the device, so that no policy was asked.
	Outcome string
	Policy  string
	// Evidence and Result are the raw bytes, nil where they were over the cap or are
	// dropped already; the result as a remote Verifier issued it.
	Evidence     []byte
	Format       string
	Challenge    []byte
	Result       []byte
	ResultFormat string
}
