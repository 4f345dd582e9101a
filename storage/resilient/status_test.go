package resilient

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	zapobserver "go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/breaker"
)

func TestStatusAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := zapobserver.New(zapcore.DebugLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		var seen statuses
		defer r.OnStatus(seen.tell)()
		r.trip()
		r.put("a", "1")
		r.put("a", "2")
		time.Sleep(statusPoll)
		synctest.Wait()
		told := seen.all()
		if len(told) == 0 || !slices.Equal(told[len(told)-1].Reasons, []string{"redis: circuit breaker open", "2 events wait to be stored"}) {
			t.Fatalf("told %+v", told)
		}
		time.Sleep(150 * time.Second)
		r.f.set(none)
		settle()
		synctest.Wait()
		told = seen.all()
		if last := told[len(told)-1]; last.Degraded || last.Pending != 0 {
			t.Fatalf("told %+v", told)
		}
		if n := logs.FilterMessage("storage is degraded").Len(); n != 3 {
			t.Fatalf("%d warnings in two and a half minutes", n)
		}
		recovered := logs.FilterMessage("storage has recovered").All()
		if len(recovered) != 1 || recovered[0].ContextMap()["shipped"] != uint64(2) || recovered[0].ContextMap()["source"] != logSource {
			t.Fatalf("recovered: %+v", recovered)
		}
		if s := r.CircuitBreakerStats(); len(s) != 1 || s[0].Name != "redis" || s[0].TotalTrips == 0 {
			t.Fatalf("stats are %+v", s)
		}
		r.f.set(poisons)
		_ = r.putErr("b", "1")
		_ = r.putErr("b", "2")
		r.f.set(none)
		r.ResetCircuitBreaker()
		settle()
		r.want("b", "1")
		r.f.set(hangs)
		r.put("a", "3")
		r.end()
		if n := logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 2 {
			t.Fatalf("errors: %+v", logs.FilterLevelExact(zap.ErrorLevel).All())
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []JournaledConfig{{}, {Driver: newFaultyFor(t), Breakers: []*breaker.Breaker{newBreaker(t)}, Retain: -1}} {
		if j, err := NewJournaled(c); err == nil || j != nil {
			t.Fatalf("%+v was accepted", c)
		}
	}
}

func newFaultyFor(t *testing.T) *faulty {
	t.Helper()
	f := newFaulty()
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// While an acknowledged event waits the storage is degraded, whatever the breaker is.
func TestDegradedUntilAllIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.trip()
		r.f.set(hangs)
		r.put("a", "1")
		r.b.Reset()
		if s := r.Status(); !s.Degraded || s.Pending != 1 || !slices.Equal(s.Reasons, []string{"1 event waits to be stored"}) || !r.UsingFallback() {
			t.Errorf("closed, and an event waits: %+v, %v", s, r.UsingFallback())
		}
		r.f.set(none)
		settle()
		if s := r.Status(); s.Degraded || s.Pending != 0 || r.UsingFallback() {
			t.Errorf("it is stored: %+v, %v", s, r.UsingFallback())
		}
	})
}
