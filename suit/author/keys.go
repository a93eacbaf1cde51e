package author

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// The tables below are the keys of a description in YAML, beside the fields of the
// types that they fill.

func (d *Description) keys() keyTable {
	return keyTable{
		"component":          marshaled(&d.Component),
		"payload":            mapping(&d.Payload, (*Payload).keys),
		"self-test":          flag(&d.SelfTest),
		"components":         several(&d.Components, func(c *Component) func(node) error { return mapping(c, (*Component).keys) }),
		"dependencies":       several(&d.Dependencies, func(c *Dependency) func(node) error { return mapping(c, (*Dependency).keys) }),
		"manifest-component": marshaled(&d.ManifestComponent),
		"sequence-number":    parsed(&d.SequenceNumber, wholeNumber),
		"vendor-domain":      words(&d.VendorDomain),
		"vendor-id":          parsed(&d.VendorID, ParseUUID),
		"class-info":         words(&d.ClassInfo),
		"class-id":           parsed(&d.ClassID, ParseUUID),
		"device-id":          parsed(&d.DeviceID, ParseUUID),
		"conditions":         mapping(&d.Conditions, (*Conditions).keys),
		"wait":               pointer(&d.Wait, waitKeys),
		"invoke":             pointer(&d.Invoke, (*Invoke).keys),
		"uninstall":          d.readUninstall,
		"version":            words(&d.Version),
		"reference-uri":      words(&d.ReferenceURI),
		"text":               named(&d.Text, (*Text).keys),
		"coswid":             words(&d.CoSWID),
		"severable":          several(&d.Severable, func(s *suit.Section) func(node) error { return parsed(s, severable) }),
	}
}

func (d *Description) readUninstall(n node) error {
	var wanted bool
	err := flag(&wanted)(n)
	d.NoUninstall = !wanted
	return err
}

func (c *Component) keys() keyTable {
	return keyTable{
		"id":        marshaled(&c.ID),
		"payload":   mapping(&c.Payload, (*Payload).keys),
		"slot":      optional(&c.Slot, wholeNumber),
		"metadata":  pointer(&c.Metadata, metadataKeys),
		"version":   words(&c.Version),
		"self-test": flag(&c.SelfTest),
	}
}

func (p *Payload) keys() keyTable {
	return keyTable{
		"file":              words(&p.File),
		"content":           words(&p.Content),
		"integrated":        flag(&p.Integrated),
		"inline":            flag(&p.Inline),
		"uri":               words(&p.URI),
		"uri-base":          words(&p.URIBase),
		"copy-from":         marshaled(&p.CopyFrom),
		"load-from":         marshaled(&p.LoadFrom),
		"encrypt-to":        texts(&p.EncryptTo),
		"content-algorithm": parsed(&p.ContentAlgorithm, contentAlgorithm),
		"ciphertext":        words(&p.Ciphertext),
		"staging":           marshaled(&p.Staging),
	}
}

func (d *Dependency) keys() keyTable {
	return keyTable{
		"file":       words(&d.File),
		"id":         marshaled(&d.ID),
		"integrated": flag(&d.Integrated),
		"uri":        words(&d.URI),
		"uri-base":   words(&d.URIBase),
	}
}

func (c *Conditions) keys() keyTable {
	return keyTable{
		"use-before":        optional(&c.UseBefore, moment),
		"minimum-battery":   optional(&c.MinimumBattery, wholeNumber),
		"update-authorized": flag(&c.UpdateAuthorized),
		"update-priority":   optional(&c.UpdatePriority, integer),
		"version":           versionMatches(&c.Version),
		"image-not-match":   texts(&c.ImageNotMatch),
		"component":         marshaled(&c.Component),
	}
}

