package author

import (
	"fmt"
	"io"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// MaxIntegrated bounds, in bytes, the payloads that go into an envelope, all together.
// The envelope has to fit into a TEEP Update, whose usual limit is 1 MiB.
const MaxIntegrated = 512 << 10

// SelfTestCondition is a custom condition of this project: the component, a WebAssembly
// module, is run with the argument --self-test and has to end with 0.
const SelfTestCondition suit.CommandCode = -257

// CommandNames are the names of this project's own commands.
var CommandNames = suit.CommandNames{SelfTestCondition: "self-test"}

// Result is what Create made.
type Result struct {
	Manifest *suit.Manifest
	// Payloads go into the envelope, by name.
	Payloads map[string][]byte
	// Files have to be at their URIs when devices fetch them.
	Files []File
}

// File is a payload, a ciphertext or the envelope of a dependency that devices fetch.
type File struct {
	Path string
	URI  string
	Image
}

// Envelope returns the envelope, which is not signed yet.
func (r *Result) Envelope() (*suit.Envelope, error) { return suit.NewEnvelope(r.Manifest, r.Payloads) }

// Sign creates the manifest and returns it in a signed envelope.
func Sign(d *Description, signer cosekit.Signer) (*suit.Envelope, error) {
	r, err := Create(d)
	if err != nil {
		return nil, err
	}
	return suit.Sign(r.Manifest, r.Payloads, signer)
}

// Create makes the manifest of a description whose payloads are files. They are
// streamed, except for what the envelope or the manifest takes in. What is to be
// fetched in encrypted form is written to its ciphertext file, which gets its name when
// the manifest is complete; a file of that name is an error (fs.ErrExist), and stays.
func Create(d *Description) (*Result, error) { return d.create(nil) }

// CreateFrom is Create for a description with one component whose payload is read from
// elsewhere.
func CreateFrom(d *Description, payload io.Reader) (*suit.Manifest, map[string][]byte, error) {
	if d.Components != nil {
		return nil, nil, refuse("a payload from elsewhere is that of a single component")
	}
	r, err := d.create(payload)
	if err != nil {
		return nil, nil, err
	}
	return r.Manifest, r.Payloads, nil
}

// checkFiles wants a file for every payload that is neither text nor a copy.
func (d *Description) checkFiles() error {
	for i, c := range d.components() {
		if p := c.Payload; p.File == "" && p.Content == "" && p.copied() == nil {
			return d.refuse(d.componentPath(i, "payload"), "payload.file is missing: the file that is to be installed as %s", c.ID)
		}
	}
	return nil
}

func (d *Description) create(payload io.Reader) (*Result, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if payload == nil {
		if err := d.checkFiles(); err != nil {
			return nil, err
		}
	}
	dependencies, err := d.loadDependencies()
	if err != nil {
		return nil, err
	}
	parts, err := d.layOut(dependencies)
	if err != nil {
		return nil, err
	}
	inputs, _ := d.files()
	files := &outputs{inputs: inputs}
	defer files.discard()
	if err := d.readPayloads(parts, payload, files); err != nil {
		return nil, err
	}
	m, err := (&builder{Description: d, parts: parts, dependencies: dependencies}).manifest()
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: m}
	r.gather(parts, dependencies)
	// What cannot be encoded is better refused here than at the signature.
	if _, err := r.Envelope(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	return r, files.keep()
}

// gather lists what does not stand in the manifest.
func (r *Result) gather(parts []*part, dependencies []*dependency) {
	integrate := func(name string, content []byte) {
		if r.Payloads == nil {
			r.Payloads = map[string][]byte{}
		}
		r.Payloads[name] = content
	}
	for _, p := range parts {
		switch {
		case p.Payload.Integrated:
			integrate(p.uri, p.kept)
		case p.Payload.fetched():
			r.Files = append(r.Files, File{p.path, p.uri, p.transfer()})
		}
	}
	for _, dep := range dependencies {
		if dep.Integrated {
			integrate(dep.uri, dep.envelope)
		} else {
			r.Files = append(r.Files, File{dep.File, dep.uri, dep.transfer()})
		}
	}
}
