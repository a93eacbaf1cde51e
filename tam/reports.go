package tam

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// checkReportNonces holds the SUIT reports of a QueryResponse against its token
// (draft-ietf-teep-protocol-26 section 4.3). They report on starting up; nothing
// else in them is used yet.
func checkReportNonces(raw [][]byte, token []byte) *refusal {
	for _, data := range raw {
		signed, err := suit.OpenReport(data)
		if err != nil {
			return refuse(ReasonReportMalformed, err)
		}
		report, err := signed.Unverified()
		if err != nil {
			return refuse(ReasonReportMalformed, err)
		}
		if !bytes.Equal(report.Nonce, token) {
			return refuse(ReasonReportNonce, nil)
		}
	}
	return nil
}

// openReports reads the SUIT reports that answer an Update. Their nonce is its
// token, and who signs them is the agent's report key: distinct from its TEEP key,
// brought along in the header, and pinned once it was seen under a valid TEEP
// signature (section 4.5). A report without a signature of its own stands under
// that of the message, but only from an agent that never signed one. The key is nil
// where no report is signed.
func openReports(raw [][]byte, token []byte, agent *devices.Agent) ([]*suit.Report, *cosekit.PublicKey, *refusal) {
	var reports []*suit.Report
	key := agent.ReportKey
	for _, data := range raw {
		signed, err := suit.OpenReport(data)
		if err != nil {
			return nil, nil, refuse(ReasonReportMalformed, err)
		}
		var report *suit.Report
		switch {
		case !signed.Protected() && key != nil:
			return nil, nil, refuse(ReasonReportKey, errors.New("the report is not signed, and the agent has a report key"))
		case !signed.Protected():
			report, err = signed.Unverified()
		default:
			if key, err = reportKey(signed, key, agent.Key); err != nil {
				return nil, nil, refuse(ReasonReportKey, err)
			}
			report, err = signed.Verify(key, false)
		}
		switch {
		case errors.Is(err, cosekit.ErrSignature), errors.Is(err, cosekit.ErrAlgorithm):
			return nil, nil, refuse(ReasonReportKey, err)
		case err != nil:
			return nil, nil, refuse(ReasonReportMalformed, err)
		case !bytes.Equal(report.Nonce, token):
			return nil, nil, refuse(ReasonReportNonce, nil)
		}
		reports = append(reports, report)
	}
	return reports, key, nil
}

// reportKey returns the key to verify a report with: the pinned one, or the one in
// the header of the first report ever seen.
func reportKey(signed *suit.SignedReport, pinned, teepKey *cosekit.PublicKey) (*cosekit.PublicKey, error) {
	own, err := signed.Key()
	switch {
	case err != nil:
		return nil, err
	case pinned != nil:
		return pinned, nil
	case own == nil:
		return nil, errors.New("no key in the header of the agent's first report")
	case own.Equal(teepKey):
		return nil, errors.New("the report is signed with the TEEP key")
	}
	return own, nil
}

// verdict is what the reports say of one manifest.
type verdict struct {
	installed bool
	words     string // why not
}

// verdicts sums the reports up by manifest digest. Where several tell of one
// manifest, a failure stands.
func verdicts(reports []*suit.Report) map[string]verdict {
	out := make(map[string]verdict, len(reports))
	for _, r := range reports {
		key := r.Reference.Digest.String()
		if before, ok := out[key]; ok && !before.installed {
			continue
		}
		out[key] = verdict{installed: r.Succeeded(), words: failureWords(r.Failure)}
	}
	return out
}

func failureWords(f *suit.ReportFailure) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s in %s at byte %d, component %d", f.Reason, f.Record.Section, f.Record.Offset, f.Record.ComponentIndex)
}
