package cosekit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// MaxRecipients bounds a COSE_Encrypt.
const MaxRecipients = 16

// Encrypted is a parsed COSE_Encrypt or COSE_Encrypt0. It shares no memory with what it
// was parsed from, and may be decrypted concurrently.
type Encrypted struct {
	Content    Algorithm
	Ciphertext []byte // nil where it is detached
	Recipients []EncryptedRecipient
	Direct     bool   // COSE_Encrypt0
	KeyID      []byte // of a COSE_Encrypt0; nil where it names no key

	protected []byte
	iv        []byte
}

// EncryptedRecipient describes one recipient for people.
type EncryptedRecipient struct {
	Algorithm Algorithm // zero where it is none that is a number
	KeyID     []byte    // nil where it names no key

	protected []byte
	ephemeral RawMessage // COSE_Key
	salt      []byte
	wrapped   []byte
	fault     error // why it is of no use here
}

// String names the recipient: "A128KW 6b69642d31".
func (r EncryptedRecipient) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %.32x", AlgorithmName(r.Algorithm), r.KeyID))
}

// ParseEncrypted reads a COSE_Encrypt (tag 96 or none) or a COSE_Encrypt0 (tag 16 or
// none), RFC 9052 section 5. A content algorithm that is not supported is ErrAlgorithm;
// a recipient that is not stays in the list.
func ParseEncrypted(data []byte) (*Encrypted, error) {
	if err := Validate(data); err != nil {
		return nil, err
	}
	tag, content, err := untag(data, TagEncrypt0, TagEncrypt)
	if err != nil {
		return nil, err
	}
	parts, err := Elements(bytes.Clone(content))
	if err != nil || len(parts) != 3 && len(parts) != 4 {
		return nil, fmt.Errorf("%w: not a COSE_Encrypt0 or COSE_Encrypt: want an array of 3 or 4 elements", ErrMalformed)
	}
	e := &Encrypted{Direct: len(parts) == 3}
	if tag != 0 && e.Direct != (tag == TagEncrypt0) {
		return nil, fmt.Errorf("%w: COSE structure does not fit its tag %d", ErrMalformed, tag)
	}
	if err := e.readContent(parts); err != nil {
		return nil, err
	}
	if e.Direct {
		return e, nil
	}
	if err := e.readRecipients(parts[3]); err != nil {
		return nil, err
	}
	return e, nil
}

// readContent reads what stands in front of the recipients.
func (e *Encrypted) readContent(parts []RawMessage) error {
	p, err := readParameters(parts[0], parts[1])
	if err != nil {
		return err
	}
	if e.Content, err = p.algorithm(); err != nil {
		return err
	}
	c, ok := contentCiphers[e.Content]
	if !ok {
		return fmt.Errorf("%w: %s encrypts no content here", ErrAlgorithm, AlgorithmName(e.Content))
	}
	e.protected = p.header
	if err := e.checkPlacement(p); err != nil {
		return err
	}
	if e.iv, err = p.bytes(headerIV); err != nil {
		return err
	}
	if len(e.iv) != c.iv {
		return fmt.Errorf("%w: IV of %d bytes, %s takes %d", ErrMalformed, len(e.iv), AlgorithmName(e.Content), c.iv)
	}
	if e.KeyID, err = p.bytes(headerKeyID); err != nil {
		return err
	}
	if bytes.Equal(parts[2], []byte{null}) {
		return nil
	}
	if Major(parts[2]) != MajorBytes {
		return fmt.Errorf("%w: ciphertext is neither a byte string nor null", ErrMalformed)
	}
	e.Ciphertext = stringContent(parts[2])
	return nil
}

// checkPlacement holds an AEAD to a protected alg, and AES-CTR to no protected header
// at all (draft-ietf-suit-firmware-encryption section 6).
func (e *Encrypted) checkPlacement(p parameters) error {
	if _, partial := p.find(headerPartialIV); partial {
		return fmt.Errorf("%w: a partial IV, want a whole one", ErrMalformed)
	}
	_, protected := p.protected[headerAlg]
	switch {
	case authenticates(e.Content) && !protected:
		return fmt.Errorf("%w: %s outside of the protected header", ErrAlgorithm, AlgorithmName(e.Content))
	case !authenticates(e.Content) && len(p.header) > 0:
		return fmt.Errorf("%w: a protected header, which %s does not protect", ErrMalformed, AlgorithmName(e.Content))
	}
	return nil
}

func (e *Encrypted) readRecipients(item RawMessage) error {
	items, err := Elements(item)
	if err != nil {
		return err
	}
	if len(items) == 0 || len(items) > MaxRecipients {
		return fmt.Errorf("%w: COSE_Encrypt with %d recipients, want 1 to %d", ErrMalformed, len(items), MaxRecipients)
	}
	size := contentCiphers[e.Content].key
	e.Recipients = make([]EncryptedRecipient, len(items))
	for i, item := range items {
		r := &e.Recipients[i]
		if err := r.read(item, size); err != nil {
			if errors.Is(err, ErrMalformed) {
				return fmt.Errorf("recipient %d: %w", i, err)
			}
			r.fault = err
		}
	}
	return nil
}

