package lifeline

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/storage"
)

// How often the records of watched sessions are looked at, and how soon again while
// storage is away, growing to the same.
const (
	keepEvery = 30 * time.Second
	keepRetry = time.Second
	// keepTimeout bounds one look, recordTimeout the first try to write the records
	// of watch lines, for which a start waits.
	keepTimeout   = 10 * time.Second
	recordTimeout = time.Second
)

// watchKeeper keeps the watches of clients' sessions as their records say: begun
// again after a restart, and ended where a record has ended elsewhere, at another
// server of the same storage or by giving way to newer ones. It writes the records
// of watch lines.
type watchKeeper struct {
	ws     *watchers
	wake   chan struct{}
	ctx    context.Context //nolint:containedctx // the keeper's own life
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	begin  sync.Once     // starts it

	mu      sync.Mutex
	records map[string]storage.Session // of watch lines, not written yet

	looking sync.Mutex        // one look at a time; guards told
	told    map[string]string // why a session is not watched, as logged
}

func newWatchKeeper(ws *watchers) *watchKeeper {
	k := &watchKeeper{
		ws: ws, wake: make(chan struct{}, 1), done: make(chan struct{}),
		records: make(map[string]storage.Session), told: make(map[string]string),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// apply takes over the watch lines of a configuration.
func (k *watchKeeper) apply(lines []*Watch) {
	k.mu.Lock()
	clear(k.records)
	for _, w := range lines {
		k.records[w.Session] = w.record()
	}
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.ctx, recordTimeout)
	defer cancel()
	k.writeRecords(ctx)
	k.begin.Do(func() { go k.run() })
	select {
	case k.wake <- struct{}{}:
	default: // it is awake
	}
}

// record is that of the session of a watch line.
func (w *Watch) record() storage.Session {
	s := storage.Session{ID: w.Session, Status: storage.StatusInProgress}
	if !w.AbsolutePathsOff {
		s.Cwd = w.Dir
	}
	return s
}

func (k *watchKeeper) run() {
	defer close(k.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for delay := keepRetry; ; {
		select {
		case <-k.ctx.Done():
			return
		case <-k.wake:
		case <-timer.C:
		}
		next := keepEvery
		if k.look() {
			delay = keepRetry
		} else {
			next, delay = delay, min(2*delay, keepEvery)
		}
		timer.Reset(next)
	}
}

// look is one look at everything; false: storage could not answer.
func (k *watchKeeper) look() bool {
	k.looking.Lock()
	defer k.looking.Unlock()
	ctx, cancel := context.WithTimeout(k.ctx, keepTimeout)
	defer cancel()
	ok := k.writeRecords(ctx)
	for _, session := range k.ws.kept.list() {
		over, no, err := k.ws.rt.hub.Load().RefreshWatch(ctx, session)
		if err != nil {
			ok = false
			continue
		}
		k.tell(session, over, no)
	}
	return ok
}

// tell logs what keeps a session from being watched, once.
func (k *watchKeeper) tell(session string, over bool, no *events.NotWatched) {
	if over || no == nil {
		delete(k.told, session)
		return
	}
	if k.told[session] == no.Reason {
		return
	}
	k.told[session] = no.Reason
	k.ws.rt.logger.Warn("the directory of a session that was watched is not watched now",
		sourceWatcher, zapSession(session), zap.String("reason", no.Reason), zap.String("why", no.Message))
}

// writeRecords writes those that are not written yet; false: some are left.
func (k *watchKeeper) writeRecords(ctx context.Context) bool {
	k.mu.Lock()
	missing := make([]storage.Session, 0, len(k.records))
	for _, s := range k.records {
		missing = append(missing, s)
	}
	k.mu.Unlock()
	ok := true
	for _, s := range missing {
		if err := k.ws.rt.hub.Load().EnsureSession(ctx, s); err != nil {
			k.ws.rt.logger.Debug("the record of a watched session cannot be written yet",
				sourceWatcher, zapSession(s.ID), zap.Error(err))
			ok = false
			continue
		}
		k.mu.Lock()
		delete(k.records, s.ID)
		k.mu.Unlock()
	}
	return ok
}

// stop ends the goroutine, if there is one.
func (k *watchKeeper) stop() {
	k.cancel()
	k.begin.Do(func() { close(k.done) })
	<-k.done
}
