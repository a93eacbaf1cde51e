package store

import (
	"errors"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

var (
	selectReports = prepare(`SELECT device, component, manifest, at, report FROM reports WHERE device = ? ORDER BY component`)
	upsertReport  = prepare(`INSERT INTO reports (device, component, manifest, at, report) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (device, component) DO UPDATE SET manifest = excluded.manifest, at = excluded.at, report = excluded.report`)
)

func scanReport(r *row) (tam.Report, error) {
	out := tam.Report{Device: devices.ID(r.text())}
	if err := decode("component", r.bytes(), &out.Component); err != nil {
		return out, err
	}
	err := decode("manifest digest", r.bytes(), &out.Manifest)
	out.At, out.Encoded = timeOf(r.int()), r.bytes()
	return out, err
}

// Reports is in the order of the component keys.
func (s snapshot) Reports(id devices.ID) ([]tam.Report, error) {
	reports, err := list(s.transaction, selectReports, scanReport, string(id))
	return reports, about(err, "reports of device %s", id)
}

func (u update) PutReport(r tam.Report) error {
	component, err := componentKey(r.Component)
	switch {
	case err != nil:
	case len(r.Encoded) == 0:
		err = errors.New("nothing in it")
	default:
		_, err = u.exec(upsertReport, string(r.Device), component, digestValue(r.Manifest), micros(r.At), r.Encoded)
	}
	return about(err, "report of device %s on component %s", r.Device, r.Component)
}
