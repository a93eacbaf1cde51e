package tam

import "sync"

// appraisalGate admits one appraisal per challenge at a time, and a bounded number
// in this replica: evidence of unknown senders costs a verifier's work before
// anybody knows whether it is worth anything.
type appraisalGate struct {
	mu      sync.Mutex
	running map[string]struct{} // by challenge
	limit   int
}

func newAppraisalGate(limit int) *appraisalGate {
	return &appraisalGate{running: make(map[string]struct{}), limit: limit}
}

// enter refuses or returns the function that leaves.
func (g *appraisalGate) enter(challenge []byte) (leave func(), err error) {
	key := string(challenge)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.running[key]; ok {
		return nil, refuse(ReasonAppraisalRunning, nil)
	}
	if len(g.running) >= g.limit {
		return nil, refuse(ReasonAppraisalsBusy, nil)
	}
	g.running[key] = struct{}{}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.running, key)
	}, nil
}
