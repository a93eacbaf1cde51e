package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// killLog is what the audit log says has happened. The state of the TAM must be what
// follows from it: no change without its event, and no event without its change.
type killLog struct {
	last int64
	sum  [sha256.Size]byte // over all events, to notice a rewritten one

	manifests map[string]loggedManifest // by digest
	payloads  map[string]bool           // by digest
	anchors   map[string]bool           // by thumbprint
	devices   map[string]*loggedDevice  // by id
	claims    map[string]int            // by actor and manifest
	offers    map[string]int            // by actor and manifest
	attested  map[string]int            // by actor
}

type loggedManifest struct{ component, sequence string }

type loggedDevice struct {
	ueid, state string
	agents      map[string]bool // by thumbprint
	reportKeys  map[string]bool // by thumbprint
	required    map[string]bool
	components  map[string]loggedComponent
}

// loggedComponent is how far a manifest has come on a device.
type loggedComponent struct{ manifest, sequence, state string }

func newKillLog() *killLog {
	return &killLog{
		manifests: map[string]loggedManifest{}, payloads: map[string]bool{}, anchors: map[string]bool{},
		devices: map[string]*loggedDevice{}, claims: map[string]int{}, offers: map[string]int{}, attested: map[string]int{},
	}
}

// componentStates are the states that an event puts a component into.
var componentStates = map[audit.Action]string{
	audit.UpdateOffered:      "offered",
	audit.UpdateClaimed:      "claimed",
	audit.UpdateFailed:       "failed",
	audit.ComponentConfirmed: "confirmed",
}

// add takes the next event.
func (l *killLog) add(e client.Event) error {
	if e.Seq != l.last+1 {
		return fmt.Errorf("event %d follows event %d", e.Seq, l.last)
	}
	l.last = e.Seq
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.sum = sha256.Sum256(append(l.sum[:], raw...))
	_, subject, _ := strings.Cut(e.Subject, ":")
	switch action := audit.Action(e.Action); action {
	case audit.ManifestPublished:
		l.manifests[subject] = loggedManifest{e.Details["component"], e.Details["sequence"]}
	case audit.PayloadUploaded:
		l.payloads[subject] = true
	case audit.PublisherAdded, audit.AttestationAnchorAdded:
		l.anchors[subject] = true
	case audit.DeviceCreated:
		l.devices[subject] = &loggedDevice{
			ueid: e.Details["ueid"], state: e.Details["state"], agents: map[string]bool{}, reportKeys: map[string]bool{},
			required: map[string]bool{}, components: map[string]loggedComponent{},
		}
	default:
		if strings.HasPrefix(e.Subject, "device:") {
			return l.addToDevice(action, subject, e)
		}
	}
	return nil
}

func (l *killLog) addToDevice(action audit.Action, id string, e client.Event) error {
	d := l.devices[id]
	if d == nil {
		return fmt.Errorf("event %d, %s, is about device %s, whose creation was not logged", e.Seq, e.Action, id)
	}
	actor, manifest := e.Actor, e.Details["manifest"]
	switch action {
	case audit.AgentAdded:
		d.agents[strings.TrimPrefix(actor, "agent:")] = true
	case audit.ReportKeyPinned:
		d.reportKeys[e.Details["key"]] = true
	case audit.DeviceAccepted:
		d.state = e.Details["to"]
	case audit.ComponentRequired:
		d.required[e.Details["component"]] = true
	case audit.AttestationAccepted:
		l.attested[actor]++
	case audit.UpdateOffered:
		l.offers[actor+" "+manifest]++
	case audit.UpdateClaimed:
		l.claims[actor+" "+manifest]++
	}
	if state, ok := componentStates[action]; ok && manifest != "" {
		d.components[e.Details["component"]] = loggedComponent{manifest, e.Details["sequence"], state}
	}
	return nil
}
