package cosekit

import (
	"bytes"
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
	MaxHeader = 8 << 10
	// MaxSignature bounds a signature in bytes. Those of ML-DSA-87 have 4627; those of
	// HSS-LMS grow with their levels, and hardly anybody has more than three.
	MaxSignature = 32 << 10
)

// Signature describes one signature of a parsed message. Nothing in it is verified.
type Signature struct {
	Algorithm Algorithm
	KeyID     []byte     // nil where the message names no key
	CWTClaims RawMessage // of the protected header (RFC 9597), as it came; nil for none

	protected []byte // the header, without the string around it
	signature []byte
}

// Signed is a parsed COSE_Sign1 or COSE_Sign. Its content is untrusted until
// Verify has returned nil. It shares no memory with what it was parsed from, and
// may be verified concurrently.
type Signed struct {
	Tagged     bool
	Multi      bool   // COSE_Sign
	Payload    []byte // nil where it is detached
	Signatures []Signature

	body []byte // protected header of a COSE_Sign, likewise
}

// Parse reads a COSE_Sign1 (tag 18 or none) or a COSE_Sign (tag 98 or none), RFC
// 9052 section 4. Untagged structures are told apart by the type of their fourth
// element.
func Parse(data []byte) (*Signed, error) {
	if err := Validate(data); err != nil {
		return nil, err
	}
	tag, content, err := untag(data, TagSign1, TagSign)
	if err != nil {
		return nil, err
	}
	content = bytes.Clone(content)
	parts, err := Elements(content)
	if err != nil || len(parts) != 4 {
		return nil, fmt.Errorf("%w: not a COSE_Sign1 or COSE_Sign: want an array of 4 elements", ErrMalformed)
	}
	if err := checkFrame(parts); err != nil {
		return nil, err
	}
	s := &Signed{Tagged: tag != 0, Multi: Major(parts[3]) == MajorArray}
	if s.Tagged && s.Multi != (tag == TagSign) {
		return nil, fmt.Errorf("%w: COSE structure does not fit its tag %d", ErrMalformed, tag)
	}
	if Major(parts[2]) == MajorBytes {
		s.Payload = stringContent(parts[2])
	}
	parse := s.parseSign1
	if s.Multi {
		parse = s.parseSign
	}
	if err := parse(content, parts); err != nil {
		return nil, err
	}
	return s, nil
}

// untag takes off one of two tags; 0 is none.
func untag(data []byte, single, multi uint64) (tag uint64, content []byte, err error) {
	h, err := readHead(data)
	if err != nil {
		return 0, nil, err
	}
	if h.major != MajorTag {
		return 0, data, nil
	}
	if h.arg != single && h.arg != multi {
		return 0, nil, fmt.Errorf("%w: tag %d, want %s (%d) or %s (%d)", ErrMalformed, h.arg, tagNames[single], single, tagNames[multi], multi)
	}
	return h.arg, data[h.size:], nil
}

// tagNames are those of RFC 9052 table 1.
var tagNames = map[uint64]string{
	TagSign: "COSE_Sign", TagSign1: "COSE_Sign1", TagMAC: "COSE_Mac", TagMAC0: "COSE_Mac0",
	TagEncrypt: "COSE_Encrypt", TagEncrypt0: "COSE_Encrypt0",
}

