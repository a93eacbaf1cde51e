package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s suite) devices() {
	want := device(1)
	s.update(func(tx tam.Tx) error { return errors.Join(tx.PutDevice(want), tx.PutDevice(device(2))) })
	s.view(func(r tam.Reader) error {
		byID, err := r.Device(want.ID)
		s.same("Device", deviceText(byID), deviceText(want))
		byUEID, err2 := r.DeviceByUEID(want.UEID)
		s.same("DeviceByUEID", deviceText(byUEID), deviceText(want))
		return errors.Join(err, err2)
	})

	second := device(3)
	second.AttestationKey = want.AttestationKey
	s.update(func(tx tam.Tx) error { return tx.PutDevice(second) })
	s.view(func(r tam.Reader) error {
		got, err := r.DeviceAttestedBy(want.AttestationKey)
		s.same("DeviceAttestedBy", deviceText(got), deviceText(want))
		return err
	})

	former := want.UEID
	want = devices.Device{ID: want.ID, UEID: []byte{9}, State: devices.Accepted}
	s.update(func(tx tam.Tx) error { return tx.PutDevice(want) })
	s.view(func(r tam.Reader) error {
		got, err := r.DeviceByUEID(want.UEID)
		s.same("replaced device", deviceText(got), deviceText(want))
		return err
	})

	s.notFound(map[string]func(tam.Reader) error{
		"unknown device":       func(r tam.Reader) error { _, err := r.Device("nobody"); return err },
		"former ueid":          func(r tam.Reader) error { _, err := r.DeviceByUEID(former); return err },
		"device without ueid":  func(r tam.Reader) error { _, err := r.DeviceByUEID(nil); return err },
		"another key's":        func(r tam.Reader) error { _, err := r.DeviceAttestedBy(publicKey(1).Thumbprint()); return err },
		"device without a key": func(r tam.Reader) error { _, err := r.DeviceAttestedBy(cosekit.Thumbprint{}); return err },
		"device without an id": func(r tam.Reader) error { _, err := r.Device(""); return err },
	})

	s.refused("the ueid of another device", tam.ErrExists, func(tx tam.Tx) error {
		d := device(4)
		d.UEID = want.UEID
		return tx.PutDevice(d)
	})
	s.refused("no ueid", nil, func(tx tam.Tx) error { return tx.PutDevice(devices.Device{ID: "x"}) })
	s.refused("no id", nil, func(tx tam.Tx) error { return tx.PutDevice(devices.Device{UEID: []byte{8}}) })
}

// A device that is written back is the new one in every way to find it, whatever has changed.
func (s suite) deviceChanges() {
	was := device(1)
	s.update(func(tx tam.Tx) error { return tx.PutDevice(was) })
	for _, change := range []func(d *devices.Device){
		func(d *devices.Device) {},
		func(d *devices.Device) { d.State = devices.Accepted },
		func(d *devices.Device) { d.UEID = []byte{9, 9} },
		func(d *devices.Device) { d.AttestationKey = publicKey(5).Thumbprint() },
		func(d *devices.Device) { d.AttestationKey = cosekit.Thumbprint{} },
		func(d *devices.Device) { d.AttestationKey = publicKey(6).Thumbprint() },
		func(d *devices.Device) { d.Name, d.StateReason, d.HWVersion = "another", "", "2" },
		func(d *devices.Device) { d.OEMID, d.HWModel = nil, []byte{0x41, 1} },
		func(d *devices.Device) { d.EvidenceAt, d.CreatedAt, d.UpdatedAt = at(7), at(8), at(9) },
		func(d *devices.Device) { d.Labels = map[string]string{"a": "b"} },
		func(d *devices.Device) { d.Labels = nil },
		func(d *devices.Device) { d.QuarantinedBy = "" },
		func(d *devices.Device) { d.Exception = &devices.Exception{Until: at(3)} },
		func(d *devices.Device) { d.Exception = nil },
		func(d *devices.Device) { d.Attestations.Accepted = 7 },
		func(d *devices.Device) { d.Attestations.Failed = nil },
	} {
		want := was
		change(&want)
		s.update(func(tx tam.Tx) error { return tx.PutDevice(want) })
		s.view(func(r tam.Reader) error {
			byID, err := r.Device(want.ID)
			s.same("Device", deviceText(byID), deviceText(want))
			byUEID, err2 := r.DeviceByUEID(want.UEID)
			s.same("DeviceByUEID", deviceText(byUEID), deviceText(want))
			byState, err3 := r.Devices(want.State, tam.Page{Limit: 2})
			s.same("Devices", textOf(deviceText, byState), deviceText(want))
			_, err4 := r.DeviceAttestedBy(want.AttestationKey)
			if named := want.AttestationKey != (cosekit.Thumbprint{}); named == errors.Is(err4, tam.ErrNotFound) {
				s.Errorf("DeviceAttestedBy %s: %v", want.AttestationKey, err4)
			}
			return errors.Join(err, err2, err3)
		})
		was = want
	}
	s.refused("a label that cannot be read back", nil, func(tx tam.Tx) error {
		d := device(1)
		d.Labels = map[string]string{"site": "\xff"}
		return tx.PutDevice(d)
	})
	s.refused("an exception that cannot be read back", nil, func(tx tam.Tx) error {
		d := device(1)
		d.Exception = &devices.Exception{Comparisons: []attest.Comparison{{Measured: "\xff"}}}
		return tx.PutDevice(d)
	})
}

