package events

import "sync"

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
}

// ring holds the latest broadcasts, numbered from 1.
type ring struct {
	mu      sync.Mutex // guards what follows
	number  uint64
	entries [recentBroadcasts]broadcastEntry
}

type broadcastEntry struct {
	session string
	d       *delivery
}

func (r *ring) add(session string, d *delivery) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	r.entries[r.number%recentBroadcasts] = broadcastEntry{session, d}
	return r.number
}

// between answers a session's broadcasts with numbers in (after, to].
func (r *ring) between(session string, after, to uint64) []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*delivery
	if r.number > recentBroadcasts {
		after = max(after, r.number-recentBroadcasts)
	}
	for n := after + 1; n <= to; n++ {
		if e := r.entries[n%recentBroadcasts]; e.session == session {
			found = append(found, e.d)
		}
	}
	return found
}

// broadcast gives an event to every WebSocket client who does not get it as a
// subscriber.
func (h *Hub) broadcast(session string, d *delivery) {
	h.broadcasts.mu.Lock()
	defer h.broadcasts.mu.Unlock()
	number := h.broadcasts.recent.add(session, d)
	frame := told(d, appendJSON(nil, session))
	for _, c := range h.connections.sockets() {
		c.lifecycle(number, session, d, frame)
	}
}
