package lifeline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// keptTransitions is how many transitions of a breaker are kept.
const keptTransitions = 10

// pastTransition is a change of state or hold that a breaker has made.
type pastTransition struct {
	At     time.Time         `json:"at"`
	From   breaker.State     `json:"from"`
	To     breaker.State     `json:"to"`
	Reason breaker.Reason    `json:"reason"`
	Held   breaker.HoldState `json:"held,omitzero"`
	// Cause is why it opened, in words that tell no address.
	Cause string `json:"cause,omitempty"`
}

// breakerPast is what is remembered of a breaker.
type breakerPast struct {
	transitions []pastTransition // the newest first
	lastError   error
}

// remember adds a transition and forgets the eleventh.
func (p *breakerPast) remember(tr breaker.Transition) {
	past := pastTransition{
		At: tr.At.UTC(), From: tr.From, To: tr.To, Reason: tr.Reason, Held: tr.Held, Cause: plainCause(tr.Reason, tr.Cause),
	}
	p.transitions = slices.Insert(p.transitions, 0, past)
	p.transitions = p.transitions[:min(len(p.transitions), keptTransitions)]
}

// past answers what is remembered of a breaker.
func (t *telemetry) past(name string) (transitions []pastTransition, lastError string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pasts[name]
	if p == nil {
		return []pastTransition{}, ""
	}
	return slices.Clone(p.transitions), plainError(p.lastError)
}

// pastOf is what is remembered of a breaker; mu is held.
func (t *telemetry) pastOf(name string) *breakerPast {
	p := t.pasts[name]
	if p == nil {
		p = &breakerPast{transitions: []pastTransition{}}
		t.pasts[name] = p
	}
	return p
}

// plainCause is why a breaker has opened. What an operator gave as cause is his own
// words.
func plainCause(reason breaker.Reason, cause error) string {
	if reason == breaker.ReasonTrip && cause != nil {
		return cause.Error()
	}
	return plainError(cause)
}

// plainError is an error of storage in words that tell no address and no path; those
// are in the log.
func plainError(err error) string {
	if err == nil {
		return ""
	}
	if unavailable, ok := errors.AsType[*storage.UnavailableError](err); ok {
		return unavailable.Reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the storage does not answer in time"
	}
	for _, own := range []error{breaker.ErrPanic, breaker.ErrReported, breaker.ErrSlow} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	return "an error that is in the log"
}
