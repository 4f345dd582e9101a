package breaker_test

import (
	"math"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// The optional rules in the model.

type timedCall struct {
	end       time.Duration
	bad, slow bool
}

func (m *model) slow(c *modelCall) bool {
	return m.cfg.Slow != nil && m.now-c.began > m.cfg.Slow.Over
}

// timedTrip counts a call that ended now for Rate and Slow, and reports a trip.
func (m *model) timedTrip(c *modelCall, failed bool) bool {
	this := timedCall{m.now, failed, m.slow(c)}
	m.timed = append(m.timed, this)
	if r := m.cfg.Rate; r != nil && failed && m.tooMany(r.Window, r.Share, r.MinCalls, func(c timedCall) bool { return c.bad }) {
		return true
	}
	s := m.cfg.Slow
	return s != nil && this.slow && m.tooMany(s.Window, s.Share, s.MinCalls, func(c timedCall) bool { return c.slow })
}

func (m *model) tooMany(window time.Duration, share float64, least int, bad func(timedCall) bool) bool {
	tenth := window / 10
	calls, n := 0, 0
	for _, c := range m.timed {
		if m.now/tenth-c.end/tenth >= 10 {
			continue
		}
		calls++
		if bad(c) {
			n++
		}
	}
	return calls >= least && float64(n)/float64(calls) >= share
}

// modelLearner is the adaptive rule, without a word, and with its samples in
// plain lists.
type modelLearner struct {
	share, score         float64 // score in 1/1024 nat
	spread               bool    // failures at two admissions
	calls                uint64  // ever
	since                time.Duration
	sampled, bad         uint64 // calls in the sample under way, and failures
	waiting, waitingBad  uint64 // in the one before
	hourBegan            time.Duration
	shareWhenTheHourWent float64
}

func newModelLearner() modelLearner {
	return modelLearner{share: 0.01, shareWhenTheHourWent: 0.01}
}

func (l *modelLearner) weights() (rise, fall float64) {
	p1 := max(0.5, min(0.9, 3*l.share))
	return math.Round(1024 * math.Log(p1/l.share)), math.Round(1024 * math.Log((1-l.share)/(1-p1)))
}

func (l *modelLearner) succeed() {
	_, fall := l.weights()
	l.score = max(0, l.score-fall)
	l.spread = l.spread && l.score > 0
	l.calls++
	l.sampled++
}

// sample ends the sample under way if it is long enough.
func (l *modelLearner) sample(m *model) {
	if m.now-l.since < 10*time.Second {
		return
	}
	if m.now-l.hourBegan >= time.Hour {
		l.hourBegan, l.shareWhenTheHourWent = m.now, l.share
	}
	if l.waiting > 0 {
		f := float64(l.waitingBad) / float64(l.waiting)
		l.share += (1 - math.Exp2(-float64(l.waiting)/10_000)) * (f - l.share)
		l.share = min(l.share, 2*l.shareWhenTheHourWent)
		l.share = max(0.001, min(0.2, l.share))
	}
	l.waiting, l.waitingBad = 0, 0
	if l.score <= 14147/2 {
		l.waiting, l.waitingBad = l.sampled, l.bad
	}
	l.since, l.sampled, l.bad = m.now, 0, 0
}

func (l *modelLearner) fail(m *model, c *modelCall) (trip bool) {
	rise, _ := l.weights()
	l.spread = l.spread || c.second
	l.score = min(l.score+rise, 1<<14-1)
	l.calls++
	l.sampled++
	l.bad++
	if l.calls < 500 {
		return m.count >= m.cfg.FailureThreshold
	}
	return l.score >= 14147 && l.spread
}

func (l *modelLearner) restart(m *model) {
	l.score, l.spread = 0, false
	l.since, l.sampled, l.bad, l.waiting, l.waitingBad = m.now, 0, 0, 0, 0
}

// optional are the rules that a program may choose. FailureThreshold is then high
// or low, so that either may trip first.
func optional(p *program, cfg *breaker.Config) {
	switch p.next(5) {
	case 1:
		cfg.Rate = &breaker.Rate{Share: float64(1+p.next(10)) / 10, Window: 20 * time.Second, MinCalls: 1 + p.next(6)}
	case 2:
		cfg.Slow = &breaker.Slow{Over: 5 * time.Second, Share: float64(1+p.next(10)) / 10, Window: 40 * time.Second, MinCalls: 1 + p.next(5)}
	case 3:
		cfg.Rate = &breaker.Rate{Share: 0.6, Window: 30 * time.Second, MinCalls: 1 + p.next(6)}
		cfg.Slow = &breaker.Slow{Over: 2 * time.Second, Share: 0.4, Window: 30 * time.Second, MinCalls: 1 + p.next(5)}
	case 4:
		cfg.Adaptive = true
	default:
		return
	}
	cfg.FailureThreshold += 10 * p.next(2)
}
