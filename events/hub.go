package events

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// Hub takes events and hands them to whoever follows their sessions. All methods
// are safe for concurrent use. Make one with [New] and end it with [Hub.Close].
type Hub struct {
	cfg    Config
	limits atomic.Pointer[Limits]
	log    *zap.Logger
	times  intervals
	now    func() time.Time

	// ctx ends with Close; every goroutine of the hub runs among tasks.
	ctx    context.Context //nolint:containedctx // the hub's own life
	cancel context.CancelFunc
	tasks  *tasks

	publishing turnstile // shut while the storage is changed
	era        atomic.Pointer[era]
	driver     atomic.Pointer[string] // the storage's name

	degraded     atomic.Bool
	cancelStatus func()

	seed   maphash.Seed
	shards [shards]shard

	connections registry
	parking     parkingLot
	status      statusTeller
	broadcasts  broadcaster
	replays     gate // replays that read from storage
	longPolls   longPolls
	waiting     waitingRequests
	fills       gate // topics that do
	owners      owners
	rechecking  atomic.Bool // recheck is at work
	arrivals    arrivals
	chains      *chainKeeper
	steps       activeSteps
	id          string       // among the hubs on one storage
	telling     atomic.Int32 // messages to them that are on their way
	closing     sync.Once
	judge       atomic.Pointer[judge]
	met         [limitCount]atomic.Uint64 // how often each limit was

	// hook, in tests, is called at every step at which something may come
	// between.
	hook func(step string)
}

// maxFills is how many topics read their log at the same time.
const maxFills = 16

// intervals are the hub's times; tests shorten them.
type intervals struct {
	reorder   time.Duration // how long an entry waits for those before it
	retry     time.Duration // pause before a failed reading is tried again, growing to
	maxRetry  time.Duration // this
	rejoin    time.Duration // pause before an incomplete replay is repeated
	lost      time.Duration // until what storage has lost is expected no longer
	catchUp   time.Duration // how often every followed log is read
	sweep     time.Duration // how often WebSockets are looked at
	pong      time.Duration // between pong messages
	idle      time.Duration // a client that got something within it needs no pong
	ping      time.Duration // between protocol pings
	dead      time.Duration // a peer silent for so long is gone
	comment   time.Duration // between comments in a stream
	status    time.Duration // between two changes of the status that clients are told
	write     time.Duration // one write to a stream may take
	closing   time.Duration // a WebSocket's close handshake may take, by default
	slow      time.Duration // the same for a slow consumer
	closeAll  time.Duration // Close may take
	handshake time.Duration // writing the answer to a handshake may take
}

func defaultIntervals() intervals {
	return intervals{
		reorder: 20 * time.Millisecond, retry: 100 * time.Millisecond, maxRetry: 2 * time.Second,
		rejoin: 500 * time.Millisecond, lost: time.Minute, catchUp: 30 * time.Second,
		sweep: time.Second, pong: 20 * time.Second, idle: 10 * time.Second,
		ping: 25 * time.Second, dead: 60 * time.Second,
		comment: 15 * time.Second, status: 500 * time.Millisecond, write: 30 * time.Second,
		closing: time.Second, slow: 5 * time.Second, closeAll: 2 * time.Second,
		handshake: 5 * time.Second,
	}
}

// New starts a hub over cfg.Backend, which must outlive it.
func New(cfg Config) *Hub { return newHub(cfg, defaultIntervals(), nil) }

