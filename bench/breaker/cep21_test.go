package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cep21/circuit/v4"
	"github.com/cep21/circuit/v4/closers/hystrix"
	"github.com/cep21/circuit/v4/closers/simplelogic"
	"github.com/cep21/circuit/v4/metrics/rolling"
)

var cep21 = library{
	name: "cep21",
	new: func(s settings) (subject, error) {
		cfg := configCep21(s.threshold, s.reset, s.probes)
		// A call that takes longer is a failure, also if it succeeds in the end.
		cfg.Execution.Timeout = s.reset
		if s.onTransition != nil {
			cfg.Metrics.Circuit = []circuit.Metrics{transitions(s.onTransition)}
		}
		return &circuitBreaker{circuit.NewCircuitFromConfig("c", cfg), cfg}, nil
	},
	invalid: map[string]func() error{
		"ErrorThreshold -1":   invalidCep21(-1, time.Second, 1),
		"SleepWindow -1s":     invalidCep21(1, -time.Second, 1),
		"HalfOpenAttempts -1": invalidCep21(1, time.Second, -1),
	},
	lacks: map[int]string{
		8:  "it shows open and closed, never half-open",
		10: "it takes functions only",
	},
	costs: map[string]func(*testing.B){
		"success": costCep21(configCep21(5, time.Minute, 1)),
		"metrics": costCep21(withCep21(func(cfg *circuit.Config) {
			cfg.Merge((&rolling.StatFactory{}).CreateConfig("c"))
		})),
		"rate": costCep21(withCep21(rateCep21)),
		"slow": costCep21(withCep21(func(cfg *circuit.Config) { cfg.Execution.Timeout = time.Hour })),
		"failures": func(b *testing.B) {
			cb, ctx, failing := circuit.NewCircuitFromConfig("c", configCep21(5, time.Minute, 1)), b.Context(), oneInHundredFails()
			op := func(ctx context.Context) error { _, err := failing(ctx); return err }
			for b.Loop() {
				_ = cb.Run(ctx, op)
			}
		},
		"parallel": func(b *testing.B) {
			cb, ctx := circuit.NewCircuitFromConfig("c", configCep21(5, time.Minute, 1)), b.Context()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = cb.Run(ctx, opNoResult)
				}
			})
		},
		"open": func(b *testing.B) {
			cb, ctx := circuit.NewCircuitFromConfig("c", configCep21(5, time.Hour, 1)), b.Context()
			cb.OpenCircuit(ctx)
			for b.Loop() {
				_ = cb.Run(ctx, opNoResult)
			}
		},
	},
	fresh: map[string]func() any{
		"plain": func() any { return circuit.NewCircuitFromConfig("c", configCep21(5, time.Minute, 1)) },
		"rate":  func() any { return circuit.NewCircuitFromConfig("c", withCep21(rateCep21)) },
	},
}

func rateCep21(cfg *circuit.Config) {
	cfg.General.ClosedToOpenFactory = hystrix.OpenerFactory(hystrix.ConfigureOpener{})
}

type circuitBreaker struct {
	*circuit.Circuit
	cfg circuit.Config
}

func (b *circuitBreaker) Call(ctx context.Context, op func(context.Context) error) error {
	return b.Run(ctx, op)
}

func (b *circuitBreaker) Rejected(err error) bool {
	var own circuit.Error
	return errors.As(err, &own)
}

func (b *circuitBreaker) State() string {
	if b.IsOpen() {
		return open
	}
	return closed
}

func (b *circuitBreaker) Trip()  { b.OpenCircuit(context.Background()) }
func (b *circuitBreaker) Reset() { b.CloseCircuit(context.Background()) }

func (b *circuitBreaker) Hold(state string) {
	cfg := b.cfg
	cfg.General.ForceOpen, cfg.General.ForcedClosed = state == open, state == closed
	b.SetConfigThreadSafe(cfg)
}

func (b *circuitBreaker) Release() { b.SetConfigThreadSafe(b.cfg) }

type transitions func(from, to string)

func (f transitions) Opened(context.Context, time.Time) { f(closed, open) }
func (f transitions) Closed(context.Context, time.Time) { f(open, closed) }

func configCep21(threshold int, sleep time.Duration, probes int) circuit.Config {
	return circuit.Config{
		General: circuit.GeneralConfig{
			ClosedToOpenFactory: simplelogic.ConsecutiveErrOpenerFactory(simplelogic.ConfigConsecutiveErrOpener{
				ErrorThreshold: int64(threshold),
			}),
			OpenToClosedFactory: hystrix.CloserFactory(hystrix.ConfigureCloser{
				SleepWindow: sleep, HalfOpenAttempts: int64(probes), RequiredConcurrentSuccessful: int64(probes),
			}),
		},
		Execution: circuit.ExecutionConfig{Timeout: -1, MaxConcurrentRequests: -1},
	}
}

func withCep21(change func(*circuit.Config)) circuit.Config {
	cfg := configCep21(5, time.Minute, 1)
	change(&cfg)
	return cfg
}

func invalidCep21(threshold int, sleep time.Duration, probes int) func() error {
	return func() error {
		return panicsAre(func() { circuit.NewCircuitFromConfig("c", configCep21(threshold, sleep, probes)) })
	}
}

func costCep21(cfg circuit.Config) func(*testing.B) {
	return func(b *testing.B) {
		cb, ctx := circuit.NewCircuitFromConfig("c", cfg), b.Context()
		for b.Loop() {
			_ = cb.Run(ctx, opNoResult)
		}
	}
}
