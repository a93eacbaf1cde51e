package corim

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/uuid"
)

// ErrDescription: a description of which no file can be made.
var ErrDescription = errors.New("description not usable")

// MaxDescription is the size of the largest description document, in bytes.
const MaxDescription = 256 << 10

// Description says in YAML what a file is to hold. The values of every format are written
// in one way; the package comment says which keys each of them has.
//
//	id: acme/roadrunner            # tag id
//	version: 3                     # of the tag: the highest counts
//	replaces: [acme/prototype]     # optional: tags that no longer count
//	not-after: 2027-12-31T00:00:00Z
//	statements:
//	  - about: {class-id: "psa.impl-id:61636d65…", vendor: Acme, model: RoadRunner}
//	    values:
//	      - {key: BL, signer: acbb11c7…, version: 2.1.0, digest: "sha-256:87428fc5…"}
//	      - {key: microcode, min-svn: 72}
//	      - {key: policy, raw: "0000", mask: "0008"}
//	    registers: {"7": "sha-256:…"}  # PCRs and their likes
//	  - about: {class-id: "psa.impl-id:61636d65…", instance: "ueid:01ceebae…"}
//	    keys: [iak.pub.pem]
type Description struct {
	ID         string                 `yaml:"id"`
	Version    uint64                 `yaml:"version"`
	Replaces   []string               `yaml:"replaces"`
	Profile    string                 `yaml:"profile"`
	NotBefore  time.Time              `yaml:"not-before"`
	NotAfter   time.Time              `yaml:"not-after"`
	Statements []DescribedEnvironment `yaml:"statements"`
}

// DescribedEnvironment is what is said about one environment.
type DescribedEnvironment struct {
	About struct {
		ClassID  string  `yaml:"class-id"` // "kind:value"
		Vendor   string  `yaml:"vendor"`
		Model    string  `yaml:"model"`
		Layer    *uint64 `yaml:"layer"`
		Index    *uint64 `yaml:"index"`
		Instance string  `yaml:"instance"`
		Group    string  `yaml:"group"`
	} `yaml:"about"`
	Values []struct {
		Key      string   `yaml:"key"`
		Signer   string   `yaml:"signer"` // hexadecimal, as all that follow
		Version  string   `yaml:"version"`
		Digest   string   `yaml:"digest"` // "algorithm:hexadecimal"
		Digests  []string `yaml:"digests"`
		SVN      *uint64  `yaml:"svn"`
		MinSVN   *uint64  `yaml:"min-svn"`
		Raw      string   `yaml:"raw"`
		Mask     string   `yaml:"mask"`
		Endorsed bool     `yaml:"endorsed"`
	} `yaml:"values"`
	Registers yaml.MapSlice `yaml:"registers"` // digest by name or number
	Keys      []string      `yaml:"keys"`      // files: PEM or COSE_Key
}

// ParseDescription reads one YAML document. An unknown key is an error, and so is one that
// appears twice.
func ParseDescription(data []byte) (*Description, error) {
	if len(data) > MaxDescription {
		return nil, fmt.Errorf("%w: %w: %d bytes, at most %d", ErrDescription, ErrTooLarge, len(data), MaxDescription)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, yamlFault(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("%w: want one YAML document", ErrDescription)
	}
	var plain onlyPlain
	if ast.Walk(&plain, file.Docs[0].Body); plain.found {
		return nil, fmt.Errorf("%w: anchors, aliases and merges are not read", ErrDescription)
	}
	var d Description
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&d); err != nil {
		return nil, yamlFault(err)
	}
	return &d, nil
}

func yamlFault(err error) error {
	return fmt.Errorf("%w: %s", ErrDescription, strings.TrimSpace(yaml.FormatError(err, false, false)))
}

// onlyPlain looks for what could make a short document a long one.
type onlyPlain struct{ found bool }

func (o *onlyPlain) Visit(n ast.Node) ast.Visitor {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		o.found = true
		return nil
	}
	return o
}

// Make turns the description into what is signed. readFile reads the files of keys.
func (d *Description) Make(readFile func(name string) ([]byte, error)) (*Unsigned, error) {
	u := &Unsigned{ID: d.ID, Version: d.Version, Replaces: d.Replaces, Profile: d.Profile, NotBefore: d.NotBefore, NotAfter: d.NotAfter}
	if d.ID == "" {
		return nil, fmt.Errorf("%w: id is missing: the name under which newer versions replace older ones", ErrDescription)
	}
	for i := range d.Statements {
		if err := d.Statements[i].add(u, readFile); err != nil {
			return nil, fmt.Errorf("%w: statement %d: %w", ErrDescription, i+1, err)
		}
	}
	if len(u.References)+len(u.Keys) == 0 {
		return nil, fmt.Errorf("%w: there are no values and no keys in it", ErrDescription)
	}
	return u, nil
}

