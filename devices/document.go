package devices

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

// Document is the device as selectors and policies see it. The agents are those of the
// device, as far as the caller has them.
func Document(d Device, agents ...Agent) *expr.Device {
	doc := &expr.Device{
		ID: string(d.ID), UEID: hex.EncodeToString(d.UEID), Name: d.Name, Labels: d.Labels,
		State: string(d.State), StateReason: d.StateReason, QuarantinedBy: d.QuarantinedBy,
		OEMID: oemText(d.OEMID), HWModel: hex.EncodeToString(d.HWModel),
		HWModelText: printable(d.HWModel), HWVersion: d.HWVersion,
		CreatedAt: d.CreatedAt, EvidenceAt: d.EvidenceAt,
		Attested: attested(d.Attestations),
	}
	for _, a := range agents {
		thumbprint := a.Key.Thumbprint()
		doc.Agents = append(doc.Agents, expr.Agent{
			Key: hex.EncodeToString(thumbprint[:]), LastSeen: a.LastSeen, AttestedAt: a.AttestedAt,
		})
		if a.LastSeen.After(doc.LastSeen) {
			doc.LastSeen = a.LastSeen
		}
	}
	return doc
}

func attested(c AttestationCount) expr.Attested {
	a := expr.Attested{Accepted: count(c.Accepted)}
	if len(c.Failed) > 0 {
		a.FailedBy = make(map[string]int64, len(c.Failed))
	}
	for code, n := range c.Failed {
		a.FailedBy[code] = count(n)
		a.Failed = min(a.Failed, math.MaxInt64-count(n)) + count(n)
	}
	return a
}

// count is n as CEL counts; policies never see a huge counter as a negative one.
func count(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// oemText writes the encoded oemid claim (RFC 9711 section 4.2.3): an identifier in
// hexadecimal digits, an enterprise number in decimal ones, which a prefix tells apart.
func oemText(encoded []byte) string {
	if id, err := cosekit.Bytes(encoded); err == nil {
		return hex.EncodeToString(id)
	}
	if number, err := cosekit.Int(encoded); err == nil {
		return "pen:" + strconv.FormatInt(number, 10)
	}
	return ""
}

func printable(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(b)
}
