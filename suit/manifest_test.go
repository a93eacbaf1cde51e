package suit

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func ptr[T any](v T) *T { return &v }

var (
	vendorID = uuid.MustParse("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe")
	classID  = uuid.MustParse("1492af14-2569-5e48-bf42-9b2d51f2ab45")
	deviceID = uuid.MustParse("a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e")
)

func id(segments ...string) ComponentID {
	c := ComponentID{}
	for _, s := range segments {
		c = append(c, []byte(s))
	}
	return c
}

func seq(commands ...Command) *Sequence { return &Sequence{Commands: commands} }

// smallManifest installs one integrated payload.
func smallManifest() *Manifest {
	image := SumSHA256([]byte("payload"))
	return &Manifest{
		Version:        ManifestVersion,
		SequenceNumber: 7,
		Common: Common{
			Components: []ComponentID{id("app", "hello")},
			Shared: seq(
				Command{Code: DirectiveOverrideParameters, Argument: &Parameters{
					VendorID: &vendorID, ClassID: &classID, ImageDigest: &image, ImageSize: ptr(uint64(7)),
				}},
				Command{Code: ConditionVendorIdentifier, Argument: ReportAll},
				Command{Code: ConditionClassIdentifier, Argument: ReportAll},
			),
		},
		ComponentID: id("app", "hello", "suit"),
		Sections: map[Section]Severable{
			SectionValidate: {Sequence: seq(Command{Code: ConditionImageMatch, Argument: ReportAll})},
			SectionInstall: {Sequence: seq(
				Command{Code: DirectiveOverrideParameters, Argument: &Parameters{URI: ptr("#payload")}},
				Command{Code: DirectiveFetch, Argument: RecordOnFailure},
				Command{Code: ConditionImageMatch, Argument: ReportAll},
			)},
		},
	}
}

