package attest

import (
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Claims are the EAT claims that Tamarack uses (RFC 9711, RFC 8392, RFC 8747).
// A field is zero where its claim is absent.
type Claims struct {
	Profile      string // eat_profile (265): a URI, or an OID in dotted decimal
	Nonce        []byte // eat_nonce (10), a single byte string of 8..64 bytes
	UEID         []byte // 256, opaque, 7..33 bytes
	OEMID        []byte // 258, the encoded claim value
	HWModel      []byte // 259, 1..32 bytes
	HWVersion    string // 260, without its version scheme
	Confirmation Confirmation

	// Manifests (272) are the SUIT manifests installed. A list that is empty but
	// not nil is sent, and says that none is.
	Manifests []ManifestRef
	// Measurements (273) are what the Attester measured, by manifest. Measured
	// lists them without it.
	Measurements []Measurement
	// OtherManifests and OtherMeasurements are the entries of 272 and 273 in
	// formats that Tamarack does not read, such as CoSWID.
	OtherManifests    []ContentEntry
	OtherMeasurements []ContentEntry

	IssuedAt  time.Time // 6; times are in whole seconds
	NotBefore time.Time // 5
	Expires   time.Time // 4

	// Unknown holds every further claim as it came, for display; Named those
	// whose label is text.
	Unknown map[int64]cosekit.RawMessage
	Named   map[string]cosekit.RawMessage
}

// ManifestRef is a SUIT_Reference (draft-ietf-suit-report-18 section 4).
type ManifestRef = suit.Reference

// Measurement is what was measured of the components of one manifest: a
// SUIT_Report in an EAT measurements claim (draft-ietf-suit-report-18 section 7).
type Measurement struct {
	Manifest   ManifestRef
	Components []suit.PropertyClaims
}

// ContentEntry is a manifest or measurement with its CoAP content format (RFC
// 9711 sections 4.2.15 and 4.2.16), kept as it came.
type ContentEntry struct {
	ContentFormat uint16
	Body          cosekit.RawMessage
}

// Confirmation is the cnf claim (RFC 8747 section 3.1). Key carries a key; KeyID
// only names one: enough for a registered key, not to enrol one.
type Confirmation struct {
	Key   *cosekit.PublicKey
	KeyID []byte // kid (3) or ckt (5)
}

// Measured lists the measurements of all components.
func (c *Claims) Measured() []suit.PropertyClaims {
	var all []suit.PropertyClaims
	for _, m := range c.Measurements {
		all = append(all, m.Components...)
	}
	return all
}
