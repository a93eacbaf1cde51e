package api

import (
	"encoding/hex"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// show translates a list; an empty one is [], not null.
func show[From, To any](list []From, one func(From) To) []To {
	out := make([]To, len(list))
	for i, item := range list {
		out[i] = one(item)
	}
	return out
}

func showManifest(m tam.Manifest) Manifest {
	out := Manifest{
		Digest: m.Digest.String(), Component: m.Component.String(), Sequence: m.Sequence,
		Signer: m.Signer.String(), Targets: show(m.Targets, showTarget), Size: m.Size,
		PublishedAt: m.PublishedAt, PublishedBy: m.PublishedBy,
	}
	for _, g := range m.Signatures {
		out.Signatures = append(out.Signatures, Signature{Signer: g.Signer.String(), Components: show(g.Components, suit.ComponentID.String)})
	}
	for _, d := range m.Dependencies {
		out.Dependencies = append(out.Dependencies, Dependency{Component: d.Component.String(), Manifest: d.Digest.String()})
	}
	return out
}

func showTarget(t tam.Target) Target {
	return Target{
		Component: t.Component.String(), ImageDigest: t.ImageDigest.String(),
		ImageSize: t.ImageSize, URI: t.URI,
	}
}

func showDevice(d tam.SeenDevice) Device {
	out := Device{
		ID: string(d.ID), UEID: hex.EncodeToString(d.UEID), Name: d.Name,
		State: DeviceState(d.State), StateReason: d.StateReason,
		OEMID: hex.EncodeToString(d.OEMID), HardwareModel: hex.EncodeToString(d.HWModel),
		HardwareVersion: d.HWVersion, Labels: d.Labels, QuarantinedBy: d.QuarantinedBy,
		Exception: showException(d.Exception), Attestations: showCount(d.Attestations),
		CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, LastSeen: d.LastSeen,
	}
	if d.AttestationKey != (cosekit.Thumbprint{}) {
		out.AttestationKey = d.AttestationKey.String()
	}
	return out
}

func showDetail(d tam.DeviceDetail) DeviceDetail {
	out := DeviceDetail{
		Device: showDevice(d.Device), Agents: show(d.Agents, showAgent),
		Inventory: show(d.Inventory, showInventory), Components: show(d.Components, showStatus),
		Requirements: show(d.Requirements, showRequirement), Removals: show(d.Removals, showRemoval),
		Appraisals: show(d.Appraisals, showAppraisal),
	}
	for i, c := range d.Components {
		for _, m := range d.Standing {
			if m.Digest.Equal(c.Held) {
				out.Components[i].Held = HeldManifest{Manifest: m.Digest.String(), Sequence: m.Sequence, MeasuredAt: c.MeasuredAt}
			}
		}
	}
	for _, r := range d.Reports {
		for i, c := range d.Components {
			if c.Component.Equal(r.Component) {
				out.Components[i].Report = Report{At: r.At, Manifest: r.Manifest.String(), Completed: r.Completed, Lines: r.Lines}
			}
		}
	}
	return out
}

func showAgent(a devices.Agent) Agent {
	out := Agent{
		Key: a.Key.Thumbprint().String(), Algorithm: cosekit.AlgorithmName(a.Key.Algorithm()),
		Numbering: a.Numbering.String(), CreatedAt: a.CreatedAt, LastSeen: a.LastSeen,
		AttestedAt: a.AttestedAt, HoldUntil: a.HoldUntil, HoldReason: a.HoldReason,
	}
	if a.ReportKey != nil {
		out.ReportKey = a.ReportKey.Thumbprint().String()
	}
	return out
}

func showInventory(i devices.InventoryItem) InventoryItem {
	return InventoryItem{Component: i.Component.String(), Digest: showDigest(i.Digest), Since: i.Since}
}

// showDigest leaves out a digest that is not known.
func showDigest(d suit.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

func showStatus(c devices.ComponentStatus) ComponentStatus {
	return ComponentStatus{
		Component: c.Component.String(), Manifest: c.Manifest.String(), Sequence: c.Sequence,
		State: ComponentState(c.State), Reason: c.Reason, Attempts: c.Attempts,
		RetryAfter: c.RetryAfter, Since: c.Since,
	}
}

func showRequirement(r devices.Requirement) Requirement {
	return Requirement{Component: r.Component.String(), CreatedAt: r.CreatedAt}
}

func showRemoval(r devices.Removal) Removal {
	return Removal{Component: r.Component.String(), CreatedAt: r.CreatedAt}
}

func showPublisher(a anchor.Anchor) Publisher {
	return Publisher{
		Thumbprint: a.Key.Thumbprint().String(), Algorithm: cosekit.AlgorithmName(a.Key.Algorithm()),
		PublicKey: string(a.Key.PEM()), Title: a.Title,
		Components:    show(a.Constraints.Components, suit.ComponentID.String),
		Scopes:        show(a.Constraints.Scopes, showScope),
		AllComponents: a.Constraints.Everywhere(),
		NotBefore:     a.NotBefore, NotAfter: a.NotAfter,
	}
}

func showScope(s anchor.Scope) Scope {
	return Scope{Component: s.Prefix.String(), Commands: s.CommandNames(), Parameters: s.ParameterNames()}
}

func showTrustedKey(a anchor.Anchor) TrustedKey {
	return TrustedKey{
		Thumbprint: a.Key.Thumbprint().String(), Algorithm: cosekit.AlgorithmName(a.Key.Algorithm()),
		PublicKey: string(a.Key.PEM()), Title: a.Title, NotBefore: a.NotBefore, NotAfter: a.NotAfter,
		Formats: formatNames(a.Constraints.Formats), Products: a.Constraints.Products,
	}
}

func showEvent(e audit.Event) Event {
	return Event{
		Seq: e.Seq, At: e.At, Actor: e.Actor, Action: string(e.Action), Subject: e.Subject,
		Reason: e.Reason, Details: e.Details,
	}
}

// showKeys lists the TAM's public keys.
func showKeys(o Options) []Key {
	list := show(o.Keys, func(k *cosekit.PublicKey) Key { return showKey(k, KeyUseMessages) })
	if k := o.ReportKey; k != nil {
		list = append(list, Key{
			Thumbprint: k.Thumbprint().String(), Algorithm: cosekit.AlgorithmName(cosekit.ECDHESA128KW),
			Use: KeyUseReports, PublicKey: string(k.PEM()),
		})
	}
	if o.AttestationKey != nil {
		list = append(list, showKey(o.AttestationKey, KeyUseAttestation))
	}
	if o.ResultKey != nil {
		list = append(list, showKey(o.ResultKey, KeyUseResults))
	}
	return list
}

func showKey(k *cosekit.PublicKey, use KeyUse) Key {
	return Key{
		Thumbprint: k.Thumbprint().String(), Algorithm: cosekit.AlgorithmName(k.Algorithm()),
		Use: use, PublicKey: string(k.PEM()),
	}
}
