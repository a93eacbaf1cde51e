package author

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// at returns the commands of a section, to be changed.
func at(m *suit.Manifest, s suit.Section) *[]suit.Command {
	seq, ok := m.Section(s)
	if !ok {
		panic(s)
	}
	return &seq.Commands
}

// drop removes the commands of that code.
func drop(m *suit.Manifest, s suit.Section, code suit.CommandCode) {
	list := at(m, s)
	*list = slices.DeleteFunc(*list, func(c suit.Command) bool { return c.Code == code })
}

// parameters returns the nth parameters that a section sets.
func parameters(m *suit.Manifest, s suit.Section, n int) *suit.Parameters {
	for _, c := range *at(m, s) {
		if p, ok := c.Argument.(*suit.Parameters); ok {
			if n == 0 {
				return p
			}
			n--
		}
	}
	panic(n)
}

func push(m *suit.Manifest, s suit.Section, code suit.CommandCode, argument suit.Argument) {
	list := at(m, s)
	*list = append(*list, suit.Command{Code: code, Argument: argument})
}

// Each rule, seen on a manifest that breaks it and nothing else of its severity. The
// numbers are those of the templates.
var lintTests = []struct {
	name     string
	template int
	change   func(m *suit.Manifest)
	want     string // severity rule path
}{
	{"no vendor check", 0, func(m *suit.Manifest) { drop(m, suit.SectionShared, suit.ConditionVendorIdentifier) }, "error no-vendor-check manifest.common.shared-sequence"},
	{"no class check", 0, func(m *suit.Manifest) { drop(m, suit.SectionShared, suit.ConditionClassIdentifier) }, "error no-class-check manifest.common.shared-sequence"},
	{"no class check in an alternative", 0, func(m *suit.Manifest) {
		drop(m, suit.SectionShared, suit.ConditionClassIdentifier)
		check := func(code suit.CommandCode) suit.Sequence {
			return suit.Sequence{Commands: []suit.Command{{Code: code, Argument: suit.ReportAll}}}
		}
		push(m, suit.SectionShared, suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{
			check(suit.ConditionClassIdentifier), check(suit.ConditionVendorIdentifier)}})
	}, "error no-class-check manifest.common.shared-sequence"},
	{"unlink before it is written", 7, func(m *suit.Manifest) {
		list := at(m, suit.SectionInstall)
		*list = append([]suit.Command{{Code: suit.DirectiveUnlink, Argument: suit.ReportAll}}, *list...)
	}, "error misplaced-command manifest.install[0].unlink"},
	{"prefix of a component", 5, func(m *suit.Manifest) {
		m.Common.Components = append(m.Common.Components, suit.ComponentID{[]byte("lib"), []byte("x")})
	}, "error dependency-prefix manifest.common.dependencies[1]"},
	{"no image size", 0, func(m *suit.Manifest) { parameters(m, suit.SectionShared, 1).ImageSize = nil }, "warning no-image-size manifest.install[6].fetch"},
	{"fetch without image-match", 7, func(m *suit.Manifest) {
		drop(m, suit.SectionInstall, suit.ConditionImageMatch)
		delete(m.Sections, suit.SectionValidate)
	}, "error unchecked-image manifest.install[14].fetch"},
	{"fetch without image-match in an alternative", 7, func(m *suit.Manifest) {
		delete(m.Sections, suit.SectionValidate)
		list := at(m, suit.SectionInstall)
		n := len(*list)
		checked := suit.Sequence{Commands: slices.Clone((*list)[n-2:])}
		unchecked := suit.Sequence{Commands: slices.Clone((*list)[n-2 : n-1])}
		*list = append((*list)[:n-2:n-2], suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{checked, unchecked}}})
	}, "error unchecked-image manifest.install[14].try-each[1][0].fetch"},
	{"missing uninstall", 0, func(m *suit.Manifest) { delete(m.Sections, suit.SectionUninstall) }, "warning no-uninstall manifest.uninstall"},
	{"uninstall without unlink", 0, func(m *suit.Manifest) {
		list := at(m, suit.SectionUninstall)
		*list = (*list)[:4]
	}, "warning uninstall-without-unlink manifest.uninstall"},
	{"no dependency-integrity", 5, func(m *suit.Manifest) {
		for s := range m.Sections {
			drop(m, s, suit.ConditionDependencyIntegrity)
		}
	}, "error dependency-integrity manifest.dependency-resolution[6].process-dependency"},
	{"no dependency-integrity when invoked", 5, func(m *suit.Manifest) {
		drop(m, suit.SectionValidate, suit.ConditionDependencyIntegrity)
		drop(m, suit.SectionInvoke, suit.ConditionDependencyIntegrity)
	}, "error dependency-integrity manifest.validate[1].process-dependency"},
	{"section of a dependency", 5, func(m *suit.Manifest) {
		drop(m, suit.SectionInvoke, suit.DirectiveProcessDependency)
	}, "error dependency-not-processed manifest.common.dependencies[1]"},
	{"dependency never processed", 6, func(m *suit.Manifest) {
		for s := range m.Sections {
			drop(m, s, suit.DirectiveProcessDependency)
		}
	}, "error dependency-not-processed manifest.common.dependencies[0]"},
	{"process of no dependency", 5, func(m *suit.Manifest) {
		push(m, suit.SectionInstall, suit.DirectiveProcessDependency, suit.ReportAll)
	}, "error no-dependency manifest.install[7].process-dependency"},
	{"invoke of an unchecked component", 1, func(m *suit.Manifest) {
		drop(m, suit.SectionValidate, suit.ConditionImageMatch)
		drop(m, suit.SectionLoad, suit.ConditionImageMatch)
	}, "error invoke-unchecked manifest.invoke[2].invoke"},
	{"invoke of what was checked before it was written", 1, func(m *suit.Manifest) {
		drop(m, suit.SectionValidate, suit.ConditionImageMatch)
		list := at(m, suit.SectionLoad)
		n := len(*list)
		(*list)[n-1], (*list)[n-2] = (*list)[n-2], (*list)[n-1]
	}, "error invoke-unchecked manifest.invoke[2].invoke"},
	{"invoke of what one alternative does not check", 1, func(m *suit.Manifest) {
		drop(m, suit.SectionValidate, suit.ConditionImageMatch)
		list := at(m, suit.SectionLoad)
		n := len(*list)
		checked := suit.Sequence{Commands: slices.Clone((*list)[n-1:])}
		other := suit.Sequence{Commands: []suit.Command{{Code: suit.ConditionVendorIdentifier, Argument: suit.ReportAll}}}
		*list = append((*list)[:n-1:n-1], suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{other, checked}}})
	}, "error invoke-unchecked manifest.invoke[2].invoke"},
	{"invoke of what may be skipped", 1, func(m *suit.Manifest) {
		drop(m, suit.SectionValidate, suit.ConditionImageMatch)
		list := at(m, suit.SectionLoad)
		n := len(*list)
		checked := suit.Sequence{Commands: slices.Clone((*list)[n-1:])}
		*list = append((*list)[:n-1:n-1], suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{checked, checked}, Optional: true}})
	}, "error invoke-unchecked manifest.invoke[2].invoke"},
	{"decrypted and not checked", 2, func(m *suit.Manifest) {
		drop(m, suit.SectionInstall, suit.ConditionImageMatch)
		delete(m.Sections, suit.SectionValidate)
	}, "error unchecked-image manifest.install[2].copy"},
	{"fetch that decrypts", 7, func(m *suit.Manifest) {
		parameters(m, suit.SectionInstall, 5).EncryptionInfo = []byte{0xf6}
	}, "error fetch-decrypts manifest.install[14].fetch"},
	{"payload before a dependency", 5, func(m *suit.Manifest) {
		seq := m.Sections[suit.SectionInstall]
		*at(m, suit.SectionInstall) = (*at(m, suit.SectionInstall))[3:]
		m.Sections[suit.SectionPayloadFetch], m.Sections[suit.SectionInstall] = seq, m.Sections[suit.SectionDependencyResolution]
		delete(m.Sections, suit.SectionDependencyResolution)
	}, "error payload-before-dependency manifest.payload-fetch[2].fetch"},
	{"long component id", 7, func(m *suit.Manifest) {
		m.ComponentID = append(m.ComponentID, []byte(strings.Repeat("x", 300)))
	}, "warning component-id manifest.manifest-component-id"},
	{"component id of a path", 7, func(m *suit.Manifest) { m.ComponentID[1] = []byte("..") }, "error component-id manifest.manifest-component-id"},
	{"empty component id", 7, func(m *suit.Manifest) { m.ComponentID = suit.ComponentID{} }, "error component-id manifest.manifest-component-id"},
	{"component twice", 0, func(m *suit.Manifest) { m.Common.Components[2] = m.Common.Components[1] }, "error component-twice manifest.common.components[2]"},
	{"manifest is a component", 0, func(m *suit.Manifest) { m.ComponentID = m.Common.Components[2] }, "error component-twice manifest.common.components[2]"},
	{"sequence number 0", 0, func(m *suit.Manifest) { m.SequenceNumber = 0 }, "warning sequence-number manifest.sequence-number"},
	{"unnamed", 0, func(m *suit.Manifest) { m.ComponentID = nil }, "warning unnamed-manifest manifest.manifest-component-id"},
	{"version of the format", 0, func(m *suit.Manifest) { m.Version = 2 }, "error manifest-version manifest.version"},
	{"text without version", 8, func(m *suit.Manifest) {
		m.TextDigest, m.Text["en"].Components[0].Version = nil, ""
	}, "note text-version manifest.text.en.app/hello"},
	{"http", 0, func(m *suit.Manifest) {
		uri := "http://example.com/x"
		parameters(m, suit.SectionInstall, 0).URI = &uri
	}, "warning http-uri manifest.install[1].override-parameters.uri"},
	{"integrated payload that is not there", 0, func(m *suit.Manifest) {
		uri := "#elsewhere"
		parameters(m, suit.SectionInstall, 0).URI = &uri
	}, "error integrated-missing manifest.install[1].override-parameters"},
	{"integrated payload that nobody fetches", 0, func(m *suit.Manifest) {
		uri := "https://example.com/x"
		parameters(m, suit.SectionInstall, 1).URI = &uri
	}, "warning integrated-unused envelope.#app/hello/conf"},
	{"CTR without digest", 2, func(m *suit.Manifest) {
		drop(m, suit.SectionPayloadFetch, suit.ConditionImageMatch)
		push(m, suit.SectionValidate, suit.DirectiveSetComponentIndex, suit.Index(1))
		push(m, suit.SectionValidate, suit.ConditionImageMatch, suit.ReportAll)
	}, "warning ctr-without-digest manifest.install[2].copy"},
	{"another digest", 7, func(m *suit.Manifest) {
		d := suit.Digest{Algorithm: suit.SHA512, Bytes: make([]byte, 64)}
		parameters(m, suit.SectionShared, 0).ImageDigest = &d
	}, "warning digest-algorithm manifest.shared-sequence[0].override-parameters.image-digest"},
	{"another digest of a severable element", 8, func(m *suit.Manifest) {
		m.Sections[suit.SectionInstall] = suit.Severable{Digest: &suit.Digest{Algorithm: suit.SHA512, Bytes: make([]byte, 64)}}
	}, "warning digest-algorithm manifest.install"},
	{"severed", 8, func(m *suit.Manifest) {
		m.Sections[suit.SectionInstall] = suit.Severable{Digest: m.Sections[suit.SectionInstall].Digest}
	}, "warning severed envelope.install"},
	{"no component index", 0, func(m *suit.Manifest) {
		list := at(m, suit.SectionValidate)
		*list = (*list)[1:]
	}, "error no-component-index manifest.validate"},
	{"component index", 0, func(m *suit.Manifest) {
		push(m, suit.SectionValidate, suit.DirectiveSetComponentIndex, suit.IndexList{0, 7})
	}, "error component-index manifest.validate[6].set-component-index"},
	{"directive in the shared sequence", 7, func(m *suit.Manifest) {
		push(m, suit.SectionShared, suit.DirectiveUnlink, suit.ReportAll)
	}, "error shared-side-effect manifest.shared-sequence[4].unlink"},
	{"unknown command", 7, func(m *suit.Manifest) {
		push(m, suit.SectionInstall, 99, suit.Raw{0})
	}, "error unknown-command manifest.install[16].command 99"},
	{"reserved command", 7, func(m *suit.Manifest) {
		push(m, suit.SectionInstall, -256, suit.Raw{0})
	}, "error unknown-command manifest.install[16].command -256"},
	{"invoke elsewhere", 7, func(m *suit.Manifest) {
		push(m, suit.SectionValidate, suit.DirectiveInvoke, suit.ReportAll)
	}, "error misplaced-command manifest.validate[1].invoke"},
	{"fetch when validated", 7, func(m *suit.Manifest) {
		uri := "https://example.com/x"
		list := at(m, suit.SectionValidate)
		*list = append([]suit.Command{
			{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{URI: &uri}},
			{Code: suit.DirectiveFetch, Argument: suit.ReportAll},
		}, *list...)
	}, "error misplaced-command manifest.validate[1].fetch"},
	{"condition without its parameter", 7, func(m *suit.Manifest) {
		push(m, suit.SectionValidate, suit.ConditionComponentSlot, suit.ReportAll)
	}, "error missing-parameter manifest.validate[1].component-slot"},
	{"fetch without uri", 7, func(m *suit.Manifest) {
		p := parameters(m, suit.SectionInstall, 6)
		digest := suit.SumSHA256(nil)
		p.URI, p.ImageDigest = nil, &digest
	}, "note missing-parameter manifest.install[14].fetch"},
	{"nothing to do", 7, func(m *suit.Manifest) {
		delete(m.Sections, suit.SectionInstall)
		delete(m.Sections, suit.SectionValidate)
	}, "error nothing-to-do manifest"},
	{"index of a dependency", 6, func(m *suit.Manifest) { m.Common.Dependencies[0].Index = 5 }, "error dependency-index manifest.common.dependencies"},
}

