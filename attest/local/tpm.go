package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// ClassTPM is the class id of reference values for TPMs 2.0, the object identifier of their
// specification (TCG OID registry, tcg-sv-tpm20): oid:2.23.133.1.2 in a description of reference
// values. A statement about one TPM has the thumbprint of its attestation key as instance,
// in tagged bytes. The keys are the numbers of PCRs, and firmware-version.
var ClassTPM = corim.ID{Kind: corim.KindOID, Value: []byte{0x67, 0x81, 0x05, 0x01, 0x02}}

// keyTPMFirmware is the key of reference values for the firmware version.
const keyTPMFirmware = "firmware-version"

// appraiseTPM appraises a quote of a TPM 2.0 (TPM 2.0 Library part 3, TPM2_Quote): who
// signed it, whether it answers our challenge, and whether the PCRs have their reference
// values. What the attestation key says of itself is not signed by anybody; those who
// register it, endorse it or issue its certificate have to know that it lives in a TPM.
func (v *Verifier) appraiseTPM(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	q, err := evidence.ParseTPMQuote(e.Payload)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	key, err := thumbprint(q.Key)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	about := corim.Environment{ClassID: ClassTPM, Instance: corim.ID{Kind: corim.KindBytes, Value: key[:]}}
	a := newAppraisal("")
	signed, err := v.authenticateTPM(ctx, q, base, about, key, now, a)
	if err != nil {
		return nil, err
	}
	if signed == nil {
		return conclude(e, now, nil, a), nil
	}
	if err := checkChallenge(signed.claims.Nonce, e.Challenge); err != nil {
		a.find(attest.InstanceIdentity, notAcceptable, "extraData: %v", err)
	}
	appraisePCRs(a, base.References(about), q)
	return conclude(e, now, signed, a), nil
}

// authenticateTPM finds out who made the quote. It returns nil where that is nobody whom
// we trust, with a finding.
func (v *Verifier) authenticateTPM(ctx context.Context, q *evidence.TPMQuote, base *corim.Base, about corim.Environment, key cosekit.Thumbprint, now time.Time, a *appraisal) (*genuineEvidence, error) {
	candidates, refused, err := v.candidates(ctx, base, signer{
		format: anchor.FormatTPM, chain: q.Chain, thumbprints: []cosekit.Thumbprint{key}, environment: about,
	}, now)
	if err != nil {
		return nil, err
	}
	who, f := signedBy(candidates, refused, func(trusted crypto.PublicKey) error { return checkQuote(q, trusted) })
	a.find(attest.InstanceIdentity, f.value, "%s", f.reason)
	if who == nil {
		return nil, nil
	}
	if err := checkAttestationKey(q.Public.ObjectAttributes); err != nil {
		a.find(attest.InstanceIdentity, notTrustworthy, "%v", err)
		return nil, nil
	}
	appraiseTPMHardware(a, q, base.Keys(about))
	claims := &attest.Claims{UEID: who.ueid}
	if nonce := q.Quoted.ExtraData.Buffer; len(nonce) > 0 {
		claims.Nonce = nonce
	}
	return &genuineEvidence{claims: claims, document: q.Document(), key: key}, nil
}

// checkQuote checks the signature over the quote, by the trusted key and no other, and
// that the values beside it are those that were quoted.
func checkQuote(q *evidence.TPMQuote, trusted crypto.PublicKey) error {
	if !sameKey(trusted, q.Key) {
		return errors.New("the quote names another attestation key")
	}
	hash, err := checkTPMSignature(q.Signed, trusted, q.Attest)
	if err != nil {
		return err
	}
	h := hash.New()
	for _, pcr := range q.Selection {
		h.Write(q.PCRs[pcr])
	}
	if !bytes.Equal(h.Sum(nil), q.Info.PCRDigest.Buffer) {
		return errors.New("the PCR values are not those that were quoted")
	}
	return nil
}

// sameKey compares keys of the standard library, all of which have the method.
func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

var tpmHashes = map[tpm2.TPMIAlgHash]crypto.Hash{
	tpm2.TPMAlgSHA256: crypto.SHA256, tpm2.TPMAlgSHA384: crypto.SHA384, tpm2.TPMAlgSHA512: crypto.SHA512,
}

var errQuoteSignature = errors.New("the signature of the quote is not good")

