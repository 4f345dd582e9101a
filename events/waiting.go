package events

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// waitingRequest is a request that waits for something to come: a long poll, or one for input.
// It counts with no limit on connections, but is judged again after a reload as they
// are.
type waitingRequest struct {
	peer   Peer
	opened time.Time
	polled int // how many sessions it polls; 0: it is no poll
	may    atomic.Pointer[Grant]
	cancel context.CancelCauseFunc
}

func (r *waitingRequest) identity() Peer { return r.peer }

func (r *waitingRequest) granted() Grant { return *r.may.Load() }

func (r *waitingRequest) grant(g Grant) { r.may.Store(&g) }

// end has the request answered with the status that belongs to the close code.
func (r *waitingRequest) end(code int, reason string, _ bool) {
	refusal := Refusal{Status: http.StatusForbidden, Reason: reason}
	if code == CloseUnauthenticated {
		refusal.Status = http.StatusUnauthorized
	}
	r.cancel(&refusedError{refusal.Status, refusal.problem()})
}

func (r *waitingRequest) abort() { r.cancel(errHubClosed) }

// waitingRequests knows them. The zero value is ready.
type waitingRequests struct {
	mu  sync.Mutex // guards what follows
	all map[*waitingRequest]struct{}
}

func (l *waitingRequests) add(r *waitingRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[*waitingRequest]struct{})
	}
	l.all[r] = struct{}{}
}

func (l *waitingRequests) remove(r *waitingRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, r)
}

func (l *waitingRequests) list() []member {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]member, 0, len(l.all))
	for r := range l.all {
		list = append(list, r)
	}
	return list
}

// hold makes a request known that is to wait, for something to come into as many
// sessions as it polls. Its context ends when the client is no longer admitted, with a
// [refusedError] as cause. release must be called.
func (h *Hub) hold(ctx context.Context, g Grant, polled int) (waiting context.Context, r *waitingRequest, release func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	r = &waitingRequest{peer: g.Peer, opened: h.now(), polled: polled, cancel: cancel}
	r.grant(g)
	h.waiting.add(r)
	if j := h.judge.Load(); j != nil { // see enroll
		h.rejudge(r, *j)
	}
	return waiting, r, func() {
		h.waiting.remove(r)
		cancel(nil)
	}
}

// Hold makes a request known that stays open beside the hub's own routes, such as one
// that follows the hub's status. Its context ends when the client is no longer
// admitted; granted answers what it may do now. release must be called.
func (h *Hub) Hold(ctx context.Context, g Grant) (held context.Context, granted func() Grant, release func()) {
	held, r, release := h.hold(ctx, g, 0)
	return held, r.granted, release
}

// stillMay reports why a held request may not be answered: its client is no longer
// admitted, or the session has become another user's while it waited.
func (h *Hub) stillMay(waiting context.Context, r *waitingRequest, session string, to use) error {
	if refused, ok := context.Cause(waiting).(*refusedError); ok { //nolint:errorlint // a cause is not wrapped
		return refused
	}
	return h.authorize(context.WithoutCancel(waiting), r.granted(), session, to)
}
