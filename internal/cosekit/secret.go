package cosekit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// SecretKey is a symmetric COSE_Key (RFC 9053 section 6.1, kty 4): for HMAC 256/256,
// for AES Key Wrap or for a COSE_Encrypt0. One that says in its alg or key_ops what it
// is for serves for nothing else. It does not change, and its bytes are never printed.
type SecretKey struct {
	k, kid     []byte
	alg        Algorithm // 0 where the key names none
	ops        []int64   // nil where the key names none
	thumbprint Thumbprint
}

// MinSecret and MaxSecret bound a secret key in bytes.
const (
	MinSecret = 16
	MaxSecret = 64
)

const maxKeyID = 64 // bytes of a secret key's kid

// Operations of a secret key (RFC 9052 table 5).
const (
	opEncrypt   = 3
	opDecrypt   = 4
	opWrapKey   = 5
	opUnwrapKey = 6
	opMACCreate = 9
	opMACVerify = 10
)

// secretSizes are the bytes of a key for an algorithm that has one size only.
var secretSizes = map[Algorithm]int{
	A128KW: 16, A192KW: 24, A256KW: 32,
	A128GCM: 16, A192GCM: 24, A256GCM: 32, ChaCha20Poly1305: 32,
	A128CTR: 16, A192CTR: 24, A256CTR: 32,
}

// NewSecretKey takes 16 to 64 bytes. kid may be nil: messages then name the key by its
// thumbprint.
func NewSecretKey(k, kid []byte) (*SecretKey, error) {
	if len(k) < MinSecret || len(k) > MaxSecret {
		return nil, fmt.Errorf("%w: a secret of %d bytes, want %d to %d", ErrKey, len(k), MinSecret, MaxSecret)
	}
	if len(kid) > maxKeyID || kid != nil && len(kid) == 0 {
		return nil, fmt.Errorf("%w: a kid of %d bytes, want 1 to %d", ErrKey, len(kid), maxKeyID)
	}
	return &SecretKey{
		k: bytes.Clone(k), kid: bytes.Clone(kid),
		thumbprint: sha256.Sum256(MustMarshal(map[int]any{labelKty: ktySym, labelK: k})),
	}, nil
}

// ParseSecretKey decodes a symmetric COSE_Key. Errors never quote it.
func ParseSecretKey(coseKey []byte) (*SecretKey, error) {
	m, err := keyMembers(coseKey)
	if err != nil {
		return nil, fmt.Errorf("%w: not a COSE_Key", ErrKey)
	}
	if kty, err := keyMember(m, labelKty, Int); err != nil || kty != ktySym {
		return nil, fmt.Errorf("%w: COSE_Key is not a symmetric one (kty 4)", ErrKey)
	}
	k, err := keyMember(m, labelK, Bytes)
	if err != nil {
		return nil, err
	}
	var kid []byte
	if _, ok := m[labelKid]; ok {
		if kid, err = keyMember(m, labelKid, Bytes); err != nil {
			return nil, err
		}
	}
	key, err := NewSecretKey(k, kid)
	if err != nil {
		return nil, err
	}
	if err := m.readUse(key); err != nil {
		return nil, err
	}
	return key, nil
}

// readUse takes over what a key says that it is for.
func (m coseKey) readUse(k *SecretKey) error {
	if _, ok := m[labelAlg]; ok {
		alg, err := keyMember(m, labelAlg, Int)
		if err != nil {
			return err
		}
		k.alg = Algorithm(alg)
		if size, ok := secretSizes[k.alg]; ok && size != len(k.k) || alg == 0 {
			return fmt.Errorf("%w: COSE_Key alg %s does not fit a secret of %d bytes", ErrKey, AlgorithmName(k.alg), len(k.k))
		}
	}
	if _, ok := m[labelOps]; !ok {
		return nil
	}
	ops, err := keyMember(m, labelOps, Elements)
	if err != nil {
		return err
	}
	k.ops = []int64{}
	for _, op := range ops {
		if n, err := Int(op); err == nil {
			k.ops = append(k.ops, n)
		}
	}
	return nil
}

// forUse returns the bytes for an operation with an algorithm, if the key fits it and
// does not say that it is for something else.
func (k *SecretKey) forUse(alg Algorithm, op int64) ([]byte, error) {
	switch size, fixed := secretSizes[alg]; {
	case k == nil:
		return nil, fmt.Errorf("%w: no secret key", ErrKey)
	case fixed && size != len(k.k):
		return nil, fmt.Errorf("%w: a secret of %d bytes for %s, want %d", ErrKey, len(k.k), AlgorithmName(alg), size)
	case k.alg != 0 && k.alg != alg:
		return nil, fmt.Errorf("%w: the secret key is for %s, not for %s", ErrKey, AlgorithmName(k.alg), AlgorithmName(alg))
	case k.ops != nil && !slices.Contains(k.ops, op):
		return nil, fmt.Errorf("%w: secret key whose key_ops lack %d", ErrKey, op)
	}
	return k.k, nil
}

// KeyID returns the kid that messages name the key by.
func (k *SecretKey) KeyID() []byte {
	if k.kid == nil {
		return bytes.Clone(k.thumbprint[:])
	}
	return bytes.Clone(k.kid)
}

// mayBe reports whether a message that names kid, nil for none, may mean this key. A
// key without a kid of its own may be known to others by any that is no thumbprint.
func (k *SecretKey) mayBe(kid []byte) bool {
	switch {
	case kid == nil, bytes.Equal(kid, k.kid), bytes.Equal(kid, k.thumbprint[:]):
		return true
	}
	return k.kid == nil && len(kid) != len(k.thumbprint)
}

// Thumbprint returns the RFC 9679 thumbprint. It gives a short secret away, so only
// random keys are taken.
func (k *SecretKey) Thumbprint() Thumbprint { return k.thumbprint }

// Format implements fmt.Formatter, so that no verb prints the secret.
func (k SecretKey) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret key %x", k.KeyID()) }

// LoadSecretKey reads a key file: a binary COSE_Key, or its hexadecimal digits.
func LoadSecretKey(path string) (*SecretKey, error) { return load(path, readSecretKey) }

func readSecretKey(data []byte) (*SecretKey, error) {
	digits := bytes.TrimSpace(data)
	decoded := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(decoded, digits); err == nil && len(digits) > 0 {
		data = decoded
	}
	return ParseSecretKey(data)
}

// CreateSecretKeyFile makes a key for HMAC 256/256 or for an AES Key Wrap and writes its
// COSE_Key in hexadecimal digits, as [CreateKeyFile] does.
func CreateSecretKeyFile(path string, alg Algorithm) (*SecretKey, error) {
	size, ok := map[Algorithm]int{HMAC256: sha256.Size, A128KW: 16, A192KW: 24, A256KW: 32}[alg]
	if !ok {
		return nil, fmt.Errorf("%w: cannot make a secret for %s", ErrAlgorithm, AlgorithmName(alg))
	}
	k := make([]byte, size)
	if _, err := rand.Read(k); err != nil {
		return nil, err
	}
	encoded := MustMarshal(map[int]any{labelKty: ktySym, labelAlg: int64(alg), labelK: k})
	key, err := ParseSecretKey(encoded)
	if err != nil {
		return nil, err
	}
	return key, writeNew(path, append(hex.AppendEncode(nil, encoded), '\n'))
}