// checkTPMSignature checks a TPMT_SIGNATURE, and returns the hash in it.
func checkTPMSignature(s *tpm2.TPMTSignature, key crypto.PublicKey, message []byte) (crypto.Hash, error) {
	var alg tpm2.TPMIAlgHash
	var check func(h crypto.Hash, digest []byte) bool
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		sig, err := s.Signature.ECDSA()
		if err != nil {
			return 0, fmt.Errorf("signature algorithm %#x, the attestation key wants ECDSA", uint16(s.SigAlg))
		}
		alg = sig.Hash
		check = func(_ crypto.Hash, digest []byte) bool {
			r, s := new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer)
			return ecdsa.Verify(key, digest, r, s)
		}
	case *rsa.PublicKey:
		sig, err := s.Signature.RSASSA()
		if s.SigAlg == tpm2.TPMAlgRSAPSS {
			sig, err = s.Signature.RSAPSS()
		}
		if err != nil {
			return 0, fmt.Errorf("signature algorithm %#x, the attestation key wants RSASSA or RSAPSS", uint16(s.SigAlg))
		}
		alg = sig.Hash
		check = func(h crypto.Hash, digest []byte) bool {
			if s.SigAlg == tpm2.TPMAlgRSAPSS {
				return rsa.VerifyPSS(key, h, digest, sig.Sig.Buffer, nil) == nil
			}
			return rsa.VerifyPKCS1v15(key, h, digest, sig.Sig.Buffer) == nil
		}
	}
	hash, ok := tpmHashes[alg]
	if !ok {
		return 0, fmt.Errorf("hash algorithm %#x, want SHA-256, SHA-384 or SHA-512", uint16(alg))
	}
	h := hash.New()
	h.Write(message)
	if check == nil || !check(hash, h.Sum(nil)) {
		return 0, errQuoteSignature
	}
	return hash, nil
}

// checkAttestationKey wants the attributes of a key that signs nothing but what its TPM
// has made, and never leaves it (TPM 2.0 Library part 1, section 25.1). It catches keys
// that were registered by mistake.
func checkAttestationKey(is tpm2.TPMAObject) error {
	var wrong []string
	for _, attribute := range []struct {
		name     string
		is, want bool
	}{
		{"restricted", is.Restricted, true},
		{"sign", is.SignEncrypt, true},
		{"decrypt", is.Decrypt, false},
		{"fixedTPM", is.FixedTPM, true},
		{"fixedParent", is.FixedParent, true},
		{"sensitiveDataOrigin", is.SensitiveDataOrigin, true},
	} {
		if attribute.is != attribute.want {
			wrong = append(wrong, fmt.Sprintf("%s %t", attribute.name, attribute.is))
		}
	}
	if wrong != nil {
		return fmt.Errorf("the attestation key is not restricted to what its TPM makes: %s", strings.Join(wrong, ", "))
	}
	return nil
}

// oidAttestationKey is tcg-kp-AIKCertificate, the extended key usage of a certificate
// whose issuer has seen that the key lives in a TPM (TCG Credential Profiles).
var oidAttestationKey = asn1.ObjectIdentifier{2, 23, 133, 8, 3}

// appraiseTPMHardware says whether anybody vouches for the TPM. Evidence itself cannot.
func appraiseTPMHardware(a *appraisal, q *evidence.TPMQuote, endorsed []corim.AttestKey) {
	for _, k := range endorsed {
		if sameKey(k.Public, q.Key) {
			a.find(attest.Hardware, genuine, "%s endorses the attestation key as one of a TPM", k.Source)
			return
		}
	}
	if len(q.Chain) > 0 {
		leaf, err := x509.ParseCertificate(q.Chain[0])
		if err == nil && slices.ContainsFunc(leaf.UnknownExtKeyUsage, oidAttestationKey.Equal) {
			a.find(attest.Hardware, genuine, "%q certifies the attestation key as one of a TPM", leaf.Issuer)
			return
		}
	}
	a.find(attest.Hardware, 0, "not appraised: nobody vouches that the attestation key lives in a TPM")
}

// appraisePCRs compares the PCRs with their reference values. A PCR that has some and was
// not quoted takes the affirmation away, or leaving it out would hide what it holds.
func appraisePCRs(a *appraisal, refs []corim.Reference, q *evidence.TPMQuote) {
	list := make([]register, len(q.Selection))
	for i, pcr := range q.Selection {
		number := strconv.Itoa(pcr)
		list[i] = register{
			element: pcrElement(pcr), name: "PCR " + number, keys: []string{number, "pcr/" + number},
			algorithm: evidence.HashName(q.Bank), value: q.PCRs[pcr],
		}
	}
	for element, names := range appraiseRegisters(a, refs, list) {
		value := approvedAtBoot
		if element == attest.Configuration {
			value = approved
		}
		a.find(element, value, "%s: as the reference values say", strings.Join(names, ", "))
	}
	for _, ref := range refs {
		pcr, err := strconv.Atoi(strings.TrimPrefix(ref.Key, "pcr/"))
		if err == nil && !ref.Endorsed && !slices.Contains(q.Selection, pcr) {
			element := pcrElement(pcr)
			a.find(element, unseen(element), "PCR %d has a reference value (%s) and was not quoted", pcr, ref.Source)
		}
	}
	appraiseLevels(a, refs, []level{{"firmware version", keyTPMFirmware, q.Quoted.FirmwareVersion}})
}

// pcrElement tells what a PCR measures (TCG PC Client Platform Firmware Profile, section
// 3.3.4): configuration of the platform, of its drivers, of the boot manager and of Secure
// Boot in 1, 3, 5 and 7, code in the others.
func pcrElement(pcr int) string {
	switch pcr {
	case 1, 3, 5, 7:
		return attest.Configuration
	}
	return attest.Executables
}
