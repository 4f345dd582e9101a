package breaker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// The costs of docs/breaker.md: `go test -bench . -count 5 ./breaker`. Each is to
// be read beside "bare", the call itself, and "loads", the call between the two
// atomic loads that a breaker can hardly do without.

// The calls, which the compiler cannot see into.
var (
	benchOp  = succeed
	benchRun = run
)

// halfOpen has its only slot taken.
func halfOpen(b *testing.B) *breaker.Breaker {
	b.Helper()
	br := newBreaker(b, breaker.Config{ResetTimeout: time.Millisecond, ProbeTimeout: time.Hour})
	br.Trip(nil)
	for br.State() != breaker.HalfOpen {
		time.Sleep(time.Millisecond)
	}
	acquire(b, br)
	return br
}

func BenchmarkBare(b *testing.B) {
	ctx, op := b.Context(), benchOp
	for b.Loop() {
		_, _ = op(ctx)
	}
}

func BenchmarkLoads(b *testing.B) {
	ctx, op := b.Context(), benchOp
	var before, after atomic.Uint64
	for b.Loop() {
		if before.Load() != 0 {
			b.Fatal("changed")
		}
		_, _ = op(ctx)
		if after.Load() != 0 {
			b.Fatal("changed")
		}
	}
}

func BenchmarkClosed(b *testing.B) {
	configs := []struct {
		name string
		cfg  breaker.Config
	}{
		{"plain", breaker.Config{}},
		{"metrics", breaker.Config{Metrics: true}},
		{"adaptive", breaker.Config{Adaptive: true}},
		{"rate", breaker.Config{Rate: &breaker.Rate{}}},
		{"slow", breaker.Config{Slow: &breaker.Slow{Over: time.Hour}}},
	}
	for _, c := range configs {
		b.Run(c.name, func(b *testing.B) {
			ctx, op, br := b.Context(), benchOp, newBreaker(b, c.cfg)
			for b.Loop() {
				_, _ = breaker.Do(ctx, br, op)
			}
		})
	}
}

func BenchmarkClosedRun(b *testing.B) {
	ctx, op, br := b.Context(), benchRun, newBreaker(b, breaker.Config{})
	for b.Loop() {
		_ = br.Run(ctx, op)
	}
}

func BenchmarkClosedTwoStep(b *testing.B) {
	ctx, op, br := b.Context(), benchOp, newBreaker(b, breaker.Config{})
	for b.Loop() {
		if token, err := br.Acquire(); err == nil {
			_, err = op(ctx)
			token.Done(ctx, err)
		}
	}
}

func BenchmarkClosedOneInHundredFails(b *testing.B) {
	ctx, br, n := b.Context(), newBreaker(b, breaker.Config{}), 0
	op := func(context.Context) (int, error) {
		if n++; n%100 == 0 {
			return 0, errDown
		}
		return 42, nil
	}
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, op)
	}
}

func BenchmarkClosedParallel(b *testing.B) {
	ctx, op, br := b.Context(), benchOp, newBreaker(b, breaker.Config{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = breaker.Do(ctx, br, op)
		}
	})
}

func BenchmarkRejected(b *testing.B) {
	tripped := newBreaker(b, breaker.Config{})
	tripped.Trip(errDown)
	for name, br := range map[string]*breaker.Breaker{"open": tripped, "half-open": halfOpen(b)} {
		b.Run(name+"/Do", func(b *testing.B) {
			ctx, op := b.Context(), benchOp
			for b.Loop() {
				_, _ = breaker.Do(ctx, br, op)
			}
		})
		b.Run(name+"/two-step", func(b *testing.B) {
			for b.Loop() {
				_, _ = br.Acquire()
			}
		})
	}
}
