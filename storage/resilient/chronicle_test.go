package resilient

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	logtest "go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/loglimit"
	"github.com/actionflows/lifeline/storage"
)

const (
	begins    = "storage is degraded"
	recovered = "storage has recovered"
	glimpses  = "storage was degraded for short times"
)

// told are the numbers of the log entries with that message, as the field has them.
func told(logs *logtest.ObservedLogs, message, field string) (n []int64) {
	for _, e := range logs.FilterMessageSnippet(message).All() {
		n = append(n, e.ContextMap()[field].(int64))
	}
	return n
}

// outage holds the breaker open for a second, with one write in it.
func (r *rig) outage(id string) {
	r.Helper()
	r.b.Hold(breaker.ForcedOpen, 0)
	r.BreakerChanged()
	synctest.Wait()
	if res := r.put("a", id); !res.Pending {
		r.Fatalf("not pending: %+v", res)
	}
	time.Sleep(time.Second)
	r.b.Release()
	r.BreakerChanged()
	settle()
}

// A second outage soon after the first is told as well.
func TestEachOutageHasItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		for i, id := range []string{"1", "2", "3"} {
			r.outage(id)
			if b, e, f := logs.FilterMessage(begins).Len(), logs.FilterMessage(recovered).Len(), logs.FilterMessageSnippet("fallback used").Len(); b != i+1 || e != i+1 || f != i+1 {
				t.Fatalf("after outage %d: %d begun, %d ended, %d times the fallback", i+1, b, e, f)
			}
		}
		if e := logs.FilterMessage(recovered).All()[2]; e.ContextMap()["shipped"] != uint64(1) {
			t.Fatalf("ended with %v", e.ContextMap())
		}
	})
}

// Of a hundred outages in a few minutes three are told, and the rest by their number;
// nothing is left untold.
func TestFlappingDoesNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		start := time.Now()
		for i := range 100 {
			r.outage(string(rune('A' + i)))
		}
		minutes := int(time.Since(start)/loglimit.Every) + 1
		if n := logs.Len(); n > minutes*(3*4+2) {
			t.Fatalf("%d lines in %d minutes", n, minutes)
		}
		time.Sleep(2 * loglimit.Every)
		var outages, writes int64
		for _, message := range []string{begins, glimpses} {
			for _, n := range told(logs, message, "times") {
				outages += n
			}
		}
		for _, message := range []string{"fallback used", "no longer used"} {
			for _, n := range told(logs, message, "count") {
				writes += n
			}
		}
		if outages != 100 || writes != 100 {
			t.Fatalf("%d outages and %d writes are told, want 100 each", outages, writes)
		}
		before := logs.Len()
		time.Sleep(time.Hour)
		if n := logs.Len() - before; n > 0 {
			t.Fatalf("%d lines while all is well", n)
		}
	})
}

// An outage that was one too many to be told is told once it has lasted, with its end.
func TestLongOutageAfterFlappingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		for _, id := range []string{"1", "2", "3", "4"} {
			r.outage(id)
		}
		if n := logs.FilterMessage(begins).Len(); n != 3 {
			t.Fatalf("%d of 4 are told at once", n)
		}
		r.b.Hold(breaker.ForcedOpen, 0)
		r.BreakerChanged()
		time.Sleep(loglimit.Every)
		synctest.Wait()
		if times := told(logs, begins, "times"); !slices.Equal(times, []int64{1, 1, 1, 2}) {
			t.Fatalf("told %v times", times)
		}
		r.b.Release()
		r.BreakerChanged()
		settle()
		if n := logs.FilterMessage(recovered).Len(); n != 4 {
			t.Fatalf("%d ends are told", n)
		}
	})
}

// A full journal is an error in the log, once a minute, and a reason in the status
// until there is room.
func TestFullJournalIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger, c.MaxBytes = zap.New(core), 4096 })
		defer r.end()
		r.trip()
		for i := range 10 {
			_ = r.putErr("a", string(rune('A'+i)))
		}
		refusals := func() []int64 { return told(logs, "the journal is full", "times") }
		if got := refusals(); !slices.Equal(got, []int64{1}) {
			t.Fatalf("told %v", got)
		}
		if s := r.Status(); !slices.Contains(s.Reasons, "the journal is full") {
			t.Fatalf("reasons are %v", s.Reasons)
		}
		time.Sleep(loglimit.Every + time.Second)
		if got := refusals(); len(got) != 2 || got[1] < 1 {
			t.Fatalf("after a minute told %v", got)
		}
		r.f.set(none)
		settle()
		if s := r.Status(); s.Degraded {
			t.Fatalf("reasons are %v", s.Reasons)
		}
	})
}

