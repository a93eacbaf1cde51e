package tam

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// SeenDevice is a device and when one of its agents last spoke; zero for never.
type SeenDevice struct {
	devices.Device
	LastSeen time.Time
}

// Devices lists devices by ascending id, of one state or of all.
func (f *Fleet) Devices(ctx context.Context, state devices.State, page Page) (list []SeenDevice, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		found, err := r.Devices(state, page)
		if err != nil {
			return err
		}
		list = make([]SeenDevice, len(found))
		for i, d := range found {
			agents, err := r.AgentsOf(d.ID)
			if err != nil {
				return err
			}
			list[i] = seen(d, agents)
		}
		return nil
	})
	return list, err
}

func seen(d devices.Device, agents []devices.Agent) SeenDevice {
	s := SeenDevice{Device: d}
	for _, a := range agents {
		if a.LastSeen.After(s.LastSeen) {
			s.LastSeen = a.LastSeen
		}
	}
	return s
}

// DeviceDetail is all that the TAM knows of a device.
type DeviceDetail struct {
	Device       SeenDevice
	Agents       []devices.Agent
	Inventory    []devices.InventoryItem
	Components   []devices.ComponentStatus
	Standing     []Manifest       // what Components name as Held
	Reports      []ReplayedReport // the last about each manifest component id
	Requirements []devices.Requirement
	Removals     []devices.Removal
	Appraisals   []devices.Appraisal // the newest first, a few
}

// ReplayedReport is a SUIT_Report in words. All of it is the device's word.
type ReplayedReport struct {
	Component suit.ComponentID // manifest component id
	Manifest  suit.Digest
	At        time.Time
	Completed bool
	Lines     []string
}

// shownReports is how many reports a DeviceDetail replays, those of the last updates.
const shownReports = 32

// shownAppraisals is how many attestations a DeviceDetail goes back.
const shownAppraisals = 5

// Device finds a device by what people call it: its id, the first digits of its
// id where they are enough to tell it from all others, or its ueid in hexadecimal
// digits.
func (f *Fleet) Device(ctx context.Context, ref string) (d DeviceDetail, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		found, err := findDevice(r, ref)
		if err != nil {
			return err
		}
		if d.Agents, err = r.AgentsOf(found.ID); err != nil {
			return err
		}
		d.Device = seen(found, d.Agents)
		if d.Inventory, err = r.Inventory(found.ID); err != nil {
			return err
		}
		if d.Components, err = r.ComponentStatuses(found.ID); err != nil {
			return err
		}
		if d.Standing, err = standingOf(r, d.Components); err != nil {
			return err
		}
		if d.Requirements, err = r.Requirements(found.ID); err != nil {
			return err
		}
		if d.Removals, err = r.Removals(found.ID); err != nil {
			return err
		}
		if d.Reports, err = replayReports(r, found.ID); err != nil {
			return err
		}
		d.Appraisals, err = r.Appraisals(AppraisalQuery{Device: found.ID, Limit: shownAppraisals})
		return err
	})
	return d, err
}

func standingOf(r Reader, statuses []devices.ComponentStatus) (list []Manifest, err error) {
	for _, s := range statuses {
		if s.Held.IsZero() {
			continue
		}
		m, err := r.Manifest(s.Held)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil {
			list = append(list, m)
		}
	}
	return list, nil
}

// replayReports puts the last reports of a device into words, the newest first.
func replayReports(r Reader, id devices.ID) ([]ReplayedReport, error) {
	kept, err := r.Reports(id)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(kept, func(a, b Report) int { return b.At.Compare(a.At) })
	var list []ReplayedReport
	for _, k := range kept[:min(len(kept), shownReports)] {
		report, err := suit.DecodeReport(k.Encoded)
		if err != nil {
			return nil, fmt.Errorf("stored report on %s: %w", k.Component, err)
		}
		words, err := replay(r, report)
		if err != nil {
			return nil, err
		}
		list = append(list, ReplayedReport{k.Component, k.Manifest, k.At, report.Succeeded(), words.Lines})
	}
	return list, nil
}

// minPrefix is how many digits of an id or a digest may name a thing.
const minPrefix = 4

func findDevice(r Reader, ref string) (devices.Device, error) {
	d, err := r.Device(devices.ID(ref))
	if !errors.Is(err, ErrNotFound) {
		return d, err
	}
	if ueid, bad := hex.DecodeString(ref); bad == nil && len(ueid) > 0 {
		if d, err = r.DeviceByUEID(ueid); !errors.Is(err, ErrNotFound) {
			return d, err
		}
	}
	if len(ref) < minPrefix {
		return d, fmt.Errorf("device %q: %w", ref, ErrNotFound)
	}
	next, err := r.Devices("", Page{After: ref, Limit: 2})
	if err != nil {
		return d, err
	}
	return only("device", ref, next, func(d devices.Device) string { return string(d.ID) })
}

// only returns the one thing whose key begins with the prefix, from the first two
// behind the prefix in the order of keys: all that begin with it stand there.
func only[T any](kind, prefix string, next []T, key func(T) string) (found T, err error) {
	switch {
	case len(next) == 0 || !strings.HasPrefix(key(next[0]), prefix):
		return found, fmt.Errorf("%s %q: %w", kind, prefix, ErrNotFound)
	case len(next) == 2 && strings.HasPrefix(key(next[1]), prefix):
		return found, fmt.Errorf("%s %q %w, %s among them", kind, prefix, ErrAmbiguous, key(next[0]))
	}
	return next[0], nil
}

// Accept admits a device: from its next poll on it is offered what it should have.
func (f *Fleet) Accept(ctx context.Context, actor string, id devices.ID, reason string) (devices.Device, error) {
	return f.move(ctx, actor, audit.DeviceAccepted, id, devices.Accepted, reason)
}

// Reject turns a device away for a reason; it is offered nothing any more.
func (f *Fleet) Reject(ctx context.Context, actor string, id devices.ID, reason string) (devices.Device, error) {
	return f.move(ctx, actor, audit.DeviceRejected, id, devices.Rejected, reason)
}

func (f *Fleet) move(ctx context.Context, actor string, action audit.Action, id devices.ID, to devices.State, reason string) (d devices.Device, err error) {
	event := audit.Event{
		Actor: actor, Action: action, Subject: deviceSubject(id), Reason: reason,
		Details: map[string]string{"to": string(to)},
	}
	if to == devices.Rejected && reason == "" {
		return d, f.deny(ctx, event, fmt.Errorf("%w: to reject device %s", ErrNoReason, id))
	}
	err = f.change(ctx, event, func(tx Tx) error {
		if d, err = tx.Device(id); err != nil {
			return err
		}
		if d.State == to {
			return fmt.Errorf("%w: device %s is %s already", ErrDeviceState, id, to)
		}
		if !d.State.CanBecome(to) {
			return fmt.Errorf("%w: device %s is %s and cannot become %s", ErrDeviceState, id, d.State, to)
		}
		event.Details["from"] = string(d.State)
		d.State, d.StateReason, d.QuarantinedBy, d.UpdatedAt = to, reason, "", f.config.Clock()
		return tx.PutDevice(d)
	})
	return d, err
}

func deviceSubject(id devices.ID) string { return "device:" + string(id) }
