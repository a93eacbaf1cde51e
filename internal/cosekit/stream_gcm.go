package cosekit

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// gmac makes the tag of AES-GCM (NIST SP 800-38D section 7.1) over a ciphertext that
// comes in pieces, which crypto/cipher does not. The library still does the work, with
// the processor's instructions: the tag of an empty plaintext with a piece as its
// additional data is the hash of that piece, times H, masked. GHASH is linear, so
// those are put together with one multiplication each.
type gmac struct {
	aead  cipher.AEAD
	nonce []byte
	mask  element // of the tag, which is the encrypted first counter block
	h     element
	sum   element // GHASH of the pieces so far, times H
	aad   uint64  // bytes
	text  uint64  // bytes
	step  step
	tag   [aes.BlockSize]byte
}

// step is what it takes to append a piece of so many bytes. Nearly all are of one size.
type step struct {
	bytes  int
	power  element // H to the number of blocks
	length element // the block of lengths that ends the hash of the piece, times H
}

// newGMAC starts a tag over the additional data. The nonce has 12 bytes.
func newGMAC(block cipher.Block, nonce, aad []byte) (*gmac, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	g := &gmac{aead: aead, nonce: nonce, aad: uint64(len(aad))}
	var zero [aes.BlockSize]byte
	block.Encrypt(g.tag[:], zero[:])
	g.h = newElement(g.tag[:])
	g.mask = g.masked(nil)
	g.append(aad)
	return g, nil
}

// masked returns the tag of an empty plaintext, which is never given out.
func (g *gmac) masked(data []byte) element {
	return newElement(g.aead.Seal(g.tag[:0], g.nonce, nil, data))
}

// write takes the next piece of the ciphertext. Only the last one may have a length
// that is no multiple of the block.
func (g *gmac) write(ciphertext []byte) {
	g.text += uint64(len(ciphertext))
	g.append(ciphertext)
}

func (g *gmac) append(piece []byte) {
	if len(piece) == 0 {
		return
	}
	if g.step.bytes != len(piece) {
		g.step = step{
			bytes:  len(piece),
			power:  g.h.power((len(piece) + aes.BlockSize - 1) / aes.BlockSize),
			length: lengths(uint64(len(piece)), 0).times(g.h),
		}
	}
	hash := g.masked(piece).plus(g.mask).plus(g.step.length)
	g.sum = g.sum.times(g.step.power).plus(hash)
}

func (g *gmac) final() []byte {
	g.sum.plus(lengths(g.aad, g.text).times(g.h)).plus(g.mask).put(g.tag[:])
	return g.tag[:]
}

// element is one of GF(2^128) as GCM writes it: the first bit is the lowest power.
type element struct{ hi, lo uint64 }

func newElement(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// lengths is the last block of a hash.
func lengths(aad, text uint64) element { return element{aad * 8, text * 8} }

func (x element) put(b []byte) {
	binary.BigEndian.PutUint64(b, x.hi)
	binary.BigEndian.PutUint64(b[8:], x.lo)
}

func (x element) plus(y element) element { return element{x.hi ^ y.hi, x.lo ^ y.lo} }

// times multiplies bit by bit (NIST SP 800-38D section 6.3), in a time that does not
// depend on either factor. It need not be fast: there are few of these in a piece.
func (x element) times(y element) element {
	var product element
	for _, word := range [...]uint64{x.hi, x.lo} {
		for i := 63; i >= 0; i-- {
			take := -(word >> i & 1)
			product.hi ^= y.hi & take
			product.lo ^= y.lo & take
			carry := -(y.lo & 1)
			y.lo = y.lo>>1 | y.hi<<63
			y.hi = y.hi>>1 ^ carry&(0xe1<<56)
		}
	}
	return product
}

// power returns x to the n, which is no secret.
func (x element) power(n int) element {
	result := element{hi: 1 << 63} // one
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = result.times(x)
		}
		x = x.times(x)
	}
	return result
}
