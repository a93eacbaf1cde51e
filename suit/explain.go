package suit

import (
	"fmt"
	"slices"
	"strings"
)

// Statement is one thing that a report tells, in words for people. All of it is the
// word of whoever made the report.
type Statement struct {
	// Record is the place in the manifest; nil where the statement is about a component
	// or the report itself.
	Record *Record
	// Site is the command that stands there; nil where none does.
	Site *Site
	// Component is the one that the statement is about; nil for none.
	Component ComponentID
	// Failed: it tells why the procedure ended.
	Failed bool
	// Misfit: the report says what the manifest does not bear out.
	Misfit bool
	// Text is one line without control characters.
	Text string
}

// Site is a command of the manifest, with what it goes by there.
type Site struct {
	Path    string // "install[3].image-match"
	Command CommandCode
	// Asked are the parameters that the command goes by, as far as the manifest itself
	// says; one that depends on how a try-each went, or on a dependent, is left out.
	Asked Parameters
	// Missing are the parameters that it needs and that nothing can have set.
	Missing []ParameterCode
}

// maxExplained bounds how many manifests one report can make somebody look at.
const maxExplained = MaxDependencies + 1

// Explain replays a report against the manifest in the envelope, and says in words what
// ran, what was measured, and which command failed, where and why. dependency returns
// the envelope of another manifest by its path in the tree ([Record.ManifestID]), nil for
// one that is not at hand; names are those of private commands. Both may be nil. Neither
// report nor envelope is authenticated here.
//
// What a report says that the manifest does not bear out is told as a misfit. Only an
// envelope that cannot be read is an error.
func Explain(r *Report, e *Envelope, dependency func(path []uint64) *Envelope, names CommandNames) ([]Statement, error) {
	m, err := e.UnverifiedManifest()
	if err != nil {
		return nil, err
	}
	if misfit := aboutAnother(r, e); misfit != "" {
		return []Statement{{Misfit: true, Text: misfit}}, nil
	}
	x := &explanation{dependency: dependency, names: names, manifests: map[string]*explained{}, left: maxReplay}
	x.manifests[pathKey(nil)] = newExplained(m)
	var out []Statement
	if r.Reference.URI != m.ReferenceURI {
		out = append(out, Statement{Misfit: true, Text: fmt.Sprintf(
			"the report names the manifest %s, which calls itself %s", quote(r.Reference.URI), quote(m.ReferenceURI))})
	}
	entries := r.Entries
	if f := r.Failure; f != nil {
		entries = withoutLast(entries, &f.Record)
		x.want(&f.Record)
	}
	for _, entry := range entries {
		if rec, ok := entry.(Record); ok {
			x.want(&rec)
		}
	}
	for _, entry := range entries {
		switch entry := entry.(type) {
		case Record:
			out = append(out, x.record(&entry))
		case PropertyClaims:
			out = append(out, claimed(entry))
		}
	}
	if r.Failure == nil {
		return append(out, Statement{Text: "the procedure has completed"}), nil
	}
	return append(out, x.failure(r.Failure)), nil
}

// aboutAnother says where the report is about another manifest; "" where it is not.
func aboutAnother(r *Report, e *Envelope) string {
	own, err := sumWrapped(r.Reference.Digest.Algorithm, e.manifest)
	if err != nil {
		return fmt.Sprintf("the report names its manifest by %s, which cannot be computed here", r.Reference.Digest.Algorithm)
	}
	if !own.Equal(r.Reference.Digest) {
		return fmt.Sprintf("the report is about another manifest: it names %s, this one is %s", r.Reference.Digest, own)
	}
	return ""
}

// withoutLast leaves out a last record of the failure, which is told anyway.
func withoutLast(entries []ReportEntry, failed *Record) []ReportEntry {
	last := slices.IndexFunc(entries, func(e ReportEntry) bool {
		rec, ok := e.(Record)
		return ok && rec.Section == failed.Section && rec.Offset == failed.Offset &&
			rec.ComponentIndex == failed.ComponentIndex && slices.Equal(rec.ManifestID, failed.ManifestID)
	})
	if last < 0 || last != len(entries)-1 {
		return entries
	}
	return entries[:last]
}

// explanation gathers the places that records name before it replays each manifest.
type explanation struct {
	dependency func(path []uint64) *Envelope
	names      CommandNames
	manifests  map[string]*explained // by path; nil for one that is not at hand
	left       int                   // of what replays may cost
}

type explained struct {
	manifest *Manifest
	table    []TableEntry
	wanted   map[place]map[uint64]bool
	replay   *replay // nil before it
}

