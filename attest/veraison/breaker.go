package veraison

import (
	"fmt"
	"sync"
	"time"
)

// outcome is what an appraisal says about the verifier.
type outcome int

const (
	sound   outcome = iota // it works
	faulty                 // it does not
	unclear                // nothing was learnt
)

// breaker keeps callers from a verifier that has failed so many times in a row. After a
// pause it lets one through; how that one fares decides for all.
type breaker struct {
	faults  int
	pause   time.Duration
	clock   func() time.Time
	changed func(open bool)

	mu      sync.Mutex
	count   int       // faults in a row
	until   time.Time // when the next one may try
	probing bool
}

func (b *breaker) open() bool { return b.count >= b.faults }

// ready tells what enter would say, without entering.
func (b *breaker) ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.check()
}

func (b *breaker) check() error {
	if !b.open() {
		return nil
	}
	if wait := b.until.Sub(b.clock()); wait > 0 {
		return fmt.Errorf("%w: %d in a row; the next try is in %s", ErrOpen, b.count, wait.Round(time.Second))
	}
	if b.probing {
		return fmt.Errorf("%w: %d in a row; one try is under way", ErrOpen, b.count)
	}
	return nil
}

// enter must be followed by leave if it returns nil.
func (b *breaker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(); err != nil {
		return err
	}
	b.probing = b.open()
	return nil
}

func (b *breaker) leave(o outcome) {
	b.mu.Lock()
	was := b.open()
	b.probing = false
	switch o {
	case sound:
		b.count = 0
	case faulty:
		b.count++
		b.until = b.clock().Add(b.pause)
	}
	is := b.open()
	b.mu.Unlock()
	if was != is {
		b.changed(is)
	}
}
