package resilient

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

func TestGuardedTripsAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newBreaker(t), newFaulty()
		g := NewGuarded(GuardedConfig{Driver: f, Breaker: b})
		defer g.Close()
		var seen statuses
		cancel := g.OnStatus(seen.tell)
		synctest.Wait()
		if told := seen.all(); len(told) != 1 || told[0].Degraded {
			t.Fatalf("told %+v", told)
		}
		f.set(fails)
		put := func(ctx context.Context) error {
			_, err := g.Apply(ctx, []storage.Op{op("a", "1")})
			return err
		}
		for range breaker.DefaultFailureThreshold {
			if err := put(t.Context()); !errors.Is(err, errFault) {
				t.Fatalf("error is %v", err)
			}
		}
		n := f.count()
		var unavailable *storage.UnavailableError
		if err := put(t.Context()); !errors.As(err, &unavailable) || f.count() != n ||
			unavailable.RetryAfter != breaker.DefaultResetTimeout {
			t.Fatalf("error is %#v", err)
		}
		synctest.Wait()
		told := seen.all()
		if len(told) != 2 || !told[1].Degraded || !slices.Equal(told[1].Reasons, []string{"disk: circuit breaker open"}) {
			t.Fatalf("told %+v", told)
		}
		if _, err := g.ReadLog(t.Context(), "a", storage.LogQuery{}); err != nil || g.UsingFallback() {
			t.Fatal("reads must go on", err)
		}
		f.set(none)
		g.ResetCircuitBreaker()
		if err := put(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told = seen.all()
		if len(told) != 3 || told[2].Degraded {
			t.Fatalf("told %+v", told)
		}
		cancel()
		b.Trip(nil)
		g.(interface{ BreakerChanged() }).BreakerChanged()
		synctest.Wait()
		told = seen.all()
		if len(told) != 3 || !g.Status().Degraded || len(g.CircuitBreakerStats()) != 1 {
			t.Fatalf("told %+v", told)
		}
	})
}

func TestGuardedCountsOnlyTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := newBreaker(t), newFaulty()
		g := NewGuarded(GuardedConfig{Driver: f, Breaker: b})
		defer g.Close()
		for _, x := range []fault{poisons, gone, hangs} {
			f.set(x)
			for range 2 * breaker.DefaultFailureThreshold {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				_, _ = g.Apply(ctx, []storage.Op{op("a", "1")})
				cancel()
			}
			if s := b.Stats(); s.State != breaker.Closed || s.Failures != 0 {
				t.Fatalf("fault %d counted: %+v", x, s)
			}
		}
		f.set(none)
		if items, err := g.Take(t.Context(), "q", 1); len(items) != 0 || err != nil || b.Stats().Failures != 0 {
			t.Fatal(items, err)
		}
		f.set(fails)
		if _, err := g.Take(t.Context(), "q", 1); !errors.Is(err, errFault) || b.Stats().Failures != 1 {
			t.Fatal(err)
		}
	})
}

func TestBare(t *testing.T) {
	f := newFaulty()
	s := NewBare(f)
	defer s.Close()
	f.set(fails)
	for range 10 {
		if _, err := s.Apply(t.Context(), []storage.Op{op("a", "1")}); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
	}
	s.ResetCircuitBreaker()
	s.OnStatus(nil)()
	if s.UsingFallback() || s.Status().Degraded || s.CircuitBreakerStats() != nil {
		t.Fatal("a bare driver is never degraded")
	}
}
