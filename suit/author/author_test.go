package author

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

const payload = "a small trusted application"

func description(change func(*Description)) *Description {
	d := &Description{
		Component:      suit.ComponentID{[]byte("app"), []byte("hello")},
		SequenceNumber: 3,
		VendorDomain:   "example.com",
		ClassInfo:      "thermostat",
		Payload:        Payload{Integrated: true},
	}
	if change != nil {
		change(d)
	}
	return d
}

func signer(t testing.TB) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// describe lists the commands of a sequence with the parameters that they set.
func describe(t *testing.T, m *suit.Manifest, s suit.Section) string {
	t.Helper()
	seq, ok := m.Section(s)
	if !ok {
		t.Fatalf("no %s", s)
	}
	var words []string
	for _, c := range seq.Commands {
		word := c.Code.String()
		if p, ok := c.Argument.(*suit.Parameters); ok {
			for _, code := range p.Codes() {
				word += " " + code.String()
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestCreateFromMakesTheTemplates(t *testing.T) {
	device := uuid.MustParse("a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e")
	d := description(func(d *Description) {
		d.DeviceID = device
		d.Version = "1.2-rc.3"
		d.ReferenceURI = "https://example.com/m.suit"
		d.Text = map[string]Text{"en": {Manifest: "Hello", Component: "Says hello"}}
	})
	m, payloads, err := CreateFrom(d, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	want := map[suit.Section]string{
		suit.SectionShared: "override-parameters vendor-id class-id image-digest image-size device-id, " +
			"vendor-identifier, class-identifier, device-identifier",
		suit.SectionInstall:   "override-parameters uri, fetch, image-match",
		suit.SectionValidate:  "image-match",
		suit.SectionUninstall: "unlink",
	}
	for s, commands := range want {
		if got := describe(t, m, s); got != commands {
			t.Errorf("%s: %s\nwant %s", s, got, commands)
		}
	}
	if got := m.ComponentID.String(); got != "app/hello/suit" {
		t.Errorf("manifest component id %s", got)
	}
	p := m.Common.Shared.Commands[0].Argument.(*suit.Parameters)
	if !p.ImageDigest.Equal(suit.SumSHA256([]byte(payload))) || *p.ImageSize != uint64(len(payload)) {
		t.Errorf("image %s of %d bytes", p.ImageDigest, *p.ImageSize)
	}
	if !bytes.Equal(payloads["#payload"], []byte(payload)) || len(payloads) != 1 {
		t.Errorf("payloads %q", payloads)
	}
	if suit.FormatVersion(m.SetVersion) != "1.2-rc.3" || m.ReferenceURI != d.ReferenceURI || m.SequenceNumber != 3 {
		t.Errorf("%+v", m)
	}
	if c := m.Text["en"].Components[0]; c.VendorDomain != "example.com" || c.ModelInfo != "thermostat" || c.Version != "1.2-rc.3" {
		t.Errorf("text %+v", c)
	}
}

func TestPayloadURI(t *testing.T) {
	sum := sha256.Sum256([]byte(payload))
	for _, test := range []struct {
		name    string
		payload Payload
		want    string
	}{
		{"as given", Payload{URI: "https://example.com/hello.wasm"}, "https://example.com/hello.wasm"},
		{"base", Payload{URIBase: "https://tam.example/payloads"}, "https://tam.example/payloads/" + hex.EncodeToString(sum[:])},
		{"base with slash", Payload{URIBase: "https://tam.example/payloads/"}, "https://tam.example/payloads/" + hex.EncodeToString(sum[:])},
		{"loopback", Payload{URI: "http://127.0.0.1:8080/x"}, "http://127.0.0.1:8080/x"},
		{"loopback by name", Payload{URI: "http://localhost/x"}, "http://localhost/x"},
		{"loopback of IPv6", Payload{URI: "http://[::1]/x"}, "http://[::1]/x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, payloads, err := CreateFrom(description(func(d *Description) { d.Payload = test.payload }), strings.NewReader(payload))
			if err != nil {
				t.Fatal(err)
			}
			install, _ := m.Section(suit.SectionInstall)
			if got := *install.Commands[0].Argument.(*suit.Parameters).URI; got != test.want {
				t.Errorf("uri %s, want %s", got, test.want)
			}
			if payloads != nil {
				t.Errorf("integrated %q", payloads)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	v1 := uuid.MustParse("7fc1b6f4-5a0a-11ee-8c99-0242ac120002")
	v5 := VendorID("example.com")
	for _, test := range []struct {
		name   string
		change func(*Description)
		want   string
	}{
		{"no component", func(d *Description) { d.Component = nil }, "component is missing"},
		{"empty segment", func(d *Description) { d.Component = suit.ComponentID{{}} }, "read as a path"},
		{"dots", func(d *Description) { d.Component = suit.ComponentID{[]byte("..")} }, "read as a path"},
		{"dots in the manifest's name", func(d *Description) { d.ManifestComponent = suit.ComponentID{[]byte(".")} }, "read as a path"},
		{"empty manifest name", func(d *Description) { d.ManifestComponent = suit.ComponentID{} }, "manifest-component is missing"},
		{"manifest is the component", func(d *Description) { d.ManifestComponent = d.Component }, "overwrite"},
		{"no sequence number", func(d *Description) { d.SequenceNumber = 0 }, "sequence-number is missing"},
		{"last sequence number", func(d *Description) { d.SequenceNumber = 1 << 63 }, "no room"},
		{"no vendor", func(d *Description) { d.VendorDomain = "" }, "vendor-domain or vendor-id"},
		{"two vendors", func(d *Description) { d.VendorID = v5 }, "vendor-domain or vendor-id"},
		{"vendor in words", func(d *Description) { d.VendorDomain = "Example Corp" }, `"Example Corp" is no domain name`},
		{"vendor by its address", func(d *Description) { d.VendorDomain = "https://example.com" }, "is no domain name"},
		{"vendor of one label", func(d *Description) { d.VendorDomain = "example" }, "is no domain name"},
		{"vendor with an empty label", func(d *Description) { d.VendorDomain = "example..com" }, "is no domain name"},
		{"long vendor", func(d *Description) { d.VendorDomain = strings.Repeat("a.", 126) + "com" }, "is no domain name"},
		{"no class", func(d *Description) { d.ClassInfo = "" }, "class-info or class-id"},
		{"two classes", func(d *Description) { d.ClassID = v5 }, "class-info or class-id"},
		{"time-based device", func(d *Description) { d.DeviceID = v1 }, "version 1"},
		{"no way to the payload", func(d *Description) { d.Payload = Payload{} }, "exactly one"},
		{"two ways", func(d *Description) { d.Payload.URI = "https://a/b" }, "exactly one"},
		{"plain http", func(d *Description) { d.Payload = Payload{URI: "http://example.com/x"} }, "loopback only"},
		{"scheme", func(d *Description) { d.Payload = Payload{URI: "ftp://example.com/x"} }, "https"},
		{"relative", func(d *Description) { d.Payload = Payload{URI: "x.bin"} }, "https://host/path"},
		{"not a base", func(d *Description) { d.Payload = Payload{URIBase: "https://exa mple:x/\x7f"} }, "not a URI"},
		{"long", func(d *Description) { d.Payload = Payload{URI: "https://a/" + strings.Repeat("b", suit.MaxURILength)} }, "at most"},
		{"version", func(d *Description) { d.Version = "v1" }, "numbers separated by dots"},
		{"language", func(d *Description) { d.Text = map[string]Text{"en_GB": {}} }, "language tag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := CreateFrom(description(test.change), strings.NewReader(payload))
			if !errors.Is(err, ErrDescription) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestPayloadRefusals(t *testing.T) {
	byURI := func(d *Description) { d.Payload = Payload{URI: "https://example.com/x"} }
	broken := errors.New("broken")
	for _, test := range []struct {
		name    string
		change  func(*Description)
		payload io.Reader
		want    string
	}{
		{"empty", byURI, strings.NewReader(""), "empty"},
		{"empty, integrated", nil, strings.NewReader(""), "empty"},
		{"too large to integrate", nil, bytes.NewReader(make([]byte, MaxIntegrated+1)), "too large"},
		{"broken", byURI, iotest.ErrReader(broken), "broken"},
		{"broken, integrated", nil, iotest.ErrReader(broken), "broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := CreateFrom(description(test.change), test.payload)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if _, _, err := CreateFrom(description(nil), bytes.NewReader(make([]byte, MaxIntegrated))); err != nil {
		t.Errorf("payload of the largest size: %v", err)
	}
	if _, err := Create(description(nil)); !errors.Is(err, ErrDescription) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Sign(description(func(d *Description) { d.Payload.File = filepath.Join(t.TempDir(), "none") }), signer(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

const document = `
component: app/hello
manifest-component: app/hello/manifest
sequence-number: 7
vendor-id: c0ddd5f1-5243-5660-87db-4f5b0aa26c2f
class-info: thermostat rev 2
device-id: a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e
payload:
  file: hello.wasm
  uri-base: https://tam.example.com/payloads
version: 1.2.3
reference-uri: https://example.com/m.suit
text:
  en:
    manifest: m
    update: u
    component: c
    vendor-name: v
    model-name: n
`

func TestLoadAndSign(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("hello.wasm", payload)
	d, err := Load(write("hello.yaml", document))
	if err != nil {
		t.Fatal(err)
	}
	want := &Description{
		Component:         suit.ComponentID{[]byte("app"), []byte("hello")},
		ManifestComponent: suit.ComponentID{[]byte("app"), []byte("hello"), []byte("manifest")},
		SequenceNumber:    7,
		VendorID:          uuid.MustParse("c0ddd5f1-5243-5660-87db-4f5b0aa26c2f"),
		ClassInfo:         "thermostat rev 2",
		DeviceID:          uuid.MustParse("a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e"),
		Payload:           Payload{File: filepath.Join(dir, "hello.wasm"), URIBase: "https://tam.example.com/payloads"},
		Version:           "1.2.3",
		ReferenceURI:      "https://example.com/m.suit",
		Text:              map[string]Text{"en": {Manifest: "m", Update: "u", Component: "c", VendorName: "v", ModelName: "n"}},
	}
	want.lines = d.lines
	if !reflect.DeepEqual(d, want) {
		t.Errorf("description\n%+v, want\n%+v", d, want)
	}
	key := signer(t)
	e, err := Sign(d, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Verify(suit.KeyList{key.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Manifest().ComponentID.String(); got != "app/hello/manifest" {
		t.Errorf("manifest component id %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]string{
		"unknown key":         document + "colour: red\n",
		"unknown inner key":   "payload: {files: x}\n",
		"key twice":           "version: 1.0\nversion: 2.0\n",
		"two documents":       document + "---\n" + document,
		"bad uuid":            "class-id: 12\n",
		"bad component":       "component: a//b\n",
		"negative number":     "sequence-number: -1\n",
		"number out of range": "sequence-number: 18446744073709551616\n",
		"fraction":            "sequence-number: 1.5\n",
		"hexadecimal":         "sequence-number: 0x10\n",
		"exponent":            "sequence-number: 1e3\n",
		"list for text":       "version: [1, 2]\n",
		"text for a switch":   "payload: {integrated: 'true'}\n",
		"not yaml":            "{",
		"nothing":             "",
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Parse([]byte(test)); !errors.Is(err, ErrDescription) {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bad); !errors.Is(err, ErrDescription) || !strings.Contains(err.Error(), bad) {
		t.Errorf("Load: %v, want the name of the file in it", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
}

// What looks like a number is another class or version when it is read as one.
func TestParseKeepsDigits(t *testing.T) {
	for text, want := range map[string]string{
		"1.10": "1.10", "010": "010", "1e3": "1e3", "0x10": "0x10", "true": "true",
		"1.10 # the tenth": "1.10", "'1.10'": "1.10", `"1.10"`: "1.10", "1.2.3": "1.2.3", "rev 2": "rev 2",
		"|-\n  two\n  lines": "two\nlines", "'it''s'": "it's", "a: b": "",
	} {
		d, err := Parse([]byte("class-info: " + text + "\n"))
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%s is accepted as %q", text, d.ClassInfo)
			}
		case err != nil || d.ClassInfo != want:
			t.Errorf("%s is read as %+v, %v", text, d, err)
		}
	}
}

func TestParseComponents(t *testing.T) {
	for text, want := range map[string]string{
		"app/hello": "app/hello", "010": "010", "1.10": "1.10", "0x0a": "0x0a", "0x0a/b": "0x0a/b", "'7'": "7",
	} {
		d, err := Parse([]byte("component: " + text + "\n"))
		if err != nil || d.Component.String() != want {
			t.Errorf("%s is read as %+v, %v", text, d, err)
		}
	}
}

func TestClassID(t *testing.T) {
	// UUIDv5 of "test" under the vendor id of arm.com, computed elsewhere.
	if got := ClassID(VendorID("arm.com"), "test").String(); got != "b00e8aa5-1eae-5c00-8fec-7a205fe5d73d" {
		t.Errorf("class id %s", got)
	}
}

// A domain name is the same in capitals (RFC 4343 section 2), and so is the vendor.
func TestVendorInCapitals(t *testing.T) {
	domain, err := ParseVendorDomain("Example.COM")
	if err != nil || domain != "example.com" {
		t.Errorf("%q, %v", domain, err)
	}
	if VendorID("Example.COM") != VendorID("example.com") {
		t.Error("another vendor in capitals")
	}
}

func TestIdentifierVectors(t *testing.T) {
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	data, err := os.ReadFile(filepath.Join(root, "suit-manifest", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		UUIDs []struct{ Name, Expected string } `json:"uuid_vectors"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	for _, v := range index.UUIDs {
		switch v.Name {
		case "example vendor-id":
			if got := VendorID("arm.com").String(); got != v.Expected {
				t.Errorf("vendor id %s, want %s", got, v.Expected)
			}
		case "NAMESPACE_CBOR_PEN": // a description has no Private Enterprise Number
		default:
			t.Errorf("nobody tests %s", v.Name)
		}
	}
}
