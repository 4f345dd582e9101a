package watcher

import (
	"sync"
	"time"
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
	// Watches that of the directories watched for it.
	Entries int `json:"entries"`
	Watches int `json:"watches"`

	// LastEvent is when the last event left; nil if none did.
	LastEvent *time.Time `json:"lastEvent"`

	// LastError is the reason of the last failure.
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
		w.status.Watches = 0
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

func (w *Watcher) setDegraded(degraded bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.working():
	case degraded:
		w.enter(StateDegraded)
	default:
		w.enter(StateWatching)
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
	w.states.push(w.status)
}

func (w *Watcher) setEntries(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Entries = n
}

func (w *Watcher) setWatches(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Watches = n
}

func (w *Watcher) countOverflow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Overflows++
}

func (w *Watcher) countRescan() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Rescans++
}

func (w *Watcher) setLastEvent(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.LastEvent = &at
}

// stateQueue calls OnState in order, from a goroutine that lives while there is
// something to tell.
type stateQueue struct {
	call func(Status)

	mu     sync.Mutex
	queue  []Status
	busy   bool
	worker sync.WaitGroup
}

func (q *stateQueue) push(s Status) {
	if q.call == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, s)
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
		q.call(next)
	}
}

func (q *stateQueue) wait() { q.worker.Wait() }
