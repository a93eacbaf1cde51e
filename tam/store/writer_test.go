package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

// crowd is callers that queue one after the other while the first of them holds
// the turn, so that it is known who shares a batch with whom.
type crowd struct {
	*testing.T
	store   *SQLite
	results map[string]error
	batches map[string]*batch // in which each ran
	mu      sync.Mutex
	all     sync.WaitGroup
}

// newCrowd is a crowd whose batches last until nobody waits: how long a test takes on a
// busy machine does not decide who shares one.
func newCrowd(t *testing.T) *crowd {
	c := &crowd{T: t, store: openFile(t)}
	c.store.writer.maxTime = time.Hour
	return c
}

type caller struct {
	name string
	ctx  context.Context // nil for the test's
	work func(tam.Tx) error
}

// run lets the callers queue in this order, calls before, lets them go, and waits
// for all to be answered. Each logs an event with its name before its work.
func (c *crowd) run(before func(), callers ...caller) {
	c.results, c.batches = map[string]error{}, map[string]*batch{}
	begun, open := make(chan struct{}), make(chan struct{})
	for i, who := range callers {
		c.all.Go(func() {
			c.update(who, func() {
				if i == 0 {
					close(begun)
					<-open
				}
			})
		})
		<-begun // having the turn is not yet having a transaction
		c.waitFor(func(w *writer) bool { return w.busy && len(w.waiting) == i })
	}
	if before != nil {
		before()
	}
	close(open)
	c.all.Wait()
}

func (c *crowd) update(who caller, hold func()) {
	ctx := who.ctx
	if ctx == nil {
		ctx = c.Context()
	}
	err := errors.New("panicked")
	defer func() {
		recover() // tests panic on purpose, and look at the result
		c.mu.Lock()
		defer c.mu.Unlock()
		c.results[who.name] = err
	}()
	err = c.store.Update(ctx, func(tx tam.Tx) error {
		hold()
		c.mu.Lock()
		c.batches[who.name] = c.store.writer.batch
		c.mu.Unlock()
		if err := tx.AppendEvent(audit.Event{Subject: who.name}); err != nil || who.work == nil {
			return err
		}
		return who.work(tx)
	})
}

func (c *crowd) waitFor(state func(*writer) bool) {
	w := c.store.writer
	for reached := false; !reached; runtime.Gosched() {
		w.mu.Lock()
		reached = state(w)
		w.mu.Unlock()
	}
}

// kept returns the names in the log, in its order.
func (c *crowd) kept() []string {
	c.Helper()
	var names []string
	err := c.store.View(c.Context(), func(r tam.Reader) error {
		events, err := r.Events(0, maxRows)
		for _, e := range events {
			names = append(names, e.Subject)
		}
		return err
	})
	if err != nil {
		c.Fatal(err)
	}
	return names
}

// wantKept also holds that who is in the log was acknowledged, and nobody else.
func (c *crowd) wantKept(names ...string) {
	c.Helper()
	if got := c.kept(); !slices.Equal(got, names) {
		c.Errorf("kept %v, want %v", got, names)
	}
	for name, err := range c.results {
		if acknowledged := err == nil; acknowledged != slices.Contains(names, name) {
			c.Errorf("%s: %v, kept: %t", name, err, !acknowledged)
		}
	}
}

func (c *crowd) wantError(name string, want error) {
	c.Helper()
	if err := c.results[name]; !errors.Is(err, want) {
		c.Errorf("%s: %v, want %v", name, err, want)
	}
}

func (c *crowd) wantBatches(want ...int) {
	c.Helper()
	size := map[*batch]int{}
	for _, b := range c.batches {
		size[b]++
	}
	var got []int
	for _, n := range size {
		got = append(got, n)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.Errorf("batches of %v, want %v", got, want)
	}
}

func add(id string) func(tam.Tx) error {
	return func(tx tam.Tx) error {
		return tx.AddTokenKey(tam.TokenKey{ID: id[0], Secret: []byte(id)})
	}
}

