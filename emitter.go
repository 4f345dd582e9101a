package lifeline

import (
	"context"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// The events that Caddy's events app is told of, and what handlers may bind to.
const (
	eventBreakerOpened     = "lifeline_breaker_opened"
	eventBreakerHalfOpened = "lifeline_breaker_half_opened"
	eventBreakerClosed     = "lifeline_breaker_closed"
	eventStorageDegraded   = "lifeline_storage_degraded"
	eventStorageRecovered  = "lifeline_storage_recovered"
	eventWatcherFailed     = "lifeline_watcher_failed"
	eventWatcherRecovered  = "lifeline_watcher_recovered"
)

// maxEvents is how many events wait for a slow handler; further ones are dropped,
// and a warning says how many.
const maxEvents = 256

// emit hands one event to the events app of one configuration.
type emit func(name string, data map[string]any)

// newEmit is provisioned with a configuration. started is called when all apps of
// the configuration have started; the events app must be told nothing before,
// since apps start in any order and it reads its handlers when it starts.
func newEmit(ctx caddy.Context, started func()) (emit, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	eventsApp := app.(*caddyevents.App)
	if err := eventsApp.On("started", onStarted{started}); err != nil {
		return nil, err
	}
	return func(name string, data map[string]any) { eventsApp.Emit(ctx, name, data) }, nil
}

// onStarted handles Caddy's own event.
type onStarted struct{ fn func() }

// Handle implements caddyevents.Handler.
func (s onStarted) Handle(context.Context, caddy.Event) error {
	s.fn()
	return nil
}

// emitter carries events to the current configuration's events app, one after the
// other and from a goroutine of its own: handlers run in it, for as long as they
// like, and what happened must not wait for them. Events wait for the first set.
type emitter struct {
	target  atomic.Pointer[emit]
	ready   chan struct{} // closed when target is set
	once    sync.Once     // closes it
	queue   chan emitted
	dropped atomic.Uint64
	logger  *zap.Logger
	stop    chan struct{}
	stopped sync.WaitGroup
}

type emitted struct {
	name string
	data map[string]any
}

func newEmitter(logger *zap.Logger) *emitter {
	e := &emitter{queue: make(chan emitted, maxEvents), ready: make(chan struct{}), logger: logger, stop: make(chan struct{})}
	e.stopped.Go(e.run)
	return e
}

// set directs events to another configuration.
func (e *emitter) set(to emit) {
	e.target.Store(&to)
	e.once.Do(func() { close(e.ready) })
}

// add never blocks. data must not be changed afterwards.
func (e *emitter) add(name string, data map[string]any) {
	select {
	case e.queue <- emitted{name, data}:
	default:
		if e.dropped.Add(1) == 1 {
			e.logger.Warn("an event handler is too slow: events for it are dropped")
		}
	}
}

func (e *emitter) run() {
	select {
	case <-e.stop:
		return
	case <-e.ready:
	}
	for {
		select {
		case <-e.stop:
			return
		case ev := <-e.queue:
			(*e.target.Load())(ev.name, ev.data)
		}
		if n := e.dropped.Load(); n > 0 && len(e.queue) == 0 {
			e.dropped.Add(-n)
			e.logger.Warn("events were dropped", zap.Uint64("dropped", n))
		}
	}
}

// close ends the goroutine, after a handler that is running.
func (e *emitter) close() {
	close(e.stop)
	e.stopped.Wait()
}
