package lifeline

import (
	"sync"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage/resilient"
)

// telemetry tells operators what the breakers and the storage of one hub do: in
// the log, by events, and in numbers for metrics.
type telemetry struct {
	hub     string
	log     *zap.Logger
	emitter *emitter

	mu          sync.Mutex
	transitions map[transitionLabels]uint64
	degraded    bool // as last told
}

type transitionLabels struct{ breaker, to string }

func newTelemetry(hub string, logger *zap.Logger) *telemetry {
	return &telemetry{
		hub: hub, log: logger.With(sourceBreaker), emitter: newEmitter(logger.With(sourceHub)),
		transitions: make(map[transitionLabels]uint64),
	}
}

// created tells of a new breaker.
func (t *telemetry) created(b *breaker.Breaker, c breaker.Config) {
	t.log.Info("circuit breaker created", zap.String("breaker", b.Name()),
		zap.Bool("adaptive", c.Adaptive), zap.Bool("rate", c.Rate != nil), zap.Bool("slow", c.Slow != nil))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, to := range []breaker.State{breaker.Closed, breaker.Open, breaker.HalfOpen} {
		t.transitions[transitionLabels{b.Name(), to.String()}] += 0 // a counter begins at 0, not at its first event
	}
}

// hooks are what a breaker of the hub tells. changed is called after each of its
// transitions.
func (t *telemetry) hooks(changed func()) breaker.Hooks {
	return breaker.Hooks{
		OnTransition: func(tr breaker.Transition) {
			defer changed()
			t.logTransition(tr)
			t.mu.Lock()
			t.transitions[transitionLabels{tr.Name, tr.To.String()}]++
			t.mu.Unlock()
			t.emitTransition(tr)
		},
		OnFailure: func(f breaker.FailureInfo) {
			t.log.Debug("failure counted", zap.String("breaker", f.Name), zap.String("from", string(f.Source)),
				zap.Int("failure_count", f.FailureCount), zap.Error(f.Err))
		},
	}
}

func (t *telemetry) logTransition(tr breaker.Transition) {
	fields := []zap.Field{
		zap.String("breaker", tr.Name), zap.Stringer("from", tr.From), zap.Stringer("to", tr.To),
		zap.Uint64("total_trips", tr.TotalTrips), zap.String("reason", string(tr.Reason)),
	}
	if tr.RetryIn > 0 {
		fields = append(fields, zap.Duration("for", tr.RetryIn))
	}
	switch {
	case tr.Held == breaker.ForcedOpen:
		t.log.Warn("circuit breaker held open", fields...)
	case tr.Held == breaker.Disabled:
		t.log.Warn("circuit breaker held closed", fields...)
	case tr.To == breaker.Open && tr.Reason == breaker.ReasonProbeFailed:
		t.log.Error("circuit breaker probe failed", append(fields, zap.NamedError("cause", tr.Cause))...)
	case tr.To == breaker.Open:
		t.log.Error("circuit breaker tripped", append(fields, zap.NamedError("cause", tr.Cause))...)
	case tr.To == breaker.Closed && tr.From != breaker.Closed:
		t.log.Info("circuit breaker recovered", fields...)
	default:
		t.log.Info("circuit breaker changed state", fields...)
	}
}

func (t *telemetry) emitTransition(tr breaker.Transition) {
	name := eventBreakerClosed
	switch tr.To {
	case breaker.Open:
		name = eventBreakerOpened
	case breaker.HalfOpen:
		name = eventBreakerHalfOpened
	default:
	}
	data := map[string]any{
		"hub": t.hub, "breaker": tr.Name, "from": tr.From.String(), "to": tr.To.String(),
		"reason": string(tr.Reason), "total_trips": tr.TotalTrips, "held": tr.Held.String(),
	}
	if tr.Cause != nil {
		data["cause"] = tr.Cause.Error()
	}
	t.emitter.add(name, data)
}

// status is told of every change of the storage's status.
func (t *telemetry) status(s resilient.Status) {
	t.mu.Lock()
	changed := t.degraded != s.Degraded
	t.degraded = s.Degraded
	t.mu.Unlock()
	if !changed {
		return
	}
	name := eventStorageRecovered
	if s.Degraded {
		name = eventStorageDegraded
	}
	t.emitter.add(name, map[string]any{"hub": t.hub, "reasons": s.Reasons, "pending": s.Pending})
}

// eachTransition answers how often each transition was made.
func (t *telemetry) eachTransition(fn func(l transitionLabels, n uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l, n := range t.transitions {
		fn(l, n)
	}
}
