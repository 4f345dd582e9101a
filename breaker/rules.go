package breaker

import (
	"sync/atomic"
	"time"
)

// rules are the optional rules of a breaker: Rate, Slow and Adaptive. mu guards
// what changes in them, but for the learner's atomics.
type rules struct {
	born    time.Time // the clock of the windows begins here
	timed   bool      // rate or slow is set
	rate    *window   // nil: off
	slow    *window   // nil: off
	over    time.Duration
	learner *learner // nil: off
}

// newRules returns nil if the configuration, which is complete and valid, asks
// for none.
func newRules(cfg Config, successes *atomic.Uint64) *rules {
	if cfg.Rate == nil && cfg.Slow == nil && !cfg.Adaptive {
		return nil
	}
	r := &rules{born: time.Now(), timed: cfg.Rate != nil || cfg.Slow != nil}
	if s := cfg.Rate; s != nil {
		r.rate = newWindow(s.Share, s.Window, s.MinCalls)
	}
	if s := cfg.Slow; s != nil {
		r.slow, r.over = newWindow(s.Share, s.Window, s.MinCalls), s.Over
	}
	if cfg.Adaptive {
		r.learner = newLearner(successes, r.born)
	}
	return r
}

// begin is the mark of a call that begins now: the time, if Slow needs it.
func (r *rules) begin() uint64 {
	if r.slow == nil {
		return 0
	}
	return uint64(time.Since(r.born))
}

// ended counts a call for Rate and Slow that began at the given mark and ended
// now, while closed, and returns the reason to trip, if there is one.
func (r *rules) ended(began uint64, o Outcome) (reason Reason) {
	now := time.Since(r.born)
	if r.slow != nil {
		if late := now-time.Duration(began) > r.over; r.slow.add(now, late) && late {
			reason = ReasonSlow
		}
	}
	if r.rate != nil {
		if failed := o == Failure; r.rate.add(now, failed) && failed {
			reason = ReasonRate
		}
	}
	return reason
}

// failed notes a failure while closed, at a score, before it is counted; the
// reason is that of ended.
func (r *rules) failed(began uint64, now time.Time, score int) (reason Reason) {
	if r.learner != nil {
		r.learner.failed(now, score)
	}
	if !r.timed {
		return ""
	}
	return r.ended(began, Failure)
}

// tooSlow reports whether a probe that took d was too slow.
func (r *rules) tooSlow(d time.Duration) bool { return r != nil && r.slow != nil && d > r.over }

// restart forgets what was counted before a transition.
func (r *rules) restart(now time.Time) {
	if r == nil {
		return
	}
	if r.rate != nil {
		r.rate.clear()
	}
	if r.slow != nil {
		r.slow.clear()
	}
	if r.learner != nil {
		r.learner.discard(now)
	}
}
