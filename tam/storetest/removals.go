package storetest

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

func removal(device int, c suit.ComponentID) devices.Removal {
	return devices.Removal{Device: deviceID(device), Component: c, CreatedAt: at(device)}
}

func removalText(r devices.Removal) string {
	return fmt.Sprintf("%s must not have %q since %s", r.Device, r.Component, timeText(r.CreatedAt))
}

func (s suite) removals() {
	s.update(func(tx tam.Tx) error { return tx.PutDevice(device(1)) })
	want := byComponent(oddComponents, func(c suit.ComponentID) suit.ComponentID { return c })
	s.update(func(tx tam.Tx) error {
		for _, c := range want {
			if err := tx.PutRemoval(devices.Removal{Device: deviceID(1), Component: c, CreatedAt: at(9)}); err != nil {
				return err
			}
			if err := tx.PutRemoval(removal(1, c)); err != nil {
				return err
			}
			if err := tx.PutRequirement(devices.Requirement{Device: deviceID(1), Component: c, CreatedAt: at(1)}); err != nil {
				return err
			}
		}
		return nil
	})
	for len(want) > 0 {
		var left []devices.Removal
		var required []devices.Requirement
		for _, c := range want {
			left = append(left, removal(1, c))
			required = append(required, devices.Requirement{Device: deviceID(1), Component: c, CreatedAt: at(1)})
		}
		s.view(func(r tam.Reader) error {
			got, err := r.Removals(deviceID(1))
			if err != nil {
				return err
			}
			s.same("Removals", textOf(removalText, got), textOf(removalText, left))
			still, err := r.Requirements(deviceID(1))
			s.same("Requirements", textOf(requirementText, still), textOf(requirementText, required))
			return err
		})
		gone := want[0]
		want = want[1:]
		s.update(func(tx tam.Tx) error {
			if err := tx.DeleteRemoval(deviceID(1), gone); err != nil {
				return err
			}
			return tx.DeleteRequirement(deviceID(1), gone)
		})
		s.refused("to delete a removal twice", tam.ErrNotFound, func(tx tam.Tx) error { return tx.DeleteRemoval(deviceID(1), gone) })
		s.refused("to delete a requirement twice", tam.ErrNotFound, func(tx tam.Tx) error { return tx.DeleteRequirement(deviceID(1), gone) })
	}
	s.refused("a removal from an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.PutRemoval(removal(9, component("a"))) })
}
