package suit

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// offsetOf returns where the command at a path of positions begins in its section:
// positions of commands, with those of alternatives between them.
func offsetOf(t testing.TB, seq *Sequence, path ...int) uint64 {
	t.Helper()
	for {
		c := seq.Commands[path[0]]
		if path = path[1:]; len(path) == 0 {
			if c.Offset == 0 {
				t.Fatal("offsets are those of a decoded manifest")
			}
			return uint64(c.Offset)
		}
		switch arg := c.Argument.(type) {
		case *Sequence:
			seq = arg
		case *Alternatives:
			seq, path = &arg.Sequences[path[0]], path[1:]
		}
	}
}

// explained is an envelope with its manifest decoded, and a report that is about it.
type explainedManifest struct {
	*testing.T
	envelope *Envelope
	manifest *Manifest
}

func explainedBy(t *testing.T, m *Manifest) explainedManifest {
	t.Helper()
	e := must[*Envelope](t)(NewEnvelope(m, nil))
	return explainedManifest{t, e, must[*Manifest](t)(e.UnverifiedManifest())}
}

// at returns the record of a command on a component.
func (x explainedManifest) at(s Section, index uint64, path ...int) Record {
	seq, ok := x.manifest.Section(s)
	if !ok {
		x.Fatalf("no %s", s)
	}
	return Record{Section: s, Offset: offsetOf(x, seq, path...), ComponentIndex: index}
}

func (x explainedManifest) report(entries ...ReportEntry) *Report {
	return &Report{Reference: Reference{Digest: x.envelope.Digest()}, Entries: entries}
}

func (x explainedManifest) failed(reason ReportReason, code CommandCode, rec Record, measured Parameters) *Report {
	rec.Measured = measured
	r := x.report(rec)
	r.Failure = &ReportFailure{Code: int64(code), Record: rec, Reason: reason}
	return r
}

// explain returns the last line, which tells how the procedure ended.
func (x explainedManifest) explain(r *Report) Statement {
	x.Helper()
	all := must[[]Statement](x)(Explain(r, x.envelope, nil, nil))
	return all[len(all)-1]
}

