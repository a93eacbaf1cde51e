package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// SNPEvidence is an attestation report of AMD SEV-SNP with the certificates that the host
// has beside it; [MediaSEVSNP] names it. In CDDL:
//
//	sev-snp = [
//	  report: bytes .size 1184, ; ATTESTATION_REPORT (AMD document 56860, section 7.3)
//	  certificates: bytes       ; GUID table of the extended guest request (AMD document 56421)
//	]
//
// The table is what Linux gives as auxblob; it holds the VCEK or VLEK, and usually the
// ASK or ASVK and the ARK. It may be empty. The report data, all 64 bytes, answers the
// challenge: the challenge itself, or the SHA-512 of the claims set of a bound bundle.
type SNPEvidence struct {
	Report       []byte
	Certificates []byte
}

// SNPReportSize is the size of a report, in bytes.
const SNPReportSize = 0x4a0

// maxSNPTable caps the certificate table, in bytes: Linux takes no more.
const maxSNPTable = 32 << 10

// Encode encodes the evidence.
func (e SNPEvidence) Encode() ([]byte, error) {
	return cosekit.Marshal([]any{e.Report, e.Certificates})
}

// SNPSigner is the kind of key that has signed a report.
type SNPSigner uint32

// The kinds of keys (SIGNING_KEY in AMD document 56860, table 23).
const (
	VCEK SNPSigner = 0 // of one chip
	VLEK SNPSigner = 1 // of one cloud provider
)

// String returns AMD's name of the kind.
func (s SNPSigner) String() string {
	switch s {
	case VCEK:
		return "VCEK"
	case VLEK:
		return "VLEK"
	}
	return fmt.Sprintf("key of kind %d", uint32(s))
}

// SNPReport is an attestation report, decoded. Nothing of it is verified.
type SNPReport struct {
	SNPEvidence
	Version         uint32
	GuestSVN        uint32
	Policy          uint64
	FamilyID        []byte
	ImageID         []byte
	VMPL            uint32
	CurrentTCB      SNPTCB
	ReportedTCB     SNPTCB
	PlatformInfo    uint64
	Signer          SNPSigner
	ReportData      []byte
	Measurement     []byte
	HostData        []byte
	IDKeyDigest     []byte
	AuthorKeyDigest []byte
	ReportID        []byte
	ChipID          []byte // zeros where the host masks it
	R, S            *big.Int
	// Certificate is that of the signer, Issuers the ASK or ASVK and the ARK; nil where the
	// host does not have them.
	Certificate []byte
	Issuers     [][]byte
}

// SNPTCB are the security versions of a platform (TCB_VERSION in AMD document 56860).
type SNPTCB struct {
	Boot, TEE, SNP, Microcode byte
	FMC                       byte // from Turin on
}

// Signed returns the bytes that the signature covers.
func (r *SNPReport) Signed() []byte { return r.Report[:snpSignature] }

// RawTCB returns the reported TCB as it stands in the report.
func (r *SNPReport) RawTCB() []byte { return r.Report[0x180:0x188] }

// Debug reports whether the host may look into the guest (POLICY, bit 19).
func (r *SNPReport) Debug() bool { return r.Policy>>19&1 == 1 }

// Migratable reports whether an agent may move the guest to another machine (bit 18).
func (r *SNPReport) Migratable() bool { return r.Policy>>18&1 == 1 }

// Offsets in a report.
const (
	snpReserved  = 0x208
	snpSignature = 0x2a0
	snpScalar    = 72 // bytes of R and of S, little-endian
)

// Caps and constants of a report.
const (
	minSNPVersion   = 2
	maxSNPVersion   = 5
	snpECDSAP384    = 1
	snpPolicyOne    = 17 // a bit of the policy that is always 1
	familyZen5      = 0x1a
	maxSNPCertCount = 8
)

// ParseSNPReport decodes SNPEvidence. Fields that AMD's document has as zero must be.
func ParseSNPReport(payload []byte) (*SNPReport, error) {
	if len(payload) > attest.MaxTokenSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(payload), attest.MaxTokenSize)
	}
	e, err := decodeSNP(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	r, err := decodeSNPReport(e)
	if err != nil {
		return nil, fmt.Errorf("%w: report: %w", attest.ErrToken, err)
	}
	if err := r.readCertificates(); err != nil {
		return nil, fmt.Errorf("%w: certificate table: %w", attest.ErrToken, err)
	}
	return r, nil
}

