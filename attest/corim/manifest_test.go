package corim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// envelopeOf makes a signed envelope from a description, whose files are in folder.
func envelopeOf(t testing.TB, folder, description string, publisher suit.Signer) []byte {
	t.Helper()
	path := filepath.Join(folder, "description.yaml")
	if err := os.WriteFile(path, []byte(description), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := author.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := author.Sign(d, publisher)
	if err != nil {
		t.Fatal(err)
	}
	return envelopeBytes(t, e)
}

func envelopeBytes(t testing.TB, e *suit.Envelope) []byte {
	t.Helper()
	raw, err := e.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// told writes the statements down: "class key=digest version".
func told(all []Reference) []string {
	var lines []string
	for _, r := range all {
		about := r.Environment.Vendor
		if !r.Environment.ClassID.IsZero() {
			about = uuid.UUID(r.Environment.ClassID.Value).String()[:4]
		}
		lines = append(lines, fmt.Sprintf("%s %s=%s %x %s", about, r.Key, r.Digests[0].Algorithm, r.Digests[0].Value[:4], r.Version))
	}
	return lines
}

const motd = `
components:
  - {id: app/motd, payload: {content: "welcome"}}
  - {id: app/bye, payload: {content: "bye"}}
sequence-number: 7
version: 1.2.3
vendor-domain: example.com
class-id: c1a55000-0000-4000-8000-000000000001
`

func TestFromManifest(t *testing.T) {
	publisher := newSigner(t, cosekit.Ed25519)
	raw := envelopeOf(t, t.TempDir(), motd, publisher)
	u, err := FromManifest(raw, ManifestOptions{Publishers: suit.KeyList{publisher.PublicKey()}, Supersedes: []string{"app/motd/suit/6"}})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	welcome, bye := suit.SumSHA256([]byte("welcome")), suit.SumSHA256([]byte("bye"))
	want := []string{
		fmt.Sprintf("c1a5 app/motd=sha-256 %x 1.2.3", welcome.Bytes[:4]),
		fmt.Sprintf("c1a5 app/motd/suit=sha-256 %x 1.2.3", envelope.Digest().Bytes[:4]),
		fmt.Sprintf("c1a5 app/bye=sha-256 %x 1.2.3", bye.Bytes[:4]),
	}
	if got := told(u.References); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if u.ID != "app/motd/suit/7" || u.Version != 7 {
		t.Errorf("tag %q of version %d", u.ID, u.Version)
	}
	// From here it goes as with every other file.
	provider := newSigner(t, cosekit.ESP256)
	signed, err := u.Sign(provider, "Example")
	if err != nil {
		t.Fatal(err)
	}
	f := readFile(t, signed)
	if err := f.Verify(now, publicKey(t, provider)); err != nil {
		t.Fatal(err)
	}
	older := valued(t, "app/motd/suit/6", 6, 1)
	older.Signer = f.Signer
	b, err := NewBase([]*File{older, f}, now)
	if err != nil {
		t.Fatal(err)
	}
	class := uuid.MustParse("c1a55000-0000-4000-8000-000000000001")
	found := b.References(Environment{ClassID: ID{KindUUID, class[:]}})
	if len(found) != 3 || found[0].Source != "app/motd/suit/7@7" || !reflect.DeepEqual(found[0].Digests, []Digest{{"sha-256", welcome.Bytes}}) {
		t.Errorf("in force: %+v", found)
	}
	if values, _ := b.Len(); values != 3 {
		t.Errorf("%d values are in force, the superseded ones among them", values)
	}
}

// TestFromManifestFollowsDependencies has one dependency in the envelope and one beside it.
func TestFromManifestFollowsDependencies(t *testing.T) {
	folder := t.TempDir()
	publisher := newSigner(t, cosekit.ESP256)
	inner := envelopeOf(t, folder, strings.ReplaceAll(motd, "app/", "lib/"), publisher)
	beside := envelopeOf(t, folder, strings.ReplaceAll(motd, "app/", "far/"), publisher)
	for name, raw := range map[string][]byte{"inner.suit": inner, "beside.suit": beside} {
		if err := os.WriteFile(filepath.Join(folder, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw := envelopeOf(t, folder, motd+`
dependencies:
  - {file: inner.suit, integrated: true}
  - {file: beside.suit, uri: "https://example.com/beside.suit"}
`, publisher)
	u, err := FromManifest(raw, ManifestOptions{Dependencies: [][]byte{inner, beside}})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, r := range u.References {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	if got := strings.Join(keys, " "); got != "app/bye app/motd app/motd/suit far/bye far/motd far/motd/suit lib/bye lib/motd lib/motd/suit" {
		t.Errorf("values of %s", got)
	}
	_, err = FromManifest(raw, ManifestOptions{})
	if !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "far/motd/suit: no reference values in the manifest: it is a dependency whose envelope") {
		t.Errorf("a dependency that is not at hand: %v", err)
	}
}

// shaped is a manifest made by hand, signed by a new key.
func shaped(t testing.TB, change func(*suit.Manifest), sections map[suit.Section]suit.Severable) []byte {
	t.Helper()
	m := &suit.Manifest{
		Version: 1, SequenceNumber: 1, ComponentID: suit.ComponentID{[]byte("m")},
		Common:   suit.Common{Components: []suit.ComponentID{{[]byte("a")}, {[]byte("b")}}, Shared: &suit.Sequence{}},
		Sections: sections,
	}
	change(m)
	e, err := suit.Sign(m, nil, newSigner(t, cosekit.Ed25519))
	if err != nil {
		t.Fatal(err)
	}
	return envelopeBytes(t, e)
}

func override(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
}

func choose(argument suit.Argument) suit.Command {
	return suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: argument}
}

// TestFindImagesAlongEveryWay has a class of devices in each alternative.
func TestFindImagesAlongEveryWay(t *testing.T) {
	digest := func(s string) *suit.Digest { return ptr(suit.SumSHA256([]byte(s))) }
	class := func(b byte) *uuid.UUID { return &uuid.UUID{b} }
	shared := func(commands ...suit.Command) func(*suit.Manifest) {
		return func(m *suit.Manifest) { m.Common.Shared.Commands = commands }
	}
	try := func(optional bool, sequences ...suit.Sequence) suit.Command {
		return suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: sequences, Optional: optional}}
	}
	sequence := func(commands ...suit.Command) suit.Sequence { return suit.Sequence{Commands: commands} }
	line := func(class, key, content string) string {
		return fmt.Sprintf("%s %s=sha-256 %x ", class, key, suit.SumSHA256([]byte(content)).Bytes[:4])
	}
	for _, c := range []struct {
		name     string
		change   func(*suit.Manifest)
		sections map[suit.Section]suit.Severable
		want     []string
	}{
		{"a class in each alternative", shared(
			try(false, sequence(override(suit.Parameters{ClassID: class(1), ImageDigest: digest("one")})),
				sequence(override(suit.Parameters{ClassID: class(2), ImageDigest: digest("two")}))),
		), nil, []string{line("0100", "a", "one"), line("0200", "a", "two")}},
		{"the digest after the alternatives", shared(
			try(false, sequence(override(suit.Parameters{ClassID: class(1)})), sequence(override(suit.Parameters{ClassID: class(2)}))),
			override(suit.Parameters{ImageDigest: digest("one")}),
		), nil, []string{line("0100", "a", "one"), line("0200", "a", "one")}},
		{"an alternative that may fail", shared(
			override(suit.Parameters{ClassID: class(1), ImageDigest: digest("one")}),
			try(true, sequence(override(suit.Parameters{ImageDigest: digest("two")})), sequence(override(suit.Parameters{ImageDigest: digest("three")}))),
		), nil, []string{line("0100", "a", "two"), line("0100", "a", "three"), line("0100", "a", "one")}},
		{"set-parameters changes nothing that is set", shared(
			override(suit.Parameters{ClassID: class(1), ImageDigest: digest("one")}),
			suit.Command{Code: suit.DirectiveSetParameters, Argument: &suit.Parameters{ImageDigest: digest("two")}},
		), nil, []string{line("0100", "a", "one")}},
		{"all components", shared(choose(suit.AllComponents{}), override(suit.Parameters{VendorID: class(1), ImageDigest: digest("one")})),
			nil, []string{line(class(1).String(), "a", "one"), line(class(1).String(), "b", "one")}},
		{"a list of components", shared(choose(suit.IndexList{0, 1}), override(suit.Parameters{ClassID: class(1)}), choose(suit.Index(1)), override(suit.Parameters{ImageDigest: digest("one")})),
			nil, []string{line("0100", "b", "one")}},
		{"override-multiple and copy-params", shared(
			suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {ClassID: class(1)}, 1: {ImageDigest: digest("one")}}},
			suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{0: {suit.ParameterClassID}}},
		), nil, []string{line("0100", "b", "one")}},
		{"a class that one component has for all", shared(override(suit.Parameters{ClassID: class(1)}), choose(suit.Index(1)), override(suit.Parameters{ImageDigest: digest("one")})),
			nil, []string{line("0100", "b", "one")}},
		{"a section changes the digest for itself", shared(override(suit.Parameters{ClassID: class(1), ImageDigest: digest("one")})),
			map[suit.Section]suit.Severable{
				suit.SectionInstall:   {Sequence: &suit.Sequence{Commands: []suit.Command{override(suit.Parameters{ImageDigest: digest("two")})}}},
				suit.SectionUninstall: {Sequence: &suit.Sequence{Commands: []suit.Command{override(suit.Parameters{ImageDigest: digest("three")})}}},
			}, []string{line("0100", "a", "one"), line("0100", "a", "two")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := FromManifest(shaped(t, c.change, c.sections), ManifestOptions{})
			if err != nil {
				t.Fatal(err)
			}
			own := slices.DeleteFunc(told(u.References), func(s string) bool { return strings.Contains(s, " m=") })
			if !slices.Equal(own, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(own, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestDependenciesWithoutClass are for the devices of the manifest that needs them.
func TestDependenciesWithoutClass(t *testing.T) {
	digest := suit.SumSHA256([]byte("x"))
	child := shaped(t, func(m *suit.Manifest) {
		m.ComponentID = suit.ComponentID{[]byte("child")}
		m.Common.Shared.Commands = []suit.Command{override(suit.Parameters{ImageDigest: &digest})}
	}, nil)
	u, err := FromManifest(needing(t, child, &uuid.UUID{1}), ManifestOptions{Dependencies: [][]byte{child}})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(told(u.References), "\n")
	for _, want := range []string{"0100 a=", "0100 child=", "0100 m="} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
}

// needing is a manifest that does nothing but depend on another.
func needing(t *testing.T, child []byte, class *uuid.UUID) []byte {
	t.Helper()
	e, err := suit.Decode(child)
	if err != nil {
		t.Fatal(err)
	}
	digest := e.Digest()
	return shaped(t, func(m *suit.Manifest) {
		m.Common.Dependencies = []suit.Dependency{{Index: 1}}
		m.Common.Shared.Commands = []suit.Command{choose(suit.Index(1)), override(suit.Parameters{ClassID: class, ImageDigest: &digest})}
	}, nil)
}

// TestFromManifestIsBounded gives it a long chain, and many commands on many ways.
func TestFromManifestIsBounded(t *testing.T) {
	digest := suit.SumSHA256([]byte("x"))
	image := override(suit.Parameters{ClassID: &uuid.UUID{1}, ImageDigest: &digest})
	envelope := shaped(t, func(m *suit.Manifest) { m.Common.Shared.Commands = []suit.Command{image} }, nil)
	var chain [][]byte
	for range maxManifests {
		chain = append(chain, envelope)
		envelope = needing(t, envelope, nil)
	}
	if _, err := FromManifest(envelope, ManifestOptions{Dependencies: chain}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "64 manifests") {
		t.Errorf("a chain of manifests: %v", err)
	}
	fork := suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{{Commands: []suit.Command{image}}, {Commands: []suit.Command{image}}}}}
	commands := append(append(slices.Repeat([]suit.Command{fork}, 8), choose(suit.AllComponents{})), slices.Repeat([]suit.Command{image}, 1000)...)
	long := shaped(t, func(m *suit.Manifest) {
		m.Common.Components = slices.Repeat(m.Common.Components, 4)
		for i := range m.Common.Components {
			m.Common.Components[i] = suit.ComponentID{{'c', byte('0' + i)}}
		}
		m.Common.Shared.Commands = commands
	}, nil)
	if _, err := FromManifest(long, ManifestOptions{}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "steps") {
		t.Errorf("many commands on many ways: %v", err)
	}
}

func TestFromManifestRefuses(t *testing.T) {
	publisher, stranger := newSigner(t, cosekit.Ed25519), newSigner(t, cosekit.Ed25519)
	good := envelopeOf(t, t.TempDir(), motd, publisher)
	digest := suit.SumSHA256([]byte("x"))
	shared := func(commands ...suit.Command) func(*suit.Manifest) {
		return func(m *suit.Manifest) { m.Common.Shared.Commands = commands }
	}
	image := override(suit.Parameters{ClassID: &uuid.UUID{1}, ImageDigest: &digest})
	fork := suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{{Commands: []suit.Command{image}}, {Commands: []suit.Command{image}}}}}
	// Changing the content leaves the signed digest behind.
	changed := slices.Clone(good)
	at := strings.Index(string(changed), "welcome")
	changed[at] ^= 1
	for _, c := range []struct {
		name string
		raw  []byte
		o    ManifestOptions
		want error
		says string
	}{
		{"nothing", nil, ManifestOptions{}, suit.ErrMalformed, ""},
		{"truncated", good[:len(good)-1], ManifestOptions{}, suit.ErrMalformed, ""},
		{"another publisher", good, ManifestOptions{Publishers: suit.KeyList{stranger.PublicKey()}}, suit.ErrNoSignature, ""},
		{"a changed manifest", changed, ManifestOptions{}, suit.ErrDigest, "changed after it was signed"},
		{"a dependency that is none", good, ManifestOptions{Dependencies: [][]byte{{0}}}, suit.ErrMalformed, "dependency"},
		{"no digests", shaped(t, shared(override(suit.Parameters{ClassID: &uuid.UUID{1}})), nil), ManifestOptions{}, ErrManifest, "no component has an image digest"},
		{"for any device", shaped(t, shared(override(suit.Parameters{ImageDigest: &digest})), nil), ManifestOptions{}, ErrManifest, "neither class id nor vendor id"},
		{"no name", shaped(t, func(m *suit.Manifest) { m.ComponentID = nil; shared(image)(m) }, nil), ManifestOptions{}, ErrManifest, "no manifest component id"},
		{"too many ways", shaped(t, shared(slices.Repeat([]suit.Command{fork}, 30)...), nil), ManifestOptions{}, ErrTooLarge, "256 ways"},
		{"an index too high", shaped(t, shared(choose(suit.Index(9))), nil), ManifestOptions{}, ErrMalformed, "component index 9 of 2"},
		{"an index too high to copy from", shaped(t, shared(suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{9: {suit.ParameterClassID}}}), nil), ManifestOptions{}, ErrMalformed, "component index 9 of 2"},
		{"a digest that is not written", shaped(t, shared(override(suit.Parameters{ClassID: &uuid.UUID{1}, ImageDigest: &suit.Digest{Algorithm: suit.SHAKE128, Bytes: make([]byte, 32)}})), nil), ManifestOptions{}, ErrManifest, "shake128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := FromManifest(c.raw, c.o)
			if u != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
	if u, err := FromManifest(shaped(t, func(m *suit.Manifest) { m.ComponentID = nil; shared(image)(m) }, nil), ManifestOptions{ID: "named"}); err != nil || u.ID != "named/1" {
		t.Errorf("with a name given: %v", err)
	}
}
