package attest

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestParseMediaType(t *testing.T) {
	eat := map[string]string{"eat_profile": "urn:ietf:rfc:rfc9711"}
	for _, test := range []struct {
		in, essence string
		parameters  map[string]string
	}{
		{EvidenceMediaType, "application/eat+cwt", eat},
		{`application/eat+cwt; eat_profile=urn:ietf:rfc:rfc9711`, "application/eat+cwt", eat},
		{`Application/EAT+CWT ;EAT_Profile="urn:ietf:rfc:rfc9711" `, "application/eat+cwt", eat},
		{"application/eat+cwt;eat_profile=urn:ietf:rfc:rfc9711\t", "application/eat+cwt", eat},
		{`application/eat+cwt; eat_profile=tag:ietf.org,2026:rats/ear#03`, "application/eat+cwt",
			map[string]string{"eat_profile": ProfileEAR03}},
		{`application/x; a="b\"c;d=e\\"; f=g`, "application/x", map[string]string{"a": `b"c;d=e\`, "f": "g"}},
		{`application/x; a=""`, "application/x", map[string]string{"a": ""}},
		{`application/x; a=b=c`, "application/x", map[string]string{"a": "b=c"}},
		{`application/x;; a=1;`, "application/x", map[string]string{"a": "1"}},
		{`application/psa-attestation-token`, "application/psa-attestation-token", nil},
	} {
		m, err := ParseMediaType(test.in)
		if err != nil || m.Type != test.essence || !maps.Equal(m.Parameters, test.parameters) {
			t.Errorf("%q: %+v, %v", test.in, m, err)
			continue
		}
		if back, err := ParseMediaType(m.String()); err != nil || back.Type != m.Type || !maps.Equal(back.Parameters, m.Parameters) {
			t.Errorf("%q written as %q reads as %+v, %v", test.in, m, back, err)
		}
	}
	for _, in := range []string{
		"", ";", "application", "application/", "/eat", "a/b/c", "a b/c", "application/eat+cwt; eat_profile",
		"a/b; =c", "a/b; c=", `a/b; c="d`, `a/b; c="d\`, `a/b; c="d"e`, "a/b; c=d e", `a/b; c=d"e"`, "a/b; c=1; C=2",
		"a/b; c d=1", "a/b; c=\x00", "a/b\r\nX: y", "a/ü", "a/b; c=é", "a/" + strings.Repeat("b", maxMediaType),
	} {
		if m, err := ParseMediaType(in); !errors.Is(err, ErrMediaType) || m.Type != "" {
			t.Errorf("%q: %+v, %v", in, m, err)
		}
	}
}

func TestIsResult(t *testing.T) {
	for format, want := range map[string]bool{
		"": true,
		"application/eat+cwt; eat_profile=urn:ietf:rfc:rfcXXXX":               true,
		`application/eat+cwt; eat_profile="urn:ietf:rfc:rfcXXXX"`:             true,
		`application/eat+cwt; eat_profile="tag:ietf.org,2026:rats/ear#03"`:    true,
		`application/eat+jwt; eat_profile=tag:github.com,2023:veraison/ear`:   true,
		`application/eat-bun+cbor; eat_profile=tag:ietf.org,2026:rats/ear#03`: true,
		`application/eat+cwt; eat_profile="urn:ietf:rfc:rfcXXXX"; x=y`:        true,
		`application/eat-jwt; eat_profile=tag:ietf.org,2026:rats/ear#03`:      true,
		`application/eat-cwt; eat_profile=tag:ietf.org,2026:rats/ear#03`:      true,
		"application/eat+jwt": true, // no JWT is evidence
		`application/eat+cwt; eat_profile=tag:github.com,2023:veraison/ear`:   false,
		`application/eat-bun+json; eat_profile=tag:ietf.org,2026:rats/ear#03`: false,
		"application/eat-bun+cbor":                                           false,
		`application/eat-cwt; profile="http://arm.com/psa/2.0.0"`:            false,
		"application/eat+json; eat_profile=tag:github.com,2023:veraison/ear": false,
		`application/eat-cwt; eat_profile=urn:ietf:rfc:rfcXXXX`:              true,
		EvidenceMediaType: false,
		"application/eat+cwt; eat_profile=urn:ietf:rfc:rfc9711": false,
		"application/eat+cwt": false,
		"application/eat+jwt; eat_profile=urn:ietf:rfc:rfcXXXX":                    false,
		"application/psa-attestation-token":                                        false,
		"application/psa-attestation-token; eat_profile=urn:ietf:rfc:rfcXXXX":      false,
		"application/eat+cwt; eat_profile=urn:ietf:rfc:rfcXXXX; eat_profile=other": false,
		"not a media type": false,
	} {
		if got := IsResult(format); got != want {
			t.Errorf("%q: %t", format, got)
		}
	}
}

// TestExcerpt: an error keeps its meaning, and loses what it quotes.
func TestExcerpt(t *testing.T) {
	err := Excerpt(fmt.Errorf("%w: cannot read %q", ErrClaims, strings.Repeat("x", 1000)))
	if !errors.Is(err, ErrClaims) || len(err.Error()) != maxExcerpt || !strings.HasPrefix(err.Error(), ErrClaims.Error()) {
		t.Errorf("%d characters: %v", len(err.Error()), err)
	}
	if Excerpt(nil) != nil {
		t.Error("an error of none")
	}
}
