package breaker

import (
	"math"
	"sync/atomic"
	"time"
)

// The adaptive rule asks how many failures are surprising for this dependency.
// It is the one-sided CUSUM test (Page 1954) of the learned share of failures p0
// against the share p1 of a dependency in trouble: the score, 0 at least, rises
// by ln(p1/p0) with a failure and falls by ln((1-p0)/(1-p1)) with a success, and
// the breaker trips when it reaches ln L. False trips are then at least L calls
// apart in the mean (Lorden 1971).
const (
	scoreUnit = 1024  // scores are counted in 1/1024 nat
	tripScore = 14147 // ln L for L = 1e6

	priorShare = 0.01 // p0 before anything is learned
	leastShare = 0.001
	mostShare  = 0.2

	learnCalls  = 500              // until then FailureThreshold holds
	learnEvery  = 10 * time.Second // the least length of one sample
	halfLife    = 10_000           // calls after which half of p0 is new
	doublePause = time.Hour        // in which p0 at most doubles
)

// learner is the adaptive rule of one breaker. mu of the breaker guards what is
// not atomic.
type learner struct {
	successes *atomic.Uint64 // the breaker's
	failures  uint64         // while closed

	fall  atomic.Uint32 // what a success takes off the score
	rise  int           // what a failure adds to it
	share float64       // p0

	open  sample // of the calls since `since`
	since time.Time
	done  sample // ended well; is learned once the next sample has as well

	hour      time.Time // when share was hourShare
	hourShare float64
}

// sample is a number of calls in a row. While it is open, the numbers are what
// the counters were at its begin.
type sample struct{ successes, failures uint64 }

func (s sample) calls() uint64 { return s.successes + s.failures }

func newLearner(successes *atomic.Uint64, now time.Time) *learner {
	l := &learner{successes: successes, since: now, hour: now, hourShare: priorShare}
	l.set(priorShare)
	return l
}

// set makes p0 the learned share.
func (l *learner) set(p0 float64) {
	p1 := max(0.5, min(0.9, 3*p0))
	l.share = p0
	l.rise = int(math.Round(scoreUnit * math.Log(p1/p0)))
	l.fall.Store(uint32(math.Round(scoreUnit * math.Log((1-p0)/(1-p1)))))
}

// afterSuccess is the word that a success makes of w.
func (l *learner) afterSuccess(w word) word {
	score := w.score() - int(l.fall.Load())
	if score <= 0 {
		return w.epoch()
	}
	return w.scored(score, 0, w.spread())
}

// afterFailure is the word that a failure makes of w, and the reason to trip
// instead, if there is one.
//
// Many calls in flight on one broken connection fail together and are one event
// in truth. So a trip needs a failure of a call that was admitted when an earlier
// failure had been counted already, which its own word shows.
func (l *learner) afterFailure(w, admitted word, threshold int) (next word, reason Reason) {
	next = w.scored(w.score()+l.rise, w.run()+1, w.spread() || admitted.score() > 0)
	switch {
	case l.now().calls() < learnCalls:
		if next.run() >= threshold {
			return 0, ReasonFailures
		}
	case next.score() >= tripScore && next.spread():
		return 0, ReasonAdaptive
	}
	return next, ""
}

// failed notes a failure that is about to be counted, at the score before it.
// Samples end here: a sample that ends with a failure which belongs to the next
// one is a whole number of gaps between failures, so its share is not biased,
// and successes need no clock.
func (l *learner) failed(now time.Time, score int) {
	if now.Sub(l.since) >= learnEvery {
		l.learn(l.done, now)
		l.done = sample{}
		if score <= tripScore/2 {
			n := l.now()
			l.done = sample{n.successes - l.open.successes, n.failures - l.open.failures}
		}
		l.begin(now)
	}
	l.failures++
}

// now is the sample of all calls ever.
func (l *learner) now() sample { return sample{l.successes.Load(), l.failures} }

func (l *learner) begin(now time.Time) {
	l.open = l.now()
	l.since = now
}

// learn moves p0 towards the share in s.
func (l *learner) learn(s sample, now time.Time) {
	if now.Sub(l.hour) >= doublePause {
		l.hour, l.hourShare = now, l.share
	}
	if s.calls() == 0 {
		return
	}
	weight := 1 - math.Exp2(-float64(s.calls())/halfLife)
	p0 := l.share + weight*(float64(s.failures)/float64(s.calls())-l.share)
	p0 = min(p0, 2*l.hourShare)
	l.set(max(leastShare, min(mostShare, p0)))
}

// discard throws away what may belong to an outage: a transition was made.
func (l *learner) discard(now time.Time) {
	l.done = sample{}
	l.begin(now)
}