func (s *DescribedEnvironment) add(u *Unsigned, readFile func(string) ([]byte, error)) error {
	environment, err := s.environment()
	if err != nil {
		return within("about", err)
	}
	for i := range s.Values {
		r, err := s.value(i)
		if err != nil {
			return within(fmt.Sprintf("value %d", i+1), err)
		}
		r.Environment = environment
		u.References = append(u.References, r)
	}
	for _, register := range s.Registers {
		text, ok := register.Value.(string)
		if !ok {
			return fmt.Errorf("register %v: want a digest as text, such as \"sha-256:…\"", register.Key)
		}
		digest, err := parseDigest(text)
		if err != nil {
			return within(fmt.Sprintf("register %v", register.Key), err)
		}
		u.References = append(u.References, Reference{Environment: environment, Key: fmt.Sprint(register.Key), Digests: []Digest{digest}})
	}
	for _, file := range s.Keys {
		data, err := readFile(file)
		if err != nil {
			return err
		}
		key, err := parseKey(data)
		if err != nil {
			return within(file, err)
		}
		key.Environment = environment
		u.Keys = append(u.Keys, key)
	}
	return nil
}

func (s *DescribedEnvironment) environment() (Environment, error) {
	a := &s.About
	e := Environment{Vendor: a.Vendor, Model: a.Model, Layer: a.Layer, Index: a.Index}
	for _, id := range []struct {
		text string
		to   *ID
	}{{a.ClassID, &e.ClassID}, {a.Instance, &e.Instance}, {a.Group, &e.Group}} {
		if id.text == "" {
			continue
		}
		var err error
		if *id.to, err = ParseID(id.text); err != nil {
			return e, err
		}
	}
	if _, err := e.item(); err != nil {
		return e, errors.New("say what the values are about: class-id, instance, vendor or model")
	}
	return e, nil
}

func (s *DescribedEnvironment) value(i int) (Reference, error) {
	v := &s.Values[i]
	r := Reference{Key: v.Key, Version: v.Version, SVN: v.SVN, MinSVN: v.MinSVN, Endorsed: v.Endorsed}
	for _, text := range append(v.Digests, v.Digest) {
		if text == "" {
			continue
		}
		d, err := parseDigest(text)
		if err != nil {
			return r, err
		}
		r.Digests = append(r.Digests, d)
	}
	for _, part := range []struct {
		name, text string
		to         *[]byte
	}{{"signer", v.Signer, &r.Signer}, {"raw", v.Raw, &r.Raw}, {"mask", v.Mask, &r.Mask}} {
		if part.text == "" {
			continue
		}
		var err error
		if *part.to, err = hex.DecodeString(part.text); err != nil {
			return r, fmt.Errorf("%s: want hexadecimal digits, two for each byte", part.name)
		}
	}
	return r, nil
}

func parseDigest(text string) (Digest, error) {
	algorithm, digits, _ := strings.Cut(text, ":")
	value, err := hex.DecodeString(digits)
	if err != nil || len(value) == 0 {
		return Digest{}, fmt.Errorf("digest %q: want an algorithm and hexadecimal digits, such as sha-256:2cf24d…", text)
	}
	return Digest{algorithm, value}, nil
}

// ParseID reads an identifier as [ID.String] writes it.
func ParseID(text string) (ID, error) {
	kind, rest, _ := strings.Cut(text, ":")
	var value []byte
	var err error
	switch kind {
	case KindUUID:
		var id uuid.UUID
		id, err = uuid.Parse(rest)
		value = id[:]
	case KindOID:
		value, err = parseOID(rest)
	case KindUEID, KindBytes, KindImplID:
		value, err = hex.DecodeString(rest)
	default:
		return ID{}, fmt.Errorf("identifier %q: want kind:value, where the kind is uuid, oid, ueid, bytes or psa.impl-id", text)
	}
	if err != nil || len(value) == 0 {
		return ID{}, fmt.Errorf("identifier %q is no %s", text, kind)
	}
	return ID{kind, value}, nil
}

func parseOID(text string) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		var n int
		if _, err := fmt.Sscanf(part, "%d", &n); err != nil || fmt.Sprint(n) != part {
			return nil, ErrMalformed
		}
		oid = append(oid, n)
	}
	der, err := asn1.Marshal(oid)
	if err != nil || len(der) > 129 {
		return nil, ErrMalformed
	}
	return der[2:], nil
}

// String writes the identifier for people: "uuid:67b28b6c-…", "ueid:01ce…".
func (id ID) String() string {
	if text, err := id.text(); err == nil {
		return id.Kind + ":" + text
	}
	return id.Kind + ":" + hex.EncodeToString(id.Value)
}
