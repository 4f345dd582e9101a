package breaker

import (
	"fmt"
	"time"
)

// Reset closes the breaker as if it were new: no failures, no trips in a row, no
// hold. What is in flight is void. Statistics of the past (the time of the last
// failure and the totals) stay.
func (b *Breaker) Reset() {
	b.force(change{to: closed, reason: ReasonReset})
}

// Trip opens the breaker for ResetTimeout (longer by Backoff if it was
// half-open), whatever the count of failures is. What is in flight is void. It
// ends a Disabled hold. It does nothing while the breaker rejects every call
// already, open or forced-open. cause may be nil; it appears in [OpenError] and
// [Transition].
func (b *Breaker) Trip(cause error) {
	b.mu.Lock()
	defer b.unlock()
	now := time.Now()
	for !b.done {
		w := b.load()
		if w.phase().state() == Open {
			return
		}
		if b.trip(w, change{reason: ReasonTrip, at: now, cause: cause}) {
			return
		}
	}
}

// Hold imposes a state for the time d, or for ever if d is 0: [ForcedOpen]
// rejects every call, [Disabled] admits every call and counts failures in the
// statistics only. It replaces an earlier hold. What is in flight is void. Reset
// ends any hold, Trip a Disabled one; otherwise nothing but release, Release,
// another Hold and the expiry do.
//
// When the hold ends the breaker is closed and starts afresh. The returned
// release ends this hold only: it does nothing once the hold has ended or has
// been replaced.
//
// Hold panics if state is not one of the two constants or d is negative, for
// either is a mistake in the program.
func (b *Breaker) Hold(state HoldState, d time.Duration) (release func()) {
	if d < 0 {
		panic(fmt.Sprintf("breaker: Hold for %v; the duration must not be negative", d))
	}
	c := change{hold: state, reason: ReasonHold}
	switch state {
	case ForcedOpen:
		c.to = forcedOpen
	case Disabled:
		c.to = disabled
	default:
		panic(fmt.Sprintf("breaker: Hold of %q; it must be ForcedOpen or Disabled", state))
	}
	if d > 0 {
		c.until = time.Now().Add(d)
	}
	epoch := b.force(c)
	return func() { b.release(&epoch) }
}

// Release ends the hold, if there is one, whoever set it. The breaker is then
// closed and starts afresh.
func (b *Breaker) Release() { b.release(nil) }

// release ends the hold of the given epoch, or any hold if epoch is nil.
func (b *Breaker) release(epoch *word) {
	b.mu.Lock()
	defer b.unlock()
	w := b.load()
	if b.done || b.hold == 0 || epoch != nil && w.epoch() != *epoch {
		return
	}
	b.apply(w, change{to: closed, reason: ReasonRelease, at: time.Now()})
}

// force makes a transition from whatever state, and returns the epoch that it
// began.
func (b *Breaker) force(c change) word {
	b.mu.Lock()
	defer b.unlock()
	c.at = time.Now()
	if c.to == forcedOpen && !b.done {
		b.openErr.Store(&OpenError{Name: b.cfg.Name, Held: c.hold, until: c.until})
	}
	for !b.done && !b.apply(b.load(), c) {
		continue // a result came between
	}
	return b.load().epoch()
}
