package breaker_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
)

// The guarded call, in the shape that each library wants it, made once so that
// none pays for a closure. As variables the compiler cannot see into them.
var (
	op            = func(context.Context) (int, error) { return 42, nil }
	opNoContext   = func() (int, error) { return 42, nil }
	opNoResult    = func(context.Context) error { return nil }
	opAny         = func() (any, error) { return 42, nil }
	failNoContext = func() (int, error) { return 0, errDown }
)

func oneInHundredFails() func(context.Context) (int, error) {
	n := 0
	return func(context.Context) (int, error) {
		if n++; n%100 == 0 {
			return 0, errDown
		}
		return 42, nil
	}
}

// paths are the benchmarks in the order of the table. A library without one has
// no such thing.
var paths = []string{
	"success", "failures", "two-step", "metrics", "adaptive", "rate", "slow", "parallel",
	"open", "retry", "half-open",
}

// bare is the call itself, and loads the call between the two atomic loads that a
// breaker can hardly do without.
var (
	bare = library{name: "bare", costs: map[string]func(*testing.B){
		"success": func(b *testing.B) {
			ctx := b.Context()
			for b.Loop() {
				_, _ = op(ctx)
			}
		},
		"failures": func(b *testing.B) {
			ctx, op := b.Context(), oneInHundredFails()
			for b.Loop() {
				_, _ = op(ctx)
			}
		},
		"parallel": func(b *testing.B) {
			ctx := b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = op(ctx)
				}
			})
		},
	}}
	loads = library{name: "loads", costs: map[string]func(*testing.B){
		"success": func(b *testing.B) {
			ctx := b.Context()
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
		},
	}}
)

// BenchmarkCost goes by path and then by library, so that what is compared is
// measured at nearly the same moment.
func BenchmarkCost(b *testing.B) {
	all := append([]library{bare, loads}, libraries...)
	for _, path := range paths {
		for _, lib := range all {
			if cost := lib.costs[path]; cost != nil {
				b.Run(path+"/"+lib.name, cost)
			}
		}
	}
}

// BenchmarkMemory weighs b.N new breakers with all that they hold.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []string{"plain", "rate"} {
		for _, lib := range libraries {
			b.Run(kind+"/"+lib.name, func(b *testing.B) { weigh(b, lib.fresh[kind]) })
		}
	}
}

func weigh(b *testing.B, fresh func() any) {
	made := make([]any, b.N)
	goroutines, before := runtime.NumGoroutine(), heap()
	for i := range made {
		made[i] = fresh()
	}
	after := heap()
	b.ReportMetric((after-before)/float64(b.N), "B/breaker")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(b.N), "goroutines/breaker")
	runtime.KeepAlive(made)
}

// heap is the number of bytes in use.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
