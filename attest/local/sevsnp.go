package local

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The class ids of reference values for SEV-SNP guests: those of chips, whose reports are
// signed by a VCEK, and those of cloud providers, signed by a VLEK
// (draft-deeglaze-amd-sev-snp-corim-profile-02 section 3.1): oid:1.3.6.1.4.1.3704.3.1 and
// oid:1.3.6.1.4.1.3704.3.2 in a description of reference values. A statement about one
// machine has the SHA-256 of its chip id as instance, in tagged bytes.
var (
	ClassSNPByChip     = corim.ID{Kind: corim.KindOID, Value: []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1}}
	ClassSNPByProvider = corim.ID{Kind: corim.KindOID, Value: []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 2}}
)

// appraiseSEVSNP appraises an attestation report of AMD SEV-SNP: signed by a key that AMD
// certifies at this TCB, in answer to our challenge, of a guest that nobody can look into and
// that was launched with the software of the reference values. Nothing is fetched from
// AMD: neither certificates nor revocation lists.
//
// Anybody can rent such a machine. A report without a reference value for its measurement
// is therefore a warning, however genuine.
func (v *Verifier) appraiseSEVSNP(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	r, err := evidence.ParseSNPReport(e.Payload)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	a := newAppraisal("")
	chip, f := v.authenticateSNP(r, now)
	a.find(attest.InstanceIdentity, f.value, "%s", f.reason)
	if f.value != recognized {
		return conclude(e, now, nil, a), nil
	}
	if err := checkChallenge(r.ReportData, e.Challenge); err != nil {
		a.find(attest.InstanceIdentity, notAcceptable, "report data: %v", err)
	}
	about := corim.Environment{ClassID: ClassSNPByChip}
	if r.Signer == evidence.VLEK {
		about.ClassID = ClassSNPByProvider
	}
	if chip != (cosekit.Thumbprint{}) {
		about.Instance = corim.ID{Kind: corim.KindBytes, Value: chip[:]}
	}
	appraiseSNP(a, base.References(about), r)
	return conclude(e, now, &genuineEvidence{
		claims: &attest.Claims{Nonce: r.ReportData}, document: r.Document(), key: chip,
	}, a), nil
}

// authenticateSNP finds out which chip has made the report, and whether it is one.
func (v *Verifier) authenticateSNP(r *evidence.SNPReport, now time.Time) (cosekit.Thumbprint, finding) {
	if r.Certificate == nil {
		return cosekit.Thumbprint{}, finding{notRecognized, fmt.Sprintf("no certificate of the %s, which is not fetched from AMD: have the host provide it", r.Signer)}
	}
	leaf, err := vendorChain(r.Certificate, r.Issuers, v.options.Vendors.AMD, amdRoots, now)
	if err != nil {
		return cosekit.Thumbprint{}, finding{notRecognized, err.Error()}
	}
	about, err := readSNPExtensions(leaf)
	if err != nil {
		return cosekit.Thumbprint{}, finding{notRecognized, fmt.Sprintf("certificate of the %s: %v", r.Signer, err)}
	}
	if err := about.check(r); err != nil {
		return cosekit.Thumbprint{}, finding{notGenuine, err.Error()}
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return cosekit.Thumbprint{}, finding{notRecognized, fmt.Sprintf("the key of the %s does not lie on P-384", r.Signer)}
	}
	sum := sha512.Sum384(r.Signed())
	if !ecdsa.Verify(key, sum[:], r.R, r.S) {
		return cosekit.Thumbprint{}, finding{notGenuine, "the signature of the report is not good"}
	}
	chip := evidence.SNPHardware(r.ChipID)
	if about.chip != nil {
		// What AMD certifies counts where the host masks the id.
		chip = evidence.SNPHardware(about.chip)
	}
	return chip, finding{recognized, fmt.Sprintf("signed by the %s of %q", r.Signer, leaf.Issuer.CommonName)}
}

// snpExtensions are what a certificate of AMD says of the machine (AMD document 57230,
// section 3.1).
type snpExtensions struct {
	chip []byte // 64 bytes; nil in that of a VLEK
	tcb  evidence.SNPTCB
}

// The extensions, under AMD's arc 1.3.6.1.4.1.3704.1.
var (
	oidSNPBoot      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 1}
	oidSNPTEE       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 2}
	oidSNPSNP       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 3}
	oidSNPMicrocode = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 8}
	oidSNPFMC       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 3, 9}
	oidSNPChip      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1, 4}
)

const chipIDSize = 64

func readSNPExtensions(c *x509.Certificate) (x snpExtensions, err error) {
	levels := []struct {
		oid   asn1.ObjectIdentifier
		value *byte
	}{
		{oidSNPBoot, &x.tcb.Boot}, {oidSNPTEE, &x.tcb.TEE}, {oidSNPSNP, &x.tcb.SNP},
		{oidSNPMicrocode, &x.tcb.Microcode}, {oidSNPFMC, &x.tcb.FMC},
	}
	for i, l := range levels {
		der, ok := extension(c, l.oid)
		if !ok && i < len(levels)-1 {
			return x, fmt.Errorf("no extension %s", l.oid)
		}
		if !ok {
			continue // FMC is there from Turin on
		}
		if *l.value, err = octetOf(der); err != nil {
			return x, fmt.Errorf("extension %s: %w", l.oid, err)
		}
	}
	if der, ok := extension(c, oidSNPChip); ok {
		if x.chip, err = chipOf(der); err != nil {
			return x, fmt.Errorf("extension %s: %w", oidSNPChip, err)
		}
	}
	return x, nil
}

// extension returns the value of an extension, of which crypto/x509 allows one.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, bool) {
	for _, ext := range c.Extensions {
		if ext.Id.Equal(id) {
			return ext.Value, true
		}
	}
	return nil, false
}

