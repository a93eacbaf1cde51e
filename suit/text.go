package suit

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Text is a SUIT_Text_Map: what a manifest says to people, by language tag
// (draft-ietf-suit-manifest-37 section 8.4.4).
type Text map[string]LanguageText

// LanguageText is the text in one language. An empty field is absent.
type LanguageText struct {
	ManifestDescription string
	UpdateDescription   string
	JSONSource          string
	YAMLSource          string
	Components          []ComponentText
	Other               map[int64]cosekit.RawMessage
}

// ComponentText describes one component.
type ComponentText struct {
	Component       ComponentID
	VendorName      string
	ModelName       string
	VendorDomain    string
	ModelInfo       string
	Description     string
	Version         string
	VersionRequired string // draft-ietf-suit-update-management
	CurrentVersion  string // draft-ietf-suit-update-management
	Other           map[int64]cosekit.RawMessage
}

// languageTag is the tag38-ltag of section 8.4.4.
var languageTag = regexp.MustCompile(`^[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*$`)

func (l *LanguageText) fields() map[int64]*string {
	return map[int64]*string{1: &l.ManifestDescription, 2: &l.UpdateDescription, 3: &l.JSONSource, 4: &l.YAMLSource}
}

func (c *ComponentText) fields() map[int64]*string {
	return map[int64]*string{
		1: &c.VendorName, 2: &c.ModelName, 3: &c.VendorDomain, 4: &c.ModelInfo,
		5: &c.Description, 6: &c.Version, 7: &c.VersionRequired, 8: &c.CurrentVersion,
	}
}

func decodeTextMap(raw []byte) (Text, error) {
	text := Text{}
	err := decodeMap(raw, true, func(key, value []byte) error {
		tag, err := cosekit.Text(key)
		if err != nil || !languageTag.MatchString(tag) {
			return malformed("map key that is not a language tag")
		}
		language, err := decodeLanguage(value)
		text[tag] = language
		return at(tag, err)
	})
	if err == nil && len(text) == 0 {
		err = malformed("text without a language")
	}
	return text, err
}

func decodeLanguage(raw []byte) (LanguageText, error) {
	var l LanguageText
	fields := l.fields()
	err := decodeMap(raw, true, func(key, value []byte) error {
		if cosekit.Major(key) == cosekit.MajorArray {
			c, err := decodeComponentText(key, value)
			l.Components = append(l.Components, c)
			return err
		}
		return decodeTextField(fields, &l.Other, key, value)
	})
	return l, err
}

func decodeComponentText(key, value []byte) (ComponentText, error) {
	var c ComponentText
	var err error
	if c.Component, err = decodeComponentID(key); err != nil {
		return c, err
	}
	fields := c.fields()
	err = decodeMap(value, true, func(key, value []byte) error {
		return decodeTextField(fields, &c.Other, key, value)
	})
	if err == nil {
		err = c.checkVersions()
	}
	return c, at(c.Component.String(), err)
}

// checkVersions holds the two fields of draft-ietf-suit-update-management-14 sections 3.3
// and 3.4 to its characters.
func (c *ComponentText) checkVersions() error {
	if err := checkGraphic(c.VersionRequired); err != nil {
		return at("version-required", err)
	}
	return at("current-version", checkGraphic(c.CurrentVersion))
}

// checkGraphic takes characters of the general categories L, M, N, P, S and Zs, as that
// draft wants them.
func checkGraphic(s string) error {
	if i := strings.IndexFunc(s, func(c rune) bool { return !unicode.IsGraphic(c) }); i >= 0 {
		return malformed("the character at byte %d of %+q is neither a letter, mark, number, punctuation, symbol nor space", i, s)
	}
	return nil
}

// checkText wants every component that the text describes to be in common
// (draft-ietf-suit-manifest-37 section 8.4.4), there also as the prefix of a dependency.
func (m *Manifest) checkText(text Text) error {
	for tag, language := range text {
		for _, c := range language.Components {
			prefix := func(d Dependency) bool { return d.Prefix != nil && d.Prefix.Equal(c.Component) }
			if !slices.ContainsFunc(m.Common.Components, c.Component.Equal) && !slices.ContainsFunc(m.Common.Dependencies, prefix) {
				return at(tag, malformed("describes %s, which is none of the components", name(c.Component)))
			}
		}
	}
	return nil
}

func decodeTextField(fields map[int64]*string, other *map[int64]cosekit.RawMessage, key, value []byte) error {
	n, err := cosekit.Int(key)
	if err != nil {
		return malformed("map key that is neither an integer nor a component id")
	}
	if dst, known := fields[n]; known {
		s, err := cosekit.Text(value)
		return put(dst, s, err)
	}
	keep(other, n, value)
	return nil
}

// itemKey is an encoded item as the key of a map that is to be encoded.
type itemKey string

func (k itemKey) MarshalCBOR() ([]byte, error) { return []byte(k), nil }

func encodeText(t Text) ([]byte, error) {
	out := make(map[string]any, len(t))
	for tag, language := range t {
		if !languageTag.MatchString(tag) {
			return nil, malformed("%q is not a language tag", tag)
		}
		l, err := encodeLanguage(language)
		if err != nil {
			return nil, at(tag, err)
		}
		out[tag] = l
	}
	if len(out) == 0 {
		return nil, malformed("text without a language")
	}
	return cosekit.Marshal(out)
}

func encodeLanguage(l LanguageText) (map[itemKey]any, error) {
	out, err := encodeTextFields(l.fields(), l.Other)
	if err != nil {
		return nil, err
	}
	for _, c := range l.Components {
		key := itemKey(c.Component.Key())
		if _, twice := out[key]; twice {
			return nil, malformed("component %s is described twice", c.Component)
		}
		if out[key], err = encodeTextFields(c.fields(), c.Other); err != nil {
			return nil, at(c.Component.String(), err)
		}
	}
	return out, nil
}

func encodeTextFields(fields map[int64]*string, other map[int64]cosekit.RawMessage) (map[itemKey]any, error) {
	out := map[itemKey]any{}
	for key, raw := range other {
		if _, known := fields[key]; known {
			return nil, malformed("a known element %d among the others", key)
		}
		out[intKey(key)] = raw
	}
	for key, s := range fields {
		if *s != "" {
			out[intKey(key)] = *s
		}
	}
	return out, nil
}
