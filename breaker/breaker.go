package breaker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker guards one dependency. Make it with [New]. All its methods are safe
// for concurrent use. It must not be copied.
type Breaker struct {
	// What a call through a closed breaker reads comes first, apart from the
	// counters, so that counting does not slow down other calls.
	word     atomic.Uint64 // a word
	counting bool          // successes are counted
	// mu guards the next four, which fill the word and hardly ever change.
	done     bool      // Close was called
	draining bool      // a goroutine runs the events
	hold     HoldState // zero if not held
	lastSlot uint32    // id of the youngest slot ever
	rules    *rules    // nil: FailureThreshold alone
	cfg      Config    // complete; never changes

	openErr atomic.Pointer[OpenError] // of the last trip or forced-open hold

	lastFailure atomic.Int64 // Unix time in ns; 0 before the first
	rejected    atomic.Uint64
	successes   atomic.Uint64 // if counting
	failures    atomic.Uint64
	ignored     atomic.Uint64

	// mu orders the transitions. While closed, results change the payload of
	// word without it; in every other phase word changes only under mu.
	mu           sync.Mutex
	failureCount int32         // in a row when the breaker left closed, and since
	streak       int32         // trips since the breaker was closed
	trips        uint64        // trips ever
	until        time.Time     // end of open or of a hold; zero: none
	timer        *time.Timer   // nil before the first need
	slots        []slot        // the probes in flight, oldest first
	changed      chan struct{} // closed at the next transition; nil if nobody waits
	events       []func()      // hook calls due
}

// slot is the right of one call to probe while half-open.
type slot struct {
	id       uint32
	deadline time.Time
}

// New returns a closed breaker. A setting out of its range makes it fail with an
// error that names every such field.
//
// Call [Breaker.Close] when the breaker is no longer needed.
func New(cfg Config) (*Breaker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("breaker %q: %w", cfg.Name, err)
	}
	b := &Breaker{cfg: cfg}
	b.rules = newRules(cfg, &b.successes)
	b.counting = cfg.Metrics || cfg.Adaptive
	if cfg.Classify != nil || b.rules != nil && b.rules.timed {
		b.word.Store(uint64(longBit))
	}
	if b.cfg.Classify == nil {
		b.cfg.Classify = DefaultClassify
	}
	return b, nil
}

// Name returns the name from the Config.
func (b *Breaker) Name() string { return b.cfg.Name }

// State returns what a call would meet now. A hold reads as Open or Closed; see
// [Stats] for the hold itself.
func (b *Breaker) State() State { return b.load().phase().state() }

// Close stops the timer and ends every Watch. The breaker then stands still: if
// it was closed or disabled it goes on admitting every call, otherwise it goes
// on rejecting every call; no result, Reset, Trip or Hold changes that, and no
// further event reaches the hooks. Calls in flight may finish. Closing again
// does nothing.
func (b *Breaker) Close() {
	b.mu.Lock()
	defer b.unlock()
	if b.done {
		return
	}
	b.done = true
	for {
		w := b.load()
		stand := open
		if w.phase().state() == Closed {
			stand = disabled
		}
		if b.move(w, stand) {
			break
		}
	}
	b.schedule(time.Time{}, time.Time{})
}

func (b *Breaker) adaptive() bool { return b.rules != nil && b.rules.learner != nil }

func (b *Breaker) load() word { return word(b.word.Load()) }

func (b *Breaker) swap(from, to word) bool {
	interleave()
	return b.word.CompareAndSwap(uint64(from), uint64(to))
}
