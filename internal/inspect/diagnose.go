package inspect

import (
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Diagnose writes an object in diagnostic notation (RFC 8949 section 8), byte strings
// that hold an array, a map or a tagged item opened as <<…>> (RFC 8610 appendix G.3).
// Nothing is left out: private keys and payloads are there in full.
func Diagnose(data []byte) (string, error) {
	if len(data) > MaxInput {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxInput)
	}
	r := &reader{budget: maxItems}
	it, err := parseWhole(data, &r.budget, 0)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	r.diagnose(&out, it)
	return out.String(), nil
}

// diagnose writes containers itself and leaves everything else to the library: its
// own way to open byte strings takes far too many for CBOR.
func (r *reader) diagnose(out *strings.Builder, it item) {
	switch it.major {
	case cosekit.MajorArray:
		r.diagnoseList(out, it, "[", "]")
	case cosekit.MajorMap:
		r.diagnoseList(out, it, "{", "}")
	case cosekit.MajorTag:
		fmt.Fprintf(out, "%d(", it.arg)
		r.diagnose(out, it.items[0])
		out.WriteString(")")
	case cosekit.MajorBytes:
		if inner, ok := r.open(it); ok && !it.indefinite {
			r.opened++
			out.WriteString("<<")
			r.diagnose(out, inner)
			out.WriteString(">>")
			r.opened--
			return
		}
		leaf(out, it)
	default:
		leaf(out, it)
	}
}

func (r *reader) diagnoseList(out *strings.Builder, it item, open, end string) {
	out.WriteString(open)
	if it.indefinite {
		out.WriteString("_ ")
	}
	for i, e := range it.items {
		switch {
		case i == 0:
		case it.isMap() && i%2 == 1:
			out.WriteString(": ")
		default:
			out.WriteString(", ")
		}
		r.diagnose(out, e)
	}
	out.WriteString(end)
}

// leaf writes an item without items. Text that is not UTF-8, which the library
// refuses, is written as its bytes.
func leaf(out *strings.Builder, it item) {
	text, err := cbor.Diagnose(it.raw)
	if err != nil {
		text = fmt.Sprintf("/ not valid / h'%x'", it.raw)
	}
	out.WriteString(text)
}
