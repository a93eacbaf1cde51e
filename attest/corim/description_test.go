package corim

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

const described = `
id: acme/roadrunner
version: 3
replaces: [acme/prototype]
profile: https://acme.example/profile
not-before: 2026-01-01T00:00:00Z
not-after: 2027-12-31T00:00:00Z
statements:
  - about: {class-id: "psa.impl-id:0101010101010101010101010101010101010101010101010101010101010101", vendor: Acme, model: RoadRunner, layer: 0}
    values:
      - {key: BL, signer: "0909090909090909090909090909090909090909090909090909090909090909", version: 2.1.0, digest: "sha-256:0202020202020202020202020202020202020202020202020202020202020202"}
      - {key: policy, raw: "0000", mask: "0008"}
      - {key: microcode, min-svn: 72}
      - {svn: 0, endorsed: true}
    registers:
      7: "sha-256:0303030303030303030303030303030303030303030303030303030303030303"
      "0": "sha-1:0404040404040404040404040404040404040404"
  - about: {instance: "ueid:01ceebae7b8927a3", group: "uuid:67b28b6c-34cc-40a1-9117-ab5b05911e37", class-id: "oid:2.16.840.1.113741"}
    keys: [iak.pub.pem]
`

func TestDescription(t *testing.T) {
	signer := newSigner(t, cosekit.ESP256)
	d, err := ParseDescription([]byte(described))
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.Make(func(name string) ([]byte, error) {
		if name != "iak.pub.pem" {
			return nil, fs.ErrNotExist
		}
		return signer.PublicKey().PEM(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f := readFile(t, encoded(t, u))
	if f.ID != "acme/roadrunner" || f.Version != 3 || !reflect.DeepEqual(f.Replaces(), []string{"acme/prototype"}) || f.NotBefore.Year() != 2026 || f.NotAfter.Year() != 2027 || f.Profile == "" {
		t.Errorf("read %+v", f)
	}
	class := Environment{ClassID: implID(1), Vendor: "Acme", Model: "RoadRunner", Layer: ptr(uint64(0))}
	about := func(r Reference) Reference {
		r.Environment, r.Source = class, "acme/roadrunner@3"
		return r
	}
	want := []Reference{
		about(Reference{Key: "BL", Signer: repeated(9), Version: "2.1.0", Digests: sha256Of(2)}),
		about(Reference{Key: "policy", Raw: []byte{0, 0}, Mask: []byte{0, 8}}),
		about(Reference{Key: "microcode", MinSVN: ptr(uint64(72))}),
		about(Reference{Key: "7", Digests: sha256Of(3)}),
		about(Reference{Key: "0", Digests: []Digest{{"sha-1", repeated(4)[:20]}}}),
		about(Reference{SVN: ptr(uint64(0)), Endorsed: true}),
	}
	if got := f.References(); !reflect.DeepEqual(got, want) {
		t.Errorf("values:\n got %+v\nwant %+v", got, want)
	}
	if len(f.Keys()) != 1 || !reflect.DeepEqual(f.Keys()[0].Public, publicKey(t, signer)) {
		t.Fatalf("keys %+v", f.Keys())
	}
	e := f.Keys()[0].Environment
	if got := e.Instance.String() + " " + e.Group.String() + " " + e.ClassID.String(); got != "ueid:01ceebae7b8927a3 uuid:67b28b6c-34cc-40a1-9117-ab5b05911e37 oid:2.16.840.1.113741" {
		t.Errorf("key of %s", got)
	}
}

func repeated(b byte) []byte { return sha256Of(b)[0].Value }

func TestDescriptionRefuses(t *testing.T) {
	value := func(v string) string {
		return "id: x\nstatements:\n  - about: {vendor: Acme}\n    values: [" + v + "]\n"
	}
	about := func(a string) string { return "id: x\nstatements:\n  - about: {" + a + "}\n    values: [{svn: 1}]\n" }
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "one YAML document"},
		{"two documents", "id: x\n---\nid: y\n", "one YAML document"},
		{"no YAML", "id: [", ""},
		{"an unknown key", "id: x\nversions: 3\n", "versions"},
		{"the same key twice", "id: x\nid: y\n", "already defined"},
		{"an alias", "id: &a x\nprofile: *a\n", "aliases"},
		{"oversize", strings.Repeat("#", MaxDescription+1), "at most"},
		{"no id", "version: 1\n", "id is missing"},
		{"no values", "id: x\nstatements: [{about: {vendor: Acme}}]\n", "no values and no keys"},
		{"about nothing", about(""), "what the values are about"},
		{"no kind", about("class-id: 0102"), "want kind:value"},
		{"no UUID", about(`class-id: "uuid:0102"`), "is no uuid"},
		{"no OID", about(`class-id: "oid:1.x"`), "is no oid"},
		{"no hexadecimal", about(`instance: "ueid:0x"`), "is no ueid"},
		{"negative svn", value("{svn: -1}"), ""},
		{"no digest", value(`{digest: "2cf24d"}`), "want an algorithm and hexadecimal digits"},
		{"odd digits", value(`{raw: "123"}`), "raw: want hexadecimal"},
		{"a key file that is not there", "id: x\nstatements: [{about: {vendor: Acme}, keys: [missing.pem]}]\n", "not exist"},
		{"a key file that is none", "id: x\nstatements: [{about: {vendor: Acme}, keys: [odd.pem]}]\n", "odd.pem: key not usable"},
		{"a register that is a number", "id: x\nstatements: [{about: {vendor: Acme}, registers: {7: 5}}]\n", "register 7"},
		// What only Encode finds.
		{"unknown algorithm", value(`{digest: "md5:0102"}`), `no digest algorithm "md5"`},
		{"digest of wrong length", value(`{digest: "sha-256:0102"}`), "sha-256 of 2 bytes, want 32"},
		{"a mask alone", value(`{mask: "01"}`), "mask of 1 bytes over a value of 0"},
		{"mask of another length", value(`{raw: "0102", mask: "01"}`), "mask of 1 bytes"},
		{"two security versions", value("{svn: 1, min-svn: 1}"), "exact security version and a least"},
		{"short signer", value(`{signer: "01", svn: 1}`), "signer-id of 1 bytes"},
		{"a key that is reserved", value("{key: psa.software-component, svn: 1}"), "label of the component"},
		{"a value of nothing", value("{key: x}"), "without a value"},
		{"a beginning alone", "not-before: 2026-01-01T00:00:00Z\n" + value("{svn: 1}"), "beginning without an end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := describe([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want what says %q", err, c.says)
			}
			if err != nil && !errors.Is(err, ErrDescription) && !errors.Is(err, ErrMalformed) {
				t.Errorf("an error of no kind: %v", err)
			}
		})
	}
}

// describe goes all the way from YAML to a file.
func describe(text []byte) error {
	d, err := ParseDescription(text)
	if err != nil {
		return err
	}
	u, err := d.Make(func(name string) ([]byte, error) {
		if name == "odd.pem" {
			return []byte("-----BEGIN ODD-----\n-----END ODD-----\n"), nil
		}
		return nil, fs.ErrNotExist
	})
	if err != nil {
		return err
	}
	_, err = u.Encode()
	return err
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(described))
	f.Add([]byte("id: x\nstatements: [{about: {vendor: Acme}, registers: {7: 5}}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) { _ = describe(text) }) // it does not panic
}
