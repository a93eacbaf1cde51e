package devices

import (
	"encoding/hex"
	"slices"
	"time"
)

// successors says which states may follow which. A retired device that comes back is
// judged anew.
var successors = map[State][]State{
	Pending:     {Accepted, Rejected, Retired}, // it gets nothing yet, and a release would admit it
	Accepted:    {Quarantined, Rejected, Retired},
	Quarantined: {Accepted, Rejected, Retired},
	Rejected:    {Accepted, Retired},
	Retired:     {Pending},
}

// Valid reports whether s is one of the states.
func (s State) Valid() bool {
	_, ok := successors[s]
	return ok
}

// CanBecome reports whether a device in state s may be put into state t. A state does
// not become itself: there is nothing to do then.
func (s State) CanBecome(t State) bool { return slices.Contains(successors[s], t) }

// Valid reports whether s is one of the component states.
func (s ComponentState) Valid() bool {
	switch s {
	case Offered, Claimed, Confirmed, Failed:
		return true
	}
	return s.Removal()
}

// Removal reports whether s is a state of unlinking.
func (s ComponentState) Removal() bool {
	switch s {
	case Removing, Unlinked, Removed, RemovalFailed:
		return true
	}
	return false
}

// DisplayName is what to call the device before people: its name, else its ueid in
// hexadecimal, else its id.
func (d Device) DisplayName() string {
	switch {
	case d.Name != "":
		return d.Name
	case len(d.UEID) > 0:
		return hex.EncodeToString(d.UEID)
	}
	return string(d.ID)
}

// HoldActive reports whether the agent is being held back at the time now.
func (a Agent) HoldActive(now time.Time) bool { return now.Before(a.HoldUntil) }
