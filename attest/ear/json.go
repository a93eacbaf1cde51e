package ear

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// readJSON reads a claims set into maps, slices, strings, bools, nil, int64 for integers
// and json.Number for every other number. encoding/json alone is too lax for what was
// signed: of members with the same name it takes the last one, and it mends text that is
// not UTF-8. The caps are those of CBOR.
func readJSON(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, fmt.Errorf("%w: the claims are not JSON in UTF-8", ErrResult)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	r := jsonReader{d, cosekit.MaxItems}
	v, err := r.value(0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResult, err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: the claims are not an object", ErrResult)
	}
	return object, nil
}

type jsonReader struct {
	*json.Decoder
	left int
}

func (r *jsonReader) value(depth int) (any, error) {
	if r.left--; r.left < 0 {
		return nil, fmt.Errorf("more than %d values", cosekit.MaxItems)
	}
	if depth > cosekit.MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d", cosekit.MaxDepth)
	}
	token, err := r.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case json.Number:
		if n, err := token.Int64(); err == nil {
			return n, nil
		}
	}
	return token, nil
}

func (r *jsonReader) object(depth int) (any, error) {
	object := map[string]any{}
	for r.More() {
		token, err := r.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("a member without a name")
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("member %.64q twice", name)
		}
		if object[name], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := r.Token() // the brace
	return object, err
}

func (r *jsonReader) array(depth int) (any, error) {
	array := []any{}
	for r.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := r.Token() // the bracket
	return array, err
}
