package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// ReadInput reads a file that holds an object: binary, or as hexadecimal or base64
// text with any line breaks. A JWT stays the text that it is.
func ReadInput(from io.Reader) ([]byte, error) {
	const most = 2*MaxInput + 1<<20 // as text, with line breaks
	data, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxInput)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%w: there is nothing in it", ErrNotCBOR)
	}
	if bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: this is PEM, a key or a certificate", ErrNotCBOR)
	}
	text, ok := asText(data)
	if !ok {
		return data, nil
	}
	decoded, err := decodeText(text)
	if whole(data) && (err != nil || !whole(decoded)) {
		return data, nil // a small object of which every byte happens to be printable
	}
	return decoded, err
}

// asText returns data without white space if it is printable ASCII.
func asText(data []byte) (string, bool) {
	text := strings.Join(strings.Fields(string(data)), "")
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return text, true
}

// whole reports whether data is one item and nothing else.
func whole(data []byte) bool {
	budget := maxItems
	_, err := parseWhole(data, &budget, 0)
	return err == nil
}

// decodeText undoes a text form.
func decodeText(text string) ([]byte, error) {
	if looksJWT([]byte(text)) {
		return []byte(text), nil
	}
	if decoded, err := hex.DecodeString(strings.TrimPrefix(text, "0x")); err == nil {
		return decoded, nil
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(unpadded); err == nil {
			return decoded, nil
		}
	}
	return nil, fmt.Errorf("%w: this is text, and neither hexadecimal nor base64 nor a JWT", ErrNotCBOR)
}
