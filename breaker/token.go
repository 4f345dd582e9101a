package breaker

import (
	"context"
	"time"
)

// Token is the admission of one call, from [Breaker.Acquire]. It must be settled
// once the call has ended, with Done or Report; settling it again does nothing.
// A token that is never settled counts as nothing, and while half-open its slot
// is free again after ProbeTimeout.
//
// A Token must not be copied after its first use, nor used by several goroutines
// at once. The zero Token is settled.
type Token struct {
	b     *Breaker // nil once settled
	epoch word     // of the admission
	slot  uint64   // of a probe; 0 otherwise
}

// Acquire asks for the admission of one call. If the breaker rejects it, the
// error is an [*OpenError], the call must not be made, and the token needs no
// settling. It never blocks.
//
//	token, err := b.Acquire()
//	if err != nil {
//		return err
//	}
//	err = call(ctx)
//	token.Done(ctx, err)
//
// Unlike [Do], it cannot see a panic in the call: where that matters, defer a
// Report of Failure, which does nothing after Done.
func (b *Breaker) Acquire() (Token, error) {
	if w := b.load(); w.phase() == closed {
		return Token{b: b, epoch: w.epoch()}, nil
	}
	return b.acquire()
}

// acquire is Acquire for all phases.
func (b *Breaker) acquire() (Token, error) {
	switch w := b.load(); w.phase() {
	case closed, disabled:
		return Token{b: b, epoch: w.epoch()}, nil
	case halfOpen:
		if w.probes() < b.cfg.Probes {
			return b.acquireProbe()
		}
	default: // open, or held open
	}
	return b.reject()
}

func (b *Breaker) reject() (Token, error) {
	b.rejected.Add(1)
	return Token{}, b.openErr.Load()
}

// acquireProbe takes a slot if the breaker is still half-open and one is free.
func (b *Breaker) acquireProbe() (Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch w := b.load(); w.phase() {
	case closed, disabled:
		return Token{b: b, epoch: w.epoch()}, nil
	case halfOpen:
		if w.probes() == b.cfg.Probes {
			break
		}
		now := time.Now()
		b.lastSlot++
		s := slot{id: b.lastSlot, deadline: now.Add(b.cfg.ProbeTimeout)}
		b.slots = append(b.slots, s)
		b.swap(w, w+oneProbe)
		if len(b.slots) == 1 {
			b.schedule(s.deadline, now)
		}
		return Token{b: b, epoch: w.epoch(), slot: s.id}, nil
	default: // open, or held open
	}
	return b.reject()
}

// Done settles the token with the result of its call, which Classify judges. ctx
// is the context that the call was made with.
func (t *Token) Done(ctx context.Context, err error) {
	b := t.b
	if b == nil {
		return
	}
	// An unchanged word has nothing to clear: the common case ends here.
	if err == nil && b.plain && b.load() == t.epoch {
		t.b = nil
		return
	}
	t.settle(b.cfg.Classify(ctx, err), err)
}

// Report settles the token with an outcome that the caller has judged. A failure
// appears in hooks and errors as [ErrReported].
func (t *Token) Report(o Outcome) {
	if t.b == nil {
		return
	}
	t.settle(o, ErrReported)
}

// abandon settles the token, if that has not happened, as the failure of an
// operation that did not return. It is meant to be deferred.
func (t *Token) abandon() {
	if t.b == nil {
		return
	}
	t.settle(Failure, ErrPanic)
}

func (t *Token) settle(o Outcome, err error) {
	b, epoch, id := t.b, t.epoch, t.slot
	t.b = nil
	switch {
	case id != 0:
		b.settleProbe(id, o, err)
	case o == Success:
		b.succeed(epoch)
	case o == Ignore:
		if b.load().epoch() == epoch {
			b.ignored.Add(1)
		}
	default:
		b.fail(epoch, err)
	}
}

// succeed counts the success of a call admitted in epoch, closed or disabled.
func (b *Breaker) succeed(epoch word) {
	for {
		w := b.load()
		if w.epoch() != epoch {
			return
		}
		if w == epoch || b.swap(w, epoch) {
			b.noteSuccess()
			return
		}
	}
}

// fail counts the failure of a call admitted in epoch, closed or disabled.
func (b *Breaker) fail(epoch word, err error) {
	now := time.Now()
	for b.cfg.Hooks.OnFailure == nil {
		w := b.load()
		if w.epoch() != epoch {
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
	for !b.failLocked(epoch, err, now) {
		continue // a result came between
	}
}

// failLocked is one attempt to count a failure under mu. It returns false if
// another result came between, which must be looked at first.
func (b *Breaker) failLocked(epoch word, err error, now time.Time) bool {
	w := b.load()
	if w.epoch() != epoch || b.done {
		return true
	}
	n := w.failures() + 1
	switch {
	case w.phase() == disabled:
		b.noteFailure(w, SourceCall, err, now, b.failureCount)
		return true
	case n >= b.cfg.FailureThreshold:
		return b.trip(w, change{
			reason: ReasonFailures, at: now,
			cause: err, failures: 1, source: SourceCall,
		})
	case b.swap(w, w+oneFailure):
		b.noteFailure(w, SourceCall, err, now, n)
		return true
	default:
		return false
	}
}

func (b *Breaker) noteSuccess() {
	if b.cfg.Metrics {
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
