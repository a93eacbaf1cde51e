package corim

import (
	"bytes"
	"crypto"
	"crypto/x509"
)

// ID is an identifier with its kind: "uuid", "oid", "ueid", "bytes", "psa.impl-id", or
// "tag-N" for one under another CBOR tag N, whose Value is the encoded content. A
// "psa.impl-id" (tag 600 of older files) is equal to "bytes" (tag 560) of the same value.
type ID struct {
	Kind  string
	Value []byte
}

// The kinds of identifiers (draft-ietf-rats-corim section 7).
const (
	KindUUID   = "uuid"
	KindOID    = "oid" // Value is the BER content, without its head
	KindUEID   = "ueid"
	KindBytes  = "bytes"
	KindImplID = "psa.impl-id"
)

// IsZero reports whether there is no identifier.
func (id ID) IsZero() bool { return id.Kind == "" }

// Equal reports whether both name the same.
func (id ID) Equal(other ID) bool {
	return id.kind() == other.kind() && bytes.Equal(id.Value, other.Value)
}

func (id ID) kind() string {
	if id.Kind == KindImplID {
		return KindBytes
	}
	return id.Kind
}

// key is what the index of a Base has for the identifier.
func (id ID) key() string { return id.kind() + ":" + string(id.Value) }

// Environment says what a statement is about (draft-ietf-rats-corim section 5.1.4.1.1).
// An empty field says nothing.
type Environment struct {
	ClassID       ID
	Vendor, Model string
	Layer, Index  *uint64
	Instance      ID
	Group         ID
}

// covers reports whether what is said of e holds for about: every field that e gives is
// the same there. Where a class id or an instance already says what it is about, a vendor
// or a model that about does not know is passed over: makers write them down for people,
// and most evidence has neither.
func (e *Environment) covers(about *Environment) bool {
	named := !e.ClassID.IsZero() || !e.Instance.IsZero()
	id := func(given, is ID) bool { return given.IsZero() || given.Equal(is) }
	text := func(given, is string) bool { return given == "" || given == is || named && is == "" }
	number := func(given, is *uint64) bool { return given == nil || is != nil && *given == *is }
	return id(e.Instance, about.Instance) && id(e.ClassID, about.ClassID) && id(e.Group, about.Group) &&
		text(e.Vendor, about.Vendor) && text(e.Model, about.Model) &&
		number(e.Layer, about.Layer) && number(e.Index, about.Index)
}

// Digest is a hash value with the name of its algorithm, such as "sha-256".
type Digest struct {
	Algorithm string
	Value     []byte
}

// Reference is one reference value: what a measurement of the environment should be.
type Reference struct {
	Environment Environment
	// Key names the measurement within the environment: the label of a software
	// component, a component id, the number of a PCR. Empty where there is but one.
	Key      string
	Signer   []byte   // of a software component (PSA signer-id), if given
	Version  string   // if given
	Digests  []Digest // any of them is good
	SVN      *uint64  // exact security version
	MinSVN   *uint64  // least security version
	Raw      []byte   // raw value, compared under Mask where that is given; nil for none
	Mask     []byte   // as long as Raw; nil for all bits
	Endorsed bool     // an endorsed value: what to add, not what to compare
	Source   string   // the tag that says so: "id@version"
}

// AttestKey is a key that devices sign evidence with, or the certificate of the CA of such.
type AttestKey struct {
	Environment Environment
	Public      crypto.PublicKey // never nil: *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
	Certificate *x509.Certificate
	Source      string
	By          string // the File.Signer of who says so; a Base sets it
}

// Base is all that imported files say. It does not change.
type Base struct {
	references index[Reference]
	keys       index[AttestKey]
}

// References returns what is said of the environment: every field that a statement gives
// must be equal there, save that vendor and model may be unknown where a class id or an
// instance is given. The order is that of the files and of the statements in them. What
// it returns is shared and must not be changed.
func (b *Base) References(about Environment) []Reference { return b.references.find(&about) }

// Keys returns the keys of the environment, in the same way.
func (b *Base) Keys(about Environment) []AttestKey { return b.keys.find(&about) }

// Len returns how many reference values and keys there are.
func (b *Base) Len() (references, keys int) { return len(b.references.all), len(b.keys.all) }

// index finds statements by the most telling field of their environment, so that a
// look-up does not pass by those about other devices.
type index[T any] struct {
	all      []T
	environs func(*T) *Environment
	by       map[string][]int // positions in all, ascending
}

func newIndex[T any](all []T, environment func(*T) *Environment) index[T] {
	x := index[T]{all, environment, make(map[string][]int, len(all))}
	for i := range all {
		key := environment(&all[i]).slot()
		x.by[key] = append(x.by[key], i)
	}
	return x
}

// slot is where the index keeps a statement about e.
func (e *Environment) slot() string {
	switch {
	case !e.Instance.IsZero():
		return "instance " + e.Instance.key()
	case !e.ClassID.IsZero():
		return "class " + e.ClassID.key()
	case !e.Group.IsZero():
		return "group " + e.Group.key()
	case e.Model != "":
		return "model " + e.Model
	case e.Vendor != "":
		return "vendor " + e.Vendor
	}
	return ""
}

// slots are all places where a statement about e may be.
func (e *Environment) slots() []string {
	slots := make([]string, 0, 6)
	for _, part := range []Environment{
		{Instance: e.Instance}, {ClassID: e.ClassID}, {Group: e.Group}, {Model: e.Model}, {Vendor: e.Vendor},
	} {
		if slot := part.slot(); slot != "" {
			slots = append(slots, slot)
		}
	}
	return append(slots, "")
}

func (x *index[T]) find(about *Environment) []T {
	var at []int
	for _, slot := range about.slots() {
		for _, i := range x.by[slot] {
			if x.environs(&x.all[i]).covers(about) {
				at = append(at, i)
			}
		}
	}
	return x.take(at)
}
