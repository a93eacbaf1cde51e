package author

import (
	"math"
	"reflect"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

// check refuses what a signer would come to regret, before any file is read.
func (d *Description) check() error {
	for _, step := range []func() error{
		d.checkComponents, d.checkIDs, d.checkSequenceNumber, d.checkIdentity,
		d.checkPayloads, d.checkConditions, d.checkInvoke, d.checkText,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Description) checkComponents() error {
	if d.Components != nil {
		for _, key := range []struct {
			name  string
			given bool
		}{{"component", d.Component != nil}, {"payload", d.Payload.given()}, {"self-test", d.SelfTest}} {
			if key.given {
				return d.refuse(key.name, "%s is for a single component: say it in the list of components", key.name)
			}
		}
	}
	list := d.components()
	if len(list) == 0 && (len(d.Dependencies) == 0 || d.Payload.given() || d.SelfTest) {
		return d.refuse("component", "component is missing: for example app/hello")
	}
	return nil
}

func (d *Description) checkPayloads() error {
	list := d.components()
	for i := range list {
		if err := d.checkPayload(i, list); err != nil {
			return err
		}
	}
	for i := range d.Dependencies {
		if err := d.checkDependency(i); err != nil {
			return err
		}
	}
	return nil
}

// given reports whether anything is said of a payload.
func (p *Payload) given() bool {
	return p.File != "" || p.Content != "" || p.ways() > 0 || p.encrypted() || p.encryptionKey() != ""
}

func (p *Payload) encrypted() bool { return len(p.EncryptTo)+len(p.Recipients) > 0 }

// inline reports whether the payload stands in the manifest.
func (p *Payload) inline() bool {
	return p.Inline || p.Content != "" && !p.Integrated
}

// copied returns the component that the payload is copied from; nil for none.
func (p *Payload) copied() suit.ComponentID {
	if p.CopyFrom != nil {
		return p.CopyFrom
	}
	return p.LoadFrom
}

// fetched reports whether the device gets the payload from outside of the envelope.
func (p *Payload) fetched() bool { return p.URI != "" || p.URIBase != "" }

// staged reports whether the ciphertext needs a component of its own: it is decrypted
// on the way from there (draft-ietf-suit-firmware-encryption, suit-directive-copy).
func (p *Payload) staged() bool { return p.encrypted() && !p.inline() }

func (p *Payload) ways() int {
	return count(p.Integrated, p.inline(), p.URI != "", p.URIBase != "", p.CopyFrom != nil, p.LoadFrom != nil)
}

// encryptionKey names a key that is about encryption only.
func (p *Payload) encryptionKey() string {
	switch {
	case p.ContentAlgorithm != 0:
		return "content-algorithm"
	case p.Ciphertext != "":
		return "ciphertext"
	case p.Staging != nil:
		return "staging"
	}
	return ""
}

func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

func (d *Description) checkPayload(i int, list []Component) error {
	p, path := &list[i].Payload, d.componentPath(i, "payload")
	switch {
	case p.ways() != 1:
		return d.refuse(path, "the payload of %s needs exactly one of payload.integrated, payload.inline, payload.uri, "+
			"payload.uri-base, payload.copy-from and payload.load-from", list[i].ID)
	case p.File != "" && p.Content != "":
		return d.refuse(path+".content", "give payload.file or payload.content, not both")
	case p.Content != "" && p.fetched():
		return d.refuse(path+".content", "payload.content is for the manifest or the envelope: what is fetched is a payload.file")
	case p.copied() != nil && (p.File != "" || p.Content != "" || p.encrypted()):
		return d.refuse(path, "%s is a copy of %s: file, content and encryption are said there", list[i].ID, p.copied())
	case p.copied() != nil && !slices.ContainsFunc(list[:i], func(c Component) bool { return c.ID.Equal(p.copied()) }):
		return d.refuse(path, "%s is a copy of %s, which is not a component further up", list[i].ID, p.copied())
	case !p.encrypted() && p.encryptionKey() != "":
		return d.refuse(path+"."+p.encryptionKey(), "payload.%s is about an encrypted payload: say for whom, with payload.encrypt-to", p.encryptionKey())
	case p.Ciphertext != "" && !p.fetched():
		return d.refuse(path+".ciphertext", "payload.ciphertext is a file for what is fetched, and this payload is not")
	case p.Staging != nil && !p.staged():
		return d.refuse(path+".staging", "payload.staging: what is written from the manifest needs no place before")
	}
	return nil
}

func (d *Description) checkDependency(i int) error {
	dep := &d.Dependencies[i]
	path := dependencyPath(i)
	if dep.File == "" {
		return d.refuse(path, "%s.file is missing: the signed envelope of the dependency", path)
	}
	if count(dep.Integrated, dep.URI != "", dep.URIBase != "") != 1 {
		return d.refuse(path, "the dependency %s needs exactly one of integrated, uri and uri-base", dep.File)
	}
	return nil
}

// checkIDs wants names that are paths, and each of them once.
func (d *Description) checkIDs() error {
	var seen []suit.ComponentID
	once := func(key, name string, id suit.ComponentID) error {
		if err := d.checkID(key, name, id); err != nil {
			return err
		}
		if slices.ContainsFunc(seen, id.Equal) {
			return d.refuse(key, "%s %s is a component already: one would overwrite the other", name, id)
		}
		seen = append(seen, id)
		return nil
	}
	for i, c := range d.components() {
		name := "component"
		if d.Components != nil {
			name = d.componentPath(i, "id")
		}
		if err := once(name, name, c.ID); err != nil {
			return err
		}
		if c.Payload.staged() {
			key := d.componentPath(i, "payload.staging")
			if err := once(key, key, c.staging()); err != nil {
				return err
			}
		}
	}
	for i := range d.Dependencies {
		if key := dependencyPath(i) + ".id"; d.Dependencies[i].ID != nil {
			if err := once(key, key, d.Dependencies[i].ID); err != nil {
				return err
			}
		}
	}
	return once("manifest-component", "manifest-component", d.manifestComponent())
}

func (d *Description) checkID(key, name string, id suit.ComponentID) error {
	if len(id) == 0 {
		return d.refuse(key, "%s is missing: for example app/hello", name)
	}
	for _, segment := range id {
		if s := string(segment); s == "" || s == "." || s == ".." {
			return d.refuse(key, "%s %s: a segment %q could be read as a path", name, id, s)
		}
	}
	return nil
}

func (d *Description) checkSequenceNumber() error {
	switch {
	case d.SequenceNumber == 0 && d.lines["sequence-number"] > 0:
		return d.refuse("sequence-number", "sequence-number 0: the first manifest of a component has 1, each that follows has more")
	case d.SequenceNumber == 0:
		return d.refuse("sequence-number", "sequence-number is missing: 1 for the first manifest of a component, more for each that follows")
	case d.SequenceNumber > math.MaxInt64:
		return d.refuse("sequence-number", "sequence-number %d leaves no room for the next ones", d.SequenceNumber)
	}
	return nil
}

func (d *Description) checkIdentity() error {
	if (d.VendorDomain != "") == (d.VendorID != none) {
		return d.refuse("vendor-id", "give vendor-domain or vendor-id: without a vendor any device would install the payload")
	}
	if d.VendorDomain != "" {
		if _, err := ParseVendorDomain(d.VendorDomain); err != nil {
			return d.refuse("vendor-domain", "vendor-domain: %v", err)
		}
	}
	if (d.ClassInfo != "") == (d.ClassID != none) {
		return d.refuse("class-id", "give class-info or class-id: without a class every device of the vendor would install the payload")
	}
	for _, id := range []struct {
		name string
		id   uuid.UUID
	}{{"vendor-id", d.VendorID}, {"class-id", d.ClassID}, {"device-id", d.DeviceID}} {
		if v := id.id.Version(); id.id != none && v != 3 && v != 4 && v != 5 {
			return d.refuse(id.name, "%s %s is a UUID of version %d: versions 3, 4 and 5 are allowed", id.name, id.id, v)
		}
	}
	return nil
}

func (d *Description) checkConditions() error {
	c := &d.Conditions
	about := len(c.Version) + len(c.ImageNotMatch)
	switch {
	case c.UpdatePriority != nil && !c.UpdateAuthorized:
		return d.refuse("conditions.update-priority", "conditions.update-priority is for update-authorized, which is not asked for")
	case c.Component != nil && about == 0:
		return d.refuse("conditions.component", "conditions.component is for version and image-not-match, of which there is none")
	case c.Component != nil && d.find(c.Component) == nil:
		return d.refuse("conditions.component", "conditions.component %s is none of the components", c.Component)
	case c.Component == nil && about > 0 && len(d.components()) == 0:
		return d.refuse("conditions", "conditions.version and image-not-match are about a component, and there is none")
	case c.UseBefore != nil && c.UseBefore.Unix() < 0:
		return d.refuse("conditions.use-before", "conditions.use-before lies before 1970")
	case d.Wait != nil && reflect.ValueOf(*d.Wait).IsZero():
		return d.refuse("wait", "wait says nothing to wait for")
	}
	return nil
}

// find returns the component of that id; nil for none.
func (d *Description) find(id suit.ComponentID) *Component {
	for _, c := range d.components() {
		if c.ID.Equal(id) {
			return &c
		}
	}
	return nil
}

func (d *Description) checkInvoke() error {
	if d.Invoke == nil {
		return nil
	}
	if d.Invoke.Component == nil && len(d.components()) != 1 {
		return d.refuse("invoke", "invoke.component is missing: there is more than one component, or none")
	}
	if id := d.Invoke.Component; id != nil && d.find(id) == nil {
		return d.refuse("invoke.component", "invoke.component %s is none of the components", id)
	}
	return nil
}

func (d *Description) checkText() error {
	single := len(d.components()) == 1
	for tag, t := range d.Text {
		key := "text." + tag
		if t.Component != "" && !single {
			return d.refuse(key+".component", "%s.component describes a single component: say it in %s.components", key, key)
		}
		for name := range t.Components {
			id, err := suit.ParseComponentID(name)
			if err != nil {
				return d.refuse(key+".components."+name, "%s.components: %v", key, err)
			}
			if d.find(id) == nil {
				return d.refuse(key+".components."+name, "%s.components: %s is none of the components", key, name)
			}
		}
		if c := d.components(); single && t.Component != "" && t.Components[c[0].ID.String()].Description != "" {
			return d.refuse(key, "%s describes the component twice", key)
		}
	}
	return nil
}
