// Package metrics shows operators' monitoring how a TAM does: Prometheus metrics,
// and whether the process is alive and able to work.
//
// Call [New] and put the result into what it measures: it is a [tam.Observer], and
// [Metrics.Store], [Metrics.Verifier] and [Metrics.Handler] wrap what they are given.
// [Handler] serves /metrics, /healthz and /readyz, the last one by a [Readiness].
//
// What is counted by is bounded: endpoints by the configuration, reasons by
// [tam.Reasons], everything else by a few words. Nothing of a device, a token or a
// key is in a metric, and no metric costs more with more rows in the store.
//
// Traces and logs are not here, nor is who may see this: it has a listener of its
// own.
package metrics
