// Package hsstest signs with HSS-LMS (RFC 8554), for tests of those who verify. [NewTree]
// makes a key of a text; a [Key] has one for each level. All of its secrets come of that
// text, and a leaf may sign twice: nothing that is signed with it is to be trusted.
package hsstest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Domain separation of the hashes (RFC 8554 section 3.1).
var (
	domainKey     = []byte{0x80, 0x80}
	domainMessage = []byte{0x81, 0x81}
	domainLeaf    = []byte{0x82, 0x82}
	domainNode    = []byte{0x83, 0x83}
)

// oneTime is a parameter set of LM-OTS: bits of a digit, digits, shift of the checksum.
type oneTime struct{ w, p, shift int }

// oneTimes are the typecodes of LMOTS_SHA256_N32 (RFC 8554 table 1).
var oneTimes = map[uint32]oneTime{1: {1, 265, 7}, 2: {2, 133, 6}, 3: {4, 67, 4}, 4: {8, 34, 0}}

// Tree is an LMS private key.
type Tree struct {
	lms, ots uint32 // typecodes
	height   int
	id       []byte
	seed     string
	nodes    [][]byte // numbered as in RFC 8554 section 5.3, from 1
}

// NewTree makes an LMS key with the parameter sets of these typecodes: LMS_SHA256_M32 is 5
// for a tree of height 5, 6 for one of height 10 and so on, LMOTS_SHA256_N32 is 1 to 4 for
// digits of 1, 2, 4 and 8 bits.
func NewTree(lms, ots uint32, seed string) *Tree {
	id := sha256.Sum256([]byte(seed))
	t := &Tree{lms: lms, ots: ots, height: 5 * (int(lms) - 4), id: id[:16], seed: seed}
	leaves := uint32(1) << t.height
	t.nodes = make([][]byte, 2*leaves)
	o := oneTimes[ots]
	for q := range leaves {
		var ends []byte
		for i := range o.p {
			ends = append(ends, t.chain(q, i, 1<<o.w-1)...)
		}
		t.nodes[leaves+q] = t.hash(leaves+q, domainLeaf, t.hash(q, domainKey, ends))
	}
	for node := leaves - 1; node > 0; node-- {
		t.nodes[node] = t.hash(node, domainNode, t.nodes[2*node], t.nodes[2*node+1])
	}
	return t
}

// secret is where chain i of a leaf begins; -1 gives the randomizer.
func (t *Tree) secret(q uint32, i int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", t.seed, q, i))
	return sum[:]
}

// chain hashes from the beginning of chain i that many times (RFC 8554 section 4.3).
func (t *Tree) chain(q uint32, i, times int) []byte {
	at := t.secret(q, i)
	for j := range times {
		b := binary.BigEndian.AppendUint32(append([]byte{}, t.id...), q)
		b = append(binary.BigEndian.AppendUint16(b, uint16(i)), byte(j))
		sum := sha256.Sum256(append(b, at...))
		at = sum[:]
	}
	return at
}

// hash is H(I || number || domain || parts).
func (t *Tree) hash(number uint32, domain []byte, parts ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(append([]byte{}, t.id...), number)
	b = append(b, domain...)
	for _, part := range parts {
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// digits splits a hash and its checksum into digits (RFC 8554 section 4.4).
func (o oneTime) digits(hash []byte) []int {
	digits, sum := make([]int, 0, o.p), 0
	split := func(b []byte, count int) {
		for i := range count {
			at := i * o.w
			digits = append(digits, int(b[at/8])>>(8-o.w-at%8)&(1<<o.w-1))
		}
	}
	split(hash, 8*len(hash)/o.w)
	for _, digit := range digits {
		sum += 1<<o.w - 1 - digit
	}
	split(binary.BigEndian.AppendUint16(nil, uint16(sum<<o.shift)), o.p-len(digits))
	return digits
}

// Public is the LMS public key (RFC 8554 section 5.3).
func (t *Tree) Public() []byte {
	b := binary.BigEndian.AppendUint32(nil, t.lms)
	b = binary.BigEndian.AppendUint32(b, t.ots)
	return append(append(b, t.id...), t.nodes[1]...)
}

// Sign signs with one leaf (RFC 8554 section 5.4).
func (t *Tree) Sign(leaf uint32, message []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, leaf)
	b = binary.BigEndian.AppendUint32(b, t.ots)
	randomizer := t.secret(leaf, -1)
	b = append(b, randomizer...)
	for i, digit := range oneTimes[t.ots].digits(t.hash(leaf, domainMessage, randomizer, message)) {
		b = append(b, t.chain(leaf, i, digit)...)
	}
	b = binary.BigEndian.AppendUint32(b, t.lms)
	for node := uint32(1)<<t.height + leaf; node > 1; node /= 2 {
		b = append(b, t.nodes[node^1]...)
	}
	return b
}

// Key is an HSS private key: one tree for each level, the last of which signs messages.
type Key []*Tree

// Public is the HSS public key (RFC 8554 section 6.1).
func (k Key) Public() []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(k))), k[0].Public()...)
}

// Sign signs a message, each level with the same leaf every time (RFC 8554 section 6.2).
func (k Key) Sign(message []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(k)-1))
	last := len(k) - 1
	for i, tree := range k[:last] {
		next := k[i+1].Public()
		b = append(append(b, tree.Sign(leaf(i), next)...), next...)
	}
	return append(b, k[last].Sign(leaf(last), message)...)
}

// leaf is the one that a level signs with: another one each, in the smallest of trees.
func leaf(level int) uint32 { return uint32(7 * level % 32) }
