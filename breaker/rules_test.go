package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// The tests in this file and in rules2_test.go are the rules of the breaker, one
// by one.

var unwinding = map[string]func(){
	"panic":  func() { panic("boom") },
	"goexit": runtime.Goexit,
}

var entries = map[string]func(b *breaker.Breaker, op func()) error{
	"Do": func(b *breaker.Breaker, op func()) error {
		_, err := breaker.Do(context.Background(), b, func(context.Context) (int, error) { op(); return 0, nil })
		return err
	},
	"DoOr": func(b *breaker.Breaker, op func()) error {
		_, err := breaker.DoOr(context.Background(), b,
			func(context.Context) (int, error) { op(); return 0, nil },
			func(_ context.Context, err error) (int, error) { return 0, err })
		return err
	},
	"Run": func(b *breaker.Breaker, op func()) error {
		return b.Run(context.Background(), func(context.Context) error { op(); return nil })
	},
	"Typed": func(b *breaker.Breaker, op func()) error {
		_, err := breaker.Typed[int]{B: b}.Do(context.Background(), func(context.Context) (int, error) { op(); return 0, nil })
		return err
	},
}

func TestRule1UnwindingIsAFailureAndGoesOn(t *testing.T) {
	for entry, call := range entries {
		for how, unwind := range unwinding {
			t.Run(entry+"/"+how, func(t *testing.T) {
				bubble(t, breaker.Config{FailureThreshold: 1}, func(t *testing.T, b *breaker.Breaker) {
					// run makes a call in a goroutine, as Goexit would end the
					// test, and tells what it saw.
					run := func() (recovered any, returned bool) {
						done := make(chan struct{})
						go func() {
							defer close(done)
							defer func() { recovered = recover() }()
							_ = call(b, unwind)
							returned = true
						}()
						<-done
						return recovered, returned
					}
					for range 2 { // closed, then as the half-open probe
						recovered, returned := run()
						if returned || (how == "panic") != (recovered == "boom") {
							t.Fatalf("recovered %v, returned %v: it did not go on unwinding", recovered, returned)
						}
						if err := rejected(t, b); !errors.Is(err.Cause, breaker.ErrPanic) {
							t.Fatalf("cause is %v", err.Cause)
						}
						pass(30 * time.Second)
						wantState(t, b, breaker.HalfOpen)
					}
					play(t, b, "S") // the slot is free
					wantState(t, b, breaker.Closed)
				})
			})
		}
	}
}

func TestRule2HungProbeNeverWedges(t *testing.T) {
	for _, outcome := range []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			cfg := breaker.Config{FailureThreshold: 1, ProbeTimeout: 7 * time.Second}
			bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
				play(t, b, "F")
				pass(30 * time.Second)
				hung := acquire(t, b)
				pass(7*time.Second - 1)
				rejected(t, b)
				pass(1)
				next := acquire(t, b) // at once, without any call before
				hung.Report(outcome)  // void: changes nothing, frees nothing
				wantState(t, b, breaker.HalfOpen)
				rejected(t, b)
				next.Report(breaker.Success)
				wantState(t, b, breaker.Closed)
			})
		})
	}
}

func TestRule2EachProbeHasItsOwnTimeout(t *testing.T) {
	cfg := breaker.Config{FailureThreshold: 1, Probes: 3, ProbeSuccesses: 4, ProbeTimeout: 10 * time.Second}
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		pass(30 * time.Second)
		first := acquire(t, b)
		pass(4 * time.Second)
		second := acquire(t, b)
		pass(3 * time.Second)
		third := acquire(t, b)
		rejected(t, b)
		pass(3 * time.Second) // first is void, 10 s after it began
		fourth := acquire(t, b)
		rejected(t, b)
		second.Report(breaker.Success)
		pass(7 * time.Second) // third is void
		first.Report(breaker.Failure)
		third.Report(breaker.Failure)
		wantState(t, b, breaker.HalfOpen)
		fourth.Report(breaker.Success)
		play(t, b, "S")
		wantState(t, b, breaker.HalfOpen) // three of four
		play(t, b, "S")
		wantState(t, b, breaker.Closed)
	})
}

func TestRule2DefaultProbeTimeoutIsResetTimeout(t *testing.T) {
	bubble(t, breaker.Config{FailureThreshold: 1, ResetTimeout: 3 * time.Second}, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		pass(3 * time.Second)
		acquire(t, b)
		pass(3*time.Second - 1)
		rejected(t, b)
		pass(1)
		acquire(t, b)
	})
}

