package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// appraised makes two devices, with appraisals of two agents at the minutes 0 to 5.
func (s suite) appraised() {
	s.Helper()
	s.withAgents()
	s.update(func(tx tam.Tx) error {
		for minute := range 6 {
			for n := 1; n <= 2; n++ {
				a := appraisal(n, at(minute), "")
				a.Agent = publicKey(n).Thumbprint()
				if err := tx.AddAppraisal(a); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// wantAppraisals compares the minutes of what is left of each device.
func (s suite) wantAppraisals(one, two string) {
	s.Helper()
	s.view(func(r tam.Reader) error {
		for n, want := range []string{one, two} {
			left, err := r.Appraisals(tam.AppraisalQuery{Device: deviceID(n + 1), Limit: 10})
			if err != nil {
				return err
			}
			var minutes []string
			for _, a := range left {
				minutes = append(minutes, fmt.Sprint(a.At.Sub(at(0)).Minutes()))
			}
			s.same(fmt.Sprintf("appraisals of device %d", n+1), strings.Join(minutes, " "), want)
		}
		return nil
	})
}

func (s suite) oldAppraisals() {
	s.appraised()
	trim := func(after cosekit.Thumbprint, before, keep, limit int) (next cosekit.Thumbprint) {
		s.Helper()
		s.update(func(tx tam.Tx) (err error) {
			next, err = tx.DeleteAppraisals(after, at(before), keep, limit)
			return err
		})
		return next
	}
	none := cosekit.Thumbprint{}
	if next := trim(none, 100, 6, 10); next != none {
		s.Errorf("next is %s, want the end", next)
	}
	s.wantAppraisals("5 4 3 2 1 0", "5 4 3 2 1 0")
	trim(none, 2, 0, 10) // only what is old
	s.wantAppraisals("5 4 3 2", "5 4 3 2")
	trim(none, 100, 3, 10) // of that, not the newest
	s.wantAppraisals("5 4 3", "5 4 3")
	trim(none, 3, 1, 10) // nothing is as old
	s.wantAppraisals("5 4 3", "5 4 3")

	round := func() (calls int) {
		for next := trim(none, 100, 1, 1); next != none; next = trim(next, 100, 1, 1) {
			calls++
		}
		return calls
	}
	if calls := round(); calls != 2 {
		s.Errorf("%d calls for 2 agents, one at a time", calls)
	}
	s.wantAppraisals("5 4", "5 4") // at most one of each agent in a round
	round()
	s.wantAppraisals("5", "5")
	trim(none, 100, 0, 10)
	s.wantAppraisals("", "")

	s.refused("a limit of nothing", nil, func(tx tam.Tx) error { _, err := tx.DeleteAppraisals(none, at(1), 1, 0); return err })
	s.refused("to keep less than nothing", nil, func(tx tam.Tx) error { _, err := tx.DeleteAppraisals(none, at(1), -1, 1); return err })
}

func (s suite) oldEvents() {
	const drop audit.Action = "test.dropped"
	s.update(func(tx tam.Tx) (err error) {
		for _, minute := range []int{0, 1, 2, 7, 3, 8} {
			e := event(fmt.Sprint("minute ", minute))
			e.At = at(minute)
			err = errors.Join(err, tx.AppendEvent(e))
		}
		return err
	})
	cut := func(before, limit, want int) {
		s.Helper()
		s.update(func(tx tam.Tx) error {
			n, err := tx.DeleteEvents(at(before), limit, audit.Event{At: at(50), Actor: "system", Action: drop, Details: map[string]string{"policy": "a year"}})
			if n != want {
				s.Errorf("deleted %d events, want %d", n, want)
			}
			return err
		})
	}
	wanted := func(want ...string) {
		s.Helper()
		s.view(func(r tam.Reader) error {
			events, err := r.Events(0, 100)
			var got []string
			for _, e := range events {
				line := fmt.Sprint(e.Seq)
				if e.Action == drop {
					line += " through " + e.Details["through"] + ", " + e.Details["policy"]
				}
				got = append(got, line)
			}
			s.same("events", strings.Join(got, "\n"), strings.Join(want, "\n"))
			return err
		})
	}
	cut(0, 10, 0)
	wanted("1", "2", "3", "4", "5", "6")
	cut(5, 2, 2)
	wanted("3", "4", "5", "6", "7 through 2, a year")
	cut(5, 10, 1) // the one behind minute 7 waits for it
	wanted("4", "5", "6", "7 through 2, a year", "8 through 3, a year")
	cut(5, 10, 0)
	cut(100, 10, 5)
	wanted("9 through 8, a year") // the numbers go on
	s.update(func(tx tam.Tx) error { return tx.AppendEvent(event("after")) })
	wanted("9 through 8, a year", "10")

	s.refused("a limit of nothing", nil, func(tx tam.Tx) error { _, err := tx.DeleteEvents(at(100), 0, event("x")); return err })
	undone := errors.New("undone")
	s.refused("events of a transaction that fails", undone, func(tx tam.Tx) error {
		n, err := tx.DeleteEvents(at(100), 10, event("x"))
		if n == 0 {
			s.Error("deleted nothing")
		}
		return errors.Join(err, undone)
	})
}
