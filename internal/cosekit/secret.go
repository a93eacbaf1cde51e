package cosekit

import "crypto/sha256"

// SecretKey is a symmetric COSE_Key (RFC 9053 section 6.1, kty 4): for HMAC 256/256 or
// for AES Key Wrap, whichever it is used for first by those who made it. Its bytes are
// never printed.
type SecretKey struct {
	k   []byte
	kid []byte
}

// MinSecret and MaxSecret bound a secret key in bytes.
const (
	MinSecret = 16
	MaxSecret = 64
)

// NewSecretKey takes 16 to 64 bytes. kid may be nil: messages then name the key by its
// thumbprint.
func NewSecretKey(k, kid []byte) (*SecretKey, error) {
	return nil, errUnwritten
}

// ParseSecretKey decodes a symmetric COSE_Key.
func ParseSecretKey(coseKey []byte) (*SecretKey, error) { return nil, errUnwritten }

// KeyID returns the kid that messages name the key by.
func (k *SecretKey) KeyID() []byte { return k.kid }

// Thumbprint returns the RFC 9679 thumbprint. It gives a short secret away, so only
// random keys are taken.
func (k *SecretKey) Thumbprint() Thumbprint { return Thumbprint(sha256.Sum256(nil)) }

// LoadSecretKey reads a key file: a binary COSE_Key, or its hexadecimal digits.
func LoadSecretKey(path string) (*SecretKey, error) { return nil, errUnwritten }
