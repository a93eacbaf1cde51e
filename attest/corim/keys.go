package corim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/veraison/go-cose"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// readKey reads a $crypto-key-type-choice that carries a key: PKIX key or certificate in
// base64 or PEM, certificate in DER, COSE_Key. A thumbprint only names one.
func readKey(item []byte) (AttestKey, error) {
	number, content, ok := tagged(item)
	if !ok {
		return AttestKey{}, fmt.Errorf("%w: a key without a tag that says its form", ErrMalformed)
	}
	switch number {
	case tagPKIXKey:
		der, err := pkixText(content, "PUBLIC KEY")
		if err != nil {
			return AttestKey{}, err
		}
		return pkixKey(der)
	case tagPKIXCert, tagPKIXCertPath:
		// The first of a path has the key; the signature of the file vouches for it.
		der, err := pkixText(content, "CERTIFICATE")
		if err != nil {
			return AttestKey{}, err
		}
		return certificateKey(der)
	case tagDERCert:
		der, err := cosekit.Bytes(content)
		if err != nil {
			return AttestKey{}, err
		}
		return certificateKey(der)
	case tagCOSEKey:
		return coseKey(content)
	}
	return AttestKey{}, fmt.Errorf("%w: key under tag %d, which is none", errUnread, number)
}

func pkixKey(der []byte) (AttestKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return AttestKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return AttestKey{Public: public}, usable(public)
}

func certificateKey(der []byte) (AttestKey, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return AttestKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return AttestKey{Public: certificate.PublicKey, Certificate: certificate}, usable(certificate.PublicKey)
}

// parseKey reads a file with a key: PEM (PUBLIC KEY or CERTIFICATE, the first block) or a
// COSE_Key.
func parseKey(data []byte) (AttestKey, error) {
	block, _ := pem.Decode(data)
	switch {
	case block == nil:
		if err := cosekit.Validate(data); err != nil {
			return AttestKey{}, fmt.Errorf("%w: neither PEM nor a COSE_Key", ErrKey)
		}
		return coseKey(data)
	case block.Type == "CERTIFICATE":
		return certificateKey(block.Bytes)
	case block.Type == "PUBLIC KEY":
		return pkixKey(block.Bytes)
	}
	return AttestKey{}, fmt.Errorf("%w: PEM block %q, want PUBLIC KEY or CERTIFICATE", ErrKey, block.Type)
}

// ReadPublicKey reads the key of a reference-value provider from a file: PEM (PUBLIC KEY
// or CERTIFICATE) or a COSE_Key.
func ReadPublicKey(data []byte) (crypto.PublicKey, error) {
	key, err := parseKey(data)
	return key.Public, err
}

// pkixText reads the DER in a text: base64 as it is, or with the lines of PEM around it.
func pkixText(item []byte, kind string) ([]byte, error) {
	text, err := cosekit.Text(item)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		if block.Type != kind {
			return nil, fmt.Errorf("%w: PEM block %q, want %q", ErrKey, block.Type, kind)
		}
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: neither PEM nor base64", ErrKey)
	}
	return der, nil
}

// coseKey reads a COSE_Key of any curve that evidence is signed on; [cosekit.ParsePublicKey]
// knows those of TEEP only. A private key has no place in a file that is handed around.
func coseKey(item []byte) (AttestKey, error) {
	if cosekit.Major(item) == cosekit.MajorArray {
		set, err := cosekit.Elements(item)
		if err != nil {
			return AttestKey{}, err
		}
		if len(set) != 1 {
			return AttestKey{}, fmt.Errorf("%w: COSE_KeySet of %d keys", errUnread, len(set))
		}
		item = set[0]
	}
	f, err := readFields(item)
	if err != nil {
		return AttestKey{}, err
	}
	const private = -4
	if f[private] != nil {
		return AttestKey{}, fmt.Errorf("%w: COSE_Key with its private member", ErrKey)
	}
	var key cose.Key
	if err := key.UnmarshalCBOR(item); err != nil {
		return AttestKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return AttestKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return AttestKey{Public: public}, usable(public)
}

// usable refuses keys of a kind, or of a size, that nothing verifies with.
func usable(public crypto.PublicKey) error {
	const minRSA, maxRSA = 2048, 8192
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		// Also finds a point that is not on the curve, which a COSE_Key may have.
		if _, err := k.ECDH(); err != nil {
			return fmt.Errorf("%w: %w", ErrKey, err)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("%w: RSA of %d bits, want %d to %d", ErrKey, bits, minRSA, maxRSA)
		}
		return nil
	}
	return fmt.Errorf("%w: %T is not supported", ErrKey, public)
}
