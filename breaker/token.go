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
	b    *Breaker // nil once settled
	word word     // at the admission; without payload unless Adaptive needs it
	mark uint64   // of a probe, its slot; otherwise, with Slow, when the call began
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
	if w := b.load(); w.idle() {
		return Token{b: b, word: w}, nil
	}
	return b.acquire()
}

// acquire is Acquire for all cases.
func (b *Breaker) acquire() (Token, error) {
	switch w := b.load(); w.phase() {
	case closed, disabled:
		return b.token(w), nil
	case halfOpen:
		if w.probes() < b.cfg.Probes {
			return b.acquireProbe()
		}
	default: // open, or held open
	}
	return Token{}, b.reject()
}

// token admits a call that takes no slot.
func (b *Breaker) token(w word) Token {
	if b.rules == nil {
		return Token{b: b, word: w.epoch()}
	}
	return Token{b: b, word: w, mark: b.rules.begin()}
}

// reject counts a rejection and returns its error.
func (b *Breaker) reject() error {
	b.rejected.Add(1)
	return b.openErr.Load()
}

// acquireProbe takes a slot if the breaker is still half-open and one is free.
func (b *Breaker) acquireProbe() (Token, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch w := b.load(); w.phase() {
	case closed, disabled:
		return b.token(w), nil
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
		return Token{b: b, word: w.epoch(), mark: uint64(s.id)}, nil
	default: // open, or held open
	}
	return Token{}, b.reject()
}

// Probe reports whether the call was admitted while half-open, so that its success
// may close the breaker: a caller whose calls differ in what they prove can then
// report [Ignore] for one that proves too little. False once settled.
func (t *Token) Probe() bool { return t.b != nil && t.word.phase() == halfOpen }

// Done settles the token with the result of its call, which Classify judges. ctx
// is the context that the call was made with.
func (t *Token) Done(ctx context.Context, err error) {
	// An unchanged word has nothing to clear: the common case ends here.
	if b := t.b; err == nil && b != nil && t.word.idle() && b.load() == t.word {
		t.b = nil
		if b.counting {
			b.successes.Add(1)
		}
		return
	}
	t.done(ctx, err)
}

// done is Done for all cases.
func (t *Token) done(ctx context.Context, err error) {
	if t.b == nil {
		return
	}
	t.settle(t.b.cfg.Classify(ctx, err), err)
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
	b, w, mark := t.b, t.word, t.mark
	t.b = nil
	switch {
	case w.phase() == halfOpen:
		b.settleProbe(uint32(mark), o, err)
	case o == Success:
		b.succeed(w, mark)
	case o == Ignore:
		if b.load().epoch() == w.epoch() {
			b.ignored.Add(1)
		}
	default:
		b.fail(w, mark, err)
	}
}
