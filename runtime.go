package lifeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

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
	started   chan struct{} // closed when the first settings stand
	hub       atomic.Pointer[events.Hub]
	backend   *backend // set before hub, and never again
	formers   formers
	watchers  *watchers
	calls     storage.Calls // of the drivers beneath breaker and journal
	feed      *statusFeed   // set before hub, and never again

	mu     sync.Mutex // guards what follows, and start against stop
	users  []*Hub     // the configurations that have started it, oldest first
	next   *opened    // of the last of them, until that is accepted; nil: the one in force
	untell func()     // ends what tells telemetry of the storage's status
}

func newRuntime(name string) *runtime {
	r := newRelay()
	logger := zap.New(r)
	return &runtime{
		name: name, relay: r, logger: logger, polls: events.NewPollLimiter(), started: make(chan struct{}),
		formers: formers{logger: logger},
	}
}

// start opens the storage, when it is not open, and applies the settings of h.
func (rt *runtime) start(h *Hub, logger *zap.Logger) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	first := rt.hub.Load() == nil
	switch {
	case first:
		rt.relay.set(logger)
		if err := rt.open(h); err != nil {
			return err
		}
	case rt.opened().by.key != h.key:
		if err := rt.prepare(h); err != nil {
			return fmt.Errorf("change its storage: %w (the running hub goes on unchanged)", err)
		}
	}
	h.logger = logger
	rt.users = append(rt.users, h)
	rt.apply(h)
	if first {
		close(rt.started) // requests that came before now meet the settings
	}
	rt.readmit() // until the older one has stopped, whom either admits may stay
	return nil
}

// opened is the storage in force.
func (rt *runtime) opened() *opened { return rt.backend.now.Load().opened }

// open makes storage and hub for the first configuration.
func (rt *runtime) open(h *Hub) error {
	rt.telemetry = newTelemetry(rt.name, rt.logger)
	o, err := rt.openStorage(h)
	if err != nil {
		rt.telemetry.emitter.close()
		return err
	}
	rt.backend = new(backend)
	rt.install(o, h)
	rt.watchers = newWatchers(rt, h)
	hub := events.New(events.Config{
		Backend: rt.backend, Driver: h.info.Driver, Limits: h.limits(),
		Logger: rt.logger.With(sourceHub), Watchers: rt.watchers.health, Directories: rt.watchers,
	})
	rt.feed = newStatusFeed(rt, hub)
	rt.hub.Store(hub)
	return nil
}

// apply makes the settings of one configuration the current ones.
func (rt *runtime) apply(h *Hub) {
	rt.relay.set(h.logger)
	rt.backend.set(rt.opened(), h)
	rt.hub.Load().SetLimits(h.limits())
	rt.hub.Load().SetLifecycleBroadcast(!h.LifecycleBroadcastOff)
	rt.watchers.apply(h)
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
	current := rt.users[len(rt.users)-1]
	if !wasCurrent {
		rt.accept(current)
		rt.readmit()
		rt.hub.Load().CloseWithin(time.Duration(current.ReloadCloseDelay))
		return nil
	}
	err := rt.reject(current)
	rt.apply(current)
	rt.telemetry.emitter.set(current.emit)
	rt.readmit()
	return err
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
			all.Operate, all.Overview = all.Operate || g.Operate, all.Overview || g.Overview
		case !all.Read:
			code, reason = refusal.Code, refusal.Reason
		}
	}
	if all.Read {
		return all, 0, ""
	}
	return all, code, reason
}

// ready answers the hub once the first settings stand, waiting for them for at
// most d; nil without them. A hub alone would do what they are there to change.
func (rt *runtime) ready(ctx context.Context, d time.Duration) *events.Hub {
	select {
	case <-rt.started:
		return rt.hub.Load()
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-rt.started:
		return rt.hub.Load()
	case <-ctx.Done():
		return nil
	}
}

// closeConnections ends all WebSockets and streams of the hub, whichever
// configuration they came by.
func (rt *runtime) closeConnections() {
	if hub := rt.hub.Load(); hub != nil {
		rt.feed.endReaders()
		hub.Close()
	}
}

// Destruct implements caddy.Destructor: nobody has the hub any more.
func (rt *runtime) Destruct() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.hub.Load() == nil {
		return nil
	}
	rt.watchers.stop()
	rt.closeConnections()
	rt.feed.close()
	errs := []error{rt.opened().close(), rt.formers.close()}
	if rt.next != nil {
		errs = append(errs, rt.next.close())
	}
	rt.telemetry.emitter.close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("hub %s: %w", rt.name, err)
	}
	return nil
}

// running answers the storage, or nil before the start. It takes no lock: a start
// or reload under way may take long.
func (rt *runtime) running() resilient.Storage {
	if rt.hub.Load() == nil {
		return nil
	}
	return rt.opened().storage
}

// status is that of the storage, which also counts what former ones have to store.
func (rt *runtime) status() resilient.Status {
	s := rt.running().Status()
	for _, o := range rt.formers.all() {
		former := o.storage.Status()
		s.Pending += former.Pending
		s.JournalBytes += former.JournalBytes
	}
	return s
}

var _ caddy.Destructor = (*runtime)(nil)
