package cosekit

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// hssEncoded is an HSS public key as RFC 8554 section 6.1 encodes it.
type hssEncoded []byte

// newHSS takes the encoded public key.
func newHSS(encoded []byte) (*PublicKey, error) {
	key, err := parseHSSKey(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newPublicKey(HSSLMS, hssEncoded(bytes.Clone(encoded)), key, map[int]any{labelKty: ktyHSS, labelPub: encoded}), nil
}

// oidHSS is id-alg-hss-lms-hashsig. Its keys have no parameters, and stand in the bit
// string with nothing around them (RFC 9802 section 3).
var oidHSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 3, 17}

type subjectPublicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

func marshalHSS(key any) ([]byte, error) {
	encoded, ok := key.(hssEncoded)
	if !ok {
		return nil, fmt.Errorf("%w: %T is not an HSS-LMS key", ErrKey, key)
	}
	return asn1.Marshal(subjectPublicKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidHSS},
		Key:       asn1.BitString{Bytes: encoded, BitLength: 8 * len(encoded)},
	})
}

// hssOfPKIX returns the key of a SubjectPublicKeyInfo that is for HSS-LMS.
func hssOfPKIX(der []byte) ([]byte, bool) {
	var info subjectPublicKeyInfo
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidHSS) ||
		len(info.Algorithm.Parameters.FullBytes) > 0 || info.Key.BitLength != 8*len(info.Key.Bytes) {
		return nil, false
	}
	return info.Key.Bytes, true
}
