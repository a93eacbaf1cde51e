package inspect

import (
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// epoch shows seconds since 1970 as a time, with or without tag 1.
func epoch(r *reader, it item) Node {
	inner, tags := it.untagged()
	n := plain(r, inner)
	n.Tags = tags
	switch v := n.Value.(type) {
	case int64:
		n.Text = rfc3339(v)
	case float64:
		n.Text = rfc3339(int64(v))
	default:
		r.lint(SeverityError, "RFC 8392 section 2", "want a time in seconds, found %s", describe(it))
	}
	return n
}

// rfc3339 writes a time, or nothing where its year has not four digits.
func rfc3339(seconds int64) string {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	if seconds < 0 || seconds > last {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// identifier shows a UUID, or a relative OID below a private enterprise number
// (tag 112).
func identifier(r *reader, it item) Node {
	inner, tags := it.untagged()
	n := digits(r, inner)
	n.Tags = tags
	if id, err := uuid.FromBytes(inner.content); err == nil && inner.isBytes() && len(tags) == 0 {
		n.Text = id.String()
	}
	return n
}

// componentID shows an array of byte strings as a path.
func componentID(r *reader, it item) Node {
	if !isComponentID(it) {
		return r.unfit(it, "a component identifier, an array of byte strings")
	}
	id := make(suit.ComponentID, len(it.items))
	segments := make([]string, len(it.items))
	for i, s := range it.items {
		id[i], segments[i] = s.content, hex.EncodeToString(s.content)
	}
	path := id.String()
	if path == "" {
		path = "(empty)"
	}
	return Node{Type: "array", Value: segments, Text: path}
}

func isComponentID(it item) bool { return it.all(item.isBytes) }

// digest shows a SUIT_Digest.
func digest(r *reader, it item) Node {
	if !isDigest(it) {
		return r.unfit(it, "a digest, [algorithm, bytes]")
	}
	d := digestOf(it)
	if h, ok := d.Algorithm.New(); !ok {
		r.lint(SeverityWarning, secSUITDigest, "%s is not one of SUIT's", algorithmName(int64(d.Algorithm)))
	} else if h.Size() != len(d.Bytes) {
		r.lint(SeverityError, secSUITDigest, "%s of %d bytes, want %d", d.Algorithm, len(d.Bytes), h.Size())
	}
	return Node{Type: "array", Value: []any{int64(d.Algorithm), hex.EncodeToString(d.Bytes)}, Text: d.String()}
}

func isDigest(it item) bool {
	if !it.isArray() || len(it.items) < 2 || !it.items[1].isBytes() {
		return false
	}
	_, ok := it.items[0].integer()
	return ok
}

func digestOf(it item) suit.Digest {
	algorithm, _ := it.items[0].integer()
	return suit.Digest{Algorithm: suit.DigestAlgorithm(algorithm), Bytes: it.items[1].content}
}

// version shows an array of integers, as suit-set-version holds it.
func version(r *reader, it item) Node {
	numbers, ok := integers(it)
	if !ok {
		return r.unfit(it, "a version, an array of integers")
	}
	return Node{Type: "array", Value: numbers, Text: suit.FormatVersion(numbers)}
}

func integers(it item) ([]int64, bool) {
	if !it.isArray() {
		return nil, false
	}
	numbers := make([]int64, len(it.items))
	for i, e := range it.items {
		n, ok := e.integer()
		if !ok {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, true
}

var comparisons = map[int64]string{
	1: "greater than", 2: "greater or equal", 3: "equal", 4: "lesser or equal", 5: "lesser than",
}

// versionMatch shows [comparison, version] (draft-ietf-suit-update-management-14
// section 4.4).
var versionMatch = tuple(2, field{"comparison", table(comparisons)}, field{"version", version})

// tagNames are the tags that stand for nothing but the type of what follows.
var tagNames = map[uint64]string{
	0: "date and time", 1: "epoch time", 2: "big number", 3: "negative big number",
	24: "encoded CBOR", 32: "URI", 37: "UUID", 55799: "self-described CBOR",
	107: "SUIT_Envelope", 1070: "SUIT_Manifest", 48: "SUIT_Envelope of old drafts", 480: "SUIT_Manifest of old drafts",
	111: "OID", 112: "relative OID",
	tagCoSWID: "CoSWID", tagCoMID: "CoMID", tagCoTL: "CoTL", 550: "UEID", 552: "SVN", 553: "lowest SVN",
	554: "public key in PEM", 555: "certificate in PEM", 556: "certificate chain in PEM", 557: "thumbprint of a key",
	558: "COSE_Key", 559: "thumbprint of a certificate", 560: "bytes", 561: "thumbprint of a chain", 562: "certificate in DER",
	563: "value under a mask", 600: "PSA implementation id",
}

// tagged shows a tagged item that stands where anything may.
func tagged(r *reader, it item) Node {
	inner, tags := it.untagged()
	last := tags[len(tags)-1]
	if kind, ok := kindByTag[last]; ok {
		return r.object(kind, it)
	}
	show := plain
	switch {
	case last == 1:
		show = epoch
	case last == 37:
		show = identifier
	case last == 24 && inner.isBytes():
		show = wrapped(guess)
	}
	n := show(r, inner)
	n.Tags = tags
	if n.Text == "" && n.Type != "map" && n.Type != "array" {
		n.Text = tagNames[last]
	}
	if kind, ok := detect(inner); ok && last > 100 && tagNames[last] == "" {
		severity := SeverityWarning
		if kind.isCOSE() {
			severity = SeverityError // RFC 9052 section 2: no other tag makes it one
		}
		r.lint(severity, "RFC 8949 section 3.4", "tag %d is not known; the content looks like %s: --as %s opens it", last, kinds[kind].title, kind)
	}
	return n
}

// headOf returns the encoded byte string around content, which is what SUIT hashes.
func headOf(content []byte) []byte { return cosekit.MustMarshal(content) }
