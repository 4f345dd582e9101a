package breaker_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// TestStress lets many goroutines do everything at once. Afterwards the hooks
// must have seen one unbroken chain of transitions, one at a time, that leads to
// the present state.
func TestStress(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	var inHook atomic.Int32
	var mu sync.Mutex // guards chain: the timer's goroutine may run the last hooks
	var chain []breaker.Transition
	var b *breaker.Breaker
	b = newBreaker(t, breaker.Config{
		FailureThreshold: 3, ResetTimeout: 50 * time.Microsecond, ProbeTimeout: 20 * time.Microsecond,
		Probes: 2, ProbeSuccesses: 2, Metrics: true,
		Hooks: breaker.Hooks{
			OnTransition: func(tr breaker.Transition) {
				if inHook.Add(1) != 1 {
					t.Error("two hooks at once")
				}
				mu.Lock()
				chain = append(chain, tr)
				mu.Unlock()
				_ = b.Stats()
				inHook.Add(-1)
			},
			OnFailure: func(breaker.FailureInfo) {
				if inHook.Add(1) != 1 {
					t.Error("two hooks at once")
				}
				inHook.Add(-1)
			},
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var watching, working sync.WaitGroup
	watching.Go(func() {
		wc := breaker.WatchConfig{Every: time.Millisecond, OpenEvery: 100 * time.Microsecond, Failures: 1}
		_ = b.Watch(ctx, wc, func(context.Context) error {
			if rand.N(2) == 0 {
				return errDown
			}
			return nil
		})
	})
	for worker := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		working.Go(func() {
			for range 3000 {
				stressStep(b, random)
			}
		})
	}
	working.Wait()
	cancel()
	watching.Wait()
	// Nothing trips it any more, but hooks of the last trip may still be running in
	// the goroutine of its timer.
	told := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(chain) > 0 && chain[len(chain)-1].TotalTrips == b.Stats().TotalTrips
	}
	for deadline := time.Now().Add(20 * time.Second); !told(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the hooks have not told of all %d trips", b.Stats().TotalTrips)
		}
	}
	b.Close()

	mu.Lock()
	defer mu.Unlock()
	for i := 1; i < len(chain); i++ {
		before, tr := chain[i-1], chain[i]
		if tr.From != before.To || tr.Generation <= before.Generation || tr.TotalTrips < before.TotalTrips {
			t.Fatalf("transition %d does not follow:\n%+v\n%+v", i, before, tr)
		}
	}
	last, s := chain[len(chain)-1], b.Stats()
	if s.TotalTrips != last.TotalTrips || s.TotalTrips == 0 {
		t.Errorf("%d trips, the last transition says %d", s.TotalTrips, last.TotalTrips)
	}
	t.Logf("%d transitions, %s", len(chain), asJSON(t, s))
}

func stressStep(b *breaker.Breaker, random *rand.Rand) {
	switch n := random.IntN(1000); {
	case n < 1:
		b.Reset()
	case n < 2:
		b.Trip(errDown)
	case n < 3:
		b.Hold(breaker.Disabled, 30*time.Microsecond)
	case n < 4:
		release := b.Hold(breaker.ForcedOpen, 0)
		runtime.Gosched()
		release()
	case n < 50:
		_ = b.Stats()
		_ = b.State()
	default:
		token, err := b.Acquire()
		if err != nil {
			return
		}
		if random.IntN(4) == 0 {
			runtime.Gosched()
		}
		if random.IntN(50) == 0 {
			return // never settled
		}
		token.Report(outcomes[random.IntN(3)])
	}
}

// TestStressTripsOnce fails many calls of one generation at once: whichever of
// them are counted, the breaker trips once, with exactly the threshold.
func TestStressTripsOnce(t *testing.T) {
	hooks := map[string]breaker.Hooks{
		"lock-free": {},
		"locked":    {OnFailure: func(breaker.FailureInfo) {}},
	}
	for name, h := range hooks {
		t.Run(name, func(t *testing.T) {
			for range 300 {
				b := newBreaker(t, breaker.Config{FailureThreshold: 10, Hooks: h})
				inParallel(t, b, 16, breaker.Failure)
				if s := b.Stats(); s.TotalTrips != 1 || s.FailureCount != 10 || s.Failures != 10 || s.Generation != 1 {
					t.Fatalf("got %s", asJSON(t, s))
				}
			}
		})
	}
}

// TestStressCountsEachFailure loses none below the threshold.
func TestStressCountsEachFailure(t *testing.T) {
	for range 300 {
		b := newBreaker(t, breaker.Config{FailureThreshold: 17})
		inParallel(t, b, 16, breaker.Failure)
		if s := b.Stats(); s.FailureCount != 16 || s.Failures != 16 || s.TotalTrips != 0 {
			t.Fatalf("got %s", asJSON(t, s))
		}
	}
}

// inParallel admits n calls and then settles all of them at once.
func inParallel(t *testing.T, b *breaker.Breaker, n int, o breaker.Outcome) {
	t.Helper()
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		token := acquire(t, b)
		wg.Go(func() {
			<-start
			token.Report(o)
		})
	}
	close(start)
	wg.Wait()
}
