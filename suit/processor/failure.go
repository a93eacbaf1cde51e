package processor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// Failure says why and where a procedure ended (draft-ietf-suit-report-18 section 4,
// suit-report-result). Get it with errors.As.
type Failure struct {
	Reason suit.ReportReason
	// Section is the key of the manifest element at fault: of a command sequence, or
	// of the element that was refused before any ran.
	Section suit.Section
	// Command is the one that failed, zero where it was none.
	Command suit.CommandCode
	// Offset is where the command begins in its sequence, in bytes.
	Offset int
	// Component is the index of the component that was selected, ID its name; nil
	// where the fault is not about one.
	Component int
	ID        suit.ComponentID
	// Measured holds what the device found where a condition asked for something else.
	Measured suit.Parameters
	Err      error
}

// Error names the section, the command and the component, then the reason.
func (f *Failure) Error() string {
	var where strings.Builder
	if f.Command != 0 {
		fmt.Fprintf(&where, "%s: %s at byte %d: ", f.Section, f.Command, f.Offset)
	}
	if f.ID != nil {
		fmt.Fprintf(&where, "component %q: ", f.ID)
	}
	return where.String() + f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// reasons maps the faults that have a reason of their own, whichever command meets
// them. The draft has none for a version that is not supported and for a rollback:
// these get the nearest, and the record names the manifest key at fault.
var reasons = []struct {
	err    error
	reason suit.ReportReason
}{
	{ErrVersion, suit.ReasonCBORParse},
	{ErrUnauthorized, suit.ReasonComponentUnauthorised},
	{ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
	{ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
	{ErrUnsupportedElement, suit.ReasonCommandUnsupported},
	{ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
	{ErrSevered, suit.ReasonSeveringUnsupported},
	{suit.ErrDigestAlgorithm, suit.ReasonAlgorithmUnsupported},
	{ErrRollback, suit.ReasonConditionFailed},
	{ErrIncompatible, suit.ReasonConditionFailed},
	{ErrUnchecked, suit.ReasonConditionFailed},
}

func reasonFor(err error) suit.ReportReason {
	for _, known := range reasons {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	return suit.ReasonOperationFailed
}

// commandReason tells a condition that does not hold from everything else that ends a
// command: a condition that could not be evaluated, because storage failed or the
// procedure was cancelled, was not false.
func commandReason(code suit.CommandCode, err error) suit.ReportReason {
	if code.IsCondition() {
		for _, unmet := range []error{ErrMismatch, ErrMissingParameter, ErrNoImage, ErrAbort} {
			if errors.Is(err, unmet) {
				return suit.ReasonConditionFailed
			}
		}
	}
	return reasonFor(err)
}
