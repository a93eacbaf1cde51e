package author

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Image is what is measured of a payload.
type Image struct {
	Digest suit.Digest
	Size   uint64 // bytes
}

// Encryption is what the encryption of a payload gave.
type Encryption struct {
	// Info is the SUIT_Encryption_Info for suit-parameter-encryption-info.
	Info []byte
	// Plaintext is what the device ends up with, Ciphertext what it fetches.
	Plaintext, Ciphertext Image
}

// Encrypt encrypts a payload to the recipients under a fresh key, as a stream
// (draft-ietf-suit-firmware-encryption section 5).
func Encrypt(ciphertext io.Writer, plaintext io.Reader, content cosekit.Algorithm, recipients ...cosekit.Recipient) (*Encryption, error) {
	in, out := newMeter(), newMeter()
	encryption := cosekit.Encryption{Content: content, Context: cosekit.PayloadEncryption, Recipients: recipients}
	info, err := encryption.Encrypt(io.MultiWriter(ciphertext, out), io.TeeReader(plaintext, in))
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return &Encryption{info, in.image(), out.image()}, nil
}

// LoadRecipients reads key files: public agreement keys of devices, or secret keys for
// AES Key Wrap.
func LoadRecipients(paths ...string) ([]cosekit.Recipient, error) {
	recipients := make([]cosekit.Recipient, len(paths))
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if public, err := cosekit.ReadAgreementPublicKey(data); err == nil {
			recipients[i] = public
			continue
		}
		secret, err := cosekit.LoadSecretKey(path)
		if err != nil {
			return nil, fmt.Errorf("%s is no key to encrypt to: want the public agreement key of a device or a secret key; 'tamctl keygen' makes either", path)
		}
		recipients[i] = secret
	}
	return recipients, nil
}

// meter measures what is written to it.
type meter struct {
	hash hash.Hash
	n    uint64
}

func newMeter() *meter { return &meter{hash: sha256.New()} }

func (m *meter) Write(p []byte) (int, error) {
	m.n += uint64(len(p))
	return m.hash.Write(p)
}

func (m *meter) image() Image {
	return Image{suit.Digest{Algorithm: suit.SHA256, Bytes: m.hash.Sum(nil)}, m.n}
}

// errTooLarge: more was written to a keeper than it keeps.
var errTooLarge = errors.New("too large")

// keeper holds what is written to it, up to a limit.
type keeper struct {
	content []byte
	limit   int
}

func (k *keeper) Write(p []byte) (int, error) {
	if len(k.content)+len(p) > k.limit {
		return 0, errTooLarge
	}
	k.content = append(k.content, p...)
	return len(p), nil
}
