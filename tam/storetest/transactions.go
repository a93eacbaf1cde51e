package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tamarack-tam/tamarack/tam"
)

func (s suite) filled() {
	Fill(s.T, s.store)
	before := Dump(s.T, s.store)
	s.same("a second look", Dump(s.T, s.store), before)
	s.wantSpent([]byte("token"), true)
}

func (s suite) atomicUpdates() {
	Fill(s.T, s.store)
	before := Dump(s.T, s.store)
	work := func(tx tam.Tx) error {
		return errors.Join(tx.PutDevice(device(2)), tx.PutAgent(agent(2, 2)), tx.Spend([]byte("other"), at(1)), tx.DeleteAgent(publicKey(1).Thumbprint()),
			tx.AddManifest(manifest(2, component("b"), 1), []byte("env")), tx.ReplaceInventory(deviceID(1), nil), tx.DeleteTokenKey(1))
	}
	own := errors.New("fn's own")
	err := s.store.Update(s.Context(), func(tx tam.Tx) error { return errors.Join(work(tx), own) })
	s.wantError("fn that fails", err, own)
	if !errors.Is(err, own) || errors.Is(err, tam.ErrNotFound) {
		s.Errorf("got %v, want nothing but fn's own error", err)
	}

	func() {
		defer func() {
			if got := recover(); got != "fn's own" {
				s.Errorf("recovered %v, want fn's own panic", got)
			}
		}()
		s.store.Update(s.Context(), func(tx tam.Tx) error { // it panics
			if err := work(tx); err != nil {
				s.Error(err)
			}
			panic("fn's own")
		})
	}()

	s.same("the store", Dump(s.T, s.store), before)
	s.wantSpent([]byte("other"), false)
	s.update(work)
	if Dump(s.T, s.store) == before {
		s.Error("the same work with no fault has changed nothing")
	}
}

func (s suite) afterTheEnd() {
	var tx tam.Tx
	var r tam.Reader
	s.update(func(t tam.Tx) error { tx = t; return nil })
	s.view(func(t tam.Reader) error { r = t; return nil })
	before := Dump(s.T, s.store)
	s.wantError("a write after the end", tx.AppendEvent(event("late")), nil)
	_, err := tx.Events(0, 1)
	s.wantError("a read after the end", err, nil)
	_, err = r.Events(0, 1)
	s.wantError("a read after the end of a view", err, nil)

	s.update(func(tam.Tx) error {
		s.wantError("a write into the next transaction", tx.AppendEvent(event("late")), nil)
		return nil
	})
	s.same("the store", Dump(s.T, s.store), before)
}

func (s suite) ownWrites() {
	s.update(func(tx tam.Tx) error {
		if err := errors.Join(tx.PutDevice(device(1)), tx.Spend([]byte("token"), at(1)), tx.AppendEvent(event("first"))); err != nil {
			return err
		}
		d, err := tx.Device(deviceID(1))
		s.same("own device", deviceText(d), deviceText(device(1)))
		spent, err2 := tx.Spent([]byte("token"))
		if !spent {
			s.Error("own spent token is not spent")
		}
		events, err3 := tx.Events(0, 10)
		if len(events) != 1 {
			s.Errorf("%d events, want its own", len(events))
		}
		return errors.Join(err, err2, err3)
	})
}

