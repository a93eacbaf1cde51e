package device

import (
	"context"
	"time"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Status is what a device can tell about itself; its JSON form is stable.
type Status struct {
	UEID           HexBytes           `json:"ueid"`
	VendorID       string             `json:"vendor_id"`
	ClassID        string             `json:"class_id"`
	OEMID          OEMID              `json:"oemid"`
	Model          string             `json:"model"`
	HWVersion      string             `json:"hwversion"`
	Algorithm      string             `json:"algorithm"`
	MessageKey     cosekit.Thumbprint `json:"message_key"`
	AttestationKey cosekit.Thumbprint `json:"attestation_key"`
	TAM            string             `json:"tam"`
	Numbering      string             `json:"numbering"`
	Trusted        []Trusted          `json:"trusted_keys"`
	Components     []Component        `json:"components"`
	Requested      []Requested        `json:"requested"`
	Unneeded       []suit.ComponentID `json:"unneeded,omitempty"` // manifests that the TAM is asked to unlink
	LastPoll       *LastPoll          `json:"last_poll,omitempty"`
	// DecryptionKey is what publishers encrypt payloads to; nil where there is none.
	DecryptionKey *cosekit.Thumbprint `json:"decryption_key,omitempty"`
	// Runs are the last runs of applications, one for each component, the newest first.
	Runs []Run `json:"runs,omitempty"`
}

// Trusted is one key of the anchor store.
type Trusted struct {
	Key        cosekit.Thumbprint `json:"key"`
	Title      string             `json:"title,omitempty"`
	Purposes   []anchor.Purpose   `json:"purposes"`
	Components []suit.ComponentID `json:"components,omitempty"`
	// Scopes are more prefixes, with the commands and parameters that it may use there.
	Scopes []anchor.Scope `json:"scopes,omitempty"`
}

// Component is an installed component, as measured for this status.
type Component struct {
	ID       suit.ComponentID `json:"id"`
	SHA256   HexBytes         `json:"sha256"`
	Size     uint64           `json:"size"`
	Manifest suit.ComponentID `json:"manifest"`
	Sequence uint64           `json:"sequence"` // of the manifest
	// Shared are the other manifests that reference it; it stays until all are unlinked.
	Shared []suit.ComponentID `json:"shared_with,omitempty"`
}

// Requested is a component that is asked for.
type Requested struct {
	ID          suit.ComponentID `json:"id"`
	MinSequence *uint64          `json:"min_sequence,omitempty"`
	HaveBinary  bool             `json:"have_binary,omitempty"` // the TAM is to leave out a payload that the manifest carries
}

// LastPoll is how the last session ended.
type LastPoll struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`
	Failed  bool      `json:"failed"`
}

// Status measures the components and gathers the rest.
func (d *Device) Status(ctx context.Context) (Status, error) {
	i := d.settings.Identity
	s := Status{
		UEID: i.UEID, VendorID: i.Vendor.String(), ClassID: i.Class.String(),
		OEMID: i.OEMID, Model: i.Model, HWVersion: i.HWVersion,
		Algorithm:      cosekit.AlgorithmName(d.keys.message.Algorithm()),
		MessageKey:     d.keys.message.PublicKey().Thumbprint(),
		AttestationKey: d.keys.attestation.PublicKey().Thumbprint(),
		TAM:            d.settings.TAM.URL, Numbering: d.settings.TAM.Numbering.String(),
		Trusted: []Trusted{}, Components: []Component{}, Requested: []Requested{},
	}
	for _, a := range d.anchors.Anchors() {
		s.Trusted = append(s.Trusted, Trusted{a.Key.Thumbprint(), a.Title, a.Purposes, a.Constraints.Components, a.Constraints.Scopes})
	}
	installed, err := d.store.Installed(ctx)
	if err != nil {
		return Status{}, err
	}
	for _, c := range installed {
		s.Components = append(s.Components, Component{c.ID, c.Digest.Bytes, c.Size, c.Manifests[0], c.Sequence, c.Manifests[1:]})
	}
	for _, r := range d.store.Requests() {
		s.Requested = append(s.Requested, Requested{r.Component, r.MinSequence, r.HaveBinary})
	}
	s.Unneeded = d.store.Unneeded()
	if p, ok := d.store.LastPoll(); ok {
		s.LastPoll = &LastPoll{p.At, p.Outcome, p.Failed}
	}
	if k := d.keys.decryption; k != nil {
		t := k.PublicKey().Thumbprint()
		s.DecryptionKey = &t
	}
	s.Runs, err = readRuns(d.dir)
	return s, err
}
