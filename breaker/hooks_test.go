package breaker_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

func TestTransitionsTellEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var got []breaker.Transition
		errLast := errors.New("last")
		b := newBreaker(t, breaker.Config{
			Name: "disk", FailureThreshold: 2,
			Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) { got = append(got, tr) }},
		})
		play(t, b, "F")
		acquire(t, b).Done(t.Context(), errLast)
		pass(30 * time.Second)
		play(t, b, "F")
		pass(30 * time.Second)
		play(t, b, "S")
		b.Trip(errLast)
		b.Hold(breaker.ForcedOpen, time.Minute) // open stays open, the hold is new
		pass(time.Minute)
		release := b.Hold(breaker.Disabled, 0)
		release()
		b.Trip(nil)
		b.Reset()

		at := func(d time.Duration) time.Time { return start.Add(d) }
		const c, o, h = breaker.Closed, breaker.Open, breaker.HalfOpen
		s := time.Second
		want := []breaker.Transition{
			{From: c, To: o, Reason: breaker.ReasonFailures, Cause: errLast, At: at(0), RetryIn: 30 * s, FailureCount: 2, TotalTrips: 1},
			{From: o, To: h, Reason: breaker.ReasonResetTimeout, At: at(30 * s), FailureCount: 2, TotalTrips: 1},
			{From: h, To: o, Reason: breaker.ReasonProbeFailed, Cause: errDown, At: at(30 * s), RetryIn: 30 * s, FailureCount: 3, TotalTrips: 2},
			{From: o, To: h, Reason: breaker.ReasonResetTimeout, At: at(60 * s), FailureCount: 3, TotalTrips: 2},
			{From: h, To: c, Reason: breaker.ReasonRecovered, At: at(60 * s), TotalTrips: 2},
			{From: c, To: o, Reason: breaker.ReasonTrip, Cause: errLast, At: at(60 * s), RetryIn: 30 * s, TotalTrips: 3},
			{From: o, To: o, Reason: breaker.ReasonHold, At: at(60 * s), RetryIn: 60 * s, Held: breaker.ForcedOpen, TotalTrips: 3},
			{From: o, To: c, Reason: breaker.ReasonHoldExpired, At: at(120 * s), TotalTrips: 3},
			{From: c, To: c, Reason: breaker.ReasonHold, At: at(120 * s), Held: breaker.Disabled, TotalTrips: 3},
			{From: c, To: c, Reason: breaker.ReasonRelease, At: at(120 * s), TotalTrips: 3},
			{From: c, To: o, Reason: breaker.ReasonTrip, At: at(120 * s), RetryIn: 30 * s, TotalTrips: 4},
			{From: o, To: c, Reason: breaker.ReasonReset, At: at(120 * s), TotalTrips: 4},
		}
		if len(got) != len(want) {
			t.Fatalf("%d transitions, want %d: %+v", len(got), len(want), got)
		}
		for i, tr := range got {
			want[i].Name, want[i].Generation = "disk", uint64(i+1)
			if !tr.At.Equal(want[i].At) {
				t.Errorf("transition %d at %v, want %v", i, tr.At, want[i].At)
			}
			tr.At, want[i].At = time.Time{}, time.Time{}
			if tr != want[i] {
				t.Errorf("transition %d is\n%+v, want\n%+v", i, tr, want[i])
			}
		}
	})
}

func TestFailuresTellEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var got []breaker.FailureInfo
		b := newBreaker(t, breaker.Config{
			Name: "disk", FailureThreshold: 2,
			Hooks: breaker.Hooks{OnFailure: func(f breaker.FailureInfo) { got = append(got, f) }},
		})
		late := acquire(t, b)
		play(t, b, "FSCF")
		acquire(t, b).Report(breaker.Failure)
		late.Done(t.Context(), errDown) // void: not reported
		pass(30 * time.Second)
		play(t, b, "F")
		b.Hold(breaker.Disabled, 0)
		play(t, b, "F")
		later := start.Add(30 * time.Second)
		want := []breaker.FailureInfo{
			{State: breaker.Closed, Err: errDown, At: start, FailureCount: 1},
			{State: breaker.Closed, Err: errDown, At: start, FailureCount: 1},
			{State: breaker.Closed, Err: breaker.ErrReported, At: start, FailureCount: 2},
			{State: breaker.HalfOpen, Err: errDown, At: later, FailureCount: 3},
			{State: breaker.Closed, Err: errDown, At: later, FailureCount: 3}, // while disabled
		}
		if len(got) != len(want) {
			t.Fatalf("%d failures, want %d: %+v", len(got), len(want), got)
		}
		for i, f := range got {
			want[i].Name, want[i].Source = "disk", breaker.SourceCall
			if !f.At.Equal(want[i].At) {
				t.Errorf("failure %d at %v, want %v", i, f.At, want[i].At)
			}
			f.At, want[i].At = time.Time{}, time.Time{}
			if f != want[i] {
				t.Errorf("failure %d is\n%+v, want\n%+v", i, f, want[i])
			}
		}
	})
}

// A hook that panics must not stop the events that wait behind it.
func TestPanicInAHookDoesNotStopTheOthers(t *testing.T) {
	var b *breaker.Breaker
	var got []breaker.State
	b = newBreaker(t, breaker.Config{Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) {
		got = append(got, tr.To)
		if len(got) == 1 {
			b.Reset()
			b.Hold(breaker.ForcedOpen, 0)
			panic("boom")
		}
	}}})
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		b.Trip(nil)
	}()
	if len(got) != 3 {
		t.Errorf("transitions to %v, want open, closed, open", got)
	}
	b.Reset()
	if len(got) != 4 {
		t.Errorf("transitions to %v: none after the panic", got)
	}
}

// A hook that takes its time holds up the hooks behind it, and no call.
func TestSlowHookBlocksNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most int
		hold := make(chan struct{})
		b := newBreaker(t, breaker.Config{Hooks: breaker.Hooks{OnTransition: func(breaker.Transition) {
			running++
			most = max(most, running)
			<-hold
			running--
		}}})
		go b.Trip(nil)
		synctest.Wait()
		b.Reset() // does not wait for the hook of Trip
		play(t, b, "SF")
		wantState(t, b, breaker.Closed)
		close(hold)
		synctest.Wait()
		if most != 1 || running != 0 {
			t.Errorf("%d hooks at once, %d still running", most, running)
		}
	})
}
