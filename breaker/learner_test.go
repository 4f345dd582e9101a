package breaker

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// sequence is a source of calls that fail with the share p, told as the number
// of successes before each failure.
type sequence struct {
	random *rand.Rand
	ln     float64 // of 1-p
}

func newSequence(t *testing.T, p float64) *sequence {
	seed := rand.Uint64()
	t.Logf("seed %#x, p %v", seed, p)
	return &sequence{rand.New(rand.NewPCG(seed, math.Float64bits(p))), math.Log1p(-p)}
}

// gap is the number of successes before the next failure.
func (s *sequence) gap() int {
	return int(math.Log(1-s.random.Float64()) / s.ln)
}

// cusum drives the rule through its words, as the breaker does, without a clock.
type cusum struct {
	l *learner
	w word
}

func newCusum(share float64) *cusum {
	var successes atomic.Uint64
	successes.Store(learnCalls)
	c := &cusum{l: newLearner(&successes, time.Unix(0, 0))}
	c.l.set(share)
	return c
}

func (c *cusum) succeed(times int) {
	for range times {
		if c.w == c.w.epoch() {
			return // nothing to take off
		}
		c.w = c.l.afterSuccess(c.w)
	}
}

// fail counts the failure of a call that was admitted just before, and reports a
// trip, after which the rule starts afresh.
func (c *cusum) fail() (trip bool) {
	next, reason := c.l.afterFailure(c.w, c.w, maxRun+1)
	if reason != "" {
		next = 0
	}
	c.w = next
	return reason == ReasonAdaptive
}

var shares = []float64{0.001, 0.01, 0.05, 0.1, 0.2}

// In 20 million calls of a dependency that is as it always was, 20 false trips
// are expected at most.
func TestAdaptiveFalseTrips(t *testing.T) {
	for _, p := range shares {
		calls, trips := newSequence(t, p), 0
		c := newCusum(p)
		for n := 0; n < 20e6; {
			gap := calls.gap()
			n += gap + 1
			c.succeed(gap)
			if c.fail() {
				trips++
			}
		}
		t.Logf("%d false trips", trips)
		if most := 20 + 4*math.Sqrt(20); float64(trips) > most {
			t.Errorf("p0 = %v: %d false trips in 20 million calls, want at most %v", p, trips, most)
		}
	}
}

// A dependency that is down is noticed after as many failures as the theory says.
func TestAdaptiveTripsWhenEverythingFails(t *testing.T) {
	for _, p := range shares {
		p1 := max(0.5, min(0.9, 3*p))
		want := max(3, int(math.Ceil(math.Log(1e6)/math.Log(p1/p))))
		c, got := newCusum(p), 1
		for ; !c.fail(); got++ {
			continue
		}
		if got != want {
			t.Errorf("p0 = %v: tripped after %d failures, want %d", p, got, want)
		}
	}
}

// Where half of the calls fail instead of one in a hundred, it takes 8.6 calls in
// the mean; five failures in a row would take 62.
func TestAdaptiveDelayAtHalf(t *testing.T) {
	const rounds = 20_000
	calls, n := newSequence(t, 0.5), 0
	for range rounds {
		c := newCusum(0.01)
		for {
			gap := calls.gap()
			n += gap + 1
			c.succeed(gap)
			if c.fail() {
				break
			}
		}
	}
	mean := float64(n) / rounds
	t.Logf("%.2f calls in the mean", mean)
	if mean < 0.75*8.6 || mean > 1.25*8.6 {
		t.Errorf("a trip takes %.2f calls in the mean, want 8.6 within 25 %%", mean)
	}
}

func TestAdaptiveWeights(t *testing.T) {
	tests := []struct {
		share      float64
		rise, fall int
	}{
		{0.01, 4006, 699}, {0.001, 6364, 709}, {0.05, 2358, 657}, {0.1, 1648, 602}, {0.2, 1125, 710},
	}
	for _, test := range tests {
		l := newCusum(test.share).l
		if fall := int(l.fall.Load()); l.rise != test.rise || fall != test.fall {
			t.Errorf("p0 = %v: a failure adds %d and a success takes off %d, want %d and %d",
				test.share, l.rise, fall, test.rise, test.fall)
		}
	}
	if want := int(math.Round(math.Log(1e6) * scoreUnit)); tripScore != want || tripScore > maxScore {
		t.Errorf("the score to trip at is %d, want %d and at most %d", tripScore, want, maxScore)
	}
}

func TestAdaptiveWordPartsDoNotMix(t *testing.T) {
	w := word(0).next(open).next(closed)
	for _, spread := range []bool{false, true} {
		full := w.scored(maxScore+5, maxRun+5, spread)
		if full.score() != maxScore || full.run() != maxRun || full.spread() != spread || full.epoch() != w {
			t.Errorf("%#x has mixed parts", full)
		}
		if none := full.scored(0, 0, false); none != w {
			t.Errorf("%#x is not empty", none)
		}
	}
}
