package author

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

// manifestSegment ends the default manifest-component-id. The examples of
// draft-ietf-teep-protocol name a manifest so too, beside the component; here it
// stands below, where the rights to the component cover it.
const manifestSegment = "suit"

// stagingSegment ends the default name of what holds a ciphertext, for the same reason.
const stagingSegment = "encrypted"

// none is the UUID of what a description does not give.
var none uuid.UUID

// domain is a name of letters, digits and hyphens with two labels or more (RFC 1123
// section 2.1).
var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// maxDomain is the length of the longest domain name.
const maxDomain = 253

// ParseVendorDomain reads a domain name, which is the same in capitals: it returns it in
// small letters. What looks like one and is none would make another vendor without a word.
func ParseVendorDomain(name string) (string, error) {
	small := strings.ToLower(name)
	if len(small) > maxDomain || !domain.MatchString(small) {
		return "", fmt.Errorf("%q is no domain name: want one such as example.com", name)
	}
	return small, nil
}

// VendorID returns the vendor identifier of a domain name, as [ParseVendorDomain] returns
// it (draft-ietf-suit-manifest-37 section 8.4.8.2).
func VendorID(domain string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(strings.ToLower(domain)))
}

// ParseUUID reads a UUID as it is mostly written: 36 hexadecimal digits and hyphens.
func ParseUUID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return none, fmt.Errorf("%q is no UUID: want one such as cfbff0d1-9375-5685-968c-48ce8b15ae17", text)
	}
	return id, nil
}

// ClassID returns the class identifier of a vendor's class-specific information,
// such as a model number (section 8.4.8.2).
func ClassID(vendor uuid.UUID, info string) uuid.UUID { return uuid.NewSHA1(vendor, []byte(info)) }

func (d *Description) vendor() uuid.UUID {
	if d.VendorDomain != "" {
		return VendorID(d.VendorDomain)
	}
	return d.VendorID
}

func (d *Description) class() uuid.UUID {
	if d.ClassInfo != "" {
		return ClassID(d.vendor(), d.ClassInfo)
	}
	return d.ClassID
}

func (d *Description) manifestComponent() suit.ComponentID {
	list := d.components()
	if d.ManifestComponent != nil || len(list) == 0 {
		return d.ManifestComponent
	}
	return append(slices.Clone(list[0].ID), []byte(manifestSegment))
}

func (c *Component) staging() suit.ComponentID {
	if c.Payload.Staging != nil {
		return c.Payload.Staging
	}
	return append(slices.Clone(c.ID), []byte(stagingSegment))
}