func TestExplain(t *testing.T) {
	x := explainedBy(t, smallManifest())
	wanted, other := SumSHA256([]byte("payload")).String(), SumSHA256([]byte("other"))
	failed := x.failed(ReasonConditionFailed, ConditionImageMatch, x.at(SectionInstall, 0, 2), Parameters{ImageDigest: &other})
	failed.Entries = append([]ReportEntry{
		x.at(SectionShared, 0, 1),
		PropertyClaims{Component: id("app", "hello"), ImageSize: ptr(uint64(5))},
	}, failed.Entries...)
	all := must[[]Statement](t)(Explain(failed, x.envelope, nil, nil))
	var lines []string
	for _, s := range all {
		lines = append(lines, s.Text)
	}
	want := []string{
		"shared-sequence[1].vendor-identifier on app/hello ran: asked for vendor-id " + vendorID.String(),
		"app/hello has image-size 5",
		"install[2].image-match on app/hello failed, the condition does not hold: asked for image-digest " + wanted +
			", image-size 7; measured image-digest " + other.String(),
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	last := all[2]
	if !last.Failed || last.Misfit || !last.Component.Equal(id("app", "hello")) || last.Site == nil ||
		last.Site.Command != ConditionImageMatch || last.Site.Asked.ImageDigest.String() != wanted {
		t.Errorf("%+v", last)
	}
	if s := x.explain(x.report()); s.Text != "the procedure has completed" || s.Failed {
		t.Errorf("%+v", s)
	}
}

// A private command has the name that the caller knows.
func TestExplainNames(t *testing.T) {
	x := explainedBy(t, &Manifest{
		Version: 1, Common: Common{Components: []ComponentID{id("one")}, Shared: seq(Command{Code: ConditionVendorIdentifier, Argument: ReportAll})},
		Sections: map[Section]Severable{SectionValidate: {Sequence: seq(Command{Code: -300, Argument: Raw{0}})}},
	})
	failed := x.failed(ReasonConditionFailed, -300, x.at(SectionValidate, 0, 0), Parameters{})
	for want, names := range map[string]CommandNames{
		"validate[0].self-test on one failed":    {-300: "self-test"},
		"validate[0].command -300 on one failed": {-301: "self-test"},
	} {
		all := must[[]Statement](t)(Explain(failed, x.envelope, nil, names))
		if got := all[len(all)-1].Text; !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// two has two components, sequences inside sequences, and parameters that depend on
// how these went.
func two() *Manifest {
	a, b, c := SumSHA256([]byte("a")), SumSHA256([]byte("b")), SumSHA256([]byte("c"))
	override := func(p Parameters) Command { return Command{Code: DirectiveOverrideParameters, Argument: &p} }
	check := Command{Code: ConditionImageMatch, Argument: ReportAll}
	index := func(a Argument) Command { return Command{Code: DirectiveSetComponentIndex, Argument: a} }
	return &Manifest{
		Version: 1, Common: Common{
			Components: []ComponentID{id("one"), id("two")},
			Shared: seq(index(Index(0)), override(Parameters{ImageDigest: &a}),
				index(Index(1)), override(Parameters{ImageDigest: &b, Content: []byte{1}})),
		},
		Sections: map[Section]Severable{
			SectionInstall: {Sequence: seq( // on component 0
				Command{Code: DirectiveTryEach, Argument: &Alternatives{Sequences: []Sequence{ // 0
					*seq(check, override(Parameters{ComponentSlot: ptr(uint64(1))}), override(Parameters{ImageDigest: &b})),
					*seq(check, override(Parameters{ComponentSlot: ptr(uint64(1))}), Command{Code: ConditionCheckContent, Argument: ReportAll}),
				}}},
				check, // 1: a or b
				Command{Code: ConditionComponentSlot, Argument: ReportAll}, // 2: 1 in either case
				index(IndexList{0, 1}), // 3
				Command{Code: DirectiveOverrideMultiple, Argument: ParameterSets{0: {ImageDigest: &c}}}, // 4, on 0 afterwards
				check,                  // 5
				index(AllComponents{}), // 6
				check,                  // 7
				Command{Code: DirectiveRunSequence, Argument: seq(index(Index(1)), check)}, // 8
				index(Index(1)), // 9
				Command{Code: DirectiveCopyParams, Argument: ParameterCopies{0: {ParameterImageDigest}}}, // 10
				check, // 11
				Command{Code: DirectiveSetParameters, Argument: &Parameters{ImageDigest: &b, URI: ptr("u")}}, // 12
				check, // 13
				Command{Code: DirectiveFetch, Argument: ReportAll}, // 14
			)},
			SectionValidate: {Sequence: seq(check)}, // on component 0
		},
	}
}

func TestExplainParameters(t *testing.T) {
	x := explainedBy(t, two())
	a, b, c := SumSHA256([]byte("a")), SumSHA256([]byte("b")), SumSHA256([]byte("c"))
	for _, test := range []struct {
		name  string
		index uint64
		path  []int
		asked *Digest
	}{
		{"before the alternatives", 0, []int{0, 0, 0}, &a},
		{"after either alternative", 0, []int{1}, nil},
		{"override-multiple", 0, []int{5}, &c},
		{"all, 0", 0, []int{7}, &c},
		{"all, 1", 1, []int{7}, &b},
		{"in a sequence with its own index", 1, []int{8, 1}, &b},
		{"copied", 1, []int{11}, &c},
		{"set where it is set", 1, []int{13}, &c},
	} {
		rec := x.at(SectionInstall, test.index, test.path...)
		s := x.explain(x.failed(ReasonConditionFailed, ConditionImageMatch, rec, Parameters{}))
		if s.Misfit || s.Site == nil {
			t.Errorf("%s: %+v", test.name, s)
			continue
		}
		got := s.Site.Asked.ImageDigest
		if (got == nil) != (test.asked == nil) || got != nil && !got.Equal(*test.asked) {
			t.Errorf("%s: %s, want %v", test.name, s.Text, test.asked)
		}
		if len(s.Site.Missing) > 0 {
			t.Errorf("%s: missing %v", test.name, s.Site.Missing)
		}
	}
	slot := x.explain(x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, 2), Parameters{ComponentSlot: ptr(uint64(0))}))
	if !strings.HasSuffix(slot.Text, "install[2].component-slot on one failed, the condition does not hold: asked for component-slot 1; measured component-slot 0") {
		t.Errorf("the same in each alternative: %s", slot.Text)
	}
	content := x.explain(x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, 0, 1, 2), Parameters{}))
	if !strings.HasSuffix(content.Text, "check-content on one failed, the condition does not hold: lacks content") {
		t.Errorf("a parameter that nobody sets: %s", content.Text)
	}
	fetch := x.explain(x.failed(ReasonOperationFailed, 0, x.at(SectionInstall, 1, 14), Parameters{}))
	if fetch.Text != `install[14].fetch on two failed, the operation failed: asked for uri "u"` {
		t.Errorf("set where it is not set: %s", fetch.Text)
	}
}

