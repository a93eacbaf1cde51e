package broker

import (
	"context"
	"errors"
	"time"
)

// firstRetry is the wait after the first session that broke off.
const firstRetry = 5 * time.Second

// Run polls until ctx ends, and then returns nil. Between sessions it waits interval
// and a random part of jitter. A session that broke off is tried again sooner: the
// waits double from five seconds up to interval. Where the TAM asks for a longer wait
// (Retry-After), it gets it. Done is called after each session.
func (b *Broker) Run(ctx context.Context, interval, jitter time.Duration, done func(Result, error)) error {
	if interval <= 0 || jitter < 0 {
		return errors.New("the poll interval must be positive, and the jitter not negative")
	}
	retry := min(firstRetry, interval)
	for ctx.Err() == nil {
		result, err := b.Poll(ctx)
		if ctx.Err() != nil {
			break
		}
		done(result, err)
		wait := interval
		if brokeOff(err) {
			wait = retry
			retry = min(2*retry, interval)
		} else {
			retry = min(firstRetry, interval)
		}
		wait = max(wait, result.RetryAfter) + time.Duration(b.config.Random()*float64(jitter))
		if b.config.Wait(ctx, wait) != nil {
			break
		}
	}
	return nil
}

// brokeOff tells a session that the network or the TAM ended from one in which the
// agent refused something: that will not be better in five seconds.
func brokeOff(err error) bool {
	var status *StatusError
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAnswer) || errors.As(err, &status)
}
