package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/tam"
)

// Bounds of a batch: who came first does not wait for others without end.
const (
	maxBatch     = 256
	maxBatchTime = 10 * time.Millisecond
)

// writer is the queue of all that write to the one connection there is for it.
//
// Callers take turns, first come first served, and each does its own work in its
// own goroutine, within a savepoint of a transaction that it shares with its
// neighbours: a batch. Who has done his work hands the turn to the next who waits,
// and where nobody does, or the batch is full, commits for all. So a caller that is
// alone commits at once, and while a commit waits for the disk the next batch
// gathers. Nobody is answered, also not with a refusal, before the commit on
// which his answer rests.
type writer struct {
	pool    *pool // of one connection
	maxSize int   // of a batch
	maxTime time.Duration

	mu      sync.Mutex
	busy    bool            // somebody has the turn
	waiting []chan struct{} // closed when the turn is theirs

	batch *batch // of whoever has the turn; nil between two batches
}

func newWriter(p *pool) *writer { return &writer{pool: p, maxSize: maxBatch, maxTime: maxBatchTime} }

// batch is a transaction of several callers.
type batch struct {
	conn  *conn
	began time.Time
	size  int
	dirty bool  // there is something to commit
	lost  error // why the transaction cannot be committed any more

	over chan struct{} // closed after the commit
	err  error         // of the commit; to be read when over
}

// transact runs work in a transaction. Where work fails or panics, or the
// commit fails, nothing of it is kept.
func (w *writer) transact(ctx context.Context, work func(*transaction) error) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	b, err := w.begin(ctx)
	if err != nil {
		w.leave()
		return err
	}
	err = w.member(ctx, b, work)
	<-b.over
	if b.err != nil {
		return b.err
	}
	return err
}

// enter waits for the turn. A context that ends while the turn is being handed over
// does not give it back: the work will see to that.
func (w *writer) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn := w.queue()
	if turn == nil {
		return nil
	}
	var err error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-w.pool.closed:
		err = errClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, turn)
	if i < 0 {
		return nil
	}
	w.waiting = slices.Delete(w.waiting, i, i+1)
	return err
}

// queue takes the turn and returns nil, or returns what it is waited for by.
func (w *writer) queue() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		w.busy = true
		return nil
	}
	turn := make(chan struct{})
	w.waiting = append(w.waiting, turn)
	return turn
}

// pass hands the turn to the next, if there is one.
func (w *writer) pass() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next()
}

// leave passes the turn or gives it up.
func (w *writer) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = w.next()
}

func (w *writer) next() bool {
	if len(w.waiting) == 0 {
		return false
	}
	close(w.waiting[0])
	w.waiting = slices.Delete(w.waiting, 0, 1)
	return true
}

// begin returns the open batch, or opens one.
func (w *writer) begin(ctx context.Context) (*batch, error) {
	if w.batch != nil {
		return w.batch, nil
	}
	c, err := w.pool.take(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.exec(beginWrite); err != nil {
		w.pool.put(c)
		return nil, about(fault(err), "begin a transaction")
	}
	w.batch = &batch{conn: c, began: time.Now(), over: make(chan struct{})}
	return w.batch, nil
}

// member does the work of one caller, and hands the turn on whatever becomes of it.
func (w *writer) member(ctx context.Context, b *batch, work func(*transaction) error) error {
	defer w.handOn(b)
	return b.run(ctx, work)
}

func (w *writer) handOn(b *batch) {
	if b.lost == nil && b.size < w.maxSize && time.Since(b.began) < w.maxTime && w.pass() {
		return
	}
	b.err = b.end()
	w.pool.put(b.conn)
	w.batch = nil
	close(b.over)
	w.leave()
}

// run does work within a savepoint.
func (b *batch) run(ctx context.Context, work func(*transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.size++
	if _, err := b.conn.exec(savepoint); err != nil {
		b.lost = err
		return fault(err)
	}
	t := &transaction{ctx: ctx, conn: b.conn}
	kept := false
	defer func() {
		if !kept {
			b.undo(t)
		}
	}()
	if err := t.run(work); err != nil {
		return err
	}
	if _, err := b.conn.exec(releaseMember); err != nil {
		return fault(err)
	}
	kept, b.dirty = true, true
	return nil
}

// undo takes back what one caller did. SQLite ends the whole transaction where it
// cannot write any more; then there is no savepoint to go back to, and the
// neighbours' work is lost as well.
func (b *batch) undo(t *transaction) {
	_, err := b.conn.exec(rollbackMember)
	if err == nil {
		_, err = b.conn.exec(releaseMember)
	}
	if err != nil && t.broken != nil {
		err = t.broken
	}
	b.lost = err
}

// end commits what there is, or undoes all of it.
func (b *batch) end() error {
	err := b.lost
	if err == nil && b.dirty {
		if _, err = b.conn.exec(commit); err == nil {
			return nil
		}
	}
	b.conn = b.conn.undone()
	if err == nil {
		return nil
	}
	// What the cause is to its caller, it is not to his neighbours.
	return fmt.Errorf("%w: commit: %v", tam.ErrUnavailable, err)
}
