package local

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func equal(a, b []byte) bool { return bytes.Equal(a, b) }

// isReference takes what is to be compared; an endorsed value is to be added.
func isReference(r corim.Reference) bool { return !r.Endorsed }

// measureComponents holds the software components of a platform against the reference
// values of its implementation. Each has to be one of those: a component that has values
// and is none of them is contraindicated, one that nobody has values for unrecognized. A
// component that has values and is not in the token is told, and is unrecognized where the
// verifier is strict: nobody knows what runs in its place.
func (v *Verifier) measureComponents(a *appraisal, references []corim.Reference, components []evidence.SoftwareComponent) {
	references = slices.DeleteFunc(slices.Clone(references), func(r corim.Reference) bool {
		return !isReference(r) || r.Digests == nil
	})
	if len(components) == 0 {
		a.find(attest.Executables, unrecognized, "the token has no measurement of software")
	}
	for _, c := range components {
		measureComponent(a, references, c)
	}
	missing := missed(references, components)
	if v.options.Strict {
		for _, name := range missing {
			a.compare(attest.Comparison{Element: attest.Executables, Name: name, Expected: []string{"a measurement"}})
			a.find(attest.Executables, unrecognized, "%s has reference values, and the token does not have it", name)
		}
	}
	reason := fmt.Sprintf("all %d software components are as reference values say", len(components))
	if len(missing) > 0 {
		reason += "; the token does not have " + strings.Join(missing, ", ")
	}
	a.find(attest.Executables, approved, "%s", reason)
}

// missed lists the components that reference values name and a token does not have.
func missed(references []corim.Reference, components []evidence.SoftwareComponent) []string {
	var names []string
	for _, r := range references {
		reported := func(c evidence.SoftwareComponent) bool { return c.Type == r.Key }
		if r.Key != "" && len(names) < maxExpected && !slices.Contains(names, r.Key) && !slices.ContainsFunc(components, reported) {
			names = append(names, r.Key)
		}
	}
	return names
}

func measureComponent(a *appraisal, references []corim.Reference, c evidence.SoftwareComponent) {
	comparison := attest.Comparison{
		Element: attest.Executables, Name: c.Name(), Measured: componentText(c.Value, c.Version, c.Signer),
	}
	for _, r := range references {
		if r.Key != "" && r.Key != c.Type {
			continue
		}
		matches := hasDigest(r, c.Value) && (r.Version == "" || r.Version == c.Version) && (r.Signer == nil || equal(r.Signer, c.Signer))
		switch {
		case matches:
			comparison.Match, comparison.Source = true, r.Source
			comparison.Expected = []string{comparison.Measured}
		case r.Key == "": // of whatever component, so not what this one should have been
			continue
		case !comparison.Match:
			for _, d := range r.Digests {
				comparison.Expected = expect(comparison.Expected, componentText(d.Value, r.Version, r.Signer))
			}
			comparison.Source = r.Source
		}
		if matches {
			break
		}
	}
	a.compare(comparison)
	switch {
	case comparison.Match:
	case comparison.Expected != nil:
		a.find(attest.Executables, contraindicated, "%s is %s, which is no reference value of it", comparison.Name, comparison.Measured)
	default:
		a.find(attest.Executables, unrecognized, "%s is %s, and there is no reference value of it", comparison.Name, comparison.Measured)
	}
}

func hasDigest(r corim.Reference, value []byte) bool {
	return slices.ContainsFunc(r.Digests, func(d corim.Digest) bool { return equal(d.Value, value) })
}

// expect adds a reference value to those that are told beside a measured one.
func expect(list []string, value string) []string {
	if len(list) == maxExpected || slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}

// componentText is a measured or expected component in the form that people compare.
func componentText(value []byte, version string, signer []byte) string {
	parts := []string{hex.EncodeToString(value)}
	if version != "" {
		parts = append(parts, "version "+version)
	}
	if signer != nil {
		parts = append(parts, "signer "+hex.EncodeToString(signer))
	}
	return strings.Join(parts, ", ")
}

