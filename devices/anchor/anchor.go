package anchor

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Purpose is what an anchor's key may be used for.
type Purpose string

// The purposes.
const (
	TCSigner Purpose = "tc-signer" // authenticates SUIT manifests
	TAM      Purpose = "tam"       // may talk TEEP to this agent
	Verifier Purpose = "verifier"  // signs attestation results
	Manager  Purpose = "manager"   // signs trust anchor updates

	Attester        Purpose = "attester"         // attests a device, or the TAM to a device
	ReferenceValues Purpose = "reference-values" // signs CoRIM files; on the TAM's side only
)

// Valid reports whether p is one of the purposes.
func (p Purpose) Valid() bool {
	switch p {
	case TCSigner, TAM, Verifier, Manager, Attester, ReferenceValues:
		return true
	}
	return false
}

// Caps of one anchor.
const (
	MaxTitle = 128 // bytes
	MaxList  = 64  // entries of each list of constraints
)

// Anchor is one trusted key and what it is trusted for.
type Anchor struct {
	Key         *cosekit.PublicKey
	Title       string    // for people: at most MaxTitle bytes, printable
	Purposes    []Purpose // at least one, no duplicates
	Constraints Constraints
	NotBefore   time.Time // zero: no lower bound; kept in whole seconds
	NotAfter    time.Time // zero: no upper bound; the last second that counts
}

// Constraints narrow an anchor. An empty list does not narrow; where Components and Scopes
// are both empty, every component is within reach.
type Constraints struct {
	Components []suit.ComponentID // prefixes of the component ids that it may sign for
	VendorIDs  [][]byte           // 16-byte UUIDs
	ClassIDs   [][]byte
	Grants     []Purpose // for managers: the purposes that they may grant
	Scopes     []Scope   // more prefixes, each with some commands and parameters only

	// Formats are those of the evidence that an attester may sign; empty for EATs only.
	Formats []Format
	// Products are what a provider of reference values may speak about, in the form that
	// corim.ParseScope reads.
	Products []string
}

// Format is a format of evidence that keys of devices sign. Those of hardware whose maker
// certifies it need no key here.
type Format string

// The formats.
const (
	FormatEAT Format = "eat"
	FormatPSA Format = "psa"
	FormatCCA Format = "cca"
	FormatTPM Format = "tpm"
)

// Formats lists all formats.
func Formats() []Format { return []Format{FormatEAT, FormatPSA, FormatCCA, FormatTPM} }

// CheckFormats refuses a list with an unknown format, or one that it has twice.
func CheckFormats(list []Format) error {
	for i, f := range list {
		if !slices.Contains(Formats(), f) {
			return fmt.Errorf("unknown format of evidence %q", f)
		}
		if slices.Contains(list[:i], f) {
			return fmt.Errorf("format %s twice", f)
		}
	}
	return nil
}

// InFormats reports whether a list of formats has the one; an empty list is of EATs only.
func InFormats(list []Format, f Format) bool {
	if len(list) == 0 {
		return f == FormatEAT
	}
	return slices.Contains(list, f)
}

// Thumbprint names the anchor. The anchor must have a key.
func (a Anchor) Thumbprint() cosekit.Thumbprint { return a.Key.Thumbprint() }

