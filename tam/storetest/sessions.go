package storetest

import (
	"bytes"
	"errors"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

func (s suite) spentTokens() {
	token, prefix := []byte{1, 2, 0, 3}, []byte{1, 2}
	s.wantSpent(token, false)
	s.update(func(tx tam.Tx) error {
		if err := tx.Spend(token, at(1)); err != nil {
			return err
		}
		s.wantError("a second time in one transaction", tx.Spend(token, at(2)), tam.ErrSpent)
		return nil
	})
	s.wantSpent(token, true)
	s.wantSpent(prefix, false)
	s.refused("a spent token", tam.ErrSpent, func(tx tam.Tx) error { return tx.Spend(token, at(9)) })
	s.refused("the empty token", nil, func(tx tam.Tx) error { return tx.Spend(nil, at(9)) })

	undone := errors.New("undone")
	s.refused("for another reason", undone, func(tx tam.Tx) error { return errors.Join(tx.Spend(prefix, at(1)), undone) })
	s.wantSpent(prefix, false)
	s.update(func(tx tam.Tx) error { return tx.Spend(prefix, at(1)) })
}

func (s suite) wantSpent(token []byte, want bool) {
	s.Helper()
	s.view(func(r tam.Reader) error {
		got, err := r.Spent(token)
		if got != want {
			s.Errorf("token %x: spent is %t, want %t", token, got, want)
		}
		return err
	})
}

// withAgents makes devices 1 and 2, and an agent on each with the key of its number.
func (s suite) withAgents() (one, two cosekit.Thumbprint) {
	s.Helper()
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.PutDevice(device(1)), tx.PutDevice(device(2)), tx.PutAgent(agent(1, 1)), tx.PutAgent(agent(2, 2)))
	})
	return publicKey(1).Thumbprint(), publicKey(2).Thumbprint()
}

func (s suite) outstanding() {
	one, two := s.withAgents()
	want, others := update(1, 1, 1), update(2, 2, 2)
	s.update(func(tx tam.Tx) error { return errors.Join(tx.PutOutstanding(want, 3), tx.PutOutstanding(others, 3)) })
	s.view(func(r tam.Reader) error {
		got, err := r.Outstanding(one, want.Token)
		s.same("Outstanding", outstandingText(got), outstandingText(want))
		return err
	})
	s.notFound(map[string]func(tam.Reader) error{
		"the token of another agent": func(r tam.Reader) error { _, err := r.Outstanding(one, others.Token); return err },
		"one's token, other's key":   func(r tam.Reader) error { _, err := r.Outstanding(two, want.Token); return err },
		"an unknown token":           func(r tam.Reader) error { _, err := r.Outstanding(one, []byte{7}); return err },
		"no token":                   func(r tam.Reader) error { _, err := r.Outstanding(one, nil); return err },
	})
	want.ExpiresAt, want.Manifests, want.Unneeded = at(500), nil, nil
	s.update(func(tx tam.Tx) error { return tx.PutOutstanding(want, 3) })
	s.view(func(r tam.Reader) error {
		got, err := r.Outstanding(one, want.Token)
		s.same("replaced", outstandingText(got), outstandingText(want))
		return err
	})

	remove := func(agent cosekit.Thumbprint, token []byte) func(tam.Tx) error {
		return func(tx tam.Tx) error { return tx.DeleteOutstanding(agent, token) }
	}
	s.refused("to delete another agent's", tam.ErrNotFound, remove(one, others.Token))
	s.update(remove(one, want.Token))
	s.refused("to delete it again", tam.ErrNotFound, remove(one, want.Token))
	s.notFound(map[string]func(tam.Reader) error{"deleted": func(r tam.Reader) error { _, err := r.Outstanding(one, want.Token); return err }})
	s.view(func(r tam.Reader) error { _, err := r.Outstanding(two, others.Token); return err })

	put := func(o tam.Outstanding, keep int) func(tam.Tx) error {
		return func(tx tam.Tx) error { return tx.PutOutstanding(o, keep) }
	}
	s.refused("an update to an unknown agent", tam.ErrNotFound, put(update(9, 1, 1), 1))
	s.refused("an update to an unknown device", tam.ErrNotFound, put(update(1, 9, 1), 1))
	s.refused("an update without a token", nil, put(tam.Outstanding{Agent: one, Device: deviceID(1)}, 1))
	s.refused("a bound of nothing", nil, put(update(1, 1, 1), 0))
}

func (s suite) outstandingBound() {
	one, two := s.withAgents()
	put := func(agent, token, keep int) {
		s.Helper()
		s.update(func(tx tam.Tx) error { return tx.PutOutstanding(update(agent, agent, token), keep) })
	}
	left := func(agent cosekit.Thumbprint, want ...int) {
		s.Helper()
		s.view(func(r tam.Reader) error {
			var got, wanted []byte
			for token := range 20 {
				switch _, err := r.Outstanding(agent, []byte{0, byte(token)}); {
				case err == nil:
					got = append(got, byte(token))
				case !errors.Is(err, tam.ErrNotFound):
					return err
				}
			}
			for _, token := range want {
				wanted = append(wanted, byte(token))
			}
			if !bytes.Equal(got, wanted) {
				s.Errorf("updates left: %v, want %v", got, wanted)
			}
			return nil
		})
	}
	put(2, 1, 3)
	for token := range 6 {
		put(1, token+4, 3)
	}
	left(one, 7, 8, 9)
	put(1, 9, 3) // the same again
	left(one, 7, 8, 9)
	put(1, 2, 3) // sent before the others, where a clock was set back
	left(one, 2, 8, 9)
	put(1, 10, 1)
	left(one, 10)
	left(two, 1)
}

