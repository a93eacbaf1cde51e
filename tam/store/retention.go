package store

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

var (
	selectAppraisedAgent = prepare(`SELECT agent FROM appraisals WHERE agent > ? ORDER BY agent LIMIT 1`)
	deleteOldAppraisals  = prepare(`DELETE FROM appraisals WHERE id IN
		(SELECT id FROM appraisals WHERE agent = ?1 AND at < ?2 AND (at, id) <=
			(SELECT at, id FROM appraisals WHERE agent = ?1 ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?3)
		ORDER BY at, id LIMIT ?4)`)
)

func (u update) DeleteAppraisals(after cosekit.Thumbprint, before time.Time, keep, limit int) (cosekit.Thumbprint, error) {
	if keep < 0 || limit < 1 {
		return after, fmt.Errorf("delete %d appraisals and keep %d of each agent, want 1 and 0 at least", limit, keep)
	}
	next, err := u.deleteAppraisals(after, before, keep, limit)
	return next, about(err, "delete old appraisals")
}

func (u update) deleteAppraisals(after cosekit.Thumbprint, before time.Time, keep, limit int) (cosekit.Thumbprint, error) {
	for left := int64(limit); limit > 0; limit-- {
		found, err := list(u.transaction, selectAppraisedAgent, scanBlob, after[:])
		if err != nil || len(found) == 0 {
			return cosekit.Thumbprint{}, err
		}
		agent, err := thumbprintOf("agent", found[0])
		if err != nil {
			return after, err
		}
		deleted, err := u.exec(deleteOldAppraisals, agent[:], micros(before), keep, left)
		if err != nil {
			return after, err
		}
		after = agent
		if left -= deleted; left == 0 {
			break
		}
	}
	return after, nil
}

// dropEvidence goes by the index of those that have raw bytes: what is done is not looked at again.
var dropEvidence = prepare(`UPDATE appraisals SET evidence = NULL, result = NULL WHERE id IN
	(SELECT id FROM appraisals WHERE at < ? AND (evidence IS NOT NULL OR result IS NOT NULL) ORDER BY at LIMIT ?)`)

func (u update) DropEvidence(before time.Time, limit int) (int, error) {
	if limit < 1 {
		return 0, fmt.Errorf("drop the evidence of %d appraisals, want 1 at least", limit)
	}
	dropped, err := u.exec(dropEvidence, micros(before), limit)
	return int(dropped), about(err, "drop old evidence")
}

var (
	selectOldestEvents = prepare(`SELECT seq, at FROM audit_events WHERE seq > 0 ORDER BY seq LIMIT ?`)
	raiseFloor         = prepare(`UPDATE audit_floor SET seq = ? WHERE id = 1`)
	deleteEvents       = prepare(`DELETE FROM audit_events WHERE seq <= ?`)
)

// age is how old an event is.
type age struct {
	seq int64
	at  time.Time
}

func scanAge(r *row) (age, error) { return age{r.int(), timeOf(r.int())}, nil }

func (u update) DeleteEvents(before time.Time, limit int, record audit.Event) (int, error) {
	if err := checkLimit(limit); err != nil {
		return 0, about(err, "delete audit events")
	}
	deleted, err := u.deleteEvents(before, limit, record)
	return deleted, about(err, "delete audit events")
}

func (u update) deleteEvents(before time.Time, limit int, record audit.Event) (int, error) {
	oldest, err := list(u.transaction, selectOldestEvents, scanAge, limit)
	if err != nil {
		return 0, err
	}
	n := 0
	for n < len(oldest) && oldest[n].at.Before(before) {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	through := oldest[n-1].seq
	if _, err := u.exec(raiseFloor, through); err != nil {
		return 0, err
	}
	if _, err := u.exec(deleteEvents, through); err != nil {
		return 0, err
	}
	details := maps.Clone(record.Details)
	if details == nil {
		details = map[string]string{}
	}
	details["through"] = strconv.FormatInt(through, 10)
	record.Details = details
	return n, u.AppendEvent(record)
}
