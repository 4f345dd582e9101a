package lifeline

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/loglimit"
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
	trips       map[string]*trips
	pasts       map[string]*breakerPast
	tried       time.Time // when the last try of an open breaker was logged
	trying      string    // the breaker whose try that is
}

// trips are those of one breaker in the log.
type trips struct {
	logged loglimit.Limit
	quiet  bool // the last one was one too many
}

type transitionLabels struct{ breaker, to string }

func newTelemetry(hub string, logger *zap.Logger) *telemetry {
	return &telemetry{
		hub: hub, log: logger.With(sourceBreaker), emitter: newEmitter(logger.With(sourceHub)),
		transitions: make(map[transitionLabels]uint64), trips: make(map[string]*trips),
		pasts: make(map[string]*breakerPast),
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
			t.pastOf(tr.Name).remember(tr)
			t.mu.Unlock()
			t.emitTransition(tr)
		},
		OnFailure: func(f breaker.FailureInfo) {
			t.mu.Lock()
			t.pastOf(f.Name).lastError = f.Err
			t.mu.Unlock()
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
	if t.tooMany(tr, time.Now()) {
		t.log.Debug("circuit breaker changed state once more", append(fields, zap.NamedError("cause", tr.Cause))...)
		return
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

// tooMany reports whether a transition is left to the debug level. Of a breaker that
// trips again and again three trips a minute are logged, with their ends; of the
// tries while breakers of the hub are open, one a minute.
func (t *telemetry) tooMany(tr breaker.Transition, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.trips[tr.Name]
	if of == nil {
		of = new(trips)
		t.trips[tr.Name] = of
	}
	switch {
	case tr.Held != 0:
		of.quiet = false
		return false
	case tr.To == breaker.HalfOpen:
		if !of.quiet && now.Sub(t.tried) >= loglimit.Every {
			t.tried, t.trying = now, tr.Name
		}
		return t.trying != tr.Name
	case tr.To == breaker.Open && tr.Reason == breaker.ReasonProbeFailed:
		mine := t.trying == tr.Name
		if mine {
			t.trying = ""
		}
		return !mine
	case tr.To == breaker.Open:
		of.quiet = !of.logged.Allow(now)
		return of.quiet
	}
	if t.trying == tr.Name {
		t.trying = ""
	}
	quiet := of.quiet
	of.quiet = false
	return quiet
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
