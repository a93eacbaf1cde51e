package device

import (
	"reflect"
	"testing"

	"github.com/goccy/go-yaml"
)

// FuzzParseSettings: whatever is accepted is written and read back the same.
func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(sound))
	f.Add([]byte(sound + `
manifests: {signatures: classical+post-quantum, compat: true, max-download: 1, secret-keys: [a]}
conditions: {battery: "file:/run/battery", authorized: -3, clock: true, wait: 1m}
applications: {time: 1s, memory-mib: 8}
`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSettings(data)
		if err != nil {
			return
		}
		text, err := yaml.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSettings(text)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v\nread back as %+v, %v\n%s", s, again, err, text)
		}
	})
}
