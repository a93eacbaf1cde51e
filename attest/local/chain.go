package local

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// errChain: the certificates of the evidence lead to no trusted device CA.
var errChain = errors.New("certificate chain not acceptable")

// Caps on certificates, which anybody can send: bytes of one, and bits of an RSA modulus,
// whose size is what a signature check costs.
const (
	maxCertificate = 8 << 10
	maxRSABits     = 4096
)

// certified validates x5chain to a registered device CA or one of a CoRIM file, at the
// verifier's time. An error that is errChain is the fault of the evidence.
func (v *Verifier) certified(ctx context.Context, base *corim.Base, s signer, now time.Time) (*candidate, error) {
	authorities, err := v.trust.DeviceCAs(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up device CAs: %w", err)
	}
	for _, k := range base.Keys(s.environment) {
		if k.Certificate != nil && k.Certificate.IsCA {
			authorities = append(authorities[:len(authorities):len(authorities)], k.Certificate)
		}
	}
	chain, err := parseChain(s.chain)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if err := validateChain(chain, authorities, now); err != nil {
		return nil, err
	}
	ueid, err := certifiedUEID(leaf)
	if err != nil {
		return nil, err
	}
	return &candidate{
		key: leaf.PublicKey, ueid: ueid,
		source: fmt.Sprintf("the key of certificate %q by %q", leaf.Subject, leaf.Issuer),
	}, nil
}

func parseChain(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) == 0 || len(ders) > evidence.MaxChain {
		return nil, fmt.Errorf("%w: %d certificates, want 1 to %d", errChain, len(ders), evidence.MaxChain)
	}
	chain := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		if len(der) > maxCertificate {
			return nil, fmt.Errorf("%w: certificate %d has %d bytes, at most %d", errChain, i, len(der), maxCertificate)
		}
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", errChain, i, err)
		}
		if key, ok := chain[i].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return nil, fmt.Errorf("%w: certificate %d has an RSA key of %d bits, at most %d", errChain, i, key.N.BitLen(), maxRSABits)
		}
	}
	return chain, nil
}

// validateChain finds a path of RFC 5280 from the first certificate to an authority,
// name constraints included. Extended key usages are the makers' own affair, so any does.
func validateChain(chain, authorities []*x509.Certificate, now time.Time) error {
	leaf := chain[0]
	switch {
	case leaf.IsCA:
		return fmt.Errorf("%w: %q is a CA, which signs certificates and no evidence", errChain, leaf.Subject)
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("%w: the key of %q is not for signatures", errChain, leaf.Subject)
	}
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, c := range authorities {
		options.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return fmt.Errorf("%w: %q: %w", errChain, leaf.Subject, err)
	}
	return nil
}

// certifiedUEID returns the ueid that a certificate names: in a URI urn:ueid: followed by
// hexadecimal digits among its alternative names, or in the serialNumber of its subject
// where that is one in its form. Nil for none.
func certifiedUEID(leaf *x509.Certificate) ([]byte, error) {
	for _, uri := range leaf.URIs {
		digits, ok := strings.CutPrefix(strings.ToLower(uri.String()), "urn:ueid:")
		if !ok {
			continue
		}
		ueid, err := hex.DecodeString(digits)
		if err != nil || !isUEID(ueid) {
			return nil, fmt.Errorf("%w: %q names no ueid", errChain, uri)
		}
		return ueid, nil
	}
	if ueid, err := hex.DecodeString(leaf.Subject.SerialNumber); err == nil && isUEID(ueid) {
		return ueid, nil
	}
	return nil, nil
}

// isUEID knows the three types of RFC 9711 section 4.2.1 with their lengths.
func isUEID(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case 1: // random
		return len(b) == 17 || len(b) == 25 || len(b) == 33
	case 2: // EUI-48, EUI-64
		return len(b) == 7 || len(b) == 9
	case 3: // IMEI
		return len(b) == 15
	}
	return false
}
