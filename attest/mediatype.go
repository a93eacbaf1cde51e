package attest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EvidenceMediaType is the attestation-payload-format of our agent's evidence.
const EvidenceMediaType = `application/eat+cwt; eat_profile="` + ProfileEAT + `"`

// MediaType is a media type with its parameters (RFC 9110 section 8.3.1). Type and
// parameter names are in lower case.
type MediaType struct {
	Type       string
	Parameters map[string]string
}

// maxMediaType caps what ParseMediaType reads, in bytes.
const maxMediaType = 512

// ParseMediaType reads a media type. Unlike mime.ParseMediaType it takes a URI as a
// parameter value without quotes, the spelling of the TEEP draft:
// application/eat+cwt; eat_profile=urn:ietf:rfc:rfc9711.
func ParseMediaType(s string) (MediaType, error) {
	if len(s) > maxMediaType {
		return MediaType{}, fmt.Errorf("%w: %d bytes, at most %d", ErrMediaType, len(s), maxMediaType)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && r < ' ' || r > '~' }) {
		return MediaType{}, fmt.Errorf("%w: %.64q has characters that are not printable ASCII", ErrMediaType, s)
	}
	essence, rest, more := strings.Cut(s, ";")
	essence = strings.ToLower(trim(essence))
	kind, subtype, _ := strings.Cut(essence, "/")
	if !isToken(kind) || !isToken(subtype) {
		return MediaType{}, fmt.Errorf("%w: %.64q is not of the form type/subtype", ErrMediaType, essence)
	}
	m := MediaType{Type: essence}
	for more {
		var name, value string
		var err error
		if name, value, rest, more, err = cutParameter(rest); err != nil {
			return MediaType{}, fmt.Errorf("%w: %.64q: %w", ErrMediaType, s, err)
		}
		if name == "" {
			continue // RFC 9110 section 5.6.6 lets parameters be empty
		}
		if _, twice := m.Parameters[name]; twice {
			return MediaType{}, fmt.Errorf("%w: %.64q: parameter %.64s twice", ErrMediaType, s, name)
		}
		if m.Parameters == nil {
			m.Parameters = map[string]string{}
		}
		m.Parameters[name] = value
	}
	return m, nil
}

// cutParameter splits the first name=value off a list of parameters.
func cutParameter(s string) (name, value, rest string, more bool, err error) {
	head := s[:strings.IndexAny(s+";", "=;")]
	name = strings.ToLower(trim(head))
	if s = s[len(head):]; !strings.HasPrefix(s, "=") {
		if name != "" {
			return "", "", "", false, fmt.Errorf("parameter %.64s without a value", name)
		}
		_, rest, more = strings.Cut(s, ";")
		return "", "", rest, more, nil
	}
	if !isToken(name) {
		return "", "", "", false, fmt.Errorf("parameter name %.64q", name)
	}
	if s = s[1:]; strings.HasPrefix(s, `"`) {
		if value, s, err = cutQuoted(s[1:]); err != nil {
			return "", "", "", false, err
		}
		if head, rest, more = strings.Cut(s, ";"); trim(head) != "" {
			return "", "", "", false, fmt.Errorf("%.64q behind the value of %.64s", head, name)
		}
		return name, value, rest, more, nil
	}
	value, rest, more = strings.Cut(s, ";")
	value = strings.TrimRight(value, " \t")
	if value == "" || strings.ContainsAny(value, " \t\"\\") {
		return "", "", "", false, fmt.Errorf("value %.64q of %.64s", value, name)
	}
	return name, value, rest, more, nil
}

// cutQuoted reads a quoted string up to its closing quote.
func cutQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", fmt.Errorf("quoted value without an end")
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("quoted value without an end")
}

// String writes the media type with its parameters in order of their names, values
// in quotes.
func (m MediaType) String() string {
	var b strings.Builder
	b.WriteString(m.Type)
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		b.WriteString("; " + name + `="`)
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m.Parameters[name]))
		b.WriteString(`"`)
	}
	return b.String()
}

// ResultForm is how an Attestation Result is written.
type ResultForm int

// The forms that are read (attest/ear); JSON is read in a JWT only.
const (
	ResultJWT    ResultForm = iota + 1
	ResultCWT               // a COSE_Sign1
	ResultBundle            // a detached EAT bundle in CBOR (RFC 9711 section 5)
)

// resultForms are the media types of results with their profiles. RFC 9782 has the plus,
// draft-ietf-rats-ear-03 and older drafts of EAT a hyphen in its place. The empty profile is
// none: a JWT is never evidence here, so it has to name its profile in its claims only.
var resultForms = map[string]struct {
	form     ResultForm
	profiles []string
}{
	"application/eat+jwt":      {ResultJWT, []string{"", ProfileEARVeraison, ProfileEAR03}},
	"application/eat-jwt":      {ResultJWT, []string{"", ProfileEARVeraison, ProfileEAR03}},
	"application/eat+cwt":      {ResultCWT, []string{ProfileTEEP, ProfileEAR03}},
	"application/eat-cwt":      {ResultCWT, []string{ProfileTEEP, ProfileEAR03}},
	"application/eat-bun+cbor": {ResultBundle, []string{ProfileEAR03}},
}

// ResultFormOf tells in which form a media type has a result; ok is false where it is not that
// of a result, or of one that nobody here reads.
func ResultFormOf(m MediaType) (form ResultForm, ok bool) {
	known, ok := resultForms[m.Type]
	if !ok || !slices.Contains(known.profiles, m.Parameters["eat_profile"]) {
		return 0, false
	}
	return known.form, true
}

// IsResult reports whether an attestation-payload-format says that the payload is an
// Attestation Result: no format at all, which stands for the EAT profile of TEEP, or one
// that [ResultFormOf] knows. Everything else, also what cannot be read, is Evidence
// (draft-ietf-teep-protocol-26 sections 4.3 and 7.1.1).
func IsResult(format string) bool {
	if format == "" {
		return true
	}
	m, err := ParseMediaType(format)
	if err != nil {
		return false
	}
	_, ok := ResultFormOf(m)
	return ok
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