// What depends on how something went is neither told as asked for nor as missing.
func TestExplainUnknown(t *testing.T) {
	override := func(p Parameters) Command { return Command{Code: DirectiveOverrideParameters, Argument: &p} }
	slot := func(n uint64) Command { return override(Parameters{ComponentSlot: &n}) }
	check := Command{Code: ConditionComponentSlot, Argument: ReportAll}
	index := Command{Code: DirectiveSetComponentIndex, Argument: Index(1)}
	try := func(optional bool, list ...*Sequence) Command {
		a := &Alternatives{Optional: optional}
		for _, s := range list {
			a.Sequences = append(a.Sequences, *s)
		}
		return Command{Code: DirectiveTryEach, Argument: a}
	}
	run := func(list ...Command) Command { return Command{Code: DirectiveRunSequence, Argument: seq(list...)} }
	for name, test := range map[string]struct {
		install []Command
		path    []int
		known   bool
	}{
		"set":                                     {[]Command{slot(1), check}, []int{1}, true},
		"set in a sequence":                       {[]Command{run(slot(1)), check}, []int{1}, true},
		"set in a sequence that may stop":         {[]Command{run(override(Parameters{SoftFailure: ptr(true)}), check, slot(1)), check}, []int{1}, false},
		"set in each alternative":                 {[]Command{try(false, seq(slot(1)), seq(slot(1))), check}, []int{1}, true},
		"set in each alternative or none":         {[]Command{try(true, seq(slot(1)), seq(slot(1))), check}, []int{1}, false},
		"set to something else in one":            {[]Command{try(false, seq(slot(1)), seq(slot(2))), check}, []int{1}, false},
		"set anew in the alternative before":      {[]Command{slot(1), try(false, seq(slot(2), check), seq(check, check))}, []int{1, 1, 1}, false},
		"set on another before":                   {[]Command{try(false, seq(index, slot(2)), seq(index, slot(2))), slot(1), check}, []int{2}, true},
		"set-parameters where it may be set":      {[]Command{try(false, seq(slot(1)), seq(check)), Command{Code: DirectiveSetParameters, Argument: &Parameters{ComponentSlot: ptr(uint64(3))}}, check}, []int{2}, false},
		"override-parameters where it may be set": {[]Command{try(false, seq(slot(1)), seq(check)), slot(3), check}, []int{2}, true},
	} {
		m := smallManifest()
		m.Common.Components = append(m.Common.Components, id("two"))
		m.Sections[SectionInstall] = Severable{Sequence: seq(test.install...)}
		x := explainedBy(t, m)
		s := x.explain(x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, test.path...), Parameters{}))
		if s.Site == nil || !strings.HasPrefix(s.Site.Path, sitePath(test.path)+".") {
			t.Errorf("%s: %+v", name, s)
			continue
		}
		if (s.Site.Asked.ComponentSlot != nil) != test.known || len(s.Site.Missing) > 0 {
			t.Errorf("%s: asked for %s, missing %v", name, s.Site.Asked.list(), s.Site.Missing)
		}
	}
}

