package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/tam"
)

// seconds are the buckets of all latencies: a signature takes a tenth of a
// millisecond, a commit some, and a remote verifier may take seconds.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Metrics counts and times what a TAM does. It is a [tam.Observer].
type Metrics struct {
	registry *prometheus.Registry
	reasons  map[tam.Reason]bool

	messages    *prometheus.CounterVec
	messageTime *prometheus.HistogramVec

	storeTime   *prometheus.HistogramVec
	storeFaults *prometheus.CounterVec

	appraisals    *prometheus.CounterVec
	appraisalTime prometheus.Histogram

	attestations *attestations

	answers  *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
}

var _ tam.Observer = (*Metrics)(nil)

// New makes the metrics of one process. They start from zero.
func New() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), reasons: map[tam.Reason]bool{"": true}}
	for _, reason := range tam.Reasons() {
		m.reasons[reason] = true
	}
	m.messages = m.counter("teep_messages_total", "Messages of devices, by what they came to.", "endpoint", "message", "outcome", "reason")
	m.messageTime = m.histogram("teep_message_seconds", "Time to process a message, without reading and writing it.", "message")
	m.storeTime = m.histogram("store_transaction_seconds", "Time of a transaction of the store, with the wait for it.", "kind")
	m.storeFaults = m.counter("store_faults_total", "Transactions that the store itself failed.", "kind", "fault")
	m.appraisals = m.counter("appraisals_total", "Evidence appraised, by the status of the result.", "status")
	m.appraisalTime = m.histogram("appraisal_seconds", "Time of an appraisal.").WithLabelValues().(prometheus.Histogram)
	m.attestations = newAttestations(m)
	m.answers = m.counter("http_answers_total", "HTTP answers.", "listener", "code")
	m.inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "http_in_flight", Help: "HTTP requests under way.",
	}, []string{"listener"})
	m.registry.MustRegister(m.inFlight, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return m
}

const namespace = "tamarack"

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: seconds}, labels)
	m.registry.MustRegister(h)
	return h
}

// MessageProcessed implements [tam.Observer].
func (m *Metrics) MessageProcessed(o tam.Observation) {
	outcome := "none"
	switch {
	case o.Fault:
		outcome = "fault"
	case o.Reply != 0:
		outcome = o.Reply.String()
	}
	m.messages.WithLabelValues(o.Endpoint, o.Message, outcome, m.reason(o.Reason)).Inc()
	m.messageTime.WithLabelValues(o.Message).Observe(o.Took.Seconds())
}

// reason bounds the label: what is not a known reason is "other".
func (m *Metrics) reason(r tam.Reason) string {
	if !m.reasons[r] {
		return "other"
	}
	return string(r)
}

// Handler counts the answers of a listener.
func (m *Metrics) Handler(listener string, next http.Handler) http.Handler {
	answers := m.answers.MustCurryWith(prometheus.Labels{"listener": listener})
	return promhttp.InstrumentHandlerInFlight(m.inFlight.WithLabelValues(listener), promhttp.InstrumentHandlerCounter(answers, next))
}

// Verifier times the appraisals of a verifier.
func (m *Metrics) Verifier(v attest.Verifier) attest.Verifier { return verifier{v, m} }

type verifier struct {
	attest.Verifier
	metrics *Metrics
}

func (v verifier) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	began := time.Now()
	result, err := v.Verifier.Appraise(ctx, e)
	status := "fault"
	if err == nil && result != nil {
		status = statusName(result.Status)
	}
	v.metrics.appraisals.WithLabelValues(status).Inc()
	v.metrics.appraisalTime.Observe(time.Since(began).Seconds())
	return result, err
}

// RouteOf names the verifier that evidence goes to, where there are several behind this one.
func (v verifier) RouteOf(media attest.MediaType) string {
	if several, ok := v.Verifier.(interface {
		RouteOf(attest.MediaType) string
	}); ok {
		return several.RouteOf(media)
	}
	return ""
}

// statusName bounds the label: a remote verifier may say anything.
func statusName(s attest.Status) string {
	switch s {
	case attest.None, attest.Affirming, attest.Warning, attest.Contraindicated:
		return s.String()
	}
	return "other"
}
