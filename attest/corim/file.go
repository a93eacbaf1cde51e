package corim

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Caps on files, which an operator brings from somebody else.
const (
	MaxFile   = 1 << 20 // bytes
	MaxTags   = 256
	MaxName   = 512 // bytes of an id, a key, a version
	MaxDigest = 64  // bytes
	maxNotes  = 32

	// MaxFileStatements are the values and keys of one file, MaxStatements those of all
	// files together, for they are held in memory; MaxAlike are the values of one
	// signer for what a look-up takes together, such as a class or an instance.
	MaxFileStatements = 5_000
	MaxStatements     = 100_000
	MaxAlike          = 4096
)

// ContentType is that of a CoRIM (draft-ietf-rats-corim section 13.6).
const ContentType = "application/rim+cbor"

// File is one CoRIM. What [Read] returns is not verified.
type File struct {
	// ID and Version are those of the CoMID tag, where the file has one; where it has
	// several, the id of the CoRIM and the highest version of its tags.
	ID      string
	Version uint64
	// Signer is the thumbprint (RFC 9679) of the key that signed; Verify sets it.
	Signer string
	// SignerName is what the signer calls himself; empty for an unsigned file.
	SignerName string
	Profile    string    // URI or OID; empty for none
	NotBefore  time.Time // zero for no beginning
	NotAfter   time.Time // zero for no end
	Raw        []byte
	// Unread tells what in the file nobody here uses: CoSWID tags, and statements with a
	// part that nothing can be compared with. They are left out as a whole.
	Unread []string

	tags       []tag
	statements int        // in all tags
	signature  *signature // nil for an unsigned file
}

// tag is one CoMID: a set of statements with an id and a version.
type tag struct {
	id         string
	version    uint64
	replaces   []string
	raw        []byte
	notAfter   time.Time
	references []Reference
	keys       []AttestKey
}

func (t *tag) expired(now time.Time) bool { return !t.notAfter.IsZero() && now.After(t.notAfter) }

// source is how statements name their tag.
func (t *tag) source() string { return fmt.Sprintf("%s@%d", t.id, t.version) }

// Read reads a CoRIM, signed or not: tag 18 around a COSE_Sign1, 501 or none around an
// unsigned one, and 500 and 502 of older drafts around either. The content is untrusted
// until [File.Verify] has returned nil.
func Read(raw []byte) (*File, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("CoRIM: %w: %d bytes, at most %d are read", ErrTooLarge, len(raw), MaxFile)
	}
	f, err := read(bytes.Clone(raw))
	if err != nil {
		return nil, fmt.Errorf("CoRIM: %w", err)
	}
	return f, nil
}

func read(raw []byte) (*File, error) {
	if err := cosekit.Validate(raw); err != nil {
		return nil, err
	}
	f := &File{Raw: raw}
	item := raw
	for {
		number, content, ok := tagged(item)
		if !ok || number != tagUnsignedOld && number != tagSignedOld {
			break
		}
		item = content
	}
	if number, _, ok := tagged(item); ok && number == cosekit.TagSign1 || cosekit.Major(item) == cosekit.MajorArray {
		payload, err := f.readSigned(item)
		if err != nil {
			return nil, within("signature", err)
		}
		if err := cosekit.Validate(payload); err != nil {
			return nil, within("payload", err)
		}
		item = payload
	}
	if number, content, ok := tagged(item); ok && (number == tagUnsigned || number == tagUnsignedOld) {
		item = content
	}
	if err := f.readMap(item); err != nil {
		return nil, err
	}
	return f, nil
}

