package inspect

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
)

const maxRecipients = 16

// keySizes are the bytes of a key-encryption key, by the AES key wraps of RFC 9053
// section 6.2.1.
var keySizes = map[int64]int{-3: 16, -4: 24, -5: 32}

// direct is the algorithm of a recipient whose key is the one of the MAC (RFC 9053
// section 6.1.1).
const direct = -6

// macKeysFor returns the keys that a COSE_Mac can have been made with, and whether a
// recipient says in a way that is read here how to come by one.
func macKeysFor(recipients item, given [][]byte) (keys [][]byte, readable bool) {
	for i, one := range recipients.items {
		if i == maxRecipients {
			break
		}
		if !one.isArray() || len(one.items) < 3 || !one.items[1].isMap() {
			continue
		}
		alg, _ := readHeaders(one.items[0], one.items[1]).algorithm()
		number, _ := alg.integer()
		size, wraps := keySizes[number]
		readable = readable || wraps || number == direct
		for _, key := range given {
			switch {
			case number == direct:
				keys = append(keys, key)
			case wraps && len(key) == size:
				if unwrapped := unwrapKey(key, one.items[2].content); unwrapped != nil {
					keys = append(keys, unwrapped)
				}
			}
		}
	}
	return keys, readable
}

// unwrapKey undoes the AES key wrap (RFC 3394 section 2.2.2). It returns nil where the
// key-encryption key is another one.
func unwrapKey(kek, wrapped []byte) []byte {
	const maxWrapped = 264 // bytes; keys of MACs are far shorter
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped) < 24 || len(wrapped) > maxWrapped || len(wrapped)%8 != 0 {
		return nil
	}
	var b [aes.BlockSize]byte
	copy(b[:8], wrapped)
	key := append([]byte{}, wrapped[8:]...)
	for t := uint64(6 * len(key) / 8); t > 0; t-- {
		part := key[(t-1)%uint64(len(key)/8)*8:][:8]
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^t)
		copy(b[8:], part)
		block.Decrypt(b[:], b[:])
		copy(part, b[8:])
	}
	if subtle.ConstantTimeCompare(b[:8], []byte("\xa6\xa6\xa6\xa6\xa6\xa6\xa6\xa6")) != 1 {
		return nil
	}
	return key
}
