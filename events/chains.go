package events

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// The chains of sessions follow from their chain:* and step:* events. They are
// brought up to date behind the publish path: what a publisher is told does not
// depend on it, and it takes no time of his.

// Bounds of the events that wait to be applied to chains. An event beyond them is
// left out: its session's history has it, the record of its chain does not. That is
// logged, once each time when the bound is met.
const (
	maxChainEvents = 4_096
	maxChainBytes  = 32 << 20
	// maxChainWorkers is how many sessions' events are applied at the same time.
	maxChainWorkers = 8
	// chainPatience is how long an event is tried again while storage is away,
	// chainTimeout how long one try may take.
	chainPatience = 30 * time.Second
	chainTimeout  = 10 * time.Second
	// chainDrain is how long after the closing of the hub what waits is applied.
	chainDrain = time.Second
)

// chainKeeper applies the events of each session in the order of their publishing.
// Events that are published at the same moment are in any order.
type chainKeeper struct {
	hub     *Hub
	workers gate
	// ctx ends chainDrain after the hub has closed.
	ctx context.Context //nolint:containedctx // the keeper's own life

	mu     sync.Mutex         // guards what follows
	queues map[string][]Event // by session; one that is there has a worker
	count  int                // events in queues
	bytes  int                // of them
	full   bool               // the bound was met, and said so
}

func newChainKeeper(h *Hub) *chainKeeper {
	k := &chainKeeper{hub: h, queues: make(map[string][]Event)}
	k.workers.setLimit(maxChainWorkers)
	ctx, cancel := context.WithCancel(context.Background())
	k.ctx = ctx
	context.AfterFunc(h.ctx, func() { time.AfterFunc(chainDrain, cancel) })
	return k
}

// take notes an event that was accepted. It never waits.
func (k *chainKeeper) take(ev Event) {
	if !strings.HasPrefix(ev.Type, "chain:") && !strings.HasPrefix(ev.Type, "step:") {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.count >= maxChainEvents || k.bytes+len(ev.Data) > maxChainBytes {
		k.hub.meet(LimitChains)
		if !k.full {
			k.full = true
			k.hub.log.Warn("chains fall behind: events are not applied to them", zap.Int("waiting", k.count))
		}
		return
	}
	k.full = false
	queue, working := k.queues[ev.Session]
	if !working && !k.hub.tasks.run(func() { k.work(ev.Session) }) {
		return // the hub is closed
	}
	k.queues[ev.Session] = append(queue, ev)
	k.count++
	k.bytes += len(ev.Data)
}

// work applies a session's events until none is left or the hub is closed.
func (k *chainKeeper) work(session string) {
	for k.ctx.Err() == nil {
		ev, ok := k.next(session)
		if !ok {
			return
		}
		if err := k.apply(ev); err != nil {
			k.hub.log.Warn("an event was not applied to its chain",
				zap.String("session", session), zap.String("event", ev.ID), zap.String("type", ev.Type), zap.Error(err))
		}
	}
}

func (k *chainKeeper) next(session string) (ev Event, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.queues[session]
	if len(queue) == 0 {
		delete(k.queues, session)
		return Event{}, false
	}
	ev, queue[0] = queue[0], Event{}
	k.queues[session] = queue[1:]
	k.count--
	k.bytes -= len(ev.Data)
	return ev, true
}

func (k *chainKeeper) apply(ev Event) error {
	patience := time.Now().Add(chainPatience)
	for delay := k.hub.times.retry; ; delay = min(2*delay, k.hub.times.maxRetry) {
		err := k.try(ev)
		if _, away := errors.AsType[*storage.UnavailableError](err); !away || time.Now().After(patience) {
			return err
		}
		select {
		case <-time.After(delay):
		case <-k.ctx.Done():
			return err
		}
	}
}

func (k *chainKeeper) try(ev Event) error {
	ctx, cancel := context.WithTimeout(k.ctx, chainTimeout)
	defer cancel()
	if err := k.workers.enter(ctx); err != nil {
		return err
	}
	defer k.workers.leave()
	_, err := k.hub.store().ApplyEvent(ctx, ev.Session, ev.Type, ev.Data)
	return err //nolint:wrapcheck // says itself what it is about
}
