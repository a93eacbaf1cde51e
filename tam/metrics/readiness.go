package metrics

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

const (
	// keptFor is how long the result of a check stands, however often it is asked for.
	keptFor = time.Second
	// checkTime is how long a check may take. One that hangs means not ready, and is
	// not begun anew beside itself.
	checkTime = 5 * time.Second
)

// Readiness finds out whether a TAM can work: whether its store takes a write, and
// whether each of its keys signs. Both are tried for real.
type Readiness struct {
	store   tam.Store
	signers []cosekit.Signer
	clock   func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	running chan struct{} // closed at the end of the check under way; nil for none
	checked time.Time
	fault   error
}

// NewReadiness makes the check of a store and of the TAM's keys.
func NewReadiness(s tam.Store, keys tam.Signers, clock func() time.Time, log *slog.Logger) *Readiness {
	return &Readiness{store: s, signers: []cosekit.Signer{keys.ESP256, keys.Ed25519}, clock: clock, log: log}
}

// What /readyz says: which part does not work, and no more, for anybody may hear it
// who reaches the listener. The log has the rest.
var (
	errStore   = errors.New("the store cannot be written")
	errSlow    = errors.New("the check does not end")
	errNoCheck = errors.New("the request ended before the check")
)

// Check says why the TAM is not ready, nil for ready.
func (r *Readiness) Check(ctx context.Context) error {
	r.mu.Lock()
	if r.running == nil && (r.checked.IsZero() || r.clock().Sub(r.checked) >= keptFor) {
		r.running = make(chan struct{})
		go r.run(context.WithoutCancel(ctx), r.running)
	}
	running, fault := r.running, r.fault
	r.mu.Unlock()
	if running == nil {
		return fault
	}
	limit := time.NewTimer(checkTime)
	defer limit.Stop()
	select {
	case <-running:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fault
	case <-limit.C:
		return errSlow
	case <-ctx.Done():
		return errNoCheck
	}
}

func (r *Readiness) run(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	fault, cause := r.try(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if fault != nil && r.fault == nil {
		r.log.ErrorContext(ctx, "not ready", slog.String("what", fault.Error()), slog.Any("error", cause))
	}
	r.fault, r.checked, r.running = fault, r.clock(), nil
	close(done)
}

// try returns what does not work, and why.
func (r *Readiness) try(ctx context.Context) (fault, cause error) {
	if err := r.write(ctx); err != nil {
		return errStore, err
	}
	for _, s := range r.signers {
		if err := sign(s); err != nil {
			return fmt.Errorf("the %s key does not sign", cosekit.AlgorithmName(s.Algorithm())), err
		}
	}
	return nil, nil
}

// write commits a mark that has long expired, and drops it in the same transaction:
// nothing stays, and the database has written.
func (r *Readiness) write(ctx context.Context) error {
	mark := make([]byte, 16)
	rand.Read(mark)
	return r.store.Update(ctx, func(tx tam.Tx) error {
		if err := tx.Spend(mark, time.Unix(0, 0)); err != nil {
			return err
		}
		_, err := tx.DeleteExpired(time.Unix(1, 0), 1)
		return err
	})
}

// sign signs what no COSE message has under its signature: it is not CBOR.
func sign(s cosekit.Signer) error {
	_, err := s.Sign(rand.Reader, []byte("\xfftamarack readiness check"))
	return err
}
