package local

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// VendorTDX and ModelTDX are what reference values for trust domains say in their
// environment. A statement about one machine has the SHA-256 of its PPID as instance, in tagged
// bytes.
const (
	VendorTDX = "Intel Corporation"
	ModelTDX  = "TDX"
)

// appraiseTDX appraises a quote of Intel TDX: signed by a quoting enclave of Intel on a
// platform that Intel certifies, in answer to our challenge, of a trust domain that nobody
// can look into and that was launched with the software of the reference values.
//
// Nothing is fetched from Intel: neither revocation lists nor the collateral that says
// which TCB is up to date. Reference values for tee-tcb-svn, tdx-module or pce stand in for
// that; without any, the hardware is a warning. And anybody can rent such a machine, so a
// quote without a reference value for its MRTD is a warning too.
func (v *Verifier) appraiseTDX(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	q, err := evidence.ParseTDXQuote(e.Payload)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	a := newAppraisal("")
	f := v.authenticateTDX(q, now)
	a.find(attest.InstanceIdentity, f.value, "%s", f.reason)
	if f.value != recognized {
		return conclude(e, now, nil, a), nil
	}
	if err := checkChallenge(q.ReportData, e.Challenge); err != nil {
		a.find(attest.InstanceIdentity, notAcceptable, "report data: %v", err)
	}
	platform := q.Platform.Hardware()
	appraiseTrustDomain(a, base.References(corim.Environment{
		Vendor: VendorTDX, Model: ModelTDX, Instance: corim.ID{Kind: corim.KindBytes, Value: platform[:]},
	}), q)
	return conclude(e, now, &genuineEvidence{
		claims: &attest.Claims{Nonce: q.ReportData}, document: q.Document(), key: platform,
	}, a), nil
}

// authenticateTDX follows the chain of trust: the root of Intel certifies the platform,
// whose provisioning certification key has signed the report of the quoting enclave, which has
// signed the quote with a key that its report names.
func (v *Verifier) authenticateTDX(q *evidence.TDXQuote, now time.Time) finding {
	leaf, err := vendorChain(q.Certificate, q.Issuers, v.options.Vendors.Intel, intelRoots, now)
	if err != nil {
		return finding{notRecognized, err.Error()}
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return finding{notRecognized, "the key of the platform does not lie on P-256"}
	}
	if err := checkEnclave(q, key); err != nil {
		return finding{notGenuine, "quoting enclave: " + err.Error()}
	}
	if !verifySHA256(q.Key, q.Signed, q.R, q.S) {
		return finding{notGenuine, "the signature of the quote is not good"}
	}
	return finding{recognized, fmt.Sprintf("signed by Intel's quoting enclave on a platform of %q", leaf.Issuer.CommonName)}
}

func verifySHA256(key *ecdsa.PublicKey, message []byte, r, s *big.Int) bool {
	sum := sha256.Sum256(message)
	return ecdsa.Verify(key, sum[:], r, s)
}

// Offsets in the report of an enclave (Intel SDM volume 3D, REPORT), and what that of
// Intel's quoting enclave for TDX has there. Any enclave can have the platform sign its report; it is
// the signer of the enclave that tells which one does what it should.
const (
	enclaveFlags      = 48
	enclaveSigner     = 128
	enclaveProduct    = 256
	enclaveReportData = 320

	quotingProduct = 2
	quotingFlags   = 0x11 // initialized, may use the provisioning key
	mode64         = 0x04 // says nothing about trust
)

// quotingSigner is the SHA-256 of the key that Intel signs its quoting enclaves with.
var quotingSigner = mustHex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")

