package lifeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// runtimes holds what outlives a configuration, by hub name: one reference per
// configuration that has the hub.
var runtimes = caddy.NewUsagePool()

func holdRuntime(name string) *runtime {
	value, _ := runtimes.LoadOrStore(name, newRuntime(name))
	return value.(*runtime)
}

func releaseRuntime(name string) error {
	_, err := runtimes.Delete(name)
	return err
}

// runtime is a hub as it runs: storage, connections, watchers. It knows no
// caddy.Context and no configuration's logger, since it outlives both.
type runtime struct {
	name      string
	relay     *relay
	logger    *zap.Logger
	telemetry *telemetry
	polls     *events.PollLimiter
	started   chan struct{} // closed when hub is set
	hub       atomic.Pointer[events.Hub]
	watcher   atomic.Pointer[breakerWatcher]

	mu       sync.Mutex // guards what follows, and start against stop
	users    []*Hub     // the configurations that have started it, oldest first
	storage  resilient.Storage
	driver   string             // its name
	breakers []*breaker.Breaker // none, one, or one for each lane of the storage
	backend  *backend
	key      string
	watchers *watchers
}

// backend is what a hub sees of storage.
type backend struct {
	resilient.Storage
	// now is the store with the settings in force.
	now    atomic.Pointer[storage.Store]
	census *storage.Census
	end    context.CancelFunc // of the census
	ended  chan struct{}      // closed when it has
}

// newBackend counts what the storage holds until close.
func newBackend(s resilient.Storage, logger *zap.Logger) *backend {
	ctx, end := context.WithCancel(context.Background())
	b := &backend{Storage: s, census: storage.NewCensus(s), end: end, ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		if err := b.census.Run(ctx); err != nil {
			logger.Warn("max_logs does not hold: this storage does not count what it has", zap.Error(err))
		}
	}()
	return b
}

// close ends the counting; the storage goes on.
func (b *backend) close() {
	b.end()
	<-b.ended
}

// apply makes the settings of a configuration those in force.
func (b *backend) apply(h *Hub) {
	b.census.SetMax(h.MaxLogs)
	b.now.Store(&storage.Store{
		Driver: b.Storage, History: h.history(), MaxSessions: h.maxSessions(), Census: b.census,
	})
}

func (b *backend) store() *storage.Store { return b.now.Load() }

// Records implements events.Backend.
func (b *backend) Records() *storage.Store { return b.store() }

// AddEvent implements storage.Events.
func (b *backend) AddEvent(ctx context.Context, session, id string, data []byte) (storage.Result, error) {
	return b.store().AddEvent(ctx, session, id, data)
}

// AddEvents implements storage.Events.
func (b *backend) AddEvents(ctx context.Context, events []storage.NewEvent) []storage.Result {
	return b.store().AddEvents(ctx, events)
}

// ReadEvents implements storage.Events.
func (b *backend) ReadEvents(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	return b.store().ReadEvents(ctx, session, q)
}

// Growth implements storage.Events.
func (b *backend) Growth(ctx context.Context, fn func(session string)) error {
	return b.store().Growth(ctx, fn)
}

func newRuntime(name string) *runtime {
	r := newRelay()
	logger := zap.New(r)
	return &runtime{
		name: name, relay: r, logger: logger, polls: events.NewPollLimiter(), started: make(chan struct{}),
	}
}

// start opens the storage, when it is not open, and applies the settings of h.
func (rt *runtime) start(h *Hub, logger *zap.Logger) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.storage == nil {
		rt.relay.set(logger)
		if err := rt.open(h); err != nil {
			return err
		}
	}
	if rt.key != h.key {
		return errors.New("its storage, breaker or journal settings differ from those it is running with; " +
			"these take effect at a restart, not by a reload (the running hub goes on unchanged)")
	}
	h.logger = logger
	rt.users = append(rt.users, h)
	rt.apply(h)
	rt.readmit() // until the older one has stopped, whom either admits may stay
	return nil
}

// open makes storage and hub for the first configuration.
func (rt *runtime) open(h *Hub) error {
	driver, err := h.storage.Open(rt.name, rt.logger.With(sourceStorage))
	if err != nil {
		return fmt.Errorf("open %s storage: %w", h.info.Driver, err)
	}
	t := newTelemetry(rt.name, rt.logger)
	if rt.breakers, err = newBreakers(h, driver, rt.logger, t, rt.breakerChanged); err != nil {
		t.emitter.close()
		return errors.Join(err, driver.Close())
	}
	if rt.storage, err = protect(driver, rt.name, h, rt.breakers, rt.logger); err != nil {
		closeBreakers(rt.breakers)
		t.emitter.close()
		return errors.Join(err, driver.Close())
	}
	rt.telemetry = t
	rt.storage.OnStatus(t.status) // until the storage is closed
	if w, ok := rt.storage.(breakerWatcher); ok {
		rt.watcher.Store(&w)
	}
	rt.key, rt.driver = h.key, h.info.Driver
	rt.backend = newBackend(rt.storage, rt.logger.With(sourceStorage))
	rt.backend.apply(h)
	rt.watchers = newWatchers(rt)
	rt.hub.Store(events.New(events.Config{
		Backend: rt.backend, Driver: h.info.Driver, Limits: h.limits(),
		Logger: rt.logger.With(sourceHub), Watchers: rt.watchers.json,
	}))
	close(rt.started)
	return nil
}