// checkFrame looks where Validate and go-cose do not: into the protected headers,
// at the type of the payload, and at the number of signatures.
func checkFrame(parts []RawMessage) error {
	if err := checkHeaderItems(parts[0], parts[1]); err != nil {
		return err
	}
	if Major(parts[2]) != MajorBytes && !bytes.Equal(parts[2], []byte{null}) {
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

func (s *Signed) parseSign1(content []byte, parts []RawMessage) error {
	sig, ok := plainHeaders(parts[0], parts[1])
	if !ok {
		var m cose.UntaggedSign1Message
		err := m.UnmarshalCBOR(content)
		if err != nil {
			return fmt.Errorf("%w: COSE_Sign1: %w", ErrMalformed, err)
		}
		if sig, err = describe(m.Headers); err != nil {
			return err
		}
	}
	return s.add(sig, parts[0], parts[3])
}

func (s *Signed) parseSign(content []byte, parts []RawMessage) error {
	signatures, err := Elements(parts[3])
	if err != nil {
		return err
	}
	if s.body = stringContent(parts[0]); bytes.Equal(s.body, emptyMap) {
		s.body = nil // an empty map is signed as an empty string (RFC 9052 section 4.4)
	}
	described, err := describeAll(content, parts, signatures)
	if err != nil {
		return err
	}
	for i, sig := range described {
		of, err := Elements(signatures[i])
		if err != nil {
			return err
		}
		if err := s.add(sig, of[0], of[2]); err != nil {
			return err
		}
	}
	return nil
}

// describeAll reads the headers of a COSE_Sign.
func describeAll(content []byte, parts, signatures []RawMessage) ([]Signature, error) {
	described := make([]Signature, len(signatures))
	plain := len(stringContent(parts[0])) == 0 && bytes.Equal(parts[1], emptyMap)
	for i := 0; plain && i < len(signatures); i++ {
		of, err := Elements(signatures[i])
		if err != nil {
			return nil, err
		}
		described[i], plain = plainHeaders(of[0], of[1])
	}
	if plain {
		return described, nil
	}
	var m cose.SignMessage
	// go-cose reads the tagged form only.
	if err := m.UnmarshalCBOR(append([]byte{0xd8, TagSign}, content...)); err != nil {
		return nil, fmt.Errorf("%w: COSE_Sign: %w", ErrMalformed, err)
	}
	if err := checkHeaders(m.Headers); err != nil {
		return nil, err
	}
	for i, one := range m.Signatures {
		sig, err := describe(one.Headers)
		if err != nil {
			return nil, err
		}
		described[i] = sig
	}
	return described, nil
}

// add takes a signature with its encoded header and value.
func (s *Signed) add(sig Signature, protected, signature RawMessage) error {
	var err error
	if sig.signature, err = content(signature, MajorBytes); err != nil || len(sig.signature) == 0 {
		return fmt.Errorf("%w: no signature in the COSE structure", ErrMalformed)
	}
	if len(sig.signature) > MaxSignature {
		return fmt.Errorf("%w: signature of %d bytes, at most %d are read", ErrMalformed, len(sig.signature), MaxSignature)
	}
	sig.protected = stringContent(protected)
	s.Signatures = append(s.Signatures, sig)
	return nil
}

// Verify checks that at least one signature is by key (RFC 9052 section 4.4, with
// an empty external_aad). For a detached payload use [Signed.VerifyDetached].
func (s *Signed) Verify(key *PublicKey, legacy LegacyPolicy) error {
	if s.Payload == nil {
		return fmt.Errorf("%w: the payload is detached", ErrMalformed)
	}
	return s.verify(s.Payload, key, legacy)
}

// VerifyDetached checks that at least one signature is by key over content, which
// the message itself must not carry.
func (s *Signed) VerifyDetached(content []byte, key *PublicKey, legacy LegacyPolicy) error {
	if s.Payload != nil {
		return fmt.Errorf("%w: the payload is attached, want a detached one", ErrMalformed)
	}
	return s.verify(content, key, legacy)
}

// verify looks for a signature by key. One that names another key or does not fit
// this one is passed over, the last fault is the one told.
func (s *Signed) verify(payload []byte, key *PublicKey, legacy LegacyPolicy) error {
	if key == nil {
		return fmt.Errorf("%w: no key to verify with", ErrKey)
	}
	fault := fmt.Errorf("%w: the message has no signature for this key", ErrSignature)
	for _, sig := range s.Signatures {
		if len(sig.KeyID) == len(Thumbprint{}) && !bytes.Equal(sig.KeyID, key.thumbprint[:]) {
			continue
		}
		if fault = key.verify(sig.Algorithm, legacy, s.toBeSigned(sig, payload), sig.signature); fault == nil {
			return nil
		}
	}
	return fault
}

func (s *Signed) toBeSigned(sig Signature, payload []byte) []byte {
	if s.Multi {
		return sigStructure("Signature", payload, s.body, sig.protected)
	}
	return sigStructure("Signature1", payload, sig.protected)
}

// Thumbprint returns the key that a COSE_Sign1 names, if its kid is a thumbprint.
func (s *Signed) Thumbprint() (Thumbprint, bool) {
	if s.Multi || len(s.Signatures[0].KeyID) != len(Thumbprint{}) {
		return Thumbprint{}, false
	}
	return Thumbprint(s.Signatures[0].KeyID), true
}
