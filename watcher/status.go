package watcher

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// State is what a watcher is doing.
type State string

// The states of a watcher.
const (
	StateStarting State = "starting" // scanning the tree for the first time in a run
	StateWatching State = "watching"
	StateDegraded State = "degraded" // rescanning, or without watches for some directories
	StateRetrying State = "retrying" // failed, waiting for the next attempt
	StateFailed   State = "failed"   // given up
	StateStopped  State = "stopped"
)

// Status describes a watcher at one moment.
type Status struct {
	Session string `json:"session"`
	Root    string `json:"root"`
	State   State  `json:"state"`

	// Attempts is how often it was started again since it last worked for 10 s.
	Attempts    int `json:"attempts"`
	MaxAttempts int `json:"maxAttempts"`

	// Entries is the number of files and directories known beneath the root,
	// Watches that of the directories watched for it and Unwatched that of those
	// that cannot be watched or read, which are compared every 2 s.
	Entries   int `json:"entries"`
	Watches   int `json:"watches"`
	Unwatched int `json:"unwatched"`

	// WatchLimit is the number of directories that all programs of the user may
	// watch together; 0 where it is not known, and with Config.Poll.
	WatchLimit int `json:"watchLimit"`

	// LastEvent is when the last event left; nil if none did.
	LastEvent *time.Time `json:"lastEvent"`

	// LastError is the reason of the last failure, or of being degraded.
	LastError string `json:"lastError"`

	// Overflows counts the times that hints were lost, Rescans the comparisons
	// of the whole tree that made up for it.
	Overflows int `json:"overflows"`
	Rescans   int `json:"rescans"`
}

// Status returns what the watcher is doing now.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// setState is told by the supervisor.
func (w *Watcher) setState(state State, used int, err error) {
	w.mu.Lock()
	if state != StateStopped {
		w.status.Attempts = used
	}
	if err != nil {
		w.status.LastError = err.Error()
	}
	switch state {
	case StateStarting:
		w.forgetRestart()
	case StateRetrying, StateFailed, StateStopped:
		w.status.Watches, w.status.Unwatched = 0, 0
	default: // the scan has set what there is
	}
	w.enter(state)
	w.mu.Unlock()
	if state != StateStarting {
		w.once.Do(func() { close(w.tried) })
	}
}

// forgetRestart drops a call of Restart that came when the watcher was starting
// for another reason.
func (w *Watcher) forgetRestart() {
	select {
	case <-w.restart:
	default:
	}
}

func (w *Watcher) setStable() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.working() {
		w.status.Attempts = 0
	}
}

// setDegraded says why the watcher is degraded; nil: it is not.
func (w *Watcher) setDegraded(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.working():
	case cause == nil:
		w.enter(StateWatching)
	case w.status.State != StateDegraded:
		w.status.LastError = cause.Error()
		w.log.Warn("watcher degraded", zap.Error(cause))
		w.enter(StateDegraded)
	}
}

func (w *Watcher) working() bool {
	return w.status.State == StateWatching || w.status.State == StateDegraded
}

// enter is called with the lock held; OnState is not.
func (w *Watcher) enter(state State) {
	if w.status.State == state {
		return
	}
	w.status.State = state
	w.states.push(w.cfg.OnState, w.status)
}

func (w *Watcher) setEntries(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Entries = n
}

func (w *Watcher) setWatches(watched, blind int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Watches, w.status.Unwatched = watched, blind
}

func (w *Watcher) setLimit(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.WatchLimit = n
}

func (w *Watcher) countOverflows(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Overflows += n
}

func (w *Watcher) countRescan() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Rescans++
	w.states.push(w.cfg.OnRescan, w.status)
}

func (w *Watcher) setLastEvent(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.LastEvent = &at
}

// stateQueue calls OnState and OnRescan in order, from a goroutine that lives
// while there is something to tell.
type stateQueue struct {
	mu     sync.Mutex
	queue  []func()
	busy   bool
	worker sync.WaitGroup
}

func (q *stateQueue) push(call func(Status), s Status) {
	if call == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, func() { call(s) })
	if q.busy {
		return
	}
	q.busy = true
	q.worker.Go(q.drain)
}

func (q *stateQueue) drain() {
	for {
		q.mu.Lock()
		if len(q.queue) == 0 {
			q.busy = false
			q.mu.Unlock()
			return
		}
		next := q.queue[0]
		q.queue = q.queue[1:]
		q.mu.Unlock()
		next()
	}
}

func (q *stateQueue) wait() { q.worker.Wait() }
