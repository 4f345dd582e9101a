package breaker

import "time"

// Stats is a snapshot of a breaker. It is written in JSON as
//
//	{"name", "state", "failureCount", "lastFailureTime", "totalTrips",
//	 "generation", "rejected", "successes", "failures", "ignored", "retryIn",
//	 "held": {"state", "until"}}
//
// The totals (TotalTrips, Rejected, Successes, Failures, Ignored) never fall.
// They count what had an effect: a void result is in none of them.
type Stats struct {
	Name string `json:"name"`

	// State is what a call meets. A hold shows as Open or Closed, and in Held.
	State State `json:"state"`

	// FailureCount is the number of consecutive failures. It keeps its value
	// while the breaker is open, grows with failed probes, and is 0 again when
	// the breaker closes.
	FailureCount int `json:"failureCount"`

	// LastFailureTime is the time of the last failure that counted, in UTC, nil
	// (null) before the first.
	LastFailureTime *time.Time `json:"lastFailureTime"`

	// TotalTrips is how often the breaker opened. A forced-open hold is no trip.
	TotalTrips uint64 `json:"totalTrips"`

	// Generation changes whenever calls in flight became void.
	Generation uint64 `json:"generation"`

	// Rejected is the number of calls rejected.
	Rejected uint64 `json:"rejected"`

	// Successes is the number of successful calls, nil (absent) unless
	// Config.Metrics is set.
	Successes *uint64 `json:"successes,omitempty"`

	// Failures is the number of failures, those of Watch probes that counted
	// included.
	Failures uint64 `json:"failures"`

	// Ignored is the number of calls that said nothing about the dependency.
	Ignored uint64 `json:"ignored"`

	// RetryIn is the time in milliseconds, rounded up, until an open breaker
	// admits a call; 0 if it is not open, or if a hold has no end.
	RetryIn int64 `json:"retryIn"`

	// LearnedShare is the share of failures that Adaptive takes for normal, nil
	// (absent) unless Config.Adaptive is set.
	LearnedShare *float64 `json:"learnedShare,omitempty"`

	// Held is the hold, nil (null) without one.
	Held *Held `json:"held"`
}

// Held describes a hold.
type Held struct {
	State HoldState `json:"state"`
	// Until is the end of the hold, in UTC, nil (null) if it has none.
	Until *time.Time `json:"until"`
}

// Stats returns a snapshot. State, FailureCount and Generation belong to one
// instant; the totals may already include results of the next.
func (b *Breaker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.load()
	s := Stats{
		Name:         b.cfg.Name,
		State:        w.phase().state(),
		FailureCount: int(b.failureCount),
		TotalTrips:   b.trips,
		Generation:   w.generation(),
		Rejected:     b.rejected.Load(),
		Failures:     b.failures.Load(),
		Ignored:      b.ignored.Load(),
	}
	if w.phase() == closed {
		s.FailureCount = b.consecutive(w)
	}
	if ns := b.lastFailure.Load(); ns != 0 {
		t := time.Unix(0, ns).UTC()
		s.LastFailureTime = &t
	}
	if b.cfg.Metrics {
		n := b.successes.Load()
		s.Successes = &n
	}
	if b.adaptive() {
		share := b.rules.learner.share
		s.LearnedShare = &share
	}
	if s.State == Open && !b.until.IsZero() {
		left := max(0, time.Until(b.until))
		s.RetryIn = int64((left + time.Millisecond - 1) / time.Millisecond)
	}
	if b.hold != 0 {
		s.Held = &Held{State: b.hold}
		if !b.until.IsZero() {
			t := b.until.UTC().Round(0)
			s.Held.Until = &t
		}
	}
	return s
}
