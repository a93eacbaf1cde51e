package cosekit

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Form is how a signature is laid out.
type Form struct {
	Untagged  bool
	Detached  bool       // the payload is signed, not carried
	CWTClaims RawMessage // protected CWT Claims header (RFC 9597); nil for none
}

// Sign1 makes a COSE_Sign1 whose unprotected kid is the signer's thumbprint.
func Sign1(s Signer, payload []byte, form Form) ([]byte, error) {
	if payload == nil {
		return nil, errNoPayload
	}
	protected, err := signerHeader(s, form)
	if err != nil {
		return nil, err
	}
	signature, err := s.Sign(rand.Reader, sigStructure("Signature1", payload, protected))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := make([]byte, 0, len(payload)+len(protected)+len(signature)+64)
	if !form.Untagged {
		out = appendHead(out, MajorTag, TagSign1)
	}
	out = appendHeaders(appendHead(out, MajorArray, 4), keyIDOf(s), protected)
	return appendBytes(appendPayload(out, payload, form), signature), nil
}

// Sign makes a COSE_Sign with one signature per signer, alg and kid in each
// COSE_Signature.
func Sign(signers []Signer, payload []byte, form Form) ([]byte, error) {
	switch {
	case len(signers) == 0:
		return nil, errors.New("sign: no signer")
	case payload == nil:
		return nil, errNoPayload
	}
	out := make([]byte, 0, len(payload)+len(signers)*(len(form.CWTClaims)+128)+16)
	if !form.Untagged {
		out = appendHead(out, MajorTag, TagSign)
	}
	out = appendBytes(appendHead(out, MajorArray, 4), nil)
	out = appendPayload(appendHead(out, MajorMap, 0), payload, form)
	out = appendHead(out, MajorArray, uint64(len(signers)))
	for _, s := range signers {
		protected, err := signerHeader(s, form)
		if err != nil {
			return nil, err
		}
		signature, err := s.Sign(rand.Reader, sigStructure("Signature", payload, nil, protected))
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		out = appendBytes(appendHeaders(appendHead(out, MajorArray, 3), keyIDOf(s), protected), signature)
	}
	return out, nil
}

var errNoPayload = errors.New("sign: no payload")

// signerHeader is the protected header of a signature.
func signerHeader(s Signer, form Form) ([]byte, error) {
	alg := s.Algorithm()
	if alg >= 0 {
		return nil, fmt.Errorf("%w: %s does not sign", ErrAlgorithm, AlgorithmName(alg))
	}
	return protectedHeader(alg, form)
}

// protectedHeader is {alg, ? CWT Claims}.
func protectedHeader(alg Algorithm, form Form) ([]byte, error) {
	members := uint64(1)
	if form.CWTClaims != nil {
		members = 2
		if err := Validate(form.CWTClaims); err != nil {
			return nil, fmt.Errorf("sign: CWT Claims header: %w", err)
		}
	}
	b := appendHead(make([]byte, 0, len(form.CWTClaims)+8), MajorMap, members)
	b = appendHead(b, MajorUint, uint64(headerAlg))
	b = appendInt(b, int64(alg))
	if form.CWTClaims != nil {
		b = append(appendHead(b, MajorUint, uint64(headerCWTClaims)), form.CWTClaims...)
	}
	return b, nil
}

func keyIDOf(s Signer) []byte {
	kid := s.PublicKey().Thumbprint()
	return kid[:]
}

// appendHeaders appends the protected header and {kid}.
func appendHeaders(b, kid, protected []byte) []byte {
	b = appendHead(appendBytes(b, protected), MajorMap, 1)
	return appendBytes(appendHead(b, MajorUint, uint64(headerKeyID)), kid)
}

func appendPayload(b, payload []byte, form Form) []byte {
	if form.Detached {
		return append(b, null)
	}
	return appendBytes(b, payload)
}

// sigStructure encodes the Sig_structure of RFC 9052 section 4.4 around one
// protected header or two, or the MAC_structure of section 6.3 around one, with an
// empty external_aad.
func sigStructure(context string, payload []byte, protected ...[]byte) []byte {
	size := len(context) + len(payload) + 32
	for _, header := range protected {
		size += len(header) + 5
	}
	b := appendHead(make([]byte, 0, size), MajorArray, uint64(3+len(protected)))
	b = append(appendHead(b, MajorText, uint64(len(context))), context...)
	for _, header := range protected {
		b = appendBytes(b, header)
	}
	return appendBytes(appendBytes(b, nil), payload)
}

// null is the encoding of null.
const null = 0xf6

// appendHead appends the shortest head of an item (RFC 8949 section 3).
func appendHead(b []byte, major MajorType, n uint64) []byte {
	first := byte(major) << 5
	switch {
	case n < 24:
		return append(b, first|byte(n))
	case n < 1<<8:
		return append(b, first|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, first|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, first|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, first|27), n)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, MajorNegative, uint64(-1-n))
	}
	return appendHead(b, MajorUint, uint64(n))
}

func appendBytes(b, content []byte) []byte {
	return append(appendHead(b, MajorBytes, uint64(len(content))), content...)
}
