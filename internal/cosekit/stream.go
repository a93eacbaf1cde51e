package cosekit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/poly1305" //lint:ignore SA1019 chacha20poly1305 has no streaming; this is that construction
)

const (
	tagSize   = 16       // of all AEADs here
	pieceSize = 64 << 10 // of what is in memory at a time; a multiple of the block
)

// contentCipher is what a content encryption algorithm is made of (RFC 9053 section 4,
// RFC 9459).
type contentCipher struct {
	key   int    // bytes
	iv    int    // bytes
	limit uint64 // bytes of plaintext under one IV; 0: none that can be reached
	start func(key, iv, aad []byte) (cipher.Stream, authenticator, error)
}

// authenticator makes the tag over a ciphertext.
type authenticator interface {
	write(ciphertext []byte)
	final() []byte
}

// The counter of GCM has 32 bits and starts at two, that of ChaCha20 at one.
const (
	gcmLimit    = (1<<32 - 2) * aes.BlockSize
	chachaLimit = (1<<32 - 1) * 64
)

var contentCiphers = map[Algorithm]contentCipher{
	A128GCM:          {16, 12, gcmLimit, startGCM},
	A192GCM:          {24, 12, gcmLimit, startGCM},
	A256GCM:          {32, 12, gcmLimit, startGCM},
	ChaCha20Poly1305: {32, 12, chachaLimit, startChaCha},
	A128CTR:          {16, 16, 0, startCTR},
	A192CTR:          {24, 16, 0, startCTR},
	A256CTR:          {32, 16, 0, startCTR},
}

// authenticates reports whether the algorithm is an AEAD.
func authenticates(alg Algorithm) bool { return contentCiphers[alg].limit > 0 }

func startCTR(key, iv, _ []byte) (cipher.Stream, authenticator, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	return cipher.NewCTR(block, iv), nil, nil
}

func startGCM(key, iv, aad []byte) (cipher.Stream, authenticator, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	mac, err := newGMAC(block, iv, aad)
	if err != nil {
		return nil, nil, err
	}
	// Within gcmLimit the counter does not run into the nonce before it.
	counter := append(append([]byte{}, iv...), 0, 0, 0, 2)
	return cipher.NewCTR(block, counter), mac, nil
}

// startChaCha follows RFC 8439 section 2.8.
func startChaCha(key, iv, aad []byte) (cipher.Stream, authenticator, error) {
	stream, err := chacha20.NewUnauthenticatedCipher(key, iv)
	if err != nil {
		return nil, nil, err
	}
	var oneTime [32]byte
	stream.XORKeyStream(oneTime[:], oneTime[:])
	stream.SetCounter(1)
	mac := &polyMAC{mac: poly1305.New(&oneTime), aad: uint64(len(aad))}
	mac.padded(aad)
	return stream, mac, nil
}

type polyMAC struct {
	mac       *poly1305.MAC
	aad, text uint64
}

func (p *polyMAC) write(ciphertext []byte) {
	p.text += uint64(len(ciphertext))
	p.padded(ciphertext)
}

// padded takes a piece up to the end of a block: all but the last one end there.
func (p *polyMAC) padded(piece []byte) {
	var zero [15]byte
	p.mac.Write(piece)
	p.mac.Write(zero[:-len(piece)&15])
}

func (p *polyMAC) final() []byte {
	var lengths [16]byte
	binary.LittleEndian.PutUint64(lengths[:], p.aad)
	binary.LittleEndian.PutUint64(lengths[8:], p.text)
	p.mac.Write(lengths[:])
	return p.mac.Sum(nil)
}

// cipherPass is one way through a plaintext or a ciphertext.
type cipherPass struct {
	stream cipher.Stream
	mac    authenticator // nil: the algorithm has none
	left   uint64        // bytes that the counter is good for
}

func newCipherPass(alg Algorithm, key, iv, aad []byte) (*cipherPass, error) {
	c, ok := contentCiphers[alg]
	if !ok || len(key) != c.key || len(iv) != c.iv {
		return nil, fmt.Errorf("%w: %s with a key of %d and an IV of %d bytes", ErrAlgorithm, AlgorithmName(alg), len(key), len(iv))
	}
	stream, mac, err := c.start(key, iv, aad)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAlgorithm, AlgorithmName(alg), err)
	}
	return &cipherPass{stream: stream, mac: mac, left: c.limit}, nil
}

// overhead is by how many bytes the ciphertext is longer.
func (p *cipherPass) overhead() int {
	if p.mac == nil {
		return 0
	}
	return tagSize
}

