package suit

import (
	"crypto"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The keys and algorithms that this package and its neighbours take, under names that
// programs outside this module can use too.
type (
	// PublicKey verifies signatures: ESP256, Ed25519, HSS-LMS or ML-DSA.
	PublicKey = cosekit.PublicKey
	// Signer signs manifests and reports; it may stand for a key in a token or a service.
	Signer = cosekit.Signer
	// SecretKey is shared by two sides, for MACs or to wrap encryption keys.
	SecretKey = cosekit.SecretKey
	// AgreementPublicKey is what payloads and reports are encrypted to (ECDH-ES on P-256).
	AgreementPublicKey = cosekit.AgreementPublicKey
	// AgreementKey is the private half.
	AgreementKey = cosekit.AgreementKey
	// DecryptionKeys are those that a recipient has.
	DecryptionKeys = cosekit.DecryptionKeys
	// Recipient is whom to encrypt to: *SecretKey or *AgreementPublicKey.
	Recipient = cosekit.Recipient
	// Encryption says how to encrypt, and to whom.
	Encryption = cosekit.Encryption
	// Thumbprint names a key (RFC 9679).
	Thumbprint = cosekit.Thumbprint
	// Algorithm is a COSE algorithm identifier.
	Algorithm = cosekit.Algorithm
	// LegacyPolicy says whether the signature algorithms of older drafts are accepted.
	LegacyPolicy = cosekit.LegacyPolicy
)

// Algorithms by use: signatures, MACs, and content encryption.
const (
	ESP256  = cosekit.ESP256
	Ed25519 = cosekit.Ed25519
	HSSLMS  = cosekit.HSSLMS // verified only
	MLDSA44 = cosekit.MLDSA44
	MLDSA65 = cosekit.MLDSA65
	MLDSA87 = cosekit.MLDSA87

	HMAC256 = cosekit.HMAC256

	A128GCM          = cosekit.A128GCM
	A256GCM          = cosekit.A256GCM
	ChaCha20Poly1305 = cosekit.ChaCha20Poly1305
	A128CTR          = cosekit.A128CTR // an image digest has to vouch for the plaintext
	A256CTR          = cosekit.A256CTR
)

// What encryption is for, in Encryption.Context.
const (
	PayloadEncryption = cosekit.PayloadEncryption
	ReportEncryption  = cosekit.ReportEncryption
)

// AllowLegacy accepts ES256 (-7) and EdDSA (-8) as earlier drafts had them.
const AllowLegacy = cosekit.AllowLegacy

// ReadPublicKey reads the key of a publisher: PEM, or a bare COSE_Key.
func ReadPublicKey(data []byte) (*PublicKey, error) { return cosekit.ReadManifestKey(data) }

// ReadSigner reads a private key, a PKCS#8 PEM block. Errors never quote it.
func ReadSigner(data []byte) (Signer, error) { return cosekit.ParseManifestSigner(data) }

// NewSigner makes a Signer of a private key: P-256, Ed25519 or ML-DSA, in memory or behind a
// crypto.Signer of a token or key service.
func NewSigner(key crypto.Signer) (Signer, error) { return cosekit.NewSigner(key) }

// NewPublicKey takes the public half of what NewSigner takes.
func NewPublicKey(key crypto.PublicKey) (*PublicKey, error) { return cosekit.NewPublicKey(key) }

// GenerateSigner makes a key from the system's randomness.
func GenerateSigner(algorithm Algorithm) (Signer, error) { return cosekit.GenerateSigner(algorithm) }

// NewSecretKey takes 16 to 64 random bytes. kid may be nil: messages then name the key by
// its thumbprint.
func NewSecretKey(k, kid []byte) (*SecretKey, error) { return cosekit.NewSecretKey(k, kid) }

// ReadAgreementPublicKey reads what to encrypt to: PEM, or a bare COSE_Key.
func ReadAgreementPublicKey(data []byte) (*AgreementPublicKey, error) {
	return cosekit.ReadAgreementPublicKey(data)
}

// GenerateAgreementKey makes a key from the system's randomness.
func GenerateAgreementKey() (AgreementKey, error) { return cosekit.GenerateAgreementKey() }

// ReadAgreementKey reads a private key, a PKCS#8 PEM block. Errors never quote it.
func ReadAgreementKey(data []byte) (AgreementKey, error) { return cosekit.ParseAgreementKey(data) }
