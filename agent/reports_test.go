package agent_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// What a TAM takes: see package tam.
const (
	takenReports = 32
	takenReport  = 64 << 10
)

// repeating is the release with a condition, to be recorded, that is evaluated n times.
func (w *world) repeating(r release, n int) *teep.Update {
	return w.changed(r, func(m *suit.Manifest) {
		for _, s := range []suit.Section{suit.SectionInstall, suit.SectionValidate, suit.SectionCandidateVerification} {
			part := min(n, 1000)
			n -= part
			var commands []suit.Command
			if body := m.Sections[s].Sequence; body != nil {
				commands = body.Commands
			}
			code := suit.ConditionImageMatch
			if s == suit.SectionCandidateVerification { // the image is not there yet
				code = suit.ConditionVendorIdentifier
			}
			for range part {
				commands = append(commands, suit.Command{Code: code, Argument: suit.ReportAll})
			}
			if len(commands) > 0 {
				m.Sections[s] = suit.Severable{Sequence: &suit.Sequence{Commands: commands}}
			}
		}
	})
}

// TestManifestCannotSilenceTheAgent by what it asks to have recorded.
func TestManifestCannotSilenceTheAgent(t *testing.T) {
	for _, n := range []int{600, 1000, 1300, 2200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t)
			u := w.repeating(release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher}, n)
			u.Manifests = append(u.Manifests, w.update(release{component: "b", sequence: 1, image: "b", signer: w.publisher}).Manifests...)
			s := must[*teep.Success](w, u)
			reports := w.reports(s.SUITReports)
			if len(reports) != 2 || !reports[0].Succeeded() || len(reports[0].Properties()) != 1 {
				t.Fatalf("%d reports", len(reports))
			}
			if len(s.SUITReports[0]) > takenReport {
				t.Errorf("report of %d bytes", len(s.SUITReports[0]))
			}
			if _, left := reports[0].Extensions[suit.ReportLeftOut]; left != (n > 1000) {
				t.Errorf("records left out: %v", left)
			}
		})
	}
}

// TestReportsOfOneMessage: no more than a TAM takes, and failures first.
func TestReportsOfOneMessage(t *testing.T) {
	w := newWorld(t)
	u := &teep.Update{Token: token}
	for i := range takenReports + 8 {
		r := release{component: fmt.Sprintf("app/%d", i), sequence: 1, image: "h", signer: w.publisher}
		if i >= takenReports+4 {
			r.signer = w.mallory
		}
		u.Manifests = append(u.Manifests, w.update(r).Manifests...)
	}
	e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrManifest)
	reports := w.reports(e.SUITReports)
	failed := len(slices.DeleteFunc(slices.Clone(reports), (*suit.Report).Succeeded))
	if len(reports) != takenReports || failed != 4 {
		t.Errorf("%d reports, %d of them of failures", len(reports), failed)
	}
}

// TestReportsTogether stay far below the largest message that a TAM takes.
func TestReportsTogether(t *testing.T) {
	w := newWorld(t)
	u := &teep.Update{Token: token}
	for i := range 16 {
		r := release{component: fmt.Sprintf("app/%d", i), sequence: 1, image: "h", signer: w.publisher}
		u.Manifests = append(u.Manifests, w.repeating(r, 1000).Manifests...)
	}
	u.Token = token // repeating has drawn new ones
	s := must[*teep.Success](w, u)
	size := 0
	for _, r := range s.SUITReports {
		size += len(r)
	}
	if reports := w.reports(s.SUITReports); len(reports) < 10 || size > 1<<19 {
		t.Errorf("%d reports in %d bytes", len(reports), size)
	}
}
