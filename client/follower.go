package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// follower follows sessions for one loop: it opens connections one after the other, and
// hands out what comes.
//
// It begins with the best transport, level 0. When that has failed often enough it
// serves the next level, and tries the better ones meanwhile.
type follower struct {
	options    Options
	s          Subscription
	sessions   *sessions
	http       *http.Client
	transports []Transport // by level
	open       func(ctx context.Context, t Transport) (link, error)
	out        chan notice // to who iterates

	failures int // attempts in a row at better levels; see climb

	mu       sync.Mutex // guards what follows
	status   Status
	degraded bool
}

// notice is an event, or a call.
type notice struct {
	event Event
	tell  func()
}

// link is an open connection.
type link interface {
	// serve hands out what comes until the connection ends or ctx does, and answers why;
	// never nil. It must be called at most once.
	serve(ctx context.Context) error
	// close ends it; whether it serves or not.
	close()
}

func newFollower(c *Client, s Subscription) *follower {
	f := &follower{
		options: c.options, s: s, sessions: newSessions(s), http: c.newHTTP(), out: make(chan notice),
		transports: slices.DeleteFunc(slices.Clone(allTransports), func(t Transport) bool {
			return !slices.Contains(c.options.Transports, t)
		}),
	}
	f.open = func(ctx context.Context, t Transport) (link, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, c.options.ConnectTimeout, errNoAnswer)
		defer cancel()
		var l link
		var err error
		switch t {
		case WebSocket:
			l, err = openSocket(ctx, c, f)
		case SSE:
			l, err = openStream(ctx, c, f)
		case Poll:
			return &poller{c: c, f: f}, nil
		}
		if err != nil {
			f.mayPass(t, err)
			return nil, fmt.Errorf("%s: %w", t, because(ctx, err))
		}
		return l, nil
	}
	return f
}

// mayPass marks an answer that says nothing about other ways: it is not the hub's own,
// perhaps that of a proxy which does not let this transport through, or it is about the
// handshake and not about who we are.
func (f *follower) mayPass(t Transport, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || t == f.transports[len(f.transports)-1] {
		return
	}
	denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	e.passing = e.Code == "" || t == WebSocket && !denied
}

var (
	errNoAnswer = errors.New("the hub does not answer")
	errSilent   = errors.New("the hub gives no sign of life")
)

// because answers why ctx has ended, when that is why something failed, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// run follows until ctx ends or the hub refuses for good, and answers the error of it.
func (f *follower) run(ctx context.Context) error {
	level, opened := 0, link(nil)
	for {
		better, err := f.stay(ctx, level, opened)
		switch {
		case ctx.Err() != nil:
			if better.link != nil {
				better.link.close()
			}
			return ctx.Err()
		case better.link != nil:
			level, opened = better.level, better.link
			continue
		case isPermanent(err):
			return err
		}
		f.report(ctx, err)
		opened = nil
		if level = f.next(level); level == 0 {
			f.become(ctx, Disconnected)
			pause(ctx, f.backoff(err))
		}
	}
}

// next is the level to serve after one that has failed: a worse one, without a pause,
// when there is one and the best has had its chances; else the best, after a pause.
func (f *follower) next(level int) int {
	last := len(f.transports) - 1
	if level < last && (level > 0 || f.failures >= f.options.FailuresBeforeFallback) {
		return level + 1
	}
	return 0
}

// opening is a connection of a better level.
type opening struct {
	level int
	link  link
}

