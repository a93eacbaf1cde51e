package author

import (
	"errors"
	"strings"
	"testing"
)

// FuzzParse: whatever the document, there is a description or a refusal, and a
// description either makes a manifest that encodes or is refused.
func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte("component: 0x0a/b\nversion: 1.10 # tenth\npayload: {integrated: true}\n"))
	f.Add([]byte("class-info: |-\n  two\n  lines\ntext: {en: {manifest: \"m\"}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrDescription) {
				t.Fatal(err)
			}
			return
		}
		m, payloads, err := CreateFrom(d, strings.NewReader(payload))
		if err != nil {
			if !errors.Is(err, ErrDescription) {
				t.Fatal(err)
			}
			return
		}
		if _, err := m.Encode(true); err != nil || len(payloads) > 1 {
			t.Fatalf("%d payloads, %v", len(payloads), err)
		}
	})
}
