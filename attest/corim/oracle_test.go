package corim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/veraison/corim/comid"
	oracle "github.com/veraison/corim/corim"
	"github.com/veraison/go-cose"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The library veraison/corim v1.1.2 and this package read each other's files, and find the
// same in them.

// libraryTemplate reads one of the descriptions that the library ships.
func libraryTemplate(t *testing.T, description string) *comid.Comid {
	t.Helper()
	c := comid.NewComid()
	if err := c.FromJSON([]byte(description)); err != nil {
		t.Fatal(err)
	}
	return c
}

func libraryFileOf(t *testing.T, c *comid.Comid, profile string) *oracle.UnsignedCorim {
	t.Helper()
	u := oracle.NewUnsignedCorim().SetID("a-file").AddComid(*c).AddProfile(profile).SetRimValidity(now.AddDate(1, 0, 0), &now)
	if u == nil {
		t.Fatal("the library does not make a file of its own CoMID")
	}
	return u
}

// librarySays tells what the library finds in a CoMID, one line for a value or a key.
func librarySays(t *testing.T, c *comid.Comid) []string {
	t.Helper()
	about := func(e comid.Environment) string {
		line := ""
		if e.Class != nil {
			if e.Class.ClassID != nil {
				line += hex.EncodeToString(e.Class.ClassID.Bytes())
			}
			line += " " + e.Class.GetVendor() + " " + e.Class.GetModel()
		}
		if e.Instance != nil {
			line += " " + hex.EncodeToString(e.Instance.Bytes())
		}
		return line
	}
	var said []string
	if values := c.Triples.ReferenceValues; values != nil {
		for _, triple := range *values {
			for _, m := range triple.Measurements {
				said = append(said, about(triple.Environment)+": "+libraryValue(t, m))
			}
		}
	}
	keys := func(e comid.Environment, list comid.CryptoKeys) {
		for _, k := range list {
			public, err := k.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, about(e)+": "+keyText(t, public))
		}
	}
	if list := c.Triples.AttestVerifKeys; list != nil {
		for _, k := range *list {
			keys(k.Environment, k.VerifKeys)
		}
	}
	if list := c.Triples.DevIdentityKeys; list != nil {
		for _, k := range *list {
			keys(k.Environment, k.VerifKeys)
		}
	}
	slices.Sort(said)
	return said
}

func libraryValue(t *testing.T, m comid.Measurement) string {
	t.Helper()
	var r Reference
	if m.Key != nil {
		if id, err := m.Key.GetPSARefValID(); err == nil {
			r.Signer = id.SignerID
			if id.Label != nil {
				r.Key = *id.Label
			}
			if id.Version != nil {
				r.Version = *id.Version
			}
		} else if id, err := m.Key.GetCCAPlatformConfigID(); err == nil {
			r.Key, r.Version = KeyPlatformConfig, string(id)
		} else if id, err := m.Key.GetKeyUint(); err == nil {
			r.Key = fmt.Sprint(id)
		} else {
			t.Fatalf("measurement key %T", m.Key.Value)
		}
	}
	if m.Val.Ver != nil {
		r.Version = m.Val.Ver.Version
	}
	if m.Val.Digests != nil {
		for _, d := range *m.Val.Digests {
			r.Digests = append(r.Digests, Digest{d.AlgIDToString(), d.HashValue})
		}
	}
	if m.Val.SVN != nil {
		switch svn := m.Val.SVN.Value.(type) {
		case *comid.TaggedSVN:
			r.SVN = ptr(uint64(*svn))
		case *comid.TaggedMinSVN:
			r.MinSVN = ptr(uint64(*svn))
		case comid.TaggedSVN:
			r.SVN = ptr(uint64(svn))
		case comid.TaggedMinSVN:
			r.MinSVN = ptr(uint64(svn))
		default:
			t.Fatalf("security version %T", svn)
		}
	}
	if m.Val.RawValue != nil {
		raw, err := m.Val.RawValue.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		r.Raw = raw
	}
	return valueText(r)
}

// weSay tells the same of a file that was read here.
func weSay(t *testing.T, f *File) []string {
	t.Helper()
	about := func(e Environment) string {
		line := ""
		if !e.ClassID.IsZero() {
			line += hex.EncodeToString(e.ClassID.Value)
		}
		if !e.ClassID.IsZero() || e.Vendor != "" || e.Model != "" {
			line += " " + e.Vendor + " " + e.Model
		}
		if !e.Instance.IsZero() {
			line += " " + hex.EncodeToString(e.Instance.Value)
		}
		return line
	}
	var said []string
	for _, r := range f.References() {
		said = append(said, about(r.Environment)+": "+valueText(r))
	}
	for _, k := range f.Keys() {
		said = append(said, about(k.Environment)+": "+keyText(t, k.Public))
	}
	slices.Sort(said)
	return said
}

func valueText(r Reference) string {
	line := fmt.Sprintf("%q %q signer %x raw %x", r.Key, r.Version, r.Signer, r.Raw)
	for _, d := range r.Digests {
		line += fmt.Sprintf(" %s:%x", d.Algorithm, d.Value)
	}
	if r.SVN != nil {
		line += fmt.Sprintf(" svn %d", *r.SVN)
	}
	if r.MinSVN != nil {
		line += fmt.Sprintf(" at least svn %d", *r.MinSVN)
	}
	return line
}

func keyText(t *testing.T, public any) string {
	t.Helper()
	text, err := Thumbprint(public)
	if err != nil {
		t.Fatal(err)
	}
	return "key " + text
}

