package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Report is a SUIT_Report: what a manifest processor did and found
// (draft-ietf-suit-report-18 section 4).
type Report struct {
	Reference Reference
	// Nonce shows that the report is fresh where its container does not; nil for none.
	Nonce []byte
	// Entries are [Record] and [PropertyClaims] in the order in which they were made.
	Entries []ReportEntry
	// Failure is nil where the procedure has completed.
	Failure *ReportFailure
	// Capabilities tells what the processor can do; nil for not told.
	Capabilities *Capabilities
	Extensions   map[int64]cosekit.RawMessage
}

// ReportBentRules is the key among the extensions of a report under which package
// suit/processor names the rules that it has bent for a manifest, an array of text
// (docs/decisions/0014). It lies below all numbers that the registry may give out
// (draft-ietf-suit-report-18 section 9: -4294967296 and up).
const ReportBentRules = -1<<32 - 1

// ReportLeftOut is the key under which package suit/processor says how many records of a
// report it has left out, as there were too many; it has none where all are there.
const ReportLeftOut = -1<<32 - 2

// ReportEntry is one element of suit-report-records: a [Record] or [PropertyClaims].
type ReportEntry interface{ reportEntry() }

func (Record) reportEntry()         {}
func (PropertyClaims) reportEntry() {}

// Reference is a SUIT_Reference: the manifest that a report is about.
type Reference struct {
	// URI equals the reference-uri of the manifest; empty where it has none.
	URI    string
	Digest Digest
}

// Record is a SUIT_Record: one command and what was measured there (section 3).
type Record struct {
	// ManifestID is the path to the manifest in the tree of dependencies, empty for
	// the root.
	ManifestID []uint64
	Section    Section
	// Offset is where the command begins in its section ([Command.Offset]).
	Offset         uint64
	ComponentIndex uint64
	// Measured are the actual values, not those that the manifest asked for.
	Measured   Parameters
	Extensions []cosekit.RawMessage
}

// ReportFailure is the result of a procedure that has not completed.
type ReportFailure struct {
	// Code is an implementation's own number, for debugging.
	Code   int64
	Record Record
	Reason ReportReason
}

// ReportReason says why a procedure has failed (section 4.2).
type ReportReason int64

// The reasons of draft-ietf-suit-report-18.
const (
	ReasonOK                    ReportReason = 0
	ReasonCBORParse             ReportReason = 1
	ReasonCOSEUnsupported       ReportReason = 2
	ReasonAlgorithmUnsupported  ReportReason = 3
	ReasonUnauthorised          ReportReason = 4
	ReasonCommandUnsupported    ReportReason = 5
	ReasonComponentUnsupported  ReportReason = 6
	ReasonComponentUnauthorised ReportReason = 7
	ReasonParameterUnsupported  ReportReason = 8
	ReasonSeveringUnsupported   ReportReason = 9
	ReasonConditionFailed       ReportReason = 10
	ReasonOperationFailed       ReportReason = 11
	ReasonInvokePending         ReportReason = 12
)

var reasonNames = map[ReportReason]string{
	ReasonOK:                    "ok",
	ReasonCBORParse:             "cbor-parse",
	ReasonCOSEUnsupported:       "cose-unsupported",
	ReasonAlgorithmUnsupported:  "alg-unsupported",
	ReasonUnauthorised:          "unauthorised",
	ReasonCommandUnsupported:    "command-unsupported",
	ReasonComponentUnsupported:  "component-unsupported",
	ReasonComponentUnauthorised: "component-unauthorised",
	ReasonParameterUnsupported:  "parameter-unsupported",
	ReasonSeveringUnsupported:   "severing-unsupported",
	ReasonConditionFailed:       "condition-failed",
	ReasonOperationFailed:       "operation-failed",
	ReasonInvokePending:         "invoke-pending",
}

// String returns the registered name, "condition-failed", or "reason 99".
func (r ReportReason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", int64(r))
}

// Succeeded reports whether the procedure has completed.
func (r *Report) Succeeded() bool { return r.Failure == nil }

// Properties returns what the report says about components: its entries that are
// [PropertyClaims]. A component may appear more than once.
func (r *Report) Properties() []PropertyClaims {
	var claims []PropertyClaims
	for _, e := range r.Entries {
		if c, ok := e.(PropertyClaims); ok {
			claims = append(claims, c)
		}
	}
	return claims
}
