package tam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

var (
	imageA = suit.SumSHA256([]byte("a"))
	imageB = suit.SumSHA256([]byte("b"))
	imageC = suit.SumSHA256([]byte("c"))
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

func tryEach(optional bool, list ...*suit.Sequence) suit.Command {
	a := &suit.Alternatives{Optional: optional}
	for _, s := range list {
		a.Sequences = append(a.Sequences, *s)
	}
	return suit.Command{Code: suit.DirectiveTryEach, Argument: a}
}

func runSequence(commands ...suit.Command) suit.Command {
	return suit.Command{Code: suit.DirectiveRunSequence, Argument: sequence(commands...)}
}

func setParameters(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveSetParameters, Argument: &p}
}

// evaluateAlone evaluates a manifest that has no dependencies.
func evaluateAlone(m *suit.Manifest) ([]image, error) {
	t, err := evaluate(nil, m, suit.SumSHA256([]byte("root")), func(*member, suit.Digest, *string) (*suit.Verified, error) {
		return nil, ErrDependencyMissing
	})
	if err != nil {
		return nil, err
	}
	return t.images, nil
}

// The commands that the cases are made of.
var (
	digests = sequence(
		index(suit.Index(0)), override(suit.Parameters{ImageDigest: &imageA, ImageSize: ptr(uint64(1))}),
		index(suit.Index(1)), override(suit.Parameters{ImageDigest: &imageB}),
		command(suit.ConditionVendorIdentifier),
	)
	digestOf  = func(d suit.Digest) suit.Command { return override(suit.Parameters{ImageDigest: &d}) }
	from      = func(uri string) suit.Command { return override(suit.Parameters{URI: &uri}) }
	source    = func(i uint64) suit.Command { return override(suit.Parameters{SourceComponent: &i}) }
	soft      = func(on bool) suit.Command { return override(suit.Parameters{SoftFailure: &on}) }
	fetching  = command(suit.DirectiveFetch)
	copying   = command(suit.DirectiveCopy)
	writing   = command(suit.DirectiveWrite)
	matches   = command(suit.ConditionImageMatch)
	differs   = command(suit.ConditionImageNotMatch)
	slot      = command(suit.ConditionComponentSlot)
	aborts    = command(suit.ConditionAbort)
	encrypted = override(suit.Parameters{EncryptionInfo: []byte{0xf6}})
)

