package corim

import (
	"crypto"
	"time"
)

// ID is an identifier with its kind: "uuid", "oid", "ueid", "bytes", "psa.impl-id", …
type ID struct {
	Kind  string
	Value []byte
}

// Environment says what a statement is about (draft-ietf-rats-corim section 5.1.4.1.1).
// An empty field says nothing.
type Environment struct {
	ClassID       ID
	Vendor, Model string
	Layer, Index  *uint64
	Instance      ID
	Group         ID
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
	Raw      []byte   // raw value, compared under Mask where that is given
	Mask     []byte
	Endorsed bool   // an endorsed value: what to add, not what to compare
	Source   string // the file that says so: tag id and version
}

// AttestKey is a key that devices sign evidence with, or the certificate of the CA of such.
type AttestKey struct {
	Environment Environment
	Public      crypto.PublicKey
	Source      string
}

// Base is all that imported files say. It does not change.
type Base struct{}

// NewBase compiles files that were verified. Of files with the same tag id, the highest
// version counts; what is not valid at now is left out.
func NewBase(files []*File, now time.Time) (*Base, error) { return &Base{}, nil }

// References returns what is said of the environment: every field that a statement gives
// must be equal there.
func (b *Base) References(about Environment) []Reference { return nil }

// Keys returns the keys of the environment, in the same way.
func (b *Base) Keys(about Environment) []AttestKey { return nil }

// File is one CoRIM.
type File struct {
	ID        string // tag id
	Version   uint64
	Signer    string // who signed, by thumbprint or subject; empty for an unsigned one
	NotBefore time.Time
	NotAfter  time.Time
	Raw       []byte
}
