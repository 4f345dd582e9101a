package events

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

const (
	// longPollPause is the least time between two answers to one client about one
	// session, so that a session with much traffic is polled in portions.
	longPollPause = 250 * time.Millisecond
)

var errLongPolls = errors.New("too many long polls")

// longPolls are the long polls of a hub: one of each client about a session, and
// those that have been answered within longPollPause. The zero value is ready.
type longPolls struct {
	mu      sync.Mutex // guards what follows
	flights map[longPollKey]*longPoll
	waiting int // not answered yet
}

type longPollKey struct {
	client  pollClient
	session string
}

// longPoll is one of them.
type longPoll struct {
	replaced  chan struct{} // closed when another takes its place
	notBefore time.Time     // for its answer
	answered  time.Time     // zero: it is under way
}

// enter begins a long poll, and ends the one that the client has about the session.
func (l *longPolls) enter(key longPollKey, limit int) (*longPoll, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &longPoll{replaced: make(chan struct{})}
	switch old := l.flights[key]; {
	case old == nil && len(l.flights) >= limit:
		return nil, errLongPolls
	case old == nil:
	case old.answered.IsZero():
		close(old.replaced)
	default:
		p.notBefore = old.answered.Add(longPollPause)
	}
	if l.flights == nil {
		l.flights = make(map[longPollKey]*longPoll)
	}
	l.flights[key] = p
	l.waiting++
	return p, nil
}

// held is how many long polls wait.
func (l *longPolls) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// leave notes that a long poll is answered.
func (l *longPolls) leave(key longPollKey, p *longPoll) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.answered = time.Now()
	l.waiting--
	time.AfterFunc(longPollPause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.flights[key] == p {
			delete(l.flights, key)
		}
	})
}

// watchman is told whenever something may have come into a session.
type watchman struct {
	came chan struct{}
	over chan struct{} // it is not told any more
}

func newWatchman() *watchman {
	return &watchman{came: make(chan struct{}, 1), over: make(chan struct{}, 1)}
}

func (f *watchman) tell() { tell(f.came) }
func (f *watchman) end()  { tell(f.over) }

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (f *watchman) confirm(*subscriber, confirmation) {}
func (f *watchman) failed(*subscriber, error)         { f.end() }
func (f *watchman) client() Client                    { return Client{} }

// follow calls read until it has something to answer, or one of the ends is
// reached: of ctx, of wait, of the hub, or by ended. Every time it is called again
// something has come into the session since the last time.
func (h *Hub) follow(ctx context.Context, session string, ended <-chan struct{}, read func() (done bool)) {
	for h.followOnce(ctx, session, ended, read) {
	}
}

// followOnce answers whether to begin anew: so much came at once that not all of it
// was told.
func (h *Hub) followOnce(ctx context.Context, session string, ended <-chan struct{}, read func() (done bool)) (again bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f, l := newWatchman(), h.Limits()
	s := &subscriber{
		sink: f, enc: encodeStream, replays: make(chan struct{}, 1),
		out: &outbox{maxBytes: l.MaxQueueBytes, maxFrames: l.MaxQueueFrames, wake: f.tell, full: f.end},
	}
	created := h.register(ctx, session, s)
	defer h.leave(s)
	h.begin(s, created)
	select { // what comes before is behind the head that is read then
	case <-s.topic.ready:
	case <-ctx.Done():
	case <-ended:
	case <-h.ctx.Done():
	}
	for !read() {
		h.at("waiting")
		select {
		case <-f.came:
			s.out.discard()
		case <-f.over:
			return true
		case <-ctx.Done():
			return false
		case <-ended:
			return false
		case <-h.ctx.Done():
			return false
		}
	}
	return false
}

// longPoll answers a poll that waits until something has arrived.
func (s *Site) longPoll(w http.ResponseWriter, r *http.Request, session string, q pollQuery, g Grant) {
	key := longPollKey{newPollClient(s.who(g.Peer), g.Peer.IP), session}
	flight, err := s.Hub.longPolls.enter(key, s.Hub.Limits().MaxPolls)
	if err != nil {
		s.Hub.meet(LimitPolls)
		writeError(w, http.StatusServiceUnavailable, apiError{
			Error:   "too many long polls",
			Message: "as many wait as max_polls lets; poll without wait, or use a stream or a WebSocket",
		})
		return
	}
	defer s.Hub.longPolls.leave(key, flight)
	waiting, held, release := s.Hub.hold(r.Context(), g)
	defer release()
	ctx, cancel := context.WithTimeout(waiting, q.wait)
	defer cancel()
	var page filtered
	s.Hub.follow(ctx, session, flight.replaced, func() bool {
		select { // in portions
		case <-time.After(time.Until(flight.notBefore)):
		case <-flight.replaced:
		}
		s.Hub.at("reading")
		page, err = s.readPage(r, session, q.lq, q.types)
		s.Hub.at("read")
		return err != nil || len(page.Entries) > 0 || page.Gap
	})
	if err != nil {
		s.writeStorageError(w, r, err)
		return
	}
	if err := s.Hub.stillMay(waiting, held, session, useRead); err != nil {
		s.writeFailure(w, r, err)
		return
	}
	s.writePoll(w, r, session, q, page)
}

// pollQuery is what a poll asks for.
type pollQuery struct {
	lq    storage.LogQuery
	types typeFilter
	wait  time.Duration
}
