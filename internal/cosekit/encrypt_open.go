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
	fit, _ := keys.secrets(e.KeyID, contentCiphers[e.Content].key)
	if len(fit) != 1 {
		return nil, fmt.Errorf("%w: %d secret keys could be that of the COSE_Encrypt0, want the one that it names", ErrNoDecryptionKey, len(fit))
	}
	return fit[0].k, nil
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
	wrap, agrees := agreements[r.Algorithm]
	if !agrees {
		fit, named := keys.secrets(r.KeyID, keyWraps[r.Algorithm])
		for _, k := range fit {
			ways = append(ways, func() ([]byte, error) { return k.k, nil })
		}
		return ways, named
	}
	fit, named := keys.agreements(r.KeyID)
	for _, k := range fit {
		ways = append(ways, func() ([]byte, error) { return r.derive(k, wrap, context) })
	}
	return ways, named
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

// secrets returns the keys of so many bytes that kid may mean.
func (k DecryptionKeys) secrets(kid []byte, size int) (fit []*SecretKey, named bool) {
	for _, key := range k.Secrets {
		if len(key.k) == size {
			fit = append(fit, key)
		}
	}
	return meant(fit, kid, func(key *SecretKey) bool {
		thumbprint := key.Thumbprint()
		return bytes.Equal(kid, key.KeyID()) || bytes.Equal(kid, thumbprint[:])
	})
}

func (k DecryptionKeys) agreements(kid []byte) (fit []AgreementKey, named bool) {
	return meant(k.Agreements, kid, func(key AgreementKey) bool {
		thumbprint := key.PublicKey().Thumbprint()
		return bytes.Equal(kid, thumbprint[:])
	})
}

// meant returns the keys that kid names. A thumbprint of none of them is the name of
// somebody else; another kid that is not known here tells nothing, as none does.
func meant[K any](keys []K, kid []byte, is func(K) bool) (fit []K, named bool) {
	if kid == nil {
		return keys, false
	}
	for _, key := range keys {
		if is(key) {
			fit = append(fit, key)
		}
	}
	if len(fit) > 0 || len(kid) == len(Thumbprint{}) {
		return fit, true
	}
	return keys, false
}
