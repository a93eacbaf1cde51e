package author

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// MaxIntegrated is the largest payload, in bytes, that goes into an envelope. The
// envelope has to fit into a TEEP Update, whose usual limit is 1 MiB.
const MaxIntegrated = 512 << 10

// integratedName is the URI of an integrated payload, a fragment-only reference
// (draft-ietf-suit-manifest-37 section 7.5).
const integratedName = "#payload"

// manifestSegment ends the default manifest-component-id. The examples of
// draft-ietf-teep-protocol name a manifest so too, beside the component; here it
// stands below, where the rights to the component cover it.
const manifestSegment = "suit"

// Sign creates the manifest and returns it in a signed envelope.
func Sign(d *Description, signer cosekit.Signer) (*suit.Envelope, error) {
	m, payloads, err := Create(d)
	if err != nil {
		return nil, err
	}
	return suit.Sign(m, payloads, signer)
}

// Create makes the manifest, and the integrated payloads by name, of a description
// whose payload is a file.
func Create(d *Description) (*suit.Manifest, map[string][]byte, error) {
	if d.Payload.File == "" {
		return nil, nil, refuse("payload.file is missing: the file that is to be installed")
	}
	f, err := os.Open(d.Payload.File)
	if err != nil {
		return nil, nil, fmt.Errorf("payload: %w", err)
	}
	defer f.Close() // it was only read
	return CreateFrom(d, f)
}

// CreateFrom is Create with a payload that is read from elsewhere. It is streamed,
// unless it is to be integrated.
func CreateFrom(d *Description, payload io.Reader) (*suit.Manifest, map[string][]byte, error) {
	if err := d.check(); err != nil {
		return nil, nil, err
	}
	img, err := measure(payload, d.Payload.Integrated)
	if err != nil {
		return nil, nil, err
	}
	uri, err := d.Payload.uri(img)
	if err != nil {
		return nil, nil, err
	}
	m, err := d.manifest(img, uri)
	if err != nil {
		return nil, nil, err
	}
	if !d.Payload.Integrated {
		return m, nil, nil
	}
	return m, map[string][]byte{uri: img.content}, nil
}

// image is a measured payload.
type image struct {
	digest  suit.Digest
	size    uint64
	content []byte // only where it is to be integrated
}

func measure(payload io.Reader, keep bool) (image, error) {
	var img image
	hash := sha256.New()
	if keep {
		var err error
		if img.content, err = io.ReadAll(io.LimitReader(payload, MaxIntegrated+1)); err != nil {
			return img, fmt.Errorf("payload: %w", err)
		}
		if len(img.content) > MaxIntegrated {
			return img, refuse("the payload is over %d bytes, too large to be integrated: give payload.uri or payload.uri-base", MaxIntegrated)
		}
		hash.Write(img.content)
		img.size = uint64(len(img.content))
	} else {
		n, err := io.Copy(hash, payload)
		if err != nil {
			return img, fmt.Errorf("payload: %w", err)
		}
		img.size = uint64(n)
	}
	if img.size == 0 {
		return img, refuse("the payload is empty")
	}
	img.digest = suit.Digest{Algorithm: suit.SHA256, Bytes: hash.Sum(nil)}
	return img, nil
}

func (p *Payload) uri(img image) (string, error) {
	text := p.URI
	switch {
	case p.Integrated:
		return integratedName, nil
	case p.URIBase != "":
		joined, err := url.JoinPath(p.URIBase, hex.EncodeToString(img.digest.Bytes))
		if err != nil {
			return "", refuse("payload.uri-base %q is not a URI", p.URIBase)
		}
		text = joined
	}
	return text, checkURI(text)
}

// checkURI refuses what no agent would fetch: https everywhere, http on loopback.
func checkURI(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return refuse("payload URI %q: want https://host/path", text)
	}
	if len(text) > suit.MaxURILength {
		return refuse("payload URI of %d bytes, at most %d", len(text), suit.MaxURILength)
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		if u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback() {
			return nil
		}
		return refuse("payload URI %q: http is for loopback only, use https", text)
	}
	return refuse("payload URI %q: devices fetch https", text)
}

// manifest fills the templates of sections 7.1, 7.2, 7.3 and 7.5, and the uninstall
// section of draft-ietf-suit-trust-domains: what can be installed can be unlinked.
func (d *Description) manifest(img image, uri string) (*suit.Manifest, error) {
	vendor, class := d.vendor(), d.class()
	identity := suit.Parameters{VendorID: &vendor, ClassID: &class, ImageDigest: &img.digest, ImageSize: &img.size}
	shared := []suit.Command{
		{Code: suit.DirectiveOverrideParameters, Argument: &identity},
		check(suit.ConditionVendorIdentifier),
		check(suit.ConditionClassIdentifier),
	}
	if device := d.DeviceID; device != none {
		identity.DeviceID = &device
		shared = append(shared, check(suit.ConditionDeviceIdentifier))
	}
	m := &suit.Manifest{
		Version:        suit.ManifestVersion,
		SequenceNumber: d.SequenceNumber,
		Common:         suit.Common{Components: []suit.ComponentID{d.Component}, Shared: &suit.Sequence{Commands: shared}},
		ReferenceURI:   d.ReferenceURI,
		ComponentID:    d.manifestComponent(),
		Sections: map[suit.Section]suit.Severable{
			suit.SectionValidate: section(check(suit.ConditionImageMatch)),
			suit.SectionInstall: section(
				suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{URI: &uri}},
				suit.Command{Code: suit.DirectiveFetch, Argument: suit.ReportAll},
				check(suit.ConditionImageMatch),
			),
			suit.SectionUninstall: section(suit.Command{Code: suit.DirectiveUnlink, Argument: suit.ReportAll}),
		},
		Text: d.text(),
	}
	if d.Version != "" {
		var err error
		if m.SetVersion, err = suit.ParseVersion(d.Version); err != nil {
			return nil, refuse("%v", err)
		}
	}
	// What cannot be encoded is better refused here than at the signature.
	if _, err := m.Encode(false); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	return m, nil
}

func check(condition suit.CommandCode) suit.Command {
	return suit.Command{Code: condition, Argument: suit.ReportAll}
}

func section(commands ...suit.Command) suit.Severable {
	return suit.Severable{Sequence: &suit.Sequence{Commands: commands}}
}

func (d *Description) text() suit.Text {
	if len(d.Text) == 0 {
		return nil
	}
	out := suit.Text{}
	for tag, t := range d.Text {
		out[tag] = suit.LanguageText{
			ManifestDescription: t.Manifest,
			UpdateDescription:   t.Update,
			Components: []suit.ComponentText{{
				Component: d.Component, Description: t.Component, Version: d.Version,
				VendorName: t.VendorName, ModelName: t.ModelName,
				VendorDomain: d.VendorDomain, ModelInfo: d.ClassInfo,
			}},
		}
	}
	return out
}
