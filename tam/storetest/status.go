package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// byComponent sorts a list as the store must: by the component's key.
func byComponent[T any](list []T, id func(T) suit.ComponentID) []T {
	return slices.SortedFunc(slices.Values(list), func(a, b T) int { return strings.Compare(id(a).Key(), id(b).Key()) })
}

func (s suite) inventory() {
	s.update(func(tx tam.Tx) error { return errors.Join(tx.PutDevice(device(1)), tx.PutDevice(device(2))) })
	replace := func(items ...devices.InventoryItem) {
		s.Helper()
		s.update(func(tx tam.Tx) error { return tx.ReplaceInventory(deviceID(1), items) })
		s.view(func(r tam.Reader) error {
			got, err := r.Inventory(deviceID(1))
			want := byComponent(items, func(i devices.InventoryItem) suit.ComponentID { return i.Component })
			s.same("Inventory", textOf(itemText, got), textOf(itemText, want))
			return err
		})
	}
	var items []devices.InventoryItem
	for n, c := range oddComponents {
		items = append(items, devices.InventoryItem{Component: c, Digest: digest(n), Since: at(n)})
	}
	items[0].Digest = suit.Digest{}
	replace(items...)
	replace(items...)
	items[1].Digest = digest(500)
	items[2].Since = at(500)
	items[3].Digest = suit.Digest{}
	replace(slices.Concat(items[1:5], []devices.InventoryItem{{Component: component("new"), Digest: digest(7)}})...)
	replace()
	replace(items[5:]...)

	s.view(func(r tam.Reader) error {
		other, err := r.Inventory(deviceID(2))
		if len(other) != 0 {
			s.Errorf("another device holds %d components", len(other))
		}
		return err
	})
	twice := func(items ...devices.InventoryItem) func(tam.Tx) error {
		return func(tx tam.Tx) error { return tx.ReplaceInventory(deviceID(1), items) }
	}
	s.refused("a new component twice", tam.ErrExists, twice(items[0], items[0]))
	s.refused("a known component twice", tam.ErrExists, twice(items[6], items[6]))
	changed := items[6]
	changed.Digest = digest(501)
	s.refused("a changed component twice", tam.ErrExists, twice(changed, changed))
	s.refused("the inventory of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.ReplaceInventory("nobody", items) })
}

func (s suite) componentStatuses() {
	s.update(func(tx tam.Tx) error { return tx.PutDevice(device(1)) })
	var want []devices.ComponentStatus
	for n, c := range oddComponents {
		st := status(1, c)
		st.Attempts = n
		want = append(want, st)
	}
	want = append(want, devices.ComponentStatus{Device: deviceID(1), Component: component("plain"), Manifest: digest(2), State: devices.Offered})
	put := func() {
		s.Helper()
		s.update(func(tx tam.Tx) error {
			for _, st := range want {
				if err := tx.PutComponentStatus(st); err != nil {
					return err
				}
			}
			return nil
		})
		s.view(func(r tam.Reader) error {
			got, err := r.ComponentStatuses(deviceID(1))
			sorted := byComponent(want, func(st devices.ComponentStatus) suit.ComponentID { return st.Component })
			s.same("ComponentStatuses", textOf(statusText, got), textOf(statusText, sorted))
			return err
		})
	}
	put()
	for i := range want {
		want[i].State, want[i].Reason, want[i].Sequence, want[i].RetryAfter = devices.Confirmed, "", 7, time.Time{}
		want[i].Held, want[i].MeasuredAt = suit.Digest{}, at(4)
	}
	put()
	s.refused("a status of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.PutComponentStatus(status(9, component("a"))) })
}

func (s suite) requirements() {
	s.update(func(tx tam.Tx) error { return tx.PutDevice(device(1)) })
	var want []devices.Requirement
	for n, c := range oddComponents {
		want = append(want, devices.Requirement{Device: deviceID(1), Component: c, CreatedAt: at(n)})
	}
	for range 2 {
		s.update(func(tx tam.Tx) error {
			for _, r := range want {
				if err := tx.PutRequirement(r); err != nil {
					return err
				}
			}
			return nil
		})
		s.view(func(r tam.Reader) error {
			got, err := r.Requirements(deviceID(1))
			sorted := byComponent(want, func(q devices.Requirement) suit.ComponentID { return q.Component })
			s.same("Requirements", textOf(requirementText, got), textOf(requirementText, sorted))
			return err
		})
		want[0].CreatedAt = at(99)
	}
	s.refused("a requirement of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error {
		return tx.PutRequirement(devices.Requirement{Device: "nobody", Component: component("a")})
	})
}
