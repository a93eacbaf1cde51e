package tam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Caps of reports. An Update has few manifests, and a report of one is small: what is
// decrypted, verified and kept of a message stays so.
const (
	maxReports    = 32       // in one message
	maxReportSize = 64 << 10 // bytes of one
	maxReportKept = 16 << 10 // bytes of one that is stored; of a larger one its words are
)

// startReports holds the SUIT reports of a QueryResponse against its token
// (draft-ietf-teep-protocol-26 section 4.3). They report on starting up; nothing
// else in them is used yet.
func (t *TAM) startReports(raw [][]byte, token []byte) *refusal {
	if fault := checkReportSizes(raw); fault != nil {
		return fault
	}
	for _, data := range raw {
		signed, err := suit.OpenReport(data)
		if err != nil {
			return refuse(ReasonReportMalformed, err)
		}
		report, err := signed.WithKeys(t.cfg.DecryptionKeys).Unverified()
		if err != nil {
			return refuse(reportReason(err), err)
		}
		if !bytes.Equal(report.Nonce, token) {
			return refuse(ReasonReportNonce, nil)
		}
	}
	return nil
}

func checkReportSizes(raw [][]byte) *refusal {
	if len(raw) > maxReports {
		return refuse(ReasonReportTooLarge, fmt.Errorf("%d reports in one message, at most %d", len(raw), maxReports))
	}
	for _, data := range raw {
		if len(data) > maxReportSize {
			return refuse(ReasonReportTooLarge, fmt.Errorf("%d bytes, at most %d", len(data), maxReportSize))
		}
	}
	return nil
}

// reportReason tells what is wrong with a report that cannot be read.
func reportReason(err error) Reason {
	switch {
	case errors.Is(err, suit.ErrEncrypted), errors.Is(err, cosekit.ErrNoDecryptionKey), errors.Is(err, cosekit.ErrDecrypt):
		return ReasonReportEncrypted
	case errors.Is(err, cosekit.ErrSignature), errors.Is(err, cosekit.ErrAlgorithm):
		return ReasonReportKey
	}
	return ReasonReportMalformed
}

// openReports reads the SUIT reports that answer an Update. Their nonce is its
// token, and who signs them is the agent's report key: distinct from its TEEP key,
// brought along in the header, and pinned once it was seen under a valid TEEP
// signature (section 4.5). A report without a signature of its own stands under
// that of the message, but only from an agent that never signed one. One that is
// encrypted to this TAM is decrypted after its signature has been checked. The key is
// nil where no report is signed.
func (t *TAM) openReports(raw [][]byte, token []byte, agent *devices.Agent) ([]*suit.Report, *cosekit.PublicKey, *refusal) {
	if fault := checkReportSizes(raw); fault != nil {
		return nil, nil, fault
	}
	var reports []*suit.Report
	key := agent.ReportKey
	for _, data := range raw {
		signed, err := suit.OpenReport(data)
		if err != nil {
			return nil, nil, refuse(ReasonReportMalformed, err)
		}
		signed = signed.WithKeys(t.cfg.DecryptionKeys)
		var report *suit.Report
		switch {
		case signed.MACed():
			return nil, nil, refuse(ReasonReportKey, errors.New("the report has a MAC, and agents share no secret with this TAM; let it be signed"))
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
		case err != nil:
			return nil, nil, refuse(reportReason(err), err)
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

// verdict is what a report tells of its manifest.
type verdict struct {
	*suit.Report
	failure string // in words
}

// verdicts are the reports by manifest digest. Where several tell of one manifest, a
// failure stands.
type verdicts map[string]verdict

func verdictsOf(reports []*suit.Report) verdicts {
	out := make(verdicts, len(reports))
	for _, r := range reports {
		key := r.Reference.Digest.String()
		if before, ok := out[key]; ok && !before.Succeeded() {
			continue
		}
		out[key] = verdict{r, unplayed(r).Failure}
	}
	return out
}

// maxReplayed are the failures of one message that are told as exactly as the manifests
// allow. An agent that fails goes on to few others.
const maxReplayed = 8

// explain puts the failures of the Update's manifests into words. That takes longer than
// a transaction should, and needs none: what was published does not change.
func (t *TAM) explain(ctx context.Context, x *exchange, token []byte, said verdicts) error {
	failed := func(v verdict) bool { return !v.Succeeded() }
	if !slices.ContainsFunc(slices.Collect(maps.Values(said)), failed) {
		return nil
	}
	return t.cfg.Store.View(ctx, func(r Reader) error {
		if _, err := r.Outstanding(x.thumbprint(), token); err != nil {
			if errors.Is(err, ErrNotFound) {
				err = nil // settle refuses it
			}
			return err
		}
		left := maxReplayed
		for _, key := range slices.Sorted(maps.Keys(said)) {
			v := said[key]
			if v.Succeeded() || left == 0 {
				continue
			}
			left--
			words, err := replay(r, v.Report)
			if err != nil {
				return err
			}
			v.failure = words.Failure
			said[key] = v
		}
		return nil
	})
}

// judge returns what a report makes of a manifest, and keeps it with the manifest's
// component; what the message says of all where there is no report. Its words stand
// beside those of a report that tells of a failure.
func (s *session) judge(said verdicts, component suit.ComponentID, manifest suit.Digest, otherwise result) (result, error) {
	report, ok := said[manifest.String()]
	if !ok {
		return otherwise, nil
	}
	if err := s.keepReport(component, report.Report); err != nil {
		return result{}, err
	}
	if report.Succeeded() {
		return result{state: devices.Claimed}, nil
	}
	return result{state: devices.Failed, reason: saying(report.failure, otherwise.words)}, nil
}

// keepReport stores the report as far as it is not too large. Its nonce was the token
// of the Update, which is nobody's business.
func (s *session) keepReport(component suit.ComponentID, report *suit.Report) error {
	bare := *report
	bare.Nonce = nil
	encoded, err := bare.Encode()
	if err != nil || len(encoded) > maxReportKept {
		return err
	}
	return s.tx.PutReport(Report{
		Device: s.device.ID, Component: component, Manifest: report.Reference.Digest, At: s.now, Encoded: encoded,
	})
}