// stay serves one connection of a level, and tries better levels meanwhile. It answers
// what it has opened of these, or why the connection ended.
func (f *follower) stay(ctx context.Context, level int, l link) (opening, error) {
	if level == 0 {
		return opening{}, f.serve(ctx, level, l)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var found opening
	var refused error
	var climbing sync.WaitGroup
	climbing.Go(func() {
		found, refused = f.climb(ctx, level)
		cancel()
	})
	err := f.serve(ctx, level, l)
	cancel()
	climbing.Wait()
	if isPermanent(refused) {
		err = refused
	}
	return found, err
}

// serve opens a connection of a level, unless it is open, and serves it.
func (f *follower) serve(ctx context.Context, level int, l link) error {
	t := f.transports[level]
	if l == nil {
		if level == 0 && t != Poll {
			f.become(ctx, Connecting)
		}
		var err error
		if l, err = f.open(ctx, t); err != nil {
			if level == 0 {
				f.failures++
			}
			return err
		}
	}
	defer l.close()
	if level == 0 {
		f.failures = 0
	}
	f.become(ctx, map[Transport]Status{WebSocket: Connected, SSE: Streaming, Poll: Polling}[t])
	return l.serve(ctx)
}

// climb tries the levels above one, the best first, until one is open; its error is
// that of ctx, or permanent.
func (f *follower) climb(ctx context.Context, level int) (opening, error) {
	var last error
	for {
		if !pause(ctx, f.backoff(last)) {
			return opening{}, ctx.Err()
		}
		for i, t := range f.transports[:level] {
			l, err := f.open(ctx, t)
			if err == nil {
				return opening{i, l}, nil
			}
			if isPermanent(err) || ctx.Err() != nil {
				return opening{}, err
			}
			last = err
			f.report(ctx, err)
		}
		f.failures++
	}
}

// backoff is how long to wait after an error: longer after each failure, by a part that
// is drawn by lot, and at least as long as the hub asks for.
func (f *follower) backoff(err error) time.Duration {
	d := doubled(f.options.ReconnectInterval, f.failures-1, f.options.MaxReconnectInterval)
	return max(jittered(d), retryAfter(err))
}

// doubled is d doubled n times, at most limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// jittered is between half of d and d.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter needs no secret
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver hands out an event unless it has been, and moves its session on; an error
// is that of ctx, and then it has not been handed out.
func (f *follower) deliver(ctx context.Context, e Event) error {
	if f.sessions.wanted(e) {
		if err := f.send(ctx, notice{event: e}); err != nil {
			return err
		}
		f.sessions.passed(e)
	}
	f.sessions.move(e.Session, e.Cursor)
	return nil
}

func (f *follower) send(ctx context.Context, n notice) error {
	select {
	case f.out <- n:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nothing failed
	}
}

// call has who iterates call a function. When ctx has ended it need not know.
func (f *follower) call(ctx context.Context, tell func()) { _ = f.send(ctx, notice{tell: tell}) }

// become tells of a change of the status.
func (f *follower) become(ctx context.Context, to Status) {
	f.mu.Lock()
	same := f.status == to
	f.status = to
	f.mu.Unlock()
	if f.s.OnStatus != nil && !same {
		f.call(ctx, func() { f.s.OnStatus(to) })
	}
}

// reset tells that events of a session may be missing, and goes on from a cursor,
// where there is one.
func (f *follower) reset(ctx context.Context, id string, why Reset, cursor string) error {
	if f.s.OnReset != nil {
		if err := f.send(ctx, notice{tell: func() { f.s.OnReset(id, why) }}); err != nil {
			return err
		}
	}
	f.sessions.move(id, cursor)
	return nil
}

// storage tells of the state of the hub's storage.
func (f *follower) storage(ctx context.Context, s Storage) {
	f.mu.Lock()
	f.degraded = s.Degraded
	f.mu.Unlock()
	if f.s.OnStorage != nil {
		f.call(ctx, func() { f.s.OnStorage(s) })
	}
}

// storageIs tells of it where no more is known than whether it is degraded.
func (f *follower) storageIs(ctx context.Context, degraded bool) {
	f.mu.Lock()
	same := f.degraded == degraded
	f.mu.Unlock()
	if !same {
		f.storage(ctx, Storage{Degraded: degraded})
	}
}

// report tells what failed and is tried again.
func (f *follower) report(ctx context.Context, err error) {
	if f.s.OnError != nil && ctx.Err() == nil {
		f.call(ctx, func() { f.s.OnError(err) })
	}
}
