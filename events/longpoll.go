package events

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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

// longPoll is one of them, about one session or several.
type longPoll struct {
	replaced  chan struct{} // closed when another takes its place
	notBefore time.Time     // for its answer
	ended     bool          // replaced is closed
	answered  time.Time     // zero: it is under way
}

// enter begins a long poll, and ends those that the client has about one of the
// sessions. Each session counts against limit.
func (l *longPolls) enter(client pollClient, sessions []string, limit int) (*longPoll, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := 0
	for _, session := range sessions {
		if l.flights[longPollKey{client, session}] == nil {
			fresh++
		}
	}
	if fresh > 0 && len(l.flights)+fresh > limit {
		return nil, errLongPolls
	}
	if l.flights == nil {
		l.flights = make(map[longPollKey]*longPoll)
	}
	p := &longPoll{replaced: make(chan struct{})}
	for _, session := range sessions {
		key := longPollKey{client, session}
		if old := l.flights[key]; old != nil {
			old.end()
			p.waitFor(old)
		}
		l.flights[key] = p
	}
	l.waiting++
	return p, nil
}

// held is how many long polls wait.
func (l *longPolls) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// end lets a poll that is under way be answered at once.
func (p *longPoll) end() {
	if p.answered.IsZero() && !p.ended {
		p.ended = true
		close(p.replaced)
	}
}

// waitFor keeps the distance from an answer that has been given.
func (p *longPoll) waitFor(old *longPoll) {
	if old.answered.IsZero() {
		return
	}
	if next := old.answered.Add(longPollPause); next.After(p.notBefore) {
		p.notBefore = next
	}
}

// leave notes that a long poll is answered.
func (l *longPolls) leave(client pollClient, sessions []string, p *longPoll) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.answered = time.Now()
	l.waiting--
	time.AfterFunc(longPollPause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, session := range sessions {
			if key := (longPollKey{client, session}); l.flights[key] == p {
				delete(l.flights, key)
			}
		}
	})
}

// watchman is told whenever something may have come into one of some sessions, at
// most 64.
type watchman struct {
	where atomic.Uint64 // a bit for each session into which something has come
	came  chan struct{}
	over  chan struct{} // it is not told any more
}

func newWatchman() *watchman {
	return &watchman{came: make(chan struct{}, 1), over: make(chan struct{}, 1)}
}

func (f *watchman) end() { tell(f.over) }

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (f *watchman) confirm(*subscriber, confirmation) {}
func (f *watchman) failed(*subscriber, error)         { f.end() }
func (f *watchman) client() Client                    { return Client{} }

// watch is the way in which the watchman is told of session i.
func (f *watchman) watch(i int, l Limits) *outbox {
	return &outbox{
		maxBytes: l.MaxQueueBytes, maxFrames: l.MaxQueueFrames, full: f.end,
		wake: func() {
			f.where.Or(1 << i)
			tell(f.came)
		},
	}
}

// followed is a set of sessions by their number.
type followed uint64

func (s followed) has(i int) bool { return s&(1<<i) != 0 }

// follow calls read until it has something to answer, or one of the ends is
// reached: of ctx, of the hub, or by ended. Read is told which sessions to look
// into: at first all, then those into which something has come since, or of which
// it has said that storage showed them incompletely, once it shows all.
func (h *Hub) follow(ctx context.Context, sessions []string, ended <-chan struct{}, read func(followed) (done bool, incomplete followed)) {
	for h.followOnce(ctx, sessions, ended, read) {
	}
}

// followOnce answers whether to begin anew: so much came at once that not all of it
// was told.
func (h *Hub) followOnce(ctx context.Context, sessions []string, ended <-chan struct{}, read func(followed) (done bool, incomplete followed)) (again bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f, l := newWatchman(), h.Limits()
	boxes, subs := make([]*outbox, len(sessions)), make([]*subscriber, len(sessions))
	heads := make([]<-chan struct{}, len(sessions))
	for i, session := range sessions {
		boxes[i] = f.watch(i, l)
		s := &subscriber{sink: f, enc: encodeStream, replays: make(chan struct{}, 1), out: boxes[i]}
		subs[i] = s
		created := h.register(ctx, session, s)
		defer h.leave(s)
		h.begin(s, created)
		heads[i] = s.topic.ready
	}
	for _, known := range heads { // what comes before is behind the head that is read then
		select {
		case <-known:
		case <-ctx.Done():
		case <-ended:
		case <-h.ctx.Done():
		}
	}
	for look := ^followed(0); ; {
		done, incomplete := read(look)
		if done {
			return false
		}
		for i, s := range subs {
			if incomplete.has(i) {
				s.wakeWhenWhole()
			}
		}
		h.at("waiting")
		select {
		case <-f.came:
			look = followed(f.where.Swap(0))
			for i, box := range boxes {
				if look.has(i) {
					box.discard()
				}
			}
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
}

// longPoll waits until something has arrived in one of the sessions, and reads it.
// Of an error it says, where that is of one of them, of which.
func (s *Site) longPoll(r *http.Request, client pollClient, ps *polls, g Grant) (of string, err error) {
	flight, err := s.Hub.longPolls.enter(client, ps.sessions, s.Hub.Limits().MaxPolls)
	if err != nil {
		return "", err
	}
	defer s.Hub.longPolls.leave(client, ps.sessions, flight)
	waiting, held, release := s.Hub.hold(r.Context(), g, len(ps.sessions))
	defer release()
	ctx, cancel := context.WithTimeout(waiting, ps.wait)
	defer cancel()
	s.Hub.follow(ctx, ps.sessions, flight.replaced, func(look followed) (came bool, incomplete followed) {
		select { // in portions
		case <-time.After(time.Until(flight.notBefore)):
		case <-flight.replaced:
		}
		for i := range ps.sessions {
			if !look.has(i) {
				continue
			}
			s.Hub.at("reading")
			err = s.readPoll(r, ps, i)
			if s.Hub.at("read"); err != nil {
				of = ps.sessions[i]
				return true, 0
			}
			came = came || ps.tells(i)
			if ps.pages[i].Degraded {
				incomplete |= 1 << i
			}
		}
		return came, incomplete
	})
	if err != nil {
		return of, err
	}
	for _, session := range ps.sessions {
		if err := s.Hub.stillMay(waiting, held, session, useRead); err != nil {
			return session, err
		}
	}
	return "", nil
}
