package tam

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// verifiedManifest is signed by somebody.
func verifiedManifest(t testing.TB, m *suit.Manifest, integrated map[string][]byte) *suit.Verified {
	t.Helper()
	signer, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	e, err := suit.Sign(m, integrated, signer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Verify(suit.KeyList{signer.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// among finds dependencies in a list.
func among(list ...*suit.Verified) findDependency {
	return func(_ *member, digest suit.Digest, _ *string) (*suit.Verified, error) {
		for _, v := range list {
			if v.Digest().Equal(digest) {
				return v, nil
			}
		}
		return nil, ErrDependencyMissing
	}
}

var (
	integrity = command(suit.ConditionDependencyIntegrity)
	processes = command(suit.DirectiveProcessDependency)
	named     = func(segment string) suit.ComponentID { return suit.ComponentID{[]byte(segment)} }
)

// dependencyOf has components and an install sequence.
func dependencyOf(t testing.TB, components []suit.ComponentID, install ...suit.Command) *suit.Verified {
	t.Helper()
	return verifiedManifest(t, &suit.Manifest{
		Version: suit.ManifestVersion, Common: suit.Common{Components: components},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: sequence(install...)}},
	}, nil)
}

// What a dependency is, and how often it runs, is for the device to say, and here as there.
func TestEvaluateDependencies(t *testing.T) {
	image := func(d suit.Digest, uri string) suit.Command {
		return override(suit.Parameters{ImageDigest: &d, URI: &uri})
	}
	fetchesA := dependencyOf(t, []suit.ComponentID{named("a")}, image(imageA, "x"), fetching, matches)
	fetchesC := dependencyOf(t, []suit.ComponentID{named("c")}, image(imageC, "z"), fetching, matches)
	fetches := dependencyOf(t, []suit.ComponentID{named("a")}, fetching, matches)
	copies := dependencyOf(t, []suit.ComponentID{named("a"), named("c")},
		index(suit.Index(1)), image(imageC, "z"), fetching, matches, index(suit.Index(0)), copying)
	fails := dependencyOf(t, []suit.ComponentID{named("a")}, slot, image(imageA, "x"), fetching, matches)
	is := func(v *suit.Verified) suit.Command { return digestOf(v.Digest()) }
	for _, c := range []struct {
		name    string
		install []suit.Command // dependencies are 2 and 3
		want    string
	}{
		{"processed", []suit.Command{index(suit.Index(2)), is(fetchesA), fromURI, fetching, integrity, processes}, "a=A@x"},
		{"another digest behind the check", []suit.Command{
			index(suit.Index(2)), is(fetchesC), fromURI, fetching, integrity, is(fetchesA), processes}, "c=C@z"},
		{"another digest behind the first processing", []suit.Command{
			index(suit.Index(2)), is(fetchesC), fromURI, fetching, processes, is(fetchesA), processes}, "c=C@z"},
		{"fetched again", []suit.Command{index(suit.Index(3)), is(fetchesC), fromURI, fetching, integrity,
			is(fetchesA), fetching, integrity, processes}, "a=A@x"},
		{"a check that contradicts another", []suit.Command{index(suit.Index(2)), is(fetchesC), fromURI, fetching, integrity, processes,
			index(suit.Index(0)), image(imageB, "y"), fetching, tryEach(true, sequence(slot, index(suit.Index(2)), is(fetchesA), integrity)), matches}, "a=B@y c=C@z"},
		{"processed twice", []suit.Command{
			index(suit.Index(0)), image(imageA, "x"), index(suit.Index(2)), is(fetches), fromURI, fetching, integrity, processes,
			index(suit.Index(0)), image(imageB, "y"), index(suit.Index(2)), processes}, "a=A@x"},
		{"processed twice on one way", []suit.Command{
			index(suit.Index(2)), is(fetches), fromURI, fetching, integrity,
			tryEach(true, sequence(slot, index(suit.Index(0)), image(imageA, "x"), index(suit.Index(2)), processes)),
			index(suit.Index(0)), image(imageB, "y"), index(suit.Index(2)), processes}, "a=A@x a=B@y"},
		{"the source-component of the dependent", []suit.Command{
			index(suit.Index(1)), image(imageB, "y"), fetching, matches, index(suit.Index(0)), source(1),
			index(suit.Index(2)), is(copies), fromURI, fetching, integrity, processes}, "a=B@y b=B@y c=C@z"},
		{"a failure inside is the end", []suit.Command{
			index(suit.Index(0)), image(imageB, "y"), fetching, matches,
			index(suit.Index(2)), is(fails), fromURI, fetching, integrity, tryEach(true, sequence(processes))}, "a=A@x"},
		{"all dependencies", []suit.Command{
			index(suit.IndexList{2, 3}), is(fetchesA), fromURI, fetching, integrity, index(suit.AllComponents{}), processes}, "a=A@x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := manifestOf(nil, nil, sequence(c.install...))
			m.Common.Dependencies = []suit.Dependency{{Index: 2, Prefix: named("d")}, {Index: 3, Prefix: named("e")}}
			tree, err := evaluate(nil, m, suit.SumSHA256([]byte("root")), among(fetchesA, fetchesC, fetches, copies, fails))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, img := range tree.images {
				got = append(got, show(img))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("images %q, want %q", got, c.want)
			}
		})
	}
}

var fromURI = from("https://x/dependency")
