package tam

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// notedFor is how long one thing that repeats is not written to the record again.
const notedFor = time.Hour

// noteworthy reports whether something that an agent can repeat as often as it likes
// is to be written to the record: the first time in an hour, and the first after an
// operator changed the device. All of it is logged and counted.
func (s *session) noteworthy(what string) bool {
	if last, ok := s.agent.Noted[what]; ok && s.now.Sub(last) < notedFor && !last.Before(s.device.UpdatedAt) {
		return false
	}
	noted := map[string]time.Time{what: s.now}
	for other, last := range s.agent.Noted {
		if other != what && s.now.Sub(last) < notedFor {
			noted[other] = last
		}
	}
	s.agent.Noted = noted
	return true
}

// maxFaultsNoted bounds the faults of one reason that are recorded within an hour.
const maxFaultsNoted = 8

// noteworthyFault is noteworthy for evidence that was not accepted. A fault that differs is
// another: who looks at the last one on record must not take it for what the device showed
// since.
func (s *session) noteworthyFault(a appraisal) bool {
	kind := string(a.reason) + a.decision.Policy + " "
	what := kind + faultDigest(a)
	others := 0
	for noted, last := range s.agent.Noted {
		if noted != what && strings.HasPrefix(noted, kind) && s.now.Sub(last) < notedFor && !last.Before(s.device.UpdatedAt) {
			others++
		}
	}
	return others < maxFaultsNoted && s.noteworthy(what)
}

// faultDigest tells faults apart: by the values of the trust vector, by what was measured
// wrong, and by what policy says of it.
func faultDigest(a appraisal) string {
	h := sha256.New()
	for _, e := range a.result.Vector {
		fmt.Fprintf(h, "%q %q %d\n", e.Submod, e.Name, e.Value)
	}
	for _, c := range a.result.Comparisons {
		if !c.Match {
			fmt.Fprintf(h, "%q %q %q %q\n", c.Submod, c.Element, c.Name, c.Measured)
		}
	}
	fmt.Fprintf(h, "%q", a.decision.Reason)
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// strangers remembers refusals of enrolments, whose keys have no row to remember it
// in: one event for each key, reason and hour, and not more than there is room for.
// Each replica has its own memory.
type strangers struct {
	mu   sync.Mutex
	seen map[refusedKey]time.Time
}

type refusedKey struct {
	key    cosekit.Thumbprint
	reason Reason
}

// maxStrangers bounds the memory and, with it, the events of an hour.
const maxStrangers = 4096

// noteworthy reports whether the refusal is to be written to the record.
func (n *strangers) noteworthy(r refusedKey, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.due(r, now)
}

// note remembers that it was.
func (n *strangers) note(r refusedKey, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.due(r, now) {
		return
	}
	if n.seen == nil {
		n.seen = make(map[refusedKey]time.Time)
	}
	n.seen[r] = now
}

// due also makes room; the caller holds the lock.
func (n *strangers) due(r refusedKey, now time.Time) bool {
	if last, ok := n.seen[r]; ok && now.Sub(last) < notedFor {
		return false
	}
	if len(n.seen) >= maxStrangers {
		maps.DeleteFunc(n.seen, func(_ refusedKey, last time.Time) bool { return now.Sub(last) >= notedFor })
	}
	return len(n.seen) < maxStrangers
}