func (s suite) devicePages() {
	const all = 25
	states := []devices.State{devices.Pending, devices.Accepted, devices.Quarantined}
	s.update(func(tx tam.Tx) error {
		for n := all - 1; n >= 0; n-- {
			d := device(n)
			d.State = states[n%3]
			if err := tx.PutDevice(d); err != nil {
				return err
			}
		}
		return nil
	})
	for name, c := range map[string]struct {
		state devices.State
		first int
		step  int
	}{"all": {"", 0, 1}, "accepted": {devices.Accepted, 1, 3}, "none": {devices.Retired, all, 1}} {
		s.Run(name, func(t *testing.T) {
			var want, got []devices.ID
			for n := c.first; n < all; n += c.step {
				want = append(want, deviceID(n))
			}
			for after := ""; ; {
				var page []devices.Device
				suite{t, s.store}.view(func(r tam.Reader) (err error) {
					page, err = r.Devices(c.state, tam.Page{After: after, Limit: 4})
					return err
				})
				if len(page) == 0 {
					break
				}
				for _, d := range page {
					got = append(got, d.ID)
				}
				after = string(got[len(got)-1])
			}
			id := func(id devices.ID) string { return string(id) }
			suite{t, s.store}.same("devices", textOf(id, got), textOf(id, want))
		})
	}
	s.badLimits("Devices", func(r tam.Reader, limit int) error { _, err := r.Devices("", tam.Page{Limit: limit}); return err })
}

// badLimits checks that a listing refuses a limit that is out of bounds.
func (s suite) badLimits(what string, list func(tam.Reader, int) error) {
	s.Helper()
	s.view(func(r tam.Reader) error {
		for _, limit := range []int{-1, 0, pageSize + 1} {
			if err := list(r, limit); err == nil {
				s.Errorf("%s with a limit of %d: no error", what, limit)
			}
		}
		return list(r, pageSize)
	})
}

func (s suite) agents() {
	one, other := agent(1, 1), agent(1, 2)
	other.ReportKey, other.Extensions, other.Noted = nil, nil, nil
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.PutDevice(device(1)), tx.PutDevice(device(2)), tx.PutAgent(one), tx.PutAgent(other), tx.PutAgent(agent(2, 3)))
	})
	one.LastSeen, one.HoldReason, one.Noted = at(90), "", map[string]time.Time{"device-rejected": at(90)}
	s.update(func(tx tam.Tx) error { return tx.PutAgent(one) })
	s.view(func(r tam.Reader) error {
		for _, want := range []devices.Agent{one, other} {
			got, err := r.Agent(want.Key.Thumbprint())
			if err != nil {
				return err
			}
			s.same("Agent", agentText(got), agentText(want))
		}
		of, err := r.AgentsOf(deviceID(1))
		if len(of) != 2 {
			s.Errorf("device has %d agents, want 2", len(of))
		}
		none, err2 := r.AgentsOf("nobody")
		if len(none) != 0 {
			s.Errorf("unknown device has %d agents", len(none))
		}
		return errors.Join(err, err2)
	})
	unknown := func(r tam.Reader) error { _, err := r.Agent(publicKey(77).Thumbprint()); return err }
	s.notFound(map[string]func(tam.Reader) error{"unknown agent": unknown})
	s.refused("an agent of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.PutAgent(agent(9, 9)) })
	manifestsOnly := agent(1, 4)
	manifestsOnly.ReportKey = postQuantumKey(s)
	s.refused("a report key for manifests only", cosekit.ErrKey, func(tx tam.Tx) error { return tx.PutAgent(manifestsOnly) })
	manifestsOnly = agent(1, 4)
	manifestsOnly.Key = postQuantumKey(s)
	s.refused("a message key for manifests only", cosekit.ErrKey, func(tx tam.Tx) error { return tx.PutAgent(manifestsOnly) })
	s.refused("an agent without a key", nil, func(tx tam.Tx) error { return tx.PutAgent(devices.Agent{Device: deviceID(1)}) })
	s.refused("to delete an unknown agent", tam.ErrNotFound, func(tx tam.Tx) error { return tx.DeleteAgent(publicKey(77).Thumbprint()) })

	key := one.Key.Thumbprint()
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.AddAppraisal(appraisal(1, at(1), "stays")), tx.PutOutstanding(update(1, 1, 1), 1), tx.DeleteAgent(key))
	})
	s.notFound(map[string]func(tam.Reader) error{
		"deleted agent":           func(r tam.Reader) error { _, err := r.Agent(key); return err },
		"update of deleted agent": func(r tam.Reader) error { _, err := r.Outstanding(key, update(1, 1, 1).Token); return err },
	})
	s.view(func(r tam.Reader) error {
		kept, err := r.Appraisals(tam.AppraisalQuery{Device: deviceID(1), Limit: 10})
		if len(kept) != 1 {
			s.Errorf("%d appraisals are left, want 1", len(kept))
		}
		return err
	})
}
