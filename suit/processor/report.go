package processor

import "github.com/tamarack-tam/tamarack/suit"

// trace collects what a report tells about the commands that ran.
type trace struct {
	records []suit.Record
	seen    map[place]bool
}

// place is a command on a component. The shared sequence runs before every section:
// that its commands succeed each time is told once.
type place struct {
	section   suit.Section
	offset    int
	component int
}

// record follows the reporting policy of a command (draft-ietf-suit-manifest-37
// section 8.4.7): whether there is a record, and whether it holds what was measured.
func (t *trace) record(at place, policy suit.Policy, measured suit.Parameters, err error) {
	record, sysinfo := suit.RecordOnSuccess, suit.SysinfoOnSuccess
	if err != nil {
		record, sysinfo = suit.RecordOnFailure, suit.SysinfoOnFailure
	}
	if policy&record == 0 || err == nil && t.seen[at] {
		return
	}
	if t.seen == nil {
		t.seen = map[place]bool{}
	}
	t.seen[at] = true
	if policy&sysinfo == 0 {
		measured = suit.Parameters{}
	}
	t.records = append(t.records, newRecord(at, measured))
}

func newRecord(at place, measured suit.Parameters) suit.Record {
	return suit.Record{
		Section: at.section, Offset: uint64(at.offset), ComponentIndex: uint64(at.component), Measured: measured,
	}
}

// report makes the SUIT_Report of a procedure (draft-ietf-suit-report-18 section 4).
// The result code is the command that failed.
func (t *trace) report(v *suit.Verified, claims []suit.PropertyClaims, failure *Failure) *suit.Report {
	report := &suit.Report{Reference: suit.Reference{URI: v.Manifest().ReferenceURI, Digest: v.Digest()}}
	for _, r := range t.records {
		report.Entries = append(report.Entries, r)
	}
	for _, c := range claims {
		report.Entries = append(report.Entries, c)
	}
	if failure != nil {
		report.Failure = &suit.ReportFailure{
			Code:   int64(failure.Command),
			Record: newRecord(place{failure.Section, failure.Offset, failure.Component}, failure.Measured),
			Reason: failure.Reason,
		}
	}
	return report
}
