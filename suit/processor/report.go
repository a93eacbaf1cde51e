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
			Code: int64(failure.Command),
			Record: suit.Record{
				ManifestID: failure.Manifest, Section: failure.Section, Offset: uint64(failure.Offset),
				ComponentIndex: uint64(failure.Component), Measured: failure.Measured,
			},
			Reason: failure.Reason,
		}
	}
	return report
}
