package breaker_test

import (
	"context"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/actionflows/lifeline/breaker"
)

func succeed(context.Context) (int, error) { return 42, nil }

func run(context.Context) error { return nil }

// paths are the calls whose cost matters, by state.
func paths(tb testing.TB) map[string]func() {
	ctx := context.Background()
	b := newBreaker(tb, breaker.Config{})
	counting := newBreaker(tb, breaker.Config{Metrics: true})
	learning := newBreaker(tb, breaker.Config{Adaptive: true})
	timing := newBreaker(tb, breaker.Config{Rate: &breaker.Rate{}, Slow: &breaker.Slow{Over: time.Hour}})
	tripped := newBreaker(tb, breaker.Config{})
	tripped.Trip(errDown)
	return map[string]func(){
		"closed/Do":            func() { _, _ = breaker.Do(ctx, b, succeed) },
		"closed/DoOr":          func() { _, _ = breaker.DoOr(ctx, b, succeed, nil) },
		"closed/Typed":         func() { _, _ = (breaker.Typed[int]{B: b}).Do(ctx, succeed) },
		"closed/Run":           func() { _ = b.Run(ctx, run) },
		"closed/metrics":       func() { _, _ = breaker.Do(ctx, counting, succeed) },
		"closed/adaptive":      func() { _, _ = breaker.Do(ctx, learning, succeed) },
		"closed/rate and slow": func() { _, _ = breaker.Do(ctx, timing, succeed) },
		"closed/two-step": func() {
			if token, err := b.Acquire(); err == nil {
				token.Done(ctx, nil)
			}
		},
		"closed/Report": func() {
			if token, err := b.Acquire(); err == nil {
				token.Report(breaker.Success)
			}
		},
		"closed/failure and success": func() {
			if token, err := b.Acquire(); err == nil {
				token.Done(ctx, errDown)
			}
			_ = b.Run(ctx, run)
		},
		"open/Do":       func() { _, _ = breaker.Do(ctx, tripped, succeed) },
		"open/Run":      func() { _ = tripped.Run(ctx, run) },
		"open/two-step": func() { _, _ = tripped.Acquire() },
	}
}

func TestCallsDoNotAllocate(t *testing.T) {
	for name, call := range paths(t) {
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestFullHalfOpenDoesNotAllocate(t *testing.T) {
	bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
		b.Trip(nil)
		pass(30 * time.Second)
		acquire(t, b)
		if n := testing.AllocsPerRun(1000, func() { _, _ = b.Acquire() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestBreakerIsSmallAndOwnsNoGoroutine(t *testing.T) {
	if size := unsafe.Sizeof(breaker.Breaker{}); size > 320 {
		t.Errorf("a Breaker takes %d bytes", size)
	}
	before := runtime.NumGoroutine()
	for range 100 {
		newBreaker(t, breaker.Config{}).Trip(nil)
	}
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("100 breakers own %d goroutines", n)
	}
}
