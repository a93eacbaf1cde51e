package teephttp_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

// line is one line of a dump, and what people call it: "agent alice", "event
// update.failed carol", "spent poll".
type line struct{ label, text string }

// probe asks for what a dump cannot show: a token that may be spent, or the token
// of an Update that may wait for its answer.
type probe struct {
	name   string
	token  []byte
	waiter *cosekit.Thumbprint // of an Update; nil for a token or challenge
}

// snapshot is the whole store, with the names of the devices in it.
func snapshot(t testing.TB, s tam.Store, named []*virtualDevice, probes []probe) []line {
	t.Helper()
	names := map[string]string{}
	for _, d := range named {
		names[d.thumbprint().String()] = d.name
		names[hex.EncodeToString(d.ueid)] = d.name
	}
	var rows []line
	holder := "" // whose lines these are
	for text := range strings.Lines(storetest.Dump(t, s)) {
		words := strings.Fields(text)
		kind := words[0]
		switch kind {
		case "device": // device ID ueid UEID …
			holder = names[words[3]]
			names[words[1]] = holder
		case "manifest", "target", "envelope", "anchor", "token":
			rows = append(rows, line{kind, text})
			continue
		case "event": // event N at TIME ACTOR ACTION SUBJECT …
			name := nameIn(words[6], names)
			if name == "" {
				name = nameIn(words[4], names)
			}
			rows = append(rows, line{join(kind, words[5], name), text})
			continue
		}
		rows = append(rows, line{join(kind, holder), text})
	}
	return append(rows, answered(t, s, probes)...)
}

func join(words ...string) string { return strings.TrimSpace(strings.Join(words, " ")) }

// nameIn returns the name of the device that the text is about.
func nameIn(text string, names map[string]string) string {
	for id, name := range names {
		if strings.Contains(text, id) {
			return name
		}
	}
	return ""
}

func answered(t testing.TB, s tam.Store, probes []probe) (rows []line) {
	t.Helper()
	err := s.View(t.Context(), func(r tam.Reader) error {
		for _, p := range probes {
			label, found := "spent "+p.name, false
			var err error
			if p.waiter == nil {
				found, err = r.Spent(p.token)
			} else if _, err = r.Outstanding(*p.waiter, p.token); err == nil {
				label, found = "waiting "+p.name, true
			} else if errors.Is(err, tam.ErrNotFound) {
				err = nil
			}
			if err != nil {
				return err
			}
			if found {
				rows = append(rows, line{label, label})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// difference tells what became of the store, in the order of the labels: "+" for
// what is new, "-" for what is gone, "~" for what is another; empty for nothing.
func difference(before, after []line) string {
	count := map[line]int{}
	for _, r := range after {
		count[r]++
	}
	for _, r := range before {
		count[r]--
	}
	added, removed := map[string]int{}, map[string]int{}
	for r, n := range count {
		if n > 0 {
			added[r.label] += n
		} else {
			removed[r.label] -= n
		}
	}
	var words []string
	say := func(sign, label string, n int) {
		switch {
		case n == 1:
			words = append(words, sign+label)
		case n > 1:
			words = append(words, fmt.Sprintf("%s%s ×%d", sign, label, n))
		}
	}
	labels := map[string]bool{}
	for _, m := range []map[string]int{added, removed} {
		for label := range m {
			labels[label] = true
		}
	}
	for label := range labels {
		changed := min(added[label], removed[label])
		say("~", label, changed)
		say("+", label, added[label]-changed)
		say("-", label, removed[label]-changed)
	}
	slices.SortFunc(words, func(a, b string) int { return strings.Compare(a[1:], b[1:]) })
	return strings.Join(words, ", ")
}