func newExplained(m *Manifest) *explained {
	table, err := m.Common.Table()
	if err != nil { // a processor refuses such a manifest; its components still have names
		table = nil
		for _, id := range m.Common.Components {
			table = append(table, TableEntry{ID: id})
		}
	}
	return &explained{manifest: m, table: table, wanted: map[place]map[uint64]bool{}}
}

func pathKey(path []uint64) string { return fmt.Sprint(path) }

func (x *explanation) of(path []uint64) *explained {
	key := pathKey(path)
	if one, looked := x.manifests[key]; looked || len(x.manifests) >= maxExplained || x.dependency == nil {
		return one
	}
	x.manifests[key] = nil
	if e := x.dependency(path); e != nil {
		if m, err := e.UnverifiedManifest(); err == nil {
			x.manifests[key] = newExplained(m)
		}
	}
	return x.manifests[key]
}

func (x *explanation) want(rec *Record) {
	one := x.of(rec.ManifestID)
	if one == nil {
		return
	}
	p := place{rec.Section, rec.Offset}
	if one.wanted[p] == nil {
		one.wanted[p] = map[uint64]bool{}
	}
	one.wanted[p][rec.ComponentIndex] = true
}

// record tells of a command that is no failure of the procedure. Conditions are
// recorded whether they hold or not, so it is what was measured that tells.
func (x *explanation) record(rec *Record) Statement {
	s := x.locate(rec)
	if s.Misfit {
		s.Text = "a record does not fit: " + s.Text
		return s
	}
	s.Text += " ran" + measuredAgainst(s.Site, &rec.Measured)
	return s
}

func (x *explanation) failure(f *ReportFailure) Statement {
	if f.Record.Offset == 0 { // no command stands there: the head of the array does
		return refused(f)
	}
	s := x.locate(&f.Record)
	s.Failed = true
	if s.Misfit {
		s.Text = fmt.Sprintf("failed, %s; where, does not fit: %s", f.Reason.words(), s.Text)
		return s
	}
	s.Text += " failed, " + f.Reason.words() + measuredAgainst(s.Site, &f.Record.Measured)
	return s
}

// refused tells of a failure at no command, which names the element at fault. At a section
// that is there it comes behind its commands: what they left was not enough, or could not
// be kept.
func refused(f *ReportFailure) Statement {
	element := manifestStep(int64(f.Record.Section))
	if f.Record.Section == SectionAuthentication && f.Reason == ReasonUnauthorised {
		element = SectionAuthentication.String()
	}
	how := "refused before any command, at"
	if _, ran := sections[f.Record.Section]; ran && f.Reason != ReasonSeveringUnsupported {
		how = "failed behind the commands of"
	}
	return Statement{Record: &f.Record, Failed: true, Text: fmt.Sprintf("%s%s %s: %s%s",
		inDependency(f.Record.ManifestID), how, element, f.Reason.words(), measuredAgainst(nil, &f.Record.Measured))}
}

func inDependency(path []uint64) string {
	if len(path) == 0 {
		return ""
	}
	return fmt.Sprintf("dependency %v: ", path)
}

// locate finds the command that a record means. Its text is where that is, or why there
// is none.
func (x *explanation) locate(rec *Record) Statement {
	s := Statement{Record: rec}
	misfit := func(format string, args ...any) Statement {
		s.Misfit, s.Text = true, fmt.Sprintf(format, args...)
		return s
	}
	one := x.of(rec.ManifestID)
	if one == nil {
		return misfit("dependency %v is not at hand", rec.ManifestID)
	}
	of := inDependency(rec.ManifestID)
	if rec.ComponentIndex >= max(uint64(len(one.table)), 1) {
		return misfit("%scomponent %d of %d", of, rec.ComponentIndex, len(one.table))
	}
	on := ""
	if rec.ComponentIndex < uint64(len(one.table)) {
		s.Component = one.table[rec.ComponentIndex].ID
		on = fmt.Sprintf(" on %s", name(s.Component))
	}
	if _, there := one.manifest.Section(rec.Section); !there {
		if one.manifest.Sections[rec.Section].Digest != nil {
			return misfit("%s%s has been severed from the manifest; restore it to see what stands at byte %d", of, rec.Section, rec.Offset)
		}
		return misfit("%sthe manifest has no %s", of, rec.Section)
	}
	here, whole := x.site(one, rec)
	if here == nil && !whole {
		s.Text = fmt.Sprintf("%sbyte %d of %s%s, in a manifest too long to be replayed,", of, rec.Offset, rec.Section, on)
		return s
	}
	if here == nil {
		return misfit("%sno command at byte %d of %s runs%s", of, rec.Offset, rec.Section, on)
	}
	// Only a manifest by itself sets all of its parameters.
	alone := len(rec.ManifestID) == 0 && len(one.manifest.Common.Dependencies) == 0
	s.Site = here.describe(rec.ComponentIndex, alone)
	s.Text = of + here.path + on
	return s
}

