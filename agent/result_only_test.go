package agent

import (
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// TestResultOnly goes where a report cannot.
func TestResultOnly(t *testing.T) {
	key, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{config: Config{ReportKey: key, Observe: func(Event) {}}}
	digest := suit.SumSHA256([]byte("manifest"))
	failure := &suit.ReportFailure{Code: 3, Reason: suit.ReasonConditionFailed, Record: suit.Record{
		ManifestID: make([]uint64, suit.MaxManifestDepth+1), Section: suit.SectionInstall,
	}}
	tooMany := slices.Repeat([]suit.ReportEntry{suit.Record{}}, suit.MaxReportEntries+1)
	tooLarge := slices.Repeat([]suit.ReportEntry{suit.Record{Measured: suit.Parameters{ImageDigest: &digest}}}, 2000)
	for name, report := range map[string]*suit.Report{
		"entries":   {Entries: tooMany},
		"bytes":     {Entries: tooLarge},
		"a failure": {Failure: failure},
	} {
		report.Reference.Digest = digest
		out := a.signReports([]byte("token"), []*suit.Report{report})
		if len(out) != 1 {
			t.Fatalf("%s: %d reports", name, len(out))
		}
		signed, err := suit.OpenReport(out[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := signed.Verify(key.PublicKey(), false)
		if err != nil || string(got.Nonce) != "token" || !got.Reference.Digest.Equal(digest) || got.Succeeded() != report.Succeeded() || len(got.Entries) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
