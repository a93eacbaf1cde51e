package inspect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Caps on what is read. Tamarack's own decoders take far less.
const (
	MaxInput   = 16 << 20 // bytes of an object
	maxItems   = 1 << 17  // items of an object, those of opened byte strings among them
	maxNesting = 64       // items inside each other, opened byte strings included
	maxOpened  = 16       // byte strings opened inside each other
)

// item is one CBOR data item as it came, also where a strict decoder would refuse
// its encoding: order, longer heads and indefinite lengths are kept.
type item struct {
	raw        []byte
	off        int // of raw, in the encoding that it is part of
	major      cosekit.MajorType
	info       byte
	arg        uint64
	indefinite bool
	content    []byte // of a string, its chunks joined
	items      []item // of an array or a tag; of a map, key and value in turn
}

// parse reads the first item of data, which itself stands so deep inside another.
// It takes one from budget for each item.
func parse(data []byte, budget *int, depth int) (item, error) {
	p := parser{data: data, budget: budget}
	return p.item(0, depth)
}

// parseWhole is parse for data that is nothing but one item.
func parseWhole(data []byte, budget *int, depth int) (item, error) {
	it, err := parse(data, budget, depth)
	if err == nil && len(it.raw) != len(data) {
		err = fmt.Errorf("%w: %s behind the item", ErrNotCBOR, byteCount(len(data)-len(it.raw)))
	}
	return it, err
}

type parser struct {
	data   []byte
	budget *int
}

func (p *parser) item(pos, depth int) (item, error) {
	if *p.budget--; *p.budget < 0 {
		return item{}, fmt.Errorf("%w: more than %d items", ErrTooLarge, maxItems)
	}
	if depth > maxNesting {
		return item{}, fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, maxNesting)
	}
	it, body, err := p.head(pos)
	if err != nil {
		return item{}, err
	}
	end := body
	switch it.major {
	case cosekit.MajorBytes, cosekit.MajorText:
		end, err = p.str(&it, body, depth)
	case cosekit.MajorArray:
		end, err = p.elements(&it, body, depth, it.arg)
	case cosekit.MajorMap:
		if it.arg > math.MaxInt32 {
			return item{}, p.truncated(pos)
		}
		end, err = p.elements(&it, body, depth, 2*it.arg)
	case cosekit.MajorTag:
		end, err = p.elements(&it, body, depth, 1)
	}
	it.raw = p.data[pos:end:end]
	return it, err
}

// head reads the first part of an item and returns where the rest begins.
func (p *parser) head(pos int) (item, int, error) {
	rest := p.data[pos:]
	if len(rest) == 0 {
		return item{}, pos, p.truncated(pos)
	}
	it := item{off: pos, major: cosekit.MajorType(rest[0] >> 5), info: rest[0] & 0x1f}
	switch {
	case it.info < 24:
		it.arg = uint64(it.info)
		return it, pos + 1, nil
	case it.info == 31 && it.major >= cosekit.MajorBytes && it.major <= cosekit.MajorMap:
		it.indefinite = true
		return it, pos + 1, nil
	case it.info > 27:
		return item{}, pos, fmt.Errorf("%w: reserved head 0x%02x at byte %d", ErrNotCBOR, rest[0], pos)
	}
	width := 1 << (it.info - 24)
	if len(rest) < 1+width {
		return item{}, pos, p.truncated(pos)
	}
	var wide [8]byte
	copy(wide[8-width:], rest[1:])
	it.arg = binary.BigEndian.Uint64(wide[:])
	return it, pos + 1 + width, nil
}

func (p *parser) truncated(pos int) error {
	return fmt.Errorf("%w: it ends inside the item that begins at byte %d", ErrNotCBOR, pos)
}

// atBreak reports whether the end of an indefinite length is at pos.
func (p *parser) atBreak(pos int) bool { return pos < len(p.data) && p.data[pos] == 0xff }

func (p *parser) str(it *item, pos, depth int) (int, error) {
	if !it.indefinite {
		if it.arg > uint64(len(p.data)-pos) {
			return pos, p.truncated(it.off)
		}
		end := pos + int(it.arg)
		it.content = p.data[pos:end:end]
		return end, nil
	}
	for !p.atBreak(pos) {
		chunk, err := p.item(pos, depth+1)
		if err != nil {
			return pos, err
		}
		if chunk.major != it.major || chunk.indefinite {
			return pos, fmt.Errorf("%w: chunk of another type at byte %d", ErrNotCBOR, pos)
		}
		it.content = append(it.content, chunk.content...)
		pos += len(chunk.raw)
	}
	return pos + 1, nil
}

