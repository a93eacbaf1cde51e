package suit

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// DigestAlgorithm is a COSE hash algorithm (draft-ietf-suit-manifest-37 section 10).
type DigestAlgorithm int64

// The digest algorithms of SUIT. SHA-256 is the one that every recipient has.
const (
	SHA256   DigestAlgorithm = -16
	SHAKE128 DigestAlgorithm = -18
	SHA384   DigestAlgorithm = -43
	SHA512   DigestAlgorithm = -44
	SHAKE256 DigestAlgorithm = -45
)

// String returns the registered name.
func (a DigestAlgorithm) String() string {
	switch a {
	case SHA256:
		return "sha-256"
	case SHAKE128:
		return "shake128"
	case SHA384:
		return "sha-384"
	case SHA512:
		return "sha-512"
	case SHAKE256:
		return "shake256"
	}
	return fmt.Sprintf("digest algorithm %d", int64(a))
}

// New returns the hash, or false for an algorithm that is not supported.
func (a DigestAlgorithm) New() (hash.Hash, bool) {
	switch a {
	case SHA256:
		return sha256.New(), true
	case SHA384:
		return sha512.New384(), true
	case SHA512:
		return sha512.New(), true
	case SHAKE128:
		return shake{sha3.NewSHAKE128(), 32}, true
	case SHAKE256:
		return shake{sha3.NewSHAKE256(), 64}, true
	}
	return nil, false
}

// shake gives SHAKE the output length that RFC 9054 section 3 registers with COSE.
type shake struct {
	*sha3.SHAKE
	size int
}

func (s shake) Size() int { return s.size }

func (s shake) Sum(b []byte) []byte {
	out := make([]byte, s.size)
	clone := *s.SHAKE
	clone.Read(out) // a SHAKE never fails to read
	return append(b, out...)
}

// Digest is a SUIT_Digest.
type Digest struct {
	Algorithm DigestAlgorithm
	Bytes     []byte
}

// SumSHA256 returns the SHA-256 digest of data.
func SumSHA256(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest{SHA256, sum[:]}
}

// Equal reports whether both are the same digest under the same algorithm.
func (d Digest) Equal(other Digest) bool {
	return d.Algorithm == other.Algorithm && bytes.Equal(d.Bytes, other.Bytes)
}

// IsZero reports whether d is unset.
func (d Digest) IsZero() bool { return d.Algorithm == 0 && d.Bytes == nil }

// String writes the algorithm and hexadecimal digits, "sha-256:ab12…".
func (d Digest) String() string {
	return d.Algorithm.String() + ":" + hex.EncodeToString(d.Bytes)
}

// MarshalCBOR encodes [algorithm, bytes].
func (d Digest) MarshalCBOR() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	return cosekit.Marshal([]any{int64(d.Algorithm), d.Bytes})
}

// UnmarshalCBOR decodes [algorithm, bytes, *extension]; extensions are ignored.
func (d *Digest) UnmarshalCBOR(data []byte) error {
	items, err := cosekit.Elements(data)
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	if len(items) < 2 {
		return fmt.Errorf("%w: digest of %d elements, want 2", cosekit.ErrMalformed, len(items))
	}
	algorithm, err := cosekit.Int(items[0])
	if err != nil {
		return fmt.Errorf("digest: algorithm: %w", err)
	}
	sum, err := cosekit.Bytes(items[1])
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	out := Digest{DigestAlgorithm(algorithm), sum}
	if err := out.check(); err != nil {
		return err
	}
	*d = out
	return nil
}

// check refuses a digest of another length than its algorithm has. An algorithm
// that is not known here may have any, but not none.
func (d Digest) check() error {
	h, known := d.Algorithm.New()
	if known && len(d.Bytes) != h.Size() || len(d.Bytes) == 0 {
		return fmt.Errorf("%w: %s digest of %d bytes", cosekit.ErrMalformed, d.Algorithm, len(d.Bytes))
	}
	return nil
}
