package resilient

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logtest "go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// counts are the numbers of the log entries with that message.
func counts(logs *logtest.ObservedLogs, message string) (n []int64) {
	for _, e := range logs.FilterMessageSnippet(message).All() {
		n = append(n, e.ContextMap()["count"].(int64))
	}
	return n
}

func wantCounts(t *testing.T, logs *logtest.ObservedLogs, message string, want ...int64) {
	t.Helper()
	got := counts(logs, message)
	if len(got) != len(want) {
		t.Fatalf("%q is told with %v, want %v", message, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%q is told with %v, want %v", message, got, want)
		}
	}
}

// Writes that meet an open breaker are told of at once, then once a minute with
// their number, and the rest when it closes.
func TestFallbackIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		b, f := newBreaker(t), newFaulty()
		g := NewGuarded(GuardedConfig{Driver: f, Breaker: b, Logger: zap.New(core)})
		defer g.Close()
		f.set(fails)
		b.Hold(breaker.ForcedOpen, 0)
		refuse := func() {
			if _, err := g.Apply(context.Background(), []storage.Op{op("a", "1")}); err == nil {
				t.Fatal("taken")
			}
		}
		for range 61 { // at 0 s, 1 s, …
			refuse()
			time.Sleep(time.Second)
		}
		const used, over = "fallback used", "no longer used"
		wantCounts(t, logs, used, 1, 60)
		refuse()
		f.set(none)
		b.Release()
		time.Sleep(time.Second)
		wantCounts(t, logs, used, 1, 60)
		wantCounts(t, logs, over, 1)
		if e := logs.FilterMessageSnippet(used).All()[0]; e.Level != zap.WarnLevel || e.ContextMap()["source"] != "circuitBreaker" {
			t.Fatalf("told as %v %v", e.Level, e.ContextMap())
		}
	})
}

// The journal tells how many writes it has acknowledged in the backend's place.
func TestJournaledFallbackIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		r.f.set(fails)
		r.b.Hold(breaker.ForcedOpen, 0)
		for _, id := range []string{"1", "2", "3"} {
			r.put("a", id)
		}
		wantCounts(t, logs, "fallback used", 1)
		synctest.Wait()
		r.f.set(none)
		r.b.Release()
		r.BreakerChanged() // as the breaker's hook would
		settle()
		wantCounts(t, logs, "no longer used", 2)
	})
}
