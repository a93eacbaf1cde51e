package author

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// ErrDescription: a description of which no sound manifest can be made.
var ErrDescription = errors.New("description not usable")

// Description says what a manifest installs where. The common case, in YAML, is one
// component:
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
//
// Several are listed:
//
//	components:
//	  - id: app/hello
//	    payload: {file: hello.wasm, uri-base: https://tam.example.com/payloads, encrypt-to: device.pub}
//	    self-test: true
//	  - id: app/hello/config
//	    payload: {file: hello.conf, integrated: true}
//	dependencies:
//	  - {file: libcrypto.suit, integrated: true}
//	conditions: {use-before: 2027-06-30, version: ">= 1.0"}
//	invoke: {component: app/hello, args: [--quiet]}
//	severable: [install, text]
type Description struct {
	// Component is the identifier of what is installed, segments separated by "/", and
	// Payload its image. SelfTest is that of [Component].
	Component suit.ComponentID // component
	Payload   Payload          // payload
	SelfTest  bool             // self-test
	// Components are given in place of Component where there are several. They are
	// installed in this order.
	Components []Component // components
	// Dependencies are other manifests that are installed first.
	Dependencies []Dependency // dependencies

	// ManifestComponent names the manifest itself. Where it is absent, the segment
	// "suit" is appended to the first component, so that whoever may publish the
	// component may publish its manifest.
	ManifestComponent suit.ComponentID // manifest-component
	// SequenceNumber grows with each manifest of a component; devices refuse a lower
	// one than they have. The first is 1.
	SequenceNumber uint64 // sequence-number

	// The manifest is for devices of one vendor and one class. Each is given as a
	// UUID, or as the text that it is made of (section 8.4.8.2).
	VendorDomain string    // vendor-domain
	VendorID     uuid.UUID // vendor-id
	ClassInfo    string    // class-info
	ClassID      uuid.UUID // class-id
	// DeviceID narrows it to one device; absent for all of the class.
	DeviceID uuid.UUID // device-id

	// Conditions have to hold before anything is fetched, and Wait is for what has to
	// happen before.
	Conditions Conditions     // conditions
	Wait       *suit.WaitInfo // wait
	// Invoke transfers control to a component when the device invokes the manifest.
	Invoke *Invoke // invoke
	// NoUninstall leaves out the section that unlinks what was installed.
	NoUninstall bool // uninstall: false

	// Version is what is installed, "1.2.3" or "1.2-rc.3"; optional.
	Version string // version
	// ReferenceURI is where the full manifest can be found; optional.
	ReferenceURI string // reference-uri
	// Text is for people, by language tag ("en", "de-AT"); optional.
	Text map[string]Text // text
	// CoSWID is a file with a concise software identification tag (RFC 9393); optional.
	CoSWID string // coswid
	// Severable elements stand in the manifest by their digest only. They travel in
	// the envelope and can be taken out of it under the same signature.
	Severable []suit.Section // severable

	// lines says where each key stands; nil where the description is not from YAML.
	lines map[string]int
}

// Component is one component of several.
type Component struct {
	ID      suit.ComponentID // id
	Payload Payload          // payload
	// Slot is where it has to be installed; optional.
	Slot *uint64 // slot
	// Metadata is how it is stored; optional.
	Metadata *suit.ComponentMetadata // metadata
	// Version is what the text says of it; that of the description where it is absent.
	Version string // version
	// SelfTest runs the component's own test after its digest has been checked and
	// before the update is final, as [SelfTestCondition].
	SelfTest bool // self-test
}

// Payload is the image and the way on which the device gets it: exactly one of
// Integrated, Inline, URI, URIBase, CopyFrom and LoadFrom.
type Payload struct {
	// File is read for digest and size. Content is a short text in place of a file.
	File    string // file
	Content string // content
	// Integrated puts the payload into the envelope.
	Integrated bool // integrated
	// Inline puts it into the manifest, to be written from there. With Content it goes
	// without saying.
	Inline bool // inline
	// URI is where the device fetches it.
	URI string // uri
	// URIBase is the start of such a URI; "/" and the payload's SHA-256 in
	// hexadecimal are appended, as the payload endpoint of a TAM has it.
	URIBase string // uri-base
	// CopyFrom is a component further up whose image is copied when the manifest is
	// installed, LoadFrom one that is copied each time it is loaded.
	CopyFrom suit.ComponentID // copy-from
	LoadFrom suit.ComponentID // load-from

	// EncryptTo are key files: agreement keys of devices (public), or secret keys for AES
	// Key Wrap. Recipients are such keys at hand. Where there is one, the payload is
	// encrypted (draft-ietf-suit-firmware-encryption).
	EncryptTo  []string // encrypt-to
	Recipients []cosekit.Recipient
	// ContentAlgorithm encrypts the payload; zero for A128GCM.
	ContentAlgorithm cosekit.Algorithm // content-algorithm
	// Ciphertext is the file that the encrypted payload goes to where it is fetched;
	// that of the payload with ".enc" where it is absent.
	Ciphertext string // ciphertext
	// Staging is the component that holds the ciphertext before it is decrypted; the
	// segment "encrypted" below the component where it is absent.
	Staging suit.ComponentID // staging
}

