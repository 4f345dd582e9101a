package breaker

import (
	"math/rand/v2"
	"time"
)

// change is a transition to be made.
type change struct {
	to     phase
	hold   HoldState
	until  time.Time // end of the new phase; zero: none
	reason Reason
	at     time.Time

	cause    error  // of a trip
	failures int    // failures that the trip adds to the count
	source   Source // of the last failure; empty if none caused the trip
}

// apply makes a transition from exactly w, and tells everyone. It returns false
// and does nothing if the word is no longer w, which only happens while closed.
// The caller holds mu.
func (b *Breaker) apply(w word, c change) bool {
	hold := b.hold
	if !b.move(w, c.to) {
		return false
	}
	b.hold, b.until = c.hold, c.until
	b.rules.restart(c.at)
	b.failureCount += int32(c.failures)
	switch c.to {
	case open:
		b.trips++
		b.streak++
	case closed:
		b.failureCount = 0
		b.streak = 0
	default: // the counts stay
	}
	b.schedule(c.until, c.at)
	switch c.source {
	case SourceCall:
		b.noteFailure(w, c.source, c.cause, c.at, int(b.failureCount))
	case SourceWatch:
		b.noteFailure(w, c.source, c.cause, c.at, c.failures)
	}
	if from := w.phase().state(); from != c.to.state() || hold != c.hold {
		b.announce(from, c)
	}
	return true
}

// move begins the next generation in phase p, with no probe in flight. The
// caller holds mu.
func (b *Breaker) move(w word, p phase) bool {
	if !b.swap(w, w.next(p)) {
		return false
	}
	if w.phase() == closed {
		b.failureCount = int32(b.consecutive(w))
	}
	b.slots = b.slots[:0]
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return true
}

// announce queues the OnTransition hook. The caller holds mu.
func (b *Breaker) announce(from State, c change) {
	hook := b.cfg.Hooks.OnTransition
	if hook == nil {
		return
	}
	t := Transition{
		Name: b.cfg.Name, From: from, To: c.to.state(),
		Reason: c.reason, Cause: c.cause, At: c.at, Held: c.hold,
		FailureCount: int(b.failureCount), TotalTrips: b.trips, Generation: b.load().generation(),
	}
	if !c.until.IsZero() {
		t.RetryIn = c.until.Sub(c.at)
	}
	b.emit(func() { hook(t) })
}

// trip opens the breaker from exactly w, like apply. c names the cause. The
// caller holds mu.
func (b *Breaker) trip(w word, c change) bool {
	c.to = open
	c.until = c.at.Add(b.cfg.timeout(int(b.streak)+1, rand.Float64()))
	// The error must be there before the first call can be rejected. Should
	// apply fail, no call is, and nobody sees it.
	b.openErr.Store(&OpenError{Name: b.cfg.Name, Cause: c.cause, until: c.until})
	return b.apply(w, c)
}

// schedule sets the timer to until, or stops it if that is zero. The caller
// holds mu.
func (b *Breaker) schedule(until, now time.Time) {
	switch {
	case until.IsZero():
		if b.timer != nil {
			b.timer.Stop()
		}
	case b.timer == nil:
		b.timer = time.AfterFunc(until.Sub(now), b.tick)
	default:
		b.timer.Reset(until.Sub(now))
	}
}

// tick runs when the timer fires: the time open is over, a hold expires, or a
// probe has been silent for too long. A tick that comes late, meant for an
// earlier phase, finds nothing due and sets the timer again.
func (b *Breaker) tick() {
	b.mu.Lock()
	defer b.unlock()
	if b.done {
		return
	}
	b.settleDue(time.Now())
}

// settleDue does what is due at now. The caller holds mu.
func (b *Breaker) settleDue(now time.Time) {
	w := b.load()
	if w.phase() == halfOpen {
		b.expireSlots(w, now)
		return
	}
	switch {
	case b.until.IsZero():
	case now.Before(b.until):
		b.schedule(b.until, now)
	case b.hold != 0:
		b.apply(w, change{to: closed, reason: ReasonHoldExpired, at: now})
	default:
		b.apply(w, change{to: halfOpen, reason: ReasonResetTimeout, at: now})
	}
}
