package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	circuitbreaker "github.com/mercari/go-circuitbreaker"
)

var mercari = library{
	name: "mercari",
	new: func(s settings) (subject, error) {
		options := append(consecutiveMercari(s.threshold),
			circuitbreaker.WithOpenTimeout(s.reset),
			circuitbreaker.WithHalfOpenMaxSuccesses(int64(s.probes)),
			circuitbreaker.WithFailOnContextDeadline(true),
		)
		if s.onTransition != nil {
			options = append(options, circuitbreaker.WithOnStateChangeHookFn(func(from, to circuitbreaker.State) {
				s.onTransition(string(from), string(to))
			}))
		}
		return mercariBreaker{circuitbreaker.New(options...)}, nil
	},
	invalid: map[string]func() error{
		"WithOpenTimeout(-1s)":         invalidMercari(circuitbreaker.WithOpenTimeout(-time.Second)),
		"WithHalfOpenMaxSuccesses(-1)": invalidMercari(circuitbreaker.WithHalfOpenMaxSuccesses(-1)),
		"NewTripFuncFailureRate(1, 2)": invalidMercari(circuitbreaker.WithTripFunc(circuitbreaker.NewTripFuncFailureRate(1, 2))),
	},
	lacks: map[int]string{10: "an admission is not a value; what is reported belongs to none"},
	costs: map[string]func(*testing.B){
		"success": costMercari(consecutiveMercari(5)...),
		"rate":    costMercari(rateMercari...),
		"failures": func(b *testing.B) {
			cb, ctx, failing := circuitbreaker.New(consecutiveMercari(5)...), b.Context(), oneInHundredFails()
			op := func() (any, error) { return failing(ctx) }
			for b.Loop() {
				_, _ = cb.Do(ctx, op)
			}
		},
		"two-step": func(b *testing.B) {
			cb, ctx := circuitbreaker.New(consecutiveMercari(5)...), b.Context()
			for b.Loop() {
				if cb.Ready() {
					_, err := op(ctx)
					_ = cb.Done(ctx, err)
				}
			}
		},
		"parallel": func(b *testing.B) {
			cb, ctx := circuitbreaker.New(consecutiveMercari(5)...), b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = cb.Do(ctx, opAny)
				}
			})
		},
		"open": func(b *testing.B) {
			cb, ctx := circuitbreaker.New(append(consecutiveMercari(5), circuitbreaker.WithOpenTimeout(time.Hour))...), b.Context()
			cb.SetState(circuitbreaker.StateOpen)
			for b.Loop() {
				_, _ = cb.Do(ctx, opAny)
			}
		},
	},
	fresh: map[string]func() any{
		"plain": func() any { return circuitbreaker.New(consecutiveMercari(5)...) },
		"rate":  func() any { return circuitbreaker.New(rateMercari...) },
	},
}

// rateMercari forgets all calls at once every ten seconds; it has no window that
// slides.
var rateMercari = []circuitbreaker.BreakerOption{
	circuitbreaker.WithCounterResetInterval(10 * time.Second),
	circuitbreaker.WithTripFunc(circuitbreaker.NewTripFuncFailureRate(20, 0.5)),
}

type mercariBreaker struct{ *circuitbreaker.CircuitBreaker }

func (b mercariBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	_, err := b.Do(ctx, func() (any, error) { return nil, op(ctx) })
	return err
}

func (b mercariBreaker) Rejected(err error) bool { return errors.Is(err, circuitbreaker.ErrOpen) }
func (b mercariBreaker) State() string           { return string(b.CircuitBreaker.State()) }
func (b mercariBreaker) Trip()                   { b.SetState(circuitbreaker.StateOpen) }

// consecutiveMercari counts failures in a row and never clears them by time, for
// which it would need a goroutine.
func consecutiveMercari(n int) []circuitbreaker.BreakerOption {
	return []circuitbreaker.BreakerOption{
		circuitbreaker.WithTripFunc(circuitbreaker.NewTripFuncConsecutiveFailures(int64(n))),
		circuitbreaker.WithCounterResetInterval(-1),
	}
}

func invalidMercari(option circuitbreaker.BreakerOption) func() error {
	return func() error {
		return panicsAre(func() { circuitbreaker.New(circuitbreaker.WithCounterResetInterval(-1), option) })
	}
}

func costMercari(options ...circuitbreaker.BreakerOption) func(*testing.B) {
	return func(b *testing.B) {
		cb, ctx := circuitbreaker.New(options...), b.Context()
		for b.Loop() {
			_, _ = cb.Do(ctx, opAny)
		}
	}
}
