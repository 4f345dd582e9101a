package lifeline

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/durations"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

var (
	breakerStateDesc = prometheus.NewDesc("caddy_lifeline_breaker_state",
		"1 for the state that the circuit breaker is in, 0 for the others.", []string{"hub", "breaker", "state"}, nil)
	breakerTransitionsDesc = prometheus.NewDesc("caddy_lifeline_breaker_transitions_total",
		"How often the circuit breaker has changed to a state.", []string{"hub", "breaker", "to"}, nil)
	breakerRejectedDesc = prometheus.NewDesc("caddy_lifeline_breaker_rejected_total",
		"Calls that the circuit breaker has rejected.", []string{"hub", "breaker"}, nil)
	degradedDesc = prometheus.NewDesc("caddy_lifeline_degraded",
		"1 while a circuit breaker is not closed or acknowledged events wait to be stored, else 0.", []string{"hub"}, nil)
	pendingDesc = prometheus.NewDesc("caddy_lifeline_pending",
		"Acknowledged events that wait in the journal to be stored.", []string{"hub"}, nil)
	journalDesc = prometheus.NewDesc("caddy_lifeline_journal_bytes",
		"What the journal holds, stored and waiting, as its max_size counts it.", []string{"hub"}, nil)
)

// breakerStates are the values of the label state: those of the machine, and the
// holds in their place while one is there.
var breakerStates = []string{
	breaker.Closed.String(), breaker.Open.String(), breaker.HalfOpen.String(),
	breaker.ForcedOpen.String(), breaker.Disabled.String(),
}

// collector reads the hubs as they run at each scrape, so that its numbers are
// true across reloads whatever configuration's registry it is asked by.
type collector struct{}

// registerMetrics adds the collector to a configuration's registry.
func registerMetrics(ctx caddy.Context) error {
	err := ctx.GetMetricsRegistry().Register(collector{})
	if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

var (
	connectionsDesc = prometheus.NewDesc("caddy_lifeline_connections",
		"Open connections: WebSockets, streams (sse) and polls that wait.", []string{"hub", "transport"}, nil)
	receivedDesc = prometheus.NewDesc("caddy_lifeline_events_received_total",
		"Events that were taken for the first time.", []string{"hub", "source"}, nil)
	deliveredDesc = prometheus.NewDesc("caddy_lifeline_events_delivered_total",
		"Events that were queued for a connection or answered to a poll.", []string{"hub", "transport"}, nil)
	slowDesc = prometheus.NewDesc("caddy_lifeline_slow_consumers_total",
		"Connections that were ended because their queue was full.", []string{"hub"}, nil)
	limitedDesc = prometheus.NewDesc("caddy_lifeline_limited_total",
		"How often a limit was met.", []string{"hub", "limit"}, nil)
	publishDesc = prometheus.NewDesc("caddy_lifeline_publish_seconds",
		"How long storage took to acknowledge events.", []string{"hub"}, nil)
	deliveryDesc = prometheus.NewDesc("caddy_lifeline_delivery_seconds",
		"From when an event was received until it was queued for those who follow its session.", []string{"hub"}, nil)
)

var (
	storageSecondsDesc = prometheus.NewDesc("caddy_lifeline_storage_seconds",
		"How long calls of the storage driver took.", []string{"hub", "op"}, nil)
	storageErrorsDesc = prometheus.NewDesc("caddy_lifeline_storage_errors_total",
		"Calls of the storage driver that failed.", []string{"hub", "op"}, nil)
)

var (
	watchRestartsDesc = prometheus.NewDesc("caddy_lifeline_watch_restarts_total",
		"How often a watcher was started again after a failure.", []string{"hub"}, nil)
	watchesDesc = prometheus.NewDesc("caddy_lifeline_watches",
		"Directories that are watched.", []string{"hub"}, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		breakerStateDesc, breakerTransitionsDesc, breakerRejectedDesc, degradedDesc, pendingDesc, journalDesc,
		connectionsDesc, receivedDesc, deliveredDesc, slowDesc, limitedDesc, publishDesc, deliveryDesc,
		storageSecondsDesc, storageErrorsDesc, watchRestartsDesc, watchesDesc,
	} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (collector) Collect(metrics chan<- prometheus.Metric) {
	for hub, rt := range runningHubs() {
		collectStatus(metrics, hub, rt.status())
		collectStats(metrics, hub, rt.hub.Load().Stats())
		collectCalls(metrics, hub, &rt.calls)
		collectWatchers(metrics, hub, rt.watchers)
		for _, s := range rt.running().CircuitBreakerStats() {
			metrics <- prometheus.MustNewConstMetric(breakerRejectedDesc, prometheus.CounterValue, float64(s.Rejected), hub, s.Name)
			current := stateOf(s)
			for _, state := range breakerStates {
				value := 0.0
				if state == current {
					value = 1
				}
				metrics <- prometheus.MustNewConstMetric(breakerStateDesc, prometheus.GaugeValue, value, hub, s.Name, state)
			}
		}
		rt.telemetry.eachTransition(func(l transitionLabels, n uint64) {
			metrics <- prometheus.MustNewConstMetric(breakerTransitionsDesc, prometheus.CounterValue, float64(n), hub, l.breaker, l.to)
		})
	}
}

func collectStatus(metrics chan<- prometheus.Metric, hub string, s resilient.Status) {
	degraded := 0.0
	if s.Degraded {
		degraded = 1
	}
	metrics <- prometheus.MustNewConstMetric(degradedDesc, prometheus.GaugeValue, degraded, hub)
	metrics <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(s.Pending), hub)
	metrics <- prometheus.MustNewConstMetric(journalDesc, prometheus.GaugeValue, float64(s.JournalBytes), hub)
}

func collectStats(metrics chan<- prometheus.Metric, hub string, s events.Stats) {
	for transport, n := range s.Connections {
		metrics <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(n), hub, transport)
	}
	metrics <- prometheus.MustNewConstMetric(slowDesc, prometheus.CounterValue, float64(s.SlowConsumers), hub)
	for _, counts := range []struct {
		desc    *prometheus.Desc
		byLabel map[string]uint64
	}{{receivedDesc, s.Received}, {deliveredDesc, s.Delivered}, {limitedDesc, s.Limited}} {
		for label, n := range counts.byLabel {
			metrics <- prometheus.MustNewConstMetric(counts.desc, prometheus.CounterValue, float64(n), hub, label)
		}
	}
	for desc, h := range map[*prometheus.Desc]durations.Sum{publishDesc: s.Publish, deliveryDesc: s.Delivery} {
		metrics <- prometheus.MustNewConstHistogram(desc, h.Count, h.Sum, h.Buckets, hub)
	}
}

func collectCalls(metrics chan<- prometheus.Metric, hub string, calls *storage.Calls) {
	calls.Each(func(op string, took durations.Sum, failed uint64) {
		metrics <- prometheus.MustNewConstHistogram(storageSecondsDesc, took.Count, took.Sum, took.Buckets, hub, op)
		metrics <- prometheus.MustNewConstMetric(storageErrorsDesc, prometheus.CounterValue, float64(failed), hub, op)
	})
}

func collectWatchers(metrics chan<- prometheus.Metric, hub string, ws *watchers) {
	metrics <- prometheus.MustNewConstMetric(watchRestartsDesc, prometheus.CounterValue, float64(ws.restarts.Load()), hub)
	metrics <- prometheus.MustNewConstMetric(watchesDesc, prometheus.GaugeValue, float64(ws.watches()), hub)
}
