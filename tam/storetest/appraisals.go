package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

// listed is an appraisal as lists have it.
func listed(a devices.Appraisal) devices.Appraisal {
	a.Claims, a.Comparisons = nil, nil
	return withoutRaw(a)
}

// withoutRaw is one as the list of the latest has it, and as it is when it is old.
func withoutRaw(a devices.Appraisal) devices.Appraisal {
	a.Evidence, a.Result = nil, nil
	return a
}

func (s suite) appraisals() {
	added := []devices.Appraisal{
		appraisal(1, at(1), "first"), appraisal(1, at(3), "of the latest time"), appraisal(1, at(2), "☃"),
		{Device: deviceID(1), At: at(0), Status: 96}, appraisal(2, at(9), "of another"),
	}
	s.update(func(tx tam.Tx) error {
		if err := errors.Join(tx.PutDevice(device(1)), tx.PutDevice(device(2))); err != nil {
			return err
		}
		for _, a := range added {
			a.ID = 77 // it is the store that gives them
			if err := tx.AddAppraisal(a); err != nil {
				return err
			}
		}
		return nil
	})
	var want []devices.Appraisal // the last added first, whatever its time
	for i := range added {
		added[i].ID = int64(i + 1)
		if added[i].Device == deviceID(1) {
			want = slices.Insert(want, 0, listed(added[i]))
		}
	}
	s.view(func(r tam.Reader) error {
		for limit := 1; limit <= len(want)+1; limit++ {
			got, err := r.Appraisals(tam.AppraisalQuery{Device: deviceID(1), Limit: limit})
			if err != nil {
				return err
			}
			s.same("Appraisals", textOf(appraisalText, got), textOf(appraisalText, want[:min(limit, len(want))]))
		}
		for _, a := range added {
			got, err := r.Appraisal(a.ID)
			if err != nil {
				return err
			}
			s.same("Appraisal", appraisalText(got), appraisalText(a))
		}
		return nil
	})
	s.notFound(map[string]func(tam.Reader) error{
		"no appraisal":         func(r tam.Reader) error { _, err := r.Appraisal(0); return err },
		"an appraisal to come": func(r tam.Reader) error { _, err := r.Appraisal(int64(len(added) + 1)); return err },
	})
	s.badLimits("Appraisals", func(r tam.Reader, limit int) error {
		_, err := r.Appraisals(tam.AppraisalQuery{Device: deviceID(1), Limit: limit})
		return err
	})
	s.refused("an appraisal of an unknown device", tam.ErrNotFound, func(tx tam.Tx) error { return tx.AddAppraisal(appraisal(9, at(1), "")) })
}

// mixed adds appraisals of every kind to every second of the devices 1 to n, in turns.
func (s suite) mixed(n, rounds int) (added []devices.Appraisal) {
	s.Helper()
	s.update(func(tx tam.Tx) error {
		added = nil
		for i := 1; i <= n; i++ {
			if err := tx.PutDevice(device(i)); err != nil {
				return err
			}
		}
		for range rounds {
			for i := 1; i <= n; i += 2 {
				id := len(added) + 1
				a := appraisal(i, at(-id), "")
				a.Accepted = id%3 == 0
				if id%2 == 0 {
					a.Claims, a.Genuine = []byte{}, false // as none
				}
				if err := tx.AddAppraisal(a); err != nil {
					return err
				}
				a.ID = int64(id)
				added = append(added, a)
			}
		}
		return nil
	})
	return added
}

func idsOf(list []devices.Appraisal) string {
	return textOf(func(a devices.Appraisal) string { return fmt.Sprint(a.ID) }, list)
}

// Every way to narrow finds what it should, page by page.
func (s suite) appraisalFilters() {
	added := s.mixed(5, 12)
	yes, no := true, false
	for _, device := range []devices.ID{"", deviceID(1), deviceID(2), deviceID(5)} {
		for _, accepted := range []*bool{nil, &yes, &no} {
			for _, genuine := range []bool{false, true} {
				var want, got []devices.Appraisal
				for _, a := range slices.Backward(added) {
					if (device == "" || a.Device == device) && (accepted == nil || a.Accepted == *accepted) && (!genuine || len(a.Claims) > 0) {
						want = append(want, a)
					}
				}
				q := tam.AppraisalQuery{Device: device, Accepted: accepted, Genuine: genuine, Limit: 3}
				s.view(func(r tam.Reader) error {
					for len(got) <= len(added) {
						page, err := r.Appraisals(q)
						if err != nil || len(page) == 0 {
							return err
						}
						got = append(got, page...)
						q.Before = page[len(page)-1].ID
					}
					return errors.New("the pages do not end")
				})
				s.same(fmt.Sprintf("appraisals of %q, narrowed to accepted %v, genuine %t", device, accepted, genuine), idsOf(got), idsOf(want))
			}
		}
	}
}