// readMap reads a corim-map:
//
//	corim-map = { 0 => id, 1 => [ + tag ], ? 2 => dependent-rims, ? 3 => profile,
//	              ? 4 => rim-validity, ? 5 => entities }
func (f *File) readMap(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[0] == nil || m[1] == nil {
		return fmt.Errorf("%w: no id, or no tags", ErrMalformed)
	}
	id, err := tagID(m[0])
	if err != nil {
		return within("id", err)
	}
	if profile, ok := m[3]; ok {
		if f.Profile, err = readProfile(profile); err != nil {
			return within("profile", err)
		}
	}
	if validity, ok := m[4]; ok {
		if err := f.readValidity(validity); err != nil {
			return within("rim-validity", err)
		}
	}
	if m[2] != nil {
		f.note("dependent-rims: the files that it names are not fetched")
	}
	if err := m.only("CoRIM", 0, 1, 2, 3, 4, 5); err != nil {
		f.note(err.Error())
	}
	if err := each(m[1], "tag", f.readTag); err != nil {
		return err
	}
	f.name(id)
	return nil
}

// name gives the file its id and version.
func (f *File) name(id string) {
	f.ID = id
	if len(f.tags) == 1 {
		f.ID = f.tags[0].id
	}
	for i := range f.tags {
		f.Version = max(f.Version, f.tags[i].version)
		f.tags[i].notAfter = f.NotAfter
	}
}

// readTag reads one of the concise tags. In the draft, tag 506 is around a byte string
// with the CoMID; veraison/corim has the tag inside of the string.
func (f *File) readTag(item []byte) error {
	if cosekit.Major(item) == cosekit.MajorBytes {
		inner, err := cosekit.Bytes(item)
		if err != nil {
			return err
		}
		if err := cosekit.Validate(inner); err != nil {
			return err
		}
		item = inner
	}
	number, content, ok := tagged(item)
	switch {
	case !ok:
		return fmt.Errorf("%w: neither CoMID nor another concise tag", ErrMalformed)
	case number == tagCoSWID:
		f.note("CoSWID tag: software identities are kept, not compared")
		return nil
	case number != tagCoMID:
		f.note(fmt.Sprintf("tag %d is not read", number))
		return nil
	}
	if cosekit.Major(content) == cosekit.MajorBytes {
		inner, err := cosekit.Bytes(content)
		if err != nil {
			return err
		}
		if err := cosekit.Validate(inner); err != nil {
			return err
		}
		content = inner
	}
	return f.readCoMID(content)
}

func (f *File) note(what string) {
	switch {
	case len(f.Unread) < maxNotes-1:
		f.Unread = append(f.Unread, what)
	case len(f.Unread) == maxNotes-1:
		f.Unread = append(f.Unread, "and more")
	}
}

// readProfile reads a profile-type-choice: a URI or an OID. Older files have a list.
func readProfile(item []byte) (string, error) {
	if cosekit.Major(item) == cosekit.MajorArray {
		profiles, err := cosekit.Elements(item)
		if err != nil {
			return "", err
		}
		if len(profiles) != 1 {
			return "", fmt.Errorf("%w: %d profiles, want one", ErrMalformed, len(profiles))
		}
		item = profiles[0]
	}
	const tagURI = 32
	number, content, ok := tagged(item)
	if ok && number == tagOID {
		id, err := readID(item)
		if err != nil {
			return "", err
		}
		return id.text()
	}
	if ok && number == tagURI {
		item = content
	}
	return name(item)
}

// Tags lists the tags of the file as statements name them: "id@version".
func (f *File) Tags() []string {
	var names []string
	for i := range f.tags {
		names = append(names, f.tags[i].source())
	}
	return names
}

// References lists every reference value and endorsed value of the file.
func (f *File) References() []Reference {
	var all []Reference
	for _, t := range f.tags {
		all = append(all, t.references...)
	}
	return all
}

// Keys lists every key of the file.
func (f *File) Keys() []AttestKey {
	var all []AttestKey
	for _, t := range f.tags {
		all = append(all, t.keys...)
	}
	return all
}

// Replaces lists the ids of tags that no longer count once this file is in force.
func (f *File) Replaces() []string {
	var ids []string
	for _, t := range f.tags {
		ids = append(ids, t.replaces...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
