package author

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: whatever the document, there is a description or a refusal of one line,
// and a description either makes a manifest that lints without an error or is refused.
func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte("component: 0x0a/b\nversion: 1.10 # tenth\npayload: {integrated: true}\n"))
	f.Add([]byte("class-info: |-\n  two\n  lines\ntext: {en: {manifest: \"m\"}}\n"))
	for _, t := range templates {
		f.Add([]byte(t.document))
	}
	for _, t := range badDescriptions {
		f.Add([]byte(t.document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrDescription) {
				t.Fatal(err)
			}
			return
		}
		// The files of the fuzzer's choice are nobody's.
		read, written := d.files()
		for _, name := range append(read, written...) {
			if *name != "" {
				*name = filepath.Join(t.TempDir(), "none")
			}
		}
		if d.Components == nil && !d.Payload.encrypted() {
			d.Payload.File = ""
			m, payloads, err := CreateFrom(d, strings.NewReader(payload))
			if err != nil {
				return
			}
			check := &Result{Manifest: m, Payloads: payloads}
			e, err := check.Envelope()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := e.Encode(true)
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range Lint(raw) {
				if finding.Severity == Error && finding.Rule != "component-id" {
					t.Errorf("%+v", finding)
				}
			}
			return
		}
		if r, err := Create(d); err == nil && r.Manifest == nil {
			t.Fatal("neither a manifest nor an error")
		}
	})
}

// FuzzLint: whatever the bytes, the linter comes to an end, and what has no error
// decodes.
func FuzzLint(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, err := decode(data)
		found := Lint(data)
		if err != nil && (len(found) != 1 || found[0].Severity != Error) {
			t.Errorf("%v, found %v", err, found)
		}
	})
}

// FuzzDiff: whatever the bytes, there is a difference or an error, and none with itself.
func FuzzDiff(f *testing.F) {
	all := seeds(f)
	for _, data := range all {
		f.Add(data, all[0])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if changes, err := Diff(a, a); err == nil && len(changes) > 0 {
			t.Errorf("with itself: %+v", changes)
		}
		if changes, err := Diff(a, b); err != nil && changes != nil {
			t.Errorf("both %v and %v", changes, err)
		}
	})
}

// seeds are envelopes of all templates, and the published ones.
func seeds(f *testing.F) [][]byte {
	var list [][]byte
	dir := folder(f)
	for _, test := range templates {
		list = append(list, encode(f, create(f, dir, test.document)))
	}
	published, err := filepath.Glob(filepath.Join(os.Getenv("TEEP_VECTORS"), "suit-*", "*.cbor"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range published {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		list = append(list, data)
	}
	return list
}
