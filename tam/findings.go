package tam

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
)

// maxFindings caps the claims of one appraisal that are kept, in bytes, and by itself what
// was compared. Sizes are those of JSON, where a byte of a claim may become six.
const maxFindings = 256 << 10

// notKept stands in the record for claims that are over the cap.
const notKept = "not kept"

// leafLimits are the sizes of claims that are left out, one after the other, until the rest
// is within the cap: a device that makes one claim huge must not hide the others by it.
var leafLimits = []int{4096, 256, 32}

// claimsJSON writes the claims that a Verifier found. Evidence that is genuine has some, be
// it none by name.
func claimsJSON(document map[string]any) ([]byte, error) {
	if len(document) == 0 {
		return []byte("{}"), nil
	}
	encoded, err := json.Marshal(document)
	for _, limit := range leafLimits {
		if err != nil || len(encoded) <= maxFindings {
			return encoded, err
		}
		dropped := 0
		kept := smaller(document, limit, &dropped).(map[string]any)
		kept[notKept] = fmt.Sprintf("%d values of more than %d bytes", dropped, limit)
		encoded, err = json.Marshal(kept)
	}
	if err == nil && len(encoded) > maxFindings {
		return json.Marshal(map[string]any{notKept: fmt.Sprintf("%d bytes", len(encoded))})
	}
	return encoded, err
}

// smaller copies a document without what is larger than limit with its name.
func smaller(node any, limit int, dropped *int) any {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for name, child := range node {
			if sizeOf(name) > limit || sizeOf(name)+leafSize(child) > limit {
				*dropped++
				continue
			}
			out[name] = smaller(child, limit, dropped)
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i, child := range node {
			if leafSize(child) > limit {
				*dropped++
				out[i] = notKept
				continue
			}
			out[i] = smaller(child, limit, dropped)
		}
		return out
	}
	return node
}

// leafSize is that of what has no parts.
func leafSize(node any) int {
	switch node.(type) {
	case map[string]any, []any:
		return 0
	}
	return sizeOf(node)
}

func sizeOf(leaf any) int {
	encoded, _ := json.Marshal(leaf) // what does not marshal has failed before
	return len(encoded)
}

// comparisonsJSON writes what a Verifier compared: where that is too much, what is wrong
// before what is right, and how much is left out.
func comparisonsJSON(list []attest.Comparison) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(list)
	if err != nil || len(encoded) <= maxFindings {
		return encoded, err
	}
	ordered := slices.Clone(list)
	slices.SortStableFunc(ordered, func(a, b attest.Comparison) int { return rank(a) - rank(b) })
	const room = 1 << 10 // for the note
	var kept []attest.Comparison
	size := room
	for _, c := range ordered {
		if n := sizeOf(c) + 1; size+n <= maxFindings {
			kept, size = append(kept, c), size+n
		}
	}
	kept = append(kept, attest.Comparison{
		Element: attest.Executables, Name: notKept, Measured: fmt.Sprintf("%d of %d values", len(list)-len(kept), len(list)),
	})
	return json.Marshal(kept)
}

// rank is lower for what somebody should see first.
func rank(c attest.Comparison) int {
	switch {
	case c.Match:
		return 2
	case len(c.Expected) == 0:
		return 1
	}
	return 0
}