// What the file does not take is told once a minute with the reason, which holds in
// the status until it takes something again.
func TestUnwritableJournalIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, inDir(t.TempDir()), func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		f := failing(r)
		f.fail(&storage.UnavailableError{Reason: "the disk of the journal is full", Err: syscall.ENOSPC})
		for range 100 {
			if err := r.putErr("a", "1"); !unavailable(err) {
				t.Fatalf("answer is %v", err)
			}
		}
		time.Sleep(loglimit.Every + time.Second)
		synctest.Wait()
		if got := told(logs, "the journal cannot be written", "times"); !slices.Equal(got, []int64{1, 99}) {
			t.Fatalf("told %v", got)
		}
		want := []string{"the journal cannot be written: the disk of the journal is full"}
		if s := r.Status(); !s.Degraded || !slices.Equal(s.Reasons, want) {
			t.Fatalf("status is %+v", s)
		}
		f.fail(nil)
		r.put("a", "1")
		if s := r.Status(); s.Degraded {
			t.Fatalf("status is %+v", s)
		}
		settle()
		if b, e := logs.FilterMessage(begins).Len(), logs.FilterMessage(recovered).Len(); b != 2 || e != 1 {
			t.Fatalf("%d begun in a minute, %d ended", b, e)
		}
	})
}

// Of several breakers those are named that are open.
func TestFallbackNamesTheOpenBreakers(t *testing.T) {
	core, logs := logtest.New(zap.InfoLevel)
	var breakers []*breaker.Breaker
	for _, name := range []string{"redis-p00", "redis-p01", "redis-p02"} {
		b, err := breaker.New(breaker.Config{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		breakers = append(breakers, b)
	}
	f := newFallbackLog(zap.New(core), breakers, "refused")
	breakers[1].Hold(breaker.ForcedOpen, 0)
	f.note(1)
	if got := fmt.Sprint(logs.All()[0].ContextMap()["breakers"]); got != "[redis-p01]" {
		t.Fatalf("named are %s", got)
	}
}

// The cause of a trip is told in words, also when it was silence.
func TestSilenceIsTheCauseOfATrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		b, err := breaker.New(breaker.Config{Name: "redis", Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) {
			if tr.To == breaker.Open {
				cause = tr.Cause
			}
		}}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := newRig(t, func(c *JournaledConfig) { c.Breakers = []*breaker.Breaker{b} })
		defer r.end()
		r.f.set(hangs)
		r.put("a", "1")
		time.Sleep(time.Minute)
		synctest.Wait()
		if cause == nil || !strings.Contains(cause.Error(), "does not answer in time") {
			t.Fatalf("the cause is %v", cause)
		}
	})
}

// An outage that is over for a moment only is one.
func TestAMomentsCalmIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		for range 2 {
			r.b.Hold(breaker.ForcedOpen, 0)
			r.BreakerChanged()
			time.Sleep(time.Second)
			r.b.Release()
			r.BreakerChanged()
			time.Sleep(calmAfter / 2)
			synctest.Wait()
		}
		settle()
		if b, e := logs.FilterMessage(begins).Len(), logs.FilterMessage(recovered).Len(); b != 1 || e != 1 {
			t.Fatalf("%d begun, %d ended", b, e)
		}
		if e := logs.FilterMessage(recovered).All()[0]; e.ContextMap()["after"] != 2*time.Second+calmAfter/2 {
			t.Fatalf("ended with %v", e.ContextMap())
		}
	})
}

// A loss that shows in one partition after the other is told in one line, also while
// all is well; what comes later, once its minute is over.
func TestALossIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := logtest.New(zap.InfoLevel)
		r := newRig(t, func(c *JournaledConfig) { c.Logger = zap.New(core) })
		defer r.end()
		losses := func() []int64 { return told(logs, "the backend has lost entries", "partitions") }
		for range 16 {
			r.lost("p00")
			time.Sleep(time.Millisecond)
		}
		settle()
		if got := losses(); !slices.Equal(got, []int64{16}) {
			t.Fatalf("told %v", got)
		}
		r.lost("p00")
		r.lost("p01")
		settle()
		if got := losses(); len(got) != 1 {
			t.Fatalf("told %v", got)
		}
		time.Sleep(loglimit.Every)
		synctest.Wait()
		if got := losses(); !slices.Equal(got, []int64{16, 2}) {
			t.Fatalf("told %v", got)
		}
	})
}