func newHub(cfg Config, times intervals, hook func(string)) *Hub {
	h := &Hub{
		cfg: cfg, log: cfg.Logger, times: times, now: time.Now, tasks: newTasks(),
		seed: maphash.MakeSeed(), hook: hook, id: newClientID(),
	}
	if h.log == nil {
		h.log = zap.NewNop()
	}
	for i := range h.shards {
		h.shards[i].topics = make(map[string]*topic)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.publishing.init()
	h.driver.Store(&cfg.Driver)
	h.beginEra()
	h.connections.init()
	h.owners.init()
	h.chains = newChainKeeper(h)
	h.fills.setLimit(maxFills)
	h.replays.full = func() { h.meet(LimitReplays) }
	h.SetLimits(cfg.Limits)
	h.status.wake = make(chan struct{}, 1)
	h.status.set(h.statusNow())
	h.degraded.Store(h.status.last.Degraded)
	h.cancelStatus = cfg.Backend.OnStatus(h.onStatus)
	h.tasks.run(h.followGrowth)
	h.tasks.run(h.followPeers)
	h.tasks.run(h.keepTime)
	h.tasks.run(h.followStatus)
	return h
}

// Read answers a page of a session's events, as storage does.
func (h *Hub) Read(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	return h.cfg.Backend.ReadEvents(ctx, session, q) //nolint:wrapcheck // the caller looks for storage's errors
}

// readOn is Read for who polls: he goes on at the cursor of the answer.
func (h *Hub) readOn(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	page, err := h.Read(ctx, session, q)
	if q.After == nil {
		return page, err
	}
	return page.Onward(), err
}

// readTimeout bounds one reading for delivery.
const readTimeout = 10 * time.Second

func (h *Hub) read(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return h.Read(ctx, session, q)
}

// Degraded reports whether storage was degraded when it last told of a change.
func (h *Hub) Degraded() bool { return h.degraded.Load() }

// Limits are the limits in force, every field set.
func (h *Hub) Limits() Limits { return *h.limits.Load() }

// SetLimits puts limits into force for new connections, subscriptions and
// messages; a connection keeps the size of its queue.
func (h *Hub) SetLimits(l Limits) {
	l = l.WithDefaults()
	h.limits.Store(&l)
	h.replays.setLimit(l.MaxReplays)
}

func (h *Hub) logger() *zap.Logger { return h.log }

func (h *Hub) at(step string) {
	if h.hook != nil {
		h.hook(step)
	}
}

func (h *Hub) onStatus(s resilient.Status) {
	if was := h.degraded.Swap(s.Degraded); was && !s.Degraded {
		for i := range h.shards {
			h.catchUp(&h.shards[i])
		}
	}
	h.statusChanged()
}

// catchUp lets the topics of a shard read their logs.
func (h *Hub) catchUp(sh *shard) {
	sh.mu.Lock()
	topics := make([]*topic, 0, len(sh.topics))
	for _, t := range sh.topics {
		topics = append(topics, t)
	}
	sh.mu.Unlock()
	for _, t := range topics {
		t.catchUp()
	}
}

func (h *Hub) grown(session string) {
	if session == "" {
		for i := range h.shards {
			h.catchUp(&h.shards[i])
		}
		return
	}
	if t := h.topic(session); t != nil {
		t.catchUp()
	}
}

// keepTime looks after what is due: the catch-up of all topics, shard after
// shard, whether their followers still may be, and whatever WebSockets need.
func (h *Hub) keepTime() {
	sweep := time.NewTicker(h.times.sweep)
	defer sweep.Stop()
	catchUp := time.NewTicker(max(1, h.times.catchUp/shards))
	defer catchUp.Stop()
	for turn := 0; ; {
		select {
		case <-h.ctx.Done():
			return
		case <-sweep.C:
			for _, c := range h.connections.sockets() {
				c.sweep(h.now())
			}
			h.closeDue(h.now())
		case <-catchUp.C:
			sh := &h.shards[turn%shards]
			h.catchUp(sh)
			if h.rechecking.CompareAndSwap(false, true) && !h.tasks.run(func() {
				defer h.rechecking.Store(false)
				h.recheck(sh)
			}) {
				return
			}
			turn++
		}
	}
}

// Counts answers how many WebSockets and streams are open.
func (h *Hub) Counts() (websockets, streams int) { return h.connections.counts() }

// judge answers what a peer may do, and the close code, or 0.
type judge func(Peer) (g Grant, code int, reason string)

// enroll makes a reserved connection known, and ends it at once when the hub has
// closed or does not admit it any longer.
func (h *Hub) enroll(m member) {
	h.at("enrolling")
	if !h.join(m) {
		m.end(closeGoingAway, awayReason(1), false)
		return
	}
	if j := h.judge.Load(); j != nil {
		h.rejudge(m, *j)
	}
}

// rejudge ends a connection, or grants it what it may do now; changed says that
// this is something else.
func (h *Hub) rejudge(m member, j judge) (changed bool) {
	g, code, reason := j(m.identity())
	if code != 0 {
		m.end(code, reason, true)
		return false
	}
	g.Peer = m.identity()
	if changed = g != m.granted(); changed {
		m.grant(g)
	}
	return changed
}

// Readmit judges every connection again, after a reload. admit answers what its
// client may do from now on, and the code with which it is to be closed, 4401 or
// 4403, or 0; a stream just ends,
// and a request that waits is answered 401 or 403.
//
// Connections that come later are judged by it too: at a reload the old server may
// let one in by the old settings just after.
func (h *Hub) Readmit(admit func(Peer) (g Grant, code int, reason string)) {
	j := judge(admit)
	h.judge.Store(&j)
	changed := false
	for _, m := range append(h.connections.all(), h.waiting.list()...) {
		changed = h.rejudge(m, j) || changed
	}
	if changed { // who saw all sessions may not see them any longer
		h.tasks.run(func() {
			for i := range h.shards {
				h.recheck(&h.shards[i])
			}
		})
	}
}

// Close ends all connections, WebSockets with 1001, and returns once they and
// the hub's goroutines are gone, after 2 s at most. New connections are refused
// from then on; Publish and Read go on. A second call does nothing.
func (h *Hub) Close() {
	h.closing.Do(func() {
		deadline, stop := context.WithTimeout(context.Background(), h.times.closeAll)
		defer stop()
		empty := h.connections.close()
		all := h.connections.all()
		for _, m := range all {
			m.end(closeGoingAway, awayReason(len(all)), false)
		}
		select {
		case <-empty:
		case <-time.After(h.times.closeAll * 3 / 4):
			for _, m := range h.connections.all() {
				m.abort()
			}
		}
		select {
		case <-empty:
		case <-deadline.Done():
		}
		h.cancelStatus()
		h.cancel()
		h.parking.close()
		select {
		case <-h.tasks.close():
		case <-deadline.Done():
		}
		if n := len(h.connections.all()); n > 0 {
			h.log.Warn(fmt.Sprintf("%d connections did not end in time", n))
		}
	})
}
