package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

var failsafeGo = library{
	name: "failsafe-go",
	new: func(s settings) (subject, error) {
		builder := circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(uint(s.threshold)).
			WithSuccessThreshold(uint(s.probes)).
			WithDelay(s.reset).
			// Outcomes are success and failure; there is no third.
			HandleIf(func(_ any, err error) bool { return err != nil && !errors.Is(err, context.Canceled) })
		if s.onTransition != nil {
			builder.OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
				s.onTransition(e.OldState.String(), e.NewState.String())
			})
		}
		cb := builder.Build()
		return failsafeBreaker{cb, failsafe.With[any](cb)}, nil
	},
	invalid: map[string]func() error{
		"WithDelay(-1s)":                      invalidFailsafe(func(b circuitbreaker.Builder[any]) { b.WithDelay(-time.Second) }),
		"WithFailureThreshold(0)":             invalidFailsafe(func(b circuitbreaker.Builder[any]) { b.WithFailureThreshold(0) }),
		"WithFailureThresholdRatio(5, 3)":     invalidFailsafe(func(b circuitbreaker.Builder[any]) { b.WithFailureThresholdRatio(5, 3) }),
		"WithFailureRateThreshold(2, 20, 1s)": invalidFailsafe(func(b circuitbreaker.Builder[any]) { b.WithFailureRateThreshold(2, 20, time.Second) }),
	},
	lacks: map[int]string{10: "its permits have no identity; what is recorded belongs to none"},
	costs: map[string]func(*testing.B){
		"success": costFailsafe(circuitbreaker.NewBuilder[int]().WithFailureThreshold(5)),
		"rate":    costFailsafe(rateFailsafe()),
		"failures": func(b *testing.B) {
			ex := failsafe.With[int](circuitbreaker.NewBuilder[int]().WithFailureThreshold(5).Build())
			ctx, failing := b.Context(), oneInHundredFails()
			op := func() (int, error) { return failing(ctx) }
			for b.Loop() {
				_, _ = ex.Get(op)
			}
		},
		"two-step": func(b *testing.B) {
			cb, ctx := circuitbreaker.NewBuilder[int]().WithFailureThreshold(5).Build(), b.Context()
			for b.Loop() {
				if cb.TryAcquirePermit() {
					if _, err := op(ctx); err == nil {
						cb.RecordSuccess()
					} else {
						cb.RecordError(err)
					}
				}
			}
		},
		"parallel": func(b *testing.B) {
			ex := failsafe.With[int](circuitbreaker.NewBuilder[int]().WithFailureThreshold(5).Build())
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = ex.Get(opNoContext)
				}
			})
		},
		"open": func(b *testing.B) {
			cb := circuitbreaker.NewBuilder[int]().Build()
			cb.Open()
			ex := failsafe.With[int](cb)
			for b.Loop() {
				_, _ = ex.Get(opNoContext)
			}
		},
		"retry": func(b *testing.B) {
			cb := circuitbreaker.NewBuilder[int]().WithDelay(time.Hour).Build()
			cb.Open()
			ex := failsafe.With[int](cb)
			for b.Loop() {
				if _, err := ex.Get(opNoContext); err == nil || cb.RemainingDelay() <= 0 {
					b.Fatal("no time")
				}
			}
		},
		"half-open": func(b *testing.B) {
			cb := circuitbreaker.NewBuilder[int]().Build()
			cb.HalfOpen()
			cb.TryAcquirePermit() // the only one
			ex := failsafe.With[int](cb)
			for b.Loop() {
				_, _ = ex.Get(opNoContext)
			}
		},
	},
	fresh: map[string]func() any{
		"plain": func() any { return circuitbreaker.NewBuilder[int]().WithFailureThreshold(5).Build() },
		"rate":  func() any { return rateFailsafe().Build() },
	},
}

func rateFailsafe() circuitbreaker.Builder[int] {
	return circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(0.5, 20, 10*time.Second)
}

type failsafeBreaker struct {
	circuitbreaker.CircuitBreaker[any]
	executor failsafe.Executor[any]
}

func (b failsafeBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	return b.executor.WithContext(ctx).Run(func() error { return op(ctx) })
}

func (b failsafeBreaker) Rejected(err error) bool { return errors.Is(err, circuitbreaker.ErrOpen) }
func (b failsafeBreaker) State() string           { return b.CircuitBreaker.State().String() }
func (b failsafeBreaker) Trip()                   { b.Open() }
func (b failsafeBreaker) Reset()                  { b.Close() }

func invalidFailsafe(set func(circuitbreaker.Builder[any])) func() error {
	return func() error {
		return panicsAre(func() {
			b := circuitbreaker.NewBuilder[any]()
			set(b)
			b.Build()
		})
	}
}

func costFailsafe(builder circuitbreaker.Builder[int]) func(*testing.B) {
	return func(b *testing.B) {
		ex := failsafe.With[int](builder.Build())
		for b.Loop() {
			_, _ = ex.Get(opNoContext)
		}
	}
}
