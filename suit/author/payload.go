package author

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// integratedName is the URI of the only integrated payload, a fragment-only reference
// (draft-ietf-suit-manifest-37 section 7.5).
const integratedName = "#payload"

// MaxInline is the largest payload, in bytes, that stands in the manifest: a parameter
// without its head.
const MaxInline = suit.MaxParameterSize - 5

// part is a component, what was measured of its image, and its place in the manifest.
type part struct {
	Component
	key     string // of its payload in the description
	index   uint64
	source  *part  // whose image it is a copy of; nil for none
	image   Image  // as it is installed
	staging uint64 // index of the component that holds the ciphertext
	// cipher and info are set where the payload is encrypted.
	cipher Image
	info   []byte
	// kept is what the envelope or the manifest takes in, path the file otherwise.
	kept []byte
	path string
	uri  string // empty for none
}

// transfer is the image that crosses the network.
func (p *part) transfer() Image {
	if p.info != nil {
		return p.cipher
	}
	return p.image
}

// layOut gives each component its index: those that are listed, then those that hold a
// ciphertext, then the dependencies.
func (d *Description) layOut(dependencies []*dependency) ([]*part, error) {
	var parts []*part
	for i, c := range d.components() {
		p := &part{Component: c, key: d.componentPath(i, "payload"), index: uint64(i), path: c.Payload.File}
		if from := c.Payload.copied(); from != nil {
			p.source = parts[slices.IndexFunc(parts, func(p *part) bool { return p.ID.Equal(from) })]
			if p.source.Payload.LoadFrom != nil && c.Payload.CopyFrom != nil {
				return nil, d.refuse(p.key, "%s is copied when it is installed, from %s, which is there only when it is loaded", c.ID, from)
			}
		}
		parts = append(parts, p)
	}
	next := uint64(len(parts))
	for _, p := range parts {
		if p.Payload.staged() {
			p.staging = next
			next++
		}
	}
	for _, dep := range dependencies {
		dep.index = next
		next++
	}
	return parts, nil
}

// readPayloads measures, and where it is asked for encrypts, every payload. payload is
// read for the only component in place of its file, where it is not nil.
func (d *Description) readPayloads(parts []*part, payload io.Reader, files *outputs) error {
	left := MaxIntegrated
	for _, p := range parts {
		var err error
		switch {
		case p.source != nil:
			p.image = p.source.image
			continue
		case p.Payload.Content != "":
			err = p.read(strings.NewReader(p.Payload.Content), left, files)
		case payload != nil:
			err = p.read(payload, left, files)
		default:
			err = p.readFile(left, files)
		}
		switch {
		case errors.Is(err, errTooLarge):
			return d.refuse(p.key, "the payload of %s is too large to be integrated: %d bytes are left of the envelope, %d of the manifest; "+
				"give payload.uri or payload.uri-base", p.ID, left, MaxInline)
		case err != nil:
			return fmt.Errorf("payload of %s: %w", p.ID, err)
		case p.image.Size == 0:
			return d.refuse(p.key, "the payload of %s is empty", p.ID)
		}
		if p.Payload.Integrated {
			left -= len(p.kept)
		}
		if p.uri, err = p.address(len(parts) == 1); err != nil {
			return d.refuse(p.key, "%s: %v", p.key, err)
		}
	}
	return nil
}

func (p *part) readFile(limit int, files *outputs) error {
	f, err := openRegular(p.Payload.File)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	return p.read(f, limit, files)
}

// openRegular refuses what would never end, or never begin.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name a file", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path)
}

