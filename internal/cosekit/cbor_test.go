package cosekit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nest returns levels arrays around an empty one.
func nest(levels int) string { return strings.Repeat("81", levels) + "80" }

func TestValidate(t *testing.T) {
	tests := []struct {
		name, item string
		ok         bool
	}{
		{"empty input", "", false},
		{"unsigned", "1903e8", true},
		{"unsigned in more bytes than needed", "1900 05", true},
		{"truncated head", "19 03", false},
		{"reserved head", "1c", false},
		{"truncated byte string", "43 0102", false},
		{"byte string of 2^64-1", "5bffffffffffffffff", false},
		{"byte string of 2^63", "5b8000000000000000 01", false},
		{"text", "63 c3a961", true},
		{"text that is not UTF-8", "62 c328", false},
		{"map", "a2 01 02 03 04", true},
		{"map out of order", "a2 03 04 01 02", true},
		{"map with a missing value", "a1 01", false},
		{"duplicate key", "a2 01 02 01 03", false},
		{"duplicate key in a longer encoding", "a2 01 02 1801 03", false},
		{"key in a longer encoding", "a1 1801 02", false},
		{"key string with a longer head", "a1 5801 61 02", false},
		{"duplicate key one level down", "a1 01 a2 02 03 02 04", false},
		{"duplicate key inside an array", "81 a2 02 03 02 04", false},
		{"duplicate key inside a tag", "c1 a2 02 03 02 04", false},
		{"duplicate text key", "a2 6161 01 6161 02", false},
		{"array as a key", "a1 82 01 02 03", true},
		{"map as a key", "a1 a0 01", false},
		{"map inside a key", "a1 81 a0 01", false},
		{"float as a key", "a1 f93c00 01", false},
		{"true as a key", "a1 f5 01", true},
		{"duplicate behind many keys", manyKeys(10) + "01 00", false},
		{"duplicate of a late key", manyKeys(10) + "09 00", false},
		{"many keys", manyKeys(10) + "17 00", true},
		{"indefinite bytes", "5f 4101 ff", false},
		{"indefinite text", "7f 6161 ff", false},
		{"indefinite array", "9f 01 ff", false},
		{"indefinite map", "bf 01 02 ff", false},
		{"indefinite array one level down", "81 9f 01 ff", false},
		{"break alone", "ff", false},
		{"simple value", "f820", true},
		{"reserved simple value", "f81f", false},
		{"float", "fb3ff199999999999a", true},
		{"trailing byte", "01 00", false},
		{"at the depth", nest(MaxDepth), true},
		{"beyond the depth", nest(MaxDepth + 1), false},
		{"tags beyond the depth", strings.Repeat("c1", MaxDepth+1) + "00", false},
		{"array of 2^32-1", "9affffffff", false},
		{"map of 2^64-1", "bbffffffffffffffff", false},
		{"more elements than allowed", "991001" + strings.Repeat("00", 4097), false},
		{"as many elements as allowed", "991000" + strings.Repeat("00", 4096), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(unhex(t, tt.item))
			if tt.ok && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !tt.ok && !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

// manyKeys is a map of n keys and room for one more, which the caller adds.
func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString(hex.EncodeToString([]byte{0xa0 + byte(n) + 1}))
	for i := range n {
		b.WriteString(hex.EncodeToString([]byte{byte(i), 0}))
	}
	return b.String()
}

func TestValidateDoesNotAllocateForMaps(t *testing.T) {
	item := append([]byte{0x99, 0x10, 0x00}, bytes.Repeat([]byte{0xa1, 0x01, 0x02}, 4096)...)
	if allocs := testing.AllocsPerRun(10, func() {
		if err := Validate(item); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 {
		t.Errorf("%v allocations for 4096 maps, want none", allocs)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, item := range map[string]string{
		"bignum for an integer": "c24101",
		"text for an integer":   "6131",
		"float for an integer":  "f93c00",
		"2^63":                  "1b8000000000000000",
		"trailing byte":         "0100",
	} {
		var n int64
		if err := Unmarshal(unhex(t, item), &n); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

func TestMarshalIsDeterministic(t *testing.T) {
	got, err := Marshal(map[any]any{"a": 1, int64(300): []byte(nil), -1: [][]byte(nil), 10: nil})
	if err != nil {
		t.Fatal(err)
	}
	// Bytewise order of the encoded keys; nil slices empty, an untyped nil null.
	if want := unhex(t, "a4 0af6 19012c40 2080 616101"); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestReaders(t *testing.T) {
	read := map[string]func([]byte) (any, error){
		"Uint":     func(b []byte) (any, error) { return Uint(b) },
		"Int":      func(b []byte) (any, error) { return Int(b) },
		"Bool":     func(b []byte) (any, error) { return Bool(b) },
		"Text":     func(b []byte) (any, error) { return Text(b) },
		"Bytes":    func(b []byte) (any, error) { return Bytes(b) },
		"Elements": func(b []byte) (any, error) { return Elements(b) },
		"Pairs":    func(b []byte) (any, error) { return Pairs(b) },
	}
	accepted := map[string]map[string]any{
		"00":                 {"Uint": uint64(0), "Int": int64(0)},
		"1bffffffffffffffff": {"Uint": uint64(1<<64 - 1)},
		"20":                 {"Int": int64(-1)},
		"3b7fffffffffffffff": {"Int": int64(-1 << 63)},
		"3b8000000000000000": {},
		"f4":                 {"Bool": false},
		"f5":                 {"Bool": true},
		"40":                 {"Bytes": []byte{}},
		"420102":             {"Bytes": []byte{1, 2}},
		"60":                 {"Text": ""},
		"6161":               {"Text": "a"},
		"80":                 {"Elements": []RawMessage{}},
		"820143020304":       {"Elements": []RawMessage{{1}, {0x43, 2, 3, 4}}},
		"a0":                 {"Pairs": []Pair{}},
		"a2020301820405":     {"Pairs": []Pair{{RawMessage{2}, RawMessage{3}}, {RawMessage{1}, RawMessage{0x82, 4, 5}}}},
		"f6":                 {},
		"f7":                 {},
		"c100":               {},
		"c24101":             {},
		"f93c00":             {},
		"":                   {},
		"0000":               {},
		"41":                 {},
		"400000":             {},
		"8200":               {},
		"810000":             {},
		"9a00ffffff":         {},
		"a101":               {},
		"a1010200":           {},
		"5f4101ff":           {},
		"9b7fffffffffffffff": {},
		"bb00000000ffffffff": {},
	}
	for item, want := range accepted {
		for name, f := range read {
			got, err := f(unhex(t, item))
			value, ok := want[name]
			switch {
			case ok && (err != nil || !reflect.DeepEqual(got, value)):
				t.Errorf("%s(%s) = %v, %v; want %v", name, item, got, err, value)
			case !ok && !errors.Is(err, ErrMalformed):
				t.Errorf("%s(%s) = %v, %v; want ErrMalformed", name, item, got, err)
			}
		}
	}
}

func TestReadersCapTheirInput(t *testing.T) {
	many := append([]byte{0x99, 0x10, 0x01}, make([]byte, MaxElements+1)...)
	if _, err := Elements(many); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d elements: got %v, want ErrMalformed", MaxElements+1, err)
	}
	many[0] = 0xb9
	if _, err := Pairs(append(many, many...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d pairs: got %v, want ErrMalformed", MaxElements+1, err)
	}
}

func TestBytesDoesNotAlias(t *testing.T) {
	item := []byte{0x42, 1, 2}
	got, err := Bytes(item)
	if err != nil {
		t.Fatal(err)
	}
	item[1] = 9
	if got[0] != 1 {
		t.Error("the result changed with the input")
	}
}

// FuzzValidate holds Validate against the library: what it passes, the library
// decodes, and the deterministic form of that is a fixpoint.
func FuzzValidate(f *testing.F) {
	for _, s := range []string{"01", "a20102030405", "d28443a10128a0405801aa", "83f5f6fb3ff199999999999a", "a1820102a1616142cafe"} {
		f.Add(unhex(f, s))
	}
	for _, data := range vectorFiles(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Validate(data) != nil {
			return
		}
		if _, err := Elements(data); err != nil && Major(data) == MajorArray {
			t.Fatalf("valid array not split: %v", err)
		}
		if _, err := Pairs(data); err != nil && Major(data) == MajorMap {
			t.Fatalf("valid map not split: %v", err)
		}
		var v any
		if Unmarshal(data, &v) != nil {
			return // types that the library does not put into an interface
		}
		first, err := Marshal(v)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		var again any
		if err := Unmarshal(first, &again); err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		if second := MustMarshal(again); !bytes.Equal(first, second) {
			t.Fatalf("encoding is not a fixpoint:\n%x\n%x", first, second)
		}
	})
}

// Many small arrays are no way around the cap on one.
func TestItemsInAll(t *testing.T) {
	nested := func(items int) []byte { // an array of arrays of zeros
		inner := append([]byte{0x99, 0x01, 0x00}, make([]byte, 256)...)
		out := []byte{0x99, 0, 0}
		n := (items - 1) / 257
		out[1], out[2] = byte(n>>8), byte(n)
		for range n {
			out = append(out, inner...)
		}
		return out
	}
	if err := Validate(nested(MaxItems)); err != nil {
		t.Errorf("%d items: %v", MaxItems, err)
	}
	if err := Validate(nested(MaxItems + 300)); !errors.Is(err, ErrMalformed) {
		t.Errorf("more items: got %v, want ErrMalformed", err)
	}
}
