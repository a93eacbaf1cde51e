package author

import (
	"slices"

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

// VendorID returns the vendor identifier of a domain name
// (draft-ietf-suit-manifest-37 section 8.4.8.2).
func VendorID(domain string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(domain)) }

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
