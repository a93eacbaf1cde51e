package tam

import (
	"context"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/expr"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Bounds of groups, and of a search through the devices.
const (
	maxGroups    = 256
	maxGroupName = 64
	maxScanned   = 10_000 // devices in one search
	scanPage     = 500
)

// Groups lists by name.
func (f *Fleet) Groups(ctx context.Context) (list []devices.Group, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Groups()
		return err
	})
	return list, err
}

// PutGroup creates a group or gives it another selector, under which all policies that
// are in force must still compile.
func (f *Fleet) PutGroup(ctx context.Context, actor string, g devices.Group) (devices.Group, error) {
	event := audit.Event{Actor: actor, Action: audit.GroupPut, Subject: groupSubject(g.Name), Details: map[string]string{}}
	if _, err := g.Compile(); err != nil {
		return g, f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadSelector, err))
	}
	return g, f.change(ctx, event, func(tx Tx) error {
		clear(event.Details)
		before, others, err := splitGroups(tx, g.Name)
		switch {
		case err != nil:
			return err
		case before != nil && *before == g:
			return errUnchanged
		case before == nil && len(others) >= maxGroups:
			return fmt.Errorf("%w: there are %d groups, at most %d", ErrBadSelector, len(others), maxGroups)
		}
		if err := stillCompile(tx, append(others, g), ErrBadSelector); err != nil {
			return err
		}
		if before != nil {
			event.Details["before"] = shortened(before.Selector, maxAudited)
		}
		event.Details["selector"] = shortened(g.Selector, maxAudited)
		return tx.PutGroup(g)
	})
}

// DeleteGroup removes a group that no policy in force needs.
func (f *Fleet) DeleteGroup(ctx context.Context, actor, name string) error {
	event := audit.Event{Actor: actor, Action: audit.GroupDeleted, Subject: groupSubject(name), Details: map[string]string{}}
	return f.change(ctx, event, func(tx Tx) error {
		before, others, err := splitGroups(tx, name)
		if err != nil {
			return err
		}
		if before == nil {
			return fmt.Errorf("group %q: %w", name, ErrNotFound)
		}
		if err := stillCompile(tx, others, ErrGroupInUse); err != nil {
			return err
		}
		event.Details["before"] = shortened(before.Selector, maxAudited)
		return tx.DeleteGroup(name)
	})
}

func splitGroups(r PolicyReader, name string) (before *devices.Group, others []devices.Group, err error) {
	list, err := r.Groups()
	for _, g := range list {
		if g.Name == name {
			before = &g
		} else {
			others = append(others, g)
		}
	}
	return before, others, err
}

// stillCompile holds the policies in force against other groups.
func stillCompile(r PolicyReader, groups []devices.Group, refusal *Refusal) error {
	policies, err := r.Policies()
	if err != nil {
		return err
	}
	for _, p := range policies {
		if _, err := policy.Compile(p, devices.Selectors(groups)); err != nil {
			return fmt.Errorf("%w: policy %s would not compile: %w", refusal, p, err)
		}
	}
	return nil
}

func groupSubject(name string) string { return "group:" + shortened(name, maxGroupName) }

// Selection is what a search through the devices found.
type Selection struct {
	Devices []SeenDevice
	Scanned int
	Next    string // cursor: the last device looked at; empty at the end
}

// SelectDevices looks for the devices that a selector matches, by ascending id, until it
// has page.Limit of them or has looked at many.
func (f *Fleet) SelectDevices(ctx context.Context, selector string, page Page) (Selection, error) {
	var found Selection
	err := f.scan(ctx, selector, page.After, &found, func(s SeenDevice) bool {
		found.Devices = append(found.Devices, s)
		return len(found.Devices) < page.Limit
	})
	return found, err
}

// CountDevices counts the devices that a selector matches among the first that it looks
// at, which are all but in large fleets: then Next is not empty.
func (f *Fleet) CountDevices(ctx context.Context, selector string) (count int, complete bool, err error) {
	var found Selection
	err = f.scan(ctx, selector, "", &found, func(SeenDevice) bool { count++; return true })
	return count, found.Next == "", err
}

// scan calls match for each device that the selector matches, page by page, so that no
// transaction is long. It ends where the budget of one search does: before the device that
// would go over it, unless that is the first, which no search can pay for.
func (f *Fleet) scan(ctx context.Context, text, after string, found *Selection, match func(SeenDevice) bool) error {
	var selector *devices.Selector
	budget := expr.NewBudget(expr.PerSearch)
	more := true
	for more && found.Scanned < maxScanned {
		err := f.config.Store.View(ctx, func(r Reader) error {
			if selector == nil {
				groups, err := r.Groups()
				if err != nil {
					return err
				}
				if selector, err = devices.NewSelector(text, devices.Selectors(groups)); err != nil {
					return fmt.Errorf("%w: %w", ErrBadSelector, err)
				}
			}
			list, err := r.Devices("", Page{After: after, Limit: scanPage})
			if err != nil {
				return err
			}
			more = len(list) == scanPage
			for _, d := range list {
				agents, err := r.AgentsOf(d.ID)
				if err != nil {
					return err
				}
				ok, err := selector.Matches(budget, d, agents...)
				switch {
				case errors.Is(err, expr.ErrSpent) && found.Scanned > 0:
					found.Next, more = after, false
					return nil
				case err != nil:
					return fmt.Errorf("%w: at device %s: %w", ErrBadSelector, d.ID, err)
				}
				after = string(d.ID)
				found.Scanned++
				if ok && !match(seen(d, agents)) {
					found.Next, more = after, false
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if more {
		found.Next = after
	}
	return nil
}