// read takes the payload in: to memory, to the ciphertext file, or only to be measured.
func (p *part) read(payload io.Reader, limit int, files *outputs) error {
	var sink io.Writer = io.Discard
	keep := &keeper{limit: limit}
	if p.Payload.inline() {
		keep.limit = MaxInline
	}
	if !p.Payload.fetched() {
		sink = keep
	}
	if !p.Payload.encrypted() {
		in := newMeter()
		if _, err := io.Copy(io.MultiWriter(in, sink), payload); err != nil {
			return err
		}
		p.image, p.kept = in.image(), keep.content
		return nil
	}
	recipients, err := LoadRecipients(p.Payload.EncryptTo...)
	if err != nil {
		return err
	}
	if p.Payload.fetched() {
		f, err := files.create(p.Payload.ciphertext())
		if err != nil {
			return err
		}
		sink, p.path = f, p.Payload.ciphertext()
	}
	encrypted, err := Encrypt(sink, payload, p.Payload.contentAlgorithm(), append(recipients, p.Payload.Recipients...)...)
	if err != nil {
		return err
	}
	p.image, p.cipher, p.info, p.kept = encrypted.Plaintext, encrypted.Ciphertext, encrypted.Info, keep.content
	return nil
}

func (p *Payload) contentAlgorithm() cosekit.Algorithm {
	if p.ContentAlgorithm == 0 {
		return cosekit.A128GCM
	}
	return p.ContentAlgorithm
}

func (p *Payload) ciphertext() string {
	if p.Ciphertext == "" && p.File != "" {
		return p.File + ".enc"
	}
	return p.Ciphertext
}

// address returns the URI of the payload; empty where it needs none.
func (p *part) address(single bool) (string, error) {
	switch {
	case p.Payload.inline():
		return "", nil
	case p.Payload.Integrated && single:
		return integratedName, nil
	case p.Payload.Integrated:
		return "#" + p.ID.String(), nil
	}
	return address(p.Payload.URI, p.Payload.URIBase, p.transfer().Digest)
}

// address returns the URI, or the base with the digest below it.
func address(uri, base string, digest suit.Digest) (string, error) {
	if base != "" {
		joined, err := url.JoinPath(base, hex.EncodeToString(digest.Bytes))
		if err != nil {
			return "", fmt.Errorf("uri-base %q is not a URI", base)
		}
		uri = joined
	}
	return uri, checkURI(uri)
}

// checkURI refuses what no agent would fetch: https everywhere, http on loopback.
func checkURI(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("URI %q: want https://host/path", text)
	}
	if len(text) > suit.MaxURILength {
		return fmt.Errorf("URI of %d bytes, at most %d", len(text), suit.MaxURILength)
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("URI %q: http is for loopback only, use https", text)
	}
	return fmt.Errorf("URI %q: devices fetch https", text)
}

func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// outputs are the files that are written. They get their names together, at the end.
type outputs struct {
	inputs []*string
	files  []*os.File
	names  []string
}

func (o *outputs) create(name string) (*os.File, error) {
	if name == "" {
		return nil, errors.New("payload.ciphertext is missing: the file that the encrypted payload goes to")
	}
	for _, in := range o.inputs {
		if *in != "" && sameFile(*in, name) || slices.Contains(o.names, name) {
			return nil, fmt.Errorf("payload.ciphertext %s is a file that the description names already", name)
		}
	}
	if _, err := os.Lstat(name); err == nil {
		return nil, fmt.Errorf("payload.ciphertext %s: %w; the manifest that was made with it needs it as it is", name, fs.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, err
	}
	o.files, o.names = append(o.files, f), append(o.names, name)
	return f, nil
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// keep gives the files their names, all of them or none. It never takes the name of
// another file: under it may be what a manifest that is signed already lets devices fetch.
func (o *outputs) keep() error {
	for i, f := range o.files {
		if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", o.names[i], err)
		}
		if err := os.Link(f.Name(), o.names[i]); err != nil {
			return errors.Join(err, remove(o.names[:i]))
		}
	}
	return nil
}

func remove(names []string) error {
	var err error
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// discard removes the temporary names.
func (o *outputs) discard() {
	for _, f := range o.files {
		f.Close() // it may be closed already
		os.Remove(f.Name())
	}
}
