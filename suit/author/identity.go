package author

import (
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

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
	if d.ManifestComponent != nil {
		return d.ManifestComponent
	}
	return append(slices.Clone(d.Component), []byte(manifestSegment))
}

// check refuses what a signer would come to regret.
func (d *Description) check() error {
	if err := checkComponent("component", d.Component); err != nil {
		return err
	}
	if err := checkComponent("manifest-component", d.manifestComponent()); err != nil {
		return err
	}
	if d.manifestComponent().Equal(d.Component) {
		return refuse("manifest-component names the component itself: the manifest would overwrite it")
	}
	if d.SequenceNumber == 0 {
		return refuse("sequence-number is missing: 1 for the first manifest of a component, more for each that follows")
	}
	if d.SequenceNumber > math.MaxInt64 {
		return refuse("sequence-number %d leaves no room for the next ones", d.SequenceNumber)
	}
	if err := d.checkIdentity(); err != nil {
		return err
	}
	ways := 0
	for _, given := range []bool{d.Payload.Integrated, d.Payload.URI != "", d.Payload.URIBase != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return refuse("the payload needs exactly one of payload.integrated, payload.uri and payload.uri-base")
	}
	return nil
}

func (d *Description) checkIdentity() error {
	if (d.VendorDomain != "") == (d.VendorID != none) {
		return refuse("give vendor-domain or vendor-id: without a vendor any device would install the payload")
	}
	if (d.ClassInfo != "") == (d.ClassID != none) {
		return refuse("give class-info or class-id: without a class every device of the vendor would install the payload")
	}
	for _, id := range []struct {
		name string
		id   uuid.UUID
	}{{"vendor-id", d.VendorID}, {"class-id", d.ClassID}, {"device-id", d.DeviceID}} {
		if v := id.id.Version(); id.id != none && v != 3 && v != 4 && v != 5 {
			return refuse("%s %s is a UUID of version %d: versions 3, 4 and 5 are allowed", id.name, id.id, v)
		}
	}
	return nil
}

func checkComponent(name string, id suit.ComponentID) error {
	if len(id) == 0 {
		return refuse("%s is missing: for example app/hello", name)
	}
	for _, segment := range id {
		if s := string(segment); s == "" || s == "." || s == ".." {
			return refuse("%s %s: a segment %q could be read as a path", name, id, s)
		}
	}
	return nil
}
