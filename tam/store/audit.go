package store

import "github.com/tamarack-tam/tamarack/tam/audit"

var (
	selectEvents = prepare(`SELECT seq, at, actor, action, subject, reason, details FROM audit_events
		WHERE seq > ? ORDER BY seq LIMIT ?`)
	insertEvent = prepare(`INSERT INTO audit_events (at, actor, action, subject, reason, details) VALUES (?, ?, ?, ?, ?, ?)`)
)

func scanEvent(r *row) (audit.Event, error) {
	e := audit.Event{
		Seq: r.int(), At: timeOf(r.int()), Actor: r.text(), Action: audit.Action(r.text()), Subject: r.text(), Reason: r.text(),
	}
	return e, decode("details", r.bytes(), &e.Details)
}

func (s snapshot) Events(after int64, limit int) ([]audit.Event, error) {
	if err := checkLimit(limit); err != nil {
		return nil, about(err, "audit events")
	}
	events, err := list(s.transaction, selectEvents, scanEvent, after, limit)
	return events, about(err, "audit events after %d", after)
}

// AppendEvent gives the event the next number. There are no gaps: a transaction
// that is undone gives its numbers back.
func (u update) AppendEvent(e audit.Event) error {
	details, err := encode(e.Details)
	if err != nil {
		return about(err, "details of audit event %s", e.Action)
	}
	_, err = u.exec(insertEvent, micros(e.At), e.Actor, string(e.Action), e.Subject, e.Reason, details)
	return about(err, "audit event %s", e.Action)
}