func mustHex(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// checkEnclave wants the key of the quote to be one of Intel's quoting enclave for TDX.
func checkEnclave(q *evidence.TDXQuote, platform *ecdsa.PublicKey) error {
	report := q.Enclave
	data := append(q.KeyDigest[:], make([]byte, 32)...)
	switch {
	case !verifySHA256(platform, report, q.EnclaveR, q.EnclaveS):
		return errors.New("the signature of its report is not good")
	case !slices.Equal(report[enclaveReportData:], data):
		return errors.New("its report is about another key")
	case string(report[enclaveSigner:enclaveSigner+32]) != quotingSigner:
		return fmt.Errorf("signed by %x, not by Intel", report[enclaveSigner:enclaveSigner+32])
	case binary.LittleEndian.Uint16(report[enclaveProduct:]) != quotingProduct:
		return fmt.Errorf("product %d of Intel, the one for TDX is %d", binary.LittleEndian.Uint16(report[enclaveProduct:]), quotingProduct)
	}
	if flags := binary.LittleEndian.Uint64(report[enclaveFlags:]); flags&^mode64 != quotingFlags {
		return fmt.Errorf("attributes %#x, want %#x: it may be debugged", flags, quotingFlags)
	}
	return nil
}

// appraiseTrustDomain fills in what a genuine quote says of the trust domain.
func appraiseTrustDomain(a *appraisal, refs []corim.Reference, q *evidence.TDXQuote) {
	if q.Debug() {
		a.find(attest.Configuration, contraindicated, "the attributes of the trust domain (%x) let the host debug it", q.Attributes)
		a.find(attest.RuntimeOpaque, contraindicated, "the host can read the memory of the trust domain, which it may debug")
	} else {
		a.find(attest.RuntimeOpaque, secretsProtected, "the memory of the trust domain is encrypted")
	}
	if !allZero(q.MRSignerSEAM) || !allZero(q.SEAMAttributes) {
		a.find(attest.Hardware, contraindicated, "the TDX module is not signed by Intel, or is one for debugging")
	}
	list := []register{
		{attest.Executables, launchMRTD, []string{"mrtd"}, "sha-384", q.MRTD, false},
		{attest.Configuration, "MRCONFIGID", []string{"mrconfigid"}, "sha-384", q.MRConfigID, true},
		{attest.Configuration, "MROWNER", []string{"mrowner"}, "sha-384", q.MROwner, true},
		{attest.Configuration, "MROWNERCONFIG", []string{"mrownerconfig"}, "sha-384", q.MROwnerConfig, true},
		{attest.Configuration, "attributes of the trust domain", []string{"tdattributes"}, "", q.Attributes, true},
		{attest.Configuration, "XFAM", []string{"xfam"}, "", q.XFAM, true},
		{attest.Hardware, "MRSEAM", []string{"mrseam"}, "sha-384", q.MRSEAM, true},
		{attest.Hardware, tcbTDX, []string{"tee-tcb-svn"}, "", q.TEETCBSVN, true},
	}
	for i, value := range q.RTMR {
		element := attest.Executables
		if i == 0 {
			// What the virtual firmware was configured with; the others are what it loaded.
			element = attest.Configuration
		}
		list = append(list, register{element, fmt.Sprintf("RTMR %d", i), []string{fmt.Sprintf("rtmr%d", i)}, "sha-384", value, false})
	}
	met := appraiseRegisters(a, refs, list)
	known := appraiseLevels(a, refs, []level{
		{"SVN of the TDX module", "tdx-module", uint64(q.TEETCBSVN[0])},
		{"SVN of the PCE", "pce", uint64(q.Platform.PCESVN)},
	})
	appraiseGuest(a, met, launchMRTD, "the attributes of the trust domain allow no debugging")
	appraiseTCB(a, known || slices.Contains(met[attest.Hardware], tcbTDX), "a genuine processor of Intel")
}

// The names of registers that more than their own comparison depends on.
const (
	launchMRTD = "MRTD"
	tcbTDX     = "TEE_TCB_SVN"
	launchSNP  = "launch measurement"
	tcbSNP     = "reported TCB"
)

func allZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(octet byte) bool { return octet != 0 })
}
