package cosekit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"
)

// COSE tags (RFC 9052 section 2).
const (
	TagSign1 = 18
	TagSign  = 98
)

// Header parameters that Tamarack reads (IANA COSE Header Parameters).
const (
	HeaderAlg         = int64(1)
	HeaderCrit        = int64(2)
	HeaderContentType = int64(3)
	HeaderKeyID       = int64(4)
	HeaderCWTClaims   = int64(15) // RFC 9597
	HeaderType        = int64(16) // RFC 9596
)

// understood are the parameters that a message may mark as critical.
var understood = map[any]bool{
	HeaderAlg: true, HeaderContentType: true, HeaderKeyID: true, HeaderCWTClaims: true, HeaderType: true,
}

// Signature describes one signature of a parsed message. Nothing in it is verified.
type Signature struct {
	Algorithm Algorithm
	KeyID     []byte // nil where the message names no key
	CWTClaims RawMessage

	verify func(detached []byte, v cose.Verifier) error
}

// Signed is a parsed COSE_Sign1 or COSE_Sign. Its content is untrusted until
// Verify has returned nil.
type Signed struct {
	Tagged     bool
	Multi      bool   // COSE_Sign
	Payload    []byte // nil where it is detached
	Signatures []Signature
}

// Parse reads a COSE_Sign1 (tag 18 or none) or a COSE_Sign (tag 98 or none).
// Untagged structures are told apart by the type of their fourth element.
func Parse(data []byte) (*Signed, error) {
	if err := Validate(data); err != nil {
		return nil, err
	}
	tag, content, err := untag(data)
	if err != nil {
		return nil, err
	}
	multi, err := isSign(content)
	if err != nil {
		return nil, err
	}
	if tag != 0 && multi != (tag == TagSign) {
		return nil, fmt.Errorf("%w: COSE structure does not fit its tag %d", ErrMalformed, tag)
	}
	var s *Signed
	if multi {
		s, err = parseSign(content)
	} else {
		s, err = parseSign1(content)
	}
	if err != nil {
		return nil, err
	}
	s.Tagged = tag != 0
	return s, nil
}

func untag(data []byte) (tag uint64, content []byte, err error) {
	h, err := readHead(data)
	if err != nil {
		return 0, nil, err
	}
	if h.major != MajorTag {
		return 0, data, nil
	}
	if h.arg != TagSign1 && h.arg != TagSign {
		return 0, nil, fmt.Errorf("%w: tag %d, want COSE_Sign1 (18) or COSE_Sign (98)", ErrMalformed, h.arg)
	}
	return h.arg, data[h.size:], nil
}

// isSign reports whether the four-element array ends in an array (COSE_Sign) or
// a byte string (COSE_Sign1).
func isSign(content []byte) (bool, error) {
	var parts []RawMessage
	if err := UnmarshalValid(content, &parts); err != nil {
		return false, fmt.Errorf("%w: not a COSE_Sign1 or COSE_Sign", ErrMalformed)
	}
	if len(parts) != 4 {
		return false, fmt.Errorf("%w: COSE array of %d elements, want 4", ErrMalformed, len(parts))
	}
	switch parts[3][0] >> 5 {
	case 2:
		return false, nil
	case 4:
		return true, nil
	}
	return false, fmt.Errorf("%w: neither signature nor signatures in the COSE array", ErrMalformed)
}

func parseSign1(content []byte) (*Signed, error) {
	var m cose.UntaggedSign1Message
	if err := m.UnmarshalCBOR(content); err != nil {
		return nil, fmt.Errorf("%w: COSE_Sign1: %w", ErrMalformed, err)
	}
	if err := checkBuckets(m.Headers); err != nil {
		return nil, err
	}
	sig, err := describe(m.Headers)
	if err != nil {
		return nil, err
	}
	sig.verify = func(detached []byte, v cose.Verifier) error {
		signed := m
		if detached != nil {
			signed.Payload = detached
		}
		return signed.Verify(nil, v)
	}
	return &Signed{Payload: m.Payload, Signatures: []Signature{sig}}, nil
}

