package corim

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// valued is a file whose one value has the digest.
func valued(t testing.TB, id string, version uint64, digest byte, change ...func(*Unsigned)) *File {
	t.Helper()
	u := &Unsigned{ID: id, Version: version, References: []Reference{{
		Environment: Environment{ClassID: implID(1)}, Key: "BL", Digests: sha256Of(digest),
	}}}
	for _, c := range change {
		c(u)
	}
	return readFile(t, encoded(t, u))
}

// found tells the values in force by tag and first byte of the digest.
func found(b *Base) string {
	var all []string
	for _, r := range b.References(Environment{ClassID: implID(1)}) {
		all = append(all, fmt.Sprintf("%s=%d", r.Source, r.Digests[0].Value[0]))
	}
	return strings.Join(all, " ")
}

func TestWhichTagsCount(t *testing.T) {
	replacing := func(ids ...string) func(*Unsigned) { return func(u *Unsigned) { u.Replaces = ids } }
	valid := func(from, to time.Duration) func(*Unsigned) {
		return func(u *Unsigned) { u.NotBefore, u.NotAfter = now.Add(from), now.Add(to) }
	}
	for _, c := range []struct {
		name  string
		files []*File
		want  string
	}{
		{"nothing", nil, ""},
		{"alternatives of two tags are both good", []*File{valued(t, "a", 1, 1), valued(t, "b", 1, 2)}, "a@1=1 b@1=2"},
		{"the highest version", []*File{valued(t, "a", 2, 2), valued(t, "a", 10, 3), valued(t, "a", 1, 1)}, "a@10=3"},
		{"the same file twice", []*File{valued(t, "a", 1, 1), valued(t, "a", 1, 1)}, "a@1=1"},
		{"a tag that another replaces", []*File{valued(t, "a", 9, 1), valued(t, "b", 1, 2, replacing("a"))}, "b@1=2"},
		{"in a chain", []*File{valued(t, "a", 1, 1), valued(t, "b", 1, 2, replacing("a")), valued(t, "c", 1, 3, replacing("b"))}, "c@1=3"},
		{"a tag that replaces itself", []*File{valued(t, "a", 2, 2, replacing("a")), valued(t, "a", 1, 1)}, "a@2=2"},
		{"an older version no longer replaces", []*File{valued(t, "a", 1, 1), valued(t, "b", 1, 2, replacing("a")), valued(t, "b", 2, 3)}, "a@1=1 b@2=3"},
		{"not yet valid", []*File{valued(t, "a", 1, 1), valued(t, "a", 2, 2, valid(time.Hour, 2*time.Hour))}, "a@1=1"},
		{"not yet valid does not replace", []*File{valued(t, "a", 1, 1), valued(t, "b", 1, 2, replacing("a"), valid(time.Hour, 2*time.Hour))}, "a@1=1"},
		{"expired", []*File{valued(t, "a", 1, 1, valid(-2*time.Hour, -time.Hour)), valued(t, "b", 1, 2)}, "b@1=2"},
		{"expired keeps the older from coming back", []*File{valued(t, "a", 1, 1), valued(t, "a", 2, 2, valid(-2*time.Hour, -time.Hour))}, ""},
		{"expired and prolonged", []*File{valued(t, "a", 1, 1, valid(-2*time.Hour, -time.Hour)), valued(t, "a", 1, 1)}, "a@1=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := NewBase(c.files, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := found(b); got != c.want {
				t.Errorf("in force: %q, want %q", got, c.want)
			}
		})
	}
}

// by is the file with another signer.
func by(signer string, f *File) *File {
	f.Signer = signer
	return f
}

// TestSignersDoNotMeet has two signers who name their tags alike: neither takes anything
// away from the other.
func TestSignersDoNotMeet(t *testing.T) {
	replacing := func(u *Unsigned) { u.Replaces = []string{"g"} }
	expired := func(u *Unsigned) { u.NotBefore, u.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }
	for _, c := range []struct {
		name  string
		other *File
		want  string
	}{
		{"the same tag", valued(t, "g", 1, 1), "g@1=1 g@1=1"},
		{"other content", valued(t, "g", 1, 2), "g@1=1 g@1=2"},
		{"a higher version", valued(t, "g", 9, 2), "g@1=1 g@9=2"},
		{"a higher version that expired", valued(t, "g", 9, 2, expired), "g@1=1"},
		{"a tag that says it replaces", valued(t, "f", 1, 2, replacing), "g@1=1 f@1=2"},
	} {
		b, err := NewBase([]*File{by("G", valued(t, "g", 1, 1)), by("F", c.other)}, now)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := found(b); got != c.want {
			t.Errorf("%s: in force %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTooManyStatements(t *testing.T) {
	u := &Unsigned{ID: "a"}
	for i := range MaxFileStatements {
		e := Environment{ClassID: implID(byte(i / 1000))}
		u.References = append(u.References, Reference{Environment: e, Key: "BL", SVN: ptr(uint64(1))})
	}
	f := readFile(t, encoded(t, u))
	u.Keys = []AttestKey{{Environment: Environment{ClassID: implID(1)}, Public: publicKey(t, newSigner(t, cosekit.ESP256))}}
	if _, err := u.Encode(); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "more than 5000 reference values and keys") {
		t.Errorf("one more in a file: %v", err)
	}
	files := make([]*File, 0, MaxStatements/MaxFileStatements+1)
	for i := range cap(files) {
		other := *f
		files = append(files, by(fmt.Sprint(i), &other))
	}
	if _, err := NewBase(files[1:], now); err != nil {
		t.Error(err)
	}
	if _, err := NewBase(files, now); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one more file: %v", err)
	}
}

// TestTooManyAlike: who asks about an environment gets all values of it, so that they are
// counted by it, and by who says so.
func TestTooManyAlike(t *testing.T) {
	of := func(signer string, from, n int) *File {
		u := &Unsigned{ID: fmt.Sprint(from)}
		for i := range n {
			u.References = append(u.References, Reference{Environment: Environment{ClassID: implID(1)}, Key: fmt.Sprint(from + i), SVN: ptr(uint64(1))})
		}
		return by(signer, readFile(t, encoded(t, u)))
	}
	full := []*File{of("F", 0, MaxAlike/2), of("F", MaxAlike/2, MaxAlike/2), of("G", 0, 1)}
	if _, err := NewBase(full, now); err != nil {
		t.Error(err)
	}
	if _, err := NewBase(append(full, of("F", MaxAlike, 1)), now); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "for class bytes:01") {
		t.Errorf("one more: %v", err)
	}
}

