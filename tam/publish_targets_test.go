package tam

import (
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

var (
	imageA = suit.SumSHA256([]byte("a"))
	imageB = suit.SumSHA256([]byte("b"))
)

func ptr[T any](v T) *T { return &v }

func override(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
}

func command(code suit.CommandCode) suit.Command {
	return suit.Command{Code: code, Argument: suit.Policy(0)}
}

func sequence(commands ...suit.Command) *suit.Sequence { return &suit.Sequence{Commands: commands} }

func index(a suit.Argument) suit.Command {
	return suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: a}
}

// manifestOf has the components a and b, and the given sequences.
func manifestOf(shared, fetch, install *suit.Sequence) *suit.Manifest {
	m := &suit.Manifest{
		Version:  suit.ManifestVersion,
		Common:   suit.Common{Components: []suit.ComponentID{{[]byte("a")}, {[]byte("b")}}, Shared: shared},
		Sections: map[suit.Section]suit.Severable{},
	}
	if fetch != nil {
		m.Sections[suit.SectionPayloadFetch] = suit.Severable{Sequence: fetch}
	}
	if install != nil {
		m.Sections[suit.SectionInstall] = suit.Severable{Sequence: install}
	}
	return m
}

func TestImagesOf(t *testing.T) {
	digests := sequence(
		index(suit.Index(0)), override(suit.Parameters{ImageDigest: &imageA, ImageSize: ptr(uint64(1))}),
		index(suit.Index(1)), override(suit.Parameters{ImageDigest: &imageB}),
		command(suit.ConditionVendorIdentifier),
	)
	from := func(uri string) suit.Command { return override(suit.Parameters{URI: &uri}) }
	target := func(i int, uri string) Target {
		if i == 0 {
			return Target{Component: suit.ComponentID{[]byte("a")}, ImageDigest: imageA, ImageSize: 1, URI: uri}
		}
		return Target{Component: suit.ComponentID{[]byte("b")}, ImageDigest: imageB, URI: uri}
	}
	for _, c := range []struct {
		name     string
		manifest *suit.Manifest
		want     []Target
	}{
		{"install", manifestOf(digests, nil, sequence(from("x"), command(suit.DirectiveFetch))), []Target{target(0, "x")}},
		{"payload-fetch", manifestOf(digests, sequence(from("x"), command(suit.DirectiveFetch)), sequence(command(suit.ConditionImageMatch))), []Target{target(0, "x")}},
		{"install stands above payload-fetch", manifestOf(digests,
			sequence(from("x"), command(suit.DirectiveFetch)), sequence(from("y"), command(suit.DirectiveFetch))), []Target{target(0, "y")}},
		{"the other component", manifestOf(digests, nil, sequence(index(suit.Index(1)), from("y"), command(suit.DirectiveFetch))), []Target{target(1, "y")}},
		{"both in a list", manifestOf(digests, nil,
			sequence(index(suit.IndexList{0, 1}), from("x"), command(suit.DirectiveFetch))), []Target{target(0, "x"), target(1, "x")}},
		{"all", manifestOf(digests, nil,
			sequence(index(suit.AllComponents{}), from("x"), command(suit.DirectiveFetch))), []Target{target(0, "x"), target(1, "x")}},
		{"parameters in force at the fetch", manifestOf(digests, nil,
			sequence(from("x"), command(suit.DirectiveFetch), from("y"), override(suit.Parameters{ImageDigest: &imageB}))), []Target{target(0, "x")}},
		{"set-parameters gives way", manifestOf(digests, nil, sequence(from("x"),
			suit.Command{Code: suit.DirectiveSetParameters, Argument: &suit.Parameters{URI: ptr("y")}}, command(suit.DirectiveFetch))), []Target{target(0, "x")}},
		{"written", manifestOf(digests, nil, sequence(override(suit.Parameters{Content: []byte("a")}), command(suit.DirectiveWrite))), []Target{target(0, "")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			images, err := imagesOf(c.manifest)
			if err != nil {
				t.Fatal(err)
			}
			same := slices.EqualFunc(images, c.want, func(i image, w Target) bool {
				return i.Component.Equal(w.Component) && i.ImageDigest.Equal(w.ImageDigest) && i.ImageSize == w.ImageSize && i.URI == w.URI
			})
			if !same {
				t.Errorf("images %+v, want %+v", images, c.want)
			}
		})
	}
}

func TestImagesOfRefusals(t *testing.T) {
	digest := override(suit.Parameters{ImageDigest: &imageA})
	uri := override(suit.Parameters{URI: ptr("x")})
	fetch := command(suit.DirectiveFetch)
	install := func(commands ...suit.Command) *suit.Manifest { return manifestOf(nil, nil, sequence(commands...)) }
	with := func(change func(*suit.Manifest)) *suit.Manifest {
		m := install(digest, uri, fetch)
		change(m)
		return m
	}
	if _, err := imagesOf(with(func(*suit.Manifest) {})); err != nil {
		t.Fatalf("what the cases below differ from: %v", err)
	}
	for _, c := range []struct {
		name     string
		manifest *suit.Manifest
		want     error
	}{
		{"another version", with(func(m *suit.Manifest) { m.Version = 2 }), ErrUnsupportedManifest},
		{"dependencies", with(func(m *suit.Manifest) { m.Common.Dependencies = []suit.Dependency{{Index: 1}} }), ErrUnsupportedManifest},
		{"no component", with(func(m *suit.Manifest) { m.Common.Components = nil }), ErrNoTarget},
		{"install severed", with(func(m *suit.Manifest) { m.Sections[suit.SectionInstall] = suit.Severable{Digest: &imageA} }), ErrSeveredMismatch},
		{"no section", manifestOf(sequence(digest, uri), nil, nil), ErrNoTarget},
		{"nothing fetched", install(digest, uri), ErrNoTarget},
		{"no digest", install(uri, fetch), ErrNoTarget},
		{"no URI", install(digest, fetch), ErrUnsupportedManifest},
		{"no content", install(digest, command(suit.DirectiveWrite)), ErrUnsupportedManifest},
		{"copy", install(digest, command(suit.DirectiveCopy)), ErrUnsupportedManifest},
		{"try-each", install(suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{}}), ErrUnsupportedManifest},
		{"run-sequence", install(suit.Command{Code: suit.DirectiveRunSequence, Argument: sequence()}), ErrUnsupportedManifest},
		{"unknown command", install(suit.Command{Code: 99, Argument: suit.Raw{0}}), ErrUnsupportedManifest},
		{"index too high", install(index(suit.Index(2)), digest, uri, fetch), ErrEnvelopeMalformed},
		{"huge index", install(index(suit.IndexList{1 << 63}), digest, uri, fetch), ErrEnvelopeMalformed},
		{"encrypted", install(digest, uri, override(suit.Parameters{
			Other: map[suit.ParameterCode]cosekit.RawMessage{suit.ParameterEncryptionInfo: {0x40}},
		}), fetch), ErrUnsupportedManifest},
	} {
		t.Run(c.name, func(t *testing.T) {
			if images, err := imagesOf(c.manifest); !errors.Is(err, c.want) {
				t.Errorf("images %v, error %v, want %v", images, err, c.want)
			}
		})
	}
}
