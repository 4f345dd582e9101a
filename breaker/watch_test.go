package breaker_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// dependency is what a Watch test probes.
type dependency struct {
	mu     sync.Mutex
	err    error
	hang   bool // until the context of the probe is done
	probes []time.Time
	ended  error // of the context of the last probe that hung
}

func (d *dependency) probe(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.probes = append(d.probes, time.Now())
	if !d.hang {
		return d.err
	}
	d.mu.Unlock()
	<-ctx.Done()
	d.mu.Lock()
	d.ended = ctx.Err()
	return ctx.Err()
}

// fail makes all further probes fail with err, or pass if it is nil.
func (d *dependency) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// probed returns the times of all probes so far.
func (d *dependency) probed() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.probes)
}

func (d *dependency) want(t *testing.T, n int) {
	t.Helper()
	if got := len(d.probed()); got != n {
		t.Fatalf("%d probes, want %d", got, n)
	}
}

// journal collects lines from hooks.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) want(t *testing.T, want string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := strings.Join(j.lines, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// watch runs Watch in a bubble until the test ends.
func watch(t *testing.T, cfg breaker.Config, wc breaker.WatchConfig, test func(t *testing.T, b *breaker.Breaker, d *dependency)) {
	t.Helper()
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		d := &dependency{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // also when the test has failed
		ended := make(chan error, 1)
		go func() { ended <- b.Watch(ctx, wc, d.probe) }()
		synctest.Wait()
		test(t, b, d)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch returned %v", err)
		}
	})
}

func TestWatchOpensAfterFailuresInARow(t *testing.T) {
	watch(t, breaker.Config{}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		pass(5*time.Second - 1)
		d.want(t, 0)
		pass(1)
		d.want(t, 1)
		d.fail(errDown)
		pass(10 * time.Second) // fails twice
		d.fail(nil)
		pass(5 * time.Second) // and passes
		d.fail(errDown)
		pass(10 * time.Second)
		d.want(t, 6)
		wantState(t, b, breaker.Closed)
		pass(5 * time.Second)
		wantState(t, b, breaker.Open)
		s := b.Stats()
		if s.FailureCount != 3 || s.TotalTrips != 1 || s.Failures != 5 {
			t.Errorf("got %s", asJSON(t, s))
		}
		if err := rejected(t, b); err.Cause != errDown {
			t.Errorf("cause is %v", err.Cause)
		}
	})
}

func TestWatchClosesEarly(t *testing.T) {
	watch(t, breaker.Config{}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.fail(errDown)
		pass(time.Second)
		b.Trip(nil)
		pass(250 * time.Millisecond)
		d.want(t, 1) // promptly, not with the next 5 s tick
		pass(20 * time.Second)
		wantState(t, b, breaker.Open)
		failures := b.Stats().Failures
		if failures != 0 {
			t.Errorf("%d failures counted while open", failures)
		}
		d.fail(nil)
		pass(300 * time.Millisecond)
		wantState(t, b, breaker.Closed)
		n := len(d.probed())
		pass(5*time.Second - 300*time.Millisecond) // back to the slow pace
		d.want(t, n)
		pass(300 * time.Millisecond)
		d.want(t, n+1)
	})
}

func TestWatchIntervalsWhileOpen(t *testing.T) {
	watch(t, breaker.Config{ResetTimeout: time.Hour}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.fail(errDown)
		b.Trip(nil)
		pass(2 * time.Minute)
		shortest, longest := time.Hour, time.Duration(0)
		probes := d.probed()
		for i, at := range probes[1:] {
			gap := at.Sub(probes[i])
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
		if shortest < 200*time.Millisecond || longest > 300*time.Millisecond {
			t.Errorf("gaps from %v to %v, want 200 ms to 300 ms", shortest, longest)
		}
		if longest-shortest < 50*time.Millisecond {
			t.Errorf("gaps from %v to %v: hardly any jitter", shortest, longest)
		}
	})
}

func TestWatchClosesHalfOpen(t *testing.T) {
	cfg := breaker.Config{ProbeSuccesses: 3}
	watch(t, cfg, breaker.WatchConfig{Every: time.Hour, OpenEvery: time.Minute}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		b.Trip(nil)
		pass(30 * time.Second)
		late := acquire(t, b)
		wantState(t, b, breaker.HalfOpen)
		d.want(t, 0)
		pass(30 * time.Second)
		d.want(t, 1) // half-open did not put it off
		wantState(t, b, breaker.Closed)
		late.Report(breaker.Failure)
		if s := b.Stats(); s.FailureCount != 0 {
			t.Errorf("the stale call counted: %s", asJSON(t, s))
		}
	})
}

func TestWatchReopensHalfOpen(t *testing.T) {
	var got journal
	cfg := breaker.Config{Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) { got.add("%s", tr.Reason) }}}
	watch(t, cfg, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.fail(errDown)
		b.Trip(nil)
		pass(32 * time.Second)
		wantState(t, b, breaker.Open)
		got.want(t, "trip,reset-timeout,watch-failed")
		d.fail(nil)
		pass(300 * time.Millisecond)
		got.want(t, "trip,reset-timeout,watch-failed,watch-passed")
	})
}

func TestWatchOpenOnly(t *testing.T) {
	watch(t, breaker.Config{}, breaker.WatchConfig{OpenOnly: true}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.fail(errDown)
		pass(time.Hour)
		d.want(t, 0)
		b.Trip(nil)
		pass(250 * time.Millisecond)
		d.want(t, 1)
		d.fail(nil)
		pass(300 * time.Millisecond)
		wantState(t, b, breaker.Closed)
		d.want(t, 2)
		pass(time.Hour)
		d.want(t, 2)
	})
}

