package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// WatchConfig says how [Breaker.Watch] probes. The zero value of a field means
// its default; an invalid value makes Watch fail.
type WatchConfig struct {
	// Every is the time between probes while the breaker is closed. Default 5 s.
	Every time.Duration
	// OpenEvery is the time between probes while it is open or half-open, each
	// time changed at random by up to 20 % either way. The first probe after a
	// trip comes within OpenEvery. Default 250 ms.
	OpenEvery time.Duration
	// Timeout is the deadline of one probe. Default 1 s.
	Timeout time.Duration
	// Failures is how many probes in a row must fail to open the breaker.
	// Default 3.
	Failures int
	// OpenOnly probes only while the breaker is not closed: Watch then brings it
	// back early, and calls alone open it.
	OpenOnly bool
}

func (c WatchConfig) withDefaults() WatchConfig {
	c.Every = orDefault(c.Every, DefaultWatchEvery)
	c.OpenEvery = orDefault(c.OpenEvery, DefaultWatchOpenEvery)
	c.Timeout = orDefault(c.Timeout, DefaultWatchTimeout)
	c.Failures = orDefault(c.Failures, DefaultWatchFailures)
	return c
}

func (c WatchConfig) validate() error {
	return errors.Join(
		duration("Every", c.Every),
		duration("OpenEvery", c.OpenEvery),
		duration("Timeout", c.Timeout),
		count("Failures", c.Failures, maxFailures),
	)
}

// Watch probes the dependency until ctx is done or the breaker is closed for
// good with [Breaker.Close], so that the breaker opens before users notice a
// failure and closes early when the dependency works again. It blocks; run it in
// a goroutine that you own:
//
//	go b.Watch(ctx, breaker.WatchConfig{}, store.Ping)
//
// A probe succeeds if it returns nil. A success while open or half-open closes
// the breaker, even before ResetTimeout has passed. While closed it changes
// nothing: it does not clear the failures of calls. Failures in a row, counted
// apart from those of calls and anew in each generation, open a closed or
// half-open breaker. A probe takes no probe slot. It counts only in the
// generation in which it began, and its context is cancelled when that has
// passed. During a hold there are no probes.
//
// A probe should exercise what matters (for a store a write) and must return
// when its context is done. A panic in it ends Watch and goes on unwinding.
//
// The error names the invalid fields of cfg; it is nil when Watch ends as told.
func (b *Breaker) Watch(ctx context.Context, cfg WatchConfig, probe func(context.Context) error) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("breaker %q: watch: %w", b.cfg.Name, err)
	}
	w := watcher{b: b, cfg: cfg, probe: probe, timer: time.NewTimer(cfg.Every)}
	defer w.timer.Stop()
	for w.pace(); w.pacing != ended && ctx.Err() == nil; w.pace() {
		select {
		case <-ctx.Done():
		case <-w.changed:
		case <-w.timer.C:
			w.once(ctx)
		}
	}
	return nil
}

// pacing is how often a watcher probes.
type pacing uint8

const (
	unset pacing = iota
	rarely
	often
	never // until the state changes
	ended // the breaker is closed for good
)

// watcher is one run of Watch.
type watcher struct {
	b     *Breaker
	cfg   WatchConfig
	probe func(context.Context) error

	timer   *time.Timer // the next probe
	pacing  pacing
	epoch   word          // when last looked at
	changed chan struct{} // closed when epoch has passed

	failed   int  // probes in a row
	failedIn word // the epoch that they failed in
}

// pace looks at the breaker, and sets the timer anew if it asks for another pace
// than before.
func (w *watcher) pace() {
	before := w.pacing
	w.look()
	if w.pacing == before {
		return
	}
	switch w.pacing {
	case rarely:
		w.timer.Reset(w.cfg.Every)
	case often:
		w.timer.Reset(min(w.openInterval(), w.cfg.OpenEvery))
	default:
		w.timer.Stop()
	}
}

// look reads the epoch and the pace that it asks for.
func (w *watcher) look() {
	b := w.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	w.epoch, w.changed = b.load().epoch(), b.changed
	switch {
	case b.done:
		w.pacing = ended
	case b.hold != 0:
		w.pacing = never
	case w.epoch.phase() != closed:
		w.pacing = often
	case w.cfg.OpenOnly:
		w.pacing = never
	default:
		w.pacing = rarely
	}
}

func (w *watcher) openInterval() time.Duration {
	return time.Duration(float64(w.cfg.OpenEvery) * (0.8 + 0.4*rand.Float64()))
}

// once makes one probe, reports it, and sets the timer to the next.
func (w *watcher) once(ctx context.Context) {
	before := w.pacing
	w.look()
	if w.pacing != before {
		w.pacing = unset // pace sets the timer
		return
	}
	err := w.run(ctx)
	if ctx.Err() == nil {
		w.report(err)
	}
	if w.pacing == often {
		w.timer.Reset(w.openInterval())
	} else {
		w.timer.Reset(w.cfg.Every)
	}
}

// run calls the probe with a context that ends with its time or its epoch.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-w.changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-stopped
	}()
	return w.probe(ctx)
}

func (w *watcher) report(err error) {
	if err == nil {
		w.failed = 0
		w.b.probePassed(w.epoch)
		return
	}
	if w.failedIn != w.epoch {
		w.failed, w.failedIn = 0, w.epoch
	}
	w.failed++
	w.b.probeFailed(w.epoch, err, w.failed, w.failed >= w.cfg.Failures)
}

// probePassed closes the breaker if it is not closed, still in epoch.
func (b *Breaker) probePassed(epoch word) {
	b.mu.Lock()
	defer b.unlock()
	w := b.load()
	if b.done || w.epoch() != epoch || w.phase() == closed {
		return
	}
	b.apply(w, change{to: closed, reason: ReasonWatchPassed, at: time.Now()})
}

// probeFailed notes the count-th failure in a row, and opens the breaker if that
// is enough, still in epoch and not open already.
func (b *Breaker) probeFailed(epoch word, err error, count int, enough bool) {
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	for !b.done {
		w := b.load()
		if w.epoch() != epoch || w.phase() == open {
			return
		}
		if !enough {
			b.noteFailure(w, SourceWatch, err, now, count)
			return
		}
		if b.trip(w, change{
			reason: ReasonWatchFailed, at: now,
			cause: err, failures: count, source: SourceWatch,
		}) {
			return
		}
	}
}
