package store

import (
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
)

var (
	deleteRequirement = prepare(`DELETE FROM requirements WHERE device = ? AND component = ?`)

	selectRemovals = prepare(`SELECT device, component, created_at FROM removals WHERE device = ? ORDER BY component`)
	upsertRemoval  = prepare(`INSERT INTO removals (device, component, created_at) VALUES (?, ?, ?)
		ON CONFLICT (device, component) DO UPDATE SET created_at = excluded.created_at`)
	deleteRemoval = prepare(`DELETE FROM removals WHERE device = ? AND component = ?`)
)

func (u update) DeleteRequirement(id devices.ID, component suit.ComponentID) error {
	err := u.remove(deleteRequirement, string(id), []byte(component.Key()))
	return about(err, "requirement of component %s on device %s", component, id)
}

func scanRemoval(r *row) (devices.Removal, error) {
	o := devices.Removal{Device: devices.ID(r.text())}
	err := decode("component", r.bytes(), &o.Component)
	o.CreatedAt = timeOf(r.int())
	return o, err
}

// Removals is in the order of the component keys.
func (s snapshot) Removals(id devices.ID) ([]devices.Removal, error) {
	removals, err := list(s.transaction, selectRemovals, scanRemoval, string(id))
	return removals, about(err, "removals of device %s", id)
}

func (u update) PutRemoval(r devices.Removal) error {
	component, err := componentKey(r.Component)
	if err == nil {
		_, err = u.exec(upsertRemoval, string(r.Device), component, micros(r.CreatedAt))
	}
	return about(err, "removal of component %s from device %s", r.Component, r.Device)
}

func (u update) DeleteRemoval(id devices.ID, component suit.ComponentID) error {
	err := u.remove(deleteRemoval, string(id), []byte(component.Key()))
	return about(err, "removal of component %s from device %s", component, id)
}
