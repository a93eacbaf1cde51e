package cosekit

import (
	"crypto/aes"
	"fmt"

	josecipher "github.com/go-jose/go-jose/v4/cipher"
)

// maxWrapped bounds a wrapped key in bytes: the largest secret, wrapped.
const maxWrapped = MaxSecret + 8

// wrapKey wraps a key with AES Key Wrap of the size of kek (RFC 3394 section 2.2.1).
func wrapKey(kek, cek []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("%w: AES Key Wrap under a key of %d bytes", ErrKey, len(kek))
	}
	if len(cek) < MinSecret || len(cek) > MaxSecret || len(cek)%8 != 0 {
		return nil, fmt.Errorf("%w: a key of %d bytes cannot be wrapped", ErrKey, len(cek))
	}
	return josecipher.KeyWrap(block, cek)
}

// unwrapKey undoes wrapKey. Where the integrity check fails, the key-encryption key
// is another one or the wrapped key was changed: ErrDecrypt.
func unwrapKey(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("%w: AES Key Wrap under a key of %d bytes", ErrKey, len(kek))
	}
	if len(wrapped) < MinSecret+8 || len(wrapped) > maxWrapped || len(wrapped)%8 != 0 {
		return nil, fmt.Errorf("%w: wrapped key of %d bytes", ErrMalformed, len(wrapped))
	}
	key, err := josecipher.KeyUnwrap(block, wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: AES Key Wrap", ErrDecrypt)
	}
	return key, nil
}
