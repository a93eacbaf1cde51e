package agent

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Bounds of the SUIT_Reports of one message, within what a TAM takes. A report above them
// must not keep the others, and the answer, from the TAM.
const (
	maxReports     = 32
	maxReportSize  = 64 << 10
	maxReportBytes = 512 << 10 // of all
)

// signReports makes the token the nonce of each report, where there is one, and encrypts
// it to the TAM, where the device knows a key of it. Where a report cannot go as it is,
// its result does.
func (a *Agent) signReports(token []byte, reports []*suit.Report) [][]byte {
	var out [][]byte
	chosen := mostTelling(reports)
	left := maxReportBytes
	for _, report := range chosen {
		report.Nonce = token
		signed, err := a.signReport(report)
		if err != nil || len(signed) > min(maxReportSize, left) {
			a.observe(StepReport, "of manifest %s the result only: the report has %d entries in %d bytes (%v)",
				report.Reference.Digest, len(report.Entries), len(signed), err)
			signed, err = a.signReport(resultOnly(report))
		}
		if err == nil && len(signed) <= left {
			left -= len(signed)
			out = append(out, signed)
		}
	}
	if missing := len(reports) - len(out); missing > 0 {
		a.observe(StepReport, "%d of %d reports are left out", missing, len(reports))
	}
	return out
}

// mostTelling returns as many reports as one message may have: failures rather than
// successes, of which the next tc-list tells as well.
func mostTelling(reports []*suit.Report) []*suit.Report {
	spare := len(reports) - maxReports
	var chosen []*suit.Report
	for _, r := range reports {
		if spare > 0 && r.Succeeded() {
			spare--
			continue
		}
		chosen = append(chosen, r)
	}
	return chosen[:min(len(chosen), maxReports)]
}

// resultOnly is what no manifest can make large.
func resultOnly(r *suit.Report) *suit.Report {
	short := &suit.Report{Reference: suit.Reference{Digest: r.Reference.Digest}, Nonce: r.Nonce}
	if r.Failure != nil {
		failure := *r.Failure
		failure.Record = suit.Record{Section: failure.Record.Section, Offset: failure.Record.Offset}
		short.Failure = &failure
	}
	return short
}

func (a *Agent) signReport(report *suit.Report) ([]byte, error) {
	if a.config.Reports == nil {
		return suit.SignReport(report, a.config.ReportKey)
	}
	to := cosekit.Encryption{Content: cosekit.A128GCM, Recipients: []cosekit.Recipient{a.config.Reports}}
	return suit.SignEncryptedReport(report, to, a.config.ReportKey)
}
