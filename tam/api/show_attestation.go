package api

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

func showAppraisal(a devices.Appraisal) Appraisal {
	return Appraisal{
		ID: a.ID, Device: string(a.Device), At: a.At, Agent: a.Agent.String(), Accepted: a.Accepted, Genuine: a.Genuine,
		Code: a.Code, Reason: a.Reason, Status: attest.Status(a.Status).String(), Outcome: a.Outcome, Policy: a.Policy,
		Verifier: a.Verifier, Format: a.Format,
	}
}

// showAttestation is all of one; the bytes that arrived only where they are wanted.
func showAttestation(a devices.Appraisal, raw bool) (AttestationDetail, error) {
	found, err := devices.ResultOf(a)
	if err != nil {
		return AttestationDetail{}, err
	}
	out := AttestationDetail{
		Attestation: showAppraisal(a), Vector: show(found.Vector, showElement), Comparisons: show(found.Comparisons, showComparison),
		Claims: a.Claims, Challenge: hex.EncodeToString(a.Challenge), ResultFormat: a.ResultFormat,
	}
	if raw {
		out.Evidence, out.Result = a.Evidence, a.Result
	}
	return out, nil
}

func showElement(e attest.Element) VectorElement {
	return VectorElement{Submod: e.Submod, Name: e.Name, Value: int(e.Value), Tier: e.Tier().String(), Reason: e.Reason}
}

func showComparison(c attest.Comparison) Comparison {
	return Comparison{
		Element: c.Element, Submod: c.Submod, Name: c.Name, Measured: c.Measured,
		Expected: show(c.Expected, func(text string) string { return text }), Source: c.Source, Match: c.Match,
	}
}

func showChange(c tam.AttestationChange) AttestationChange {
	return AttestationChange{Name: c.Name, Before: c.Before, After: c.After, Expected: c.Expected, Source: c.Source, Wrong: c.Wrong}
}

// showException is zero, and so left out, where there is none.
func showException(x *devices.Exception) Exception {
	if x == nil {
		return Exception{}
	}
	out := Exception{Until: x.Until, Reason: x.Reason, By: x.By, At: x.At, Attestation: x.Appraisal, Policy: x.Policy, Covers: []string{}}
	for _, e := range x.Elements {
		out.Covers = append(out.Covers, fmt.Sprintf("%s is %s (%d): %s", strings.TrimPrefix(e.Submod+" "+e.Name, " "), e.Tier(), e.Value, e.Reason))
	}
	for _, c := range x.Comparisons {
		if c.Match {
			continue
		}
		out.Covers = append(out.Covers, fmt.Sprintf("%s is %s", strings.TrimPrefix(c.Submod+" "+c.Name, " "), c.Measured))
	}
	return out
}

func showCount(c devices.AttestationCount) AttestationCount {
	out := AttestationCount{Accepted: c.Accepted, Failed: map[string]uint64{}}
	for code, n := range c.Failed {
		out.Failed[code] = n
	}
	return out
}
