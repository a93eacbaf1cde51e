package processor

import (
	"reflect"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// records are the entries of a report that tell about commands, after encoding and
// decoding.
func records(t *testing.T, report *suit.Report) []suit.Record {
	t.Helper()
	encoded, err := report.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := suit.DecodeReport(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var out []suit.Record
	for _, e := range decoded.Entries {
		if r, ok := e.(suit.Record); ok {
			out = append(out, r)
		}
	}
	return out
}

// offset finds a command in the manifest as it was signed.
func offset(t *testing.T, m *suit.Manifest, section suit.Section, code suit.CommandCode) uint64 {
	t.Helper()
	sequence, ok := authentic(t, m, nil).Manifest().Section(section)
	if ok {
		for _, c := range sequence.Commands {
			if c.Code == code {
				return uint64(c.Offset)
			}
		}
	}
	t.Fatalf("no %s in %s", code, section)
	return 0
}

func TestReportOfSuccess(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	m.ReferenceURI = "https://example.org/hello.suit"
	outcome := tr.succeed(t, m, newImage)
	report := outcome.Report
	if report.Failure != nil || report.Nonce != nil || report.Reference.URI != m.ReferenceURI {
		t.Errorf("report %+v", report)
	}
	digest, size := suit.SumSHA256(newImage), uint64(len(newImage))
	image := suit.Parameters{ImageDigest: &digest, ImageSize: &size}
	want := []suit.Record{ // the shared sequence once, though it ran twice
		{Section: suit.SectionShared, Offset: offset(t, m, suit.SectionShared, suit.ConditionVendorIdentifier), Measured: suit.Parameters{VendorID: &device.Vendor}},
		{Section: suit.SectionShared, Offset: offset(t, m, suit.SectionShared, suit.ConditionClassIdentifier), Measured: suit.Parameters{ClassID: &device.Class}},
		{Section: suit.SectionInstall, Offset: offset(t, m, suit.SectionInstall, suit.DirectiveFetch)},
		{Section: suit.SectionInstall, Offset: offset(t, m, suit.SectionInstall, suit.ConditionImageMatch), Measured: image},
		{Section: suit.SectionValidate, Offset: offset(t, m, suit.SectionValidate, suit.ConditionImageMatch), Measured: image},
	}
	compareRecords(t, records(t, report), want)
	claims := []suit.PropertyClaims{{Component: app, ImageDigest: &digest, ImageSize: &size}}
	if !reflect.DeepEqual(outcome.Components, claims) || !reflect.DeepEqual(report.Properties(), claims) {
		t.Errorf("claims %v, want %v", outcome.Components, claims)
	}
}

func compareRecords(t *testing.T, got, want []suit.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if len(got[i].ManifestID) != 0 {
			t.Errorf("record %d is of manifest %v, want the root", i, got[i].ManifestID)
		}
		got[i].ManifestID = nil
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("record %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

// The values in a failure's record are the device's, not those of the manifest.
func TestReportOfFailure(t *testing.T) {
	tr := newTrial()
	tr.Fetcher = served{location: oldImage}
	tr.Limits.FetchedBytes = 1 << 20
	m := sample(newImage)
	m.Common.Shared.Commands[0] = override(suit.Parameters{
		VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: ptr(suit.SumSHA256(newImage)),
	})
	outcome, failure := tr.fail(t, m, ErrMismatch)
	result := outcome.Report.Failure
	if result == nil || result.Reason != suit.ReasonConditionFailed || result.Code != int64(suit.ConditionImageMatch) {
		t.Fatalf("result %+v", result)
	}
	measured := suit.SumSHA256(oldImage)
	want := suit.Record{
		Section: suit.SectionInstall, Offset: uint64(failure.Offset),
		Measured: suit.Parameters{ImageDigest: &measured, ImageSize: ptr(uint64(len(oldImage)))},
	}
	if !reflect.DeepEqual(result.Record, want) {
		t.Errorf("record %+v, want %+v", result.Record, want)
	}
	last := records(t, outcome.Report)
	compareRecords(t, last[len(last)-1:], []suit.Record{want})
	if len(outcome.Report.Properties()) != 0 {
		t.Error("a failed update claims components")
	}
}

func TestReportOfRefusal(t *testing.T) {
	tr := newTrial()
	m := install(check(suit.DirectiveFetch), check(suit.DirectiveInvoke))
	outcome, _ := tr.fail(t, m, ErrUnsupportedCommand)
	if got := records(t, outcome.Report); len(got) != 0 {
		t.Errorf("records of commands that did not run: %v", got)
	}
	result := outcome.Report.Failure
	if result.Reason != suit.ReasonCommandUnsupported || result.Code != int64(suit.DirectiveInvoke) ||
		result.Record.Section != suit.SectionInstall || result.Record.Offset != offset(t, m, suit.SectionInstall, suit.DirectiveInvoke) {
		t.Errorf("result %+v", result)
	}
}

func TestReportingPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy    suit.Policy
		succeeds  bool
		records   int
		withValue bool
	}{
		{0, true, 0, false},
		{suit.RecordOnSuccess, true, 1, false},
		{suit.RecordOnSuccess | suit.SysinfoOnSuccess, true, 1, true},
		{suit.SysinfoOnSuccess, true, 0, false},
		{suit.RecordOnFailure | suit.SysinfoOnFailure, true, 0, false},
		{0, false, 0, false},
		{suit.RecordOnFailure, false, 1, false},
		{suit.RecordOnFailure | suit.SysinfoOnFailure, false, 1, true},
		{suit.RecordOnSuccess | suit.SysinfoOnSuccess, false, 0, false},
	} {
		tr := newTrial()
		m := sample(newImage)
		for i := range m.Common.Shared.Commands[1:] {
			m.Common.Shared.Commands[i+1].Argument = suit.Policy(0)
		}
		m.Sections[suit.SectionInstall].Sequence.Commands[1].Argument = suit.Policy(0)
		m.Sections[suit.SectionInstall].Sequence.Commands[2].Argument = tt.policy
		delete(m.Sections, suit.SectionValidate)
		if !tt.succeeds {
			tr.Fetcher = served{location: newImage[1:]}
		}
		outcome, err := tr.update(t, m)
		if (err == nil) != tt.succeeds {
			t.Fatal(err)
		}
		got := records(t, outcome.Report)
		if len(got) != tt.records {
			t.Errorf("policy %04b, success %v: %d records, want %d", tt.policy, tt.succeeds, len(got), tt.records)
			continue
		}
		if len(got) == 1 && (got[0].Measured.ImageDigest != nil) != tt.withValue {
			t.Errorf("policy %04b, success %v: measured %+v", tt.policy, tt.succeeds, got[0].Measured)
		}
		if !tt.succeeds && outcome.Report.Failure.Record.Measured.ImageDigest == nil {
			t.Errorf("policy %04b: the result lacks what was measured", tt.policy)
		}
	}
}

// The key of the bent rules is none that anybody can register, and it comes back.
func TestReportOfBentRules(t *testing.T) {
	if suit.ReportBentRules >= -1<<32 {
		t.Errorf("key %d can be registered", int64(suit.ReportBentRules))
	}
	tr := newTrial()
	tr.Mode = Compat
	m := sample(newImage)
	m.Common.Shared.Commands = m.Common.Shared.Commands[:2]
	encoded, err := tr.succeed(t, m, newImage).Report.Encode()
	if err != nil {
		t.Fatal(err)
	}
	report, err := suit.DecodeReport(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var rules []Rule
	if err := cosekit.Unmarshal(report.Extensions[suit.ReportBentRules], &rules); err != nil || !slices.Equal(rules, []Rule{RuleCompatibility}) {
		t.Errorf("%q, %v", rules, err)
	}
}

// TestReportIsBounded: the claims come first, then as many records as fit, and none goes
// unmentioned.
func TestReportIsBounded(t *testing.T) {
	digest := suit.SumSHA256(newImage)
	record := suit.Record{Section: suit.SectionInstall, Measured: suit.Parameters{ImageDigest: &digest, VendorID: &device.Vendor}}
	large := suit.PropertyClaims{Component: suit.ComponentID{make([]byte, 400)}, ImageDigest: &digest}
	for name, tt := range map[string]struct {
		records, unseen, claims int
		whole, claimed          bool
	}{
		"few":                 {10, 0, 1, true, true},
		"more than were kept": {10, 5, 1, false, true},
		"too large":           {maxRecords, 0, 1, false, true},
		"beside claims":       {200, 0, 100, false, true},
		"claims too large":    {100, 0, 200, true, false},
		"both too large":      {maxRecords, 0, 200, false, false},
	} {
		tr := trace{records: slices.Repeat([]suit.Record{record}, tt.records), leftOut: tt.unseen}
		report := tr.fill(&suit.Report{Reference: suit.Reference{Digest: digest}}, slices.Repeat([]suit.PropertyClaims{large}, tt.claims))
		got := len(records(t, report))
		var left int
		if raw, ok := report.Extensions[suit.ReportLeftOut]; ok {
			if err := cosekit.Unmarshal(raw, &left); err != nil {
				t.Fatal(err)
			}
		}
		if got+left != tt.records+tt.unseen || (left == 0) != tt.whole || (len(report.Properties()) == tt.claims) != tt.claimed || !fits(report) {
			t.Errorf("%s: %d records, %d left out, %d claims", name, got, left, len(report.Properties()))
		}
	}
}
