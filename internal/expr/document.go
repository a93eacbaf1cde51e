package expr

import "time"

// Device is what selectors and policies see of a device: the variable device. The names
// in the tags are those of the fields, in expressions as in JSON. What is empty is not
// there for has().
type Device struct {
	ID            string            `json:"id"`
	UEID          string            `json:"ueid"` // hexadecimal, as all byte strings
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels"`
	State         string            `json:"state"`
	StateReason   string            `json:"state_reason"`
	QuarantinedBy string            `json:"quarantined_by"`
	// OEMID is the identifier in hexadecimal, or an enterprise number as "pen:4711".
	OEMID string `json:"oem_id"`
	// HWModel is in hexadecimal, HWModelText the same bytes where they are printable.
	HWModel     string    `json:"hw_model"`
	HWModelText string    `json:"hw_model_text"`
	HWVersion   string    `json:"hw_version"`
	CreatedAt   time.Time `json:"created_at"`
	LastSeen    time.Time `json:"last_seen"`   // of the agent that was seen last
	EvidenceAt  time.Time `json:"evidence_at"` // what the newest accepted evidence proved
	Attested    Attested  `json:"attested"`
	Agents      []Agent   `json:"agents"`
}

// Attested counts what became of the evidence of a device, since it is known.
type Attested struct {
	Accepted int64 `json:"accepted"`
	Failed   int64 `json:"failed"`
	// FailedBy tells the failed ones apart by reason code.
	FailedBy map[string]int64 `json:"failed_by"`
}

// Agent is a TEEP Agent of the device.
type Agent struct {
	Key        string    `json:"key"` // its thumbprint, hexadecimal
	LastSeen   time.Time `json:"last_seen"`
	AttestedAt time.Time `json:"attested_at"`
}

// Result is what policies see of an Attestation Result: the variable result.
type Result struct {
	Status string `json:"status"` // affirming, warning, contraindicated, none
	Reason string `json:"reason"` // in words; empty for an affirming result
	// Vector has the AR4SI value of each element of the trust vector, the worst of all
	// submodules, 0 where the Verifier makes no claim. Tiers has what the value means:
	// values may be negative, so that "less than" says nothing.
	Vector      map[string]int64  `json:"vector"`
	Tiers       map[string]string `json:"tiers"`
	Verifier    string            `json:"verifier"`
	Format      string            `json:"format"` // media type of the evidence, as it was sent
	Differences []Difference      `json:"differences"`
}

// Difference is a measured value that no reference value matches.
type Difference struct {
	Element  string   `json:"element"`
	Submod   string   `json:"submod"`
	Name     string   `json:"name"`
	Measured string   `json:"measured"`
	Expected []string `json:"expected"` // empty where nothing is known to compare with
}

// Decision is what a policy decides.
type Decision struct {
	Verb   Verb
	Until  time.Time // of AcceptUntil
	Reason string
}

// Verb is the function that a policy calls to decide.
type Verb string

// The verbs, by the names of their functions.
const (
	Accept      Verb = "accept"
	AcceptUntil Verb = "accept_until"
	Quarantine  Verb = "quarantine"
	Reject      Verb = "reject"
	Pending     Verb = "pending"
)