// Validate is part of two procedures, and a severed section may set anything.
func TestExplainAcrossSections(t *testing.T) {
	slot := func(n uint64) Command {
		return Command{Code: DirectiveOverrideParameters, Argument: &Parameters{ComponentSlot: &n}}
	}
	check := Command{Code: ConditionComponentSlot, Argument: ReportAll}
	for name, test := range map[string]struct {
		fetch   *Sequence
		sever   bool
		section Section
		want    string
	}{
		"set here":       {nil, false, SectionInstall, "asked for component-slot 1"},
		"set in one":     {seq(slot(2)), false, SectionValidate, ""},
		"set before":     {seq(slot(2)), false, SectionInstall, "asked for component-slot 2"},
		"severed before": {seq(slices.Repeat([]Command{slot(2)}, 20)...), true, SectionInstall, ""},
	} {
		m := smallManifest()
		m.Sections[SectionValidate] = Severable{Sequence: seq(check)}
		m.Sections[SectionInstall] = Severable{Sequence: seq(check)}
		if test.fetch == nil {
			m.Sections[SectionInstall] = Severable{Sequence: seq(slot(1), check)}
		} else {
			m.Sections[SectionPayloadFetch] = Severable{Sequence: test.fetch}
		}
		if test.sever {
			if err := m.MakeSeverable(SectionPayloadFetch); err != nil {
				t.Fatal(err)
			}
		}
		x := explainedBy(t, m)
		if test.sever {
			x.envelope = must[*Envelope](t)(x.envelope.Sever())
		}
		install, _ := x.manifest.Section(test.section)
		s := x.explain(x.failed(ReasonConditionFailed, 0, x.at(test.section, 0, len(install.Commands)-1), Parameters{}))
		got := strings.TrimPrefix(s.Text[strings.Index(s.Text, " does not hold")+len(" does not hold"):], ": ")
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// sitePath writes a path of positions as a Site does.
func sitePath(path []int) string {
	s := fmt.Sprintf("install[%d]", path[0])
	if len(path) > 1 {
		s += fmt.Sprintf(".try-each[%d][%d]", path[1], path[2])
	}
	return s
}

// The commands of two alternatives that look the same are told apart.
func TestExplainIsExact(t *testing.T) {
	x := explainedBy(t, two())
	for path, at := range map[string][]int{
		"install[0].try-each[0][0].image-match":          {0, 0, 0},
		"install[0].try-each[1][0].image-match":          {0, 1, 0},
		"install[8].run-sequence[0].set-component-index": {8, 0},
	} {
		rec := x.at(SectionInstall, 0, at...)
		if s := must[[]Statement](t)(Explain(x.report(rec), x.envelope, nil, nil))[0]; s.Site == nil || s.Site.Path != path {
			t.Errorf("%+v, want %s", s, path)
		}
		if s := x.explain(x.failed(ReasonConditionFailed, 0, rec, Parameters{})); s.Site == nil || s.Site.Path != path {
			t.Errorf("%+v, want %s", s, path)
		}
	}
}

// A sequence runs once on each of the components that are selected, and what it selects
// ends with it.
func TestExplainSelection(t *testing.T) {
	index := func(a Argument) Command { return Command{Code: DirectiveSetComponentIndex, Argument: a} }
	check := Command{Code: ConditionImageMatch, Argument: ReportAll}
	inner := seq(check, index(Index(1)), check)
	for name, nested := range map[string]Command{
		"run-sequence":      {Code: DirectiveRunSequence, Argument: inner},
		"soft run-sequence": {Code: DirectiveRunSequence, Argument: seq(append([]Command{{Code: DirectiveOverrideParameters, Argument: &Parameters{SoftFailure: ptr(true)}}}, inner.Commands...)...)},
		"try-each":          {Code: DirectiveTryEach, Argument: &Alternatives{Sequences: []Sequence{*inner, *inner}}},
		"try-each with nil": {Code: DirectiveTryEach, Argument: &Alternatives{Sequences: []Sequence{*inner, *inner}, Optional: true}},
	} {
		m := smallManifest()
		m.Common.Components = append(m.Common.Components, id("two"), id("three"))
		m.Sections[SectionInstall] = Severable{Sequence: seq(index(Index(0)), nested, check, index(IndexList{0, 2}), nested, check)}
		x := explainedBy(t, m)
		first := func(command int) []int { // the image-match that the nested sequence begins with
			switch name {
			case "run-sequence":
				return []int{command, 0}
			case "soft run-sequence":
				return []int{command, 1}
			}
			return []int{command, 1, 0}
		}
		last := func(command int) []int {
			path := first(command)
			path[len(path)-1] += 2
			return path
		}
		for _, test := range []struct {
			path []int
			runs []uint64
		}{
			{first(1), []uint64{0}}, {last(1), []uint64{1}}, {[]int{2}, []uint64{0}},
			{first(4), []uint64{0, 2}}, {last(4), []uint64{1}}, {[]int{5}, []uint64{0, 2}},
		} {
			for component := range uint64(3) {
				s := must[[]Statement](t)(Explain(x.report(x.at(SectionInstall, component, test.path...)), x.envelope, nil, nil))[0]
				if want := slices.Contains(test.runs, component); s.Misfit == want {
					t.Errorf("%s, command %v on %d: misfit %v: %s", name, test.path, component, s.Misfit, s.Text)
				}
			}
		}
	}
}

func TestExplainMisfits(t *testing.T) {
	m := two()
	severable := &Alternatives{Sequences: m.Sections[SectionInstall].Sequence.Commands[0].Argument.(*Alternatives).Sequences}
	m.Sections[SectionPayloadFetch] = Severable{Sequence: seq(Command{Code: DirectiveTryEach, Argument: severable})}
	if err := m.MakeSeverable(SectionPayloadFetch); err != nil {
		t.Fatal(err)
	}
	m.ReferenceURI = "https://example.com/m"
	x := explainedBy(t, m)
	severed := must[*Envelope](t)(x.envelope.Sever(SectionPayloadFetch))
	good := x.at(SectionInstall, 0, 1)
	for name, test := range map[string]struct {
		change func(r *Report)
		want   string
	}{
		"another digest":     {func(r *Report) { r.Reference.Digest = SumSHA256(nil) }, "the report is about another manifest"},
		"unknown digest":     {func(r *Report) { r.Reference.Digest = Digest{-99, []byte{1}} }, "cannot be computed here"},
		"another URI":        {func(r *Report) { r.Reference.URI = "https://example.com/n" }, "names the manifest \"https://example.com/n\""},
		"byte of no command": {func(r *Report) { r.Failure.Record.Offset++ }, "no command at byte"},
		"byte 0":             {func(r *Report) { r.Entries = []ReportEntry{Record{Section: SectionInstall}} }, "no command at byte 0 of install"},
		"byte far out":       {func(r *Report) { r.Failure.Record.Offset = 1 << 63 }, "no command at byte 9223372036854775808"},
		"component 2":        {func(r *Report) { r.Failure.Record.ComponentIndex = 2 }, "component 2 of 2"},
		"another component":  {func(r *Report) { r.Failure.Record.ComponentIndex = 1 }, "of install runs on two"},
		"no such section":    {func(r *Report) { r.Failure.Record.Section = SectionLoad }, "the manifest has no load"},
		"unknown section":    {func(r *Report) { r.Failure.Record.Section = -5 }, "the manifest has no section -5"},
		"severed section":    {func(r *Report) { r.Failure.Record.Section = SectionPayloadFetch }, "payload-fetch has been severed"},
		"dependency":         {func(r *Report) { r.Failure.Record.ManifestID = []uint64{2, 0} }, "dependency [2 0] is not at hand"},
	} {
		r := x.failed(ReasonConditionFailed, 0, good, Parameters{})
		r.Reference.URI = m.ReferenceURI
		r.Entries = nil
		test.change(r)
		found := false
		for _, s := range must[[]Statement](t)(Explain(r, severed, nil, nil)) {
			if s.Misfit {
				found = found || strings.Contains(s.Text, test.want)
				if s.Site != nil {
					t.Errorf("%s: site %v", name, s.Site)
				}
			}
		}
		if !found {
			t.Errorf("%s: %+v", name, must[[]Statement](t)(Explain(r, severed, nil, nil)))
		}
	}
}

// A failure at no command names the element of the manifest that is at fault. At a section
// its commands have run, unless it was severed.
func TestExplainRefusal(t *testing.T) {
	x := explainedBy(t, smallManifest())
	for _, test := range []struct {
		section Section
		reason  ReportReason
		want    string
	}{
		{2, ReasonUnauthorised, "refused before any command, at authentication-wrapper: the signature was not accepted"},
		{2, ReasonConditionFailed, "refused before any command, at sequence-number: the condition does not hold"},
		{3, ReasonComponentUnsupported, "refused before any command, at common: the component is not supported"},
		{SectionInstall, ReasonSeveringUnsupported, "refused before any command, at install: severed elements are not supported"},
		{SectionInstall, 77, "failed behind the commands of install: for a reason that is not registered (77)"},
		{SectionValidate, ReasonOperationFailed, "failed behind the commands of validate: the operation failed"},
		{99, ReasonCommandUnsupported, "refused before any command, at element 99: the command is not supported"},
	} {
		s := x.explain(x.failed(test.reason, 0, Record{Section: test.section}, Parameters{}))
		if s.Text != test.want || !s.Failed || s.Misfit {
			t.Errorf("%+v, want %s", s, test.want)
		}
	}
}

func TestExplainDependency(t *testing.T) {
	x, dependency := explainedBy(t, smallManifest()), explainedBy(t, two())
	asked := 0
	find := func(path []uint64) *Envelope {
		asked++
		if slices.Equal(path, []uint64{1}) {
			return dependency.envelope
		}
		return nil
	}
	rec := dependency.at(SectionInstall, 1, 11)
	rec.ManifestID = []uint64{1}
	r := x.failed(ReasonConditionFailed, 0, rec, Parameters{})
	// What its dependents set, a dependency does not say.
	content := dependency.at(SectionInstall, 0, 0, 1, 2)
	content.ManifestID = rec.ManifestID
	if s := must[[]Statement](t)(Explain(x.report(content), x.envelope, find, nil))[0]; s.Site == nil || strings.Contains(s.Text, "lacks") {
		t.Errorf("%+v", s)
	}
	asked = 0
	lost := rec
	lost.ManifestID = []uint64{9}
	r.Entries = []ReportEntry{lost, lost, rec, rec}
	all := must[[]Statement](t)(Explain(r, x.envelope, find, nil))
	if last := all[len(all)-1]; !strings.HasPrefix(last.Text, "dependency [1]: install[11].image-match on two failed") {
		t.Error(last.Text)
	}
	if !all[0].Misfit || asked != 2 {
		t.Errorf("%+v, asked %d times", all[0], asked)
	}
	for i := range uint64(2 * maxExplained) {
		r.Entries = append(r.Entries, Record{ManifestID: []uint64{i, i}})
	}
	asked = 0
	if _, err := Explain(r, x.envelope, find, nil); err != nil || asked > maxExplained {
		t.Errorf("%d dependencies are looked at, %v", asked, err)
	}
}

// A manifest that is large and nested costs a bounded replay, and what was not reached
// is not made up.
func TestExplainBoundsWork(t *testing.T) {
	leaf := seq(slices.Repeat([]Command{{Code: DirectiveSetComponentIndex, Argument: AllComponents{}}}, MaxCommands)...)
	m := smallManifest()
	for i := range byte(MaxComponents - 1) {
		m.Common.Components = append(m.Common.Components, ComponentID{{i}})
	}
	list := slices.Repeat([]Command{{Code: DirectiveRunSequence, Argument: leaf}}, 100)
	list = append(list, Command{Code: ConditionImageMatch, Argument: ReportAll})
	m.Sections[SectionInstall] = Severable{Sequence: seq(list...)}
	x := explainedBy(t, m)
	s := x.explain(x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, 100), Parameters{}))
	if want := "install on app/hello, in a manifest too long to be replayed, failed, the condition does not hold"; s.Misfit || s.Site != nil || !strings.Contains(s.Text, want) {
		t.Errorf("%+v, want %s", s, want)
	}
}