// breakerWatcher is storage whose status depends on its breakers.
type breakerWatcher interface{ BreakerChanged() }

// breakerChanged is called by the breakers' hooks, which may run before the storage
// around them is made.
func (rt *runtime) breakerChanged() {
	if w := rt.watcher.Load(); w != nil {
		(*w).BreakerChanged()
	}
}

// apply makes the settings of one configuration the current ones.
func (rt *runtime) apply(h *Hub) {
	rt.relay.set(h.logger)
	rt.backend.apply(h)
	rt.hub.Load().SetLimits(h.limits())
	rt.hub.Load().SetLifecycleBroadcast(!h.LifecycleBroadcastOff)
	rt.watchers.apply(h.Watches)
}

// stop takes a configuration off. If it was the current one, as when a later app
// of the same configuration fails to start, the one before it is applied again;
// otherwise the newer one has been accepted, and connections that it would not
// admit are closed.
func (rt *runtime) stop(h *Hub) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	i := slices.Index(rt.users, h)
	if i < 0 {
		return nil // it never started
	}
	wasCurrent := i == len(rt.users)-1
	rt.users = slices.Delete(rt.users, i, i+1)
	if len(rt.users) == 0 {
		return nil
	}
	if wasCurrent {
		before := rt.users[len(rt.users)-1]
		rt.apply(before)
		rt.telemetry.emitter.set(before.emit)
	}
	rt.readmit()
	return nil
}

// emitBy has events told by the events app of a configuration that has started.
func (rt *runtime) emitBy(h *Hub) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if len(rt.users) > 0 && rt.users[len(rt.users)-1] == h {
		rt.telemetry.emitter.set(h.emit)
	}
}

// readmit closes the connections that no site of a running configuration would
// admit, now and as they come.
func (rt *runtime) readmit() {
	var sites []*events.Site
	for _, h := range rt.users {
		sites = append(sites, h.sites...)
	}
	rt.hub.Load().Readmit(func(p events.Peer) (events.Grant, int, string) { return admit(sites, p) })
}

// admit answers what the sites of the hub together let a peer do, and the close code
// for one whom none admits, or 0.
func admit(sites []*events.Site, p events.Peer) (all events.Grant, code int, reason string) {
	code, reason = events.CloseForbidden, "no site serves this hub any more"
	for _, s := range sites {
		g, refusal := s.Readmit(p)
		switch {
		case refusal == nil:
			all.Peer, all.Read = p, true
			all.Write, all.All = all.Write || g.Write, all.All || g.All
		case !all.Read:
			code, reason = refusal.Code, refusal.Reason
		}
	}
	if all.Read {
		return all, 0, ""
	}
	return all, code, reason
}

// ready answers the hub, waiting for its start for at most d.
func (rt *runtime) ready(ctx context.Context, d time.Duration) *events.Hub {
	if hub := rt.hub.Load(); hub != nil {
		return hub
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-rt.started:
	case <-ctx.Done():
	}
	return rt.hub.Load()
}

// closeConnections ends all WebSockets and streams of the hub, whichever
// configuration they came by.
func (rt *runtime) closeConnections() {
	if hub := rt.hub.Load(); hub != nil {
		hub.Close()
	}
}

// Destruct implements caddy.Destructor: nobody has the hub any more.
func (rt *runtime) Destruct() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.storage == nil {
		return nil
	}
	rt.watchers.stop()
	rt.closeConnections()
	rt.backend.close()
	err := rt.storage.Close()
	closeBreakers(rt.breakers)
	rt.telemetry.emitter.close()
	if err != nil {
		return fmt.Errorf("hub %s: close storage: %w", rt.name, err)
	}
	return nil
}

// running answers the storage, or nil before the start. It takes no lock: a start
// or reload under way may take long.
func (rt *runtime) running() resilient.Storage {
	if rt.hub.Load() == nil {
		return nil
	}
	return rt.storage // set before the hub, and never again
}

// marshalAll is a list for the health page.
func marshalAll[T any](list []T) []json.RawMessage {
	out := make([]json.RawMessage, 0, len(list))
	for _, v := range list {
		if b, err := json.Marshal(v); err == nil {
			out = append(out, b)
		}
	}
	return out
}

var _ caddy.Destructor = (*runtime)(nil)
