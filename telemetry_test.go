package lifeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logtest "go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/breaker"
)

// startTelemetry has breakers of these names told of in logs.
func startTelemetry(t *testing.T, names ...string) (breakers []*breaker.Breaker, logs *logtest.ObservedLogs) {
	t.Helper()
	core, logs := logtest.New(zap.InfoLevel)
	tel := newTelemetry("hub", zap.New(core))
	t.Cleanup(tel.emitter.close)
	for _, name := range names {
		b, err := breaker.New(breaker.Config{Name: name, Hooks: tel.hooks(func() {})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		breakers = append(breakers, b)
	}
	return breakers, logs
}

func messages(logs *logtest.ObservedLogs) map[string]int {
	n := map[string]int{}
	for _, e := range logs.TakeAll() {
		n[e.Message]++
	}
	return n
}

// TestFlappingBreakerDoesNotFlood: of its trips in one minute three are logged, with
// their ends, and what is logged last is how it is.
func TestFlappingBreakerDoesNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breakers, logs := startTelemetry(t, "redis")
		b := breakers[0]
		for range 30 {
			b.Trip(errors.New("the test wants it"))
			time.Sleep(time.Second)
			b.Reset()
		}
		if got := messages(logs); got["circuit breaker tripped"] != 3 || got["circuit breaker recovered"] != 3 || len(got) != 2 {
			t.Fatalf("logged are %v", got)
		}
		b.Hold(breaker.ForcedOpen, time.Second) // by an operator: always told
		b.Release()
		if got := messages(logs); got["circuit breaker held open"] != 1 || got["circuit breaker recovered"] != 1 {
			t.Fatalf("logged are %v", got)
		}
		time.Sleep(time.Minute)
		b.Trip(errors.New("the test wants it"))
		if got := messages(logs); got["circuit breaker tripped"] != 1 {
			t.Fatalf("a minute later: %v", got)
		}
	})
}

// TestTriesOfManyBreakers: in a long outage of a Cluster there is a line for each
// breaker at its beginning and its end, and between them two a minute for all.
func TestTriesOfManyBreakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 17 {
			names = append(names, fmt.Sprintf("redis-p%02d", i))
		}
		breakers, logs := startTelemetry(t, names...)
		for _, b := range breakers {
			b.Trip(errors.New("the test wants it"))
		}
		if got := messages(logs); got["circuit breaker tripped"] != 17 {
			t.Fatalf("at the beginning: %v", got)
		}
		const minutes = 10
		for range minutes * 6 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for _, b := range breakers {
				_ = b.Run(t.Context(), func(context.Context) error { return errors.New("still away") })
			}
		}
		got := messages(logs)
		if n := got["circuit breaker probe failed"]; n < minutes-2 || n > minutes || got["circuit breaker changed state"] > minutes+1 {
			t.Fatalf("in %d minutes: %v", minutes, got)
		}
		for _, b := range breakers {
			b.Reset()
		}
		if got := messages(logs); got["circuit breaker recovered"] != 17 {
			t.Fatalf("in the end: %v", got)
		}
	})
}
