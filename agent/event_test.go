package agent_test

import (
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
)

func TestEventIsFitForATerminal(t *testing.T) {
	for detail, want := range map[string]string{
		"plain, ü and …":             "failed     plain, ü and …",
		"\x1b[2J\aall is \u202ewell": "failed     \uFFFD[2J\uFFFDall is \uFFFDwell",
		"two\nlines":                 "failed     two\nlines",
	} {
		if got := (agent.Event{Step: agent.StepFailed, Detail: detail}).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
