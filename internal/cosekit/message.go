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

// Caps on COSE messages that nobody has verified yet.
const (
	// MaxSignatures bounds a COSE_Sign: each signature that names no key can cost a
	// verification.
	MaxSignatures = 16
	// MaxHeader bounds a header in bytes: go-cose builds a value for each item in
	// it, which takes many times the room of the item.
	MaxHeader = 64 << 10
)

// Header parameters that Tamarack reads (IANA COSE Header Parameters).
const (
	headerAlg       = int64(1)
	headerKeyID     = int64(4)
	headerCWTClaims = int64(15) // RFC 9597
)

// understood are the parameters that a message may mark as critical.
var understood = map[any]bool{headerAlg: true, headerKeyID: true, headerCWTClaims: true}

// Signature describes one signature of a parsed message. Nothing in it is verified.
type Signature struct {
	Algorithm Algorithm
	KeyID     []byte     // nil where the message names no key
	CWTClaims RawMessage // of the protected header (RFC 9597), as it came; nil for none

	verify func(detached []byte, v cose.Verifier) error
}

// Signed is a parsed COSE_Sign1 or COSE_Sign. Its content is untrusted until
// Verify has returned nil. It shares no memory with what it was parsed from, and
// may be verified concurrently.
type Signed struct {
	Tagged     bool
	Multi      bool   // COSE_Sign
	Payload    []byte // nil where it is detached
	Signatures []Signature
}

// Parse reads a COSE_Sign1 (tag 18 or none) or a COSE_Sign (tag 98 or none), RFC
// 9052 section 4. Untagged structures are told apart by the type of their fourth
// element.
func Parse(data []byte) (*Signed, error) {
	if err := Validate(data); err != nil {
		return nil, err
	}
	tag, content, err := untag(data)
	if err != nil {
		return nil, err
	}
	parts, err := Elements(content)
	if err != nil || len(parts) != 4 {
		return nil, fmt.Errorf("%w: not a COSE_Sign1 or COSE_Sign: want an array of 4 elements", ErrMalformed)
	}
	if err := checkFrame(parts); err != nil {
		return nil, err
	}
	multi := Major(parts[3]) == MajorArray
	if tag != 0 && multi != (tag == TagSign) {
		return nil, fmt.Errorf("%w: COSE structure does not fit its tag %d", ErrMalformed, tag)
	}
	parse := parseSign1
	if multi {
		parse = parseSign
	}
	s, err := parse(content)
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

// checkFrame looks where Validate and go-cose do not: into the protected headers,
// at the type of the payload, and at the number of signatures.
func checkFrame(parts []RawMessage) error {
	if err := checkHeaderItems(parts[0], parts[1]); err != nil {
		return err
	}
	if null := []byte{0xf6}; Major(parts[2]) != MajorBytes && !bytes.Equal(parts[2], null) {
		return fmt.Errorf("%w: payload is neither a byte string nor null", ErrMalformed)
	}
	switch Major(parts[3]) {
	case MajorBytes:
		return nil
	case MajorArray:
		return checkSignatures(parts[3])
	}
	return fmt.Errorf("%w: neither signature nor signatures in the COSE array", ErrMalformed)
}

func checkSignatures(item RawMessage) error {
	signatures, err := Elements(item)
	if err != nil {
		return err
	}
	if len(signatures) == 0 || len(signatures) > MaxSignatures {
		return fmt.Errorf("%w: COSE_Sign with %d signatures, want 1 to %d", ErrMalformed, len(signatures), MaxSignatures)
	}
	for _, signature := range signatures {
		parts, err := Elements(signature)
		if err != nil || len(parts) != 3 {
			return fmt.Errorf("%w: COSE_Signature is not an array of 3 elements", ErrMalformed)
		}
		if err := checkHeaderItems(parts[0], parts[1]); err != nil {
			return err
		}
	}
	return nil
}

// checkHeaderItems holds the content of a protected header against the same rules
// as everything around it, and both headers against their cap.
func checkHeaderItems(protected, unprotected RawMessage) error {
	if len(protected) > MaxHeader || len(unprotected) > MaxHeader {
		return fmt.Errorf("%w: header of more than %d bytes", ErrMalformed, MaxHeader)
	}
	header, err := content(protected, MajorBytes)
	if err != nil {
		return fmt.Errorf("protected header: %w", err)
	}
	if len(header) == 0 {
		return nil
	}
	if err := Validate(header); err != nil {
		return fmt.Errorf("protected header: %w", err)
	}
	return nil
}

func parseSign1(content []byte) (*Signed, error) {
	var m cose.UntaggedSign1Message
	if err := m.UnmarshalCBOR(content); err != nil {
		return nil, fmt.Errorf("%w: COSE_Sign1: %w", ErrMalformed, err)
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
	if err := checkHeaders(m.Headers); err != nil {
		return nil, err
	}
	body := m.Headers.RawProtected
	if len(m.Headers.Protected) == 0 {
		body = RawMessage{0x40} // an empty map is signed as an empty string (RFC 9052 section 4.4)
	}
	s := &Signed{Multi: true, Payload: m.Payload}
	for _, one := range m.Signatures {
		sig, err := describe(one.Headers)
		if err != nil {
			return nil, err
		}
		sig.verify = func(detached []byte, v cose.Verifier) error {
			payload := m.Payload
			if detached != nil {
				payload = detached
			}
			return one.Verify(v, body, payload, nil)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	return s, nil
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

// Verify checks that at least one signature is by key (RFC 9052 section 4.4, with
// an empty external_aad). For a detached payload use [Signed.VerifyDetached].
func (s *Signed) Verify(key *PublicKey, legacy LegacyPolicy) error {
	if s.Payload == nil {
		return fmt.Errorf("%w: the payload is detached", ErrMalformed)
	}
	return s.verify(nil, key, legacy)
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
	return s.verify(content, key, legacy)
}

// verify looks for a signature by key. One that names another key or does not fit
// this one is passed over, the last fault is the one told.
func (s *Signed) verify(detached []byte, key *PublicKey, legacy LegacyPolicy) error {
	if key == nil {
		return fmt.Errorf("%w: no key to verify with", ErrKey)
	}
	fault := fmt.Errorf("%w: the message has no signature for this key", ErrSignature)
	for _, sig := range s.Signatures {
		if len(sig.KeyID) == len(Thumbprint{}) && !bytes.Equal(sig.KeyID, key.thumbprint[:]) {
			continue
		}
		v, err := key.verifier(sig.Algorithm, legacy)
		if err != nil {
			fault = err
			continue
		}
		if err = sig.verify(detached, v); err == nil {
			return nil
		}
		fault = fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return fault
}

// Thumbprint returns the key that a COSE_Sign1 names, if its kid is a thumbprint.
func (s *Signed) Thumbprint() (Thumbprint, bool) {
	if s.Multi || len(s.Signatures[0].KeyID) != len(Thumbprint{}) {
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
		Protected:   cose.ProtectedHeader{headerAlg: s.Algorithm()},
		Unprotected: cose.UnprotectedHeader{headerKeyID: kid[:]},
	}
	if form.CWTClaims != nil {
		h.Protected[headerCWTClaims] = form.CWTClaims
	}
	return h
}
