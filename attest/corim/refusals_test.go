package corim

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestReadRefuses(t *testing.T) {
	good := encoded(t, every(t))
	comid := func(triples any, more ...any) any {
		m := map[int]any{1: map[int]any{0: "t"}, 4: triples}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(int)] = more[i+1]
		}
		return taggedItem(tagCoMID, cosekit.MustMarshal(m))
	}
	file := func(tags ...any) []byte {
		return cosekit.MustMarshal(taggedItem(tagUnsigned, map[int]any{0: "f", 1: tags}))
	}
	environment := map[int]any{0: map[int]any{1: "Acme"}}
	value := func(m map[int]any) []byte {
		return file(comid(map[int]any{0: []any{[]any{environment, []any{map[int]any{1: m}}}}}))
	}
	about := func(environment any) []byte {
		return file(comid(map[int]any{0: []any{[]any{environment, []any{map[int]any{1: map[int]any{1: 1}}}}}}))
	}
	keyOf := func(item any) []byte { return file(comid(map[int]any{3: []any{[]any{environment, []any{item}}}})) }
	for _, c := range []struct {
		name string
		raw  []byte
		want error
		says string
	}{
		{"nothing", nil, ErrMalformed, ""},
		{"truncated", good[:len(good)-1], ErrMalformed, ""},
		{"something behind it", append(bytes.Clone(good), 0), ErrMalformed, "behind"},
		{"oversize", make([]byte, MaxFile+1), ErrTooLarge, "at most"},
		{"text", []byte("tag-identity: yes"), ErrMalformed, ""},
		{"another tag", cosekit.MustMarshal(taggedItem(505, map[int]any{0: "f"})), ErrMalformed, "not a map"},
		{"duplicate keys", []byte{0xd9, 0x01, 0xf5, 0xa2, 0, 0x61, 'f', 0, 0x61, 'g'}, ErrMalformed, ""},
		{"indefinite length", []byte{0xd9, 0x01, 0xf5, 0xbf, 0, 0x61, 'f', 0xff}, ErrMalformed, "indefinite"},
		{"no tags", cosekit.MustMarshal(map[int]any{0: "f"}), ErrMalformed, "no tags"},
		{"empty tags", file(), ErrMalformed, "no tag"},
		{"a tag that is none", file(1), ErrMalformed, "concise tag"},
		{"no identity", file(taggedItem(tagCoMID, cosekit.MustMarshal(map[int]any{4: 1}))), ErrMalformed, "identity"},
		{"empty id", cosekit.MustMarshal(map[int]any{0: "", 1: []any{comid(1)}}), ErrMalformed, "empty"},
		{"long id", cosekit.MustMarshal(map[int]any{0: strings.Repeat("x", MaxName+1), 1: []any{comid(1)}}), ErrTooLarge, "at most"},
		{"no triples", file(comid(map[int]any{})), ErrMalformed, "no triples"},
		{"the same tag twice", file(comid(map[int]any{9: 1}), comid(map[int]any{9: 2})), ErrMalformed, "two tags"},
		{"triple of one", file(comid(map[int]any{0: []any{[]any{environment}}})), ErrMalformed, "want an environment and"},
		{"empty environment", about(map[int]any{}), ErrMalformed, "empty environment"},
		{"empty class", about(map[int]any{0: map[int]any{}}), ErrMalformed, "class: malformed: empty"},
		{"class id without a tag", about(map[int]any{0: map[int]any{0: []byte("x")}}), ErrMalformed, "without a tag"},
		{"short UUID", about(map[int]any{1: taggedItem(tagUUID, []byte{1})}), ErrMalformed, "uuid of 1 bytes"},
		{"long UEID", about(map[int]any{1: taggedItem(tagUEID, make([]byte, 34))}), ErrMalformed, "ueid of 34 bytes"},
		{"negative layer", about(map[int]any{0: map[int]any{3: -1}}), ErrMalformed, "layer"},
		{"no value", value(map[int]any{}), ErrMalformed, "without a value"},
		{"negative svn", value(map[int]any{1: -1}), ErrMalformed, "svn"},
		{"negative tagged svn", value(map[int]any{1: taggedItem(tagMinSVN, -1)}), ErrMalformed, "svn"},
		{"no digests", value(map[int]any{2: []any{}}), ErrMalformed, "no digest"},
		{"digest of wrong length", value(map[int]any{2: []any{[]any{1, make([]byte, 31)}}}), ErrMalformed, "sha-256 of 31 bytes"},
		{"named digest of wrong length", value(map[int]any{2: []any{[]any{"SHA-384", make([]byte, 32)}}}), ErrMalformed, "sha-384 of 32 bytes"},
		{"empty digest", value(map[int]any{2: []any{[]any{99, []byte{}}}}), ErrMalformed, "0 bytes"},
		{"mask of another length", value(map[int]any{4: taggedItem(tagMaskedRaw, []any{[]byte{1, 2}, []byte{1}})}), ErrMalformed, "mask of 1 bytes"},
		{"old mask of another length", value(map[int]any{4: taggedItem(tagBytes, []byte{1}), 5: []byte{1, 2}}), ErrMalformed, "mask of 2 bytes"},
		{"mask without a bit", value(map[int]any{4: taggedItem(tagMaskedRaw, []any{[]byte{1, 2}, []byte{0, 0}})}), ErrMalformed, "every value would be good"},
		{"empty mask", value(map[int]any{4: taggedItem(tagMaskedRaw, []any{[]byte{}, []byte{}})}), ErrMalformed, "every value would be good"},
		{"two masks", value(map[int]any{4: taggedItem(tagMaskedRaw, []any{[]byte{1}, []byte{1}}), 5: []byte{1}}), ErrMalformed, "one mask"},
		{"a mask alone", value(map[int]any{5: []byte{1}}), ErrMalformed, "without a value"},
		{"no registers", value(map[int]any{14: map[int]any{}}), ErrMalformed, "none"},
		{"negative register", value(map[int]any{14: map[int]any{-1: []any{[]any{1, make([]byte, 32)}}}}), ErrMalformed, "integer"},
		{"key without a tag", keyOf("x"), ErrMalformed, "without a tag"},
		{"key that is no PEM", keyOf(taggedItem(tagPKIXKey, "not a key")), ErrKey, ""},
		{"certificate for a key", keyOf(taggedItem(tagPKIXKey, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), ErrKey, "CERTIFICATE"},
		{"short COSE_Key", keyOf(taggedItem(tagCOSEKey, map[int]any{})), ErrKey, ""},
		{"private COSE_Key", keyOf(taggedItem(tagCOSEKey, map[int]any{1: 1, -1: 6, -2: make([]byte, 32), -4: make([]byte, 32)})), ErrKey, "private"},
		{"COSE_Key off its curve", keyOf(taggedItem(tagCOSEKey, map[int]any{1: 2, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)})), ErrKey, ""},
		{"two profiles", cosekit.MustMarshal(map[int]any{0: "f", 1: []any{comid(1)}, 3: []any{"a", "b"}}), ErrMalformed, "2 profiles"},
		{"ends before it begins", cosekit.MustMarshal(map[int]any{0: "f", 1: []any{comid(1)}, 4: map[int]any{0: 2, 1: 1}}), ErrMalformed, "ends before"},
		{"time out of bounds", cosekit.MustMarshal(map[int]any{0: "f", 1: []any{comid(1)}, 4: map[int]any{1: 1 << 50}}), ErrMalformed, "9999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Read(c.raw)
			if f != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

// TestReadSignedRefuses is about the headers of a signature.
func TestReadSignedRefuses(t *testing.T) {
	meta := cosekit.MustMarshal(map[int]any{0: map[int]any{0: "Acme"}})
	payload := encoded(t, every(t))
	sign1 := func(protected map[int]any, payload any) []byte {
		return cosekit.MustMarshal(taggedItem(18, []any{cosekit.MustMarshal(protected), map[int]any{}, payload, []byte{1}}))
	}
	for _, c := range []struct {
		name string
		raw  []byte
		says string
	}{
		{"no content type", sign1(map[int]any{1: -7, 8: meta}, payload), "content type"},
		{"another content type", sign1(map[int]any{1: -7, 3: "text/plain", 8: meta}, payload), "content type"},
		{"nobody signs", sign1(map[int]any{1: -7, 3: ContentType}, payload), "who signs"},
		{"no name", sign1(map[int]any{1: -7, 3: ContentType, 8: cosekit.MustMarshal(map[int]any{0: map[int]any{}})}, payload), "without a name"},
		{"meta that is none", sign1(map[int]any{1: -7, 3: ContentType, 8: []byte{0xff}}, payload), "corim-meta"},
		{"hash envelope", sign1(map[int]any{1: -7, 3: ContentType, 258: -16, 8: meta}, make([]byte, 32)), "hash envelope"},
		{"detached", sign1(map[int]any{1: -7, 3: ContentType, 8: meta}, nil), "detached"},
		{"payload that is none", sign1(map[int]any{1: -7, 3: ContentType, 8: meta}, []byte{0xff}), "payload"},
		{"no alg", sign1(map[int]any{3: ContentType, 8: meta}, payload), "alg"},
		{"critical header", sign1(map[int]any{1: -7, 2: []int{99}, 3: ContentType, 8: meta, 99: 1}, payload), "99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := Read(c.raw); f != nil || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want what says %q", err, c.says)
			}
		})
	}
}
