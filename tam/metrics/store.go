package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tamarack-tam/tamarack/tam"
)

// Store times the transactions of a store.
func (m *Metrics) Store(s tam.Store) tam.Store {
	return &store{
		Store: s, faults: m.storeFaults,
		view: m.storeTime.WithLabelValues("view"), update: m.storeTime.WithLabelValues("update"),
	}
}

type store struct {
	tam.Store
	view, update prometheus.Observer
	faults       *prometheus.CounterVec
}

func (s *store) View(ctx context.Context, fn func(tam.Reader) error) error {
	began := time.Now()
	err := s.Store.View(ctx, fn)
	s.view.Observe(time.Since(began).Seconds())
	s.count("view", err)
	return err
}

func (s *store) Update(ctx context.Context, fn func(tam.Tx) error) error {
	began := time.Now()
	err := s.Store.Update(ctx, fn)
	s.update.Observe(time.Since(began).Seconds())
	s.count("update", err)
	return err
}

// count counts what is the store's fault. Most errors are not: they are the answer
// of what ran inside, such as that a token was spent before.
func (s *store) count(kind string, err error) {
	switch {
	case errors.Is(err, tam.ErrUnavailable):
		s.faults.WithLabelValues(kind, "unavailable").Inc()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		s.faults.WithLabelValues(kind, "cancelled").Inc()
	}
}
