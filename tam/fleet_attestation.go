package tam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Quarantine keeps a device apart for a reason: it is offered nothing but what a policy
// names as its remedy, until an operator releases it.
func (f *Fleet) Quarantine(ctx context.Context, actor string, id devices.ID, reason string) (devices.Device, error) {
	return f.changeDevice(ctx, actor, audit.DeviceQuarantined, id, reason, func(_ Tx, d *devices.Device, event audit.Event) error {
		switch {
		case d.State == devices.Quarantined && d.QuarantinedBy == "":
			return fmt.Errorf("%w: device %s is in quarantine already, by an operator", ErrDeviceState, id)
		case d.State != devices.Quarantined && !d.State.CanBecome(devices.Quarantined):
			return fmt.Errorf("%w: device %s is %s and cannot become %s", ErrDeviceState, id, d.State, devices.Quarantined)
		case d.QuarantinedBy != "":
			event.Details["before"] = d.QuarantinedBy
		}
		event.Details["from"] = string(d.State)
		d.State, d.StateReason, d.QuarantinedBy = devices.Quarantined, reason, ""
		return nil
	})
}

// Release ends a quarantine, whoever began it. Fresh evidence is wanted before the device
// is offered anything, so that what was wrong with it shows again if it still is.
func (f *Fleet) Release(ctx context.Context, actor string, id devices.ID, reason string) (devices.Device, error) {
	return f.changeDevice(ctx, actor, audit.DeviceReleased, id, reason, func(tx Tx, d *devices.Device, event audit.Event) error {
		if d.State != devices.Quarantined {
			return fmt.Errorf("%w: device %s is %s, not in quarantine", ErrDeviceState, id, d.State)
		}
		if d.QuarantinedBy != "" {
			event.Details["quarantinedBy"] = d.QuarantinedBy
		}
		event.Details["was"] = d.StateReason
		d.State, d.StateReason, d.QuarantinedBy = devices.Accepted, reason, ""
		return attestAnew(tx, id)
	})
}

// attestAnew lets every agent of the device show evidence at its next poll, which no
// back-off delays.
func attestAnew(tx Tx, id devices.ID) error {
	agents, err := tx.AgentsOf(id)
	if err != nil {
		return err
	}
	for _, a := range agents {
		a.AttestedAt, a.Repeats, a.HoldUntil, a.HoldReason = time.Time{}, 0, time.Time{}, ""
		if err := tx.PutAgent(a); err != nil {
			return err
		}
	}
	return nil
}

// changeDevice is a change of a device for a reason, which must be given. fn changes the
// row, which is then written.
func (f *Fleet) changeDevice(ctx context.Context, actor string, action audit.Action, id devices.ID, reason string,
	fn func(Tx, *devices.Device, audit.Event) error) (d devices.Device, err error) {
	event := audit.Event{Actor: actor, Action: action, Subject: deviceSubject(id), Reason: reason, Details: map[string]string{}}
	if reason == "" {
		return d, f.deny(ctx, event, fmt.Errorf("%w: for device %s", ErrNoReason, id))
	}
	err = f.change(ctx, event, func(tx Tx) error {
		clear(event.Details) // this may run again
		if d, err = tx.Device(id); err != nil {
			return err
		}
		if err := fn(tx, &d, event); err != nil {
			return err
		}
		d.UpdatedAt = f.config.Clock()
		return tx.PutDevice(d)
	})
	return d, err
}

// Caps of labels.
const (
	maxLabels     = 32
	maxLabelName  = 63 // bytes, as of a label's value
	maxLabelValue = 63
)

// SetLabels replaces the labels of a device, which selectors read, so that evidence is
// wanted at the next poll: other policies may speak of it now. Labels that are so already
// are left, without an event.
func (f *Fleet) SetLabels(ctx context.Context, actor string, id devices.ID, labels map[string]string) (d devices.Device, err error) {
	event := audit.Event{Actor: actor, Action: audit.DeviceLabelled, Subject: deviceSubject(id), Details: map[string]string{}}
	if err := checkLabels(labels); err != nil {
		return d, f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadLabels, err))
	}
	err = f.change(ctx, event, func(tx Tx) error {
		if d, err = tx.Device(id); err != nil {
			return err
		}
		if maps.Equal(d.Labels, labels) {
			return errUnchanged
		}
		event.Details["before"], event.Details["after"] = labelText(d.Labels), labelText(labels)
		d.Labels, d.UpdatedAt = maps.Clone(labels), f.config.Clock()
		if err := attestAnew(tx, id); err != nil {
			return err
		}
		return tx.PutDevice(d)
	})
	return d, err
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return fmt.Errorf("%d labels, at most %d", len(labels), maxLabels)
	}
	for name, value := range labels {
		switch {
		case name == "" || len(name) > maxLabelName || strings.ContainsFunc(name, func(r rune) bool { return !labelRune(r) }):
			return fmt.Errorf("name %q: want 1 to %d letters a-z, digits and any of .-_", name, maxLabelName)
		case len(value) > maxLabelValue || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
			return fmt.Errorf("value %q of %s: want at most %d bytes of printable text", value, name, maxLabelValue)
		}
	}
	return nil
}

func labelRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

// labelText writes labels in the order of their names.
func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, ",")
}

// maxException is how far ahead an exception may reach.
const maxException = 366 * 24 * time.Hour

