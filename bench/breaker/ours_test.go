package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

var ours = library{
	name: "lifeline",
	new: func(s settings) (subject, error) {
		b, err := breaker.New(breaker.Config{
			FailureThreshold: s.threshold,
			ResetTimeout:     s.reset,
			Probes:           s.probes,
			ProbeSuccesses:   s.probes,
			Backoff:          breaker.Backoff{Jitter: 1e-15}, // none, as the rules count the time
			Hooks: breaker.Hooks{OnTransition: func(t breaker.Transition) {
				if s.onTransition != nil {
					s.onTransition(t.From.String(), t.To.String())
				}
			}},
		})
		return &ourBreaker{b}, err
	},
	invalid: map[string]func() error{
		"FailureThreshold -1": invalidOurs(breaker.Config{FailureThreshold: -1}),
		"ResetTimeout -1s":    invalidOurs(breaker.Config{ResetTimeout: -time.Second}),
		"Probes -1":           invalidOurs(breaker.Config{Probes: -1}),
		"ProbeSuccesses -1":   invalidOurs(breaker.Config{ProbeSuccesses: -1}),
		"ProbeTimeout -1s":    invalidOurs(breaker.Config{ProbeTimeout: -time.Second}),
		"Rate.Share 2":        invalidOurs(breaker.Config{Rate: &breaker.Rate{Share: 2}}),
	},
	costs: map[string]func(*testing.B){
		"success":  costDo(breaker.Config{}),
		"metrics":  costDo(breaker.Config{Metrics: true}),
		"adaptive": costDo(breaker.Config{Adaptive: true}),
		"rate":     costDo(breaker.Config{Rate: &breaker.Rate{}}),
		"slow":     costDo(breaker.Config{Slow: &breaker.Slow{Over: time.Hour}}),
		"failures": func(b *testing.B) {
			br, ctx, op := newOurs(b, breaker.Config{}), b.Context(), oneInHundredFails()
			for b.Loop() {
				_, _ = breaker.Do(ctx, br, op)
			}
		},
		"two-step": func(b *testing.B) {
			br, ctx := newOurs(b, breaker.Config{}), b.Context()
			for b.Loop() {
				if token, err := br.Acquire(); err == nil {
					_, err = op(ctx)
					token.Done(ctx, err)
				}
			}
		},
		"parallel": func(b *testing.B) {
			br, ctx := newOurs(b, breaker.Config{}), b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, _ = breaker.Do(ctx, br, op)
				}
			})
		},
		"open": func(b *testing.B) {
			br, ctx := newOurs(b, breaker.Config{}), b.Context()
			br.Trip(errDown)
			for b.Loop() {
				_, _ = breaker.Do(ctx, br, op)
			}
		},
		"retry": func(b *testing.B) {
			br, ctx := newOurs(b, breaker.Config{ResetTimeout: time.Hour}), b.Context()
			br.Trip(errDown)
			for b.Loop() {
				_, err := breaker.Do(ctx, br, op)
				if e, ok := err.(*breaker.OpenError); !ok || e.RetryAfter() <= 0 {
					b.Fatal("no time")
				}
			}
		},
		"half-open": func(b *testing.B) {
			br, ctx := newOurs(b, breaker.Config{ResetTimeout: time.Millisecond, ProbeTimeout: time.Hour}), b.Context()
			br.Trip(errDown)
			for br.State() != breaker.HalfOpen {
				time.Sleep(time.Millisecond)
			}
			_, _ = br.Acquire() // the only slot
			for b.Loop() {
				_, _ = breaker.Do(ctx, br, op)
			}
		},
	},
	fresh: map[string]func() any{
		"plain": freshOurs(breaker.Config{}),
		"rate":  freshOurs(breaker.Config{Rate: &breaker.Rate{}}),
	},
}

type ourBreaker struct{ *breaker.Breaker }

func (b *ourBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	return b.Run(ctx, op)
}
func (b *ourBreaker) Rejected(err error) bool { return errors.Is(err, breaker.ErrOpen) }
func (b *ourBreaker) State() string           { return b.Breaker.State().String() }
func (b *ourBreaker) Trip()                   { b.Breaker.Trip(errDown) }

func (b *ourBreaker) Acquire() (done func(error), ok bool) {
	token, err := b.Breaker.Acquire()
	return func(err error) { token.Done(context.Background(), err) }, err == nil
}

func (b *ourBreaker) Hold(state string) {
	b.Breaker.Hold(map[string]breaker.HoldState{open: breaker.ForcedOpen, closed: breaker.Disabled}[state], 0)
}

func invalidOurs(cfg breaker.Config) func() error {
	return func() error {
		_, err := breaker.New(cfg)
		return err
	}
}

func freshOurs(cfg breaker.Config) func() any {
	return func() any {
		b, err := breaker.New(cfg)
		if err != nil {
			panic(err)
		}
		return b
	}
}

func newOurs(b *testing.B, cfg breaker.Config) *breaker.Breaker {
	b.Helper()
	br, err := breaker.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(br.Close)
	return br
}

func costDo(cfg breaker.Config) func(*testing.B) {
	return func(b *testing.B) {
		br, ctx := newOurs(b, cfg), b.Context()
		for b.Loop() {
			_, _ = breaker.Do(ctx, br, op)
		}
	}
}
