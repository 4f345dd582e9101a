package breaker_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// invalidConfigs are named after the fields that the error must name.
var invalidConfigs = []struct {
	name string
	cfg  breaker.Config
}{
	{"FailureThreshold", breaker.Config{FailureThreshold: -1}},
	{"FailureThreshold", breaker.Config{FailureThreshold: 1 << 24}},
	{"ResetTimeout", breaker.Config{ResetTimeout: -1}},
	{"ResetTimeout", breaker.Config{ResetTimeout: math.MaxInt64}},
	{"Backoff.Factor", breaker.Config{Backoff: breaker.Backoff{Factor: 0.99}}},
	{"Backoff.Factor", breaker.Config{Backoff: breaker.Backoff{Factor: -1}}},
	{"Backoff.Factor", breaker.Config{Backoff: breaker.Backoff{Factor: math.NaN()}}},
	{"Backoff.Factor", breaker.Config{Backoff: breaker.Backoff{Factor: math.Inf(1)}}},
	{"Backoff.Max", breaker.Config{Backoff: breaker.Backoff{Max: -1}}},
	{"Backoff.Max", breaker.Config{Backoff: breaker.Backoff{Max: 30*time.Second - 1}}},
	{"Backoff.Max", breaker.Config{Backoff: breaker.Backoff{Max: math.MaxInt64}}},
	{"Backoff.Jitter", breaker.Config{Backoff: breaker.Backoff{Jitter: -0.1}}},
	{"Backoff.Jitter", breaker.Config{Backoff: breaker.Backoff{Jitter: 1.01}}},
	{"Backoff.Jitter", breaker.Config{Backoff: breaker.Backoff{Jitter: math.NaN()}}},
	{"Probes", breaker.Config{Probes: -1}},
	{"Probes", breaker.Config{Probes: 4096}},
	{"ProbeSuccesses", breaker.Config{ProbeSuccesses: -1}},
	{"ProbeSuccesses", breaker.Config{ProbeSuccesses: 4096}},
	{"ProbeTimeout", breaker.Config{ProbeTimeout: -1}},
	{"ProbeTimeout", breaker.Config{ProbeTimeout: math.MaxInt64}},
	{"FailureThreshold", breaker.Config{FailureThreshold: 512, Adaptive: true}},
	{"Rate.Share", breaker.Config{Rate: &breaker.Rate{Share: 1.01}}},
	{"Rate.Share", breaker.Config{Rate: &breaker.Rate{Share: -0.1}}},
	{"Rate.Share", breaker.Config{Rate: &breaker.Rate{Share: math.NaN()}}},
	{"Rate.Window", breaker.Config{Rate: &breaker.Rate{Window: -1}}},
	{"Rate.MinCalls", breaker.Config{Rate: &breaker.Rate{MinCalls: -1}}},
	{"Slow.Over", breaker.Config{Slow: &breaker.Slow{}}},
	{"Slow.Over", breaker.Config{Slow: &breaker.Slow{Over: -1}}},
	{"Slow.Share", breaker.Config{Slow: &breaker.Slow{Over: 1, Share: 2}}},
	{"Slow.Window", breaker.Config{Slow: &breaker.Slow{Over: 1, Window: math.MaxInt64}}},
	{"Slow.MinCalls", breaker.Config{Slow: &breaker.Slow{Over: 1, MinCalls: 1 << 31}}},
	{"Rate.Share Slow.Over", breaker.Config{Rate: &breaker.Rate{Share: 2}, Slow: &breaker.Slow{}}},
	{"Probes ProbeTimeout", breaker.Config{Probes: -1, ProbeTimeout: -1}},
}

