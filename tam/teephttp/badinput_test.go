package teephttp_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// trial is a row of the table of bad input: what is sent, what comes of it, and how
// the store differs afterwards.
type trial struct {
	name string
	send func(*scene) []request
	// together sends the requests at once.
	together bool
	// want is the outcome of all requests, for example "204 malformed" or "200 Update
	// ERR_ATTESTATION_REQUIRED nonce"; where outcomes differ, each of them once.
	want string
	// changes is what may differ in the store, as difference has it. Nothing else does.
	changes string
	// still is a message that the TAM must take afterwards as if nothing had been.
	still *message
}

// refused stands for whatever reason.
const refused = "204 for a reason"

// TestBadInput sends what hostile and clumsy agents, brokers and networks send, over
// HTTP to a TAM on a database file, in both numberings and both suites. Nothing but
// what the table says may be answered, or change.
func TestBadInput(t *testing.T) {
	variants := []variant{
		{teep.IANA, cosekit.ESP256}, {teep.IANA, cosekit.Ed25519},
		{teep.PreIANA, cosekit.ESP256}, {teep.PreIANA, cosekit.Ed25519},
	}
	var rows, requests atomic.Int64
	t.Run("variants", func(t *testing.T) {
		for _, v := range variants {
			t.Run(v.String(), func(t *testing.T) {
				t.Parallel()
				s := setStage(t, v)
				table := slices.Concat(honest(s), malformed(s), forged(s), tokens(s), attestation(s), unasked(s), lenient(s), answers(s), races(s), overHTTP(s))
				rows.Store(int64(len(table)))
				slices.SortStableFunc(table, func(a, b trial) int { return strings.Compare(a.still.title(), b.still.title()) })
				requests.Add(int64(s.run(t, table)))
			})
		}
	})
	t.Logf("bad input: %d rows, each in %d variants, %d requests", rows.Load(), len(variants), requests.Load())
}

// run tries the rows, each in a scene that is new, or as good as new. It returns
// how many requests it has sent.
func (s *stage) run(t *testing.T, table []trial) (sent int) {
	var sc *scene
	end := func() {
		if sc != nil {
			sc.stop()
		}
		sc = nil
	}
	defer end()
	names := map[string]bool{}
	for i, row := range table {
		if names[row.name] {
			t.Fatalf("two rows are called %q", row.name)
		}
		names[row.name] = true
		if sc == nil {
			sc = s.scene(t)
		}
		sent += sc.try(t, row)
		untouched := sc.untouched()
		if row.still != nil && !(untouched && i+1 < len(table) && table[i+1].still == row.still) {
			sc.tryStill(t, row)
			untouched = false
		}
		if !untouched {
			end()
		}
	}
	return sent
}

// try tries a row, and returns how many requests it has sent.
func (sc *scene) try(t *testing.T, row trial) int {
	requests := row.send(sc)
	before := sc.snapshot()
	outcomes := sc.deliver(t.Context(), requests, row.together)
	if row.want == refused {
		for _, got := range outcomes {
			if !strings.HasPrefix(got, "204 ") {
				t.Errorf("%s: %s, want %s", row.name, got, refused)
			}
		}
	} else if got := strings.Join(outcomes, " | "); got != row.want {
		t.Errorf("%s: %s, want %s", row.name, got, row.want)
	}
	if got := difference(before, sc.snapshot()); got != row.changes {
		t.Errorf("%s: the store differs by (%s), want (%s)", row.name, got, row.changes)
	}
	return len(requests)
}

// tryStill sends the message that must be good after the row as it was before. Rows
// that follow each other, have it in common and change nothing share one try.
func (sc *scene) tryStill(t *testing.T, row trial) {
	m := row.still
	before := sc.snapshot()
	got := sc.deliver(t.Context(), []request{m.request()}, false)[0]
	changes := difference(before, sc.snapshot())
	if got != m.want || changes != m.changes {
		t.Errorf("%s: then the %s of %s: %s (%s), want %s (%s)", row.name, m.name, m.by.name, got, changes, m.want, m.changes)
	}
}

// to makes requests of bodies.
func to(path string, bodies ...[]byte) func(*scene) []request {
	return func(*scene) []request {
		requests := make([]request, len(bodies))
		for i, b := range bodies {
			requests[i] = request{path: path, body: b}
		}
		return requests
	}
}

// honest shows that the messages are good, and what they do, so that the rows
// behind them mean something.
func honest(s *stage) (table []trial) {
	for _, m := range s.messages() {
		table = append(table, trial{name: m.name + " as it is", send: to(m.path, m.wire), want: m.want, changes: m.changes})
	}
	return table
}