func findings(list []Finding) string {
	var lines []string
	for _, f := range list {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Rule, f.Path, f.Text))
	}
	return strings.Join(lines, "\n")
}

func TestLintRules(t *testing.T) {
	for _, test := range lintTests {
		t.Run(test.name, func(t *testing.T) {
			r := create(t, folder(t), templates[test.template].document)
			test.change(r.Manifest)
			found := Lint(encode(t, r))
			if !strings.Contains("\n"+findings(found), "\n"+test.want+":") {
				t.Errorf("%s\nwant %s", findings(found), test.want)
			}
			for _, f := range found {
				if f.Text == "" || f.Advice == "" || f.Path == "" {
					t.Errorf("it does not say what to do: %+v", f)
				}
			}
			if !slices.IsSortedFunc(found, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) }) {
				t.Errorf("not by severity:\n%s", findings(found))
			}
		})
	}
}

// What the processor takes is no error: true for all dependencies, override-multiple in the
// first place, a class in each alternative.
func TestLintAllows(t *testing.T) {
	for name, change := range map[string]func(m *suit.Manifest){
		"all dependencies": func(m *suit.Manifest) {
			for _, s := range []suit.Section{suit.SectionInstall, suit.SectionValidate} {
				list := at(m, s)
				for i, c := range *list {
					if c.Code == suit.DirectiveProcessDependency {
						*list = slices.Insert(*list, i+1, suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.Index(1)})
						*list = slices.Insert(*list, i, suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.AllComponents{}})
						break
					}
				}
			}
		},
		"override-multiple": func(m *suit.Manifest) {
			size := uint64(9)
			list := at(m, suit.SectionValidate)
			*list = append([]suit.Command{{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{1: {ComponentSlot: &size}}}}, *list...)
		},
		"classes": func(m *suit.Manifest) {
			list := at(m, suit.SectionShared)
			one := suit.Sequence{Commands: []suit.Command{{Code: suit.ConditionClassIdentifier, Argument: suit.ReportAll}}}
			for i, c := range *list {
				if c.Code == suit.ConditionClassIdentifier {
					(*list)[i] = suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{one, one}}}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			r := create(t, dir, templates[5].document)
			change(r.Manifest)
			if found := Lint(encode(t, r)); len(found) > 0 && found[0].Severity == Error {
				t.Error(findings(found))
			}
			if _, err := newDevice(t, dir, r.Files).Update(t.Context(), verified(t, r), all); err != nil {
				t.Error(err)
			}
		})
	}
}

