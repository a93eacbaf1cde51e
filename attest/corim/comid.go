package corim

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// readCoMID reads a concise-mid-tag:
//
//	concise-mid-tag = { ? 0 => language, 1 => tag-identity, ? 2 => entities,
//	                    ? 3 => linked-tags, 4 => triples }
func (f *File) readCoMID(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[1] == nil || m[4] == nil {
		return fmt.Errorf("%w: CoMID without identity or triples", ErrMalformed)
	}
	if err := m.only("CoMID", 0, 1, 2, 3, 4); err != nil {
		f.note(err.Error())
	}
	t := tag{raw: item}
	if err := t.readIdentity(m[1]); err != nil {
		return within("tag-identity", err)
	}
	for i := range f.tags {
		if f.tags[i].id == t.id {
			return fmt.Errorf("%w: two tags with the id %q in one file", ErrMalformed, t.id)
		}
	}
	if len(f.tags) == MaxTags {
		return fmt.Errorf("%w: more than %d CoMID tags", ErrTooLarge, MaxTags)
	}
	if links, ok := m[3]; ok {
		if err := each(links, "linked tag", t.readLink); err != nil {
			return err
		}
	}
	if err := f.readTriples(&t, m[4]); err != nil {
		return within(t.source(), err)
	}
	f.tags = append(f.tags, t)
	return nil
}

// readIdentity reads a tag-identity-map: { 0 => tag-id, ? 1 => tag-version uint }.
func (t *tag) readIdentity(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[0] == nil {
		return fmt.Errorf("%w: no tag-id", ErrMalformed)
	}
	if t.id, err = tagID(m[0]); err != nil {
		return err
	}
	t.version, _, err = optional(m, 1, "tag-version", cosekit.Uint)
	return err
}

// readLink reads a linked-tag-map: { 0 => tag-id, 1 => supplements: 0 / replaces: 1 }. A
// tag that supplements another counts like any other.
func (t *tag) readLink(item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if m[0] == nil || m[1] == nil {
		return fmt.Errorf("%w: no tag-id, or no relation", ErrMalformed)
	}
	id, err := tagID(m[0])
	if err != nil {
		return err
	}
	const replaces = 1
	if relation, err := cosekit.Int(m[1]); err == nil && relation == replaces {
		t.replaces = append(t.replaces, id)
	}
	return nil
}

// The labels of keys in a triples-map.
const (
	identityTriples  = 2
	attestKeyTriples = 3
)

// armProfiles are older ones of Arm. veraison/corim v1.1, whose files have them, gives the
// keys that sign evidence the number of identity triples and the other way round; files that
// other tools made follow the draft. These profiles know no keys but the attestation key of
// the instance, so it is read from either place.
var armProfiles = map[string]bool{
	"http://arm.com/psa/iot/1": true, "http://arm.com/cca/ssd/1": true, "http://arm.com/cca/realm/1": true,
}

type tripleKind struct {
	label int64
	name  string
	read  func(*tag, []byte) error
}

// readTriples reads a triples-map. Only the kinds that are handled here are listed; the
// others are told about.
//
//	triples-map = non-empty<{ ? 0 => [ + reference-triple ], ? 1 => [ + endorsed-triple ],
//	                          ? 2 => [ + identity-triple ], ? 3 => [ + attest-key-triple ] }>
func (f *File) readTriples(t *tag, item []byte) error {
	m, err := readFields(item)
	if err != nil {
		return err
	}
	if len(m) == 0 {
		return fmt.Errorf("%w: no triples", ErrMalformed)
	}
	kinds := []tripleKind{
		{0, "reference triple", func(t *tag, item []byte) error { return f.readValueTriple(t, item, false) }},
		{1, "endorsed triple", func(t *tag, item []byte) error { return f.readValueTriple(t, item, true) }},
		{attestKeyTriples, "attest key triple", f.readKeyTriple},
	}
	if armProfiles[f.Profile] {
		kinds = append(kinds, tripleKind{identityTriples, "identity triple", f.readKeyTriple})
	}
	var known []int64
	for _, kind := range kinds {
		known = append(known, kind.label)
		list, ok := m[kind.label]
		if !ok {
			continue
		}
		err := each(list, kind.name, func(item []byte) error {
			err := kind.read(t, item)
			if reason, ok := unread(err); ok {
				f.note(fmt.Sprintf("%s: %s: %s", t.source(), kind.name, reason))
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := m.only("triples", known...); err != nil {
		f.note(fmt.Sprintf("%s: %s", t.source(), err))
	}
	return nil
}

// readValueTriple reads [ environment-map, [ + measurement-map ] ].
func (f *File) readValueTriple(t *tag, item []byte, endorsed bool) error {
	parts, err := cosekit.Elements(item)
	if err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("%w: %d elements, want an environment and measurements", ErrMalformed, len(parts))
	}
	environment, err := readEnvironment(parts[0])
	if err != nil {
		return within("environment", err)
	}
	// One object instead of a list is what an early draft had, and some samples have.
	if cosekit.Major(parts[1]) == cosekit.MajorMap {
		return f.addMeasurement(t, environment, endorsed, parts[1])
	}
	return each(parts[1], "measurement", func(item []byte) error {
		return f.addMeasurement(t, environment, endorsed, item)
	})
}

func (f *File) addMeasurement(t *tag, about Environment, endorsed bool, item []byte) error {
	found, err := readMeasurement(item)
	if reason, ok := unread(err); ok {
		f.note(t.source() + ": " + reason)
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.count(len(found)); err != nil {
		return err
	}
	for _, r := range found {
		r.Environment, r.Endorsed, r.Source = about, endorsed, t.source()
		t.references = append(t.references, r)
	}
	return nil
}

// readKeyTriple reads [ environment-map, [ + key ], ? conditions ]. A key that is good
// under conditions only is left out: nobody here looks at those.
func (f *File) readKeyTriple(t *tag, item []byte) error {
	parts, err := cosekit.Elements(item)
	if err != nil {
		return err
	}
	switch len(parts) {
	case 2:
	case 3:
		return fmt.Errorf("%w: keys under conditions", errUnread)
	default:
		return fmt.Errorf("%w: %d elements, want an environment and keys", ErrMalformed, len(parts))
	}
	environment, err := readEnvironment(parts[0])
	if err != nil {
		return within("environment", err)
	}
	return each(parts[1], "key", func(item []byte) error {
		key, err := readKey(item)
		if reason, ok := unread(err); ok {
			f.note(t.source() + ": " + reason)
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.count(1); err != nil {
			return err
		}
		key.Environment, key.Source = environment, t.source()
		t.keys = append(t.keys, key)
		return nil
	})
}

// count holds the file to its cap before statements are kept.
func (f *File) count(statements int) error {
	if f.statements += statements; f.statements > MaxFileStatements {
		return fmt.Errorf("%w: more than %d reference values and keys", ErrTooLarge, MaxFileStatements)
	}
	return nil
}
