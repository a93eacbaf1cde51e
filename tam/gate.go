package tam

import (
	"sync"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// appraisalGate admits one appraisal per challenge at a time, and a bounded number by
// each verifier in this replica: evidence of unknown senders costs a verifier's work
// before anybody knows whether it is worth anything, so they get half of the places. One
// verifier that stalls leaves the others theirs.
type appraisalGate struct {
	mu      sync.Mutex
	running map[string]struct{} // by challenge
	by      map[place]int
	limit   int
}

func newAppraisalGate(limit int) *appraisalGate {
	return &appraisalGate{running: make(map[string]struct{}), by: make(map[place]int), limit: limit}
}

// place is where appraisals are counted: at the route to a verifier, of strangers apart.
type place struct {
	route    string
	stranger bool
}

// router is a Verifier that is several, by name.
type router interface {
	// RouteOf names the one that appraises evidence of a media type, as evidence.Router does.
	RouteOf(attest.MediaType) string
}

// routeOf names the verifier that the evidence goes to; empty where there is one only, or none.
func (t *TAM) routeOf(reading *evidence.Reading) string {
	r, ok := t.cfg.Verifier.(router)
	if !ok {
		return ""
	}
	if reading.Inner != nil {
		reading = reading.Inner.Reading
	}
	return r.RouteOf(reading.Media)
}

// enter refuses or returns the function that leaves.
func (g *appraisalGate) enter(challenge []byte, at place) (leave func(), err error) {
	key := string(challenge)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.running[key]; ok {
		return nil, refuse(ReasonAppraisalRunning, nil)
	}
	known, strangers := place{route: at.route}, place{at.route, true}
	if g.by[known]+g.by[strangers] >= g.limit || at.stranger && g.by[strangers] >= (g.limit+1)/2 {
		return nil, refuse(ReasonAppraisalsBusy, nil)
	}
	g.running[key] = struct{}{}
	g.by[at]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.running, key)
		g.by[at]--
	}, nil
}
