package cosekit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
)

// HMAC256 is HMAC 256/256 (RFC 9053 section 3.1).
const HMAC256 Algorithm = 5

// direct is the algorithm of a recipient whose key is the one of the MAC (RFC 9053
// section 6.1.1).
const direct Algorithm = -6

// COSE tags of MACs (RFC 9052 section 2).
const (
	TagMAC0 = 17
	TagMAC  = 97
)

// ErrMAC: the tag is not one of the content under the key.
var ErrMAC = errors.New("MAC does not verify")

// MACed is a parsed COSE_Mac0 or COSE_Mac. Its content is untrusted until Verify has
// returned nil. It shares no memory with what it was parsed from.
type MACed struct {
	Tagged    bool
	Multi     bool   // COSE_Mac, with recipients
	Payload   []byte // nil where it is detached
	Algorithm Algorithm
	KeyIDs    [][]byte // of the message or its recipients; empty for none

	protected, tag []byte
	recipients     []macRecipient
}

// macRecipient is a way to the key of the MAC: the key itself, or that wrapped.
type macRecipient struct {
	alg     Algorithm
	kid     []byte // nil for none
	wrapped []byte
}

// ParseMAC reads a COSE_Mac0 (tag 17 or none) or a COSE_Mac (tag 97 or none), RFC 9052
// section 6. A COSE_Mac has recipients that wrap its key with AES-KW, or one that is
// direct; recipients of another kind are passed over.
func ParseMAC(data []byte) (*MACed, error) {
	if err := Validate(data); err != nil {
		return nil, err
	}
	tag, content, err := untag(data, TagMAC0, TagMAC)
	if err != nil {
		return nil, err
	}
	parts, err := Elements(bytes.Clone(content))
	if err != nil || len(parts) != 4 && len(parts) != 5 {
		return nil, fmt.Errorf("%w: not a COSE_Mac0 or COSE_Mac: want an array of 4 or 5 elements", ErrMalformed)
	}
	m := &MACed{Tagged: tag != 0, Multi: len(parts) == 5}
	if m.Tagged && m.Multi != (tag == TagMAC) {
		return nil, fmt.Errorf("%w: COSE structure does not fit its tag %d", ErrMalformed, tag)
	}
	if err := m.read(parts); err != nil {
		return nil, err
	}
	for _, r := range m.recipients {
		if r.kid != nil {
			m.KeyIDs = append(m.KeyIDs, r.kid)
		}
	}
	return m, nil
}

// read takes the parts one after the other.
func (m *MACed) read(parts []RawMessage) error {
	p, err := readParameters(parts[0], parts[1])
	if err != nil {
		return err
	}
	m.protected = p.header
	if m.Algorithm, err = p.algorithm(); err != nil {
		return err
	}
	if _, protected := p.protected[headerAlg]; !protected || m.Algorithm != HMAC256 {
		return fmt.Errorf("%w: want a MAC with HMAC 256/256 named in the protected header", ErrAlgorithm)
	}
	if Major(parts[2]) == MajorBytes {
		m.Payload = stringContent(parts[2])
	} else if !bytes.Equal(parts[2], []byte{null}) {
		return fmt.Errorf("%w: payload is neither a byte string nor null", ErrMalformed)
	}
	if m.tag, err = content(parts[3], MajorBytes); err != nil || len(m.tag) != sha256.Size {
		return fmt.Errorf("%w: the tag of the MAC is not a byte string of %d bytes", ErrMalformed, sha256.Size)
	}
	if m.Multi {
		m.recipients, err = macRecipients(parts[4])
		return err
	}
	kid, err := p.bytes(headerKeyID)
	m.recipients = []macRecipient{{alg: direct, kid: kid}}
	return err
}

