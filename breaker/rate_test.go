package breaker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// aShare is a breaker that the count of failures in a row never opens.
func aShare(r breaker.Rate) breaker.Config {
	return breaker.Config{FailureThreshold: 1000, Rate: &r}
}

func TestRateOpensAtItsShareAndVolume(t *testing.T) {
	tests := []struct {
		name  string
		rate  breaker.Rate
		calls string
		want  breaker.State
	}{
		{"half, the last a failure", breaker.Rate{MinCalls: 10}, "SSSSSFFFFF", breaker.Open},
		{"less than half", breaker.Rate{MinCalls: 10}, "SSSSSSFFFFF", breaker.Closed},
		{"too few calls", breaker.Rate{MinCalls: 10}, "FFFFFFFFF", breaker.Closed},
		{"the volume is reached by a success", breaker.Rate{MinCalls: 10}, "FFFFFSSSSS", breaker.Closed},
		{"and then a failure comes", breaker.Rate{MinCalls: 10}, "FFFFFSSSSSF", breaker.Open},
		{"cancelled calls are no volume", breaker.Rate{MinCalls: 10}, "FFFFFCCCCC", breaker.Closed},
		{"every call", breaker.Rate{Share: 1, MinCalls: 3}, "FFSFF", breaker.Closed},
		{"all of them", breaker.Rate{Share: 1, MinCalls: 3}, "FFF", breaker.Open},
		{"a tenth", breaker.Rate{Share: 0.1, MinCalls: 10}, "SSSSSSSSSF", breaker.Open},
		{"defaults", breaker.Rate{}, "SSSSSSSSSSFFFFFFFFFF", breaker.Open},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, aShare(test.rate), func(t *testing.T, b *breaker.Breaker) {
				play(t, b, test.calls)
				wantState(t, b, test.want)
			})
		})
	}
}

func TestRateForgetsWhatIsOlderThanItsWindow(t *testing.T) {
	for _, old := range []bool{false, true} {
		bubble(t, aShare(breaker.Rate{Window: 10 * time.Second, MinCalls: 6}), func(t *testing.T, b *breaker.Breaker) {
			play(t, b, "FFF")
			if old {
				pass(10 * time.Second)
			} else {
				pass(9*time.Second - 1)
			}
			play(t, b, "SSF")
			if old {
				wantState(t, b, breaker.Closed)
				play(t, b, "FFF")
			}
			wantState(t, b, breaker.Open)
		})
	}
}

func TestRateBesideFailureThreshold(t *testing.T) {
	var reasons []breaker.Reason
	cfg := breaker.Config{FailureThreshold: 3, Rate: &breaker.Rate{MinCalls: 4}}
	cfg.Hooks.OnTransition = func(tr breaker.Transition) { reasons = append(reasons, tr.Reason) }
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "FFF") // too few for Rate
		wantState(t, b, breaker.Open)
		b.Reset()
		play(t, b, "FFSF") // never three in a row
		wantState(t, b, breaker.Open)
		if s := b.Stats(); s.FailureCount != 1 || s.TotalTrips != 2 || s.Failures != 6 {
			t.Errorf("got %s", asJSON(t, s))
		}
		if err := rejected(t, b); err.Cause != errDown {
			t.Errorf("cause is %v", err.Cause)
		}
	})
	want := []breaker.Reason{breaker.ReasonFailures, breaker.ReasonReset, breaker.ReasonRate}
	if len(reasons) != 3 || reasons[0] != want[0] || reasons[1] != want[1] || reasons[2] != want[2] {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
}

// Every transition begins the count anew.
func TestRateStartsAfreshWhenClosedAgain(t *testing.T) {
	ways := map[string]func(t *testing.T, b *breaker.Breaker){
		"Reset":   func(_ *testing.T, b *breaker.Breaker) { b.Reset() },
		"probe":   func(t *testing.T, b *breaker.Breaker) { b.Trip(nil); pass(30 * time.Second); play(t, b, "S") },
		"release": func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.Disabled, 0)() },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			cfg := aShare(breaker.Rate{Window: time.Hour, MinCalls: 6})
			bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
				play(t, b, "FFFFF")
				way(t, b)
				play(t, b, "FFFFF")
				wantState(t, b, breaker.Closed)
				play(t, b, "F")
				wantState(t, b, breaker.Open)
			})
		})
	}
}

