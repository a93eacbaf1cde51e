package cosekit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Verification of HSS-LMS signatures (RFC 8554) with the parameter sets of SHA-256
// and 32 bytes, those of section 4.1 and 5.1. There is no signing here: it needs a
// state that must never be rolled back, which is a matter for hardware.

const (
	hssMaxLevels = 8
	hssHashSize  = sha256.Size
	lmsIDSize    = 16
	lmsKeySize   = 4 + 4 + lmsIDSize + hssHashSize
	hssKeySize   = 4 + lmsKeySize
)

// Domain separation of the hashes (RFC 8554 section 3.1).
var (
	lmsPBLC = []byte{0x80, 0x80}
	lmsMESG = []byte{0x81, 0x81}
	lmsLEAF = []byte{0x82, 0x82}
	lmsINTR = []byte{0x83, 0x83}
)

// lmsHeights are the typecodes of LMS_SHA256_M32 (RFC 8554 table 2).
var lmsHeights = map[uint32]int{5: 5, 6: 10, 7: 15, 8: 20, 9: 25}

// lmotsType is a parameter set of LM-OTS.
type lmotsType struct {
	w     int // bits of a digit, the Winternitz parameter
	p     int // digits, each with a hash chain
	shift int // of the checksum
}

// lmotsTypes are the typecodes of LMOTS_SHA256_N32 (RFC 8554 table 1).
var lmotsTypes = map[uint32]lmotsType{1: {1, 265, 7}, 2: {2, 133, 6}, 3: {4, 67, 4}, 4: {8, 34, 0}}

// hssKey is an HSS public key (RFC 8554 section 6.1).
type hssKey struct {
	levels int
	root   lmsKey
}

// lmsKey is an LMS public key (RFC 8554 section 5.3).
type lmsKey struct {
	lmsCode, otsCode uint32
	id, root         []byte
}

var errHSSShort = errors.New("HSS-LMS: too short")

// octets are read from the front. Where there are not enough, what is read is empty
// and short is set.
type octets struct {
	rest  []byte
	short bool
}

func (o *octets) take(n int) []byte {
	if len(o.rest) < n {
		o.rest, o.short = nil, true
		return nil
	}
	taken := o.rest[:n:n]
	o.rest = o.rest[n:]
	return taken
}

