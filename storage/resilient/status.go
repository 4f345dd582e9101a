package resilient

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
)

// CircuitBreakerStats implements [Storage].
func (j *Journaled) CircuitBreakerStats() []breaker.Stats {
	stats := make([]breaker.Stats, len(j.lanes))
	for i, l := range j.lanes {
		stats[i] = l.breaker.Stats()
	}
	return stats
}

// ResetCircuitBreaker closes every breaker, and has logs that were set aside tried
// again.
func (j *Journaled) ResetCircuitBreaker() {
	for _, l := range j.lanes {
		l.breaker.Reset()
	}
	j.mu.Lock()
	for _, c := range j.journal.chains {
		if c.aside {
			j.journal.revive(c)
		}
	}
	j.mu.Unlock()
	j.BreakerChanged()
	for _, l := range j.lanes {
		l.wake()
	}
}

// UsingFallback reports whether a breaker is not closed or an entry is not stored
// AckAfter after it was accepted.
func (j *Journaled) UsingFallback() bool {
	for _, l := range j.lanes {
		if l.breaker.State() != breaker.Closed {
			return true
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.late(time.Now())
}

// late reports whether an entry waits for longer than AckAfter; mu is held.
func (j *Journaled) late(now time.Time) bool {
	return slices.ContainsFunc(j.lanes, func(l *lane) bool {
		e := l.pending.front
		return e != nil && now.Sub(e.at) >= j.cfg.AckAfter
	})
}

// Status implements [Storage].
func (j *Journaled) Status() Status {
	var reasons []string
	for _, l := range j.lanes {
		reasons = append(reasons, breakerReasons(l.breaker)...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	waiting := j.journal.waiting
	if late := j.late(time.Now()); late || reasons != nil && waiting > 0 {
		n := waiting
		for _, l := range j.lanes {
			if waiting == 0 {
				n += l.pending.count
			}
		}
		reasons = append(reasons, numbered(n, "event waits to be stored", "events wait to be stored"))
	}
	if n := j.journal.asides; n > 0 {
		reasons = append(reasons, numbered(n, "log cannot be written", "logs cannot be written"))
	}
	if j.broken != nil {
		reasons = append(reasons, "the journal cannot be written")
	}
	return Status{Degraded: reasons != nil, Reasons: reasons, Pending: waiting, JournalBytes: j.journal.bytes}
}

func numbered(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// OnStatus implements [Storage]. While degraded the numbers in Reasons are
// looked at every 250 ms. cancel waits for a running call of fn, so fn must not
// call it in its own goroutine.
func (j *Journaled) OnStatus(fn func(Status)) (cancel func()) { return j.observer.subscribe(fn) }

// warnEvery is how often a degraded state is logged at most.
const warnEvery = time.Minute

// chronicle is what the log has been told; only the observer touches it.
type chronicle struct {
	degraded bool
	since    time.Time
	stored   uint64 // journal.recovered then
	warned   time.Time
	told     bool // a warning of this outage was logged
	missed   int  // outages since the last warning that were not logged
}

// chronicle logs what a look at the status shows.
func (j *Journaled) chronicle(s Status) {
	c, now := &j.chronic, time.Now()
	j.mu.Lock()
	stored := j.journal.recovered
	j.mu.Unlock()
	if !s.Degraded {
		j.fallback.closed()
	}
	if s.Degraded && !c.degraded {
		c.degraded, c.told, c.since, c.stored = true, false, now, stored
		c.missed++
	}
	switch {
	case s.Degraded && (c.warned.IsZero() || now.Sub(c.warned) >= warnEvery):
		j.logger.Warn("storage is degraded", zap.Strings("reasons", s.Reasons), zap.Int("pending", s.Pending),
			zap.Duration("since", now.Sub(c.since)), zap.Int("times", max(c.missed, 1)))
		c.warned, c.told, c.missed = now, true, 0
	case !s.Degraded && c.degraded:
		c.degraded = false
		if c.told {
			j.logger.Info("storage has recovered",
				zap.Uint64("shipped", stored-c.stored), zap.Duration("after", now.Sub(c.since)))
		}
	}
}

func (j *Journaled) logPoison(p poison) {
	if p.target.kind != aLog {
		j.logger.Error("the backend will not take a write, which is given up",
			zap.String("target", p.target.name), zap.Error(p.err))
		return
	}
	j.logger.Error("a log cannot be written and is set aside",
		zap.String("log", p.target.name), zap.Int("entries", p.entries), zap.Error(p.err))
}

func (j *Journaled) logDiscarded(n uint64) {
	j.logger.Error("events of deleted logs were discarded", zap.Uint64("discarded", n))
}
