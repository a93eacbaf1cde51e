package cosekit

import (
	"crypto/rand"
	"errors"
	"fmt"
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

// Header parameters of encrypted messages (RFC 9052 section 3.1, RFC 9053 sections 5.1
// and 6.3.1).
const (
	headerCrit      = int64(2)
	headerIV        = int64(5)
	headerPartialIV = int64(6)
	headerEphemeral = int64(-1)
	headerSalt      = int64(-20)
)

var (
	// ErrNoDecryptionKey: none of the keys at hand is for a recipient of the message.
	ErrNoDecryptionKey = errors.New("no key for any recipient")
	// ErrDecrypt: the ciphertext is not what was encrypted, or the key is another.
	ErrDecrypt = errors.New("does not decrypt")
)

// KDFContext is SuppPubInfo.other of the COSE_KDF_Context: what a derived key is for
// (draft-ietf-suit-firmware-encryption section 5.2.4, draft-ietf-teep-protocol). It is
// part of ECDH-ES+AxxxKW only: AES Key Wrap by itself derives nothing. The empty one
// leaves other out; messages like that are read, but not made.
type KDFContext string

// The contexts of SUIT and TEEP.
const (
	PayloadEncryption KDFContext = "SUIT Payload Encryption"
	ReportEncryption  KDFContext = "SUIT Report Encryption"
	EATEncryption     KDFContext = "EAT Encryption"
)

// Recipient is whom to encrypt to: *SecretKey (AES Key Wrap of its size) or
// *AgreementPublicKey (ECDH-ES+A128KW).
type Recipient interface {
	// conveys returns the COSE_recipient that hands cek over.
	conveys(cek []byte, context KDFContext, random io.Reader) (any, error)
}

// Encryption is what Encrypt is asked for.
type Encryption struct {
	Content    Algorithm
	Context    KDFContext
	Recipients []Recipient // one at least, MaxRecipients at most

	random io.Reader // nil: the system's
}

// Reproducible returns e with its keys and IVs drawn from random, so that published
// examples can be made again. Whoever knows what random gives can decrypt.
func (e Encryption) Reproducible(random io.Reader) Encryption {
	e.random = random
	return e
}

// Encrypt streams plaintext into ciphertext under a fresh content encryption key, and
// returns the COSE_Encrypt, tagged 96, with nil in place of the ciphertext. The
// headers are laid out as draft-ietf-suit-firmware-encryption section 5 has them.
func (e Encryption) Encrypt(ciphertext io.Writer, plaintext io.Reader) (info []byte, err error) {
	pass, m, err := e.begin()
	if err != nil {
		return nil, err
	}
	if err := pass.seal(ciphertext, plaintext); err != nil {
		return nil, err
	}
	return m.encode(nil), nil
}

// Seal is Encrypt for a short plaintext that the COSE_Encrypt carries itself.
func (e Encryption) Seal(plaintext []byte) ([]byte, error) {
	pass, m, err := e.begin()
	if err != nil {
		return nil, err
	}
	ciphertext, err := pass.sealAll(plaintext)
	if err != nil {
		return nil, err
	}
	return m.encode(ciphertext), nil
}

// encryptMessage is a COSE_Encrypt without its ciphertext.
type encryptMessage struct {
	protected   []byte
	unprotected map[int64]any
	recipients  []any
}

// encode takes a byte string, or nil for a detached ciphertext.
func (m encryptMessage) encode(ciphertext any) []byte {
	content := MustMarshal([]any{m.protected, m.unprotected, ciphertext, m.recipients})
	return MustMarshal(Tag{Number: TagEncrypt, Content: content})
}

// begin draws the keys, and does everything that can be refused before anything is
// written.
func (e Encryption) begin() (*cipherPass, encryptMessage, error) {
	var m encryptMessage
	c, ok := contentCiphers[e.Content]
	if !ok {
		return nil, m, fmt.Errorf("%w: %s encrypts no content here", ErrAlgorithm, AlgorithmName(e.Content))
	}
	if n := len(e.Recipients); n == 0 || n > MaxRecipients {
		return nil, m, fmt.Errorf("%w: %d recipients to encrypt to, want 1 to %d", ErrKey, n, MaxRecipients)
	}
	random := e.random
	if random == nil {
		random = rand.Reader
	}
	cek, iv := make([]byte, c.key), make([]byte, c.iv)
	for _, secret := range [][]byte{cek, iv} {
		if _, err := io.ReadFull(random, secret); err != nil {
			return nil, m, err
		}
	}
	m.unprotected = map[int64]any{headerIV: iv}
	if authenticates(e.Content) {
		m.protected = MustMarshal(map[int64]any{headerAlg: e.Content})
	} else {
		m.unprotected[headerAlg] = e.Content // nothing would protect it (section 6 of the draft)
	}
	for i, r := range e.Recipients {
		if r == nil {
			return nil, m, fmt.Errorf("%w: recipient %d is missing", ErrKey, i)
		}
		recipient, err := r.conveys(cek, e.Context, random)
		if err != nil {
			return nil, m, fmt.Errorf("recipient %d: %w", i, err)
		}
		m.recipients = append(m.recipients, recipient)
	}
	pass, err := newCipherPass(e.Content, cek, iv, encStructure("Encrypt", m.protected))
	return pass, m, err
}

// conveys implements Recipient with AES Key Wrap (RFC 9053 section 6.2.1).
func (k *SecretKey) conveys(cek []byte, _ KDFContext, _ io.Reader) (any, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: no secret key", ErrKey)
	}
	alg := k.keyWrap()
	kek, err := k.forUse(alg, opWrapKey)
	if err != nil {
		return nil, err
	}
	wrapped, err := wrapKey(kek, cek)
	if err != nil {
		return nil, err
	}
	return []any{[]byte{}, map[int64]any{headerAlg: alg, headerKeyID: k.KeyID()}, wrapped}, nil
}

// keyWrap returns the AES Key Wrap that the key is long enough for.
func (k *SecretKey) keyWrap() Algorithm {
	switch {
	case len(k.k) < keyWraps[A192KW]:
		return A128KW
	case len(k.k) < keyWraps[A256KW]:
		return A192KW
	}
	return A256KW
}

// conveys implements Recipient with ECDH-ES+A128KW (RFC 9053 section 6.4.1).
func (k *AgreementPublicKey) conveys(cek []byte, context KDFContext, random io.Reader) (any, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: no public key to agree with", ErrKey)
	}
	if context == "" {
		return nil, fmt.Errorf("%w: a key agreement without a context to say what it is for", ErrAlgorithm)
	}
	ephemeral, err := drawAgreementKey(random)
	if err != nil {
		return nil, err
	}
	secret, err := ephemeral.SharedSecret(k)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	protected := MustMarshal(map[int64]any{headerAlg: ECDHESA128KW})
	kek, err := deriveKey(secret, nil, A128KW, protected, context)
	if err != nil {
		return nil, err
	}
	wrapped, err := wrapKey(kek, cek)
	if err != nil {
		return nil, err
	}
	unprotected := map[int64]any{
		headerEphemeral: RawMessage(ephemeral.public.encoded),
		headerKeyID:     k.thumbprint[:],
	}
	return []any{protected, unprotected, wrapped}, nil
}

// encStructure is the additional data of an AEAD (RFC 9052 section 5.3), with an empty
// external_aad.
func encStructure(context string, protected []byte) []byte {
	return MustMarshal([]any{context, protected, []byte{}})
}
