package devices

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
)

// ResultOf rebuilds from a stored appraisal what policies see of the result: status,
// vector, claims by name, comparisons. Of the typed claims it only says whether there
// are any.
func ResultOf(a Appraisal) (*attest.Result, error) {
	r := &attest.Result{
		Status: attest.Status(a.Status), Verifier: a.Verifier,
		Evidence: attest.Evidence{Format: a.Format, Payload: a.Evidence, Challenge: a.Challenge},
		Raw:      a.Result, Format: a.ResultFormat, AppraisedAt: a.At,
	}
	for _, part := range []struct {
		name string
		data []byte
		into any
	}{
		{"vector", a.Vector, &r.Vector}, {"claims", a.Claims, &r.Document}, {"comparisons", a.Comparisons, &r.Comparisons},
	} {
		if part.data == nil {
			continue
		}
		if err := json.Unmarshal(part.data, part.into); err != nil {
			return nil, fmt.Errorf("appraisal %d: its %s: %w", a.ID, part.name, err)
		}
	}
	if r.Document != nil {
		r.Claims = &attest.Claims{}
	}
	return r, nil
}

// Faults are what an exception for a result has to accept: the elements that are not
// affirming, and the measured values that match no reference value.
func Faults(r *attest.Result) ([]attest.Element, []attest.Comparison) {
	elements := slices.DeleteFunc(slices.Clone(r.Vector), func(e attest.Element) bool { return !faulty(e) })
	comparisons := slices.DeleteFunc(slices.Clone(r.Comparisons), func(c attest.Comparison) bool { return c.Match })
	return elements, comparisons
}

// faulty reports whether an element takes the affirmation away. 0 is no claim at all.
func faulty(e attest.Element) bool { return e.Value != 0 && e.Tier() != attest.Affirming }

// Covers reports whether a result passes by the exception at a time: it is genuine, leaves
// nothing out, and has no fault that an operator has not looked at. Who the device is no exception can
// settle: instance-identity must be affirming.
func (e *Exception) Covers(r *attest.Result, now time.Time) bool {
	if e == nil || !now.Before(e.Until) || r == nil || r.Claims == nil {
		return false
	}
	// A verdict that its own vector does not explain has a fault that nobody has seen.
	if r.Status != attest.StatusOf(r.Vector) || !r.Identified() {
		return false
	}
	return e.Uncovered(r) == "" && e.complete(r) && attest.StatusOf(mended(r.Vector)) == attest.Affirming
}

// Uncovered names the first fault of a result that the exception does not accept; empty for
// none. A measured value comes before the element that it counts for: it says more.
func (e *Exception) Uncovered(r *attest.Result) string {
	elements, comparisons := Faults(r)
	for _, found := range comparisons {
		if !slices.ContainsFunc(e.Comparisons, func(known attest.Comparison) bool { return !known.Match && sameMeasurement(found, known) }) {
			return strings.TrimPrefix(fmt.Sprintf("%s: %s is %s", found.Submod, found.Name, found.Measured), ": ")
		}
	}
	for _, found := range elements {
		explained := slices.ContainsFunc(comparisons, func(c attest.Comparison) bool { return c.Element == found.Name && c.Submod == found.Submod })
		if !slices.ContainsFunc(e.Elements, func(known attest.Element) bool {
			return acceptable(found, known) && (explained || found.Reason == known.Reason)
		}) {
			return strings.TrimPrefix(fmt.Sprintf("%s: %s: %s", found.Submod, found.Name, found.Reason), ": ")
		}
	}
	return ""
}

// complete reports whether all that was compared when the exception was granted is compared
// again: a fault could hide in what is left out.
func (e *Exception) complete(r *attest.Result) bool {
	for _, known := range e.Comparisons {
		again := func(c attest.Comparison) bool { return sameSubject(c, known) }
		if len(known.Expected) > 0 && !slices.ContainsFunc(r.Comparisons, again) {
			return false
		}
	}
	return true
}

// NewException accepts what is wrong with a result; false where nothing is. Until when, why
// and by whom is for the caller to set.
func NewException(r *attest.Result) (*Exception, bool) {
	elements, comparisons := Faults(r)
	return &Exception{Elements: elements, Comparisons: slices.Clone(r.Comparisons)}, len(elements)+len(comparisons) > 0
}

// acceptable reports whether a fault is the known one, and no worse. That an element
// could not be appraised says nothing of how bad it is.
func acceptable(found, known attest.Element) bool {
	return found.Submod == known.Submod && found.Name == known.Name && faulty(known) &&
		found.Failed() == known.Failed() && found.Tier() <= known.Tier()
}

func sameMeasurement(a, b attest.Comparison) bool {
	return sameSubject(a, b) && a.Measured == b.Measured
}

func sameSubject(a, b attest.Comparison) bool {
	return a.Element == b.Element && a.Submod == b.Submod && a.Name == b.Name
}

// mended is the vector without its faults, where the rest must still hold: a submodule
// of which nothing is affirmed is no fault of an element.
func mended(vector []attest.Element) []attest.Element {
	out := slices.Clone(vector)
	for i, e := range out {
		if faulty(e) {
			out[i].Value = int8(attest.Affirming)
		}
	}
	return out
}
