package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// birth makes a device that nobody knows yet.
func (c *campaign) birth() (*killAgent, error) {
	a, err := newKillAgent(c.born, c.publishers[0].key.PublicKey())
	if err != nil {
		return nil, err
	}
	for i := range 1 + c.born%len(c.publishers) {
		a.wanted = append(a.wanted, c.publishers[(c.born+i)%len(c.publishers)].component)
	}
	c.born++
	return a, nil
}

// session takes an agent, and its operators, to where nothing is left to say. The
// first steps answer what was left open by the kill.
func (c *campaign) session(ctx context.Context, s *site, a *killAgent) error {
	const most = 64 // steps
	for range most {
		worked, err := a.serveDuty(ctx, s)
		if err == nil && !worked {
			err = a.speak(ctx, s)
		}
		if err != nil {
			return fmt.Errorf("a session after the start: %w", err)
		}
		if a.turn == nil && a.update == nil && !worked {
			return nil
		}
	}
	return fmt.Errorf("%s found no end in %d steps", a.name, most)
}

// load has everybody work at the same time until the server is killed.
func (c *campaign) load(ctx context.Context, s *site) error {
	var workers sync.WaitGroup
	faults := make(chan error, len(c.working)+len(c.publishers))
	work := func(step func() error) {
		workers.Go(func() {
			for !s.victim.killed.Load() {
				err := step()
				if err == nil || errors.Is(err, errLost) && s.victim.killed.Load() {
					continue
				}
				faults <- err
				s.victim.kill() // so that nobody waits for an event that may not come
				return
			}
		})
	}
	for _, p := range c.publishers {
		work(func() error { return p.work(ctx, s) })
	}
	var mu sync.Mutex // of births
	for i := range c.working {
		work(func() error {
			a := c.working[i]
			worked, err := a.serveDuty(ctx, s)
			if err == nil && !worked {
				err = a.speak(ctx, s)
			}
			if err == nil && a.turn == nil && a.update == nil && a.fulfilled() {
				mu.Lock()
				defer mu.Unlock()
				err = c.retire(i)
			}
			return err
		})
	}
	workers.Wait()
	close(faults)
	var all []error
	for err := range faults {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// retire now and then gives the place of an agent that has what it should to a new one.
func (c *campaign) retire(i int) error {
	if c.random.IntN(2) > 0 {
		return nil
	}
	next, err := c.birth()
	if err != nil {
		return err
	}
	c.retired = append(c.retired, c.working[i])
	c.working[i] = next
	return nil
}

// has reports whether the agent holds the newest publication, confirmed.
func (a *killAgent) has(p *killPublisher) bool {
	for _, h := range a.holds {
		if h.target.Equal(p.component) {
			return h.confirmed && h.sequence == p.newest()
		}
	}
	return false
}