// AcceptUntil lets a device pass, until a time, with what was wrong in its last appraisal
// and the policy that did not accept it. Nothing else is covered, nor evidence that is not genuine. Evidence is
// wanted at the next poll.
func (f *Fleet) AcceptUntil(ctx context.Context, actor string, id devices.ID, until time.Time, reason string) (devices.Device, error) {
	return f.AcceptFaults(ctx, actor, id, 0, until, reason)
}

// AcceptFaults is AcceptUntil for one who has looked at an appraisal: it is refused where
// there is a newer one, which may have found something else. 0 means whichever is the last.
func (f *Fleet) AcceptFaults(ctx context.Context, actor string, id devices.ID, appraisal int64, until time.Time, reason string) (devices.Device, error) {
	return f.changeDevice(ctx, actor, audit.ExceptionGranted, id, reason, func(tx Tx, d *devices.Device, event audit.Event) error {
		now := f.config.Clock()
		switch {
		case !until.After(now):
			return fmt.Errorf("%w: until %s, which is over", ErrBadException, until.UTC().Format(time.RFC3339))
		case until.Sub(now) > maxException:
			return fmt.Errorf("%w: until %s, at most %d days ahead", ErrBadException, until.UTC().Format(time.RFC3339), maxException/(24*time.Hour))
		case d.State == devices.Rejected || d.State == devices.Retired:
			return fmt.Errorf("%w: device %s is %s", ErrDeviceState, id, d.State)
		}
		last, err := tx.Appraisals(AppraisalQuery{Device: id, Limit: 1})
		if err == nil && len(last) > 0 {
			last[0], err = tx.Appraisal(last[0].ID)
		}
		if err != nil {
			return err
		}
		switch {
		case len(last) == 0:
			return fmt.Errorf("%w: of device %s", ErrNoAppraisal, id)
		case appraisal != 0 && appraisal != last[0].ID:
			return fmt.Errorf("%w: appraisal %d is not the last of device %s, which is %d", ErrBadException, appraisal, id, last[0].ID)
		}
		if last[0].Accepted && last[0].Status == int8(attest.Affirming) && last[0].Policy != policyOfException {
			return fmt.Errorf("%w: appraisal %d was accepted, and affirming: it found nothing wrong", ErrBadException, last[0].ID)
		}
		before := d.Exception
		if d.Exception, err = exceptionOf(last[0]); err != nil {
			return err
		}
		if d.Exception.Policy == policyOfException { // it passed by the one before, which this one follows
			if before == nil {
				return fmt.Errorf("%w: appraisal %d passed by an exception that was ended", ErrBadException, last[0].ID)
			}
			d.Exception.Policy = before.Policy
		}
		d.Exception.Until, d.Exception.Reason, d.Exception.By, d.Exception.At = until, reason, actor, now
		event.Details["until"] = until.UTC().Format(time.RFC3339)
		event.Details["appraisal"] = fmt.Sprint(last[0].ID)
		event.Details["faults"] = faultText(*d.Exception)
		event.Details["policy"] = d.Exception.Policy
		return attestAnew(tx, id)
	})
}

// exceptionOf makes an exception of what was wrong in an appraisal.
func exceptionOf(a devices.Appraisal) (*devices.Exception, error) {
	if a.Claims == nil {
		return nil, fmt.Errorf("%w: appraisal %d found the evidence not genuine, which nobody can accept: %s", ErrBadException, a.ID, a.Reason)
	}
	result, err := devices.ResultOf(a)
	if err != nil {
		return nil, err
	}
	x, wrong := devices.NewException(result)
	x.Appraisal, x.Policy = a.ID, a.Policy
	if x.Policy == "" { // from before there were policies, or not asked about
		x.Policy = policyByDefault
	}
	if !wrong {
		return nil, fmt.Errorf("%w: appraisal %d found nothing wrong that could be accepted: %s", ErrBadException, a.ID, orWords(a.Reason, "it was affirming"))
	}
	return x, nil
}

func orWords(words, otherwise string) string {
	if words == "" {
		return otherwise
	}
	return words
}

func faultText(x devices.Exception) string {
	var parts []string
	for _, e := range x.Elements {
		parts = append(parts, fmt.Sprintf("%s %d", strings.TrimPrefix(e.Submod+"/"+e.Name, "/"), e.Value))
	}
	for _, c := range x.Comparisons {
		if c.Match {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is %s", c.Name, c.Measured))
	}
	return strings.Join(parts, "; ")
}

// EndException takes an exception back. Evidence is wanted at the next poll.
func (f *Fleet) EndException(ctx context.Context, actor string, id devices.ID, reason string) (devices.Device, error) {
	return f.changeDevice(ctx, actor, audit.ExceptionEnded, id, reason, func(tx Tx, d *devices.Device, event audit.Event) error {
		if d.Exception == nil {
			return fmt.Errorf("exception of device %s: %w", id, ErrNotFound)
		}
		event.Details["until"] = d.Exception.Until.UTC().Format(time.RFC3339)
		event.Details["was"] = d.Exception.Reason
		d.Exception = nil
		return attestAnew(tx, id)
	})
}

// Appraisals lists appraisals, the newest first.
func (f *Fleet) Appraisals(ctx context.Context, q AppraisalQuery) (list []devices.Appraisal, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Appraisals(q)
		return err
	})
	return list, err
}

// Appraisal returns one with its raw bytes, as far as they are kept.
func (f *Fleet) Appraisal(ctx context.Context, id int64) (a devices.Appraisal, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		a, err = r.Appraisal(id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("attestation %d: %w", id, ErrNotFound) // once, and by the name that operators know
	}
	return a, err
}
