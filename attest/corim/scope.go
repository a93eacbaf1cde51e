package corim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Scope is what a provider of reference values may speak about. An empty one is everything.
type Scope struct {
	Classes   []ID     // class ids
	Vendors   []string // of environments that go by nothing more telling than a vendor
	Instances []ID     // or the bytes that they begin with
}

// The fields of a scope in its text form.
const (
	classField    = "class="
	vendorField   = "vendor="
	instanceField = "instance="
)

// ParseScope reads what operators write: "class=psa.impl-id:acbb…", "vendor=Acme" and
// "instance=ueid:01ce", one in each text. No text at all is the empty Scope.
func ParseScope(texts []string) (s Scope, err error) {
	for _, text := range texts {
		var id ID
		if vendor, ok := strings.CutPrefix(text, vendorField); ok && vendor != "" {
			s.Vendors = append(s.Vendors, vendor)
		} else if rest, ok := strings.CutPrefix(text, classField); ok {
			id, err = ParseID(rest)
			s.Classes = append(s.Classes, id)
		} else if rest, ok := strings.CutPrefix(text, instanceField); ok {
			id, err = ParseID(rest)
			s.Instances = append(s.Instances, id)
		} else {
			err = fmt.Errorf("product %q: want %sID, %sNAME or %sID", text, classField, vendorField, instanceField)
		}
		if err != nil {
			return Scope{}, err
		}
	}
	return s, nil
}

// Check returns ErrScope where the file speaks about anything outside.
func (s Scope) Check(f *File) error {
	if len(s.Classes)+len(s.Vendors)+len(s.Instances) == 0 {
		return nil
	}
	for i := range f.tags {
		t := &f.tags[i]
		for _, r := range t.references {
			if !s.has(&r.Environment) {
				return fmt.Errorf("%s: %w: reference values of %s", t.source(), ErrScope, r.Environment)
			}
		}
		for _, k := range t.keys {
			if !s.has(&k.Environment) {
				return fmt.Errorf("%s: %w: keys of %s", t.source(), ErrScope, k.Environment)
			}
		}
	}
	return nil
}

// has takes an environment by any of its fields that evidence is always held to. A vendor is
// one only where there is nothing more telling: see covers.
func (s Scope) has(e *Environment) bool {
	if !e.ClassID.IsZero() && slices.ContainsFunc(s.Classes, e.ClassID.Equal) {
		return true
	}
	if !e.Instance.IsZero() {
		return slices.ContainsFunc(s.Instances, func(id ID) bool {
			return id.kind() == e.Instance.kind() && bytes.HasPrefix(e.Instance.Value, id.Value)
		})
	}
	return e.ClassID.IsZero() && slices.Contains(s.Vendors, e.Vendor)
}

// String names an environment for people, by the fields that it has.
func (e Environment) String() string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+" "+text)
		}
	}
	for _, id := range []struct {
		name string
		ID
	}{{"instance", e.Instance}, {"class", e.ClassID}, {"group", e.Group}} {
		if !id.IsZero() {
			add(id.name, id.ID.String())
		}
	}
	add("vendor", e.Vendor)
	add("model", e.Model)
	if parts == nil {
		return "every device"
	}
	return strings.Join(parts, ", ")
}
