package watcher

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// startWait is how long Start waits for the first scan at most.
const startWait = 5 * time.Second

// Watcher watches one directory for one session.
type Watcher struct {
	cfg       Config
	log       *zap.Logger
	ignore    *ignorer
	hooks     hooks
	coalescer *coalescer
	states    *stateQueue

	cancel  context.CancelFunc
	done    chan struct{} // closed when everything has ended
	restart chan struct{} // has an element once Restart was called
	tried   chan struct{} // closed when the first start has come to an end
	once    sync.Once     // closes tried

	snap *snapshot // of the goroutine that watches; nil until the first scan

	mu     sync.Mutex
	root   string // resolved; empty as long as it could not be; set by the goroutine that watches
	status Status
}

// Start starts a watcher; an error means that cfg is not valid. Whatever else
// goes wrong is up to the retry policy. Start returns after the first scan, so
// that what changes from then on is reported, or after its failure, or after
// 5 s if the scan takes that long.
func Start(cfg Config) (*Watcher, error) {
	return start(cfg, hooks{
		addWatch:  func(string) error { return nil },
		readDir:   func(string) error { return nil },
		notifiers: &shared,
	})
}

func start(cfg Config, h hooks) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w := newWatcher(cfg, h)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	s := &supervisor{
		attempts: cfg.retryAttempts(),
		initial:  cfg.retryInitial(),
		log:      w.log,
		run:      w.run,
		dormant:  w.dormant,
		report:   w.setState,
		stable:   w.setStable,
	}
	d := &deliverer{
		coalescer: w.coalescer,
		maker:     newEventMaker(cfg),
		sink:      cfg.Sink,
		log:       w.log,
		delivered: w.setLastEvent,
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.loop(ctx) })
	wg.Go(func() { d.loop(ctx) })
	go func() {
		wg.Wait()
		w.setState(StateStopped, 0, nil)
		w.states.wait()
		close(w.done)
	}()

	timer := time.NewTimer(startWait)
	defer timer.Stop()
	select {
	case <-w.tried:
	case <-timer.C:
	}
	return w, nil
}

func newWatcher(cfg Config, h hooks) *Watcher {
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	dir := filepath.Clean(cfg.Dir)
	w := &Watcher{
		cfg: cfg,
		log: log.With(zap.String("source", "fileWatcher"),
			zap.String("session", cfg.Session), zap.String("root", dir)),
		ignore:  newIgnorer(cfg.Ignore, cfg.NoDefaultIgnore),
		hooks:   h,
		states:  &stateQueue{},
		done:    make(chan struct{}),
		restart: make(chan struct{}, 1),
		tried:   make(chan struct{}),
		status: Status{
			Session:     cfg.Session,
			Root:        dir,
			MaxAttempts: cfg.retryAttempts(),
		},
	}
	w.coalescer = newCoalescer(cfg.debounce(), cfg.maxWait(), func() (statter, error) {
		return openTree(w.location(), cfg.Beneath)
	})
	return w
}

// findTree opens the root for one look and resolves it before if it never was.
// The goroutine that watches calls it.
func (w *Watcher) findTree() (*tree, error) {
	if w.root == "" {
		root, err := resolveRoot(w.cfg.Dir, w.cfg.Beneath)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.root = root
		w.mu.Unlock()
	}
	return openTree(w.root, w.cfg.Beneath)
}

// Stop ends the watcher. When it returns, the sink and OnState have been called
// for the last time and nothing is left of the watcher; events that were held
// back are gone. It may be called more than once.
func (w *Watcher) Stop() {
	w.cancel()
	<-w.done
}

// ErrNotFailed is returned by Restart.
var ErrNotFailed = errors.New("watcher: has not failed")

// Restart starts a watcher that was given up again, its attempts counting from
// zero. What changed in the meantime is reported.
func (w *Watcher) Restart() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status.State != StateFailed {
		return ErrNotFailed
	}
	w.status.Attempts = 0
	w.enter(StateStarting)
	wakeUp(w.restart)
	return nil
}
