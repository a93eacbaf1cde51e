package audit

import "time"

// Event is one line of the audit log. It is written in the transaction of the
// change that it tells of.
type Event struct {
	Seq     int64 // given by the log, increasing by one
	At      time.Time
	Actor   string // "agent:<thumbprint>", "operator:<name>", "system"
	Action  Action
	Subject string // what was acted on: "device:<id>", "manifest:<digest>", …
	Reason  string // stable reason code of a refusal, or an operator's words
	Details map[string]string
}

// Action is what happened.
type Action string

// Log appends events, inside the caller's transaction.
type Log interface {
	AppendEvent(e Event) error
}

// Reader lists events in the order of their Seq, from the first after the given one.
type Reader interface {
	Events(after int64, limit int) ([]Event, error)
}