func waitKeys(w *suit.WaitInfo) keyTable {
	return keyTable{
		"authorization":   optional(&w.Authorization, integer),
		"power":           optional(&w.Power, integer),
		"network":         optional(&w.Network, integer),
		"other-device":    pointer(&w.OtherDevice, otherDeviceKeys),
		"time":            optional(&w.Time, moment),
		"time-of-day":     optional(&w.TimeOfDay, timeOfDay),
		"day-of-week":     optional(&w.DayOfWeek, dayOfWeek),
		"time-of-day-utc": optional(&w.TimeOfDayUTC, timeOfDay),
		"day-of-week-utc": optional(&w.DayOfWeekUTC, dayOfWeek),
	}
}

func otherDeviceKeys(o *suit.OtherDeviceVersion) keyTable {
	return keyTable{
		"device":  parsed(&o.Device, func(s string) ([]byte, error) { return []byte(s), nil }),
		"version": versionMatches(&o.Matches),
	}
}

func metadataKeys(m *suit.ComponentMetadata) keyTable {
	return keyTable{
		"permissions": func(n node) error {
			m.Permissions = new(suit.Permissions)
			return permissions(m.Permissions)(n)
		},
		"users":     actors(&m.Users),
		"groups":    actors(&m.Groups),
		"roles":     actors(&m.Roles),
		"file-type": optional(&m.FileType, fileType),
		"modified":  optional(&m.Modified, moment),
		"created":   optional(&m.Created, moment),
		"creator":   optional(&m.Creator, actor),
	}
}

func (i *Invoke) keys() keyTable {
	return keyTable{"component": marshaled(&i.Component), "args": texts(&i.Args)}
}

func (t *Text) keys() keyTable {
	return keyTable{
		"manifest":         words(&t.Manifest),
		"update":           words(&t.Update),
		"json-source":      words(&t.JSONSource),
		"yaml-source":      words(&t.YAMLSource),
		"component":        words(&t.Component),
		"vendor-name":      words(&t.VendorName),
		"model-name":       words(&t.ModelName),
		"version-required": words(&t.VersionRequired),
		"current-version":  words(&t.CurrentVersion),
		"components":       named(&t.Components, (*ComponentText).keys),
	}
}

func (t *ComponentText) keys() keyTable {
	return keyTable{
		"description":      words(&t.Description),
		"vendor-name":      words(&t.VendorName),
		"model-name":       words(&t.ModelName),
		"version-required": words(&t.VersionRequired),
		"current-version":  words(&t.CurrentVersion),
	}
}

// mapping reads keys into what stands already.
func mapping[T any](dst *T, keys func(*T) keyTable) func(node) error {
	return func(n node) error { return n.fields(keys(dst)) }
}

// pointer reads keys into what is nil without them.
func pointer[T any](dst **T, keys func(*T) keyTable) func(node) error {
	return func(n node) error {
		*dst = new(T)
		return n.fields(keys(*dst))
	}
}

// named reads a mapping whose keys are names.
func named[T any](dst *map[string]T, keys func(*T) keyTable) func(node) error {
	return func(n node) error {
		*dst = map[string]T{}
		return n.entries(func(name string, value node) error {
			var v T
			err := value.fields(keys(&v))
			(*dst)[name] = v
			return err
		})
	}
}

// contentAlgorithms are the names that COSE registers.
var contentAlgorithms = map[string]cosekit.Algorithm{
	"A128GCM": cosekit.A128GCM, "A192GCM": cosekit.A192GCM, "A256GCM": cosekit.A256GCM,
	"ChaCha20/Poly1305": cosekit.ChaCha20Poly1305,
	"A128CTR":           cosekit.A128CTR, "A192CTR": cosekit.A192CTR, "A256CTR": cosekit.A256CTR,
}

func contentAlgorithm(s string) (cosekit.Algorithm, error) {
	if alg, ok := contentAlgorithms[s]; ok {
		return alg, nil
	}
	return 0, fmt.Errorf("%q: want A128GCM, A192GCM, A256GCM, ChaCha20/Poly1305, A128CTR, A192CTR or A256CTR", s)
}

// severableElements are those of section 8.6 and its sister drafts that are made here.
var severableElements = []suit.Section{
	suit.SectionDependencyResolution, suit.SectionPayloadFetch, suit.SectionInstall, suit.SectionText, suit.SectionCoSWID,
}

