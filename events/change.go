package events

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

const (
	// changeWait is how long a change of the storage waits for publishers, and then
	// for what they published to be delivered. What takes longer is still acknowledged
	// by the storage that it went to.
	changeWait = 2 * time.Second
	// changeRead is how long the heads of the followed logs are read in all.
	changeRead = 3 * time.Second
	// changePoll is how often deliveries are looked at meanwhile.
	changePoll = 2 * time.Millisecond
)

// era is the time of one storage. What follows it follows the next one afterwards.
type era struct {
	ctx context.Context //nolint:containedctx // it is what an era is
	end context.CancelFunc
}

func (h *Hub) beginEra() {
	ctx, end := context.WithCancel(h.ctx)
	if last := h.era.Swap(&era{ctx, end}); last != nil {
		last.end()
	}
}

// ChangeStorage puts another storage behind the hub, called driver: install is called
// while nothing is being published, and has cfg.Backend answer from it. Publishers wait
// meanwhile. What was acknowledged before is delivered first; then every follower goes
// on at the head of his log in the new storage, and is told of its epoch if it is
// another one. An error is install's, which must have left the backend as it was.
// Calls must not overlap.
func (h *Hub) ChangeStorage(driver string, install func() error) error {
	empty, open := h.publishing.shut(changeWait)
	defer open()
	if !empty {
		h.log.Warn("publishers take long; their events go to the storage of before, and followers may miss them")
	}
	h.settle()
	if err := install(); err != nil {
		return err
	}
	h.driver.Store(&driver)
	h.owners.forgetAll()
	h.beginEra()
	h.moveTopics()
	h.statusChanged()
	return nil
}

// topics are all that somebody follows.
func (h *Hub) topics() (all []*topic) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		for _, t := range sh.topics {
			all = append(all, t)
		}
		sh.mu.Unlock()
	}
	return all
}

// settle waits until all that was published has been delivered, for a while.
func (h *Hub) settle() {
	look := time.NewTicker(changePoll)
	defer look.Stop()
	timeout := time.After(changeWait)
	for _, t := range h.topics() {
		for !t.settled() {
			select {
			case <-look.C:
			case <-timeout:
				return
			}
		}
	}
}

// settled reports whether nothing is on its way to those who are live. What waits for
// a storage that is away does not count.
func (t *topic) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs) == 0 || t.retrying != nil || t.known && !t.filling && len(t.waiting) == 0
}

// moveTopics has all topics go on in the new storage.
func (h *Hub) moveTopics() {
	ctx, cancel := context.WithTimeout(h.ctx, changeRead)
	defer cancel()
	var moving sync.WaitGroup
	for _, t := range h.topics() {
		if h.fills.enter(ctx) != nil { // it finds its way by a fill
			moving.Go(t.catchUp)
			continue
		}
		moving.Go(func() {
			page, err := h.read(ctx, t.session, storage.LogQuery{Limit: 1})
			h.fills.leave()
			t.move(page, err)
		})
	}
	moving.Wait()
}

// move goes on at the head that a page of the new storage shows. Where that cannot be
// told, or is of the same log as before, reading on from the cursor settles it.
func (t *topic) move(page storage.LogPage, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known && err == nil && !page.Degraded && page.State.Epoch != t.cursor.Epoch {
		t.forgetStorage()
		t.cursor = page.Cursor
		t.learnNumbers(page.State.Last)
		t.announce(noticeEpoch, page.State.Epoch, storage.Position{})
	}
	t.retry = 0
	t.fill()
}

// forgetStorage drops what is known of a log that is left behind. Replays under way go
// on by themselves, in the new one.
func (t *topic) forgetStorage() {
	clear(t.own)
	t.given, t.waiting = given{}, nil
	for _, s := range t.subs {
		if s.mode == modeJoining {
			s.kept, s.keptSize, s.overflow = nil, 0, true
		}
	}
}

// keepFollowing has follow tell of something in the storage, whichever it is, for as
// long as the hub is there. follow returns when its context ends, or with an error,
// of which complain is told.
func (h *Hub) keepFollowing(follow func(context.Context) error, complain func(error)) {
	for delay := h.times.retry; ; delay = min(2*delay, h.times.maxRetry) {
		now := h.era.Load().ctx
		err := follow(now)
		if errors.Is(err, storage.ErrClosed) {
			<-now.Done() // there may be another one
		}
		if h.ctx.Err() != nil {
			return
		}
		if now.Err() != nil {
			delay = h.times.retry
			continue
		}
		complain(err)
		select {
		case <-time.After(delay):
		case <-h.ctx.Done():
			return
		}
	}
}

// followGrowth learns of what other nodes append.
func (h *Hub) followGrowth() {
	h.keepFollowing(func(ctx context.Context) error {
		return h.cfg.Backend.Growth(ctx, h.grown) //nolint:wrapcheck // it is only logged
	}, func(err error) {
		h.log.Warn("events of other nodes arrive late: not told of them", zap.Error(err))
	})
}