// Validate reports what is wrong with the anchor, as ErrInvalid.
func (a Anchor) Validate() error {
	if err := a.fault(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func (a Anchor) fault() error {
	if a.Key == nil {
		return fmt.Errorf("no key")
	}
	if len(a.Title) > MaxTitle || !utf8.ValidString(a.Title) || !printable(a.Title) {
		return fmt.Errorf("title is not printable text of at most %d bytes", MaxTitle)
	}
	if len(a.Purposes) == 0 {
		return fmt.Errorf("no purpose")
	}
	if err := checkPurposes(a.Purposes); err != nil {
		return err
	}
	if !a.Key.SignsTEEP() && !slices.Equal(a.Purposes, []Purpose{TCSigner}) {
		return fmt.Errorf("%s keys are for %s and nothing else", cosekit.AlgorithmName(a.Key.Algorithm()), TCSigner)
	}
	if whole(a.NotBefore) != nil && whole(a.NotAfter) != nil && *whole(a.NotAfter) < *whole(a.NotBefore) {
		return fmt.Errorf("valid until %s, which is before %s", a.NotAfter, a.NotBefore)
	}
	for _, bound := range []time.Time{a.NotBefore, a.NotAfter} {
		if s := whole(bound); s != nil && (*s < 0 || *s > latest) {
			return fmt.Errorf("validity bound %s lies outside the years 1970 to 9999", bound)
		}
	}
	return a.checkConstraints()
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func checkPurposes(list []Purpose) error {
	for i, p := range list {
		if !p.Valid() {
			return fmt.Errorf("unknown purpose %q", p)
		}
		if slices.Contains(list[:i], p) {
			return fmt.Errorf("purpose %s twice", p)
		}
	}
	return nil
}

// checkConstraints refuses a constraint that no purpose of the anchor is held
// against: its author would believe the key narrower than it is.
func (a Anchor) checkConstraints() error {
	c := a.Constraints
	narrows := a.Has(TCSigner) || a.Has(Manager)
	switch {
	case len(c.Components) > MaxList, len(c.Scopes) > MaxList, len(c.VendorIDs) > MaxList, len(c.ClassIDs) > MaxList:
		return fmt.Errorf("more than %d entries in one list of constraints", MaxList)
	case len(c.Components)+len(c.Scopes)+len(c.VendorIDs)+len(c.ClassIDs) > 0 && !narrows:
		return fmt.Errorf("component, vendor and class constraints are for %s and %s anchors", TCSigner, Manager)
	case len(c.Formats) > 0 && !a.Has(Attester):
		return fmt.Errorf("formats of evidence are for %s anchors", Attester)
	case len(c.Products) > 0 && !a.Has(ReferenceValues):
		return fmt.Errorf("products are for %s anchors", ReferenceValues)
	case len(c.Grants) > 0 && !a.Has(Manager):
		return fmt.Errorf("purposes to grant are for %s anchors", Manager)
	}
	for i, prefix := range c.Components {
		if len(prefix) == 0 {
			return fmt.Errorf("empty component prefix; leave the list empty to allow every component")
		}
		if slices.ContainsFunc(c.Components[:i], prefix.Equal) {
			return fmt.Errorf("component prefix %s twice", prefix)
		}
	}
	if err := c.checkScopes(); err != nil {
		return err
	}
	if err := checkUUIDs("vendor id", c.VendorIDs); err != nil {
		return err
	}
	if err := checkUUIDs("class id", c.ClassIDs); err != nil {
		return err
	}
	if err := CheckFormats(c.Formats); err != nil {
		return err
	}
	if err := checkProducts(c.Products); err != nil {
		return err
	}
	return checkPurposes(c.Grants)
}

func checkUUIDs(name string, list [][]byte) error {
	for i, id := range list {
		if len(id) != 16 {
			return fmt.Errorf("%s of %d bytes, want a UUID of 16", name, len(id))
		}
		if slices.ContainsFunc(list[:i], func(other []byte) bool { return bytes.Equal(id, other) }) {
			return fmt.Errorf("%s %x twice", name, id)
		}
	}
	return nil
}

// MaxProduct caps the text of a product, in bytes.
const MaxProduct = 600

func checkProducts(list []string) error {
	if len(list) > MaxList {
		return fmt.Errorf("more than %d entries in one list of constraints", MaxList)
	}
	for i, text := range list {
		if text == "" || len(text) > MaxProduct || !utf8.ValidString(text) || !printable(text) {
			return fmt.Errorf("product is not printable text of 1 to %d bytes", MaxProduct)
		}
		if slices.Contains(list[:i], text) {
			return fmt.Errorf("product %s twice", text)
		}
	}
	return nil
}

// Attests reports whether the key may sign evidence of the format. It does not look at the
// validity; [Anchor.Allows] does.
func (a Anchor) Attests(f Format) bool { return a.Has(Attester) && InFormats(a.Constraints.Formats, f) }

// Has reports whether p is among the anchor's purposes.
func (a Anchor) Has(p Purpose) bool { return slices.Contains(a.Purposes, p) }

// Allows reports why the key must not be used for the purpose now: ErrPurpose,
// ErrNotYetValid or ErrExpired; ErrUnknown for the zero Anchor. Nil means that it may,
// within its constraints.
func (a Anchor) Allows(p Purpose, now time.Time) error {
	switch {
	case a.Key == nil:
		return ErrUnknown
	case !a.Has(p):
		return fmt.Errorf("%w: %s: not for %s", ErrPurpose, a.Thumbprint(), p)
	case !a.NotBefore.IsZero() && now.Unix() < a.NotBefore.Unix():
		return fmt.Errorf("%w: %s: valid from %s", ErrNotYetValid, a.Thumbprint(), a.NotBefore.Format(time.RFC3339))
	case !a.NotAfter.IsZero() && now.Unix() > a.NotAfter.Unix():
		return fmt.Errorf("%w: %s: valid until %s", ErrExpired, a.Thumbprint(), a.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// MayPublish reports whether the key may sign manifests that touch the component: a
// manifest component id as well as each component that the manifest lists. What it may do
// with it, MayUse tells. It does not look at the validity; [Anchor.Allows] does.
func (a Anchor) MayPublish(component suit.ComponentID) bool { return a.MayUse(component, 0, 0) }

// MayUse reports whether the key may sign manifests that use the command on the component,
// or set the parameter of it; each is zero for none.
func (a Anchor) MayUse(component suit.ComponentID, command suit.CommandCode, parameter suit.ParameterCode) bool {
	if !a.Has(TCSigner) {
		return false
	}
	return a.Constraints.Everywhere() ||
		slices.ContainsFunc(a.Constraints.Components, component.HasPrefix) ||
		slices.ContainsFunc(a.Constraints.Scopes, func(s Scope) bool {
			return component.HasPrefix(s.Prefix) && s.allows(command, parameter)
		})
}

// MayTarget reports whether the key may sign for devices of the vendor and class,
// each a 16-byte UUID; nil where the device has none, which no constraint allows.
func (a Anchor) MayTarget(vendorID, classID []byte) bool {
	return among(a.Constraints.VendorIDs, vendorID) && among(a.Constraints.ClassIDs, classID)
}

func among(list [][]byte, id []byte) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(one []byte) bool { return bytes.Equal(one, id) })
}