func (s suite) latestAppraisals() {
	const all = 13
	added := s.mixed(all, 3)
	last := map[devices.ID]devices.Appraisal{}
	for _, a := range added {
		last[a.Device] = withoutRaw(a)
	}
	for _, limit := range []int{1, 2, all, pageSize} {
		var got []string
		s.view(func(r tam.Reader) error {
			for after := ""; len(got) <= all; {
				page, err := r.LatestAppraisals(tam.Page{After: after, Limit: limit})
				if err != nil || len(page) == 0 {
					return err
				}
				if len(page) > limit {
					s.Errorf("a page of %d, with a limit of %d", len(page), limit)
				}
				got = append(got, textOf(appraisalText, page))
				after = string(page[len(page)-1].Device)
			}
			return errors.New("the pages do not end")
		})
		var want []string
		for n := 1; n <= all; n += 2 { // the others have none
			want = append(want, appraisalText(last[deviceID(n)]))
		}
		s.same(fmt.Sprintf("latest appraisals, %d at once", limit), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.badLimits("LatestAppraisals", func(r tam.Reader, limit int) error {
		_, err := r.LatestAppraisals(tam.Page{Limit: limit})
		return err
	})
}

// An id that was dropped does not come back: people and exceptions have noted it.
func (s suite) appraisalIDs() {
	s.withAgents()
	add := func(want int64) {
		s.Helper()
		s.update(func(tx tam.Tx) error { return tx.AddAppraisal(appraisal(1, at(1), "")) })
		s.view(func(r tam.Reader) error {
			got, err := r.Appraisals(tam.AppraisalQuery{Limit: 1})
			s.same("the last id", idsOf(got), fmt.Sprint(want))
			return err
		})
	}
	add(1)
	add(2)
	s.update(func(tx tam.Tx) error {
		_, err := tx.DeleteAppraisals(cosekit.Thumbprint{}, at(9), 0, 10)
		return err
	})
	add(3)
	undone := errors.New("undone")
	s.refused("for another reason", undone, func(tx tam.Tx) error {
		return errors.Join(tx.AddAppraisal(appraisal(1, at(1), "")), undone)
	})
	add(4)
}

// Raw bytes go by their age, what they came to stays.
func (s suite) oldEvidence() {
	s.withAgents()
	kept := map[int64]devices.Appraisal{}
	s.update(func(tx tam.Tx) error {
		clear(kept)
		for i, minute := range []int{3, 1, 2, 1, 8} {
			a := appraisal(1+i%2, at(minute), "")
			switch i {
			case 1:
				a.Evidence = nil
			case 2:
				a.Result = nil
			case 3:
				a.Evidence, a.Result = []byte{}, nil // neither
			}
			if err := tx.AddAppraisal(a); err != nil {
				return err
			}
			a.ID = int64(i + 1)
			kept[a.ID] = a
		}
		return nil
	})
	drop := func(before, limit int, gone ...int64) {
		s.Helper()
		s.update(func(tx tam.Tx) error {
			n, err := tx.DropEvidence(at(before), limit)
			if n != len(gone) {
				s.Errorf("before minute %d: dropped %d, want %d", before, n, len(gone))
			}
			return err
		})
		for _, id := range gone {
			kept[id] = withoutRaw(kept[id])
		}
		s.view(func(r tam.Reader) error {
			for id, want := range kept {
				got, err := r.Appraisal(id)
				if err != nil {
					return err
				}
				s.same("Appraisal", appraisalText(got), appraisalText(want))
			}
			return nil
		})
	}
	drop(1, 10)
	drop(4, 2, 2, 3) // the oldest first
	drop(4, 2, 1)
	drop(4, 2)
	drop(8, 2)
	drop(9, 2, 5)
	s.refused("a limit of nothing", nil, func(tx tam.Tx) error { _, err := tx.DropEvidence(at(9), 0); return err })
}