// show writes an image as "a=imageA@x": component, digest, URI.
func show(img image) string {
	digest := "?"
	for name, d := range map[string]suit.Digest{"A": imageA, "B": imageB, "C": imageC} {
		if img.ImageDigest.Equal(d) {
			digest = name
		}
	}
	out := fmt.Sprintf("%s=%s@%s", img.Component, digest, img.URI)
	if img.ImageSize != 0 {
		out += fmt.Sprintf("/%d", img.ImageSize)
	}
	if img.content != nil {
		out += fmt.Sprintf("(%s)", img.content)
	}
	if img.sealed {
		out += " sealed"
	}
	return out
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name     string
		manifest *suit.Manifest
		want     string
	}{
		{"install", manifestOf(digests, nil, sequence(from("x"), fetching)), "a=A@x/1"},
		{"payload-fetch", manifestOf(digests, sequence(from("x"), fetching), sequence(matches)), "a=A@x/1"},
		{"install stands above payload-fetch", manifestOf(digests, sequence(from("x"), fetching), sequence(from("y"), fetching)), "a=A@y/1"},
		{"the other component", manifestOf(digests, nil, sequence(index(suit.Index(1)), from("y"), fetching)), "b=B@y"},
		{"both in a list", manifestOf(digests, nil, sequence(index(suit.IndexList{0, 1}), from("x"), fetching)), "a=A@x/1 b=B@x"},
		{"all", manifestOf(digests, nil, sequence(index(suit.AllComponents{}), from("x"), fetching)), "a=A@x/1 b=B@x"},
		{"parameters in force at the fetch", manifestOf(digests, nil, sequence(from("x"), fetching, from("y"), digestOf(imageB))), "a=A@x/1"},
		{"what the last image-match found", manifestOf(digests, nil, sequence(from("x"), fetching, digestOf(imageC), matches)), "a=C@x/1"},
		{"set-parameters gives way", manifestOf(digests, nil, sequence(from("x"), setParameters(suit.Parameters{URI: ptr("y")}), fetching)), "a=A@x/1"},
		{"written", manifestOf(digests, nil, sequence(override(suit.Parameters{Content: []byte("a")}), writing)), "a=A@/1(a)"},
		{"written one thing or another under one digest", manifestOf(digests, nil, sequence(tryEach(false,
			sequence(slot, override(suit.Parameters{Content: []byte("a")})), sequence(override(suit.Parameters{Content: []byte("z")}))), writing)),
			"a=A@/1(a) a=A@/1(z)"},
		{"decrypted or not", manifestOf(digests, nil, sequence(from("x"), tryEach(true, sequence(slot, encrypted)), fetching, matches)), "a=A@x/1 sealed a=A@x/1"},
		{"override-multiple", manifestOf(digests, nil, sequence(
			suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {URI: ptr("x")}, 1: {URI: ptr("y")}}},
			index(suit.AllComponents{}), fetching)), "a=A@x/1 b=B@y"},
		{"override-multiple selects the last", manifestOf(digests, nil, sequence(
			suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {URI: ptr("x")}, 1: {URI: ptr("y")}}},
			fetching)), "b=B@y"},
		{"copy-params", manifestOf(digests, nil, sequence(from("x"), index(suit.Index(1)),
			suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{0: {suit.ParameterURI, suit.ParameterVendorID}}}, fetching)), "b=B@x"},

		{"a run-sequence", manifestOf(digests, nil, sequence(runSequence(from("x"), fetching))), "a=A@x/1"},
		{"a run-sequence for each", manifestOf(digests, nil, sequence(index(suit.IndexList{0, 1}), runSequence(from("x"), fetching))), "a=A@x/1 b=B@x"},
		{"what is selected inside stays inside", manifestOf(digests, nil, sequence(
			runSequence(index(suit.Index(1)), from("y"), fetching), from("x"), fetching)), "a=A@x/1 b=B@y"},
		{"a soft failure ends a run-sequence", manifestOf(digests, nil, sequence(from("x"),
			runSequence(soft(true), slot, from("y")), fetching)), "a=A@y/1 a=A@x/1"},
		{"a failure in a run-sequence is none by itself", manifestOf(digests, nil, sequence(from("x"), runSequence(slot, from("y")), fetching)), "a=A@y/1"},

		{"a choice by the slot", manifestOf(digests, nil, sequence(
			tryEach(false, sequence(slot, digestOf(imageA), from("x")), sequence(slot, digestOf(imageB), from("y"))), fetching)), "a=A@x/1 a=B@y/1"},
		{"an optional choice", manifestOf(digests, nil, sequence(from("x"), tryEach(true, sequence(slot, from("y"))), fetching)), "a=A@y/1 a=A@x/1"},
		{"what failed before is left behind", manifestOf(digests, nil, sequence(from("x"), tryEach(false,
			sequence(from("y"), aborts), sequence(slot)), fetching)), "a=A@y/1"},
		{"soft-failure false ends all", manifestOf(digests, nil, sequence(from("x"), tryEach(false,
			sequence(soft(false), slot, from("y")), sequence(from("z"))), fetching)), "a=A@y/1"},
		{"soft-failure set again", manifestOf(digests, nil, sequence(from("x"), tryEach(false,
			sequence(soft(false), soft(true), slot, from("y")), sequence(from("z"))), fetching)), "a=A@y/1 a=A@z/1"},
		{"set-parameters does not take soft-failure back", manifestOf(digests, nil, sequence(from("y"),
			runSequence(soft(true), setParameters(suit.Parameters{SoftFailure: ptr(false)}), slot, from("x")), fetching)), "a=A@x/1 a=A@y/1"},
		{"set-parameters sets it first", manifestOf(digests, nil, sequence(from("y"),
			runSequence(setParameters(suit.Parameters{SoftFailure: ptr(true)}), slot, from("x")), fetching)), "a=A@x/1 a=A@y/1"},
		{"a choice for each", manifestOf(digests, nil, sequence(index(suit.IndexList{0, 1}), from("x"),
			tryEach(true, sequence(slot, from("y"))), fetching)), "a=A@y/1 a=A@x/1 b=B@y b=B@x"},
		{"it may be there already", manifestOf(digests, nil, sequence(from("x"), tryEach(false, sequence(matches), sequence(fetching, matches)))), "a=A@x/1"},
		{"another may be there already", manifestOf(digests, nil, sequence(from("x"), tryEach(false,
			sequence(digestOf(imageB), matches), sequence(digestOf(imageA), fetching)))), "a=B@/1 a=A@x/1"},
		{"a match that contradicts another", manifestOf(digests, nil, sequence(from("x"), fetching, matches, tryEach(false,
			sequence(digestOf(imageB), matches, from("y"), fetching), sequence(slot)))), "a=A@x/1"},

		{"fetched and copied", manifestOf(digests, sequence(index(suit.Index(1)), from("x"), fetching), sequence(source(1), copying)), "a=A@x/1 a=B@x b=B@x"},
		{"fetched, copied and found", manifestOf(digests, sequence(index(suit.Index(1)), from("x"), fetching), sequence(source(1), copying, matches)), "a=A@x/1 b=B@x"},
		{"copied without a digest of its own", manifestOf(nil, nil, sequence(
			index(suit.Index(1)), digestOf(imageB), from("x"), fetching, index(suit.Index(0)), source(1), copying)), "a=B@x b=B@x"},
		{"fetched and decrypted", manifestOf(digests, sequence(index(suit.Index(1)), from("x"), fetching), sequence(source(1), encrypted, copying, matches)), "a=A@x/1 sealed b=B@x"},
		{"written and decrypted", manifestOf(digests, nil, sequence(override(suit.Parameters{Content: []byte("secret")}), encrypted, writing, matches)), "a=A@/1(secret) sealed"},
		{"decrypted by fetch", manifestOf(digests, nil, sequence(from("x"), encrypted, fetching, matches)), "a=A@x/1 sealed"},
		{"what a copy says gives way to what was found", manifestOf(digests, sequence(index(suit.Index(1)), from("x"), fetching, matches), sequence(source(1), copying)), "a=B@x a=A@/1 b=B@x"},
		{"copy-params one after the other", manifestOf(digests, nil, sequence(from("x"), index(suit.Index(1)), from("y"), index(suit.IndexList{0, 1}),
			suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{0: {suit.ParameterURI}, 1: {suit.ParameterURI}}}, fetching)), "a=A@y/1 b=B@y"},
		{"swapped", manifestOf(digests, nil, sequence(index(suit.AllComponents{}), from("x"), fetching, matches, index(suit.Index(0)), source(1), command(suit.DirectiveSwap))), "a=B@x b=A@x/1"},
		{"swapped with what was there", manifestOf(digests, nil, sequence(from("x"), fetching, source(1), command(suit.DirectiveSwap),
			digestOf(imageC), matches)), "a=C@/1 b=A@x/1"},
		{"a custom command", manifestOf(digests, nil, sequence(from("x"), suit.Command{Code: -257, Argument: suit.Raw{0}}, fetching)), "a=A@x/1"},
		{"waited for", manifestOf(digests, nil, sequence(from("x"), command(suit.DirectiveWait), fetching)), "a=A@x/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			images, err := evaluateAlone(c.manifest)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, img := range images {
				got = append(got, show(img))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("images %q, want %q", got, c.want)
			}
		})
	}
}

