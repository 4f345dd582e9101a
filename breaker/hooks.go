package breaker

import "time"

// Hooks are functions that a breaker calls when something happens. Each may be
// nil.
//
// They run one at a time and in the order of events, after the event and with
// no lock held, in the goroutine of one of the calls that meet the breaker, or
// in that of its timer. They may call the breaker; what such a call sets off is
// reported after the hook has returned. They should be quick: events wait in
// memory for the hook before them. A panic in a hook is not recovered, and later
// events are still delivered.
type Hooks struct {
	// OnTransition is called when the state or the hold has changed.
	OnTransition func(Transition)

	// OnFailure is called for every failure that counted. Void results, and
	// failures of a Watch probe while the breaker is open, are not reported.
	// With it, failures are counted under a lock, to keep their order.
	OnFailure func(FailureInfo)
}

// Reason says what brought about a [Transition].
type Reason string

// The reasons of transitions.
const (
	ReasonFailures     Reason = "failures"      // FailureThreshold was reached
	ReasonRate         Reason = "rate"          // the share of failures reached Rate
	ReasonSlow         Reason = "slow"          // the share of slow calls reached Slow
	ReasonAdaptive     Reason = "adaptive"      // more failures than Adaptive has learned to expect
	ReasonProbeFailed  Reason = "probe-failed"  // a call admitted while half-open failed
	ReasonResetTimeout Reason = "reset-timeout" // the time open has passed
	ReasonRecovered    Reason = "recovered"     // ProbeSuccesses was reached
	ReasonWatchFailed  Reason = "watch-failed"  // probes of Watch failed
	ReasonWatchPassed  Reason = "watch-passed"  // a probe of Watch succeeded
	ReasonTrip         Reason = "trip"          // Trip was called
	ReasonReset        Reason = "reset"         // Reset was called
	ReasonHold         Reason = "hold"          // Hold was called
	ReasonRelease      Reason = "release"       // a hold was released
	ReasonHoldExpired  Reason = "hold-expired"  // a hold reached its end
)

// Transition is a change of state or hold. From and To are equal where only the
// hold changed.
type Transition struct {
	Name     string // of the breaker
	From, To State
	Reason   Reason
	// Cause is the last failure, or what was given to Trip, if To is Open and
	// it was a trip; otherwise nil.
	Cause error
	// At is when it happened.
	At time.Time
	// RetryIn is how long the breaker stays as it is unless something else
	// happens: the time until half-open after a trip, the time left of a hold.
	// 0 means that no end is set.
	RetryIn time.Duration
	// Held is the hold after the transition, zero without one.
	Held HoldState
	// FailureCount, TotalTrips and Generation are those of Stats, just after.
	FailureCount int
	TotalTrips   uint64
	Generation   uint64
}

// Source says who met a failure.
type Source string

// The sources of failures.
const (
	SourceCall  Source = "call"  // a call, also one that served as half-open probe
	SourceWatch Source = "watch" // a probe of Watch
)

// FailureInfo is a failure that counted.
type FailureInfo struct {
	Name   string // of the breaker
	State  State  // in which it counted; a trip that it caused comes after it
	Source Source
	// Err is the error of the call or probe, [ErrPanic], or [ErrReported].
	Err error
	At  time.Time
	// FailureCount is the number of consecutive failures with this one: of
	// calls, or of Watch probes if Source is SourceWatch.
	FailureCount int
}

// emit queues a hook call. The caller holds mu.
func (b *Breaker) emit(call func()) { b.events = append(b.events, call) }

// unlock releases mu and then, unless another goroutine is already at it, runs
// the queued hooks. Everything that may queue an event unlocks with it.
func (b *Breaker) unlock() {
	if b.draining || len(b.events) == 0 {
		b.mu.Unlock()
		return
	}
	b.draining = true
	defer func() {
		// All events are done, or a hook has panicked and the others follow now.
		b.draining = false
		b.unlock()
	}()
	for len(b.events) > 0 {
		call := b.events[0]
		b.events[0] = nil
		b.events = b.events[1:]
		b.unlocked(call)
	}
}

// unlocked runs a hook without mu, which is held again afterwards, even if the
// hook panics.
func (b *Breaker) unlocked(call func()) {
	b.mu.Unlock()
	defer b.mu.Lock()
	call()
}
