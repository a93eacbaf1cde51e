package tam

import (
	"fmt"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Planner decides what a device is offered. It is called inside the transaction
// that spends the token, so that what it reads still holds when the Update goes
// out. It must not write.
type Planner interface {
	Plan(r Reader, in PlanInput) (Plan, error)
}

// PlanInput is what a session knows about the device; the rest is read.
type PlanInput struct {
	Device devices.Device
	Agent  devices.Agent
	// Inventory is what the agent lists, with the digests that the attester measured
	// where the session has its word.
	Inventory []devices.InventoryItem
	Requested []teep.RequestedTC
	// Unneeded are the manifests that the agent wants unlinked, by manifest component id.
	Unneeded []suit.ComponentID
	Now      time.Time
}

// Plan is what to unlink, then what to offer, in this order, and why not more.
type Plan struct {
	// Unneeded are the manifests to unlink, the newest known of each manifest
	// component id: it is that id which goes onto the wire.
	Unneeded []Manifest
	Offers   []Offer
	Notes    []Note
}

// Offer is a manifest to send.
type Offer struct {
	Manifest
	// WithoutPayload leaves the integrated payloads out of the envelope: the agent
	// has the binary (draft-ietf-teep-protocol-26 section 4.3, have-binary).
	WithoutPayload bool
}

func (p *Plan) empty() bool { return len(p.Unneeded)+len(p.Offers) == 0 }

func (p *Plan) note(c suit.ComponentID, format string, args ...any) {
	p.Notes = append(p.Notes, Note{c, fmt.Sprintf(format, args...)})
}

// Note explains the plan for one component, for logs and people.
type Note struct {
	Component suit.ComponentID
	Text      string
}

// loggedNotes bounds one line of the log.
const loggedNotes = 8

// words is the plan's notes in one line.
func (p Plan) words() string {
	var b strings.Builder
	for i, n := range p.Notes {
		if i == loggedNotes {
			fmt.Fprintf(&b, "; %d more", len(p.Notes)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", n.Component, n.Text)
	}
	return b.String()
}