// What a parameter holds is looked at only where two places of the manifest give it, and
// then it counts.
func TestExplainBoundsComparison(t *testing.T) {
	content := func() Command {
		return Command{Code: DirectiveOverrideParameters, Argument: &Parameters{Content: make([]byte, 60000)}}
	}
	check := seq(Command{Code: ConditionImageMatch, Argument: ReportAll})
	explain := func(often int, alternatives ...*Sequence) (text string, allocated uint64) {
		a := &Alternatives{}
		for _, s := range alternatives {
			a.Sequences = append(a.Sequences, *s)
		}
		m := smallManifest()
		choices := seq(slices.Repeat([]Command{{Code: DirectiveTryEach, Argument: a}}, often)...)
		m.Sections[SectionInstall] = Severable{Sequence: seq(content(),
			Command{Code: DirectiveRunSequence, Argument: choices}, Command{Code: ConditionImageMatch, Argument: ReportAll})}
		x := explainedBy(t, m)
		r := x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, 2), Parameters{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		text = x.explain(r).Text
		runtime.ReadMemStats(&after)
		return text, after.TotalAlloc - before.TotalAlloc
	}
	if text, allocated := explain(100, check, check); !strings.HasPrefix(text, "install[2].image-match") || allocated > 8<<20 {
		t.Errorf("%s, %d bytes for a content of 60000", text, allocated)
	}
	one := seq(content())
	if text, _ := explain(4, one, one); !strings.HasPrefix(text, "install[2].image-match") {
		t.Error(text)
	}
	x := explainedBy(t, smallManifest())
	r := replayManifest(x.manifest, 1, nil, nil, maxReplay)
	a, b := content().Argument.(*Parameters), content().Argument.(*Parameters)
	if left := r.left; !r.same(ParameterContent, a, b) || left-r.left < 100 {
		t.Errorf("comparing two contents of 60000 bytes counts as %d", left-r.left)
	}
	if r.left = -1; r.same(ParameterContent, a, b) {
		t.Error("nothing is left, and the contents were compared")
	}
}

