package breaker

import "time"

// The results of calls that took no slot: those admitted while closed or
// disabled. admitted is the word at the admission, began the mark of its token.

// succeed counts a success.
func (b *Breaker) succeed(admitted word, began uint64) {
	if b.rules != nil && b.rules.timed {
		b.succeedTimed(admitted, began)
		return
	}
	for {
		w := b.load()
		if w.epoch() != admitted.epoch() {
			return
		}
		if next := b.afterSuccess(w); w == next || b.swap(w, next) {
			b.noteSuccess()
			return
		}
	}
}

// succeedTimed is succeed where Rate or Slow keeps count of the calls by time,
// which mu guards.
func (b *Breaker) succeedTimed(admitted word, began uint64) {
	b.mu.Lock()
	defer b.unlock()
	for {
		w := b.load()
		if w.epoch() != admitted.epoch() || b.done {
			return
		}
		next := b.afterSuccess(w)
		if w != next && !b.swap(w, next) {
			continue // a result came between
		}
		b.noteSuccess()
		if w.phase() == closed && b.rules.ended(began, Success) == ReasonSlow {
			b.trip(next, change{reason: ReasonSlow, at: time.Now(), cause: ErrSlow})
		}
		return
	}
}

// afterSuccess is the word that a success makes of w.
func (b *Breaker) afterSuccess(w word) word {
	if w.phase() == closed && b.adaptive() {
		return b.rules.learner.afterSuccess(w)
	}
	return w.epoch()
}

// fail counts a failure.
func (b *Breaker) fail(admitted word, began uint64, err error) {
	now := time.Now()
	for b.cfg.Hooks.OnFailure == nil && b.rules == nil {
		w := b.load()
		if w.epoch() != admitted.epoch() {
			return
		}
		if w.phase() != closed || w.failures()+1 >= b.cfg.FailureThreshold {
			break
		}
		if b.swap(w, w+oneFailure) {
			b.noteFailure(w, SourceCall, err, now, w.failures()+1)
			return
		}
	}
	b.mu.Lock()
	defer b.unlock()
	var timed Reason // what Rate and Slow say
	if w := b.load(); b.rules != nil && w.epoch() == admitted.epoch() && w.phase() == closed && !b.done {
		timed = b.rules.failed(began, now, w.score())
	}
	for !b.failLocked(admitted, timed, err, now) {
		continue // a result came between
	}
}

// failLocked is one attempt to count a failure under mu. It returns false if
// another result came between, which must be looked at first.
func (b *Breaker) failLocked(admitted word, timed Reason, err error, now time.Time) bool {
	w := b.load()
	if w.epoch() != admitted.epoch() || b.done {
		return true
	}
	if w.phase() == disabled {
		b.noteFailure(w, SourceCall, err, now, int(b.failureCount))
		return true
	}
	next, reason := b.afterFailure(w, admitted)
	if reason == "" {
		reason = timed
	}
	if reason != "" {
		return b.trip(w, change{
			reason: reason, at: now,
			cause: err, failures: 1, source: SourceCall,
		})
	}
	if !b.swap(w, next) {
		return false
	}
	b.noteFailure(w, SourceCall, err, now, b.consecutive(next))
	return true
}

// afterFailure is the word that a failure makes of w, which is closed, and the
// reason to trip instead, if there is one. The caller holds mu.
func (b *Breaker) afterFailure(w, admitted word) (next word, reason Reason) {
	if b.adaptive() {
		return b.rules.learner.afterFailure(w, admitted, b.cfg.FailureThreshold)
	}
	if w.failures()+1 >= b.cfg.FailureThreshold {
		return 0, ReasonFailures
	}
	return w + oneFailure, ""
}

// consecutive is the number of failures in a row in w, which is closed.
func (b *Breaker) consecutive(w word) int {
	if b.adaptive() {
		return w.run()
	}
	return w.failures()
}

// noteSuccess records a success that counted.
func (b *Breaker) noteSuccess() {
	if b.counting {
		b.successes.Add(1)
	}
}

// noteFailure records a failure that counted while the word was w, the count-th
// in a row. The caller holds mu if there is an OnFailure hook.
func (b *Breaker) noteFailure(w word, source Source, err error, at time.Time, count int) {
	b.failures.Add(1)
	b.lastFailure.Store(at.UnixNano())
	hook := b.cfg.Hooks.OnFailure
	if hook == nil {
		return
	}
	f := FailureInfo{
		Name: b.cfg.Name, State: w.phase().state(), Source: source,
		Err: err, At: at, FailureCount: count,
	}
	b.emit(func() { hook(f) })
}
