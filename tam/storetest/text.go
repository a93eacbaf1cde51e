package storetest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Each value has one text, whether nil or empty, in whatever zone. Values are
// compared by it.

func timeText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

func keyText(k *cosekit.PublicKey) string {
	if k == nil {
		return "none"
	}
	return k.Thumbprint().String()
}

func digestText(d suit.Digest) string {
	if d.IsZero() {
		return "none"
	}
	return d.String()
}

func hashText(b []byte) string { return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)) }

func deviceText(d devices.Device) string {
	lines := []string{fmt.Sprintf("device %s ueid %x name %q state %s %q oemid %x hwmodel %x hwversion %q attestation key %s evidence %s created %s updated %s",
		d.ID, d.UEID, d.Name, d.State, d.StateReason, d.OEMID, d.HWModel, d.HWVersion, d.AttestationKey, timeText(d.EvidenceAt), timeText(d.CreatedAt), timeText(d.UpdatedAt))}
	for _, k := range slices.Sorted(maps.Keys(d.Labels)) { // each part by itself, for tests that tell what has changed
		lines = append(lines, fmt.Sprintf("  label %q=%q", k, d.Labels[k]))
	}
	if d.QuarantinedBy != "" {
		lines = append(lines, fmt.Sprintf("  quarantined by %q", d.QuarantinedBy))
	}
	if e := d.Exception; e != nil {
		lines = append(lines, fmt.Sprintf("  exception until %s %q by %q at %s for %d by %q %+v %+v",
			timeText(e.Until), e.Reason, e.By, timeText(e.At), e.Appraisal, e.Policy, e.Elements, e.Comparisons))
	}
	if n := d.Attestations; n.Accepted > 0 || len(n.Failed) > 0 {
		lines = append(lines, fmt.Sprintf("  attestations %d failed %v", n.Accepted, n.Failed))
	}
	return strings.Join(lines, "\n")
}

func agentText(a devices.Agent) string {
	return fmt.Sprintf("agent %s of %s numbering %d algorithm %d report key %s extensions %d created %s seen %s attested %s evidence %s repeats %d hold %s %q noted %sruled %d",
		keyText(a.Key), a.Device, a.Numbering, a.Algorithm, keyText(a.ReportKey), a.Extensions,
		timeText(a.CreatedAt), timeText(a.LastSeen), timeText(a.AttestedAt), timeText(a.EvidenceAt), a.Repeats, timeText(a.HoldUntil), a.HoldReason, notedText(a.Noted), a.AcceptedUnder)
}

func notedText(noted map[string]time.Time) string {
	var b strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(noted)) {
		fmt.Fprintf(&b, "%q %s ", reason, timeText(noted[reason]))
	}
	return b.String()
}

func itemText(i devices.InventoryItem) string {
	return fmt.Sprintf("holds %q %s since %s", i.Component, digestText(i.Digest), timeText(i.Since))
}

func statusText(s devices.ComponentStatus) string {
	return fmt.Sprintf("status of %q on %s %s sequence %d %s %q attempts %d retry %s since %s held %s measured %s",
		s.Component, s.Device, s.Manifest, s.Sequence, s.State, s.Reason, s.Attempts, timeText(s.RetryAfter), timeText(s.Since),
		digestText(s.Held), timeText(s.MeasuredAt))
}

func requirementText(r devices.Requirement) string {
	return fmt.Sprintf("%s requires %q since %s", r.Device, r.Component, timeText(r.CreatedAt))
}

func appraisalText(a devices.Appraisal) string {
	text := fmt.Sprintf("appraisal %d of %s %s at %s accepted %t %q status %d vector %s by %q evidence %s %q challenge %x",
		a.ID, a.Device, a.Agent, timeText(a.At), a.Accepted, a.Reason, a.Status, a.Vector, a.Verifier, hashText(a.Evidence), a.Format, a.Challenge)
	if a.Code+a.Outcome+a.Policy+a.ResultFormat != "" || len(a.Claims)+len(a.Comparisons)+len(a.Result) > 0 {
		text += fmt.Sprintf(" judged %q outcome %q by %q claims %q comparisons %q result %s %q",
			a.Code, a.Outcome, a.Policy, a.Claims, a.Comparisons, hashText(a.Result), a.ResultFormat)
	}
	if a.Genuine {
		text += " genuine"
	}
	return text
}

