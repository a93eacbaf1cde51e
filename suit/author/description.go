package author

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

// ErrDescription: a description of which no sound manifest can be made.
var ErrDescription = errors.New("description not usable")

// Description says what a manifest installs where. In YAML:
//
//	component: app/hello
//	sequence-number: 3
//	vendor-domain: example.com
//	class-info: thermostat rev 2
//	payload:
//	  file: hello.wasm
//	  uri-base: https://tam.example.com/payloads
//	version: 1.2.3
//	text:
//	  en: {component: Says hello}
type Description struct {
	// Component is the identifier of what is installed, segments separated by "/".
	Component suit.ComponentID `yaml:"component"`
	// ManifestComponent names the manifest itself. Where it is absent, the segment
	// "suit" is appended to the component, so that whoever may publish the component
	// may publish its manifest.
	ManifestComponent suit.ComponentID `yaml:"manifest-component"`
	// SequenceNumber grows with each manifest of a component; devices refuse a lower
	// one than they have. The first is 1.
	SequenceNumber uint64 `yaml:"sequence-number"`

	// The manifest is for devices of one vendor and one class. Each is given as a
	// UUID, or as the text that it is made of (section 8.4.8.2).
	VendorDomain string    `yaml:"vendor-domain"`
	VendorID     uuid.UUID `yaml:"vendor-id"`
	ClassInfo    string    `yaml:"class-info"`
	ClassID      uuid.UUID `yaml:"class-id"`
	// DeviceID narrows it to one device; absent for all of the class.
	DeviceID uuid.UUID `yaml:"device-id"`

	Payload Payload `yaml:"payload"`

	// Version is what is installed, "1.2.3" or "1.2-rc.3"; optional.
	Version string `yaml:"version"`
	// ReferenceURI is where the full manifest can be found; optional.
	ReferenceURI string `yaml:"reference-uri"`
	// Text is for people, by language tag ("en", "de-AT"); optional.
	Text map[string]Text `yaml:"text"`
}

// Payload is the image and the way on which the device gets it: exactly one of
// Integrated, URI and URIBase.
type Payload struct {
	// File is read for digest and size.
	File string `yaml:"file"`
	// Integrated puts the payload into the envelope.
	Integrated bool `yaml:"integrated"`
	// URI is where the device fetches it.
	URI string `yaml:"uri"`
	// URIBase is the start of such a URI; "/" and the payload's SHA-256 in
	// hexadecimal are appended, as the payload endpoint of a TAM has it.
	URIBase string `yaml:"uri-base"`
}

// Text describes the update in one language.
type Text struct {
	Manifest   string `yaml:"manifest"`
	Update     string `yaml:"update"`
	Component  string `yaml:"component"`
	VendorName string `yaml:"vendor-name"`
	ModelName  string `yaml:"model-name"`
}

// Parse reads one YAML document. An unknown key is an error, and so is one that
// appears twice.
func Parse(data []byte) (*Description, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict(),
		yaml.CustomUnmarshaler(asWritten), yaml.CustomUnmarshaler(wholeNumber),
		yaml.CustomUnmarshaler(fromText[suit.ComponentID]), yaml.CustomUnmarshaler(fromText[uuid.UUID]))
	var d Description
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, refuse("more than one YAML document")
	}
	return &d, nil
}

// asWritten keeps the digits of what looks like a number: the library reads 1.10 as
// 1.1, which is another version and another class.
func asWritten(dst *string, raw []byte) error {
	node, err := scalar(raw)
	if err != nil {
		return err
	}
	switch node := node.(type) {
	case *ast.StringNode:
		*dst = node.Value
	case *ast.LiteralNode:
		*dst = node.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		*dst = node.GetToken().Value
	default:
		return fmt.Errorf("want text, not %s", node.Type())
	}
	return nil
}

// fromText is asWritten for a type that reads text.
func fromText[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](dst *T, raw []byte) error {
	var text string
	if err := asWritten(&text, raw); err != nil {
		return err
	}
	return P(dst).UnmarshalText([]byte(text))
}

// wholeNumber reads decimal digits, and nothing that has to be rounded.
func wholeNumber(dst *uint64, raw []byte) error {
	node, err := scalar(raw)
	if err != nil {
		return err
	}
	digits := node.GetToken().Value
	if *dst, err = strconv.ParseUint(digits, 10, 64); err != nil {
		return fmt.Errorf("want a whole number, not %q", digits)
	}
	return nil
}

func scalar(raw []byte) (ast.Node, error) {
	file, err := parser.ParseBytes(raw, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, errors.New("want a value")
	}
	return file.Docs[0].Body, nil
}

// Load reads a description file. The payload's file is looked for beside it.
func Load(path string) (*Description, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if d.Payload.File != "" && !filepath.IsAbs(d.Payload.File) {
		d.Payload.File = filepath.Join(filepath.Dir(path), d.Payload.File)
	}
	return d, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDescription, fmt.Sprintf(format, args...))
}