// TestRule3StaleResultsAreVoid admits a call, makes a transition, and settles
// the call afterwards.
func TestRule3StaleResultsAreVoid(t *testing.T) {
	transitions := map[string]struct {
		before, after func(t *testing.T, b *breaker.Breaker)
	}{
		"closed to open":      {after: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F") }},
		"closed to half-open": {after: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second) }},
		"closed to closed":    {after: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second); play(t, b, "S") }},
		"half-open to open": {
			before: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second) },
			after:  func(t *testing.T, b *breaker.Breaker) { play(t, b, "F") },
		},
		"half-open to half-open": {
			before: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second) },
			after:  func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second) },
		},
		"half-open to closed": {
			before: func(t *testing.T, b *breaker.Breaker) { play(t, b, "F"); pass(30 * time.Second) },
			after:  func(t *testing.T, b *breaker.Breaker) { play(t, b, "S") },
		},
		"Reset":          {after: func(_ *testing.T, b *breaker.Breaker) { b.Reset() }},
		"Trip":           {after: func(_ *testing.T, b *breaker.Breaker) { b.Trip(errDown) }},
		"Hold open":      {after: func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.ForcedOpen, 0) }},
		"Hold disabled":  {after: func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.Disabled, 0) }},
		"Hold, released": {after: func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.Disabled, 0)() }},
		"Close":          {after: func(_ *testing.T, b *breaker.Breaker) { b.Close() }},
		"release": {
			before: func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.Disabled, 0) },
			after:  func(_ *testing.T, b *breaker.Breaker) { b.Release() },
		},
	}
	for name, transition := range transitions {
		for _, outcome := range []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore} {
			t.Run(fmt.Sprintf("%s/%v", name, outcome), func(t *testing.T) {
				cfg := breaker.Config{FailureThreshold: 1, Probes: 2, Metrics: true}
				bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
					if transition.before != nil {
						transition.before(t, b)
					}
					late := acquire(t, b)
					transition.after(t, b)
					before := asJSON(t, b.Stats())
					late.Report(outcome)
					if after := asJSON(t, b.Stats()); after != before {
						t.Errorf("the late result changed\n%s to\n%s", before, after)
					}
				})
			})
		}
	}
}

func TestRule4HalfOpenAdmitsExactlyProbes(t *testing.T) {
	for _, probes := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(probes), func(t *testing.T) {
			cfg := breaker.Config{FailureThreshold: 1, Probes: probes}
			bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
				play(t, b, "F")
				pass(30 * time.Second)
				var admitted, refused int
				var mu sync.Mutex
				var wg sync.WaitGroup
				start := make(chan struct{})
				for range 100 {
					wg.Go(func() {
						<-start
						_, err := b.Acquire()
						mu.Lock()
						defer mu.Unlock()
						if err == nil {
							admitted++
						} else {
							refused++
						}
					})
				}
				close(start)
				wg.Wait()
				if admitted != probes || refused != 100-probes {
					t.Errorf("admitted %d and rejected %d, want %d admitted", admitted, refused, probes)
				}
				if got := b.Stats().Rejected; got != uint64(refused) {
					t.Errorf("Rejected is %d, want %d", got, refused)
				}
			})
		})
	}
}

func TestRule5WhoseCancelItIs(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelExpired()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want breaker.Outcome
	}{
		{"no error", t.Context(), nil, breaker.Success},
		{"no error although cancelled", cancelled, nil, breaker.Success},
		{"the caller's cancel", cancelled, context.Canceled, breaker.Ignore},
		{"the caller's cancel, wrapped", cancelled, fmt.Errorf("get: %w", context.Canceled), breaker.Ignore},
		{"a cancel inside the operation", t.Context(), context.Canceled, breaker.Failure},
		{"another error of a cancelled call", cancelled, errDown, breaker.Failure},
		{"a deadline of the operation", t.Context(), context.DeadlineExceeded, breaker.Failure},
		{"the caller's deadline", expired, context.DeadlineExceeded, breaker.Failure},
		{"a cancel inside after the caller's deadline", expired, context.Canceled, breaker.Failure},
		{"any error", t.Context(), errDown, breaker.Failure},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := breaker.DefaultClassify(test.ctx, test.err); got != test.want {
				t.Errorf("outcome %v, want %v", got, test.want)
			}
			b := newBreaker(t, breaker.Config{FailureThreshold: 1, Metrics: true})
			_ = b.Run(test.ctx, func(context.Context) error { return test.err })
			s := b.Stats()
			got := [...]uint64{breaker.Success: *s.Successes, breaker.Failure: s.Failures, breaker.Ignore: s.Ignored}
			var want [3]uint64
			want[test.want] = 1
			if got != want {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

func TestRule6CancelledProbeFreesItsSlotAtOnce(t *testing.T) {
	bubble(t, breaker.Config{FailureThreshold: 1}, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		pass(30 * time.Second)
		play(t, b, "CCC")
		wantState(t, b, breaker.HalfOpen)
		play(t, b, "CS")
		wantState(t, b, breaker.Closed)
	})
}

func TestRule7ConsecutiveMeansConsecutive(t *testing.T) {
	tests := []struct {
		calls string
		want  breaker.State
		count int
	}{
		{"FFFF", breaker.Closed, 4},
		{"FFFFF", breaker.Open, 5}, // the fifth, not the sixth
		{"FFFFSF", breaker.Closed, 1},
		{"FFFFSFFFFS", breaker.Closed, 0},
		{"FFFFSFFFFF", breaker.Open, 5},
		{"FFCFCFC", breaker.Closed, 4}, // a cancel neither counts nor clears
		{"FFCFCFCF", breaker.Open, 5},
		{"DDDDD", breaker.Open, 5},
	}
	for _, test := range tests {
		t.Run(test.calls, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{})
			play(t, b, test.calls)
			wantState(t, b, test.want)
			if got := b.Stats().FailureCount; got != test.count {
				t.Errorf("FailureCount is %d, want %d", got, test.count)
			}
		})
	}
}

func TestRule8StateIsTrueWithoutTraffic(t *testing.T) {
	bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "FFFFF")
		pass(30*time.Second - 1)
		wantState(t, b, breaker.Open)
		if got := rejected(t, b).RetryAfter(); got != 1 {
			t.Errorf("RetryAfter is %v, want 1ns", got)
		}
		pass(1)
		wantState(t, b, breaker.HalfOpen)
		acquire(t, b)
	})
}
