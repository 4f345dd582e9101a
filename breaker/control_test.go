package breaker_test

import (
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

func TestHoldExpires(t *testing.T) {
	for hold, during := range map[breaker.HoldState]breaker.State{
		breaker.ForcedOpen: breaker.Open, breaker.Disabled: breaker.Closed,
	} {
		t.Run(hold.String(), func(t *testing.T) {
			bubble(t, breaker.Config{FailureThreshold: 1}, func(t *testing.T, b *breaker.Breaker) {
				b.Hold(hold, time.Minute)
				pass(time.Minute - 1)
				wantState(t, b, during)
				if b.Stats().Held == nil {
					t.Fatal("the hold ended early")
				}
				pass(1)
				wantState(t, b, breaker.Closed)
				if b.Stats().Held != nil {
					t.Fatal("the hold did not end")
				}
				play(t, b, "F")
				wantState(t, b, breaker.Open)
			})
		})
	}
}

func TestHoldForEver(t *testing.T) {
	bubble(t, breaker.Config{FailureThreshold: 1}, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F") // its timer must not end the hold
		b.Hold(breaker.ForcedOpen, 0)
		pass(1000 * time.Hour)
		rejected(t, b)
		b.Hold(breaker.Disabled, 0)
		pass(1000 * time.Hour)
		play(t, b, "FFFFFFFFFF")
		wantState(t, b, breaker.Closed)
	})
}

func TestReleaseEndsItsOwnHoldOnly(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	first := b.Hold(breaker.ForcedOpen, 0)
	second := b.Hold(breaker.ForcedOpen, 0)
	first()
	wantState(t, b, breaker.Open)
	second()
	wantState(t, b, breaker.Closed)
	b.Hold(breaker.ForcedOpen, 0)
	second() // again, long after
	wantState(t, b, breaker.Open)
	b.Release()
	wantState(t, b, breaker.Closed)
	b.Trip(nil)
	b.Release() // there is no hold
	first()
	wantState(t, b, breaker.Open)
}

func TestHoldIsReplaced(t *testing.T) {
	bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
		b.Hold(breaker.ForcedOpen, time.Minute)
		pass(30 * time.Second)
		b.Hold(breaker.ForcedOpen, time.Minute) // anew from here
		pass(time.Minute - 1)
		rejected(t, b)
		b.Hold(breaker.ForcedOpen, 0) // no end any more
		pass(time.Hour)
		rejected(t, b)
	})
}

func TestCommandsAgainstAHold(t *testing.T) {
	tests := []struct {
		name    string
		hold    breaker.HoldState
		command func(*breaker.Breaker)
		want    breaker.State
		held    bool
	}{
		{"Reset ends forced-open", breaker.ForcedOpen, (*breaker.Breaker).Reset, breaker.Closed, false},
		{"Reset ends disabled", breaker.Disabled, (*breaker.Breaker).Reset, breaker.Closed, false},
		{"Trip leaves forced-open", breaker.ForcedOpen, func(b *breaker.Breaker) { b.Trip(nil) }, breaker.Open, true},
		{"Trip ends disabled", breaker.Disabled, func(b *breaker.Breaker) { b.Trip(nil) }, breaker.Open, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{})
			b.Hold(test.hold, 0)
			test.command(b)
			wantState(t, b, test.want)
			if held := b.Stats().Held != nil; held != test.held {
				t.Errorf("held is %v, want %v", held, test.held)
			}
		})
	}
}

func TestTripWhileOpenDoesNotExtend(t *testing.T) {
	bubble(t, breaker.Config{}, func(t *testing.T, b *breaker.Breaker) {
		b.Trip(errDown)
		pass(29 * time.Second)
		b.Trip(nil)
		if err := rejected(t, b); err.RetryAfter() != time.Second || err.Cause != errDown {
			t.Errorf("retry after %v, cause %v", err.RetryAfter(), err.Cause)
		}
		pass(time.Second)
		wantState(t, b, breaker.HalfOpen)
		b.Trip(nil)
		wantState(t, b, breaker.Open)
	})
}

func TestHoldRefusesMistakes(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	for name, hold := range map[string]func(){
		"no state":          func() { b.Hold(0, 0) },
		"unknown state":     func() { b.Hold(3, 0) },
		"negative duration": func() { b.Hold(breaker.Disabled, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
				if b.Stats().Held != nil || b.Stats().Generation != 0 {
					t.Error("it had an effect")
				}
			}()
			hold()
		})
	}
}

// TestCloseStandsStill closes the breaker in each state; whatever is done to it
// afterwards, it admits or rejects as before.
func TestCloseStandsStill(t *testing.T) {
	tests := []struct {
		name  string
		reach func(t *testing.T, b *breaker.Breaker)
		want  breaker.State
	}{
		{"closed", func(*testing.T, *breaker.Breaker) {}, breaker.Closed},
		{"disabled", func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.Disabled, time.Second) }, breaker.Closed},
		{"open", func(_ *testing.T, b *breaker.Breaker) { b.Trip(nil) }, breaker.Open},
		{"half-open", func(_ *testing.T, b *breaker.Breaker) { b.Trip(nil); pass(30 * time.Second) }, breaker.Open},
		{"probing", func(t *testing.T, b *breaker.Breaker) { b.Trip(nil); pass(30 * time.Second); acquire(t, b) }, breaker.Open},
		{"forced open", func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.ForcedOpen, time.Second) }, breaker.Open},
	}
	events := 0
	hooks := breaker.Hooks{
		OnTransition: func(breaker.Transition) { events++ },
		OnFailure:    func(breaker.FailureInfo) { events++ },
	}
	for i := range 2 * len(tests) {
		test, cfg := tests[i/2], breaker.Config{}
		if i%2 == 1 {
			cfg.Hooks = hooks
		}
		t.Run(test.name, func(t *testing.T) {
			bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
				test.reach(t, b)
				b.Close()
				b.Close()
				before, held := events, b.Stats().Held != nil
				for range 10 {
					token, err := b.Acquire()
					if (err == nil) != (test.want == breaker.Closed) {
						t.Fatalf("call got %v", err)
					}
					token.Report(breaker.Failure)
					b.Reset()
					b.Trip(nil)
					b.Hold(breaker.Disabled, 0)()
					b.Hold(breaker.ForcedOpen, 0)
					b.Release()
					pass(time.Minute)
					wantState(t, b, test.want)
				}
				if s := b.Stats(); s.FailureCount != 0 || s.Failures != 0 {
					t.Errorf("counted after Close: %s", asJSON(t, s))
				}
				if events != before || held != (b.Stats().Held != nil) {
					t.Errorf("%d events after Close, hold changed from %v", events-before, held)
				}
			})
		})
	}
}
