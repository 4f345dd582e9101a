package resilient

import (
	"context"
	"sync"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// guarded puts a breaker before the writes of a driver.
type guarded struct {
	storage.Driver
	breaker  *breaker.Breaker
	observer *observer

	stop    chan struct{}
	stopped sync.WaitGroup
	close   sync.Once
	err     error // of Close
}

// NewGuarded puts b before the writes of d. While b is open, Apply answers a
// [*storage.UnavailableError] that says when to try again; reads always go
// through. Failures are a [*storage.UnavailableError] and a deadline that the
// driver itself has set. Nothing is acknowledged that d has not acknowledged.
//
// Close closes d, and not b. The answer also has a method BreakerChanged(), to
// be called from b's OnTransition hook; without it a transition that no write
// has caused is noticed at the next write.
func NewGuarded(d storage.Driver, b *breaker.Breaker) Storage {
	g := &guarded{Driver: d, breaker: b, stop: make(chan struct{})}
	g.observer = newObserver(g.Status, nil)
	g.stopped.Go(func() { g.observer.run(g.stop) })
	return g
}

func (g *guarded) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := guardedApply(ctx, ctx, g.breaker, g.Driver, ops)
	if err != nil {
		g.observer.look()
	}
	return results, err
}

func (g *guarded) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	items, err := guardedTake(ctx, g.breaker, g.Driver, queue, most)
	if err != nil {
		g.observer.look()
	}
	return items, err
}

// Close implements [storage.Driver].
func (g *guarded) Close() error {
	g.close.Do(func() {
		close(g.stop)
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