// A batch of neighbours of whom some fail, each in another way: the others are
// kept, in the order in which they came, by one commit.
func TestNeighbours(t *testing.T) {
	c := newCrowd(t)
	own := errors.New("its own")
	c.run(nil,
		caller{name: "first", work: add("a")},
		caller{name: "fails", work: func(tx tam.Tx) error { return errors.Join(add("b")(tx), own) }},
		caller{name: "good"},
		caller{name: "panics", work: func(tx tam.Tx) error { panic(add("c")(tx)) }},
		caller{name: "leaves", work: func(tx tam.Tx) error { runtime.Goexit(); return nil }},
		caller{name: "exists", work: add("a")},
		caller{name: "refused", work: func(tx tam.Tx) error { _, err := tx.(update).exec(insertEvent, "no time"); return err }},
		caller{name: "last", work: add("b")},
	)
	c.wantKept("first", "good", "last")
	c.wantBatches(8)
	c.wantError("fails", own)
	c.wantError("exists", tam.ErrExists)
	err := c.store.View(t.Context(), func(r tam.Reader) error {
		keys, err := r.TokenKeys()
		if len(keys) != 2 {
			t.Errorf("%d token keys, want those of first and last", len(keys))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	callers := func(n int) (list []caller) {
		for i := range n {
			list = append(list, caller{name: fmt.Sprint(i)})
		}
		return list
	}
	names := []string{"0", "1", "2", "3", "4"}
	t.Run("size", func(t *testing.T) {
		c := newCrowd(t)
		c.store.writer.maxSize = 2
		c.run(nil, callers(5)...)
		c.wantBatches(1, 2, 2)
		c.wantKept(names...)
	})
	t.Run("time", func(t *testing.T) {
		c := newCrowd(t)
		c.store.writer.maxTime = 0
		c.run(nil, callers(5)...)
		c.wantBatches(1, 1, 1, 1, 1)
		c.wantKept(names...)
	})
	t.Run("alone", func(t *testing.T) {
		c := newCrowd(t)
		c.run(nil, caller{name: "alone"}) // and waits for nobody
		c.wantKept("alone")
	})
}

// One that gives up while it waits is taken out of the queue, one whose turn has
// come is undone, and the others do not notice.
func TestCancelledNeighbours(t *testing.T) {
	c := newCrowd(t)
	waiting, giveUp := context.WithCancel(t.Context())
	running, interrupt := context.WithCancel(t.Context())
	c.run(func() {
		giveUp()
		c.waitFor(func(w *writer) bool { return len(w.waiting) == 3 })
	},
		caller{name: "first"},
		caller{name: "gone", ctx: waiting},
		caller{name: "second"},
		caller{name: "interrupted", ctx: running, work: func(tam.Tx) error { interrupt(); return nil }},
		caller{name: "third"},
	)
	c.wantKept("first", "second", "third")
	c.wantError("gone", context.Canceled)
	c.wantError("interrupted", context.Canceled)
	c.wantBatches(4)
}

// Whenever a context ends, who is told of success is in the log, nobody else is,
// and the queue goes on.
func TestCancelStorm(t *testing.T) {
	c := &crowd{T: t, store: openFile(t), results: map[string]error{}, batches: map[string]*batch{}}
	for i := range 16 {
		c.all.Go(func() {
			for j := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(2) == 0 {
					go cancel()
				}
				c.update(caller{name: fmt.Sprintf("%d/%d", i, j), ctx: ctx}, func() {})
				cancel()
			}
		})
	}
	c.all.Wait()
	c.update(caller{name: "last"}, func() {})
	c.wantKept(c.kept()...)
	c.wantError("last", nil)
}

// SQLite may end the whole transaction; then nobody in it is acknowledged, and
// those who still wait get one of their own.
func TestLostBatch(t *testing.T) {
	c := newCrowd(t)
	before := storetest.Dump(t, c.store)
	c.run(nil,
		caller{name: "first"},
		caller{name: "fails", work: func(tx tam.Tx) error { return errors.New("its own") }},
		caller{name: "culprit", work: func(tx tam.Tx) error {
			return errors.Join(tx.(update).conn.script(`ROLLBACK`), errors.New("lost"))
		}},
		caller{name: "second"},
	)
	for _, name := range []string{"first", "fails", "culprit"} {
		c.wantError(name, tam.ErrUnavailable)
	}
	c.wantBatches(1, 3)
	c.wantKept("second")
	if before == storetest.Dump(t, c.store) {
		t.Error("nothing was kept")
	}
}

// A statement for which there is no room fails its caller; whatever that does to the
// neighbours, they are told.
func TestFullForOne(t *testing.T) {
	c := newCrowd(t)
	limitPages(t, c.store, 0)
	c.run(nil,
		caller{name: "first"},
		caller{name: "big", work: func(tx tam.Tx) error { return tx.AppendEvent(audit.Event{Reason: string(make([]byte, 1<<20))}) }},
		caller{name: "second"},
	)
	c.wantError("big", tam.ErrUnavailable)
	c.wantKept(c.kept()...)
	limitPages(t, c.store, 1<<20)
	c.update(caller{name: "again"}, func() {})
	c.wantError("again", nil)
}

func TestCloseWithWaiting(t *testing.T) {
	c := newCrowd(t)
	closed := make(chan error, 1)
	c.run(func() {
		go func() { closed <- c.store.Close() }()
		c.waitFor(func(w *writer) bool { return len(w.waiting) == 0 })
	}, caller{name: "running"}, caller{name: "waits"}, caller{name: "waits too"})
	if err := <-closed; err != nil {
		t.Error(err)
	}
	c.wantError("running", nil)
	c.wantError("waits", tam.ErrUnavailable)
	c.wantError("waits too", tam.ErrUnavailable)
}
