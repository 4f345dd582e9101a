package breaker_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// workload makes calls through a breaker, one every 100 ms if nothing else is
// said, of which a share fails.
type workload struct {
	t      *testing.T
	b      *breaker.Breaker
	random *rand.Rand
	every  time.Duration
}

func newWorkload(t *testing.T, b *breaker.Breaker) *workload {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	return &workload{t, b, rand.New(rand.NewPCG(seed, 0)), 100 * time.Millisecond}
}

// calls makes n calls; while the breaker is open time passes all the same.
func (d *workload) calls(n int, share float64) {
	for range n {
		token, err := d.b.Acquire()
		switch {
		case err != nil:
		case d.random.Float64() < share:
			token.Done(d.t.Context(), errDown)
		default:
			token.Done(d.t.Context(), nil)
		}
		pass(d.every)
	}
}

func learned(t *testing.T, b *breaker.Breaker) float64 {
	t.Helper()
	s := b.Stats()
	if s.LearnedShare == nil {
		t.Fatal("Stats has no LearnedShare")
	}
	return *s.LearnedShare
}

func adaptive(hooks ...breaker.Hooks) breaker.Config {
	cfg := breaker.Config{Adaptive: true}
	if len(hooks) > 0 {
		cfg.Hooks = hooks[0]
	}
	return cfg
}

// warmed has seen enough calls for the learned threshold to hold.
func warmed(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range 500 {
		play(t, b, "S")
	}
}

func TestAdaptiveHoldsAfter500Calls(t *testing.T) {
	bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "FFFF")
		wantState(t, b, breaker.Closed)
		play(t, b, "F") // the plain threshold
		wantState(t, b, breaker.Open)
		b.Reset()
		warmed(t, b)
		play(t, b, "FFF")
		wantState(t, b, breaker.Closed)
		if n := b.Stats().FailureCount; n != 3 {
			t.Errorf("FailureCount is %d", n)
		}
		play(t, b, "F") // p0 is 1 %: the fourth is too much
		wantState(t, b, breaker.Open)
		if n := b.Stats().FailureCount; n != 4 {
			t.Errorf("FailureCount is %d", n)
		}
	})
}

// One success does not clear the suspicion, several do.
func TestAdaptiveNeedsNoRow(t *testing.T) {
	bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
		warmed(t, b)
		play(t, b, "FFSFF")
		if n := b.Stats().FailureCount; n != 2 {
			t.Errorf("FailureCount is %d", n)
		}
		wantState(t, b, breaker.Open)
		b.Reset()
		play(t, b, "FFFSSSSSSSSSSSSSSSSSSFFF")
		wantState(t, b, breaker.Closed)
	})
}

// What fails together on one broken connection is one event.
func TestAdaptiveNeedsTwoAdmissions(t *testing.T) {
	for _, hooks := range []breaker.Hooks{{}, {OnFailure: func(breaker.FailureInfo) {}}} {
		bubble(t, adaptive(hooks), func(t *testing.T, b *breaker.Breaker) {
			warmed(t, b)
			var inFlight []*breaker.Token
			for range 50 {
				inFlight = append(inFlight, acquire(t, b))
			}
			for _, token := range inFlight[:40] {
				token.Done(t.Context(), errDown)
			}
			wantState(t, b, breaker.Closed)
			play(t, b, "F") // one that began after the first failure
			wantState(t, b, breaker.Open)

			// It need not be the last.
			b.Reset()
			for i := range inFlight {
				inFlight[i] = acquire(t, b)
			}
			inFlight[0].Done(t.Context(), errDown)
			play(t, b, "F")
			inFlight[1].Done(t.Context(), errDown)
			wantState(t, b, breaker.Closed)
			inFlight[2].Done(t.Context(), errDown)
			wantState(t, b, breaker.Open)
		})
	}
}

// A dependency that fails more often than expected, always, is learned.
func TestAdaptiveLearnsWhatIsNormal(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 250 * time.Millisecond} {
		bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
			d := newWorkload(t, b)
			d.every = every
			d.calls(50_000, 0.05)
			if p := learned(t, b); p < 0.7*0.05 || p > 1.3*0.05 {
				t.Errorf("learned %v of a share of 0.05", p)
			}
		})
	}
}

func TestAdaptiveAtMostDoublesInAnHour(t *testing.T) {
	bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
		d := newWorkload(t, b)
		d.every = 20 * time.Millisecond
		d.calls(50*60*59, 0.1)
		if p := learned(t, b); p > 0.02 || p < 0.015 {
			t.Errorf("learned %v in the first hour, want at most 0.02", p)
		}
	})
}

func TestAdaptiveStaysInItsBounds(t *testing.T) {
	bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
		warmed(t, b)
		for range 500_000 {
			play(t, b, "S")
		}
		for range 2 { // the second ends the sample after the one that is learned
			pass(10 * time.Second)
			play(t, b, "F")
		}
		if p := learned(t, b); p != 0.001 {
			t.Errorf("learned %v of a dependency that never fails, want 0.001", p)
		}
	})
}

// An outage teaches nothing, however long it is and however it ends.
func TestAdaptiveLearnsNothingFromAnOutage(t *testing.T) {
	bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
		d := newWorkload(t, b)
		d.calls(20_000, 0.02)
		for b.State() != breaker.Closed {
			d.calls(1, 0)
		}
		d.calls(200, 0)
		pass(20 * time.Second)
		play(t, b, "F") // ends the last sample before the outage
		before := learned(t, b)
		trips := b.Stats().TotalTrips
		d.calls(6000, 1) // ten minutes
		if got := b.Stats().TotalTrips - trips; got < 10 {
			t.Fatalf("%d trips in the outage", got)
		}
		d.calls(400, 0) // the next probe closes it
		wantState(t, b, breaker.Closed)
		pass(time.Minute)
		play(t, b, "F")
		if after := learned(t, b); after != before {
			t.Errorf("the outage moved the share from %v to %v", before, after)
		}
	})
}

// What an operator does ends the sample that is under way.
func TestAdaptiveLearnsNothingAcrossACommand(t *testing.T) {
	for name, command := range map[string]func(b *breaker.Breaker){
		"Reset":   (*breaker.Breaker).Reset,
		"Trip":    func(b *breaker.Breaker) { b.Trip(nil); b.Reset() },
		"Hold":    func(b *breaker.Breaker) { b.Hold(breaker.Disabled, 0)() },
		"nothing": func(*breaker.Breaker) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, adaptive(), func(t *testing.T, b *breaker.Breaker) {
				warmed(t, b)
				pass(time.Minute)
				play(t, b, "F") // 500 good calls wait to be learned
				command(b)
				pass(time.Minute)
				play(t, b, "F")
				pass(time.Minute)
				play(t, b, "F")
				if moved := learned(t, b) != 0.01; moved != (name == "nothing") {
					t.Errorf("learned %v", learned(t, b))
				}
			})
		})
	}
}

// Without Adaptive nothing is learned, and the plain rule holds for ever.
func TestAdaptiveOffIsThePlainRule(t *testing.T) {
	bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
		warmed(t, b)
		play(t, b, "FFFFSFFFFSFFFF")
		wantState(t, b, breaker.Closed)
		play(t, b, "F")
		wantState(t, b, breaker.Open)
		if b.Stats().LearnedShare != nil {
			t.Error("Stats has a LearnedShare")
		}
	})
}
