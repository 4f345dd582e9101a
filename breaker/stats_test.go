package breaker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

func asJSON(tb testing.TB, v any) string {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// In a synctest bubble the clock starts at midnight UTC, 2000-01-01.
func TestStatsJSON(t *testing.T) {
	tests := []struct {
		name    string
		metrics bool
		do      func(t *testing.T, b *breaker.Breaker)
		want    string
	}{
		{
			"new", false, func(*testing.T, *breaker.Breaker) {},
			`{"name":"redis","state":"closed","failureCount":0,"lastFailureTime":null,"totalTrips":0,` +
				`"generation":0,"rejected":0,"failures":0,"ignored":0,"retryIn":0,"held":null}`,
		},
		{
			"counting", true, func(t *testing.T, b *breaker.Breaker) { play(t, b, "SSCF") },
			`{"name":"redis","state":"closed","failureCount":1,"lastFailureTime":"2000-01-01T00:00:00Z","totalTrips":0,` +
				`"generation":0,"rejected":0,"successes":2,"failures":1,"ignored":1,"retryIn":0,"held":null}`,
		},
		{
			"open", false,
			func(t *testing.T, b *breaker.Breaker) {
				pass(1500 * time.Millisecond)
				play(t, b, "FFFFF")
				rejected(t, b)
				rejected(t, b)
				pass(1)
			},
			`{"name":"redis","state":"open","failureCount":5,"lastFailureTime":"2000-01-01T00:00:01.5Z","totalTrips":1,` +
				`"generation":1,"rejected":2,"failures":5,"ignored":0,"retryIn":30000,"held":null}`,
		},
		{
			"half-open", false,
			func(t *testing.T, b *breaker.Breaker) { play(t, b, "FFFFF"); pass(30 * time.Second) },
			`{"name":"redis","state":"half-open","failureCount":5,"lastFailureTime":"2000-01-01T00:00:00Z","totalTrips":1,` +
				`"generation":2,"rejected":0,"failures":5,"ignored":0,"retryIn":0,"held":null}`,
		},
		{
			"reopened", false,
			func(t *testing.T, b *breaker.Breaker) { play(t, b, "FFFFF"); pass(30 * time.Second); play(t, b, "F") },
			`{"name":"redis","state":"open","failureCount":6,"lastFailureTime":"2000-01-01T00:00:30Z","totalTrips":2,` +
				`"generation":3,"rejected":0,"failures":6,"ignored":0,"retryIn":30000,"held":null}`,
		},
		{
			"recovered", true,
			func(t *testing.T, b *breaker.Breaker) { play(t, b, "FFFFF"); pass(30 * time.Second); play(t, b, "S") },
			`{"name":"redis","state":"closed","failureCount":0,"lastFailureTime":"2000-01-01T00:00:00Z","totalTrips":1,` +
				`"generation":3,"rejected":0,"successes":1,"failures":5,"ignored":0,"retryIn":0,"held":null}`,
		},
		{
			"forced open", false,
			func(_ *testing.T, b *breaker.Breaker) { b.Hold(breaker.ForcedOpen, time.Minute); pass(time.Second) },
			`{"name":"redis","state":"open","failureCount":0,"lastFailureTime":null,"totalTrips":0,` +
				`"generation":1,"rejected":0,"failures":0,"ignored":0,"retryIn":59000,` +
				`"held":{"state":"forced-open","until":"2000-01-01T00:01:00Z"}}`,
		},
		{
			"disabled", true,
			func(t *testing.T, b *breaker.Breaker) {
				play(t, b, "FF")
				b.Hold(breaker.Disabled, 0)
				play(t, b, "FFFFFFSC")
			},
			`{"name":"redis","state":"closed","failureCount":2,"lastFailureTime":"2000-01-01T00:00:00Z","totalTrips":0,` +
				`"generation":1,"rejected":0,"successes":1,"failures":8,"ignored":1,"retryIn":0,` +
				`"held":{"state":"disabled","until":null}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := breaker.Config{Name: "redis", Metrics: test.metrics}
			bubble(t, cfg, func(t *testing.T, b *breaker.Breaker) {
				test.do(t, b)
				text := asJSON(t, b.Stats())
				if text != test.want {
					t.Errorf("got  %s\nwant %s", text, test.want)
				}
				var back breaker.Stats
				if err := json.Unmarshal([]byte(text), &back); err != nil {
					t.Fatal(err)
				}
				if again := asJSON(t, back); again != text {
					t.Errorf("read back as %s", again)
				}
			})
		})
	}
}

func TestNamesOfStates(t *testing.T) {
	for value, name := range map[fmt.Stringer]string{
		breaker.Closed: "closed", breaker.Open: "open", breaker.HalfOpen: "half-open",
		breaker.HoldState(0): "", breaker.ForcedOpen: "forced-open", breaker.Disabled: "disabled",
	} {
		if value.String() != name || asJSON(t, value) != `"`+name+`"` {
			t.Errorf("%v in JSON is %s, want %q", value, asJSON(t, value), name)
		}
	}
	for _, unknown := range []any{breaker.State(9), breaker.HoldState(9)} {
		if text, err := json.Marshal(unknown); err == nil {
			t.Errorf("%v was written as %s", unknown, text)
		}
	}
	var state breaker.State
	var hold breaker.HoldState
	if json.Unmarshal([]byte(`"ajar"`), &state) == nil || json.Unmarshal([]byte(`"ajar"`), &hold) == nil {
		t.Error("an unknown name was read")
	}
	if breaker.State(9).String() != "State(9)" || breaker.HoldState(9).String() != "HoldState(9)" {
		t.Error("an unknown value has no number")
	}
}

func TestOpenError(t *testing.T) {
	bubble(t, breaker.Config{Name: "redis", FailureThreshold: 1}, func(t *testing.T, b *breaker.Breaker) {
		play(t, b, "F")
		err := rejected(t, b)
		if err.Name != "redis" || !errors.Is(err.Cause, errDown) || err.Held != 0 {
			t.Errorf("got %+v", err)
		}
		if errors.Is(err, errDown) {
			t.Error("a rejected call did not meet the cause itself")
		}
		if want := `breaker "redis" is open: dependency is down`; err.Error() != want {
			t.Errorf("message %q, want %q", err.Error(), want)
		}
		if rejected(t, b) != err {
			t.Error("two rejections of one trip have two errors")
		}
		pass(10 * time.Second)
		if got := err.RetryAfter(); got != 20*time.Second {
			t.Errorf("RetryAfter is %v, want 20s", got)
		}
		pass(20 * time.Second)
		acquire(t, b)
		if got := rejected(t, b).RetryAfter(); got != 0 {
			t.Errorf("RetryAfter is %v while half-open, want 0", got)
		}
		b.Reset()
		b.Trip(nil)
		if rejected(t, b) == err {
			t.Error("two trips have one error")
		}
		b.Hold(breaker.ForcedOpen, 0)
		if got := rejected(t, b); got.Held != breaker.ForcedOpen || got.RetryAfter() != 0 ||
			got.Error() != `breaker "redis" is open (forced-open)` {
			t.Errorf("got %v, %+v", got, got)
		}
		b.Hold(breaker.ForcedOpen, time.Hour)
		if got := rejected(t, b).RetryAfter(); got != time.Hour {
			t.Errorf("RetryAfter is %v, want 1h", got)
		}
	})
}
