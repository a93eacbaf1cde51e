package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// errChain: the certificates of the evidence lead to no trusted device CA.
var errChain = errors.New("certificate chain not acceptable")

// Caps on certificates, which anybody can send: bytes of one, and bits of an RSA modulus,
// whose size is what a signature check costs. Keys on P-521 are not taken at all: a check
// with one costs as much as fifty with others, and no maker is known to use them.
const (
	maxCertificate = 8 << 10
	maxRSABits     = 4096
)

// certified validates x5chain to a registered device CA or one of a CoRIM file, at the
// verifier's time. An error that is errChain is the fault of the evidence.
func (v *Verifier) certified(ctx context.Context, base *corim.Base, s signer, now time.Time) (*candidate, error) {
	authorities, err := v.trust.DeviceCAs(ctx, s.format)
	if err != nil {
		return nil, fmt.Errorf("look up device CAs: %w", err)
	}
	var ofClass []*x509.Certificate
	for _, k := range base.Keys(s.environment) {
		if k.Certificate != nil && k.Certificate.IsCA {
			authorities = append(authorities[:len(authorities):len(authorities)], k.Certificate)
			if !k.Environment.ClassID.IsZero() {
				ofClass = append(ofClass, k.Certificate)
			}
		}
	}
	if len(authorities) == 0 {
		return nil, fmt.Errorf("%w: signed by an unknown authority, for no device CA is registered or endorsed; see tamctl device-ca add", errChain)
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
		class:  ofClass != nil && validateChain(chain, ofClass, now) == nil,
		source: fmt.Sprintf("the key of certificate %.64q by %.64q", leaf.Subject, leaf.Issuer),
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
			return nil, fmt.Errorf("%w: certificate %d: %w", errChain, i, attest.Excerpt(err))
		}
		if err := checkCost(chain[i].PublicKey); err != nil {
			return nil, fmt.Errorf("%w: certificate %d has %w", errChain, i, err)
		}
	}
	return chain, nil
}

// checkCost refuses keys with which a signature check would cost too much.
func checkCost(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() > maxRSABits {
			return fmt.Errorf("an RSA key of %d bits, at most %d", key.N.BitLen(), maxRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P521() {
			return errors.New("a key on P-521; at most P-384 is taken")
		}
	}
	return nil
}

// validateChain validates the one path of RFC 5280 that a chain is, from its first
// certificate to an authority, name constraints included. Nothing is searched, for
// certificates of one name could each have issued each other: every certificate is to be
// issued by the one behind it, and no two of them have one name, so each link costs one
// signature check, and none where the last was not issued by an authority. Extended key
// usages are the makers' own affair, so any does.
func validateChain(chain, authorities []*x509.Certificate, now time.Time) error {
	leaf := chain[0]
	switch {
	case leaf.IsCA:
		return fmt.Errorf("%w: %.64q is a CA, which signs certificates and no evidence", errChain, leaf.Subject)
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("%w: the key of %.64q is not for signatures", errChain, leaf.Subject)
	}
	chain = untilAuthority(chain, authorities)
	if err := checkOrder(chain); err != nil {
		return err
	}
	last := chain[len(chain)-1]
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	issuers := 0
	for _, c := range authorities {
		if bytes.Equal(c.RawSubject, last.RawIssuer) {
			options.Roots.AddCert(c)
			issuers++
		}
	}
	if issuers == 0 {
		return fmt.Errorf("%w: %.64q: %w", errChain, last.Subject, attest.Excerpt(x509.UnknownAuthorityError{Cert: last}))
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return fmt.Errorf("%w: %.64q: %w", errChain, leaf.Subject, attest.Excerpt(err))
	}
	return nil
}

// untilAuthority leaves out of a chain the first authority in it and what stands behind.
func untilAuthority(chain, authorities []*x509.Certificate) []*x509.Certificate {
	for i := 1; i < len(chain); i++ {
		if slices.ContainsFunc(authorities, chain[i].Equal) {
			return chain[:i]
		}
	}
	return chain
}

func checkOrder(chain []*x509.Certificate) error {
	for i, c := range chain {
		if i > 0 && !bytes.Equal(chain[i-1].RawIssuer, c.RawSubject) {
			return fmt.Errorf("%w: certificate %d was not issued by certificate %d; send each before its issuer", errChain, i-1, i)
		}
		if slices.ContainsFunc(chain[:i], func(other *x509.Certificate) bool { return bytes.Equal(other.RawSubject, c.RawSubject) }) {
			return fmt.Errorf("%w: two certificates of %.64q", errChain, c.Subject)
		}
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
			return nil, fmt.Errorf("%w: %.64q names no ueid", errChain, uri)
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
