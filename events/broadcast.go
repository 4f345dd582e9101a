package events

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lifecyclePrefix begins the types of events that go to every WebSocket client,
// subscribed to their session or not.
const lifecyclePrefix = "session:"

// recentBroadcasts is how many of them are remembered, so that a client who
// subscribes directly after one does not get it twice.
const recentBroadcasts = 64

// broadcaster hands lifecycle events out. Sessions begin and end rarely, so one
// lock over all clients is not in the way of other events.
type broadcaster struct {
	mu     sync.Mutex // held while clients are visited; taken before a connection's mu
	recent ring       // has a lock of its own
	// off: lifecycle events are for subscribers only.
	off atomic.Bool
}

// SetLifecycleBroadcast says whether lifecycle events, session:*, go to every
// WebSocket client who may read the session; otherwise only to those who follow it.
// Default: they do. It counts for the events that come after.
func (h *Hub) SetLifecycleBroadcast(on bool) { h.broadcasts.off.Store(!on) }

func (b *broadcaster) on() bool { return !b.off.Load() }

// ring holds the latest broadcasts, numbered from 1.
type ring struct {
	mu      sync.Mutex // guards what follows
	number  uint64
	entries [recentBroadcasts]broadcastEntry
}

type broadcastEntry struct {
	session string
	d       *delivery
	// everybody: it was also given to those who may not see all sessions, if they
	// may see this one. Otherwise its owner could not be found out.
	everybody bool
}

func (r *ring) add(e broadcastEntry) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	r.entries[r.number%recentBroadcasts] = e
	return r.number
}

// last is the number of the latest broadcast.
func (r *ring) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number
}

// between answers a session's broadcasts with numbers in (after, to] that a client
// was given, all says whether as one who may see all sessions.
func (r *ring) between(session string, after, to uint64, all bool) []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*delivery
	if r.number > recentBroadcasts {
		after = max(after, r.number-recentBroadcasts)
	}
	for n := after + 1; n <= to; n++ {
		if e := r.entries[n%recentBroadcasts]; e.session == session && (all || e.everybody) {
			found = append(found, e.d)
		}
	}
	return found
}

// broadcast gives an event to every WebSocket client who may see the session and
// does not get it as a subscriber. While its owner cannot be found out, only those
// get it who may see all sessions.
func (h *Hub) broadcast(session string, d *delivery) {
	is, known := h.audience(session)
	h.broadcasts.mu.Lock()
	defer h.broadcasts.mu.Unlock()
	number := h.broadcasts.recent.add(broadcastEntry{session, d, known})
	frame := told(d, appendJSON(nil, session))
	for _, c := range h.connections.sockets() {
		if g := c.granted(); g.All || known && is.mayUse(g) {
			c.lifecycle(number, session, d, frame)
		} else {
			c.passed(number)
		}
	}
}

// join makes a connection known, to whom the broadcasts behind this moment go. It
// answers false as [registry.add] does.
func (h *Hub) join(m member) bool {
	h.broadcasts.mu.Lock() // a broadcast is for it as a whole, or not
	defer h.broadcasts.mu.Unlock()
	if c, ok := m.(*wsConn); ok {
		c.born = h.broadcasts.recent.last()
		c.visited = c.born
	}
	return h.connections.add(m)
}

// audience answers the owner of a session, if anybody is connected for whom that
// matters.
func (h *Hub) audience(session string) (is owner, known bool) {
	limited := func(c *wsConn) bool { return !c.granted().All }
	if !slices.ContainsFunc(h.connections.sockets(), limited) {
		return owner{}, false
	}
	ctx, cancel := context.WithTimeout(h.ctx, audienceTimeout)
	defer cancel()
	is, err := h.owner(ctx, session)
	return is, err == nil
}

// audienceTimeout bounds what finding out the audience adds to a publish.
const audienceTimeout = time.Second