func TestLimitsThemselvesAreValid(t *testing.T) {
	for _, cfg := range []breaker.Config{
		{},
		{FailureThreshold: 1<<24 - 1, Probes: 4095, ProbeSuccesses: 4095},
		{ResetTimeout: 1, ProbeTimeout: 1, Backoff: breaker.Backoff{Factor: 1, Max: 1, Jitter: 1}},
		{FailureThreshold: 511, Adaptive: true},
		{Rate: &breaker.Rate{Share: 1, Window: 1, MinCalls: 1}},
		{Slow: &breaker.Slow{Over: 1, Share: 1, Window: 1, MinCalls: 1<<31 - 1}},
		{ResetTimeout: time.Hour}, // the default of Backoff.Max gives way
	} {
		if _, err := breaker.New(cfg); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestManyProbesFitTheWord(t *testing.T) {
	cfg := breaker.Config{FailureThreshold: 1, Probes: 4095, ProbeSuccesses: 4095}
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		pass(30 * time.Second)
		tokens := make([]*breaker.Token, 0, 4095)
		for range 4095 {
			tokens = append(tokens, acquire(t, b))
		}
		rejected(t, b)
		for i, token := range tokens {
			wantState(t, b, breaker.HalfOpen)
			token.Report(breaker.Success)
			if i < 4094 {
				tokens[i] = acquire(t, b) // a free slot, and never one too many
				rejected(t, b)
			}
		}
		wantState(t, b, breaker.Closed)
	})
}

func TestBackoff(t *testing.T) {
	cfg := breaker.Config{
		FailureThreshold: 1, ResetTimeout: 10 * time.Second,
		Backoff: breaker.Backoff{Factor: 3, Max: time.Minute, Jitter: 1e-15},
	}
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		// Twice: closing in between ends the row of trips.
		for range 2 {
			for _, seconds := range []time.Duration{10, 30, 60, 60} {
				play(t, b, "F")
				if got := rejected(t, b).RetryAfter(); got != seconds*time.Second {
					t.Errorf("RetryAfter is %v, want %d s", got, seconds)
				}
				pass(seconds*time.Second - 1)
				wantState(t, b, breaker.Open)
				pass(1)
				wantState(t, b, breaker.HalfOpen)
			}
			play(t, b, "S")
		}
	})
}

func TestJitterOnlyLengthensAndNotTheFirstTrip(t *testing.T) {
	cfg := breaker.Config{FailureThreshold: 1, Backoff: breaker.Backoff{Jitter: 0.5}}
	bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		if got := rejected(t, b).RetryAfter(); got != 30*time.Second {
			t.Fatalf("first trip lasts %v, want 30s", got)
		}
		longest := time.Duration(0)
		pass(30 * time.Second)
		for range 200 {
			play(t, b, "F")
			d := rejected(t, b).RetryAfter()
			if d < 30*time.Second || d > 45*time.Second {
				t.Fatalf("trip lasts %v, want 30 s to 45 s", d)
			}
			longest = max(longest, d)
			pass(d)
			wantState(t, b, breaker.HalfOpen)
		}
		if longest < 40*time.Second {
			t.Errorf("the longest of 200 trips lasts %v: hardly any jitter", longest)
		}
	})
}

func TestClassify(t *testing.T) {
	type key struct{}
	errMissing, errOdd := errors.New("not found"), errors.New("odd")
	b := newBreaker(t, breaker.Config{
		FailureThreshold: 1, Metrics: true,
		Classify: func(ctx context.Context, err error) breaker.Outcome {
			switch {
			case ctx.Value(key{}) != "caller":
				panic("not the context of the call")
			case errors.Is(err, errMissing):
				return breaker.Success
			case err == nil:
				return breaker.Ignore
			default:
				return breaker.Outcome(77) // no outcome: a failure
			}
		},
	})
	ctx := context.WithValue(t.Context(), key{}, "caller")
	for _, err := range []error{errMissing, nil, errOdd} {
		if got := b.Run(ctx, func(context.Context) error { return err }); !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
	}
	s := b.Stats()
	if *s.Successes != 1 || s.Ignored != 1 || s.Failures != 1 || s.State != breaker.Open {
		t.Errorf("got %s", asJSON(t, s))
	}
}

func TestPanicInClassifyIsAFailure(t *testing.T) {
	b := newBreaker(t, breaker.Config{
		FailureThreshold: 1,
		Classify:         func(context.Context, error) breaker.Outcome { panic("boom") },
	})
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not go on")
			}
		}()
		_ = b.Run(t.Context(), func(context.Context) error { return nil })
	}()
	wantState(t, b, breaker.Open)
}