func TestEvaluateRefusals(t *testing.T) {
	digest, uri := digestOf(imageA), from("x")
	install := func(commands ...suit.Command) *suit.Manifest { return manifestOf(nil, nil, sequence(commands...)) }
	with := func(change func(*suit.Manifest)) *suit.Manifest {
		m := install(digest, uri, fetching)
		change(m)
		return m
	}
	if _, err := evaluateAlone(with(func(*suit.Manifest) {})); err != nil {
		t.Fatalf("what the cases below differ from: %v", err)
	}
	deep := []suit.Command{digest, uri, fetching}
	for range suit.MaxSequenceDepth + 1 {
		deep = []suit.Command{runSequence(deep...)}
	}
	var ways []suit.Command // each doubles what can be
	for i := range 8 {
		kind := []suit.Parameters{{URI: ptr("y")}, {ImageSize: ptr(uint64(7))}, {Content: []byte("c")}, {SourceComponent: ptr(uint64(1))}}[i/2]
		ways = append(ways, index(suit.Index(uint64(i%2))), tryEach(true, sequence(slot, override(kind))))
	}
	wide := with(func(m *suit.Manifest) { // its ways differ in the last components only
		m.Common.Components = nil
		for i := range 256 {
			m.Common.Components = append(m.Common.Components, suit.ComponentID{fmt.Append(nil, i)})
		}
		var choices []suit.Command
		for i := range uint64(6) {
			choices = append(choices, index(suit.Index(249+i)), tryEach(false, sequence(slot, digest), sequence(digestOf(imageB))))
		}
		same := sequence(override(suit.Parameters{UpdatePriority: ptr(int64(1))}))
		choices = append(choices, slices.Repeat([]suit.Command{tryEach(false, same, same)}, 450)...)
		m.Sections[suit.SectionInstall] = suit.Severable{Sequence: sequence(append(choices, digest, uri, fetching)...)}
	})
	for _, c := range []struct {
		name     string
		manifest *suit.Manifest
		want     error
		words    string
	}{
		{"another version", with(func(m *suit.Manifest) { m.Version = 2 }), ErrUnsupportedManifest, ""},
		{"a dependency nobody knows", with(func(m *suit.Manifest) {
			m.Common.Dependencies = []suit.Dependency{{Index: 0}}
			m.Sections[suit.SectionInstall].Sequence.Commands = []suit.Command{digest, command(suit.DirectiveProcessDependency)}
		}), ErrDependencyMissing, "install[1].process-dependency: a"},
		{"a gap in the components", with(func(m *suit.Manifest) { m.Common.Dependencies = []suit.Dependency{{Index: 9}} }), ErrEnvelopeMalformed, ""},
		{"a dependency is fetched only", with(func(m *suit.Manifest) { m.Common.Dependencies = []suit.Dependency{{Index: 0}} }), ErrUnsupportedManifest, "never processed"},
		{"a component is processed", install(digest, command(suit.DirectiveProcessDependency)), ErrUnsupportedManifest, "no dependency"},
		{"no component", with(func(m *suit.Manifest) { m.Common.Components = nil }), ErrNoTarget, ""},
		{"install severed", with(func(m *suit.Manifest) { m.Sections[suit.SectionInstall] = suit.Severable{Digest: &imageA} }), ErrSeveredMismatch, ""},
		{"no section", manifestOf(sequence(digest, uri), nil, nil), ErrNoTarget, ""},
		{"nothing fetched", install(digest, uri), ErrNoTarget, ""},
		{"decrypted to who knows what", install(digest, override(suit.Parameters{Content: []byte("secret")}), encrypted, writing), ErrUnsupportedManifest, "install[3].write: component a is decrypted"},
		{"no digest", install(uri, fetching), ErrNoTarget, "install[1].fetch"},
		{"no URI", install(digest, fetching), ErrUnsupportedManifest, ""},
		{"no content", install(digest, writing), ErrUnsupportedManifest, ""},
		{"copy from nowhere", install(digest, copying), ErrUnsupportedManifest, "source-component"},
		{"copy from itself", install(digest, source(0), copying), ErrUnsupportedManifest, ""},
		{"copy from too high an index", install(digest, source(7), copying), ErrEnvelopeMalformed, ""},
		{"copied from what was there", install(source(1), copying), ErrNoTarget, "install[1].copy"},
		{"no alternative", install(digest, uri, fetching, tryEach(false)), ErrUnsupportedManifest, "fails on every device"},
		{"every alternative aborts", install(digest, uri, fetching, tryEach(false, sequence(aborts))), ErrUnsupportedManifest, ""},
		{"installed or not", install(digest, uri, tryEach(true, sequence(slot, fetching))), ErrUnsupportedManifest, "install[2].try-each[0][1].fetch"},
		{"installed unless it differs", install(digest, uri, tryEach(true, sequence(differs, fetching))), ErrUnsupportedManifest, "left as it was"},
		{"one or the other component", install(index(suit.AllComponents{}), digest, uri, tryEach(false,
			sequence(slot, index(suit.Index(0)), fetching), sequence(slot, index(suit.Index(1)), fetching))), ErrUnsupportedManifest, ""},
		{"a digest on one way only", install(uri, tryEach(true, sequence(slot, digest)), fetching), ErrNoTarget, "install[2].fetch"},
		{"soft-failure of one of several", install(digest, uri, runSequence(
			suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {SoftFailure: ptr(true)}}}), fetching), ErrUnsupportedManifest, "one of several"},
		{"soft-failure outside", install(soft(true), digest, uri, fetching), ErrUnsupportedManifest, "soft-failure"},
		{"invoke", install(digest, uri, fetching, command(suit.DirectiveInvoke)), ErrUnsupportedManifest, "install[3].invoke"},
		{"unlink", install(digest, uri, fetching, command(suit.DirectiveUnlink)), ErrUnsupportedManifest, ""},
		{"unknown command", install(suit.Command{Code: 99, Argument: suit.Raw{0}}), ErrUnsupportedManifest, ""},
		{"parameters that are not there to copy", install(digest, suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{1: {suit.ParameterURI}}}, fetching), ErrUnsupportedManifest, ""},
		{"index too high", install(index(suit.Index(2)), digest, uri, fetching), ErrEnvelopeMalformed, ""},
		{"huge index", install(index(suit.IndexList{1 << 63}), digest, uri, fetching), ErrEnvelopeMalformed, ""},
		{"too deep", install(deep...), ErrUnsupportedManifest, "inside sequences"},
		{"too many ways", install(append([]suit.Command{digest, uri}, append(ways, fetching)...)...), ErrUnsupportedManifest, "ways"},
		{"too much work", install(append([]suit.Command{index(make(suit.IndexList, 2000))}, slices.Repeat([]suit.Command{digest}, 1000)...)...), ErrUnsupportedManifest, "too much"},
		{"many components on many ways", wide, ErrUnsupportedManifest, "too much"},
		{"nothing inside, very often", install(append([]suit.Command{index(make(suit.IndexList, 2000))}, slices.Repeat([]suit.Command{runSequence()}, 1000)...)...), ErrUnsupportedManifest, "too much"},
	} {
		t.Run(c.name, func(t *testing.T) {
			images, err := evaluateAlone(c.manifest)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.words) {
				t.Errorf("images %v, error %v, want %v with %q", images, err, c.want, c.words)
			}
		})
	}
}
