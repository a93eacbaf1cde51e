package tam

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Sessions never wait for more than one sweep, nor a caller of Maintain for more
// than so many.
const (
	sweepLimit = 200 // rows in one transaction
	maxSweeps  = 50  // transactions of one kind in one call
)

// Maintain rotates the MAC keys, takes over those of other replicas, compiles policies
// that were changed, so that sessions seldom wait for it, and drops what has ended or is
// older than the policy keeps it: spent marks, outstanding Updates, appraisals, raw
// evidence and audit events. Call it every minute; no request drops anything.
func (t *TAM) Maintain(ctx context.Context) error {
	if err := t.rotate(ctx); err != nil {
		return fmt.Errorf("rotate token keys: %w", err)
	}
	if err := t.compilePolicies(ctx); err != nil {
		return fmt.Errorf("compile policies: %w", err)
	}
	now := t.cfg.Clock()
	err := sweep(ctx, t.cfg.Store, func(tx Tx) (int, error) { return tx.DeleteExpired(now, sweepLimit) })
	if err != nil {
		return fmt.Errorf("drop what has expired: %w", err)
	}
	if err := t.appraisals.sweep(ctx, t.cfg, now); err != nil {
		return fmt.Errorf("drop old appraisals: %w", err)
	}
	evidenceBefore := now.Add(-t.cfg.Policy.EvidenceAge)
	err = sweep(ctx, t.cfg.Store, func(tx Tx) (int, error) { return tx.DropEvidence(evidenceBefore, sweepLimit) })
	if err != nil {
		return fmt.Errorf("drop old evidence: %w", err)
	}
	if err := t.deleteEvents(ctx, now); err != nil {
		return fmt.Errorf("drop old audit events: %w", err)
	}
	return nil
}

func (t *TAM) compilePolicies(ctx context.Context) error {
	var state int64
	err := t.cfg.Store.View(ctx, func(r Reader) (err error) {
		state, err = r.PolicyState()
		return err
	})
	if err != nil {
		return err
	}
	return t.rules.refresh(ctx, t.cfg.Store, state)
}

// sweep runs a step in one transaction after the other, until it drops less than it may.
func sweep(ctx context.Context, store Store, step func(Tx) (int, error)) error {
	for {
		var deleted int
		err := store.Update(ctx, func(tx Tx) (err error) {
			deleted, err = step(tx)
			return err
		})
		if err != nil || deleted < sweepLimit {
			return err
		}
	}
}

// appraisalSweeper goes through the agents, on from where the last call ended.
type appraisalSweeper struct {
	mu    sync.Mutex
	after cosekit.Thumbprint
}

func (s *appraisalSweeper) sweep(ctx context.Context, cfg Config, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := now.Add(-cfg.Policy.AppraisalAge)
	for range maxSweeps {
		var next cosekit.Thumbprint
		err := cfg.Store.Update(ctx, func(tx Tx) (err error) {
			next, err = tx.DeleteAppraisals(s.after, before, cfg.Policy.KeepAppraisals, sweepLimit)
			return err
		})
		if err != nil {
			return err
		}
		s.after = next
		if next == (cosekit.Thumbprint{}) {
			return nil
		}
	}
	return nil
}

func (t *TAM) deleteEvents(ctx context.Context, now time.Time) error {
	if t.cfg.Policy.AuditAge == 0 {
		return nil
	}
	before := now.Add(-t.cfg.Policy.AuditAge)
	record := audit.Event{At: now, Actor: "system", Action: audit.LogShortened, Subject: "audit-log"}
	for range maxSweeps {
		var deleted int
		err := t.cfg.Store.Update(ctx, func(tx Tx) (err error) {
			deleted = 0
			due, err := eventsDue(tx, before)
			if err == nil && due {
				deleted, err = tx.DeleteEvents(before, sweepLimit, record)
			}
			return err
		})
		if err != nil || deleted < sweepLimit {
			return err
		}
	}
	return nil
}

// eventsDue reports whether old events are worth dropping. Records of earlier drops
// alone are not: they wait for other events, for the record of their end would take
// their place, and so on for ever.
func eventsDue(r audit.Reader, before time.Time) (bool, error) {
	oldest, err := r.Events(0, sweepLimit)
	if err != nil {
		return false, err
	}
	for _, e := range oldest {
		if old := e.At.Before(before); !old || e.Action != audit.LogShortened {
			return old, nil
		}
	}
	return len(oldest) == sweepLimit, nil
}
