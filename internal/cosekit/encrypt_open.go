package cosekit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxUnwraps bounds what one message can make a recipient with many keys compute.
const maxUnwraps = 8

// DecryptionKeys are those that a recipient tries: one that a message names by kid is
// tried alone, else each that fits the algorithm, up to a cap.
type DecryptionKeys struct {
	Secrets    []*SecretKey   // for AES Key Wrap, and for COSE_Encrypt0
	Agreements []AgreementKey // for ECDH-ES+AxxxKW
}

// Empty reports whether there is none.
func (k DecryptionKeys) Empty() bool { return len(k.Secrets)+len(k.Agreements) == 0 }

// Integrity reports whether decryption notices a changed ciphertext; under AES-CTR it
// does not, and an image digest has to.
func (e *Encrypted) Integrity() bool { return authenticates(e.Content) }

// Decrypt streams the plaintext of a detached ciphertext. What it gives out is not to
// be used before it has returned io.EOF: with an AEAD, a changed ciphertext shows
// only at the end, as ErrDecrypt. ErrNoDecryptionKey where no key fits.
func (e *Encrypted) Decrypt(keys DecryptionKeys, context KDFContext, ciphertext io.Reader) (io.Reader, error) {
	if e.Ciphertext != nil {
		return nil, fmt.Errorf("%w: the ciphertext is attached, want a detached one", ErrMalformed)
	}
	pass, err := e.pass(keys, context)
	if err != nil {
		return nil, err
	}
	return newOpener(ciphertext, pass), nil
}

// Open decrypts the ciphertext that the message carries.
func (e *Encrypted) Open(keys DecryptionKeys, context KDFContext) ([]byte, error) {
	if e.Ciphertext == nil {
		return nil, fmt.Errorf("%w: the ciphertext is detached", ErrMalformed)
	}
	pass, err := e.pass(keys, context)
	if err != nil {
		return nil, err
	}
	return pass.openInPlace(bytes.Clone(e.Ciphertext))
}

func (e *Encrypted) pass(keys DecryptionKeys, context KDFContext) (*cipherPass, error) {
	structure, contentKey := "Encrypt", e.unwrap
	if e.Direct {
		structure, contentKey = "Encrypt0", e.direct
	}
	cek, err := contentKey(keys, context)
	if err != nil {
		return nil, err
	}
	return newCipherPass(e.Content, cek, e.iv, encStructure(structure, e.protected))
}

// direct returns the key of a COSE_Encrypt0. Whether it is the right one shows only
// when the whole ciphertext has been read, so there is no trying.
func (e *Encrypted) direct(keys DecryptionKeys, _ KDFContext) ([]byte, error) {
	fit := keys.secrets(e.KeyID, e.Content, opDecrypt)
	if len(fit.keys) != 1 {
		return nil, fmt.Errorf("%w: %d secret keys could be that of the COSE_Encrypt0, want the one that it names", ErrNoDecryptionKey, len(fit.keys))
	}
	return fit.keys[0], nil
}

// unwrap returns the content encryption key of the first recipient that it gets it
// from. A wrong key-encryption key does not unwrap, so each that fits may be tried.
func (e *Encrypted) unwrap(keys DecryptionKeys, context KDFContext) ([]byte, error) {
	var fault error
	tries := 0
	for _, r := range e.Recipients {
		ways, named := r.ways(keys, context)
		for _, way := range ways {
			if tries++; tries > maxUnwraps {
				return nil, fmt.Errorf("%w: given up after %d attempts", ErrNoDecryptionKey, maxUnwraps)
			}
			cek, err := r.open(way)
			if err == nil {
				return cek, nil
			}
			if guess := !named && errors.Is(err, ErrDecrypt); !guess && fault == nil {
				fault = fmt.Errorf("recipient %s: %w", r, err)
			}
		}
	}
	if fault != nil {
		return nil, fault
	}
	return nil, fmt.Errorf("%w: it is for %s", ErrNoDecryptionKey, e.addressees())
}

// addressees tells whose key it takes.
func (e *Encrypted) addressees() string {
	first := e.Recipients[0].String()
	if others := len(e.Recipients) - 1; others > 0 {
		return fmt.Sprintf("%s and %d others", first, others)
	}
	return first
}

// way is how to come by a key-encryption key.
type way func() (kek []byte, err error)

func (r *EncryptedRecipient) open(kek way) ([]byte, error) {
	key, err := kek()
	if err != nil {
		return nil, err
	}
	return unwrapKey(key, r.wrapped)
}

// ways returns those that the keys offer, and whether the recipient names them.
func (r *EncryptedRecipient) ways(keys DecryptionKeys, context KDFContext) (ways []way, named bool) {
	if r.fault != nil {
		return nil, false
	}
	if wrap, agrees := agreements[r.Algorithm]; agrees {
		fit := keys.agreements(r.KeyID)
		for _, k := range fit.keys {
			ways = append(ways, func() ([]byte, error) { return r.derive(k, wrap, context) })
		}
		return ways, fit.named
	}
	fit := keys.secrets(r.KeyID, r.Algorithm, opUnwrapKey)
	for _, kek := range fit.keys {
		ways = append(ways, func() ([]byte, error) { return kek, nil })
	}
	return ways, fit.named
}

func (r *EncryptedRecipient) derive(key AgreementKey, wrap Algorithm, context KDFContext) ([]byte, error) {
	ephemeral, err := ReadAgreementPublicKey(r.ephemeral)
	if err != nil {
		return nil, fmt.Errorf("%w: ephemeral key: %v", ErrMalformed, err)
	}
	secret, err := key.SharedSecret(ephemeral)
	if err != nil {
		return nil, fmt.Errorf("%w: key agreement: %w", ErrNoDecryptionKey, err)
	}
	return deriveKey(secret, r.salt, wrap, r.protected, context)
}

// choice is what a kid may mean: the keys that it names and no others, if there are.
type choice[K any] struct {
	keys  []K
	named bool
}

func (c *choice[K]) add(key K, named bool) {
	if named && !c.named {
		c.keys, c.named = nil, true
	}
	if named == c.named {
		c.keys = append(c.keys, key)
	}
}

// secrets returns those for an operation with an algorithm that kid may mean.
func (k DecryptionKeys) secrets(kid []byte, alg Algorithm, op int64) (fit choice[[]byte]) {
	for _, key := range k.Secrets {
		if secret, err := key.forUse(alg, op); err == nil && key.mayBe(kid) {
			thumbprint := key.Thumbprint()
			fit.add(secret, bytes.Equal(kid, key.KeyID()) || bytes.Equal(kid, thumbprint[:]))
		}
	}
	return fit
}

// agreements returns those that kid may mean. They have no kid of their own, so one that
// is no thumbprint tells nothing.
func (k DecryptionKeys) agreements(kid []byte) (fit choice[AgreementKey]) {
	for _, key := range k.Agreements {
		thumbprint := key.PublicKey().Thumbprint()
		if named := bytes.Equal(kid, thumbprint[:]); named || len(kid) != len(thumbprint) {
			fit.add(key, named)
		}
	}
	return fit
}
