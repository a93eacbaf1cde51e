package agent

import (
	"fmt"
	"strings"
	"unicode"
)

// Step names a moment of a session.
type Step string

// The steps of a session, in the order in which they come.
const (
	StepConnect   Step = "connect"   // the broker asks the TAM for a message
	StepQuery     Step = "query"     // a QueryRequest by a trusted TAM
	StepDemand    Step = "demand"    // the TAM has to attest itself first
	StepAttested  Step = "attested"  // it has
	StepEvidence  Step = "evidence"  // evidence was made for it, or a passport presented
	StepAnswer    Step = "answer"    // the QueryResponse
	StepUpdate    Step = "update"    // an Update by a trusted TAM
	StepPassport  Step = "passport"  // an attestation result about the device was kept, or why not
	StepSelfTest  Step = "self-test" // a line that a candidate printed in its self-test
	StepBent      Step = "bent"      // a rule that was bent to install a manifest
	StepInstalled Step = "installed" // one manifest, in full
	StepUnlinked  Step = "unlinked"  // one manifest and what only it referenced
	StepFailed    Step = "failed"    // one manifest, not installed or not unlinked
	StepReport    Step = "report"    // the Success or Error for the Update
	StepRefused   Step = "refused"   // a message that came to nothing, and why
	StepEnd       Step = "end"       // one side has nothing more to say

	// Not of a session: somebody on the device starts an application.
	StepOutput  Step = "output"  // a line that it printed
	StepInvoked Step = "invoked" // one manifest, and its application has ended well
)

// Event is one step of a session as it happens, for people who watch. It holds no
// evidence, tokens or keys.
type Event struct {
	Step   Step
	Detail string // one line
}

// brief cuts a thumbprint or digest to what tells it from others. The status of the
// device shows it whole.
func brief(hex string) string { return hex[:min(len(hex), 12)] + "…" }

// String returns the step and the detail in two columns, fit for a terminal: what
// servers say may be part of it.
func (e Event) String() string {
	detail := strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, e.Detail)
	return fmt.Sprintf("%-9s  %s", e.Step, detail)
}
