package storetest

import (
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// Only the last report about a manifest component id is kept.
func (s suite) reports() {
	s.update(func(tx tam.Tx) error { return tx.PutDevice(device(1)) })
	s.update(func(tx tam.Tx) error { return tx.PutDevice(device(2)) })
	var want []tam.Report
	for _, c := range oddComponents {
		want = append(want, report(1, c, 2))
	}
	want = byComponent(want, func(r tam.Report) suit.ComponentID { return r.Component })
	s.update(func(tx tam.Tx) error {
		for _, r := range want {
			if err := tx.PutReport(report(1, r.Component, 1)); err != nil {
				return err
			}
			if err := tx.PutReport(r); err != nil {
				return err
			}
		}
		return tx.PutReport(report(2, component("a"), 3))
	})
	s.view(func(r tam.Reader) error {
		got, err := r.Reports(deviceID(1))
		s.same("Reports", textOf(reportText, got), textOf(reportText, want))
		return err
	})
	s.view(func(r tam.Reader) error {
		none, err := r.Reports(deviceID(9))
		s.same("Reports of an unknown device", textOf(reportText, none), "")
		return err
	})
	s.refused("a report of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.PutReport(report(9, component("a"), 1)) })
	s.refused("an empty report", nil, func(tx tam.Tx) error {
		return tx.PutReport(tam.Report{Device: deviceID(1), Component: component("a"), Manifest: digest(1)})
	})
}
