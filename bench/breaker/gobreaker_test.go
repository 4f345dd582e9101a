package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
)

var gobreakerV2 = library{
	name: "gobreaker",
	new: func(s settings) (subject, error) {
		st := consecutive(s.threshold)
		st.MaxRequests = uint32(s.probes)
		st.Timeout = s.reset
		// It sees the error alone, so a cancel inside the operation is excluded too.
		st.IsExcluded = func(err error) bool { return errors.Is(err, context.Canceled) }
		if s.onTransition != nil {
			st.OnStateChange = func(_ string, from, to gobreaker.State) { s.onTransition(from.String(), to.String()) }
		}
		return sonyBreaker{gobreaker.NewCircuitBreaker[any](st), gobreaker.NewTwoStepCircuitBreaker[any](st)}, nil
	},
	invalid: map[string]func() error{
		"Timeout -1s": invalidSony(gobreaker.Settings{Timeout: -time.Second}),
	},
	lacks: map[int]string{13: "it has no Reset, Trip or hold"},
	costs: map[string]func(*testing.B){
		"success": costSony(consecutive(5)),
		"rate":    costSony(rateSony),
		"failures": func(b *testing.B) {
			cb, ctx, failing := gobreaker.NewCircuitBreaker[int](consecutive(5)), b.Context(), oneInHundredFails()
			op := func() (int, error) { return failing(ctx) }
			for b.Loop() {
				_, _ = cb.Execute(op)
			}
		},
		"two-step": func(b *testing.B) {
			cb, ctx := gobreaker.NewTwoStepCircuitBreaker[int](consecutive(5)), b.Context()
			for b.Loop() {
				if done, err := cb.Allow(); err == nil {
					_, err = op(ctx)
					done(err)
				}
			}
		},
		"parallel": func(b *testing.B) {
			cb := gobreaker.NewCircuitBreaker[int](consecutive(5))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = cb.Execute(opNoContext)
				}
			})
		},
		"open": func(b *testing.B) {
			cb := gobreaker.NewCircuitBreaker[int](consecutive(1))
			_, _ = cb.Execute(failNoContext)
			for b.Loop() {
				_, _ = cb.Execute(opNoContext)
			}
		},
		"half-open": func(b *testing.B) {
			st := consecutive(1)
			st.Timeout = time.Millisecond
			cb := gobreaker.NewCircuitBreaker[int](st)
			_, _ = cb.Execute(failNoContext)
			for cb.State() != gobreaker.StateHalfOpen {
				time.Sleep(time.Millisecond)
			}
			probing, release := make(chan struct{}), make(chan struct{})
			b.Cleanup(func() { close(release) })
			go func() {
				_, _ = cb.Execute(func() (int, error) { close(probing); <-release; return 0, nil })
			}()
			<-probing // it has the only slot
			for b.Loop() {
				_, _ = cb.Execute(opNoContext)
			}
		},
	},
	fresh: map[string]func() any{
		"plain": func() any { return gobreaker.NewCircuitBreaker[int](consecutive(5)) },
		"rate":  func() any { return gobreaker.NewCircuitBreaker[int](rateSony) },
	},
}

var rateSony = gobreaker.Settings{
	Interval: 10 * time.Second, BucketPeriod: time.Second,
	ReadyToTrip: func(c gobreaker.Counts) bool { return c.Requests >= 20 && 2*c.TotalFailures >= c.Requests },
}

// sonyBreaker has a breaker for each kind of use, of which a rule uses one.
type sonyBreaker struct {
	*gobreaker.CircuitBreaker[any]
	steps *gobreaker.TwoStepCircuitBreaker[any]
}

func (b sonyBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	_, err := b.Execute(func() (any, error) { return nil, op(ctx) })
	return err
}

func (b sonyBreaker) Rejected(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// State is that of the breaker in use: the other has never left closed.
func (b sonyBreaker) State() string {
	if s := b.steps.State(); s != gobreaker.StateClosed {
		return s.String()
	}
	return b.CircuitBreaker.State().String()
}

func (b sonyBreaker) Acquire() (done func(error), ok bool) {
	done, err := b.steps.Allow()
	return done, err == nil
}

func consecutive(n int) gobreaker.Settings {
	return gobreaker.Settings{
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(n) },
	}
}

func invalidSony(st gobreaker.Settings) func() error {
	return func() error { return panicsAre(func() { gobreaker.NewCircuitBreaker[any](st) }) }
}

func costSony(st gobreaker.Settings) func(*testing.B) {
	return func(b *testing.B) {
		cb := gobreaker.NewCircuitBreaker[int](st)
		for b.Loop() {
			_, _ = cb.Execute(opNoContext)
		}
	}
}