func TestConflictOfTags(t *testing.T) {
	later := func(u *Unsigned) { u.NotBefore, u.NotAfter = now.Add(time.Hour), now.Add(2*time.Hour) }
	for name, files := range map[string][]*File{
		"now":           {valued(t, "a", 1, 1), valued(t, "a", 1, 2)},
		"later":         {valued(t, "a", 1, 1), valued(t, "a", 1, 2, later)},
		"below a third": {valued(t, "a", 1, 1), valued(t, "a", 2, 1), valued(t, "a", 1, 2)},
	} {
		_, err := NewBase(files, now)
		if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), `"a" of version 1`) ||
			!strings.Contains(err.Error(), "a higher version, and what stands beside it an id of its own") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestLookup asks a base about environments that know more and less than its statements.
func TestLookup(t *testing.T) {
	ueid := ID{KindUEID, []byte("\x01instance")}
	group := ID{KindBytes, []byte("group")}
	one := ptr(uint64(1))
	statements := []struct {
		name string
		e    Environment
	}{
		{"class", Environment{ClassID: implID(1)}},
		{"class with vendor", Environment{ClassID: implID(1), Vendor: "Acme"}},
		{"class of a layer", Environment{ClassID: implID(1), Layer: one}},
		{"instance", Environment{Instance: ueid}},
		{"class and instance", Environment{ClassID: implID(1), Instance: ueid}},
		{"group", Environment{Group: group}},
		{"vendor", Environment{Vendor: "Acme"}},
		{"model", Environment{Vendor: "Acme", Model: "RoadRunner"}},
		{"layer", Environment{Layer: one}},
	}
	u := &Unsigned{ID: "all"}
	for _, s := range statements {
		u.References = append(u.References, Reference{Environment: s.e, Key: s.name, SVN: one})
	}
	b, err := NewBase([]*File{readFile(t, encoded(t, u))}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		about Environment
		want  string
	}{
		{Environment{}, ""},
		{Environment{ClassID: implID(1)}, "class, class with vendor"},
		{Environment{ClassID: ID{KindImplID, implID(1).Value}}, "class, class with vendor"},
		{Environment{ClassID: ID{KindUUID, implID(1).Value}}, ""},
		{Environment{ClassID: implID(2)}, ""},
		{Environment{ClassID: implID(1), Vendor: "Other"}, "class"},
		{Environment{ClassID: implID(1), Vendor: "Acme"}, "class, class with vendor, vendor"},
		{Environment{ClassID: implID(1), Layer: one}, "class, class with vendor, class of a layer, layer"},
		{Environment{ClassID: implID(1), Layer: ptr(uint64(2))}, "class, class with vendor"},
		{Environment{Instance: ueid}, "instance"},
		{Environment{ClassID: implID(1), Instance: ueid}, "class, class with vendor, instance, class and instance"},
		{Environment{ClassID: implID(2), Instance: ueid}, "instance"},
		{Environment{Group: group}, "group"},
		{Environment{Vendor: "Acme"}, "vendor"},
		{Environment{Vendor: "Acme", Model: "RoadRunner"}, "vendor, model"},
		{Environment{Vendor: "Other", Model: "RoadRunner"}, ""},
	} {
		var got []string
		for _, r := range b.References(c.about) {
			got = append(got, r.Key)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("about %+v: %q, want %q", c.about, got, c.want)
		}
	}
}

// TestLookupPassesByOthers holds the index to its purpose: the statements that a look-up
// passes by do not grow with what others are told about.
func TestLookupPassesByOthers(t *testing.T) {
	u := &Unsigned{ID: "all"}
	for i := range 200 {
		e := Environment{ClassID: implID(byte(i)), Vendor: "Acme"}
		u.References = append(u.References, Reference{Environment: e, Key: "BL", Digests: sha256Of(1)})
	}
	b, err := NewBase([]*File{readFile(t, encoded(t, u))}, now)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	about := Environment{ClassID: implID(7), Vendor: "Acme"}
	for _, slot := range about.slots() {
		passed += len(b.references.by[slot])
	}
	if passed != 1 || len(b.References(about)) != 1 {
		t.Errorf("passes by %d statements, want 1", passed)
	}
}
