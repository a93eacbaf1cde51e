package tam_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

func (w *world) maintain() {
	w.t.Helper()
	if err := w.tam.Maintain(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestOldAppraisalsAreDropped(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.KeepAppraisals, c.Policy.AppraisalAge = 2, 7*24*time.Hour })
	d, other := w.device(cosekit.ESP256).enrol(), w.device(cosekit.Ed25519).enrol()
	for range 4 {
		w.now.add(24 * time.Hour)
		d.poll()
	}
	expect(t, "before", d.appraisals(), 5)
	w.maintain()
	expect(t, "none is old", d.appraisals(), 5)
	w.now.add(7 * 24 * time.Hour)
	w.maintain()
	expect(t, "all are old", d.appraisals(), 2)
	expect(t, "of an agent that has one", other.appraisals(), 1)
	for range 3 {
		w.now.add(24 * time.Hour)
		d.poll()
		w.maintain()
	}
	expect(t, "younger than the age", d.appraisals(), 3)
}

// One call of Maintain does a bounded part; the calls after it come to the end.
func TestSweepsAreBounded(t *testing.T) {
	const agents = 3
	w := newWorld(t, func(c *tam.Config) { c.Policy.KeepAppraisals = 1 })
	var keys []cosekit.Thumbprint
	var id devices.ID
	for range agents {
		d := w.device(cosekit.Ed25519).enrol()
		id = d.record().ID
		keys = append(keys, d.thumbprint())
	}
	const each = 600
	w.update(func(tx tam.Tx) error {
		for _, key := range keys {
			for range each {
				if err := tx.AddAppraisal(devices.Appraisal{Device: id, Agent: key, At: w.now.Now()}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	w.now.add(tam.Defaults().AppraisalAge + time.Second)
	rows := func() (n int) {
		w.view(func(r tam.Reader) error {
			list, err := r.Appraisals(tam.AppraisalQuery{Device: id, Limit: 1000})
			n = len(list)
			return err
		})
		return n
	}
	calls := 0
	for ; rows() > agents && calls < 1000; calls++ {
		w.maintain()
	}
	expect(t, "left", rows() <= agents, true)
	if calls < 2 {
		t.Errorf("%d calls dropped %d rows", calls, agents*each)
	}
}

func TestOldEventsAreDropped(t *testing.T) {
	for _, age := range []time.Duration{0, 24 * time.Hour} {
		t.Run(fmt.Sprint(age), func(t *testing.T) {
			w := newWorld(t, func(c *tam.Config) { c.Policy.AuditAge = age })
			w.device(cosekit.ESP256).enrol()
			w.update(func(tx tam.Tx) error {
				for range 500 {
					if err := tx.AppendEvent(audit.Event{At: w.now.Now(), Actor: "operator:test", Action: audit.DeviceAccepted}); err != nil {
						return err
					}
				}
				return nil
			})
			w.now.add(25 * time.Hour)
			w.maintain()
			left := 0
			if age == 0 {
				left = 500
			}
			expect(t, "old events", w.events(audit.DeviceAccepted), left)
			expect(t, "says so", w.events(audit.LogShortened) > 0, age > 0)
			before := w.dump()
			w.maintain()
			expect(t, "and has nothing more to do", w.dump() == before, true)
		})
	}
}

// The record of a shortening is no reason for the next one: it goes with the next
// events that are not such records.
func TestShorteningComesToRest(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.AuditAge = 24 * time.Hour })
	w.device(cosekit.ESP256).enrol()
	for range 5 {
		w.now.add(25 * time.Hour)
		w.maintain()
		expect(t, "records in a log without events", w.events(audit.LogShortened), 1)
	}
	w.update(func(tx tam.Tx) error {
		return tx.AppendEvent(audit.Event{At: w.now.Now(), Actor: "operator:test", Action: audit.DeviceAccepted})
	})
	w.now.add(23 * time.Hour)
	w.maintain()
	expect(t, "records before the next event is old", w.events(audit.LogShortened), 1)
	expect(t, "the event", w.events(audit.DeviceAccepted), 1)
	w.now.add(2 * time.Hour)
	w.maintain()
	expect(t, "records after it", w.events(audit.LogShortened), 1)
	expect(t, "the event", w.events(audit.DeviceAccepted), 0)
}
