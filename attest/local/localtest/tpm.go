package localtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// TPM is a TPM 2.0 of software, good for nothing but quotes. Its fields may be spoilt.
type TPM struct {
	Key        crypto.Signer // on P-256 or P-384, or RSA
	Attributes tpm2.TPMAObject
	Bank       crypto.Hash
	PCRs       map[int][]byte
	Chain      [][]byte
	Curve      tpm2.TPMECCCurve       // what the key says of itself; zero for the truth
	PSS        bool                   // RSASSA-PSS instead of PKCS #1
	Spoil      func(*tpm2.TPMSAttest) // before it is signed
}

// RestrictedSigning are the attributes of an attestation key.
var RestrictedSigning = tpm2.TPMAObject{
	FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
	UserWithAuth: true, Restricted: true, SignEncrypt: true,
}

// NewTPM makes a TPM with an attestation key. PCRs 0, 4 and 7 of its SHA-256 bank hold
// values.
func NewTPM(key crypto.Signer) *TPM {
	t := &TPM{Key: key, Attributes: RestrictedSigning, Bank: crypto.SHA256, PCRs: map[int][]byte{}}
	for _, pcr := range []int{0, 4, 7} {
		t.PCRs[pcr] = sumOf(t.Bank, []byte(fmt.Sprintf("PCR %d", pcr)))
	}
	return t
}

var algorithms = map[crypto.Hash]tpm2.TPMIAlgHash{
	crypto.SHA1: tpm2.TPMAlgSHA1, crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384,
}

// Quote quotes all PCRs that have a value.
func (t *TPM) Quote(nonce []byte) (evidence.TPMEvidence, error) {
	selected := make([]byte, 3)
	var values []byte
	for _, pcr := range slices.Sorted(maps.Keys(t.PCRs)) {
		selected[pcr/8] |= 1 << (pcr % 8)
		values = append(values, t.PCRs[pcr]...)
	}
	quoted := tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestQuote,
		QualifiedSigner: tpm2.TPM2BName{Buffer: append([]byte{0, 0x0b}, sumOf(crypto.SHA256, []byte("AK"))...)},
		ExtraData:       tpm2.TPM2BData{Buffer: nonce},
		ClockInfo:       tpm2.TPMSClockInfo{Clock: 1000, ResetCount: 3, Safe: true},
		FirmwareVersion: 0x20240101,
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestQuote, &tpm2.TPMSQuoteInfo{
			PCRSelect: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
				{Hash: algorithms[t.Bank], PCRSelect: selected},
			}},
			PCRDigest: tpm2.TPM2BDigest{Buffer: sumOf(t.hash(), values)},
		}),
	}
	if t.Spoil != nil {
		t.Spoil(&quoted)
	}
	attested := tpm2.Marshal(quoted)
	signature, err := t.sign(attested)
	if err != nil {
		return evidence.TPMEvidence{}, err
	}
	public, err := t.public()
	if err != nil {
		return evidence.TPMEvidence{}, err
	}
	return evidence.TPMEvidence{
		Attest: attested, Signature: tpm2.Marshal(signature), AK: tpm2.Marshal(public),
		PCRs: maps.Clone(t.PCRs), Chain: t.Chain,
	}, nil
}

// hash is that of the key's signature scheme.
func (t *TPM) hash() crypto.Hash {
	if key, ok := t.Key.Public().(*ecdsa.PublicKey); ok && key.Curve.Params().BitSize == 384 {
		return crypto.SHA384
	}
	return crypto.SHA256
}

func (t *TPM) sign(message []byte) (*tpm2.TPMTSignature, error) {
	h := t.hash()
	sum := sumOf(h, message)
	if _, ok := t.Key.Public().(*rsa.PublicKey); ok {
		alg, options := tpm2.TPMAlgRSASSA, crypto.SignerOpts(h)
		if t.PSS {
			alg, options = tpm2.TPMAlgRSAPSS, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
		}
		sig, err := t.Key.Sign(rand.Reader, sum, options)
		return &tpm2.TPMTSignature{SigAlg: alg, Signature: tpm2.NewTPMUSignature(alg, &tpm2.TPMSSignatureRSA{
			Hash: algorithms[h], Sig: tpm2.TPM2BPublicKeyRSA{Buffer: sig},
		})}, err
	}
	der, err := t.Key.Sign(rand.Reader, sum, h)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	return &tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA, &tpm2.TPMSSignatureECC{
		Hash:       algorithms[h],
		SignatureR: tpm2.TPM2BECCParameter{Buffer: sig.R.Bytes()},
		SignatureS: tpm2.TPM2BECCParameter{Buffer: sig.S.Bytes()},
	})}, nil
}

func (t *TPM) public() (*tpm2.TPMTPublic, error) {
	public := &tpm2.TPMTPublic{NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: t.Attributes}
	switch key := t.Key.Public().(type) {
	case *rsa.PublicKey:
		public.Type = tpm2.TPMAlgRSA
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme:    tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull},
			KeyBits:   tpm2.TPMKeyBits(key.N.BitLen()),
		})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	case *ecdsa.PublicKey:
		curve := tpm2.TPMECCNistP256
		if key.Curve.Params().BitSize == 384 {
			curve = tpm2.TPMECCNistP384
		}
		if t.Curve != 0 {
			curve = t.Curve
		}
		point, err := key.Bytes()
		if err != nil {
			return nil, err
		}
		half := len(point) / 2
		public.Type = tpm2.TPMAlgECC
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
			Scheme:    tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull},
			CurveID:   curve,
			KDF:       tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
		})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1 : 1+half]},
			Y: tpm2.TPM2BECCParameter{Buffer: point[1+half:]},
		})
	default:
		return nil, fmt.Errorf("no attestation key: %T", key)
	}
	return public, nil
}

func sumOf(h crypto.Hash, data []byte) []byte {
	sum := h.New()
	sum.Write(data)
	return sum.Sum(nil)
}