func (s suite) cancelled() {
	Fill(s.T, s.store)
	before := Dump(s.T, s.store)
	ctx, cancel := context.WithCancel(s.Context())
	err := s.store.Update(ctx, func(tx tam.Tx) error {
		if err := tx.AppendEvent(event("before")); err != nil {
			return err
		}
		cancel()
		s.wantError("a write after the cancellation", tx.AppendEvent(event("after")), context.Canceled)
		_, err := tx.Events(0, 1)
		s.wantError("a read after the cancellation", err, context.Canceled)
		return nil
	})
	s.wantError("Update cancelled within", err, context.Canceled)

	ran := false
	err = s.store.Update(ctx, func(tam.Tx) error { ran = true; return nil })
	s.wantError("Update cancelled before", err, context.Canceled)
	err = s.store.View(ctx, func(tam.Reader) error { ran = true; return nil })
	s.wantError("View cancelled before", err, context.Canceled)
	if ran {
		s.Error("fn ran under a cancelled context")
	}
	s.same("the store", Dump(s.T, s.store), before)

	// One that waits for its turn gives up when its context ends.
	waiting, stop := context.WithCancel(s.Context())
	s.update(func(tam.Tx) error {
		done := make(chan error)
		go func() { done <- s.store.Update(waiting, func(tam.Tx) error { return nil }) }()
		stop()
		s.wantError("Update cancelled while it waits", <-done, context.Canceled)
		return nil
	})
}

// together runs fn at once so many times.
func together(times int, fn func(n int)) {
	var wg sync.WaitGroup
	for n := range times {
		wg.Go(func() { fn(n) })
	}
	wg.Wait()
}

// lostUpdates counts in a device's name, from many goroutines.
func (s suite) lostUpdates() {
	d := device(1)
	d.Name = "0"
	s.update(func(tx tam.Tx) error { return tx.PutDevice(d) })
	const writers, rounds = 8, 10
	together(writers, func(int) {
		for range rounds {
			err := s.store.Update(s.Context(), func(tx tam.Tx) error {
				d, err := tx.Device(deviceID(1))
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(d.Name)
				if err != nil {
					return err
				}
				d.Name = strconv.Itoa(n + 1)
				return tx.PutDevice(d)
			})
			if err != nil {
				s.Error(err)
			}
		}
	})
	s.view(func(r tam.Reader) error {
		d, err := r.Device(deviceID(1))
		s.same("count", d.Name, strconv.Itoa(writers*rounds))
		return err
	})
}

func (s suite) oneSpender() {
	const racers = 16
	for round := range 5 {
		var won, lost atomic.Int32
		together(racers, func(int) {
			switch err := s.store.Update(s.Context(), func(tx tam.Tx) error { return tx.Spend([]byte{byte(round)}, at(1)) }); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, tam.ErrSpent):
				lost.Add(1)
			default:
				s.Error(err)
			}
		})
		if won.Load() != 1 || lost.Load() != racers-1 {
			s.Errorf("token %d was spent by %d and refused to %d, of %d", round, won.Load(), lost.Load(), racers)
		}
	}
}

// snapshot moves a count between two devices while others look: the sum stays, and
// within one View each device stays what it is.
func (s suite) snapshot() {
	const sum = 50
	put := func(tx tam.Tx, n, count int) error {
		d := device(n)
		d.Name = strconv.Itoa(count)
		return tx.PutDevice(d)
	}
	s.update(func(tx tam.Tx) error { return errors.Join(put(tx, 1, sum), put(tx, 2, 0)) })
	count := func(r tam.Reader, n int) int {
		d, err := r.Device(deviceID(n))
		if err != nil {
			s.Error(err)
		}
		v, err := strconv.Atoi(d.Name)
		if err != nil {
			s.Error(err)
		}
		return v
	}
	together(4, func(n int) {
		for moved := 1; moved <= sum; moved++ {
			var err error
			if n == 0 {
				err = s.store.Update(s.Context(), func(tx tam.Tx) error { return errors.Join(put(tx, 1, sum-moved), put(tx, 2, moved)) })
			} else {
				err = s.store.View(s.Context(), func(r tam.Reader) error {
					one, two, again := count(r, 1), count(r, 2), count(r, 1)
					if one+two != sum || one != again {
						s.Errorf("saw %d and %d, then %d: want a sum of %d", one, two, again, sum)
					}
					return nil
				})
			}
			if err != nil {
				s.Error(err)
			}
		}
	})
}