// spend counts a piece against what may be encrypted under one IV.
func (p *cipherPass) spend(n int) error {
	if p.mac == nil {
		return nil
	}
	if uint64(n) > p.left {
		return fmt.Errorf("%w: longer than the algorithm may encrypt at once", ErrAlgorithm)
	}
	p.left -= uint64(n)
	return nil
}

// seal encrypts all of the plaintext.
func (p *cipherPass) seal(ciphertext io.Writer, plaintext io.Reader) error {
	buf := make([]byte, pieceSize)
	for last := false; !last; {
		n, err := fill(plaintext, buf)
		if last = err == io.EOF; err != nil && !last {
			return err
		}
		piece := buf[:n]
		if err := p.spend(n); err != nil {
			return err
		}
		p.stream.XORKeyStream(piece, piece)
		if p.mac != nil {
			p.mac.write(piece)
		}
		if _, err := ciphertext.Write(piece); err != nil {
			return err
		}
	}
	if p.mac == nil {
		return nil
	}
	_, err := ciphertext.Write(p.mac.final())
	return err
}

// fill reads until buf is full, or returns io.EOF with what there was before it. Not
// so io.ReadFull, where one that was cut off looks like one that has ended.
func fill(r io.Reader, buf []byte) (n int, err error) {
	const patience = 100 // reads in a row that give nothing
	for idle := 0; n < len(buf) && err == nil; {
		var got int
		got, err = r.Read(buf[n:])
		n += got
		if idle++; got > 0 {
			idle = 0
		}
		if idle == patience && err == nil {
			err = io.ErrNoProgress
		}
	}
	if n == len(buf) {
		return n, nil // an error comes again
	}
	return n, err
}

// sealAll encrypts a plaintext in memory.
func (p *cipherPass) sealAll(plaintext []byte) ([]byte, error) {
	if err := p.spend(len(plaintext)); err != nil {
		return nil, err
	}
	ciphertext := make([]byte, len(plaintext), len(plaintext)+p.overhead())
	p.stream.XORKeyStream(ciphertext, plaintext)
	if p.mac == nil {
		return ciphertext, nil
	}
	p.mac.write(ciphertext)
	return append(ciphertext, p.mac.final()...), nil
}

// openInPlace decrypts the last piece, or all there is, with the tag behind it. It
// looks at the tag first.
func (p *cipherPass) openInPlace(ciphertext []byte) ([]byte, error) {
	n := len(ciphertext) - p.overhead()
	if n < 0 {
		return nil, fmt.Errorf("%w: shorter than its tag", ErrDecrypt)
	}
	piece, tag := ciphertext[:n], ciphertext[n:]
	if err := p.spend(n); err != nil {
		return nil, err
	}
	if p.mac != nil {
		p.mac.write(piece)
		if subtle.ConstantTimeCompare(p.mac.final(), tag) != 1 {
			return nil, fmt.Errorf("%w: the ciphertext or its headers were changed", ErrDecrypt)
		}
	}
	p.stream.XORKeyStream(piece, piece)
	return piece, nil
}

// opener reads the plaintext of a ciphertext that it reads. It always holds back what
// could be the tag.
type opener struct {
	src   io.Reader
	pass  *cipherPass
	buf   []byte // a piece and the tag
	held  []byte // ciphertext in buf that is not decrypted yet
	ready []byte // plaintext in buf
	err   error  // what follows on it
}

func newOpener(src io.Reader, pass *cipherPass) *opener {
	return &opener{src: src, pass: pass, buf: make([]byte, pieceSize+pass.overhead())}
}

// Read implements io.Reader.
func (o *opener) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(o.ready) == 0 && o.err == nil {
		o.ready, o.err = o.next()
	}
	if len(o.ready) == 0 {
		return 0, o.err
	}
	n := copy(p, o.ready)
	o.ready = o.ready[n:]
	return n, nil
}

// next decrypts the next piece: with io.EOF the last one, whose tag is right.
func (o *opener) next() ([]byte, error) {
	held := copy(o.buf, o.held)
	n, err := fill(o.src, o.buf[held:])
	if err == io.EOF {
		piece, err := o.pass.openInPlace(o.buf[:held+n])
		if err != nil {
			return nil, err
		}
		return piece, io.EOF
	}
	if err != nil {
		return nil, err
	}
	piece := o.buf[:pieceSize]
	o.held = o.buf[pieceSize:]
	if err := o.pass.spend(len(piece)); err != nil {
		return nil, err
	}
	if o.pass.mac != nil {
		o.pass.mac.write(piece)
	}
	o.pass.stream.XORKeyStream(piece, piece)
	return piece, nil
}
