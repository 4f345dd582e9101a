// Package breaker is a circuit breaker: it stands before one dependency (a
// database, a disk, another service), notices when the dependency fails, and
// then answers in its place at once, instead of letting every caller wait for
// a time-out.
//
// # States
//
//	         FailureThreshold consecutive failures
//	closed ────────────────────────────────────────▶ open
//	  ▲                                             │  ▲
//	  │ ProbeSuccesses                ResetTimeout  │  │ a probe fails
//	  │ successful probes                           ▼  │
//	  └───────────────────────────────────────── half-open
//
// Closed: every call goes through; failures in a row are counted, one success
// clears the count, and time does not. Open: every call is rejected with an
// [*OpenError]. Half-open: at most Probes calls at a time go through to try
// the dependency, the others are rejected.
//
// Three rules beside the count of consecutive failures may open a closed breaker,
// each off until it is asked for: [Rate] for a share of failures in a window of
// time, [Slow] for a share of slow calls, and Config.Adaptive, which learns how
// many failures are normal and trips when more come than chance explains. And
// [Breaker.Watch] opens and closes it by probes of its own.
//
// An operator can set two holds beside them: [ForcedOpen] rejects every call
// and [Disabled] admits every call, whatever the dependency does, until the
// hold is released or expires.
//
// # Use
//
//	b, err := breaker.New(breaker.Config{Name: "redis"})
//	if err != nil {
//		return err
//	}
//	defer b.Close()
//
//	user, err := breaker.Do(ctx, b, func(ctx context.Context) (User, error) {
//		return load(ctx, id)
//	})
//	if errors.Is(err, breaker.ErrOpen) {
//		// rejected: load was not called
//	}
//
// One dependency needs one Breaker, whatever types its calls return. [Do] and
// [DoOr] take functions with a result, [Breaker.Run] takes functions without
// one, [Typed] is a view for one result type, and [Breaker.Acquire] with
// [Token.Done] serves code where a call does not begin and end in one function.
//
// # Promises
//
//   - A result counts only in the generation that admitted its call. Every
//     change of state, Reset, Trip and Hold begins a new generation; what was in
//     flight before is void afterwards, success and failure alike.
//   - A panic or runtime.Goexit in an operation counts as a failure, frees the
//     probe slot, and goes on unwinding. The package never recovers.
//   - A probe that hangs cannot wedge the breaker: after ProbeTimeout its slot
//     is free and its late result is void. A cancelled probe frees its slot at
//     once.
//   - State tells the truth without traffic: a timer, not the next call, moves
//     an open breaker to half-open.
//   - Hooks run one at a time, in the order of events, with no lock held. They
//     may call the breaker.
//   - A setting out of its range is an error from [New], never silently changed.
//
// # Cost
//
// A call through a closed breaker is two atomic loads: no store, no lock, no
// clock, no allocation. Counting successes (Config.Metrics) and Config.Adaptive
// add one atomic addition; [Rate] and [Slow] add a lock and one or two readings of
// the clock. A rejection allocates nothing and reads no clock. A breaker takes 320
// bytes and owns no goroutine and, from its first trip on, one timer.
//
// The whole state (generation, counters, state) is one 64-bit word. A mutex
// orders the changes of state; results change the counters by compare-and-swap,
// which fails, and so voids the result, as soon as the generation has moved on.
//
// # What it does not know
//
// The breaker sets no deadline on an operation and does not retry: a call that
// never returns is never counted (while half-open its slot is freed after
// ProbeTimeout). It shares nothing between processes and remembers nothing
// after a restart. It writes no log and keeps no metrics beyond [Stats]: that
// is what [Hooks] are for.
package breaker
