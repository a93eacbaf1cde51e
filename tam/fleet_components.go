package tam

import (
	"context"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Require says that a device must have a component: a manifest component id or
// the target of a manifest. A requirement that stands already is left as it is,
// without an event.
func (f *Fleet) Require(ctx context.Context, actor string, id devices.ID, component suit.ComponentID) (req devices.Requirement, err error) {
	err = f.changeComponent(ctx, actor, audit.ComponentRequired, id, component, func(tx Tx) error {
		standing, err := tx.Requirements(id)
		if err != nil {
			return err
		}
		for _, s := range standing {
			if s.Component.Equal(component) {
				req = s
				return errUnchanged
			}
		}
		ordered, err := tx.Removals(id)
		if err != nil {
			return err
		}
		for _, order := range ordered {
			if err := contradicts(tx, component, order.Component, ErrRemovalOrdered); err != nil {
				return err
			}
		}
		req = devices.Requirement{Device: id, Component: component, CreatedAt: f.config.Clock()}
		return tx.PutRequirement(req)
	})
	return req, err
}

// Unrequire ends a requirement. What the device holds stays, until its agent no
// longer needs it or its removal is ordered.
func (f *Fleet) Unrequire(ctx context.Context, actor string, id devices.ID, component suit.ComponentID) error {
	return f.changeComponent(ctx, actor, audit.ComponentUnrequired, id, component, func(tx Tx) error {
		return tx.DeleteRequirement(id, component)
	})
}

// OrderRemoval says that a device must not have a component: every manifest that
// it holds of it is unlinked, and none is offered. An order that stands already is
// left as it is, without an event; one that contradicts a requirement is refused.
func (f *Fleet) OrderRemoval(ctx context.Context, actor string, id devices.ID, component suit.ComponentID) (order devices.Removal, err error) {
	err = f.changeComponent(ctx, actor, audit.RemovalOrdered, id, component, func(tx Tx) error {
		standing, err := tx.Removals(id)
		if err != nil {
			return err
		}
		for _, s := range standing {
			if s.Component.Equal(component) {
				order = s
				return errUnchanged
			}
		}
		required, err := tx.Requirements(id)
		if err != nil {
			return err
		}
		for _, q := range required {
			if err := contradicts(tx, component, q.Component, ErrStillRequired); err != nil {
				return err
			}
		}
		order = devices.Removal{Device: id, Component: component, CreatedAt: f.config.Clock()}
		return tx.PutRemoval(order)
	})
	return order, err
}

// WithdrawRemoval ends the order to be without a component.
func (f *Fleet) WithdrawRemoval(ctx context.Context, actor string, id devices.ID, component suit.ComponentID) error {
	return f.changeComponent(ctx, actor, audit.RemovalWithdrawn, id, component, func(tx Tx) error {
		return tx.DeleteRemoval(id, component)
	})
}

// changeComponent is a change of what a device should have.
func (f *Fleet) changeComponent(ctx context.Context, actor string, action audit.Action, id devices.ID, component suit.ComponentID, fn func(Tx) error) error {
	event := audit.Event{
		Actor: actor, Action: action, Subject: deviceSubject(id),
		Details: map[string]string{"component": component.String()},
	}
	if len(component) == 0 {
		return f.deny(ctx, event, fmt.Errorf("%w: of device %s", ErrNoComponent, id))
	}
	return f.change(ctx, event, func(tx Tx) error {
		d, err := tx.Device(id)
		if err != nil {
			return err
		}
		if d.State == devices.Rejected || d.State == devices.Retired {
			return fmt.Errorf("%w: device %s is %s; nothing is changed on it", ErrDeviceState, id, d.State)
		}
		return fn(tx)
	})
}

// contradicts refuses to have the one and not the other, where both components are
// one, or a published manifest is about both.
func contradicts(r ManifestReader, wanted, standing suit.ComponentID, refusal *Refusal) error {
	list, err := r.ManifestsFor(wanted, maxConsidered)
	if err != nil {
		return err
	}
	if wanted.Equal(standing) {
		return fmt.Errorf("%w: %s", refusal, standing)
	}
	for _, m := range list {
		if slices.ContainsFunc(m.touches(), standing.Equal) {
			return fmt.Errorf("%w: %s, and manifest %s is about both", refusal, standing, m.Component)
		}
	}
	return nil
}
