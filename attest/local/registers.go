package local

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
)

// register is one value that hardware has measured: a PCR, an RTMR, a launch digest.
type register struct {
	element   string   // of the trust vector that it counts for
	name      string   // for people
	keys      []string // of its reference values
	algorithm string   // of the digest; empty for a value that is none
	value     []byte
	aside     bool // whether it is worth telling only beside a reference value
}

// unseenConfig says that parts of the configuration that matter are not available to the
// Verifier (draft-ietf-rats-ar4si section 2.3.4).
const unseenConfig int8 = 36

// maxExpected bounds how many reference values are told beside one measured value.
const maxExpected = 8

// appraiseRegisters compares registers with their reference values. Where a register has
// some, it must be one of them. It returns the names of those that are, by element.
func appraiseRegisters(a *appraisal, refs []corim.Reference, list []register) map[string][]string {
	met := map[string][]string{}
	for _, r := range list {
		if r.appraise(a, refs) {
			met[r.element] = append(met[r.element], r.name)
		}
	}
	return met
}

// appraise notes the register beside its reference values, and a finding where none of
// them is met.
func (r register) appraise(a *appraisal, refs []corim.Reference) (met bool) {
	c := attest.Comparison{Element: r.element, Name: r.name, Measured: hex.EncodeToString(r.value)}
	var sources, others []string
	for _, ref := range refs {
		if ref.Endorsed || !slices.Contains(r.keys, ref.Key) {
			continue
		}
		expected, ok := r.meets(ref)
		switch {
		case ok:
			c.Match, c.Expected, c.Source = true, []string{expected}, ref.Source
			a.compare(c)
			return true
		case expected == "":
			others = append(others, ref.Source)
		case len(c.Expected) < maxExpected:
			c.Expected, sources = append(c.Expected, expected), append(sources, ref.Source)
		}
	}
	c.Source = strings.Join(slices.Compact(sources), ", ")
	if !r.aside || c.Expected != nil {
		a.compare(c)
	}
	switch {
	case c.Expected != nil:
		a.find(r.element, contraindicated, "%s is %s, expected %s (%s)", r.name, c.Measured, strings.Join(c.Expected, " or "), c.Source)
	case others != nil:
		a.find(r.element, unseen(r.element), "the reference values of %s are not digests by %s (%s)", r.name, r.algorithm, strings.Join(slices.Compact(others), ", "))
	}
	return false
}

// unseen is the warning about an element of which the Verifier does not see enough.
func unseen(element string) int8 {
	if element == attest.Configuration {
		return unseenConfig
	}
	return unrecognized
}

// meets compares with one reference value, which it also writes for people; empty for one
// that is of another kind than the register.
func (r register) meets(ref corim.Reference) (expected string, ok bool) {
	for _, d := range ref.Digests {
		if d.Algorithm != r.algorithm {
			continue
		}
		expected = hex.EncodeToString(d.Value)
		if bytes.Equal(d.Value, r.value) {
			return expected, true
		}
	}
	if ref.Raw == nil {
		return expected, false
	}
	expected = hex.EncodeToString(ref.Raw)
	if ref.Mask != nil {
		expected += " under mask " + hex.EncodeToString(ref.Mask)
	}
	return expected, equalUnder(ref.Mask, r.value, ref.Raw)
}

// equalUnder compares the bits that the mask has; nil stands for all.
func equalUnder(mask, a, b []byte) bool {
	if mask == nil {
		return bytes.Equal(a, b)
	}
	if len(a) != len(b) || len(a) != len(mask) {
		return false
	}
	for i := range a {
		if (a[i]^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// level is a security version that hardware tells of itself.
type level struct {
	name, key string
	value     uint64
}

// appraiseLevels holds security versions against reference values: none may lie below a
// least one, and each must be one of the exact ones, where there are any. It reports
// whether there were reference values at all.
func appraiseLevels(a *appraisal, refs []corim.Reference, list []level) (known bool) {
	for _, l := range list {
		known = l.appraise(a, refs) || known
	}
	return known
}

func (l level) appraise(a *appraisal, refs []corim.Reference) (known bool) {
	c := attest.Comparison{Element: attest.Hardware, Name: l.name, Measured: fmt.Sprint(l.value)}
	var sources []string
	var least *corim.Reference // the greatest of the least ones, which says all of them
	exact, met := false, false
	for _, ref := range refs {
		if ref.Endorsed || ref.Key != l.key || ref.MinSVN == nil && ref.SVN == nil {
			continue
		}
		if ref.MinSVN != nil {
			if least == nil || *ref.MinSVN > *least.MinSVN {
				least = &ref
			}
			continue
		}
		exact, met = true, met || l.value == *ref.SVN
		if len(c.Expected) < maxExpected {
			c.Expected, sources = append(c.Expected, fmt.Sprint(*ref.SVN)), append(sources, ref.Source)
		}
	}
	late := true
	if least != nil {
		late = l.value >= *least.MinSVN
		c.Expected, sources = append(c.Expected, fmt.Sprintf("%d or later", *least.MinSVN)), append(sources, least.Source)
	}
	if sources == nil {
		return false
	}
	c.Match, c.Source = late && met == exact, strings.Join(slices.Compact(sources), ", ")
	a.compare(c)
	if !c.Match {
		a.find(attest.Hardware, contraindicated, "%s is %d, expected %s (%s)", l.name, l.value, strings.Join(c.Expected, " and "), c.Source)
	}
	return true
}
