package resilient

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/loglimit"
	"github.com/actionflows/lifeline/storage"
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

// UsingFallback reports whether a breaker is not closed, or an entry is not stored
// that was acknowledged or, AckAfter ago, accepted.
func (j *Journaled) UsingFallback() bool {
	for _, l := range j.lanes {
		if l.breaker.State() != breaker.Closed {
			return true
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.behind(time.Now())
}

// behind reports whether an entry waits that was acknowledged, or for longer than
// AckAfter; mu is held.
func (j *Journaled) behind(now time.Time) bool {
	return j.journal.waiting > 0 || slices.ContainsFunc(j.lanes, func(l *lane) bool {
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
	if j.behind(time.Now()) {
		n := waiting
		if n == 0 { // nobody has been told of them yet
			for _, l := range j.lanes {
				n += l.pending.count
			}
		}
		reasons = append(reasons, numbered(n, "event waits to be stored", "events wait to be stored"))
	}
	if n := j.journal.asides; n > 0 {
		reasons = append(reasons, numbered(n, "log cannot be written", "logs cannot be written"))
	}
	if reason := j.shut(); reason != "" {
		reasons = append(reasons, reason)
	}
	return Status{Degraded: reasons != nil, Reasons: reasons, Pending: waiting, JournalBytes: j.journal.bytes}
}

// shut says why the journal takes nothing, if it does not; mu is held.
func (j *Journaled) shut() string {
	var file *storage.UnavailableError
	switch {
	case j.unwritable == nil && j.tooMuch > 0 && !j.journal.fits(j.tooMuch):
		return "the journal is full"
	case j.unwritable == nil:
		return ""
	case errors.As(j.unwritable, &file):
		return "the journal cannot be written: " + file.Reason
	}
	return "the journal cannot be written"
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

// calmAfter is how long all must be well before an outage is told to be over: what
// was lost shows only after the backend is back.
const calmAfter = statusPoll

// chronicle is what the log has been told of the status; only the observer touches
// it.
type chronicle struct {
	begun    loglimit.Limit
	degraded bool
	told     bool // there was a warning of this outage
	since    time.Time
	calm     time.Time // when it was found not degraded, which may be over at once; zero: it is degraded
	warned   time.Time // the last line
	missed   int       // outages without one since then
	// The journal's counters when the first outage began that no line has told the
	// end of.
	recovered, refilled uint64
}

// chronicle logs what a look at the status shows: each outage's beginning and end,
// and once a minute that it lasts. Where outages come and go only a few of them
// are told at once, and the others once a minute with their number. It answers when
// it is to look again, though nothing changes; 0: it need not.
func (j *Journaled) chronicle(s Status) (again time.Duration) {
	c, now := &j.chronic, time.Now()
	again = j.complaints.rest(now)
	if s.Degraded {
		j.chronicleOutage(s, now)
		return again
	}
	if wait := c.wait(now); wait > 0 {
		return sooner(again, wait)
	}
	j.chronicleCalm(now)
	if c.missed > 0 {
		again = sooner(again, max(loglimit.Every-now.Sub(c.warned), time.Millisecond))
	}
	return sooner(again, j.fallback.closed())
}

// wait is how long it is too early to tell that the outage is over.
func (c *chronicle) wait(now time.Time) time.Duration {
	if !c.degraded {
		return 0
	}
	if c.calm.IsZero() {
		c.calm = now
	}
	return max(calmAfter-now.Sub(c.calm), 0)
}

func (j *Journaled) chronicleOutage(s Status, now time.Time) {
	c := &j.chronic
	begins := !c.degraded
	if begins {
		if c.missed == 0 {
			c.recovered, c.refilled = j.storedSoFar()
		}
		c.told, c.since = false, now
		c.missed++
	}
	c.degraded, c.calm = true, time.Time{}
	if begins && c.begun.Allow(now) || now.Sub(c.warned) >= loglimit.Every {
		j.logger.Warn("storage is degraded", zap.Strings("reasons", s.Reasons), zap.Int("pending", s.Pending),
			zap.Duration("for", now.Sub(c.since)), zap.Int("times", max(c.missed, 1)))
		c.warned, c.told, c.missed = now, true, 0
	}
}

func (j *Journaled) chronicleCalm(now time.Time) {
	c := &j.chronic
	ends := c.degraded
	c.degraded = false
	recovered, refilled := j.storedSoFar()
	stored := []zap.Field{zap.Uint64("shipped", recovered-c.recovered), zap.Uint64("stored_again", refilled-c.refilled)}
	switch {
	case ends && c.told:
		j.logger.Info("storage has recovered", append(stored, zap.Duration("after", c.calm.Sub(c.since)))...)
	case c.missed > 0 && now.Sub(c.warned) >= loglimit.Every:
		j.logger.Warn("storage was degraded for short times and has recovered", append(stored, zap.Int("times", c.missed))...)
		c.warned, c.missed = now, 0
	}
}

// storedSoFar answers the journal's counters.
func (j *Journaled) storedSoFar() (recovered, refilled uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.journal.recovered, j.journal.refilled
}

func (j *Journaled) logPoison(p poison) {
	if p.target.kind != aLog {
		j.complaints.givenUp.note(1, zap.String("target", p.target.name), zap.Error(p.err))
		return
	}
	j.complaints.aside.note(p.entries, zap.String("log", p.target.name), zap.Error(p.err))
}