// measureEAT holds the measurements of an EAT against the reference values of releases,
// which go by component. A component that no release has is of no consequence, and neither
// is one that was not measured, unless the verifier is strict and there are reference values.
func (v *Verifier) measureEAT(a *appraisal, base *corim.Base, claims *attest.Claims) {
	var matched, unknown []string
	known := releases{base, map[string]map[string][]corim.Reference{}}
	for _, measured := range claims.Measured() {
		if measured.ImageDigest == nil {
			continue
		}
		comparison := known.measureImage(claims, measured)
		a.compare(comparison)
		switch {
		case comparison.Match:
			matched = append(matched, comparison.Name)
		case comparison.Expected == nil:
			unknown = append(unknown, comparison.Name)
		default:
			a.find(attest.Executables, contraindicated, "%s is %s, which is no reference value of it", comparison.Name, comparison.Measured)
		}
	}
	_, failed := a.findings[attest.Executables]
	values, _ := base.Len()
	strict := v.options.Strict && values > 0
	switch {
	case strict && unknown != nil:
		a.find(attest.Executables, unrecognized, "there is no reference value of %s", strings.Join(unknown, ", "))
	case strict && matched == nil:
		a.find(attest.Executables, unrecognized, "no component was measured")
	case matched != nil:
		a.find(attest.Executables, approved, "%d of %d measured components have reference values, and are as they say", len(matched), len(matched)+len(unknown))
	case unknown != nil && !failed:
		a.find(attest.Executables, 0, "not appraised: no reference values of the components that were measured")
	}
}

// maxEnvironments bounds the kinds of devices that the measurements of one EAT may name.
const maxEnvironments = 16

// releases are the reference values of components by environment, then by component. Each
// environment is looked up once for all components.
type releases struct {
	base *corim.Base
	by   map[string]map[string][]corim.Reference
}

func (known releases) of(about corim.Environment, component string) []corim.Reference {
	name := about.Vendor + "\x00" + string(about.ClassID.Value)
	values, ok := known.by[name]
	if !ok && len(known.by) < maxEnvironments {
		values = map[string][]corim.Reference{}
		for _, r := range known.base.References(about) {
			if isReference(r) && r.Digests != nil {
				values[r.Key] = append(values[r.Key], r)
			}
		}
		known.by[name] = values
	}
	return values[component]
}

func (known releases) measureImage(claims *attest.Claims, measured suit.PropertyClaims) attest.Comparison {
	name := measured.Component.String()
	c := attest.Comparison{
		Element: attest.Executables, Name: fmt.Sprintf("image-digest of %s", name), Measured: measured.ImageDigest.String(),
	}
	for _, about := range environmentsOf(claims, measured) {
		for _, r := range known.of(about, name) {
			c.Source = r.Source
			for _, d := range r.Digests {
				c.Match = equal(d.Value, measured.ImageDigest.Bytes) && d.Algorithm+":"+hex.EncodeToString(d.Value) == c.Measured
				if len(c.Expected) < maxExpected || c.Match {
					c.Expected = expect(c.Expected, d.Algorithm+":"+hex.EncodeToString(d.Value))
				}
				if c.Match {
					return c
				}
			}
		}
	}
	return c
}

// environmentsOf says on which devices a component was measured: those of the claims
// alone, and those that the measurement itself tells. A measurement cannot name other
// devices than the claims do to get away from their reference values.
func environmentsOf(claims *attest.Claims, measured suit.PropertyClaims) []corim.Environment {
	told := environmentOf(claims, measured)
	if measured.Other.VendorID == nil && measured.Other.ClassID == nil {
		return []corim.Environment{told}
	}
	return []corim.Environment{environmentOf(claims, suit.PropertyClaims{}), told}
}

// environmentOf says on which devices a component was measured, in the ids that a SUIT
// manifest has for them: those that the measurement itself has, else those that follow
// from oemid, where that is a vendor id, and hwmodel, where that is the name of a class
// (draft-ietf-suit-manifest section 8.4.8).
func environmentOf(claims *attest.Claims, measured suit.PropertyClaims) corim.Environment {
	e := corim.Environment{Instance: ueidOf(claims.UEID)}
	vendor, class := measured.Other.VendorID, measured.Other.ClassID
	if id, err := cosekit.Bytes(claims.OEMID); err == nil && vendor == nil && len(id) == len(uuid.UUID{}) {
		vendor = (*uuid.UUID)(id)
	}
	if vendor != nil {
		e.Vendor = vendor.String()
		if class == nil {
			made := uuid.NewSHA1(*vendor, claims.HWModel)
			class = &made
		}
	}
	if class != nil {
		e.ClassID = corim.ID{Kind: corim.KindUUID, Value: class[:]}
	}
	return e
}