func (o *octets) uint32() uint32 {
	if b := o.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// parseHSSKey takes exactly one key with known parameter sets.
func parseHSSKey(encoded []byte) (*hssKey, error) {
	if len(encoded) != hssKeySize {
		return nil, fmt.Errorf("HSS-LMS public key of %d bytes, want %d", len(encoded), hssKeySize)
	}
	encoded = bytes.Clone(encoded)
	levels := binary.BigEndian.Uint32(encoded)
	if levels < 1 || levels > hssMaxLevels {
		return nil, fmt.Errorf("HSS-LMS public key with %d levels, want 1 to %d", levels, hssMaxLevels)
	}
	root, err := parseLMSKey(encoded[4:])
	if err != nil {
		return nil, err
	}
	return &hssKey{int(levels), root}, nil
}

// parseLMSKey takes lmsKeySize bytes.
func parseLMSKey(encoded []byte) (lmsKey, error) {
	if len(encoded) != lmsKeySize {
		return lmsKey{}, errHSSShort
	}
	k := lmsKey{
		lmsCode: binary.BigEndian.Uint32(encoded),
		otsCode: binary.BigEndian.Uint32(encoded[4:]),
		id:      encoded[8 : 8+lmsIDSize],
		root:    encoded[8+lmsIDSize:],
	}
	_, tree := lmsHeights[k.lmsCode]
	_, ots := lmotsTypes[k.otsCode]
	if !tree || !ots {
		return lmsKey{}, fmt.Errorf("HSS-LMS: LMS type %d with LM-OTS type %d is not supported", k.lmsCode, k.otsCode)
	}
	return k, nil
}

// Verify checks a signature of message: each level but the last signs the key of the
// next (RFC 8554 section 6.3).
func (k *hssKey) Verify(message, signature []byte) error {
	in := octets{rest: signature}
	signedKeys := in.uint32()
	if !in.short && signedKeys != uint32(k.levels-1) {
		return fmt.Errorf("HSS-LMS: signature with %d signed keys under a key of %d levels", signedKeys, k.levels)
	}
	key := k.root
	for range k.levels - 1 {
		signed, err := in.lmsSignature(key)
		if err != nil {
			return err
		}
		next := in.take(lmsKeySize)
		if err := key.verify(next, signed); err != nil {
			return err
		}
		if key, err = parseLMSKey(next); err != nil {
			return err
		}
	}
	last, err := in.lmsSignature(key)
	if err != nil {
		return err
	}
	if len(in.rest) > 0 {
		return fmt.Errorf("HSS-LMS: %d bytes behind the signature", len(in.rest))
	}
	return key.verify(message, last)
}

// lmsSignature is an LMS signature (RFC 8554 section 5.4).
type lmsSignature struct {
	q        uint32 // number of the leaf
	c        []byte // randomizer
	y, nodes []byte // LM-OTS hashes; nodes from the leaf to the root
}

// lmsSignature reads a signature of the types of key, which say how long it is.
func (o *octets) lmsSignature(key lmsKey) (lmsSignature, error) {
	ots, height := lmotsTypes[key.otsCode], lmsHeights[key.lmsCode]
	s := lmsSignature{q: o.uint32()}
	otsCode := o.uint32()
	s.c, s.y = o.take(hssHashSize), o.take(ots.p*hssHashSize)
	lmsCode := o.uint32()
	s.nodes = o.take(height * hssHashSize)
	switch {
	case o.short:
		return s, errHSSShort
	case otsCode != key.otsCode || lmsCode != key.lmsCode:
		return s, fmt.Errorf("HSS-LMS: signature of types %d and %d under a key of types %d and %d",
			lmsCode, otsCode, key.lmsCode, key.otsCode)
	case s.q >= 1<<height:
		return s, fmt.Errorf("HSS-LMS: leaf %d in a tree of height %d", s.q, height)
	}
	return s, nil
}

// verify computes the root of the tree from the signature (RFC 8554 algorithm 6a).
func (k lmsKey) verify(message []byte, s lmsSignature) error {
	node := uint32(1)<<lmsHeights[k.lmsCode] + s.q
	hash := k.hash(node, lmsLEAF, k.oneTimeKey(message, s))
	for nodes := s.nodes; len(nodes) > 0; nodes = nodes[hssHashSize:] {
		left, right := hash, nodes[:hssHashSize]
		if node&1 == 1 {
			left, right = right, left
		}
		node /= 2
		hash = k.hash(node, lmsINTR, left, right)
	}
	if !bytes.Equal(hash, k.root) {
		return errors.New("HSS-LMS: does not lead to the root of the tree")
	}
	return nil
}

// oneTimeKey computes the LM-OTS public key that the signature is by (RFC 8554
// algorithm 4b).
func (k lmsKey) oneTimeKey(message []byte, s lmsSignature) []byte {
	ots := lmotsTypes[k.otsCode]
	digits := ots.digits(k.hash(s.q, lmsMESG, s.c, message))
	ends := make([]byte, 0, ots.p*hssHashSize)
	for i, digit := range digits {
		ends = k.appendEnd(ends, s.q, i, digit, 1<<ots.w-1, s.y[i*hssHashSize:][:hssHashSize])
	}
	return k.hash(s.q, lmsPBLC, ends)
}

// digits splits a hash and its checksum into digits of w bits (RFC 8554 section 4.4).
func (t lmotsType) digits(hash []byte) []int {
	digits := make([]int, 0, t.p)
	split := func(b []byte) {
		for _, octet := range b {
			for left := 8 - t.w; left >= 0; left -= t.w {
				digits = append(digits, int(octet)>>left&(1<<t.w-1))
			}
		}
	}
	split(hash)
	sum := 0
	for _, digit := range digits {
		sum += 1<<t.w - 1 - digit
	}
	split(binary.BigEndian.AppendUint16(nil, uint16(sum<<t.shift)))
	return digits[:t.p]
}

// appendEnd hashes from one place of chain i to another, and appends what is there.
func (k lmsKey) appendEnd(ends []byte, q uint32, i, from, to int, start []byte) []byte {
	const head = lmsIDSize + 4 + 2 + 1
	var b [head + hssHashSize]byte
	copy(b[:], k.id)
	binary.BigEndian.PutUint32(b[lmsIDSize:], q)
	binary.BigEndian.PutUint16(b[lmsIDSize+4:], uint16(i))
	copy(b[head:], start)
	for j := from; j < to; j++ {
		b[head-1] = byte(j)
		sum := sha256.Sum256(b[:])
		copy(b[head:], sum[:])
	}
	return append(ends, b[head:]...)
}

// hash is H(I || number || domain || parts).
func (k lmsKey) hash(number uint32, domain []byte, parts ...[]byte) []byte {
	h := sha256.New()
	h.Write(k.id)
	h.Write(binary.BigEndian.AppendUint32(nil, number))
	h.Write(domain)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}
