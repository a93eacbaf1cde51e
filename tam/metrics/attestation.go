package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tamarack-tam/tamarack/attest/veraison"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// attestations counts what evidence came to, and what remote verifiers do.
type attestations struct {
	total       *prometheus.CounterVec
	quarantines *prometheus.CounterVec
	verifiers   bounded

	remote        *prometheus.CounterVec
	remoteTime    *prometheus.HistogramVec
	remoteSteps   *prometheus.CounterVec
	remoteBreaker *prometheus.GaugeVec
}

func newAttestations(m *Metrics) *attestations {
	a := &attestations{
		total:       m.counter("attestations_total", "Evidence and results of agents, by what they came to.", "verifier", "outcome"),
		quarantines: m.counter("quarantines_total", "Devices that policies put into quarantine, and released.", "change"),
		remote:      m.counter("remote_appraisals_total", "Appraisals by remote verifiers, by fault.", "verifier", "fault"),
		remoteTime:  m.histogram("remote_appraisal_seconds", "Time of an appraisal by a remote verifier.", "verifier"),
		remoteSteps: m.counter("remote_requests_total", "Requests to remote verifiers, by fault.", "verifier", "step", "fault"),
		remoteBreaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Name: "remote_breaker_open", Help: "Whether a remote verifier is left alone for its faults.",
		}, []string{"verifier"}),
	}
	m.registry.MustRegister(a.remoteBreaker)
	return a
}

var _ tam.AttestationObserver = (*Metrics)(nil)

// AttestationProcessed implements [tam.AttestationObserver].
func (m *Metrics) AttestationProcessed(o tam.AttestationObservation) {
	outcome := string(o.Outcome) // of policy
	switch {
	case o.Accepted:
		outcome = "accept"
	case outcome == "" && o.Verifier == "":
		outcome = "fault"
	case outcome == "":
		outcome = "refused"
	}
	m.attestations.total.WithLabelValues(m.attestations.verifiers.name(o.Verifier), outcome).Inc()
	switch o.Moved {
	case audit.DeviceQuarantined:
		m.attestations.quarantines.WithLabelValues("quarantined").Inc()
	case audit.DeviceReleased:
		m.attestations.quarantines.WithLabelValues("released").Inc()
	}
}

// RemoteVerifier counts what a client of a remote verifier tells; it is the Observe of
// its configuration, which also bounds the names.
func (m *Metrics) RemoteVerifier(e veraison.Event) {
	a := m.attestations
	switch e.Kind {
	case veraison.Appraisal:
		a.remote.WithLabelValues(e.Verifier, string(e.Fault)).Inc()
		a.remoteTime.WithLabelValues(e.Verifier).Observe(e.Duration.Seconds())
	case veraison.Request:
		a.remoteSteps.WithLabelValues(e.Verifier, string(e.Step), string(e.Fault)).Inc()
	case veraison.Breaker:
		open := 0.0
		if e.Open {
			open = 1
		}
		a.remoteBreaker.WithLabelValues(e.Verifier).Set(open)
	}
}

// maxVerifiers bounds the names of verifiers: a signed result says who issued it as its
// issuer likes.
const maxVerifiers = 16

// bounded keeps the first names that it sees; others are "other".
type bounded struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (b *bounded) name(s string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s == "" || b.seen[s] {
		return s
	}
	if len(b.seen) >= maxVerifiers {
		return "other"
	}
	if b.seen == nil {
		b.seen = map[string]bool{}
	}
	b.seen[s] = true
	return s
}
