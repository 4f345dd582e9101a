package events

import (
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// statusPayload is what clients are told of the storage's state. Reasons tell no
// address.
type statusPayload struct {
	Degraded bool           `json:"degraded"`
	Reasons  []string       `json:"reasons"`
	Breakers []breakerState `json:"breakers"`
	Pending  int            `json:"pending"` // at that time; it tells of no change by itself
}

type breakerState struct {
	Name  string        `json:"name"`
	State breaker.State `json:"state"`
}

func (p statusPayload) same(q statusPayload) bool {
	return p.Degraded == q.Degraded && slices.Equal(p.Reasons, q.Reasons) && slices.Equal(p.Breakers, q.Breakers)
}

// statusTeller tells all connections of changes. The first one is told at once;
// those that come within intervals.status of the last telling are told together
// after it, as the state then is, so that breakers that flap cost little however
// many connections there are.
type statusTeller struct {
	wake chan struct{} // holds one place: something may have changed

	mu     sync.Mutex // guards what follows; taken after a topic's mu, before an outbox's
	last   statusPayload
	frame  []byte // of last, for WebSockets
	stream []byte // and for streams
}

func (t *statusTeller) set(p statusPayload) {
	message := struct {
		Type    string        `json:"type"`
		Payload statusPayload `json:"payload"`
	}{"status", p}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = p
	t.frame = putHeader(appendJSON(make([]byte, maxHeader), message), 0)
	// Without an id: the stream resumes from where it is.
	t.stream = append(appendJSON([]byte("event: lifeline.status\ndata: "), p), "\n\n"...)
}

// statusNow asks storage.
func (h *Hub) statusNow() statusPayload {
	s := h.cfg.Backend.Status()
	p := statusPayload{
		Degraded: s.Degraded, Pending: s.Pending,
		Reasons: append([]string{}, s.Reasons...), Breakers: []breakerState{}, // lists are never null
	}
	for _, b := range h.cfg.Backend.CircuitBreakerStats() {
		p.Breakers = append(p.Breakers, breakerState{b.Name, b.State})
	}
	return p
}

// statusChanged has clients told, soon. It does not block.
func (h *Hub) statusChanged() { tell(h.status.wake) }

// followStatus tells of what it is woken for. Storage tells of a change once, and by
// the time that it is looked at here the state may be another one for a moment, and
// then again what storage has told of: so each look is followed by a second one.
func (h *Hub) followStatus() {
	var second <-chan time.Time
	for {
		woken := false
		select {
		case <-h.status.wake:
			woken = true
		case <-second:
		case <-h.ctx.Done():
			return
		}
		second = nil
		told := h.tellStatus()
		if told {
			select {
			case <-time.After(h.times.status):
			case <-h.ctx.Done():
				return
			}
		}
		if woken || told {
			second = time.After(h.times.status)
		}
	}
}

// tellStatus tells every connection of the status if it is another one than the
// last.
func (h *Hub) tellStatus() (changed bool) {
	p, t := h.statusNow(), &h.status
	if p.same(t.last) { // nobody else writes it
		return false
	}
	t.set(p)
	// Whoever comes from now on sees it in meetStatus.
	var targets []*outbox
	for _, m := range h.connections.all() {
		switch m := m.(type) {
		case *wsConn:
			m.out.tell(t.frame)
			targets = append(targets, &m.out)
		case *stream:
			if m.open.Load() {
				m.out.tell(t.stream)
				targets = append(targets, &m.out)
			}
		}
	}
	flushAll(targets)
	return true
}

// greet queues the status for a WebSocket that is enrolled, where all is not well or
// its hello said so.
func (c *wsConn) greet(degraded bool) {
	t := &c.hub.status
	t.mu.Lock()
	defer t.mu.Unlock()
	if degraded || t.last.Degraded {
		c.out.tell(t.frame)
	}
}

// greet tells a stream that has begun of the status, where all is not well, and has it
// told of changes from now on.
func (st *stream) greet() {
	t := &st.hub.status
	st.open.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.Degraded {
		st.out.tell(t.stream)
		st.out.kick()
	}
}