func (p *parser) elements(it *item, pos, depth int, n uint64) (int, error) {
	if n > uint64(len(p.data)-pos) { // each takes a byte at least
		return pos, p.truncated(it.off)
	}
	for i := uint64(0); it.indefinite && !p.atBreak(pos) || !it.indefinite && i < n; i++ {
		e, err := p.item(pos, depth+1)
		if err != nil {
			return pos, err
		}
		it.items = append(it.items, e)
		pos += len(e.raw)
	}
	if !it.indefinite {
		return pos, nil
	}
	if it.major == cosekit.MajorMap && len(it.items)%2 != 0 {
		return pos, fmt.Errorf("%w: map key without a value at byte %d", ErrNotCBOR, pos)
	}
	return pos + 1, nil
}

func (it item) isMap() bool   { return it.major == cosekit.MajorMap }
func (it item) isArray() bool { return it.major == cosekit.MajorArray }
func (it item) isBytes() bool { return it.major == cosekit.MajorBytes }
func (it item) isText() bool  { return it.major == cosekit.MajorText }
func (it item) isUint() bool  { return it.major == cosekit.MajorUint }
func (it item) isNull() bool  { return it.major == cosekit.MajorSimple && it.info == 22 }
func (it item) isBool() bool {
	return it.major == cosekit.MajorSimple && (it.info == 20 || it.info == 21)
}

// integer returns the value of an integer that an int64 can hold.
func (it item) integer() (int64, bool) {
	if it.major > cosekit.MajorNegative || it.arg > math.MaxInt64 {
		return 0, false
	}
	if it.major == cosekit.MajorNegative {
		return -1 - int64(it.arg), true
	}
	return int64(it.arg), true
}

// is reports whether the item is this integer.
func (it item) is(n int64) bool {
	got, ok := it.integer()
	return ok && got == n
}

// untagged returns the item behind its tags, and the tags from the outside in.
func (it item) untagged() (item, []uint64) {
	var tags []uint64
	for it.major == cosekit.MajorTag {
		tags = append(tags, it.arg)
		it = it.items[0]
	}
	return it, tags
}

// get returns the first value that a map has under an integer key.
func (it item) get(key int64) (item, bool) {
	if !it.isMap() {
		return item{}, false
	}
	for i := 0; i < len(it.items); i += 2 {
		if it.items[i].is(key) {
			return it.items[i+1], true
		}
	}
	return item{}, false
}

// has reports whether a map has the key with a value for which want holds.
func (it item) has(key int64, want func(item) bool) bool {
	value, ok := it.get(key)
	return ok && want(value)
}

// all reports whether the item is an array of elements for which want holds.
func (it item) all(want func(item) bool) bool {
	if !it.isArray() {
		return false
	}
	for _, e := range it.items {
		if !want(e) {
			return false
		}
	}
	return true
}

// canonical is the encoding of a map key that tells duplicates whatever their heads.
func (it item) canonical() string {
	switch it.major {
	case cosekit.MajorUint, cosekit.MajorNegative, cosekit.MajorBytes, cosekit.MajorText:
		arg := it.arg
		if it.indefinite {
			arg = uint64(len(it.content))
		}
		head := binary.BigEndian.AppendUint64([]byte{byte(it.major)}, arg)
		return string(append(head, it.content...))
	}
	return string(append([]byte{0xff}, it.raw...))
}

// values returns the values of a map by their canonical keys.
func (it item) values() map[string]item {
	values := map[string]item{}
	for i := 0; it.isMap() && i < len(it.items); i += 2 {
		values[it.items[i].canonical()] = it.items[i+1]
	}
	return values
}

// preferred reports whether the head is as short as it can be (RFC 8949 section 4.1).
func (it item) preferred() bool {
	if it.info < 24 || it.info > 27 || it.major == cosekit.MajorSimple {
		return true
	}
	return it.arg >= [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[it.info-24]
}

// sorted reports whether the keys of a map ascend bytewise, and where they do not.
func (it item) sorted() (off int, ok bool) {
	for i := 2; i < len(it.items); i += 2 {
		if bytes.Compare(it.items[i-2].raw, it.items[i].raw) > 0 {
			return it.items[i].off, false
		}
	}
	return 0, true
}
