package suit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func fromHex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestComponentIDText(t *testing.T) {
	for _, tt := range []struct {
		id   ComponentID
		text string
	}{
		{ComponentID{}, ""},
		{ComponentID{[]byte("app"), []byte("hello")}, "app/hello"},
		{ComponentID{{}}, "0x"},
		{ComponentID{{}, {}}, "0x/0x"},
		{ComponentID{{0, 1}, []byte("app")}, "0x0001/app"},
		{ComponentID{[]byte("0x12")}, "0x30783132"},
		{ComponentID{[]byte("a/b")}, "0x612f62"},
		{ComponentID{[]byte(`a\b`)}, "0x615c62"},
		{ComponentID{[]byte("a b")}, "0x612062"},
		{ComponentID{[]byte("é")}, "0xc3a9"},
		{ComponentID{[]byte("..")}, ".."},
	} {
		if got := tt.id.String(); got != tt.text {
			t.Errorf("%x: got %q, want %q", tt.id, got, tt.text)
		}
		got, err := ParseComponentID(tt.text)
		if err != nil || !got.Equal(tt.id) {
			t.Errorf("%q: got %x, %v", tt.text, got, err)
		}
	}
	for _, bad := range []string{"/", "a/", "/a", "a//b", "0xabc", "0xzz", "a b", "é", `a\b`} {
		if got, err := ParseComponentID(bad); err == nil {
			t.Errorf("%q passes as %x", bad, got)
		}
	}
}

func decodeComponent(item []byte) (ComponentID, error) {
	var c ComponentID
	err := cosekit.Unmarshal(item, &c)
	return c, err
}

func TestComponentIDRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ComponentID(rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 0, 5).Draw(t, "id"))
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		var fromText ComponentID
		if err := json.Unmarshal(text, &fromText); err != nil || !fromText.Equal(id) {
			t.Fatalf("text %s: %x, %v", text, fromText, err)
		}
		fromKey, err := decodeComponent([]byte(id.Key()))
		if err != nil || !fromKey.Equal(id) {
			t.Fatalf("key %x: %x, %v", id.Key(), fromKey, err)
		}
	})
}

func TestComponentIDKeysDiffer(t *testing.T) {
	seen := map[string]ComponentID{}
	for _, id := range []ComponentID{
		{}, {{}}, {{}, {}}, {{1}}, {{1}, {}}, {{}, {1}}, {{1, 2}}, {{1}, {2}}, {{0x41, 1}},
	} {
		if other, twice := seen[id.Key()]; twice {
			t.Errorf("%x and %x have the same key", id, other)
		}
		seen[id.Key()] = id
	}
	if (ComponentID)(nil).Key() != (ComponentID{}).Key() {
		t.Error("nil is not the empty identifier")
	}
}

func TestComponentIDCompare(t *testing.T) {
	app, hello := []byte("app"), []byte("hello")
	id := ComponentID{app, hello}
	for _, tt := range []struct {
		other         ComponentID
		equal, prefix bool
	}{
		{ComponentID{app, hello}, true, true},
		{ComponentID{app}, false, true},
		{ComponentID{}, false, true},
		{ComponentID{hello}, false, false},
		{ComponentID{app, hello, app}, false, false},
		{ComponentID{[]byte("apphello")}, false, false},
	} {
		if id.Equal(tt.other) != tt.equal || id.HasPrefix(tt.other) != tt.prefix {
			t.Errorf("%s: equal %v, prefix %v", tt.other, id.Equal(tt.other), id.HasPrefix(tt.other))
		}
	}
}

func TestComponentIDRefuses(t *testing.T) {
	for name, item := range map[string]string{
		"nothing":                 "",
		"null":                    "f6",
		"a byte string":           "4161",
		"a map":                   "a0",
		"a segment of text":       "816161",
		"a segment that is null":  "81f6",
		"a segment of numbers":    "818101",
		"a tagged segment":        "81d82a4161",
		"indefinite":              "9f4161ff",
		"a truncated segment":     "814261",
		"a trailing byte":         "81416100",
		"more segments than sane": "9affffffff",
	} {
		if id, err := decodeComponent(fromHex(t, item)); !errors.Is(err, cosekit.ErrMalformed) {
			t.Errorf("%s: got %x, %v; want ErrMalformed", name, id, err)
		}
	}
}

func TestComponentIDDoesNotAlias(t *testing.T) {
	item := fromHex(t, "814161")
	var id ComponentID
	if err := id.UnmarshalCBOR(item); err != nil {
		t.Fatal(err)
	}
	clear(item)
	if id.String() != "a" {
		t.Errorf("got %s: it changed with its buffer", id)
	}
}

// FuzzComponentID covers the forms that people write and that peers send.
func FuzzComponentID(f *testing.F) {
	f.Add("app/hello", []byte{0x81, 0x41, 0x61})
	f.Add("0x00/a", []byte{0x82, 0x40, 0x41, 0x00})
	f.Fuzz(func(t *testing.T, text string, item []byte) {
		if id, err := ParseComponentID(text); err == nil {
			again, err := ParseComponentID(id.String())
			if err != nil || !again.Equal(id) {
				t.Fatalf("%q: %x, %v", text, again, err)
			}
		}
		var id ComponentID
		if cosekit.Unmarshal(item, &id) != nil {
			return
		}
		encoded := cosekit.MustMarshal(id)
		var again ComponentID
		if err := cosekit.Unmarshal(encoded, &again); err != nil || !reflect.DeepEqual(id, again) {
			t.Fatalf("%x: %x, %v", item, again, err)
		}
		if !bytes.Equal(cosekit.MustMarshal(again), encoded) {
			t.Fatal("encoding is not a fixpoint")
		}
	})
}

func TestComponentIDLimits(t *testing.T) {
	most := make(ComponentID, MaxComponentSegments)
	for i := range most {
		most[i] = make([]byte, 20)
	}
	long := ComponentID{make([]byte, MaxComponentSize-4)} // behind the two heads
	for _, c := range []ComponentID{most, long} {
		back, err := decodeComponent([]byte(c.Key()))
		if err != nil || !back.Equal(c) {
			t.Errorf("%d segments: %v", len(c), err)
		}
	}
	for _, c := range []ComponentID{append(most, []byte{1}), {make([]byte, MaxComponentSize)}} {
		if _, err := decodeComponent([]byte(c.Key())); !errors.Is(err, ErrLimit) {
			t.Errorf("%d segments: got %v, want ErrLimit", len(c), err)
		}
	}
}