// The copy of a checked image is checked.
func TestLintPlainCopy(t *testing.T) {
	r := create(t, folder(t), templates[1].document)
	for _, s := range []suit.Section{suit.SectionInstall, suit.SectionValidate, suit.SectionLoad} {
		n := 0
		list := at(r.Manifest, s)
		*list = slices.DeleteFunc(*list, func(c suit.Command) bool {
			if c.Code == suit.ConditionImageMatch {
				n++
			}
			return c.Code == suit.ConditionImageMatch && (n > 1 || s == suit.SectionLoad) // those of the copies
		})
	}
	if found := Lint(encode(t, r)); len(found) > 0 && found[0].Severity == Error {
		t.Error(findings(found))
	}
}

// What is wrong with the envelope, or with its bytes.
func TestLintEnvelopes(t *testing.T) {
	r := create(t, folder(t), templates[7].document)
	signed := encode(t, r)
	unsigned, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	bare, err := r.Manifest.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	untagged, err := r.Manifest.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := unsigned.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	tampered := slices.Clone(signed)
	tampered[strings.Index(string(signed), "hello\x44suit")] = 'j'
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"signed":            {signed, ""},
		"bare":              {bare, ""},
		"bare and untagged": {untagged, ""},
		"unsigned":          {raw, "warning unsigned"},
		"tampered with":     {tampered, "error digest-mismatch"},
		"unsorted envelope": {unsorted(t, signed[2:]), "error unsorted-map"},
		"unsorted manifest": {unsorted(t, untagged), "error unsorted-map"},
		"cut off":           {signed[:len(signed)-1], "error undecodable"},
		"nothing":           {nil, "error undecodable"},
		"text":              {[]byte("component: app/hello"), "error undecodable"},
	} {
		t.Run(name, func(t *testing.T) {
			got := findings(Lint(test.data))
			if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" || strings.Contains(got, "\n") {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// unsorted swaps the first two entries of a map.
func unsorted(t *testing.T, data []byte) []byte {
	t.Helper()
	pairs, err := cosekit.Pairs(data)
	if err != nil {
		t.Fatal(err)
	}
	pairs[0], pairs[1] = pairs[1], pairs[0]
	out := []byte{0xa0 | byte(len(pairs))}
	for _, p := range pairs {
		out = append(append(out, p.Key...), p.Value...)
	}
	return out
}

// The published examples: an ES256 signature, and rules that their authors did not keep.
func TestLintVectors(t *testing.T) {
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	for name, want := range map[string][]string{
		"suit-manifest/ex0-signed.cbor":                             {"legacy-algorithm", "no-uninstall"},
		"suit-trust-domains/example2_integrated.cbor":               {"dependency-integrity", "no-vendor-check"},
		"suit-firmware-encryption/manifest-aes-kw-slot.cbor":        {"unchecked-image", "no-class-check"},
		"suit-firmware-encryption/manifest-es-ecdh-dependency.cbor": {"no-vendor-check", "no-uninstall"},
	} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		got := findings(Lint(data))
		for _, rule := range want {
			if !strings.Contains(got, " "+rule+" ") {
				t.Errorf("%s: no %s in\n%s", name, rule, got)
			}
		}
	}
}

// A manifest that would take for ever to be followed is given up.
func TestLintGivesUp(t *testing.T) {
	r := create(t, t.TempDir(), head+"components: [{id: a, payload: {content: x}}, {id: b, payload: {content: x}}]\n")
	m := r.Manifest
	for i := range suit.MaxComponents - 2 {
		m.Common.Components = append(m.Common.Components, suit.ComponentID{fmt.Appendf(nil, "c%d", i)})
	}
	body := []suit.Command{{Code: suit.DirectiveSetComponentIndex, Argument: suit.AllComponents{}}, {Code: suit.ConditionImageMatch, Argument: suit.ReportAll}}
	for range suit.MaxSequenceDepth {
		body = []suit.Command{
			{Code: suit.DirectiveSetComponentIndex, Argument: suit.AllComponents{}},
			{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{{Commands: body}, {Commands: body[:1]}}}},
		}
	}
	*at(m, suit.SectionInstall) = body
	data, err := m.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	if got := findings(Lint(data)); !strings.Contains(got, "too-complex") {
		t.Errorf("%.2000s", got)
	}
}