func severable(s string) (suit.Section, error) {
	for _, section := range severableElements {
		if section.String() == s {
			return section, nil
		}
	}
	return 0, fmt.Errorf("%q is not severable: want dependency-resolution, payload-fetch, install, text or coswid", s)
}

// comparisons in the order in which their signs are to be tried.
var comparisons = []suit.Comparison{suit.GreaterOrEqual, suit.LesserOrEqual, suit.Greater, suit.Lesser, suit.Equal}

func versionMatch(s string) (suit.VersionMatch, error) {
	for _, c := range comparisons {
		if rest, ok := strings.CutPrefix(s, c.String()); ok {
			v, err := suit.ParseVersion(strings.TrimSpace(rest))
			return suit.VersionMatch{Comparison: c, Version: v}, err
		}
	}
	return suit.VersionMatch{}, fmt.Errorf("%q: want >, >=, =, <= or < and a version, for example '>= 1.2'", s)
}

// versionMatches reads a list; a single one needs no list.
func versionMatches(dst *[]suit.VersionMatch) func(node) error {
	return func(n node) error {
		if _, single := scalar(n.value); single {
			*dst = make([]suit.VersionMatch, 1)
			return parsed(&(*dst)[0], versionMatch)(n)
		}
		return several(dst, func(m *suit.VersionMatch) func(node) error { return parsed(m, versionMatch) })(n)
	}
}

func timeOfDay(s string) (uint64, error) {
	t, err := time.Parse(time.TimeOnly, s)
	if err != nil {
		if t, err = time.Parse("15:04", s); err != nil {
			return 0, errors.New("want a time of day such as 02:30")
		}
	}
	return uint64(t.Hour()*3600 + t.Minute()*60 + t.Second()), nil
}

func dayOfWeek(s string) (uint64, error) {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.EqualFold(s, day.String()) {
			return uint64(day), nil
		}
	}
	return 0, errors.New("want a day such as sunday")
}

// permissionNames are those of SUIT_meta_permission_bits, from bit 0 on.
var permissionNames = []string{
	"traverse-exec", "create-write", "list-read", "createdir-append", "read-attr", "read-perm", "change-perm",
	"change-owner", "write-attr", "recurse-delete", "delete", "sync", "read-attr-ex", "write-attr-ex",
}

func permissions(dst *suit.Permissions) func(node) error {
	return func(n node) error {
		var names []string
		if err := texts(&names)(n); err != nil {
			return err
		}
		for _, name := range names {
			bit := slices.Index(permissionNames, name)
			if bit < 0 {
				return n.refuse("%q is none of the permissions: %s", name, strings.Join(permissionNames, ", "))
			}
			*dst |= 1 << bit
		}
		return nil
	}
}

// actors reads permissions by user, group or role.
func actors(dst *[]suit.ActorPermissions) func(node) error {
	return func(n node) error {
		return n.entries(func(name string, value node) error {
			id, err := actor(name)
			if err != nil {
				return value.refuse("%v", err)
			}
			entry := suit.ActorPermissions{Actor: id}
			err = permissions(&entry.Permissions)(value)
			*dst = append(*dst, entry)
			return err
		})
	}
}

// actor reads a number, a UUID or else a name.
func actor(s string) (suit.ActorID, error) {
	if n, err := integer(s); err == nil {
		return suit.ActorID{Number: &n}, nil
	}
	if len(s) == 36 {
		if id, err := uuid.Parse(s); err == nil {
			return suit.ActorID{UUID: &id}, nil
		}
	}
	if s == "" {
		return suit.ActorID{}, errors.New("the name is empty")
	}
	return suit.ActorID{Text: s}, nil
}

func fileType(s string) (suit.FileType, error) {
	for _, t := range []suit.FileType{suit.RegularFile, suit.Directory, suit.SymbolicLink} {
		if strings.ReplaceAll(t.String(), " ", "-") == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q: want regular-file, directory or symbolic-link", s)
}