func decodeSNP(payload []byte) (e SNPEvidence, err error) {
	if err := cosekit.Validate(payload); err != nil {
		return e, err
	}
	items, err := cosekit.Elements(payload)
	if err != nil {
		return e, err
	}
	if len(items) != 2 {
		return e, fmt.Errorf("%d elements, want report and certificates", len(items))
	}
	if e.Report, err = cosekit.Bytes(items[0]); err != nil {
		return e, fmt.Errorf("report: %w", err)
	}
	if len(e.Report) != SNPReportSize {
		return e, fmt.Errorf("report of %d bytes, want %d", len(e.Report), SNPReportSize)
	}
	if e.Certificates, err = cosekit.Bytes(items[1]); err != nil {
		return e, fmt.Errorf("certificates: %w", err)
	}
	if len(e.Certificates) > maxSNPTable {
		return e, fmt.Errorf("certificate table of %d bytes, at most %d", len(e.Certificates), maxSNPTable)
	}
	return e, nil
}

func decodeSNPReport(e SNPEvidence) (*SNPReport, error) {
	b := e.Report
	u32, u64 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }, func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	r := &SNPReport{
		SNPEvidence: e, Version: u32(0), GuestSVN: u32(4), Policy: u64(8),
		FamilyID: b[0x10:0x20], ImageID: b[0x20:0x30], VMPL: u32(0x30), PlatformInfo: u64(0x40),
		ReportData: b[0x50:0x90], Measurement: b[0x90:0xc0], HostData: b[0xc0:0xe0],
		IDKeyDigest: b[0xe0:0x110], AuthorKeyDigest: b[0x110:0x140], ReportID: b[0x140:0x160],
		ChipID: b[0x1a0:0x1e0],
		R:      littleEndian(b[snpSignature:][:snpScalar]), S: littleEndian(b[snpSignature+snpScalar:][:snpScalar]),
		Signer: SNPSigner(u32(0x48) >> 2 & 7),
	}
	// From version 3 on, the family, model and stepping of the processor stand at 0x188.
	zero := [][2]int{{0x4c, 0x50}, {0x188, 0x1a0}, {snpReserved, snpSignature}, {snpSignature + 2*snpScalar, SNPReportSize}}
	if r.Version >= 3 {
		zero[1][0] = 0x18b
	}
	zen5 := r.Version >= 3 && b[0x188] == familyZen5
	r.CurrentTCB, r.ReportedTCB = snpTCB(b[0x38:0x40], zen5), snpTCB(r.RawTCB(), zen5)
	switch {
	case r.Version < minSNPVersion || r.Version > maxSNPVersion:
		return nil, fmt.Errorf("version %d, want %d to %d", r.Version, minSNPVersion, maxSNPVersion)
	case u32(0x34) != snpECDSAP384:
		return nil, fmt.Errorf("signature algorithm %d, want ECDSA on P-384 with SHA-384", u32(0x34))
	case r.Policy>>snpPolicyOne&1 != 1:
		return nil, fmt.Errorf("policy %#x, of which bit %d is always 1", r.Policy, snpPolicyOne)
	case r.Signer != VCEK && r.Signer != VLEK:
		return nil, fmt.Errorf("signed by a %s, want VCEK or VLEK", r.Signer)
	}
	for _, part := range zero {
		if slices.ContainsFunc(b[part[0]:part[1]], func(octet byte) bool { return octet != 0 }) {
			return nil, fmt.Errorf("reserved bytes %#x to %#x are not zero", part[0], part[1])
		}
	}
	return r, nil
}