// read takes a COSE_recipient that conveys a key of so many bytes. What is not
// ErrMalformed is a fault of this recipient only.
func (r *EncryptedRecipient) read(item RawMessage, size int) error {
	parts, err := Elements(item)
	if err != nil || len(parts) != 3 && len(parts) != 4 {
		return fmt.Errorf("%w: COSE_recipient is not an array of 3 or 4 elements", ErrMalformed)
	}
	p, err := readParameters(parts[0], parts[1])
	if err != nil {
		return err
	}
	if r.KeyID, err = p.bytes(headerKeyID); err != nil {
		return err
	}
	if r.Algorithm, err = p.algorithm(); err != nil {
		return err
	}
	_, wraps := keyWraps[r.Algorithm]
	_, agrees := agreements[r.Algorithm]
	if !wraps && !agrees || len(parts) == 4 {
		return fmt.Errorf("%w: %s conveys no key here", ErrAlgorithm, AlgorithmName(r.Algorithm))
	}
	r.protected = p.header
	if r.wrapped, err = content(parts[2], MajorBytes); err != nil || len(r.wrapped) != size+8 {
		return fmt.Errorf("%w: not a wrapped key of %d bytes", ErrMalformed, size)
	}
	if wraps {
		if len(p.header) > 0 {
			return fmt.Errorf("%w: AES Key Wrap with a protected header", ErrMalformed)
		}
		return nil
	}
	return r.readAgreement(p)
}

// readAgreement reads the parameters of ECDH-ES (RFC 9053 sections 5.1 and 6.3.1).
func (r *EncryptedRecipient) readAgreement(p parameters) error {
	if _, ok := p.protected[headerAlg]; !ok {
		return fmt.Errorf("%w: %s outside of the protected header", ErrMalformed, AlgorithmName(r.Algorithm))
	}
	var ok bool
	if r.ephemeral, ok = p.find(headerEphemeral); !ok {
		return fmt.Errorf("%w: key agreement without an ephemeral key", ErrMalformed)
	}
	var err error
	r.salt, err = p.bytes(headerSalt)
	return err
}

// parameters are those of both headers that have an integer label.
type parameters struct {
	header                 []byte // protected, as it came; empty for an empty map too
	protected, unprotected map[int64]RawMessage
}

// readParameters refuses what RFC 9052 section 3 does: a label in both headers, and
// critical parameters that are not understood.
func readParameters(protected, unprotected RawMessage) (parameters, error) {
	var p parameters
	if err := checkHeaderItems(protected, unprotected); err != nil {
		return p, err
	}
	if p.header = stringContent(protected); bytes.Equal(p.header, emptyMap) {
		p.header = nil // and it counts as an empty string (RFC 9052 section 5.3)
	}
	var inner []Pair
	if len(p.header) > 0 {
		var err error
		if inner, err = Pairs(p.header); err != nil {
			return p, fmt.Errorf("protected header: %w", err)
		}
	}
	outer, err := Pairs(unprotected)
	if err != nil {
		return p, fmt.Errorf("unprotected header: %w", err)
	}
	for _, in := range inner {
		for _, out := range outer {
			if bytes.Equal(in.Key, out.Key) {
				return p, fmt.Errorf("%w: header parameter %x in both headers", ErrMalformed, []byte(in.Key))
			}
		}
	}
	p.protected, p.unprotected = labelled(inner), labelled(outer)
	return p, p.checkCritical()
}

func labelled(pairs []Pair) map[int64]RawMessage {
	m := make(map[int64]RawMessage, len(pairs))
	for _, pair := range pairs {
		if label, err := Int(pair.Key); err == nil {
			m[label] = pair.Value
		}
	}
	return m
}

// checkCritical lets a message mark as critical what everybody has to know, and
// nothing else.
func (p parameters) checkCritical() error {
	if _, ok := p.unprotected[headerCrit]; ok {
		return fmt.Errorf("%w: crit outside of the protected header", ErrMalformed)
	}
	crit, ok := p.protected[headerCrit]
	if !ok {
		return nil
	}
	labels, err := Elements(crit)
	if err != nil || len(labels) == 0 {
		return fmt.Errorf("%w: crit is not an array of labels", ErrMalformed)
	}
	for _, label := range labels {
		n, err := Int(label)
		if err != nil || n != headerAlg && n != headerKeyID && n != headerIV {
			return fmt.Errorf("%w: %x", ErrCritical, []byte(label))
		}
		if _, ok := p.protected[n]; !ok {
			return fmt.Errorf("%w: critical header parameter %d is missing", ErrMalformed, n)
		}
	}
	return nil
}

func (p parameters) find(label int64) (RawMessage, bool) {
	if value, ok := p.protected[label]; ok {
		return value, true
	}
	value, ok := p.unprotected[label]
	return value, ok
}

// bytes returns a byte string, or nil where there is no such parameter.
func (p parameters) bytes(label int64) ([]byte, error) {
	value, ok := p.find(label)
	if !ok {
		return nil, nil
	}
	b, err := Bytes(value)
	if err != nil {
		return nil, fmt.Errorf("header parameter %d: %w", label, err)
	}
	return b, nil
}

func (p parameters) algorithm() (Algorithm, error) {
	value, ok := p.find(headerAlg)
	if !ok {
		return 0, fmt.Errorf("%w: no alg in the headers", ErrAlgorithm)
	}
	alg, err := Int(value)
	if err != nil {
		return 0, fmt.Errorf("%w: alg is not a number", ErrAlgorithm)
	}
	return Algorithm(alg), nil
}