func octetOf(der []byte) (byte, error) {
	var n int
	rest, err := asn1.Unmarshal(der, &n)
	if err != nil || len(rest) > 0 || n < 0 || n > 255 {
		return 0, errors.New("no integer from 0 to 255")
	}
	return byte(n), nil
}

// chipOf reads a chip id: bare or in an octet string, of 64 bytes or, from Turin on, the
// eight that are not zero.
func chipOf(value []byte) ([]byte, error) {
	id := value
	if len(value) != chipIDSize && len(value) != 8 {
		if rest, err := asn1.Unmarshal(value, &id); err != nil || len(rest) > 0 {
			return nil, errors.New("no chip id")
		}
	}
	if len(id) != chipIDSize && len(id) != 8 {
		return nil, fmt.Errorf("chip id of %d bytes, want %d or 8", len(id), chipIDSize)
	}
	return append(bytes.Clone(id), make([]byte, chipIDSize-len(id))...), nil
}

// check wants the certificate to be that of the key which has signed such a report.
func (x snpExtensions) check(r *evidence.SNPReport) error {
	masked := evidence.SNPHardware(r.ChipID) == (cosekit.Thumbprint{})
	switch {
	case (x.chip == nil) != (r.Signer == evidence.VLEK):
		return fmt.Errorf("the report is signed by a %s, the certificate is of another kind of key", r.Signer)
	case x.chip != nil && !masked && !bytes.Equal(x.chip, r.ChipID):
		return errors.New("the certificate is of another chip")
	case x.tcb != r.ReportedTCB:
		return fmt.Errorf("the certificate is of the TCB %+v, the report of %+v", x.tcb, r.ReportedTCB)
	}
	return nil
}

// maxVMPL is the least privileged level of a guest. A report that claims another is made
// by the host.
const maxVMPL = 3

// appraiseSNP fills in what a genuine report says of the guest.
func appraiseSNP(a *appraisal, refs []corim.Reference, r *evidence.SNPReport) {
	if r.VMPL > maxVMPL {
		a.find(attest.InstanceIdentity, notAcceptable, "the report was not asked for by the guest (VMPL %#x)", r.VMPL)
	}
	if r.Debug() {
		a.find(attest.Configuration, contraindicated, "the policy of the guest lets the host debug it")
		a.find(attest.RuntimeOpaque, contraindicated, "the host can read the memory of the guest, which it may debug")
	} else {
		a.find(attest.RuntimeOpaque, secretsProtected, "the memory of the guest is encrypted")
	}
	if r.Migratable() {
		a.find(attest.Configuration, unsafeConfig, "the policy of the guest lets a migration agent move it")
	}
	policy := binary.LittleEndian.AppendUint64(nil, r.Policy)
	met := appraiseRegisters(a, refs, []register{
		{attest.Executables, launchSNP, []string{"measurement", "641"}, "sha-384", r.Measurement, false},
		{attest.Configuration, "host data", []string{"host-data"}, "sha-256", r.HostData, true},
		{attest.Configuration, "id key digest", []string{"id-key-digest"}, "sha-384", r.IDKeyDigest, true},
		{attest.Configuration, "author key digest", []string{"author-key-digest"}, "sha-384", r.AuthorKeyDigest, true},
		{attest.Configuration, "guest policy", []string{"policy"}, "", policy, true},
		{attest.Hardware, tcbSNP, []string{"tcb"}, "", r.RawTCB(), true},
	})
	appraiseGuest(a, met, launchSNP, "the policy of the guest allows no debugging")
	tcb := r.ReportedTCB
	appraiseLevels(a, refs, []level{{"SVN of the guest", "guest-svn", uint64(r.GuestSVN)}})
	known := appraiseLevels(a, refs, []level{
		{"SVN of the boot loader", "bootloader", uint64(tcb.Boot)}, {"SVN of the TEE", "tee", uint64(tcb.TEE)},
		{"SVN of the SNP firmware", "snp", uint64(tcb.SNP)}, {"SVN of the microcode", "microcode", uint64(tcb.Microcode)},
		{"SVN of the FMC", "fmc", uint64(tcb.FMC)},
	})
	appraiseTCB(a, known || met[attest.Hardware] != nil, "a genuine processor of AMD")
}

// appraiseTCB says of a genuine processor whether its firmware is known to be good, where
// it was not found wanting. Keys are certified for old firmware as well as for new.
func appraiseTCB(a *appraisal, known bool, genuinely string) {
	if known {
		a.find(attest.Hardware, genuine, "%s, with a TCB as the reference values want it", genuinely)
	} else {
		a.find(attest.Hardware, oldHardware, "%s; no reference value says whether its TCB is free of known vulnerabilities, and nobody was asked", genuinely)
	}
}

// oldHardware warns of genuine hardware that may have known vulnerabilities
// (draft-ietf-rats-ar4si section 2.3.4).
const oldHardware int8 = 32

// appraiseGuest says what the registers of a guest mean for its software and configuration,
// where none of them was found wanting. Without the launch measurement the others count
// for nothing: whatever was launched could have chosen them.
func appraiseGuest(a *appraisal, met map[string][]string, launch, harmless string) {
	if names := met[attest.Executables]; slices.Contains(names, launch) {
		a.find(attest.Executables, approvedAtBoot, "%s: as the reference values say", strings.Join(names, ", "))
	} else {
		a.find(attest.Executables, unrecognized, "no reference value knows the %s, and anybody can rent such a machine", launch)
	}
	if names := met[attest.Configuration]; names != nil {
		a.find(attest.Configuration, approved, "%s: as the reference values say", strings.Join(names, ", "))
	} else {
		a.find(attest.Configuration, noConfigClaim, "%s", harmless)
	}
}