// All manifests of a tree share what a replay may cost.
func TestExplainBoundsTrees(t *testing.T) {
	leaf := seq(slices.Repeat([]Command{{Code: DirectiveSetComponentIndex, Argument: AllComponents{}}}, MaxCommands)...)
	m := smallManifest()
	m.Sections[SectionInstall] = Severable{Sequence: seq(slices.Repeat([]Command{{Code: DirectiveRunSequence, Argument: leaf}}, 100)...)}
	x := explainedBy(t, m)
	r := x.failed(ReasonConditionFailed, 0, x.at(SectionInstall, 0, 0), Parameters{})
	for i := range uint64(3) {
		rec := x.at(SectionInstall, 0, 1)
		rec.ManifestID = []uint64{i}
		r.Entries = append(r.Entries, rec)
	}
	all := must[[]Statement](t)(Explain(r, x.envelope, func([]uint64) *Envelope { return x.envelope }, nil))
	long := 0
	for _, s := range all {
		if strings.Contains(s.Text, "too long to be replayed") {
			long++
		}
	}
	if long < 2 {
		t.Errorf("%d of 4 manifests are too long together: %+v", long, all)
	}
}

// FuzzExplain: whatever a report and a manifest say, there is a line for each entry, and
// nothing in it that a terminal would act on.
func FuzzExplain(f *testing.F) {
	reports := [][]byte{}
	for _, r := range []*Report{successReport(), failureReport()} {
		reports = append(reports, must[[]byte](f)(r.Encode()))
	}
	for _, m := range []*Manifest{smallManifest(), fullManifest(), two()} {
		raw := must[[]byte](f)(m.Encode(false))
		for _, r := range reports {
			f.Add(raw, r, uint64(1))
		}
		for i := range uint64(64) {
			f.Add(raw, reports[1], i)
		}
	}
	f.Fuzz(func(t *testing.T, manifest, report []byte, offset uint64) {
		m, err := DecodeManifest(manifest)
		if err != nil {
			return
		}
		e, err := NewEnvelope(m, nil)
		if err != nil {
			return
		}
		r, err := DecodeReport(report)
		if err != nil {
			return
		}
		r.Reference = Reference{m.ReferenceURI, e.Digest()}
		if r.Failure != nil {
			for _, s := range []Section{SectionShared, SectionInstall, SectionLoad, SectionValidate} {
				r.Entries = append(r.Entries, Record{Section: s, Offset: offset, ComponentIndex: offset % 3})
			}
			r.Failure.Record.Offset = offset
		}
		all, err := Explain(r, e, func([]uint64) *Envelope { return e }, nil)
		if err != nil || len(all) < len(r.Entries) {
			t.Fatalf("%d statements of %d entries, %v", len(all), len(r.Entries), err)
		}
		for _, s := range all {
			if s.Text == "" || !utf8.ValidString(s.Text) || strings.ContainsFunc(s.Text, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Fatalf("%q", s.Text)
			}
		}
	})
}
