package lifeline

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// backend is what a hub sees of storage: whichever is open, with the settings in
// force. Its methods are those of [events.Backend].
type backend struct {
	now atomic.Pointer[view]

	mu     sync.Mutex // guards what follows, and changes of now
	tell   func(resilient.Status)
	cancel func() // what tells tell
}

// view is one storage with one configuration's settings.
type view struct {
	*opened

	store *storage.Store
	// held is closed once there is another view, for which everybody is to wait; nil:
	// this one can be used.
	held chan struct{}
}

// view is the one in force.
func (b *backend) view() *view {
	for {
		v := b.now.Load()
		if v.held == nil {
			return v
		}
		<-v.held
	}
}

// set has the hub see a storage with the settings of h.
func (b *backend) set(o *opened, h *Hub) {
	o.census.SetMax(h.MaxLogs)
	last := b.now.Swap(&view{opened: o, store: &storage.Store{
		Driver: o.storage, History: h.history(), MaxSessions: h.maxSessions(), Census: o.census,
	}})
	if last != nil && last.opened != o {
		b.follow(o.storage)
	}
	if last != nil && last.held != nil {
		close(last.held)
	}
}

// hold lets all calls that are to come wait until set.
func (b *backend) hold() {
	v := *b.now.Load()
	v.held = make(chan struct{})
	b.now.Store(&v)
}

func (b *backend) store() *storage.Store { return b.view().store }

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

// CircuitBreakerStats implements events.Backend.
func (b *backend) CircuitBreakerStats() []breaker.Stats {
	return b.view().storage.CircuitBreakerStats()
}

// UsingFallback implements events.Backend.
func (b *backend) UsingFallback() bool { return b.view().storage.UsingFallback() }

// Status implements events.Backend.
func (b *backend) Status() resilient.Status { return b.view().storage.Status() }

// OnStatus implements events.Backend, for one hub: fn is told of whichever storage is
// in force.
func (b *backend) OnStatus(fn func(resilient.Status)) (cancel func()) {
	b.mu.Lock()
	b.tell = fn
	b.mu.Unlock()
	b.follow(b.view().storage)
	return func() {
		b.mu.Lock()
		b.tell = nil
		b.mu.Unlock()
		b.follow(nil)
	}
}

// follow has the hub told of the status of s, and of no other storage.
func (b *backend) follow(s resilient.Storage) {
	b.mu.Lock()
	cancel, tell := b.cancel, b.tell
	b.cancel = nil
	b.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if tell == nil || s == nil {
		return
	}
	tell(s.Status()) // a bare storage has nothing to tell
	cancel = s.OnStatus(tell)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel = cancel
}