func TestWatchTimeout(t *testing.T) {
	wc := breaker.WatchConfig{Every: 10 * time.Second, Timeout: 2 * time.Second, Failures: 1}
	watch(t, breaker.Config{}, wc, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.mu.Lock()
		d.hang = true
		d.mu.Unlock()
		pass(12*time.Second - 1)
		wantState(t, b, breaker.Closed)
		pass(1)
		wantState(t, b, breaker.Open)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.ended != context.DeadlineExceeded {
			t.Errorf("the context of the probe ended with %v", d.ended)
		}
	})
}

// A probe begun before a transition must do nothing after it.
func TestWatchStaleProbeDoesNothing(t *testing.T) {
	moves := map[string]struct {
		move func(b *breaker.Breaker)
		want breaker.State
	}{
		"reset": {(*breaker.Breaker).Reset, breaker.Closed},
		"trip":  {func(b *breaker.Breaker) { b.Trip(nil) }, breaker.Open},
		"hold":  {func(b *breaker.Breaker) { b.Hold(breaker.ForcedOpen, 0) }, breaker.Open},
		"trip again": {func(b *breaker.Breaker) {
			b.Reset()
			b.Trip(nil)
		}, breaker.Open},
	}
	for name, m := range moves {
		for _, err := range []error{nil, errDown} {
			t.Run(fmt.Sprintf("%s/%v", name, err), func(t *testing.T) {
				bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					d := &dependency{}
					go func() {
						_ = b.Watch(ctx, breaker.WatchConfig{Failures: 1, OpenEvery: time.Hour}, func(ctx context.Context) error {
							_ = d.probe(ctx)
							<-ctx.Done() // the transition ends it at once
							return err
						})
					}()
					if name == "trip again" {
						b.Trip(nil)
						b.Hold(breaker.Disabled, 0)()
					}
					pass(5 * time.Second)
					d.want(t, 1)
					m.move(b)
					before := asJSON(t, b.Stats())
					synctest.Wait()
					wantState(t, b, m.want)
					if after := asJSON(t, b.Stats()); after != before {
						t.Errorf("the stale probe changed\n%s to\n%s", before, after)
					}
				})
			})
		}
	}
}

// Failures of probes are counted anew in each generation.
func TestWatchNeverTripsARecoveredBreaker(t *testing.T) {
	watch(t, breaker.Config{}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		d.fail(errDown)
		pass(10 * time.Second)
		b.Reset()
		pass(10 * time.Second)
		d.want(t, 4)
		wantState(t, b, breaker.Closed)
		pass(5 * time.Second)
		wantState(t, b, breaker.Open)
	})
}

func TestWatchSuccessDoesNotClearFailuresOfCalls(t *testing.T) {
	watch(t, breaker.Config{}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		play(t, b, "FFFF")
		pass(time.Minute)
		d.want(t, 12)
		play(t, b, "F")
		wantState(t, b, breaker.Open)
	})
}

func TestWatchReportsFailures(t *testing.T) {
	var got journal
	cfg := breaker.Config{Hooks: breaker.Hooks{
		OnFailure: func(f breaker.FailureInfo) { got.add("%s %s %d", f.Source, f.State, f.FailureCount) },
		OnTransition: func(tr breaker.Transition) {
			got.add("%s %d", tr.Reason, tr.FailureCount)
		},
	}}
	watch(t, cfg, breaker.WatchConfig{Failures: 2}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
		play(t, b, "F")
		d.fail(errDown)
		pass(15 * time.Second)
		got.want(t, "call closed 1,watch closed 1,watch closed 2,watch-failed 3")
	})
}

func TestWatchRestsDuringAHold(t *testing.T) {
	for _, hold := range []breaker.HoldState{breaker.ForcedOpen, breaker.Disabled} {
		t.Run(hold.String(), func(t *testing.T) {
			watch(t, breaker.Config{}, breaker.WatchConfig{}, func(t *testing.T, b *breaker.Breaker, d *dependency) {
				b.Hold(hold, time.Hour)
				pass(time.Hour)
				d.want(t, 0)
				pass(5 * time.Second)
				d.want(t, 1)
			})
		})
	}
}

func TestWatchEnds(t *testing.T) {
	ends := map[string]func(b *breaker.Breaker, cancel func()){
		"with its context":  func(_ *breaker.Breaker, cancel func()) { cancel() },
		"with the breaker":  func(b *breaker.Breaker, _ func()) { b.Close() },
		"with both at once": func(b *breaker.Breaker, cancel func()) { b.Close(); cancel() },
	}
	for name, end := range ends {
		for _, probing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/probing %v", name, probing), func(t *testing.T) {
				bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					d := &dependency{hang: true}
					ended := false
					go func() {
						if err := b.Watch(ctx, breaker.WatchConfig{Failures: 1}, d.probe); err != nil {
							t.Errorf("Watch returned %v", err)
						}
						ended = true
					}()
					synctest.Wait()
					if probing {
						pass(5 * time.Second)
						d.want(t, 1)
					}
					end(b, cancel)
					synctest.Wait()
					if s := b.Stats(); !ended || s.Failures != 0 {
						t.Errorf("ended %v, %s", ended, asJSON(t, s))
					}
				})
			})
		}
	}
}

func TestWatchConfigIsValidated(t *testing.T) {
	for field, wc := range map[string]breaker.WatchConfig{
		"Every":     {Every: -1},
		"OpenEvery": {OpenEvery: math.MaxInt64},
		"Timeout":   {Timeout: -1},
		"Failures":  {Failures: -1},
	} {
		b := newBreaker(t, breaker.Config{})
		err := b.Watch(t.Context(), wc, func(context.Context) error { t.Error("probed"); return nil })
		if err == nil || !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("error does not name %s: %v", field, err)
		}
	}
}
