package cosekit

import (
	"fmt"

	"github.com/veraison/go-cose"
)

// Header parameters that Tamarack reads (IANA COSE Header Parameters).
const (
	headerAlg       = int64(1)
	headerKeyID     = int64(4)
	headerCWTClaims = int64(15) // RFC 9597
)

// understood are the parameters that a message may mark as critical.
var understood = map[any]bool{headerAlg: true, headerKeyID: true, headerCWTClaims: true}

var emptyMap = []byte{0xa0}

// stringContent is content for what checkFrame has found to be a byte string.
func stringContent(item RawMessage) []byte {
	b, err := content(item, MajorBytes)
	if err != nil {
		return nil
	}
	return b[:len(b):len(b)]
}

// plainHeaders reads the headers that nearly all signatures have: an alg, protected,
// and a kid in either. All others are for go-cose, which knows every parameter and
// builds a map of them: CWT Claims too, for it refuses some values deep inside.
func plainHeaders(protected, unprotected RawMessage) (sig Signature, ok bool) {
	inner, err := Pairs(stringContent(protected))
	if err != nil {
		return sig, false
	}
	outer, err := Pairs(unprotected)
	if err != nil || len(inner)+len(outer) > 2 {
		return sig, false
	}
	signed := false
	for _, p := range inner {
		label, err := Int(p.Key)
		switch {
		case err != nil:
		case label == headerAlg:
			var alg int64
			alg, err = Int(p.Value)
			sig.Algorithm, signed = Algorithm(alg), true
		case label == headerKeyID:
			sig.KeyID, err = Bytes(p.Value)
		default:
			return sig, false
		}
		if err != nil {
			return sig, false
		}
	}
	for _, p := range outer {
		label, err := Int(p.Key)
		if err != nil || label != headerKeyID || sig.KeyID != nil {
			return sig, false
		}
		if sig.KeyID, err = Bytes(p.Value); err != nil {
			return sig, false
		}
	}
	return sig, signed
}

// checkHeaders refuses a label that stands in both headers (RFC 9052 section 3)
// and a critical parameter that is not understood (section 3.1).
func checkHeaders(h cose.Headers) error {
	for label := range h.Protected {
		if _, both := h.Unprotected[label]; both {
			return fmt.Errorf("%w: header parameter %v in both headers", ErrMalformed, label)
		}
	}
	crit, err := h.Protected.Critical()
	if err != nil {
		return fmt.Errorf("%w: crit: %w", ErrMalformed, err)
	}
	for _, label := range crit {
		if !understood[label] {
			return fmt.Errorf("%w: %v", ErrCritical, label)
		}
	}
	return nil
}

// describe reads the headers of one signature. The algorithm counts in the
// protected header only, where the signature covers it.
func describe(h cose.Headers) (Signature, error) {
	if err := checkHeaders(h); err != nil {
		return Signature{}, err
	}
	alg, err := h.Protected.Algorithm()
	if err != nil {
		return Signature{}, fmt.Errorf("%w: no alg in the protected header", ErrAlgorithm)
	}
	sig := Signature{Algorithm: alg}
	kid, ok := h.Protected[headerKeyID]
	if !ok {
		kid = h.Unprotected[headerKeyID]
	}
	sig.KeyID, _ = kid.([]byte) // go-cose has refused other types
	if _, ok := h.Protected[headerCWTClaims]; ok {
		if sig.CWTClaims, err = protectedValue(h.RawProtected, headerCWTClaims); err != nil {
			return Signature{}, err
		}
	}
	return sig, nil
}

// protectedValue returns a parameter as it came.
func protectedValue(protected RawMessage, label int64) (RawMessage, error) {
	header, err := content(protected, MajorBytes)
	if err != nil {
		return nil, err
	}
	return member(header, label)
}
