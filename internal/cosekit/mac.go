package cosekit

import "errors"

var errUnwritten = errors.New("not written yet")

// HMAC256 is HMAC 256/256 (RFC 9053 section 3.1).
const HMAC256 Algorithm = 5

// COSE tags of MACs (RFC 9052 section 2).
const (
	TagMAC0 = 17
	TagMAC  = 97
)

// MACed is a parsed COSE_Mac0 or COSE_Mac. Its content is untrusted until Verify has
// returned nil.
type MACed struct {
	Tagged    bool
	Multi     bool   // COSE_Mac, with recipients
	Payload   []byte // nil where it is detached
	Algorithm Algorithm
	KeyIDs    [][]byte // of the message or its recipients; empty for none
}

// ParseMAC reads a COSE_Mac0 (tag 17 or none) or a COSE_Mac (tag 97 or none), RFC 9052
// section 6. A COSE_Mac has recipients that wrap its key with AES-KW or are direct.
func ParseMAC(data []byte) (*MACed, error) { return nil, errUnwritten }

// Verify checks the tag over the payload that the message carries.
func (m *MACed) Verify(key *SecretKey) error { return errUnwritten }

// VerifyDetached checks the tag over content, which the message must not carry.
func (m *MACed) VerifyDetached(content []byte, key *SecretKey) error { return errUnwritten }

// Mac0 makes a COSE_Mac0 with HMAC 256/256 whose unprotected kid is the key's.
func Mac0(key *SecretKey, payload []byte, form Form) ([]byte, error) { return nil, errUnwritten }
