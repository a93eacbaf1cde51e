package device

import (
	"context"
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Status is what a device can tell about itself; its JSON form is stable.
type Status struct {
	UEID       HexBytes           `json:"ueid"`
	VendorID   string             `json:"vendor_id"`
	ClassID    string             `json:"class_id"`
	OEMID      OEMID              `json:"oemid"`
	Model      string             `json:"model"`
	HWVersion  string             `json:"hwversion"`
	Algorithm  string             `json:"algorithm"`
	MessageKey cosekit.Thumbprint `json:"message_key"`
	Attester   string             `json:"attester"`
	// AttestationKey is nil for hardware whose maker vouches for its key.
	AttestationKey *cosekit.Thumbprint `json:"attestation_key,omitempty"`
	Certificate    *Certificate        `json:"certificate,omitempty"` // of that key
	Passport       *Passport           `json:"passport,omitempty"`
	// TAMAttestation is nil where the TAM need not attest itself.
	TAMAttestation *TAMAttestation    `json:"tam_attestation,omitempty"`
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

// Certificate is that of the attestation key.
type Certificate struct {
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

// Passport is an attestation result about this device.
type Passport struct {
	Format   string     `json:"format"`
	Received time.Time  `json:"received"`
	Expires  *time.Time `json:"expires,omitempty"`
	Verified bool       `json:"verified"` // signed by a verifier that the device trusts
}

// TAMAttestation is which keys of the TAM were vouched for not long ago.
type TAMAttestation struct {
	MaxAge   string        `json:"max_age"`
	Attested []AttestedTAM `json:"attested"`
}

// AttestedTAM is one of them.
type AttestedTAM struct {
	Key   cosekit.Thumbprint `json:"key"`
	At    time.Time          `json:"at"`
	Until time.Time          `json:"until"`
}

// Status measures the components and gathers the rest.
func (d *Device) Status(ctx context.Context) (Status, error) {
	i := d.settings.Identity
	s := Status{
		UEID: i.UEID, VendorID: i.Vendor.String(), ClassID: i.Class.String(),
		OEMID: i.OEMID, Model: i.Model, HWVersion: i.HWVersion,
		Algorithm:  cosekit.AlgorithmName(d.keys.message.Algorithm()),
		MessageKey: d.keys.message.PublicKey().Thumbprint(),
		Attester:   d.settings.Attestation.Attester.String(),
		TAM:        d.settings.TAM.URL, Numbering: d.settings.TAM.Numbering.String(),
		Trusted: []Trusted{}, Components: []Component{}, Requested: []Requested{},
	}
	if err := d.attestationStatus(&s); err != nil {
		return Status{}, err
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

func (d *Device) attestationStatus(s *Status) error {
	if d.public != nil {
		t := d.public.Thumbprint()
		s.AttestationKey = &t
	}
	chain, err := d.settings.Attestation.chain()
	if err != nil {
		return err
	}
	if chain != nil {
		s.Certificate = &Certificate{chain[0].Subject.String(), chain[0].Issuer.String(), chain[0].NotAfter}
	}
	papers, err := d.store.Papers()
	if err != nil && !errors.Is(err, tee.ErrDamaged) { // of those that are damaged nothing counts
		return err
	}
	if p := papers.Passport; p != nil {
		s.Passport = &Passport{Format: p.Format, Received: p.Received, Verified: p.Verified}
		if !p.Expires.IsZero() {
			s.Passport.Expires = &p.Expires
		}
	}
	if t := d.settings.TAM; t.Attest {
		s.TAMAttestation = &TAMAttestation{MaxAge: t.attestMaxAge().String(), Attested: []AttestedTAM{}}
		for _, a := range papers.TAMs {
			s.TAMAttestation.Attested = append(s.TAMAttestation.Attested, AttestedTAM{a.Key, a.At, a.At.Add(t.attestMaxAge())})
		}
	}
	return nil
}