func littleEndian(b []byte) *big.Int {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// snpTCB reads a TCB_VERSION, whose layout changed with Turin.
func snpTCB(b []byte, zen5 bool) SNPTCB {
	if zen5 {
		return SNPTCB{FMC: b[0], Boot: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}
	}
	return SNPTCB{Boot: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}
}

// The GUIDs of certificates (AMD document 56421, section 4.1.8.1).
var snpGUIDs = struct{ vcek, vlek, ask, ark uuid.UUID }{
	uuid.MustParse("63da758d-e664-4564-adc5-f4b93be8accd"),
	uuid.MustParse("a8074bc2-a25a-483e-aae6-39c045a0b8a1"),
	uuid.MustParse("4ab7b379-bbac-4fe4-a02f-05aef327c782"),
	uuid.MustParse("c0b406a4-a803-4952-9743-3fb6014cd0ae"),
}

// readCertificates takes those out of the table that lead to the signer of the report.
func (r *SNPReport) readCertificates() error {
	found, err := decodeSNPTable(r.Certificates)
	if err != nil {
		return err
	}
	r.Certificate = found[snpGUIDs.vcek]
	if r.Signer == VLEK {
		r.Certificate = found[snpGUIDs.vlek]
	}
	for _, id := range []uuid.UUID{snpGUIDs.ask, snpGUIDs.ark} {
		if found[id] != nil {
			r.Issuers = append(r.Issuers, found[id])
		}
	}
	return nil
}

// decodeSNPTable reads the certificate table: entries of GUID, offset and length, the last
// of them zero, and the certificates behind.
func decodeSNPTable(table []byte) (map[uuid.UUID][]byte, error) {
	const size = 24
	found := map[uuid.UUID][]byte{}
	for at := 0; len(table) > 0; at += size {
		if at/size > maxSNPCertCount {
			return nil, fmt.Errorf("more than %d entries", maxSNPCertCount)
		}
		if len(table) < at+size {
			return nil, errors.New("without an end")
		}
		entry := table[at : at+size]
		if !slices.ContainsFunc(entry, func(octet byte) bool { return octet != 0 }) {
			break
		}
		id := uuid.UUID(entry[:16])
		offset, length := uint64(binary.LittleEndian.Uint32(entry[16:])), uint64(binary.LittleEndian.Uint32(entry[20:]))
		if offset+length > uint64(len(table)) || offset < uint64(at+size) {
			return nil, fmt.Errorf("entry %s lies at %d to %d of %d bytes", id, offset, offset+length, len(table))
		}
		if length == 0 || length > maxCertificate {
			return nil, fmt.Errorf("entry %s of %d bytes, want 1 to %d", id, length, maxCertificate)
		}
		if found[id] != nil {
			return nil, fmt.Errorf("entry %s twice", id)
		}
		found[id] = table[offset : offset+length]
	}
	return found, nil
}

// readSEVSNP reads SNPEvidence. Its nonce is the report data.
func readSEVSNP(m attest.MediaType, payload []byte) (*Reading, error) {
	r, err := ParseSNPReport(payload)
	if err != nil {
		return nil, err
	}
	return &Reading{
		Media: m, Claims: &attest.Claims{Nonce: r.ReportData}, Hardware: SNPHardware(r.ChipID), said: r,
	}, nil
}

// SNPHardware names a chip: the SHA-256 of its id, for the keys of a chip change with its
// TCB. Zero for an id that the host masks.
func SNPHardware(chipID []byte) cosekit.Thumbprint {
	if !slices.ContainsFunc(chipID, func(octet byte) bool { return octet != 0 }) {
		return cosekit.Thumbprint{}
	}
	return sha256.Sum256(chipID)
}

// Document returns what the report says, by name.
func (r *SNPReport) Document() map[string]any {
	return map[string]any{
		"nonce":                 hex.EncodeToString(r.ReportData),
		"snp-version":           float64(r.Version),
		"snp-guest-svn":         float64(r.GuestSVN),
		"snp-policy":            fmt.Sprintf("%016x", r.Policy),
		"snp-debug":             r.Debug(),
		"snp-migratable":        r.Migratable(),
		"snp-family-id":         hex.EncodeToString(r.FamilyID),
		"snp-image-id":          hex.EncodeToString(r.ImageID),
		"snp-vmpl":              float64(r.VMPL),
		"snp-platform-info":     fmt.Sprintf("%016x", r.PlatformInfo),
		"snp-signing-key":       r.Signer.String(),
		"snp-measurement":       hex.EncodeToString(r.Measurement),
		"snp-host-data":         hex.EncodeToString(r.HostData),
		"snp-id-key-digest":     hex.EncodeToString(r.IDKeyDigest),
		"snp-author-key-digest": hex.EncodeToString(r.AuthorKeyDigest),
		"snp-report-id":         hex.EncodeToString(r.ReportID),
		"snp-chip-id":           hex.EncodeToString(r.ChipID),
		"snp-current-tcb":       r.CurrentTCB.document(),
		"snp-reported-tcb":      r.ReportedTCB.document(),
	}
}

func (t SNPTCB) document() map[string]any {
	return map[string]any{
		"bootloader": float64(t.Boot), "tee": float64(t.TEE), "snp": float64(t.SNP),
		"microcode": float64(t.Microcode), "fmc": float64(t.FMC),
	}
}
