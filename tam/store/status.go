package store

import (
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/devices"
)

var (
	selectInventory = prepare(`SELECT component, digest, since FROM inventory WHERE device = ? ORDER BY component`)
	insertInventory = prepare(`INSERT INTO inventory (device, component, digest, since) VALUES (?, ?, ?, ?)`)
	updateInventory = prepare(`UPDATE inventory SET digest = ?, since = ? WHERE device = ? AND component = ?`)
	deleteInventory = prepare(`DELETE FROM inventory WHERE device = ? AND component = ?`)
)

func scanInventoryItem(r *row) (item devices.InventoryItem, err error) {
	if err := decode("component", r.bytes(), &item.Component); err != nil {
		return item, err
	}
	err = decode("digest", r.bytes(), &item.Digest)
	item.Since = timeOf(r.int())
	return item, err
}

// Inventory is in the order of the component keys.
func (s snapshot) Inventory(id devices.ID) ([]devices.InventoryItem, error) {
	items, err := list(s.transaction, selectInventory, scanInventoryItem, string(id))
	return items, about(err, "inventory of device %s", id)
}

// ReplaceInventory writes only what has changed: of most polls that is nothing.
func (u update) ReplaceInventory(id devices.ID, items []devices.InventoryItem) error {
	err := u.replaceInventory(id, items)
	return about(err, "inventory of device %s", id)
}

func (u update) replaceInventory(id devices.ID, items []devices.InventoryItem) error {
	before, err := list(u.transaction, selectInventory, scanInventoryItem, string(id))
	if err != nil {
		return err
	}
	keys := make([][]byte, len(items))
	for i, item := range items {
		if keys[i], err = componentKey(item.Component); err != nil {
			return err
		}
	}
	gone := make(map[string]devices.InventoryItem, len(before))
	for _, item := range before {
		gone[item.Component.Key()] = item
	}
	for i, item := range items {
		key := keys[i]
		old, known := gone[string(key)]
		delete(gone, string(key)) // so that a component that comes twice runs into the primary key
		switch {
		case !known:
			_, err = u.exec(insertInventory, string(id), key, digestOrNull(item.Digest), micros(item.Since))
		case !old.Digest.Equal(item.Digest) || micros(old.Since) != micros(item.Since):
			_, err = u.exec(updateInventory, digestOrNull(item.Digest), micros(item.Since), string(id), key)
		}
		if err != nil {
			return fmt.Errorf("component %s: %w", item.Component, err)
		}
	}
	for key := range gone {
		if _, err := u.exec(deleteInventory, string(id), []byte(key)); err != nil {
			return err
		}
	}
	return nil
}

var (
	selectComponentStatuses = prepare(`SELECT device, component, manifest, sequence, state, reason, attempts, retry_after, since, held, measured_at
		FROM component_statuses WHERE device = ? ORDER BY component`)
	upsertComponentStatus = prepare(`INSERT INTO component_statuses
		(device, component, manifest, sequence, state, reason, attempts, retry_after, since, held, measured_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (device, component) DO UPDATE SET manifest = excluded.manifest, sequence = excluded.sequence,
			state = excluded.state, reason = excluded.reason, attempts = excluded.attempts,
			retry_after = excluded.retry_after, since = excluded.since,
			held = excluded.held, measured_at = excluded.measured_at`)
)

func scanComponentStatus(r *row) (devices.ComponentStatus, error) {
	s := devices.ComponentStatus{Device: devices.ID(r.text())}
	if err := decode("component", r.bytes(), &s.Component); err != nil {
		return s, err
	}
	if err := decode("manifest digest", r.bytes(), &s.Manifest); err != nil {
		return s, err
	}
	var err error
	s.Sequence, err = wideOf(r.bytes())
	s.State, s.Reason, s.Attempts = devices.ComponentState(r.text()), r.text(), int(r.int())
	s.RetryAfter, s.Since = timeOf(r.int()), timeOf(r.int())
	err = errors.Join(err, decode("held manifest", r.bytes(), &s.Held))
	s.MeasuredAt = timeOf(r.int())
	return s, err
}

// ComponentStatuses is in the order of the component keys.
func (s snapshot) ComponentStatuses(id devices.ID) ([]devices.ComponentStatus, error) {
	statuses, err := list(s.transaction, selectComponentStatuses, scanComponentStatus, string(id))
	return statuses, about(err, "component statuses of device %s", id)
}

func (u update) PutComponentStatus(s devices.ComponentStatus) error {
	component, err := componentKey(s.Component)
	if err == nil {
		_, err = u.exec(upsertComponentStatus, string(s.Device), component, digestValue(s.Manifest), wide(s.Sequence),
			string(s.State), s.Reason, s.Attempts, micros(s.RetryAfter), micros(s.Since),
			digestOrNull(s.Held), micros(s.MeasuredAt))
	}
	return about(err, "status of component %s on device %s", s.Component, s.Device)
}

var (
	selectRequirements = prepare(`SELECT device, component, created_at FROM requirements WHERE device = ? ORDER BY component`)
	upsertRequirement  = prepare(`INSERT INTO requirements (device, component, created_at) VALUES (?, ?, ?)
		ON CONFLICT (device, component) DO UPDATE SET created_at = excluded.created_at`)
)

func scanRequirement(r *row) (devices.Requirement, error) {
	q := devices.Requirement{Device: devices.ID(r.text())}
	err := decode("component", r.bytes(), &q.Component)
	q.CreatedAt = timeOf(r.int())
	return q, err
}

// Requirements is in the order of the component keys.
func (s snapshot) Requirements(id devices.ID) ([]devices.Requirement, error) {
	required, err := list(s.transaction, selectRequirements, scanRequirement, string(id))
	return required, about(err, "requirements of device %s", id)
}

func (u update) PutRequirement(r devices.Requirement) error {
	component, err := componentKey(r.Component)
	if err == nil {
		_, err = u.exec(upsertRequirement, string(r.Device), component, micros(r.CreatedAt))
	}
	return about(err, "requirement of component %s on device %s", r.Component, r.Device)
}