func (s suite) expiry() {
	one, _ := s.withAgents()
	token := func(n int) []byte { return []byte{9, byte(n)} }
	s.update(func(tx tam.Tx) error {
		for n := range 6 {
			o := update(1, 1, n)
			o.ExpiresAt = at(n)
			if err := errors.Join(tx.Spend(token(n), at(n)), tx.PutOutstanding(o, 10)); err != nil {
				return err
			}
		}
		return nil
	})
	sweep := func(now, limit, want int) {
		s.Helper()
		s.update(func(tx tam.Tx) error {
			deleted, err := tx.DeleteExpired(at(now), limit)
			if deleted != want {
				s.Errorf("deleted %d, want %d", deleted, want)
			}
			return err
		})
	}
	sweep(0, 10, 0)
	sweep(4, 3, 6)
	for n, gone := range []bool{true, true, true, false, false, false} {
		s.wantSpent(token(n), !gone)
		s.view(func(r tam.Reader) error {
			if _, err := r.Outstanding(one, update(1, 1, n).Token); errors.Is(err, tam.ErrNotFound) != gone {
				s.Errorf("update %d: %v, want it gone: %t", n, err, gone)
			}
			return nil
		})
	}
	sweep(4, 3, 2)
	sweep(4, 3, 0)
	sweep(100, 1, 2)
	sweep(100, 1000, 2)
	s.refused("a limit of nothing", nil, func(tx tam.Tx) error { _, err := tx.DeleteExpired(at(1), 0); return err })
}

// dropping of Updates leaves the marks of spent tokens.
func (s suite) dropping() {
	one, two := s.withAgents()
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.Spend([]byte{9}, at(1)), tx.PutOutstanding(update(1, 1, 1), 10),
			tx.PutOutstanding(update(1, 1, 2), 10), tx.PutOutstanding(update(2, 2, 3), 10))
	})
	for _, want := range []int{2, 1, 0} {
		s.update(func(tx tam.Tx) error {
			dropped, err := tx.DropOutstanding(2)
			if dropped != want {
				s.Errorf("dropped %d, want %d", dropped, want)
			}
			return err
		})
	}
	s.view(func(r tam.Reader) error {
		for token, agent := range []cosekit.Thumbprint{one, one, two} {
			if _, err := r.Outstanding(agent, update(1, 1, token+1).Token); !errors.Is(err, tam.ErrNotFound) {
				s.Errorf("update %d: %v, want it gone", token+1, err)
			}
		}
		return nil
	})
	s.wantSpent([]byte{9}, true)
	s.refused("a limit of nothing", nil, func(tx tam.Tx) error { _, err := tx.DropOutstanding(0); return err })
}

func (s suite) tokenKeys() {
	key := func(id uint8, created int) tam.TokenKey {
		return tam.TokenKey{ID: id, Secret: bytes.Repeat([]byte{id}, 32), CreatedAt: at(created)}
	}
	wanted := func(want ...tam.TokenKey) {
		s.Helper()
		s.view(func(r tam.Reader) error {
			got, err := r.TokenKeys()
			s.same("TokenKeys", textOf(tokenKeyText, got), textOf(tokenKeyText, want))
			return err
		})
	}
	wanted()
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.AddTokenKey(key(0, 3)), tx.AddTokenKey(key(255, 1)), tx.AddTokenKey(key(7, 2)))
	})
	wanted(key(255, 1), key(7, 2), key(0, 3))
	s.refused("a known id", tam.ErrExists, func(tx tam.Tx) error { return tx.AddTokenKey(key(7, 9)) })
	s.refused("no secret", nil, func(tx tam.Tx) error { return tx.AddTokenKey(tam.TokenKey{ID: 8}) })
	s.update(func(tx tam.Tx) error { return tx.DeleteTokenKey(7) })
	wanted(key(255, 1), key(0, 3))
	s.refused("to delete an unknown key", tam.ErrNotFound, func(tx tam.Tx) error { return tx.DeleteTokenKey(7) })
}

func (s suite) auditEvents() {
	undone := errors.New("undone")
	var want []audit.Event
	for n := range 12 {
		e := event(string(rune('a' + n)))
		e.Seq = 99 // the log gives the number
		s.refused("an undone event", undone, func(tx tam.Tx) error { return errors.Join(tx.AppendEvent(e), undone) })
		s.update(func(tx tam.Tx) error { return tx.AppendEvent(e) })
		e.Seq = int64(n + 1)
		want = append(want, e)
	}
	s.view(func(r tam.Reader) error {
		for _, c := range []struct{ after, limit, from, to int }{{0, 1000, 0, 12}, {0, 5, 0, 5}, {5, 5, 5, 10}, {11, 5, 11, 12}, {12, 5, 12, 12}, {-3, 1, 0, 1}} {
			got, err := r.Events(int64(c.after), c.limit)
			if err != nil {
				return err
			}
			s.same("Events", textOf(eventText, got), textOf(eventText, want[c.from:c.to]))
		}
		return nil
	})
	s.badLimits("Events", func(r tam.Reader, limit int) error { _, err := r.Events(0, limit); return err })
	s.refused("details that cannot be read back", nil, func(tx tam.Tx) error {
		return tx.AppendEvent(audit.Event{Details: map[string]string{"k": "\xff"}})
	})
}
