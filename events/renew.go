package events

import (
	"math/rand/v2"
	"time"
)

// CloseWithin has every connection that is open now closed, each at a moment of its
// own that is drawn by lot between d/2 and d from now, to a second: WebSockets with
// 1001, streams end. The clients come again by themselves and resume. A connection
// whose moment was drawn before keeps it; with 0 all are forgotten, and the
// connections stay.
func (h *Hub) CloseWithin(d time.Duration) { h.connections.closeWithin(d, h.now()) }

// closeDue closes the connections whose moment has come.
func (h *Hub) closeDue(now time.Time) {
	for _, m := range h.connections.takeDue(now) {
		m.end(closeGoingAway, awayReason(1), false)
	}
}

func (r *registry) closeWithin(d time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d <= 0 {
		r.due = nil
		return
	}
	if r.due == nil {
		r.due = make(map[member]time.Time)
	}
	for _, m := range r.members() {
		if _, drawn := r.due[m]; !drawn {
			r.due[m] = now.Add(d/2 + rand.N(d/2+1)) //nolint:gosec // it only spreads
		}
	}
}

// takeDue answers the connections whose moment has come, once.
func (r *registry) takeDue(now time.Time) (due []member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m, at := range r.due {
		if !now.Before(at) {
			due = append(due, m)
			delete(r.due, m)
		}
	}
	return due
}
