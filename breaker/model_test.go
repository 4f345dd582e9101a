package breaker_test

import (
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// model is the breaker as one would write it without concurrency in mind: every
// rule in plain variables. Time is a number, and a call is a value that remembers
// when it was admitted.
type model struct {
	cfg breaker.Config
	now time.Duration

	state  breaker.State
	held   breaker.HoldState
	until  time.Duration // end of open or of the hold; 0: none
	count  int           // consecutive failures
	streak int           // trips in a row
	good   int           // successful probes
	era    int           // changes whenever calls in flight become void
	probes []*modelCall  // in flight while half-open

	trips, rejected, successes, failures, ignored uint64
	last                                          time.Duration // of the last failure; -1: none

	timed   []timedCall // those that count for Rate and Slow
	learner modelLearner
	watched struct{ failed, era int } // probes of Watch in a row, and when
}

type modelCall struct {
	era      int
	probe    bool
	began    time.Duration
	second   bool // a failure was counted when it began
	deadline time.Duration
	settled  bool
}

func (m *model) enter(s breaker.State, held breaker.HoldState, until time.Duration) {
	m.state, m.held, m.until = s, held, until
	m.era++
	m.good, m.probes, m.timed = 0, nil, nil
	m.learner.restart(m)
	if s == breaker.Closed && held == 0 {
		m.count, m.streak = 0, 0
	}
}

func (m *model) trip() {
	d := m.cfg.ResetTimeout
	for range m.streak {
		d = min(time.Duration(float64(d)*m.cfg.Backoff.Factor), m.cfg.Backoff.Max)
	}
	m.enter(breaker.Open, 0, m.now+d)
	m.streak++
	m.trips++
}

// passTo moves the time on, from one due event to the next.
func (m *model) passTo(end time.Duration) {
	for {
		next := end + 1
		if m.until != 0 {
			next = m.until
		}
		for _, p := range m.probes {
			next = min(next, p.deadline)
		}
		if next > end {
			m.now = end
			return
		}
		m.now = next
		if m.until == next {
			if m.held != 0 {
				m.enter(breaker.Closed, 0, 0)
			} else {
				m.enter(breaker.HalfOpen, 0, 0)
			}
			continue
		}
		var left []*modelCall
		for _, p := range m.probes {
			if p.deadline == next {
				p.settled = true
			} else {
				left = append(left, p)
			}
		}
		m.probes = left
	}
}

// acquire returns nil for a rejection.
func (m *model) acquire() *modelCall {
	c := &modelCall{era: m.era, began: m.now, deadline: m.now + m.cfg.ProbeTimeout, second: m.learner.score > 0}
	switch {
	case m.state == breaker.Open, m.state == breaker.HalfOpen && len(m.probes) == m.cfg.Probes:
		m.rejected++
		return nil
	case m.state == breaker.HalfOpen:
		c.probe = true
		m.probes = append(m.probes, c)
	}
	return c
}

func (m *model) settle(c *modelCall, o breaker.Outcome) {
	if c.settled || c.era != m.era {
		return
	}
	c.settled = true
	for i, p := range m.probes {
		if p == c {
			m.probes = append(append([]*modelCall{}, m.probes[:i]...), m.probes[i+1:]...)
			break
		}
	}
	if c.probe && o == breaker.Success && m.slow(c) {
		o = breaker.Failure
	}
	plain := m.state == breaker.Closed && m.held == 0
	switch o {
	case breaker.Ignore:
		m.ignored++
	case breaker.Success:
		m.successes++
		if plain {
			m.count = 0
			m.learner.succeed()
		}
		tooMany := plain && m.timedTrip(c, false)
		if m.good++; c.probe && m.good >= m.cfg.ProbeSuccesses {
			m.enter(breaker.Closed, 0, 0)
		} else if tooMany {
			m.trip()
		}
	case breaker.Failure:
		m.fail(c)
	}
}

func (m *model) fail(c *modelCall) {
	m.last = m.now
	if m.held != 0 {
		m.failures++
		return
	}
	if c.probe {
		m.failures++
		m.count++
		m.trip()
		return
	}
	m.learner.sample(m)
	m.failures++
	m.count++
	trip := m.count >= m.cfg.FailureThreshold
	if m.cfg.Adaptive {
		trip = m.learner.fail(m, c)
	}
	if m.timedTrip(c, true) || trip {
		m.trip()
	}
}

// watch is the report of a probe of Watch.
func (m *model) watch(failed bool, enough int) {
	if !failed {
		m.watched.failed = 0
		if m.state != breaker.Closed {
			m.enter(breaker.Closed, 0, 0)
		}
		return
	}
	if m.watched.era != m.era {
		m.watched.failed, m.watched.era = 0, m.era
	}
	m.watched.failed++
	if m.state == breaker.Open {
		return
	}
	m.failures++
	m.last = m.now
	if m.watched.failed >= enough {
		m.count += m.watched.failed
		m.trip()
	}
}

func (m *model) stats(start time.Time) breaker.Stats {
	s := breaker.Stats{
		State: m.state, FailureCount: m.count, TotalTrips: m.trips, Generation: uint64(m.era),
		Rejected: m.rejected, Successes: &m.successes, Failures: m.failures, Ignored: m.ignored,
	}
	if m.cfg.Adaptive {
		s.LearnedShare = &m.learner.share
	}
	if m.last >= 0 {
		at := start.Add(m.last).UTC()
		s.LastFailureTime = &at
	}
	if m.state == breaker.Open && m.until != 0 {
		s.RetryIn = (m.until - m.now + 999_999).Milliseconds()
	}
	if m.held != 0 {
		s.Held = &breaker.Held{State: m.held}
		if m.until != 0 {
			at := start.Add(m.until).UTC()
			s.Held.Until = &at
		}
	}
	return s
}