// site returns the command at the record's place, nil where none runs on its component,
// and whether the whole manifest has been looked at.
func (x *explanation) site(one *explained, rec *Record) (here *site, whole bool) {
	if one.replay == nil {
		one.replay = replayManifest(one.manifest, uint64(len(one.table)), one.wanted, x.names, x.left)
		x.left = one.replay.left
	}
	here = one.replay.found[place{rec.Section, rec.Offset}]
	if here != nil && here.asked[rec.ComponentIndex] == nil {
		here = nil
	}
	return here, one.replay.left >= 0
}

// goesBy are the parameters that a command reads (draft-ietf-suit-manifest-37 table 5
// and the sister drafts).
var goesBy = map[CommandCode][]ParameterCode{
	ConditionVendorIdentifier:    {ParameterVendorID},
	ConditionClassIdentifier:     {ParameterClassID},
	ConditionDeviceIdentifier:    {ParameterDeviceID},
	ConditionImageMatch:          {ParameterImageDigest, ParameterImageSize},
	ConditionImageNotMatch:       {ParameterImageDigest, ParameterImageSize},
	ConditionDependencyIntegrity: {ParameterImageDigest},
	ConditionCheckContent:        {ParameterContent},
	ConditionComponentSlot:       {ParameterComponentSlot},
	ConditionUseBefore:           {ParameterUseBefore},
	ConditionMinimumBattery:      {ParameterMinimumBattery},
	ConditionUpdateAuthorized:    {ParameterUpdatePriority},
	ConditionVersion:             {ParameterVersion},
	DirectiveFetch:               {ParameterURI, ParameterFetchArguments},
	DirectiveCopy:                {ParameterSourceComponent, ParameterEncryptionInfo},
	DirectiveSwap:                {ParameterSourceComponent},
	DirectiveWrite:               {ParameterContent, ParameterEncryptionInfo},
	DirectiveInvoke:              {ParameterInvokeArgs},
	DirectiveWait:                {ParameterWaitInfo},
}

// optionalParameters are those that a command can do without.
var optionalParameters = []ParameterCode{
	ParameterImageSize, ParameterFetchArguments, ParameterEncryptionInfo, ParameterUpdatePriority, ParameterInvokeArgs,
}

func (s *site) describe(index uint64, alone bool) *Site {
	out := &Site{Path: s.path, Command: s.command.Code}
	known := s.asked[index]
	for _, code := range goesBy[s.command.Code] {
		if block := known.set[code]; block != nil {
			out.Asked.take(code, block)
		}
		if alone && known.unset(code) && !slices.Contains(optionalParameters, code) {
			out.Missing = append(out.Missing, code)
		}
	}
	return out
}

// measuredAgainst says what was asked for and what was found.
func measuredAgainst(site *Site, measured *Parameters) string {
	var parts []string
	if site != nil {
		if asked := site.Asked.list(); asked != "" {
			parts = append(parts, "asked for "+asked)
		}
		for _, code := range site.Missing {
			parts = append(parts, "lacks "+code.String())
		}
	}
	if found := measured.list(); found != "" {
		parts = append(parts, "measured "+found)
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, "; ")
}

func claimed(c PropertyClaims) Statement {
	all := c.Parameters()
	return Statement{Component: c.Component, Text: fmt.Sprintf("%s has %s", name(c.Component), all.list())}
}

// name returns the component in words.
func name(id ComponentID) string {
	if len(id) == 0 {
		return "the component without a name"
	}
	return id.String()
}

// words says what the draft means by a reason.
func (r ReportReason) words() string {
	if words, ok := reasonWords[r]; ok {
		return words
	}
	return fmt.Sprintf("for a reason that is not registered (%d)", int64(r))
}

var reasonWords = map[ReportReason]string{
	ReasonOK:                    "and gives the reason “ok”",
	ReasonCBORParse:             "the manifest could not be parsed",
	ReasonCOSEUnsupported:       "a COSE structure or header is not supported",
	ReasonAlgorithmUnsupported:  "an algorithm is not supported",
	ReasonUnauthorised:          "the signature was not accepted",
	ReasonCommandUnsupported:    "the command is not supported",
	ReasonComponentUnsupported:  "the component is not supported",
	ReasonComponentUnauthorised: "the signer may not touch the component",
	ReasonParameterUnsupported:  "a parameter is not supported",
	ReasonSeveringUnsupported:   "severed elements are not supported",
	ReasonConditionFailed:       "the condition does not hold",
	ReasonOperationFailed:       "the operation failed",
	ReasonInvokePending:         "or has yet to end: it was reported before the component was invoked",
}