func TestRateIgnoresStaleResults(t *testing.T) {
	bubble(t, aShare(breaker.Rate{MinCalls: 4}), func(t *testing.T, b *breaker.Breaker) {
		var late []*breaker.Token
		for range 20 {
			late = append(late, acquire(t, b))
		}
		b.Reset()
		for i, token := range late {
			token.Report(breaker.Outcome(i % 2)) // successes and failures
		}
		wantState(t, b, breaker.Closed)
		play(t, b, "FFF")
		wantState(t, b, breaker.Closed)
		play(t, b, "F")
		wantState(t, b, breaker.Open)
	})
}

// take makes a call that lasts for d.
func take(tb testing.TB, b *breaker.Breaker, d time.Duration, err error) {
	tb.Helper()
	token := acquire(tb, b)
	pass(d)
	token.Done(tb.Context(), err)
}

func slowConfig() breaker.Config {
	return breaker.Config{
		FailureThreshold: 1000,
		Slow:             &breaker.Slow{Over: time.Second, Window: time.Minute, MinCalls: 4},
	}
}

func TestSlowOpensAtItsShareAndVolume(t *testing.T) {
	const quick, slow = time.Second, time.Second + 1
	tests := []struct {
		name  string
		calls []time.Duration
		err   error
		want  breaker.State
	}{
		{"half", []time.Duration{quick, slow, quick, slow}, nil, breaker.Open},
		{"too few calls", []time.Duration{slow, slow, slow}, nil, breaker.Closed},
		{"less than half", []time.Duration{quick, quick, quick, slow}, nil, breaker.Closed},
		{"the volume is reached by a quick call", []time.Duration{slow, slow, slow, quick}, nil, breaker.Closed},
		{"failed calls are slow too", []time.Duration{slow, slow, slow, slow}, errDown, breaker.Open},
		{"quick failures are not", []time.Duration{quick, quick, quick, quick, quick}, errDown, breaker.Closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, slowConfig(), func(t *testing.T, b *breaker.Breaker) {
				for _, d := range test.calls {
					take(t, b, d, test.err)
				}
				wantState(t, b, test.want)
				if test.want != breaker.Open {
					return
				}
				cause := errors.Join(rejected(t, b).Cause)
				if want := map[bool]error{true: breaker.ErrSlow, false: errDown}[test.err == nil]; !errors.Is(cause, want) {
					t.Errorf("cause is %v, want %v", cause, want)
				}
			})
		})
	}
}

// A slow success clears the count of failures: it did succeed.
func TestSlowSuccessIsASuccess(t *testing.T) {
	cfg := slowConfig()
	cfg.FailureThreshold = 2
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		take(t, b, time.Minute, nil)
		play(t, b, "F")
		wantState(t, b, breaker.Closed)
	})
}

func TestSlowProbeIsAFailure(t *testing.T) {
	bubble(t, slowConfig(), func(t *testing.T, b *breaker.Breaker) {
		b.Trip(nil)
		pass(30 * time.Second)
		take(t, b, time.Second+1, nil)
		wantState(t, b, breaker.Open)
		if cause := rejected(t, b).Cause; !errors.Is(cause, breaker.ErrSlow) {
			t.Errorf("cause is %v", cause)
		}
		pass(30 * time.Second)
		take(t, b, time.Second, nil)
		wantState(t, b, breaker.Closed)
	})
}

func TestSlowAndRateTogether(t *testing.T) {
	cfg := slowConfig()
	cfg.Rate = &breaker.Rate{Share: 0.5, Window: time.Minute, MinCalls: 4}
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "SSFF") // quick, half of them failed
		wantState(t, b, breaker.Open)
		b.Reset()
		for range 4 { // slow, none failed
			wantState(t, b, breaker.Closed)
			take(t, b, 2*time.Second, nil)
		}
		wantState(t, b, breaker.Open)
	})
}

// The other ways in take the time as well.
func TestSlowThroughEveryEntry(t *testing.T) {
	for name, call := range entries {
		t.Run(name, func(t *testing.T) {
			bubble(t, slowConfig(), func(t *testing.T, b *breaker.Breaker) {
				for range 4 {
					wantState(t, b, breaker.Closed)
					if err := call(b, func() { pass(2 * time.Second) }); err != nil {
						t.Fatal(err)
					}
				}
				wantState(t, b, breaker.Open)
			})
		})
	}
}