// Dependency is another manifest, in its envelope.
type Dependency struct {
	// File is the signed envelope. Its digest is what is depended on.
	File string // file
	// ID is the component that holds it on the device. Where it is absent, it is the
	// manifest-component-id of the dependency.
	ID suit.ComponentID // id
	// Exactly one of these, as for a Payload.
	Integrated bool   // integrated
	URI        string // uri
	URIBase    string // uri-base
}

// Conditions of draft-ietf-suit-update-management. All that are given have to hold.
type Conditions struct {
	UseBefore        *time.Time // use-before
	MinimumBattery   *uint64    // minimum-battery, in mWh
	UpdateAuthorized bool       // update-authorized
	UpdatePriority   *int64     // update-priority; the smaller, the more urgent
	// Version is what has to be installed, each ">= 1.2" or the like: >, >=, =, <=, <.
	Version []suit.VersionMatch // version
	// ImageNotMatch are files of images of which none may be installed.
	ImageNotMatch []string // image-not-match
	// Component is the one that Version and ImageNotMatch are about; the first where
	// it is absent.
	Component suit.ComponentID // component
}

// Invoke says how control is transferred.
type Invoke struct {
	Component suit.ComponentID // component; the first where it is absent
	Args      []string         // args
}

// Text describes the update in one language.
type Text struct {
	Manifest   string // manifest
	Update     string // update
	JSONSource string // json-source
	YAMLSource string // yaml-source
	// Component describes the component, where there is one.
	Component string // component
	// These are said of each component that does not say otherwise.
	VendorName      string // vendor-name
	ModelName       string // model-name
	VersionRequired string // version-required
	CurrentVersion  string // current-version
	// Components describes each of several, by its id as text.
	Components map[string]ComponentText // components
}

// ComponentText describes one component of several.
type ComponentText struct {
	Description     string // description
	VendorName      string // vendor-name
	ModelName       string // model-name
	VersionRequired string // version-required
	CurrentVersion  string // current-version
}

// components lists them whichever way they were given.
func (d *Description) components() []Component {
	if d.Components != nil {
		return d.Components
	}
	if d.Component == nil {
		return nil
	}
	return []Component{{ID: d.Component, Payload: d.Payload, SelfTest: d.SelfTest}}
}

// componentPath is the key under which a component stands in the description.
func (d *Description) componentPath(i int, key string) string {
	if d.Components != nil {
		return fmt.Sprintf("components[%d].%s", i, key)
	}
	return key
}

// Files returns the files that the description is made of. Whoever writes the envelope
// must not write over them.
func (d *Description) Files() []string {
	read, _ := d.files()
	var list []string
	for _, name := range read {
		if *name != "" {
			list = append(list, *name)
		}
	}
	return list
}

// Outputs returns the files that Create writes: the ciphertexts that devices fetch.
func (d *Description) Outputs() []string {
	var list []string
	for _, c := range d.components() {
		if p := c.Payload; p.encrypted() && p.fetched() {
			list = append(list, p.ciphertext())
		}
	}
	return list
}

// files returns the names of all files that are read, and of those that are written.
func (d *Description) files() (read, written []*string) {
	read = []*string{&d.CoSWID}
	payload := func(p *Payload) {
		read, written = append(read, &p.File), append(written, &p.Ciphertext)
		for i := range p.EncryptTo {
			read = append(read, &p.EncryptTo[i])
		}
	}
	payload(&d.Payload)
	for i := range d.Components {
		payload(&d.Components[i].Payload)
	}
	for i := range d.Dependencies {
		read = append(read, &d.Dependencies[i].File)
	}
	for i := range d.Conditions.ImageNotMatch {
		read = append(read, &d.Conditions.ImageNotMatch[i])
	}
	return read, written
}

// refuse names the key, and its line where the description is from YAML.
func (d *Description) refuse(key, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if line := d.lines[key]; line > 0 {
		return refuse("line %d: %s", line, text)
	}
	return refuse("%s", text)
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDescription, fmt.Sprintf(format, args...))
}