func policyText(p policy.Policy) string {
	return fmt.Sprintf("policy %q version %d kind %s position %d selector %q expression %q remediation %q comment %q created %s by %q retired %t",
		p.Name, p.Version, p.Kind, p.Position, p.Selector, p.Expression, p.Remediation, p.Comment, timeText(p.CreatedAt), p.CreatedBy, p.Retired)
}

func groupText(g devices.Group) string { return fmt.Sprintf("group %q of %q", g.Name, g.Selector) }

func referenceFileText(f tam.ReferenceFile) string {
	return fmt.Sprintf("reference file %q version %d signer %q %s imported %s by %q",
		f.ID, f.Version, f.Signer, hashText(f.Raw), timeText(f.ImportedAt), f.ImportedBy)
}

func deviceCAText(ca tam.DeviceCA) string {
	return fmt.Sprintf("CA %x %q %s for %q added %s by %q", ca.Fingerprint, ca.Title, hashText(ca.Certificate), ca.Formats, timeText(ca.AddedAt), ca.AddedBy)
}

func manifestText(m tam.Manifest) string {
	lines := []string{fmt.Sprintf("manifest %s of %q sequence %d signer %s size %d published %s by %q",
		m.Digest, m.Component, m.Sequence, m.Signer, m.Size, timeText(m.PublishedAt), m.PublishedBy)}
	for _, t := range m.Targets {
		lines = append(lines, fmt.Sprintf("  target %q %s size %d uri %q", t.Component, digestText(t.ImageDigest), t.ImageSize, t.URI))
	}
	for _, g := range m.Signatures {
		lines = append(lines, fmt.Sprintf("  signed by %s for %q", g.Signer, g.Components))
	}
	for _, d := range m.Dependencies {
		lines = append(lines, fmt.Sprintf("  needs %q %s", d.Component, d.Digest))
	}
	return strings.Join(lines, "\n")
}

func reportText(r tam.Report) string {
	return fmt.Sprintf("report of %s on %q manifest %s at %s %s", r.Device, r.Component, r.Manifest, timeText(r.At), hashText(r.Encoded))
}

func anchorText(a anchor.Anchor) string {
	c := a.Constraints
	return fmt.Sprintf("anchor %s %q for %v components %q vendors %x classes %x grants %v scopes %q formats %q products %q from %s to %s",
		keyText(a.Key), a.Title, a.Purposes, c.Components, c.VendorIDs, c.ClassIDs, c.Grants, c.Scopes, c.Formats, c.Products, timeText(a.NotBefore), timeText(a.NotAfter))
}

func outstandingText(o tam.Outstanding) string {
	return fmt.Sprintf("update to %s of %s token %x manifests %v unneeded %q sent %s expires %s",
		o.Agent, o.Device, o.Token, o.Manifests, o.Unneeded, timeText(o.SentAt), timeText(o.ExpiresAt))
}

func tokenKeyText(k tam.TokenKey) string {
	return fmt.Sprintf("token key %d %s created %s", k.ID, hashText(k.Secret), timeText(k.CreatedAt))
}

func eventText(e audit.Event) string {
	var details strings.Builder
	for _, k := range slices.Sorted(maps.Keys(e.Details)) {
		fmt.Fprintf(&details, " %q=%q", k, e.Details[k])
	}
	return fmt.Sprintf("event %d at %s %q %s %q %q%s", e.Seq, timeText(e.At), e.Actor, e.Action, e.Subject, e.Reason, details.String())
}

// textOf joins the texts of a list, a line for each.
func textOf[T any](text func(T) string, list []T) string {
	lines := make([]string, len(list))
	for i, v := range list {
		lines[i] = text(v)
	}
	return strings.Join(lines, "\n")
}
