package resilient

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// guarded puts a breaker before the writes of a driver.
type guarded struct {
	storage.Driver
	breaker  *breaker.Breaker
	observer *observer

	fallback *fallbackLog

	stop    context.CancelFunc
	stopped sync.WaitGroup
	close   sync.Once
	err     error // of Close
}

// GuardedConfig is what [NewGuarded] needs. Driver and Breaker must be set.
type GuardedConfig struct {
	Driver  storage.Driver
	Breaker *breaker.Breaker // remains its maker's, who closes it afterwards
	Logger  *zap.Logger      // default: none
	// ProbeEvery is the time between probes while the breaker is closed, three of
	// which in a row must fail to open it. Default 0: none, since the next write
	// tells in time and an idle disk stays idle.
	ProbeEvery time.Duration
}

// NewGuarded puts the breaker before the writes of the driver, which it owns from
// then on. While it is open, Apply answers a [*storage.UnavailableError] that says
// when to try again; reads always go through. Failures are a
// [*storage.UnavailableError] and a deadline that the driver itself has set.
// Nothing is acknowledged that the driver has not acknowledged.
//
// While the breaker is open, Health probes the driver four times a second and
// closes it once that succeeds.
//
// Close closes the driver, and not the breaker. The answer also has a method
// BreakerChanged(), to be called from the breaker's OnTransition hook; without it
// a transition that no write has caused is noticed at the next write.
func NewGuarded(cfg GuardedConfig) Storage {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &guarded{
		Driver: cfg.Driver, breaker: cfg.Breaker, stop: cancel,
		fallback: newFallbackLog(cfg.Logger, []*breaker.Breaker{cfg.Breaker}, "refused"),
	}
	g.observer = newObserver(g.Status, g.log)
	g.stopped.Go(func() { g.observer.run(ctx.Done()) })
	watch := breaker.WatchConfig{Every: max(cfg.ProbeEvery, 0), OpenOnly: cfg.ProbeEvery <= 0}
	g.stopped.Go(func() { // the configuration is valid
		_ = g.breaker.Watch(ctx, watch, g.Driver.Health)
	})
	return g
}

func (g *guarded) log(s Status) (again time.Duration) {
	if s.Degraded {
		return 0
	}
	return g.fallback.closed()
}

// noteRefusal looks at what a failed write has changed.
func (g *guarded) noteRefusal(err error) {
	if errors.Is(err, breaker.ErrOpen) {
		g.fallback.note(1)
	}
	g.observer.look()
}

func (g *guarded) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := guardedApply(ctx, ctx, g.breaker, g.Driver, ops)
	if err != nil {
		g.noteRefusal(err)
	}
	return results, err
}

func (g *guarded) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	items, err := guardedTake(ctx, ctx, g.breaker, g.Driver, queue, most)
	if err != nil {
		g.noteRefusal(err)
	}
	return items, err
}

// Close implements [storage.Driver].
func (g *guarded) Close() error {
	g.close.Do(func() {
		g.stop()
		g.stopped.Wait()
		g.err = g.Driver.Close()
	})
	return g.err
}

func (g *guarded) CircuitBreakerStats() []breaker.Stats {
	return []breaker.Stats{g.breaker.Stats()}
}

// UsingFallback is false always: a guarded driver has none.
func (g *guarded) UsingFallback() bool { return false }

func (g *guarded) ResetCircuitBreaker() {
	g.breaker.Reset()
	g.observer.look()
}

// BreakerChanged says that the breaker has changed its state. It never blocks.
func (g *guarded) BreakerChanged() { g.observer.look() }

func (g *guarded) Status() Status {
	reasons := breakerReasons(g.breaker)
	return Status{Degraded: reasons != nil, Reasons: reasons}
}

func (g *guarded) OnStatus(fn func(Status)) (cancel func()) { return g.observer.subscribe(fn) }
