package tam

import (
	"sync"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// appraisalGate admits one appraisal per challenge at a time, and a bounded number by
// each verifier in this replica: evidence of unknown senders costs a verifier's work
// before anybody knows whether it is worth anything. One verifier that stalls leaves the
// others their places.
type appraisalGate struct {
	mu      sync.Mutex
	running map[string]struct{} // by challenge
	by      map[string]int      // by the route to the verifier
	limit   int
}

func newAppraisalGate(limit int) *appraisalGate {
	return &appraisalGate{running: make(map[string]struct{}), by: make(map[string]int), limit: limit}
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
func (g *appraisalGate) enter(challenge []byte, route string) (leave func(), err error) {
	key := string(challenge)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.running[key]; ok {
		return nil, refuse(ReasonAppraisalRunning, nil)
	}
	if g.by[route] >= g.limit {
		return nil, refuse(ReasonAppraisalsBusy, nil)
	}
	g.running[key] = struct{}{}
	g.by[route]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.running, key)
		g.by[route]--
	}, nil
}