func parseSign(content []byte) (*Signed, error) {
	var m cose.SignMessage
	// go-cose reads the tagged form only.
	if err := m.UnmarshalCBOR(append([]byte{0xd8, TagSign}, content...)); err != nil {
		return nil, fmt.Errorf("%w: COSE_Sign: %w", ErrMalformed, err)
	}
	if err := checkBuckets(m.Headers); err != nil {
		return nil, err
	}
	if err := checkCritical(m.Headers.Protected); err != nil {
		return nil, err
	}
	s := &Signed{Multi: true, Payload: m.Payload}
	for _, one := range m.Signatures {
		if err := checkBuckets(one.Headers); err != nil {
			return nil, err
		}
		sig, err := describe(one.Headers)
		if err != nil {
			return nil, err
		}
		sig.verify = func(detached []byte, v cose.Verifier) error {
			payload := m.Payload
			if detached != nil {
				payload = detached
			}
			return one.Verify(v, m.Headers.RawProtected, payload, nil)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	return s, nil
}

// checkBuckets refuses a label that stands in both headers (RFC 9052 section 3).
func checkBuckets(h cose.Headers) error {
	for label := range h.Protected {
		if _, both := h.Unprotected[label]; both {
			return fmt.Errorf("%w: header parameter %v in both headers", ErrMalformed, label)
		}
	}
	return nil
}

func checkCritical(protected cose.ProtectedHeader) error {
	crit, err := protected.Critical()
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

func describe(h cose.Headers) (Signature, error) {
	if err := checkCritical(h.Protected); err != nil {
		return Signature{}, err
	}
	alg, err := h.Protected.Algorithm()
	if err != nil {
		return Signature{}, fmt.Errorf("%w: no alg in the protected header", ErrAlgorithm)
	}
	sig := Signature{Algorithm: alg}
	kid, ok := h.Protected[HeaderKeyID]
	if !ok {
		kid, ok = h.Unprotected[HeaderKeyID]
	}
	if ok {
		if sig.KeyID, ok = kid.([]byte); !ok {
			return Signature{}, fmt.Errorf("%w: kid is not a byte string", ErrMalformed)
		}
	}
	if claims, ok := h.Protected[HeaderCWTClaims]; ok {
		if sig.CWTClaims, err = Marshal(claims); err != nil {
			return Signature{}, fmt.Errorf("%w: CWT Claims header", ErrMalformed)
		}
	}
	return sig, nil
}

// Verify checks that at least one signature is by key. For a detached payload use
// [Signed.VerifyDetached].
func (s *Signed) Verify(key *PublicKey, legacy LegacyPolicy) error {
	if s.Payload == nil {
		return fmt.Errorf("%w: the payload is detached", ErrMalformed)
	}
	_, err := s.verify(nil, key, legacy)
	return err
}

// VerifyDetached checks that at least one signature is by key over content, which
// the message itself must not carry.
func (s *Signed) VerifyDetached(content []byte, key *PublicKey, legacy LegacyPolicy) error {
	if s.Payload != nil {
		return fmt.Errorf("%w: the payload is attached, want a detached one", ErrMalformed)
	}
	if content == nil {
		content = []byte{}
	}
	_, err := s.verify(content, key, legacy)
	return err
}

// verify returns the signature that is by key. One that names another key or
// does not fit this one is passed over, the last fault is the one told.
func (s *Signed) verify(detached []byte, key *PublicKey, legacy LegacyPolicy) (*Signature, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no key to verify with", ErrKey)
	}
	fault := fmt.Errorf("%w: the message has no signature for this key", ErrSignature)
	for i := range s.Signatures {
		sig := &s.Signatures[i]
		if len(sig.KeyID) == len(Thumbprint{}) && !bytes.Equal(sig.KeyID, key.thumbprint[:]) {
			continue
		}
		v, err := key.verifier(sig.Algorithm, legacy)
		if err != nil {
			fault = err
			continue
		}
		if err = sig.verify(detached, v); err == nil {
			return sig, nil
		}
		fault = fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil, fault
}

// Thumbprint returns the key that a COSE_Sign1 names, if its kid is a thumbprint.
func (s *Signed) Thumbprint() (Thumbprint, bool) {
	if len(s.Signatures) != 1 || len(s.Signatures[0].KeyID) != len(Thumbprint{}) {
		return Thumbprint{}, false
	}
	return Thumbprint(s.Signatures[0].KeyID), true
}

// Form is how a signature is laid out.
type Form struct {
	Untagged  bool
	Detached  bool       // the payload is signed, not carried
	CWTClaims RawMessage // protected CWT Claims header (RFC 9597); nil for none
}

// Sign1 makes a COSE_Sign1 whose unprotected kid is the signer's thumbprint.
func Sign1(s Signer, payload []byte, form Form) ([]byte, error) {
	m := cose.UntaggedSign1Message{Headers: headers(s, form), Payload: payload}
	if err := m.Sign(rand.Reader, nil, s); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if form.Detached {
		m.Payload = nil
	}
	out, err := m.MarshalCBOR()
	if err == nil && !form.Untagged {
		out = append([]byte{0xc0 | TagSign1}, out...)
	}
	return out, err
}

// Sign makes a COSE_Sign with one signature per signer, alg and kid in each
// COSE_Signature.
func Sign(signers []Signer, payload []byte, form Form) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errors.New("sign: no signer")
	}
	m := cose.NewSignMessage()
	m.Payload = payload
	plain := make([]cose.Signer, len(signers))
	for i, s := range signers {
		plain[i] = s
		m.Signatures = append(m.Signatures, &cose.Signature{Headers: headers(s, form)})
	}
	if err := m.Sign(rand.Reader, nil, plain...); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if form.Detached {
		m.Payload = nil
	}
	out, err := m.MarshalCBOR()
	if err == nil && form.Untagged {
		out = out[2:]
	}
	return out, err
}

func headers(s Signer, form Form) cose.Headers {
	kid := s.PublicKey().Thumbprint()
	h := cose.Headers{
		Protected:   cose.ProtectedHeader{HeaderAlg: s.Algorithm()},
		Unprotected: cose.UnprotectedHeader{HeaderKeyID: kid[:]},
	}
	if form.CWTClaims != nil {
		h.Protected[HeaderCWTClaims] = form.CWTClaims
	}
	return h
}
