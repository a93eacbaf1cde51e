package testvectors

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLoadRefusesOtherFiles(t *testing.T) {
	const index = `{"vectors": [{"name": "a/one", "file": "a/one.cbor", "sha256": "` +
		`6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"}]}` // of a zero byte
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no index":     {fstest.MapFS{}, fs.ErrNotExist.Error()},
		"no JSON":      {fstest.MapFS{"index.json": {Data: []byte("{")}}, "index.json: "},
		"not hex":      {fstest.MapFS{"index.json": {Data: []byte(`{"challenge_hex": "x"}`)}}, "index.json: "},
		"missing file": {fstest.MapFS{"index.json": {Data: []byte(index)}}, "vector a/one: "},
		"other file":   {fstest.MapFS{"index.json": {Data: []byte(index)}, "a/one.cbor": {Data: []byte{1}}}, "a/one.cbor is not the file"},
	} {
		if _, err := load(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	got, err := load(fstest.MapFS{"index.json": {Data: []byte(index)}, "a/one.cbor": {Data: []byte{0}}})
	if err != nil || len(got.Vectors[0].Data) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHexAsText(t *testing.T) {
	data, err := json.Marshal(Hex{0x0a, 0xff})
	if err != nil || string(data) != `"0aff"` {
		t.Fatalf("%s, %v", data, err)
	}
	var back Hex
	if err := json.Unmarshal(data, &back); err != nil || string(back) != "\x0a\xff" {
		t.Fatalf("%x, %v", []byte(back), err)
	}
}