// TestLibraryWrites reads what the library writes, unsigned and signed.
func TestLibraryWrites(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ description, profile string }{
		"PSA values": {comid.PSARefValJSONTemplate, "http://arm.com/psa/iot/1"},
		"PSA keys":   {comid.PSAKeysJSONTemplate, "http://arm.com/psa/iot/1"},
		"CCA values": {comid.CCARefValJSONTemplate, "http://arm.com/cca/ssd/1"},
	} {
		t.Run(name, func(t *testing.T) {
			tag := libraryTemplate(t, c.description)
			want := librarySays(t, tag)
			u := libraryFileOf(t, tag, c.profile)
			raw, err := u.ToCBOR()
			if err != nil {
				t.Fatal(err)
			}
			signed, err := (&oracle.SignedCorim{UnsignedCorim: *u, Meta: *oracle.NewMeta().SetSigner("Acme", nil)}).Sign(signer)
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range [][]byte{raw, signed} {
				f := readFile(t, raw)
				if got := weSay(t, f); len(want) == 0 || !slices.Equal(got, want) || len(f.Unread) != 0 {
					t.Errorf("read %q, unread %q\nwant %q", got, f.Unread, want)
				}
				if f.Profile != c.profile || !f.NotAfter.Equal(now.AddDate(1, 0, 0)) || f.Signed() != bytes.Equal(raw, signed) {
					t.Errorf("profile %q, valid until %s, signed %t", f.Profile, f.NotAfter, f.Signed())
				}
			}
			if err := readFile(t, signed).Verify(now, &key.PublicKey); err != nil {
				t.Error(err)
			}
		})
	}
	// The library shows integrity registers through JSON only; the samples that it ships have
	// them too, see TestLibraryFiles.
	f := readFile(t, asCBOR(t, libraryFileOf(t, libraryTemplate(t, comid.CCARealmRefValJSONTemplate), "http://arm.com/cca/realm/1")))
	var keys []string
	for _, r := range f.References() {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	if want := []string{"cca.rem0", "cca.rem1", "cca.rem2", "cca.rem3", KeyRIM}; !slices.Equal(keys, want) {
		t.Errorf("a realm: %q, want %q", keys, want)
	}
}

func asCBOR(t *testing.T, u *oracle.UnsignedCorim) []byte {
	t.Helper()
	raw, err := u.ToCBOR()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// forLibrary takes a file to the forms of v1.1.2: no tag around it, the tag of a CoMID inside
// of its byte string, and profiles in a list.
func forLibrary(t *testing.T, raw []byte) []byte {
	t.Helper()
	_, content, ok := tagged(raw)
	if !ok {
		t.Fatal("no tag around the file")
	}
	fields, err := readFields(content)
	if err != nil {
		t.Fatal(err)
	}
	m := map[int64]any{}
	for label, item := range fields {
		m[label] = cosekit.RawMessage(item)
	}
	tags, err := cosekit.Elements(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	var inside []any
	for _, item := range tags {
		number, content, _ := tagged(item)
		tag, err := cosekit.Bytes(content)
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, cosekit.MustMarshal(cosekit.Tag{Number: number, Content: tag}))
	}
	m[1] = inside
	if fields[3] != nil {
		m[3] = []any{cosekit.RawMessage(fields[3])}
	}
	return cosekit.MustMarshal(m)
}

// TestLibraryReads has the library read what is written here, as far as it knows the forms:
// no text for a key of a measurement, no mask.
func TestLibraryReads(t *testing.T) {
	u := every(t)
	u.References = slices.DeleteFunc(u.References, func(r Reference) bool {
		text := r.Key != "" && (r.Key[0] < '0' || r.Key[0] > '9')
		return text || r.Mask != nil || r.Endorsed || r.Signer != nil
	})
	for i := range u.References { // it knows algorithms by their numbers, and SHA-1 has none
		u.References[i].Digests = slices.DeleteFunc(u.References[i].Digests, func(d Digest) bool { return d.Algorithm == "sha-1" })
	}
	u.References = append(u.References, Reference{
		Environment: Environment{ClassID: ID{KindUUID, bytes.Repeat([]byte{3}, 16)}, Vendor: "Acme", Model: "RoadRunner"},
		Key:         "8", MinSVN: ptr(uint64(7)),
	}, Reference{
		Environment: Environment{ClassID: ID{KindUUID, bytes.Repeat([]byte{3}, 16)}}, Key: "9", Raw: []byte{1, 2}, Version: "1.0",
	})
	if len(u.References) < 4 {
		t.Fatalf("too few values for a test: %+v", u.References)
	}
	raw := encoded(t, u)
	f := oracle.NewUnsignedCorim()
	if err := f.FromCBOR(forLibrary(t, raw)); err != nil {
		t.Fatal(err)
	}
	if err := f.Valid(); err != nil {
		t.Fatal(err)
	}
	if profile, err := (*f.Profiles)[0].Get(); err != nil || profile != u.Profile || len(*f.Profiles) != 1 {
		t.Errorf("profile %q, %v", profile, err)
	}
	if v := f.RimValidity; v == nil || !v.NotAfter.Equal(u.NotAfter) || !v.NotBefore.Equal(u.NotBefore) {
		t.Errorf("validity %+v", v)
	}
	tag := comid.NewComid()
	if err := tag.FromCBOR(bytes.TrimPrefix(f.Tags[0], oracle.ComidTag)); err != nil {
		t.Fatal(err)
	}
	if err := tag.Valid(); err != nil {
		t.Fatal(err)
	}
	if tag.TagIdentity.TagID.String() != u.ID || uint64(tag.TagIdentity.TagVersion) != u.Version {
		t.Errorf("identity %+v", tag.TagIdentity)
	}
	if got, want := librarySays(t, tag), weSay(t, readFile(t, raw)); !reflect.DeepEqual(got, want) {
		t.Errorf("the library reads %q\nwant %q", got, want)
	}
}