// fullManifest has every structure that this package knows.
func fullManifest() *Manifest {
	m := smallManifest()
	digest := SumSHA256([]byte("x"))
	m.ReferenceURI = "https://example.com/m.suit"
	m.SetVersion = []int64{1, 2, -1, 3}
	m.CoSWID = []byte("opaque")
	m.Extensions = map[int64]cosekit.RawMessage{
		99:  cosekit.MustMarshal("unknown"),
		-5:  cosekit.MustMarshal(map[string]int{"a": 1}),
		300: {0xf6},
	}
	m.Common.Components = append(m.Common.Components, ComponentID{}, ComponentID{{}, {0xff}})
	m.Common.Dependencies = []Dependency{{Index: 3, Prefix: id("dep")}}
	m.Common.Extensions = map[int64]cosekit.RawMessage{9: {0x01}}
	every := &Parameters{
		VendorPEN: []byte{1, 2}, ClassID: &classID, DeviceID: &deviceID, ImageDigest: &digest,
		ImageSize: ptr(uint64(0)), ComponentSlot: ptr(uint64(1)), StrictOrder: ptr(false), SoftFailure: ptr(true),
		Content: []byte{}, URI: ptr(""), SourceComponent: ptr(uint64(2)), InvokeArgs: []byte("args"),
		FetchArguments: []byte("fetch"), EncryptionInfo: cosekit.MustMarshal([]int{1}),
		UseBefore: ptr(uint64(1 << 40)), MinimumBattery: ptr(uint64(500)), UpdatePriority: ptr(int64(-3)),
		Version:  &VersionMatch{GreaterOrEqual, []int64{1, 2, -1, 3}},
		WaitInfo: fullWaitInfo(), Metadata: fullMetadata(),
		Other: map[ParameterCode]cosekit.RawMessage{-300: cosekit.MustMarshal("own"), 99: {0x01}},
	}
	m.Sections[SectionLoad] = Severable{Sequence: seq(
		Command{Code: DirectiveSetComponentIndex, Argument: Index(1)},
		Command{Code: DirectiveSetParameters, Argument: every},
		Command{Code: DirectiveSetComponentIndex, Argument: IndexList{0, 1}},
		Command{Code: DirectiveSetComponentIndex, Argument: AllComponents{}},
		Command{Code: DirectiveTryEach, Argument: &Alternatives{
			Sequences: []Sequence{
				*seq(Command{Code: ConditionAbort, Argument: Policy(0)}),
				*seq(Command{Code: DirectiveRunSequence, Argument: seq(Command{Code: DirectiveCopy, Argument: ReportAll})}),
			},
			Optional: true,
		}},
		Command{Code: -300, Argument: Raw{0xf6}},
		Command{Code: DirectiveOverrideMultiple, Argument: ParameterSets{0: {URI: ptr("a")}, 2: {ImageSize: ptr(uint64(9))}}},
		Command{Code: DirectiveCopyParams, Argument: ParameterCopies{0: {ParameterURI, -300}, 1: {ParameterImageDigest}}},
	)}
	m.Sections[SectionInvoke] = Severable{Sequence: seq(Command{Code: DirectiveInvoke, Argument: ReportAll})}
	m.Sections[SectionPayloadFetch] = Severable{Digest: &digest}
	m.Sections[SectionUninstall] = Severable{Sequence: seq(Command{Code: DirectiveUnlink, Argument: ReportAll})}
	m.Text = Text{
		"en": {ManifestDescription: "m", UpdateDescription: "u", JSONSource: "{}", YAMLSource: "a: b", Components: []ComponentText{
			{Component: id("app", "hello"), VendorName: "v", ModelName: "n", VendorDomain: "example.com", ModelInfo: "i",
				Description: "d", Version: "1", VersionRequired: ">1", CurrentVersion: "0",
				Other: map[int64]cosekit.RawMessage{-1: {0x01}}},
		}, Other: map[int64]cosekit.RawMessage{77: {0xf5}}},
		"de-AT": {UpdateDescription: "ü"},
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	for name, m := range map[string]*Manifest{"small": smallManifest(), "full": fullManifest()} {
		t.Run(name, func(t *testing.T) {
			for _, tagged := range []bool{false, true} {
				raw, err := m.Encode(tagged)
				if err != nil {
					t.Fatal(err)
				}
				if tagged != bytes.HasPrefix(raw, manifestTag) {
					t.Errorf("tagged %v: %x", tagged, raw[:4])
				}
				got, err := DecodeManifest(raw)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := got.Encode(tagged); err != nil || !bytes.Equal(again, raw) {
					t.Errorf("encoding is not a fixpoint (%v)", err)
				}
				clearOffsets(got)
				if !reflect.DeepEqual(got, m) {
					t.Errorf("got\n%+v, want\n%+v", got, m)
				}
			}
		})
	}
}

// clearOffsets takes out what decoding adds.
func clearOffsets(m *Manifest) {
	clearSequence(m.Common.Shared)
	for _, s := range m.Sections {
		clearSequence(s.Sequence)
	}
}

func clearSequence(s *Sequence) {
	if s == nil {
		return
	}
	for i := range s.Commands {
		c := &s.Commands[i]
		c.Offset = 0
		switch arg := c.Argument.(type) {
		case *Sequence:
			clearSequence(arg)
		case *Alternatives:
			for j := range arg.Sequences {
				clearSequence(&arg.Sequences[j])
			}
		}
	}
}

// Offsets count from the beginning of the section, also those of commands in sequences
// inside others: no two commands are at the same one.
func TestOffsetsAreThoseOfTheEncoding(t *testing.T) {
	raw, err := encodeSequence(fullManifest().Sections[SectionLoad].Sequence, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeSection(raw)
	if err != nil {
		t.Fatal(err)
	}
	nested, seen := 0, map[int]bool{}
	var check func(s *Sequence, depth int)
	check = func(s *Sequence, depth int) {
		nested = max(nested, depth)
		for i, c := range s.Commands {
			if seen[c.Offset] {
				t.Errorf("several commands at offset %d", c.Offset)
			}
			seen[c.Offset] = true
			if code := cosekit.MustMarshal(int64(c.Code)); !bytes.HasPrefix(raw[c.Offset:], code) {
				t.Errorf("depth %d, command %d: %s is not at offset %d", depth, i, c.Code, c.Offset)
			}
			switch arg := c.Argument.(type) {
			case *Sequence:
				check(arg, depth+1)
			case *Alternatives:
				for j := range arg.Sequences {
					check(&arg.Sequences[j], depth+1)
				}
			}
		}
	}
	if check(&s, 0); nested != 2 {
		t.Errorf("%d sequences inside each other", nested)
	}
	if s.Commands[0].Offset != 1 {
		t.Errorf("the first command is at %d, want 1", s.Commands[0].Offset)
	}
}

// The heads of strings and arrays may be longer than they need to be.
func TestOffsetsBehindLongHeads(t *testing.T) {
	inner := []byte{0x9a, 0, 0, 0, 2, 0x0e, 0x0f} // [abort, 15]
	item := append([]byte{0x59, 0, byte(len(inner))}, inner...)
	raw := append([]byte{0x98, 2, 0x18, 15, 0x99, 0, 2}, append(item, item...)...)
	s, err := decodeSection(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Commands[0].Offset; got != 2 {
		t.Errorf("try-each is at %d, want 2", got)
	}
	for i, alternative := range s.Commands[0].Argument.(*Alternatives).Sequences {
		if got, want := alternative.Commands[0].Offset, 7+i*len(item)+3+5; got != want || raw[got] != 0x0e {
			t.Errorf("abort in alternative %d is at %d, want %d", i, got, want)
		}
	}
}

func TestSection(t *testing.T) {
	m := fullManifest()
	for s, want := range map[Section]bool{
		SectionShared: true, SectionInstall: true, SectionValidate: true,
		SectionPayloadFetch: false, SectionDependencyResolution: false, 77: false,
	} {
		if got, ok := m.Section(s); ok != want || ok != (got != nil) {
			t.Errorf("%s: %v, %v", s, got, ok)
		}
	}
}

// raw is a manifest as a map that a test can spoil.
type rawMap = map[any]any

func wrap(v any) []byte { return cosekit.MustMarshal(v) }

// decodeSpoilt decodes a small manifest after change.
func decodeSpoilt(t *testing.T, change func(m, common rawMap)) error {
	t.Helper()
	common := rawMap{2: []any{[]any{[]byte("a")}}}
	m := rawMap{1: 1, 2: 1}
	change(m, common)
	if _, set := m[3]; !set {
		m[3] = wrap(common)
	}
	_, err := DecodeManifest(wrap(m))
	return err
}

// about encodes a text about a component of one segment.
func about(component string, text rawMap) []byte {
	return wrap(rawMap{"en": map[itemKey]any{itemKey(id(component).Key()): text}})
}

func TestManifestRefusals(t *testing.T) {
	digest := []any{-16, make([]byte, 32)}
	sequence := func(items ...any) func(m, common rawMap) {
		return func(m, _ rawMap) { m[20] = wrap(items) }
	}
	parameters := func(p rawMap) func(m, common rawMap) { return sequence(20, p) }
	nested := func(depth int) any {
		s := wrap([]any{14, 0})
		for range depth {
			s = wrap([]any{32, s})
		}
		return s
	}
	byIndex := func(n int, value any) rawMap {
		m := rawMap{}
		for i := range n {
			m[i] = value
		}
		return m
	}
	for _, test := range []struct {
		name   string
		change func(m, common rawMap)
		path   string
		want   error
	}{
		{"no version", func(m, _ rawMap) { delete(m, 1) }, "manifest.version", ErrMalformed},
		{"no sequence number", func(m, _ rawMap) { delete(m, 2) }, "manifest.sequence-number", ErrMalformed},
		{"no common", func(m, _ rawMap) { m[3] = nil }, "manifest.common", ErrMalformed},
		{"null version", func(m, _ rawMap) { m[1] = nil }, "manifest.version", ErrMalformed},
		{"negative sequence number", func(m, _ rawMap) { m[2] = -1 }, "manifest.sequence-number", ErrMalformed},
		{"text key", func(m, _ rawMap) { m["x"] = 1 }, "manifest", ErrMalformed},
		{"common as a map", func(m, c rawMap) { m[3] = c }, "manifest.common", ErrMalformed},
		{"trailing byte in common", func(m, c rawMap) { m[3] = append(wrap(c), 0) }, "manifest.common", ErrMalformed},
		{"components empty", func(_, c rawMap) { c[2] = []any{} }, "manifest.common.components", ErrMalformed},
		{"component of text", func(_, c rawMap) { c[2] = []any{[]any{"a"}} }, "manifest.common.components[0]", ErrMalformed},
		{"component null", func(_, c rawMap) { c[2] = []any{nil} }, "manifest.common.components[0]", ErrMalformed},
		{"too many components", func(_, c rawMap) {
			c[2] = make([][][]byte, MaxComponents+1)
		}, "manifest.common.components", ErrLimit},
		{"dependencies as a list", func(_, c rawMap) { c[1] = []any{} }, "manifest.common.dependencies", ErrMalformed},
		{"no dependency", func(_, c rawMap) { c[1] = rawMap{} }, "manifest.common.dependencies", ErrMalformed},
		{"dependency by name", func(_, c rawMap) { c[1] = rawMap{"x": rawMap{}} }, "manifest.common.dependencies", ErrMalformed},
		{"dependency -1", func(_, c rawMap) { c[1] = rawMap{-1: rawMap{}} }, "manifest.common.dependencies[-1]", ErrMalformed},
		{"dependency as a list", func(_, c rawMap) { c[1] = rawMap{0: []any{}} }, "manifest.common.dependencies[0]", ErrMalformed},
		{"prefix of text", func(_, c rawMap) { c[1] = rawMap{1: rawMap{1: "x"}} }, "manifest.common.dependencies[1].prefix", ErrMalformed},
		{"too many dependencies", func(_, c rawMap) {
			many := rawMap{}
			for i := range MaxDependencies + 1 {
				many[i] = rawMap{}
			}
			c[1] = many
		}, "manifest.common.dependencies[64]", ErrLimit},
		{"CoSWID of text", func(m, _ rawMap) { m[14] = "x" }, "manifest.coswid", ErrMalformed},
		{"CoSWID of a short digest", func(m, _ rawMap) { m[14] = []any{-16, []byte{1}} }, "manifest.coswid", ErrMalformed},
		{"text of a short digest", func(m, _ rawMap) { m[23] = []any{-16, []byte{1}} }, "manifest.text", ErrMalformed},
		{"override-multiple of nothing", sequence(34, rawMap{}), "manifest.install[0].override-multiple", ErrMalformed},
		{"override-multiple as a list", sequence(34, []any{1}), "manifest.install[0].override-multiple", ErrMalformed},
		{"override-multiple without parameters", sequence(34, rawMap{0: rawMap{}}), "manifest.install[0].override-multiple[0]", ErrMalformed},
		{"override-multiple of text", sequence(3, 0, 34, rawMap{7: rawMap{21: 1}}), "manifest.install[1].override-multiple[7].uri", ErrMalformed},
		{"override-multiple of -1", sequence(34, rawMap{-1: rawMap{21: "x"}}), "manifest.install[0].override-multiple[-1]", ErrMalformed},
		{"override-multiple of too many", sequence(34, byIndex(MaxComponents+1, rawMap{21: "x"})), "manifest.install[0].override-multiple[256]", ErrLimit},
		{"copy-params of nothing", sequence(35, rawMap{}), "manifest.install[0].copy-params", ErrMalformed},
		{"copy-params without parameters", sequence(35, rawMap{0: []any{}}), "manifest.install[0].copy-params[0]", ErrMalformed},
		{"copy-params of text", sequence(35, rawMap{3: []any{1, "x"}}), "manifest.install[0].copy-params[3][1]", ErrMalformed},
		{"copy-params of too many", sequence(35, rawMap{0: make([]int, MaxCodes+1)}), "manifest.install[0].copy-params[0]", ErrLimit},
		{"nested metadata", sequence(32, wrap([]any{20, rawMap{30: wrap(rawMap{5: 9})}})),
			"manifest.install[0].run-sequence[0].override-parameters.component-metadata.file-type", ErrMalformed},
		{"component text of bytes", func(m, _ rawMap) { m[23] = wrap(rawMap{"en": rawMap{[1]string{"x"}: rawMap{}}}) }, "manifest.text.en", ErrMalformed},
		{"text of a component without a name", func(m, _ rawMap) { m[23] = wrap(rawMap{"en": rawMap{[0]int{}: rawMap{1: 5}}}) }, "manifest.text.en", ErrMalformed},
		{"shared sequence bare", func(_, c rawMap) { c[4] = []any{14, 0} }, "manifest.common.shared-sequence", ErrMalformed},
		{"reference URI of bytes", func(m, _ rawMap) { m[4] = []byte("x") }, "manifest.reference-uri", ErrMalformed},
		{"reference URI too long", func(m, _ rawMap) { m[4] = strings.Repeat("x", MaxURILength+1) }, "manifest.reference-uri", ErrLimit},
		{"manifest component id of bytes", func(m, _ rawMap) { m[5] = []byte("x") }, "manifest.manifest-component-id", ErrMalformed},
		{"set-version bare", func(m, _ rawMap) { m[6] = []any{1} }, "manifest.set-version", ErrMalformed},
		{"set-version empty", func(m, _ rawMap) { m[6] = wrap([]any{}) }, "manifest.set-version", ErrMalformed},
		{"digest for validate", func(m, _ rawMap) { m[7] = digest }, "manifest.validate", ErrMalformed},
		{"digest for uninstall", func(m, _ rawMap) { m[24] = digest }, "manifest.uninstall", ErrMalformed},
		{"short digest", func(m, _ rawMap) { m[20] = []any{-16, make([]byte, 31)} }, "manifest.install", ErrMalformed},
		{"empty sequence", sequence(), "manifest.install", ErrMalformed},
		{"odd sequence", sequence(3), "manifest.install", ErrMalformed},
		{"command of text", sequence("x", 1), "manifest.install[0]", ErrMalformed},
		{"command 0", sequence(3, 0, 0, 0), "manifest.install[1]", ErrMalformed},
		{"policy of text", sequence(3, "x"), "manifest.install[0].image-match", ErrMalformed},
		{"policy negative", sequence(3, -1), "manifest.install[0].image-match", ErrMalformed},
		{"too many commands", func(m, _ rawMap) {
			list := make([]any, 2*MaxCommands+2)
			for i := range list {
				list[i] = 3
			}
			m[20] = wrap(list)
		}, "manifest.install", ErrLimit},
		{"index false", sequence(12, false), "manifest.install[0].set-component-index", ErrMalformed},
		{"index empty list", sequence(12, []any{}), "manifest.install[0].set-component-index", ErrMalformed},
		{"index list of text", sequence(12, []any{"a"}), "manifest.install[0].set-component-index", ErrMalformed},
		{"index null", sequence(12, nil), "manifest.install[0].set-component-index", ErrMalformed},
		{"index list too long", sequence(12, make([]uint, MaxComponents+1)), "manifest.install[0].set-component-index", ErrLimit},
		{"one alternative", sequence(15, []any{nested(0), nil}), "manifest.install[0].try-each", ErrMalformed},
		{"null between alternatives", sequence(15, []any{nested(0), nil, nested(0)}), "manifest.install[0].try-each[1]", ErrMalformed},
		{"bad alternative", sequence(15, []any{nested(0), wrap([]any{20, rawMap{21: 1}})}),
			"manifest.install[0].try-each[1][0].override-parameters.uri", ErrMalformed},
		{"bare nested sequence", sequence(32, []any{14, 0}), "manifest.install[0].run-sequence", ErrMalformed},
		{"nested too deep", sequence(32, nested(MaxSequenceDepth)), "", ErrLimit},
		{"no parameters", parameters(rawMap{}), "manifest.install[0].override-parameters", ErrMalformed},
		{"parameters as a list", sequence(20, []any{1}), "manifest.install[0].override-parameters", ErrMalformed},
		{"parameter 0", parameters(rawMap{0: 1}), "manifest.install[0].override-parameters.parameter 0", ErrMalformed},
		{"parameter by name", parameters(rawMap{"uri": "x"}), "manifest.install[0].override-parameters", ErrMalformed},
		{"short vendor", parameters(rawMap{1: make([]byte, 15)}), "manifest.install[0].override-parameters.vendor-id", ErrMalformed},
		{"vendor of another tag", parameters(rawMap{1: cosekit.Tag{Number: 37, Content: wrap([]byte{1})}}),
			"manifest.install[0].override-parameters.vendor-id", ErrMalformed},
		{"PEN of text", parameters(rawMap{1: cosekit.Tag{Number: 112, Content: wrap("1")}}),
			"manifest.install[0].override-parameters.vendor-id", ErrMalformed},
		{"class of text", parameters(rawMap{2: "0123456789abcdef"}), "manifest.install[0].override-parameters.class-id", ErrMalformed},
		{"bare image digest", parameters(rawMap{3: digest}), "manifest.install[0].override-parameters.image-digest", ErrMalformed},
		{"image size negative", parameters(rawMap{14: -1}), "manifest.install[0].override-parameters.image-size", ErrMalformed},
		{"soft failure 1", parameters(rawMap{13: 1}), "manifest.install[0].override-parameters.soft-failure", ErrMalformed},
		{"content of text", parameters(rawMap{18: "x"}), "manifest.install[0].override-parameters.content", ErrMalformed},
		{"URI null", parameters(rawMap{21: nil}), "manifest.install[0].override-parameters.uri", ErrMalformed},
		{"URI too long", parameters(rawMap{21: strings.Repeat("x", MaxURILength+1)}), "manifest.install[0].override-parameters.uri", ErrLimit},
		{"content too large", parameters(rawMap{18: make([]byte, MaxParameterSize)}), "manifest.install[0].override-parameters.content", ErrLimit},
		{"text bare", func(m, _ rawMap) { m[23] = rawMap{"en": rawMap{}} }, "manifest.text", ErrMalformed},
		{"text empty", func(m, _ rawMap) { m[23] = wrap(rawMap{}) }, "manifest.text", ErrMalformed},
		{"text without language", func(m, _ rawMap) { m[23] = wrap(rawMap{1: "x"}) }, "manifest.text", ErrMalformed},
		{"language tag", func(m, _ rawMap) { m[23] = wrap(rawMap{"e n": rawMap{}}) }, "manifest.text", ErrMalformed},
		{"text about another component", func(m, _ rawMap) { m[23] = about("b", rawMap{1: "x"}) }, "manifest.text.en", ErrMalformed},
		{"version-required with an escape", func(m, _ rawMap) { m[23] = about("a", rawMap{7: "\x1b[31m>=1"}) }, "manifest.text.en.a.version-required", ErrMalformed},
		{"current-version of two lines", func(m, _ rawMap) { m[23] = about("a", rawMap{8: "1\n2"}) }, "manifest.text.en.a.current-version", ErrMalformed},
		{"current-version that turns", func(m, _ rawMap) { m[23] = about("a", rawMap{8: "1\u202e2"}) }, "manifest.text.en.a.current-version", ErrMalformed},
		{"text of bytes", func(m, _ rawMap) { m[23] = wrap(rawMap{"en": rawMap{1: []byte("x")}}) }, "manifest.text.en", ErrMalformed},
		{"text by name", func(m, _ rawMap) { m[23] = wrap(rawMap{"en": rawMap{"x": "y"}}) }, "manifest.text.en", ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := decodeSpoilt(t, test.change)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			var at *PathError
			if !errors.As(err, &at) || test.path != "" && at.Path != test.path {
				t.Errorf("path of %v, want %s", err, test.path)
			}
		})
	}
	if err := decodeSpoilt(t, func(m, _ rawMap) { m[20] = wrap([]any{32, nested(MaxSequenceDepth - 1)}) }); err != nil {
		t.Errorf("the deepest nesting that is allowed: %v", err)
	}
	if _, err := DecodeManifest(wrap(make([]byte, MaxManifestSize))); !errors.Is(err, ErrLimit) {
		t.Errorf("large manifest: %v", err)
	}
}

// inOrder encodes a map whose pairs stay in the order given.
func inOrder(keysAndValues ...any) []byte {
	out := []byte{0xa0 | byte(len(keysAndValues)/2)}
	for _, v := range keysAndValues {
		out = append(out, wrap(v)...)
	}
	return out
}

func TestMapOrder(t *testing.T) {
	components := []any{[]any{[]byte("a")}}
	common := inOrder(2, components)
	parameters := inOrder(21, "x", 14, 1)
	for name, data := range map[string][]byte{
		"manifest":   inOrder(2, 1, 1, 1, 3, common),
		"common":     inOrder(1, 1, 2, 1, 3, inOrder(4, wrap([]any{14, 0}), 2, components)),
		"parameters": inOrder(1, 1, 2, 1, 3, common, 20, wrap([]any{20, cosekit.RawMessage(parameters)})),
		"text":       inOrder(1, 1, 2, 1, 3, common, 23, inOrder("en", rawMap{}, "de", rawMap{})),
		"language":   inOrder(1, 1, 2, 1, 3, common, 23, inOrder("en", cosekit.RawMessage(inOrder(2, "b", 1, "a")))),
	} {
		if _, err := DecodeManifest(data); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "order") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeManifest(inOrder(1, 1, 2, 1, 3, common)); err != nil {
		t.Errorf("in order: %v", err)
	}
	if p, err := decodeParameters(parameters, false); err != nil || *p.ImageSize != 1 {
		t.Errorf("parameters of a report: %v", err)
	}
}

func TestEncodeRefusals(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"section without content": func(m *Manifest) { m.Sections[SectionLoad] = Severable{} },
		"unknown section":         func(m *Manifest) { m.Sections[77] = m.Sections[SectionInstall] },
		"digest of validate":      func(m *Manifest) { m.Sections[SectionValidate] = Severable{Digest: ptr(SumSHA256(nil))} },
		"no argument":             func(m *Manifest) { m.Common.Shared.Commands[0].Argument = nil },
		"wrong argument":          func(m *Manifest) { m.Common.Shared.Commands[0].Argument = ReportAll },
		"empty parameters":        func(m *Manifest) { m.Common.Shared.Commands[0].Argument = &Parameters{} },
		"nil parameters":          func(m *Manifest) { m.Common.Shared.Commands[0].Argument = (*Parameters)(nil) },
		"nil sequence":            func(m *Manifest) { m.Common.Shared.Commands[0].Argument = (*Sequence)(nil) },
		"nil alternatives":        func(m *Manifest) { m.Common.Shared.Commands[0].Argument = (*Alternatives)(nil) },
		"two vendors":             func(m *Manifest) { m.Common.Shared.Commands[0].Argument.(*Parameters).VendorPEN = []byte{1} },
		"known among the others":  func(m *Manifest) { other(m, ParameterURI, 0x60) },
		"broken among the others": func(m *Manifest) { other(m, -300, 0x61) },
		"empty among the others":  func(m *Manifest) { other(m, -300) },
		"known extension":         func(m *Manifest) { m.Extensions = map[int64]cosekit.RawMessage{1: {1}} },
		"section as extension":    func(m *Manifest) { m.Extensions = map[int64]cosekit.RawMessage{20: {1}} },
		"empty components":        func(m *Manifest) { m.Common.Components = []ComponentID{} },
		"empty version":           func(m *Manifest) { m.SetVersion = []int64{} },
		"zero digest":             func(m *Manifest) { m.Common.Shared.Commands[0].Argument.(*Parameters).ImageDigest = &Digest{} },
		"empty text":              func(m *Manifest) { m.Text = Text{} },
		"text about no component": func(m *Manifest) { m.Text = Text{"en": {Components: []ComponentText{{Component: id("x")}}}} },
		"component described twice": func(m *Manifest) {
			m.Text = Text{"en": {Components: []ComponentText{{Component: id("app", "hello")}, {Component: id("app", "hello")}}}}
		},
		"empty sequence": func(m *Manifest) { m.Sections[SectionLoad] = Severable{Sequence: &Sequence{}} },
		"nested too deep": func(m *Manifest) {
			s := seq(Command{Code: ConditionAbort, Argument: Policy(0)})
			for range MaxSequenceDepth + 1 {
				s = seq(Command{Code: DirectiveRunSequence, Argument: s})
			}
			m.Sections[SectionLoad] = Severable{Sequence: s}
		},
		"too many commands": func(m *Manifest) { m.Common.Shared.Commands = make([]Command, MaxCommands+1) },
	} {
		t.Run(name, func(t *testing.T) {
			m := smallManifest()
			change(m)
			if raw, err := m.Encode(false); err == nil {
				t.Errorf("encoded as %x", raw)
			}
		})
	}
}

func other(m *Manifest, code ParameterCode, raw ...byte) {
	p := m.Common.Shared.Commands[0].Argument.(*Parameters)
	p.Other = map[ParameterCode]cosekit.RawMessage{code: raw}
}

func TestParametersMerge(t *testing.T) {
	before := func() *Parameters {
		return &Parameters{
			VendorID: &vendorID, URI: ptr("old"), ImageSize: ptr(uint64(1)),
			Other: map[ParameterCode]cosekit.RawMessage{99: {1}},
		}
	}
	from := &Parameters{
		VendorPEN: []byte{9}, URI: ptr("new"), Content: []byte("c"),
		Other: map[ParameterCode]cosekit.RawMessage{99: {2}, 100: {3}},
	}
	over := before()
	over.Override(from)
	want := &Parameters{
		VendorPEN: []byte{9}, URI: ptr("new"), ImageSize: ptr(uint64(1)), Content: []byte("c"),
		Other: map[ParameterCode]cosekit.RawMessage{99: {2}, 100: {3}},
	}
	if !reflect.DeepEqual(over, want) {
		t.Errorf("override: %+v, want %+v", over, want)
	}
	set := before()
	set.SetUnset(from)
	want = before()
	want.Content = []byte("c")
	want.Other[100] = cosekit.RawMessage{3}
	if !reflect.DeepEqual(set, want) {
		t.Errorf("set: %+v, want %+v", set, want)
	}
	if !reflect.DeepEqual(from.Other, map[ParameterCode]cosekit.RawMessage{99: {2}, 100: {3}}) {
		t.Errorf("the source has changed: %+v", from)
	}
	if got := set.Codes(); !reflect.DeepEqual(got, []ParameterCode{1, 14, 18, 21, 99, 100}) {
		t.Errorf("codes %v", got)
	}
	if set.Has(ParameterClassID) || !set.Has(100) || set.Has(28) {
		t.Errorf("Has is wrong about %+v", set)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string][]int64{
		"1": {1}, "1.2.3": {1, 2, 3}, "1.2-rc.3": {1, 2, -1, 3}, "1.2-beta": {1, 2, -2}, "1.2.3-alpha.4": {1, 2, 3, -3, 4},
	} {
		got, err := ParseVersion(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again := FormatVersion(got); again != text {
			t.Errorf("%s is written %s", text, again)
		}
	}
	for _, text := range []string{"", ".", "1.", "v1", "1.-2", "+1", "1-", "1-dev", "1-rc.", "1-rc.x", "-rc", "1+build", "1.99999999999999999999"} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// More than three numbers are of another scheme than semantic versioning.
func TestCheckVersion(t *testing.T) {
	for _, v := range [][]int64{{0}, {1, 2, 3}, {2025, 12, 6}, {1, 2, 3, 4}, {1, -3}, {1, 2, 3, -1, 0, 7}} {
		if err := CheckVersion(v); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	for _, v := range [][]int64{nil, {-1}, {-1, 1}, {1, -4}, {1, -5, -1, -1}, {1, -1, -1}, {1, -1, 2, -3}, {1, 2, 3, 4, -1}, {1, -1 << 63}} {
		if err := CheckVersion(v); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v: %v", v, err)
		}
		m := smallManifest()
		if m.SetVersion = v; v == nil {
			continue
		}
		if _, err := m.Encode(false); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is encoded: %v", v, err)
		}
	}
	if got, err := ParseVersion("1.2.3.4-rc"); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v, %v", got, err)
	}
}

// Text may be about the components of common, and about dependencies that are beyond them.
func TestTextAboutDependency(t *testing.T) {
	for prefix, want := range map[string]error{"lib": nil, "other": ErrMalformed} {
		m := smallManifest()
		m.Common.Dependencies = []Dependency{{Index: 1, Prefix: id(prefix)}}
		m.Text = Text{"en": {Components: []ComponentText{{Component: id("lib"), VersionRequired: ">=1.2.5,<2"}}}}
		if _, err := m.Encode(false); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", prefix, err, want)
		}
		content := must[[]byte](t)(encodeText(m.Text))
		m.Text, m.TextDigest = nil, ptr(must[Digest](t)(sumWrapped(SHA256, content)))
		e := must[*Envelope](t)(NewEnvelope(m, nil))
		if _, err := e.Restore(SectionText, content); !errors.Is(err, want) {
			t.Errorf("%s, restored: %v, want %v", prefix, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		ConditionImageMatch.String():   "image-match",
		CommandCode(99).String():       "command 99",
		ParameterVendorID.String():     "vendor-id",
		ParameterCode(-300).String():   "parameter -300",
		SectionShared.String():         "shared-sequence",
		SectionAuthentication.String(): "authentication-wrapper",
		SectionInstall.String():        "install",
		Section(99).String():           "section 99",
		ReasonConditionFailed.String(): "condition-failed",
		ReportReason(99).String():      "reason 99",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !ConditionAbort.IsCondition() || DirectiveFetch.IsCondition() || CommandCode(-300).IsCondition() {
		t.Error("IsCondition is wrong")
	}
	if !CommandCode(-257).IsCustom() || CommandCode(-256).IsCustom() || DirectiveFetch.IsCustom() {
		t.Error("IsCustom is wrong")
	}
	if !ParameterCode(-257).IsCustom() || ParameterCode(-256).IsCustom() || ParameterURI.IsCustom() {
		t.Error("IsCustom of a parameter is wrong")
	}
	if !SectionInstall.IsSeverable() || SectionUninstall.IsSeverable() || SectionShared.IsSeverable() {
		t.Error("IsSeverable is wrong")
	}
}
