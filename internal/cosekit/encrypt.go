package cosekit

import (
	"errors"
	"io"
)

// The content encryption and key distribution algorithms (RFC 9053 sections 4 and 6,
// RFC 9459).
const (
	A128GCM          Algorithm = 1
	A192GCM          Algorithm = 2
	A256GCM          Algorithm = 3
	ChaCha20Poly1305 Algorithm = 24
	A128CTR          Algorithm = -65534
	A192CTR          Algorithm = -65533
	A256CTR          Algorithm = -65532

	A128KW       Algorithm = -3
	A192KW       Algorithm = -4
	A256KW       Algorithm = -5
	ECDHESA128KW Algorithm = -29
	ECDHESA192KW Algorithm = -30
	ECDHESA256KW Algorithm = -31
)

// COSE tags of encrypted messages (RFC 9052 section 2).
const (
	TagEncrypt0 = 16
	TagEncrypt  = 96
)

var (
	// ErrNoDecryptionKey: none of the keys at hand is for a recipient of the message.
	ErrNoDecryptionKey = errors.New("no key for any recipient")
	// ErrDecrypt: the ciphertext is not what was encrypted, or the key is another.
	ErrDecrypt = errors.New("does not decrypt")
)

// KDFContext is SuppPubInfo.other of the COSE_KDF_Context: what a derived key is for
// (draft-ietf-suit-firmware-encryption section 5.2.4, draft-ietf-teep-protocol).
type KDFContext string

// The contexts of SUIT and TEEP.
const (
	PayloadEncryption KDFContext = "SUIT Payload Encryption"
	ReportEncryption  KDFContext = "SUIT Report Encryption"
	EATEncryption     KDFContext = "EAT Encryption"
)

// AgreementPublicKey is a P-256 public key to encrypt to. Make one with
// ParseAgreementPublicKey or AgreementKey.PublicKey.
type AgreementPublicKey struct{}

// Thumbprint returns the key's RFC 9679 thumbprint, which is the kid of a recipient.
func (k *AgreementPublicKey) Thumbprint() Thumbprint { return Thumbprint{} }

// COSEKey returns the deterministic COSE_Key with the required members only.
func (k *AgreementPublicKey) COSEKey() []byte { return nil }

// PEM returns the key as a PUBLIC KEY block.
func (k *AgreementPublicKey) PEM() []byte { return nil }

// ReadAgreementPublicKey reads PEM or a bare COSE_Key.
func ReadAgreementPublicKey(data []byte) (*AgreementPublicKey, error) { return nil, errUnwritten }

// AgreementKey holds a P-256 private key for ECDH, or a way to one.
type AgreementKey interface {
	PublicKey() *AgreementPublicKey
	// SharedSecret returns the x-coordinate of the product with the ephemeral key.
	SharedSecret(ephemeral *AgreementPublicKey) ([]byte, error)
}

// GenerateAgreementKey makes a key from the system's randomness.
func GenerateAgreementKey() (AgreementKey, error) { return nil, errUnwritten }

// NewAgreementKeyFromCOSEKey makes one of a private COSE_Key.
func NewAgreementKeyFromCOSEKey(coseKey []byte) (AgreementKey, error) { return nil, errUnwritten }

// LoadAgreementKey reads a PKCS#8 PEM file.
func LoadAgreementKey(path string) (AgreementKey, error) { return nil, errUnwritten }

// CreateAgreementKeyFile is CreateKeyFile for an agreement key.
func CreateAgreementKeyFile(path string) (AgreementKey, error) { return nil, errUnwritten }

// DecryptionKeys are those that a recipient tries: one that a message names by kid is
// tried alone, else each that fits the algorithm, up to a cap.
type DecryptionKeys struct {
	Secrets    []*SecretKey   // for AES Key Wrap, and for COSE_Encrypt0
	Agreements []AgreementKey // for ECDH-ES+AxxxKW
}

// Empty reports whether there is none.
func (k DecryptionKeys) Empty() bool { return len(k.Secrets)+len(k.Agreements) == 0 }

// Recipient is whom to encrypt to: *SecretKey (AES Key Wrap of its size) or
// *AgreementPublicKey (ECDH-ES+A128KW).
type Recipient interface{ isRecipient() }

func (*SecretKey) isRecipient()          {}
func (*AgreementPublicKey) isRecipient() {}

// Encryption is what Encrypt is asked for.
type Encryption struct {
	Content    Algorithm
	Context    KDFContext
	Recipients []Recipient // one at least
}

// Encrypt streams plaintext into ciphertext under a fresh content encryption key, and
// returns the COSE_Encrypt, tagged 96, with nil in place of the ciphertext. The
// headers are laid out as draft-ietf-suit-firmware-encryption section 5 has them.
func (e Encryption) Encrypt(ciphertext io.Writer, plaintext io.Reader) (info []byte, err error) {
	return nil, errUnwritten
}

// Seal is Encrypt for a short plaintext that the COSE_Encrypt carries itself.
func (e Encryption) Seal(plaintext []byte) ([]byte, error) { return nil, errUnwritten }

// Encrypted is a parsed COSE_Encrypt or COSE_Encrypt0.
type Encrypted struct {
	Content    Algorithm
	Ciphertext []byte // nil where it is detached
	Recipients []EncryptedRecipient
	Direct     bool // COSE_Encrypt0
}

// EncryptedRecipient describes one recipient for people.
type EncryptedRecipient struct {
	Algorithm Algorithm
	KeyID     []byte
}

// ParseEncrypted reads a COSE_Encrypt (tag 96 or none) or a COSE_Encrypt0 (tag 16 or
// none), RFC 9052 section 5.
func ParseEncrypted(data []byte) (*Encrypted, error) { return nil, errUnwritten }

// Integrity reports whether decryption notices a changed ciphertext; under AES-CTR it
// does not, and an image digest has to.
func (e *Encrypted) Integrity() bool { return false }

// Decrypt streams the plaintext of a detached ciphertext. What it gives out is not to
// be used before it has returned io.EOF: with an AEAD, a changed ciphertext shows
// only at the end, as ErrDecrypt. ErrNoDecryptionKey where no key fits.
func (e *Encrypted) Decrypt(keys DecryptionKeys, context KDFContext, ciphertext io.Reader) (io.Reader, error) {
	return nil, errUnwritten
}

// Open decrypts the ciphertext that the message carries.
func (e *Encrypted) Open(keys DecryptionKeys, context KDFContext) ([]byte, error) {
	return nil, errUnwritten
}
