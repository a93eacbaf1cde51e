package processor

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Failure says why and where a procedure ended (draft-ietf-suit-report-18 section 4,
// suit-report-result). Get it with errors.As.
type Failure struct {
	Reason suit.ReportReason
	// Manifest is the path of dependency indices to the manifest, empty for the root.
	Manifest []uint64
	// Section is the key of the manifest element at fault: of a command sequence, or
	// of the element that was refused before any ran.
	Section suit.Section
	// Command is the one that failed, zero where it was none.
	Command suit.CommandCode
	name    string
	// Offset is where the command begins in its section, in bytes ([suit.Command]).
	Offset int
	// Component is the index of the component that was selected, ID its name; nil
	// where the fault is not about one.
	Component int
	ID        suit.ComponentID
	// Measured holds what the device found where a condition asked for something else.
	Measured suit.Parameters
	Err      error

	// soft: a condition that did not hold, which a sequence around it may forgive.
	soft bool
}

// Error names the manifest, the section, the command and the component, then the reason.
func (f *Failure) Error() string {
	var where strings.Builder
	if len(f.Manifest) > 0 {
		fmt.Fprintf(&where, "dependency %v: ", f.Manifest)
	}
	if f.Command != 0 {
		fmt.Fprintf(&where, "%s: %s at byte %d: ", f.Section, cmp.Or(f.name, f.Command.String()), f.Offset)
	}
	if f.ID != nil {
		fmt.Fprintf(&where, "component %q: ", f.ID)
	}
	return where.String() + f.Err.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// refusal is a failure before any command of the manifest ran.
func (of *manifest) refusal(key suit.Section, id suit.ComponentID, err error) *Failure {
	return &Failure{Reason: reasonFor(err), Manifest: of.path, Section: key, ID: id, Err: err}
}

// failed is a failure after them, if err does not know better itself where it was.
func (of *manifest) failed(section suit.Section, err error) *Failure {
	if f, ok := err.(*Failure); ok {
		return f
	}
	return of.refusal(section, nil, err)
}

// reasons maps the faults that have a reason of their own, whichever command meets
// them. The draft has none for a version that is not supported and for a rollback:
// these get the nearest, and the record names the manifest key at fault.
var reasons = []struct {
	err    error
	reason suit.ReportReason
}{
	{ErrVersion, suit.ReasonCBORParse},
	{suit.ErrMalformed, suit.ReasonCBORParse},
	{ErrUnauthenticated, suit.ReasonUnauthorised},
	{ErrUnauthorized, suit.ReasonComponentUnauthorised},
	{ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
	{ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
	{ErrUnsupportedElement, suit.ReasonCommandUnsupported},
	{suit.ErrDigestAlgorithm, suit.ReasonAlgorithmUnsupported},
	{cosekit.ErrAlgorithm, suit.ReasonAlgorithmUnsupported},
	{ErrUnsupportedCOSE, suit.ReasonCOSEUnsupported},
	{cosekit.ErrCritical, suit.ReasonCOSEUnsupported},
	{ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
	{ErrSevered, suit.ReasonSeveringUnsupported},
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

// unsupported tells the reasons that a list of what the device can do explains.
func unsupported(reason suit.ReportReason) bool {
	switch reason {
	case suit.ReasonCOSEUnsupported, suit.ReasonAlgorithmUnsupported, suit.ReasonCommandUnsupported,
		suit.ReasonComponentUnsupported, suit.ReasonParameterUnsupported, suit.ReasonSeveringUnsupported:
		return true
	}
	return false
}

// unmet are the findings of a condition that was evaluated and does not hold. One that
// could not be, because storage failed or the procedure was cancelled, was not false.
var unmet = []error{ErrMismatch, ErrMissingParameter, ErrNoImage, ErrAbort, ErrUnknown}

func isUnmet(err error) bool {
	for _, one := range unmet {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
