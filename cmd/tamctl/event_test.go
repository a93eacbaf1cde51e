package main

import (
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

var (
	someDigest = strings.Repeat("0123456789abcdef", 4)
	someDevice = "device:11111111-aaaa-4000-8000-000000000001"
	someEvents = []client.Event{
		{Seq: 1, At: time.Unix(1e9, 0), Actor: "operator:admin", Action: "attestation-anchor.added",
			Subject: "attestation-anchor:" + someDigest, Details: map[string]string{"title": "my device"}},
		{Seq: 99999999, At: time.Unix(1e9, 0), Actor: "agent:" + someDigest, Action: "update.failed", Subject: someDevice,
			Details: map[string]string{
				"manifest": "sha-256:" + someDigest, "component": "app/hello/suit", "sequence": "3",
				"detail": "the image does not match " + strings.Repeat("x", 80),
			}},
		{Seq: 3, Actor: "operator:somebody-with-a-long-name", Action: "operator.refused", Subject: someDevice, Reason: "device-state",
			Details: map[string]string{"detail": "is accepted\u001b[2J\nalready"}},
		{Seq: 4, Actor: "system", Action: "token-key.created"},
	}
)

func table(list []client.Event, wide bool) string {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	eventTable(t, list, wide)
	t.Flush()
	return out.String()
}

// A terminal of 100 columns holds the log, and loses none of the details.
func TestEventsFitTheTerminal(t *testing.T) {
	text := table(someEvents, false)
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"09-09 01:46:40", "agent:0123456…", "attestation-anchor:0123456789ab", "title=my device", "device:11111111-aaa",
		"component=app/hello/suit", "manifest=0123456789ab sequence=3", "the image does not match", "device-state", "is accepted?[2J already",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "x"); n != 80 {
		t.Errorf("of a long word %d letters are left", n)
	}
}

func TestWideEventsAreWholeLines(t *testing.T) {
	text := table(someEvents, true)
	if n := strings.Count(text, "\n"); n != len(someEvents)+1 {
		t.Errorf("%d lines for %d events:\n%s", n, len(someEvents), text)
	}
	for _, want := range []string{"2001-09-09 01:46:40Z", "agent:" + someDigest, "manifest=sha-256:" + someDigest, someDevice + " device-state"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":               {""},
		"one":            {"one"},
		"one two three":  {"one", "two", "three"},
		"a b c d":        {"a b c", "d"},
		"abcdefghijkl m": {"abcde", "fghij", "kl m"},
		"äöüßé ñ":        {"äöüßé", "ñ"},
	} {
		if got := wrap(text, 5); !slices.Equal(got, want) {
			t.Errorf("wrap(%q) is %q, want %q", text, got, want)
		}
	}
}
