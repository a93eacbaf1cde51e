package processor

import (
	"maps"
	"sort"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Bounds of a report. A manifest asks for the records, so it must not be able to ask for
// a report that nobody takes.
const (
	maxRecords     = 1024
	maxReportBytes = 48 << 10
)

// trace collects what a report tells about the commands that ran.
type trace struct {
	records []suit.Record
	seen    map[place]bool
	leftOut int // records
}

// place is a command on a component. The shared sequence runs before every section:
// that its commands succeed each time is told once.
type place struct {
	command *suit.Command
	index   int
}

// record follows the reporting policy of a command (draft-ietf-suit-manifest-37
// section 8.4.7): whether there is a record, and whether it holds what was measured.
func (t *trace) record(f *frame, c *suit.Command, measured suit.Parameters, err error) {
	policy, ok := c.Argument.(suit.Policy)
	if !ok {
		return
	}
	record, sysinfo := suit.RecordOnSuccess, suit.SysinfoOnSuccess
	if err != nil {
		record, sysinfo = suit.RecordOnFailure, suit.SysinfoOnFailure
	}
	at := place{c, f.index}
	if policy&record == 0 || err == nil && t.seen[at] {
		return
	}
	if t.seen == nil {
		t.seen = map[place]bool{}
	}
	t.seen[at] = true
	if len(t.records) == maxRecords {
		t.leftOut++
		return
	}
	if policy&sysinfo == 0 {
		measured = suit.Parameters{}
	}
	t.records = append(t.records, suit.Record{
		ManifestID: f.of.path, Section: f.part, Offset: uint64(c.Offset),
		ComponentIndex: uint64(f.index), Measured: measured,
	})
}

// report makes the SUIT_Report of a procedure (draft-ietf-suit-report-18 section 4).
// The result code is the command that failed.
func (t *trace) report(v *suit.Verified, claims []suit.PropertyClaims, failure *Failure, bent []Rule) *suit.Report {
	report := &suit.Report{Reference: suit.Reference{URI: v.Manifest().ReferenceURI, Digest: v.Digest()}}
	if failure != nil {
		report.Failure = &suit.ReportFailure{
			Code: int64(failure.Command),
			Record: suit.Record{
				ManifestID: failure.Manifest, Section: failure.Section, Offset: uint64(failure.Offset),
				ComponentIndex: uint64(failure.Component), Measured: failure.Measured,
			},
			Reason: failure.Reason,
		}
	}
	if len(bent) > 0 {
		report.Extensions = map[int64]cosekit.RawMessage{suit.ReportBentRules: cosekit.MustMarshal(bent)}
	}
	return t.fill(report, claims)
}

// fill adds the records from the first on, and the claims, as far as they fit. It says how
// many records do not. Where not even the claims fit the report is about the result alone.
func (t *trace) fill(report *suit.Report, claims []suit.PropertyClaims) *suit.Report {
	with := func(n int) *suit.Report {
		full := *report
		for _, r := range t.records[:n] {
			full.Entries = append(full.Entries, r)
		}
		for _, c := range claims {
			full.Entries = append(full.Entries, c)
		}
		if left := t.leftOut + len(t.records) - n; left > 0 {
			full.Extensions = maps.Clone(report.Extensions)
			if full.Extensions == nil {
				full.Extensions = map[int64]cosekit.RawMessage{}
			}
			full.Extensions[suit.ReportLeftOut] = cosekit.MustMarshal(left)
		}
		return &full
	}
	if full := with(len(t.records)); fits(full) {
		return full
	}
	if !fits(with(0)) {
		claims = nil
	}
	return with(sort.Search(len(t.records), func(n int) bool { return !fits(with(n + 1)) }))
}

func fits(report *suit.Report) bool {
	encoded, err := report.Encode()
	return err == nil && len(encoded) <= maxReportBytes
}