func macRecipients(item RawMessage) ([]macRecipient, error) {
	items, err := Elements(item)
	if err != nil {
		return nil, fmt.Errorf("%w: recipients are not an array", ErrMalformed)
	}
	if len(items) == 0 || len(items) > MaxRecipients {
		return nil, fmt.Errorf("%w: COSE_Mac with %d recipients, want 1 to %d", ErrMalformed, len(items), MaxRecipients)
	}
	var recipients []macRecipient
	for _, item := range items {
		r, err := parseMACRecipient(item)
		if err != nil {
			return nil, err
		}
		if r.alg == direct && len(items) > 1 {
			return nil, fmt.Errorf("%w: a direct recipient beside others (RFC 9052 section 8.5.1)", ErrMalformed)
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

// parseMACRecipient reads a COSE_recipient. Both kinds that are of use here have an
// empty protected header (RFC 9053 sections 6.1.1 and 6.2.1) and no recipients of their
// own; any other keeps algorithm 0.
func parseMACRecipient(item RawMessage) (r macRecipient, err error) {
	parts, err := Elements(item)
	if err != nil || len(parts) < 3 || len(parts) > 4 {
		return r, fmt.Errorf("%w: COSE_recipient is not an array of 3 or 4 elements", ErrMalformed)
	}
	p, err := readParameters(parts[0], parts[1])
	if err != nil {
		return r, err
	}
	if r.kid, err = p.bytes(headerKeyID); err != nil {
		return r, err
	}
	if alg, err := p.algorithm(); err == nil && len(p.header) == 0 && len(parts) == 3 {
		r.alg = alg
	}
	if r.wrapped, err = content(parts[2], MajorBytes); err != nil && !bytes.Equal(parts[2], []byte{null}) {
		return r, fmt.Errorf("%w: the key of a COSE_recipient is neither a byte string nor null", ErrMalformed)
	}
	if r.alg == direct && len(r.wrapped) > 0 {
		return r, fmt.Errorf("%w: a direct recipient with a wrapped key", ErrMalformed)
	}
	return r, nil
}

// Verify checks the tag over the payload that the message carries.
func (m *MACed) Verify(key *SecretKey) error {
	if m.Payload == nil {
		return fmt.Errorf("%w: the payload is detached", ErrMalformed)
	}
	return m.verify(m.Payload, key)
}

// VerifyDetached checks the tag over content, which the message must not carry.
func (m *MACed) VerifyDetached(content []byte, key *SecretKey) error {
	if m.Payload != nil {
		return fmt.Errorf("%w: the payload is attached, want a detached one", ErrMalformed)
	}
	return m.verify(content, key)
}

// verify looks for a recipient whose key is this one. The last fault is the one told.
func (m *MACed) verify(payload []byte, key *SecretKey) error {
	if key == nil {
		return fmt.Errorf("%w: no key to verify with", ErrKey)
	}
	context := "MAC0"
	if m.Multi {
		context = "MAC"
	}
	structure := sigStructure(context, payload, m.protected)
	fault := fmt.Errorf("%w: the message has no recipient with this key", ErrMAC)
	for _, r := range m.recipients {
		if !key.mayBe(r.kid) {
			continue
		}
		secret, err := key.macKey(r.alg, r.wrapped)
		if err != nil {
			fault = err
			continue
		}
		if macs[m.Algorithm].verifies(secret, structure, m.tag) {
			return nil
		}
		fault = fmt.Errorf("%w under key %x", ErrMAC, key.KeyID())
	}
	return fault
}

// macKey returns the key of the MAC that a recipient leads to.
func (k *SecretKey) macKey(alg Algorithm, wrapped []byte) ([]byte, error) {
	switch alg {
	case direct:
		return k.forUse(HMAC256, opMACVerify)
	case A128KW, A192KW, A256KW:
		secret, err := k.UnwrapRaw(alg, wrapped)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMAC, err)
		}
		if len(secret.k) != sha256.Size { // RFC 9053 section 3.1
			return nil, fmt.Errorf("%w: a wrapped key of %d bytes for HMAC 256/256", ErrMAC, len(secret.k))
		}
		return secret.k, nil
	}
	return nil, fmt.Errorf("%w: recipient with %s, want direct or AES Key Wrap", ErrAlgorithm, AlgorithmName(alg))
}

// Mac0 makes a COSE_Mac0 with HMAC 256/256 whose unprotected kid is the key's.
func Mac0(key *SecretKey, payload []byte, form Form) ([]byte, error) {
	if payload == nil {
		return nil, errNoPayload
	}
	secret, err := key.forUse(HMAC256, opMACCreate)
	if err != nil {
		return nil, err
	}
	protected, err := protectedHeader(HMAC256, form)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(payload)+len(protected)+128)
	if !form.Untagged {
		out = appendHead(out, MajorTag, TagMAC0)
	}
	out = appendHeaders(appendHead(out, MajorArray, 4), key.KeyID(), protected)
	tag := macs[HMAC256].tag(secret, sigStructure("MAC0", payload, protected))
	return appendBytes(appendPayload(out, payload, form), tag), nil
}

// mac is an HMAC and how many of its bytes stand in the tag.
type mac struct {
	hash func() hash.Hash
	size int
}

// macs are the HMACs of RFC 9053 section 3.1. Messages are accepted with HMAC 256/256
// only.
var macs = map[Algorithm]mac{
	4: {sha256.New, 8}, HMAC256: {sha256.New, 32}, 6: {sha512.New384, 48}, 7: {sha512.New, 64},
}

func (m mac) tag(key, structure []byte) []byte {
	h := hmac.New(m.hash, key)
	h.Write(structure)
	return h.Sum(nil)[:m.size]
}

func (m mac) verifies(key, structure, tag []byte) bool {
	return hmac.Equal(m.tag(key, structure), tag)
}
