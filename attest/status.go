package attest

import "fmt"

// Status is a trustworthiness tier (draft-ietf-rats-ar4si section 2.3.2).
type Status int8

// The tiers. None means not appraised, which is not good.
const (
	None            Status = 0
	Affirming       Status = 2
	Warning         Status = 32
	Contraindicated Status = 96
)

// String returns the name of the tier.
func (s Status) String() string {
	switch s {
	case None:
		return "none"
	case Affirming:
		return "affirming"
	case Warning:
		return "warning"
	case Contraindicated:
		return "contraindicated"
	}
	return fmt.Sprintf("status %d", int8(s))
}

// worse returns the tier that is worse: not to be appraised is worse than to be affirmed, and
// a finding against the Attester worse than either.
func worse(a, b Status) Status {
	if a == None && b == Affirming || a == Affirming && b == None {
		return None
	}
	return max(a, b)
}

// The elements of a trust vector (draft-ietf-rats-ar4si section 2.3.4).
const (
	InstanceIdentity = "instance-identity"
	Configuration    = "configuration"
	Executables      = "executables"
	FileSystem       = "file-system"
	Hardware         = "hardware"
	RuntimeOpaque    = "runtime-opaque"
	StorageOpaque    = "storage-opaque"
	SourcedData      = "sourced-data"
)

// ElementNames lists them in the order of the draft.
var ElementNames = [...]string{
	InstanceIdentity, Configuration, Executables, FileSystem,
	Hardware, RuntimeOpaque, StorageOpaque, SourcedData,
}

// Element is one entry of a trust vector: an AR4SI value and why it has it.
type Element struct {
	Submod string `json:"submod,omitempty"` // of the Attester that it is about; empty where there is one
	Name   string `json:"name"`
	Value  int8   `json:"value"`
	Reason string `json:"reason,omitempty"`
}

// Tier returns the tier that the element's value lies in. None is both "no claim
// made" (0) and "could not be appraised" (-1, 1); see [Element.Failed].
func (e Element) Tier() Status {
	switch v := e.Value; {
	case v >= -1 && v <= 1:
		return None
	case v >= -32 && v < 32:
		return Affirming
	case v >= -96 && v < 96:
		return Warning
	}
	return Contraindicated
}

// Failed reports whether the Verifier tried to appraise the element and could not.
func (e Element) Failed() bool { return e.Value == 1 || e.Value == -1 }

func (e Element) label() string {
	if e.Submod == "" {
		return e.Name
	}
	return e.Submod + "/" + e.Name
}

// StatusOf recomputes the status of a trust vector: the worst tier of its elements.
// An element of value 0 is skipped. One that failed takes the affirmation away from
// the whole, and so does a submodule of which nothing was affirmed: a vector is
// affirming only if every submodule in it is.
func StatusOf(vector []Element) Status {
	bySubmod := map[string]Status{}
	failed := false
	worst := None
	for _, e := range vector {
		tier := e.Tier()
		bySubmod[e.Submod] = max(bySubmod[e.Submod], tier)
		worst = max(worst, tier)
		failed = failed || e.Failed()
	}
	if worst != Affirming {
		return worst
	}
	for _, status := range bySubmod {
		failed = failed || status == None
	}
	if failed {
		return None
	}
	return Affirming
}
