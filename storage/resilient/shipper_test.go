package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

func TestHealthyAppendIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		res := r.put("a", "1")
		if res.Pending || res.Volatile || res.Duplicate || res.Link.Producer != r.Producer() || res.Link.Number != 1 {
			t.Fatalf("result is %+v", res)
		}
		r.want("a", "1")
		if s := r.Status(); s.Degraded || s.Reasons != nil || s.Pending != 0 || r.UsingFallback() {
			t.Fatalf("status is %+v", s)
		}
	})
}

func TestHangIsAcknowledgedAfter250ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		first := r.put("a", "0")
		r.f.set(hangs)
		start := time.Now()
		res := r.put("a", "1")
		if d := time.Since(start); d != 250*time.Millisecond {
			t.Fatalf("acknowledged after %v", d)
		}
		if !res.Pending || !res.Volatile || !res.ReceivedAt.Equal(start.Truncate(time.Microsecond)) {
			t.Fatalf("result is %+v", res)
		}
		if got, want := res.Cursor.String(), first.Cursor.With(res.Link).String(); got != want {
			t.Fatalf("cursor %s, want %s", got, want)
		}
		if !r.UsingFallback() || !r.Status().Degraded || r.Status().Pending != 1 {
			t.Fatalf("status is %+v", r.Status())
		}
		r.f.set(none)
		settle()
		r.want("a", "0", "1")
		if r.UsingFallback() || r.Status().Degraded {
			t.Fatalf("status is %+v", r.Status())
		}
	})
}

func TestRetriesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.f.set(fails)
		r.put("a", "1")
		settle()
		r.f.mu.Lock()
		defer r.f.mu.Unlock()
		var gaps []time.Duration
		for i := 1; i < 5; i++ {
			gaps = append(gaps, r.f.applies[i].Sub(r.f.applies[i-1]).Round(time.Millisecond))
		}
		want := []time.Duration{10, 20, 40, 80}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(gaps, want) {
			t.Fatalf("paces are %v, want %v", gaps, want)
		}
		if r.b.State() != breaker.Open {
			t.Fatalf("state is %v after 5 failures", r.b.State())
		}
		// From then on only the probe tries, every 50 ms ± 20 %.
		for i := 6; i < len(r.f.applies); i++ {
			if d := r.f.applies[i].Sub(r.f.applies[i-1]); d < openProbe*8/10 || d > openProbe*12/10 {
				t.Fatalf("probe after %v", d)
			}
		}
	})
}

func TestOpenAcknowledgesAtOnceAndClosesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.trip()
		for i := range 5 {
			start := time.Now()
			if res := r.put("a", fmt.Sprint(i)); !res.Pending || time.Since(start) != 0 {
				t.Fatalf("result %+v after %v", res, time.Since(start))
			}
		}
		time.Sleep(time.Second)
		r.f.set(none)
		time.Sleep(325 * time.Millisecond)
		if r.b.State() != breaker.Closed || r.Status().Degraded {
			t.Fatalf("not back: %v, %+v", r.b.State(), r.Status())
		}
		r.want("a", "0", "1", "2", "3", "4")
	})
}

// A breaker that opens lets go those who wait.
func TestTripAcknowledgesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.set(fails)
		start := time.Now()
		r.put("a", "1")
		// The fifth failure comes 150 ms after the first.
		if d := time.Since(start); d != 150*time.Millisecond {
			t.Fatalf("acknowledged after %v", d)
		}
	})
}

func TestIdleBreakerClosesByHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.b.Trip(nil)
		time.Sleep(350 * time.Millisecond)
		if r.b.State() != breaker.Closed {
			t.Fatalf("state is %v", r.b.State())
		}
	})
}

func TestForcedOpenShipsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		release := r.b.Hold(breaker.ForcedOpen, 0)
		r.put("a", "1")
		time.Sleep(time.Hour)
		if n := r.f.count(); n != 0 {
			t.Fatalf("%d batches while held", n)
		}
		if got := r.Status().Reasons; len(got) != 2 || got[0] != "redis: circuit breaker open (held)" || got[1] != "1 event waits to be stored" {
			t.Fatalf("reasons are %q", got)
		}
		release()
		time.Sleep(restPoll)
		synctest.Wait()
		r.want("a", "1")
	})
}

// The reply of every first attempt is lost.
func TestLostRepliesStoreOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		n := 0
		r.f.setFunc(func([]storage.Op) fault {
			if n++; n%2 == 1 {
				return loses
			}
			return none
		})
		for i := range 20 {
			if res := r.put("a", fmt.Sprint(i)); res.Duplicate || res.Pending {
				t.Fatalf("result is %+v", res)
			}
		}
		if got := r.stored("a"); len(got) != 20 {
			t.Fatalf("stored %v", got)
		}
	})
}

func TestBatchesFormByThemselves(t *testing.T) {
	r := newRig(t)
	r.f.setFunc(func([]storage.Op) fault { return none })
	const callers, each = 64, 100
	slow := &slowDriver{faulty: r.f}
	r.Journaled.driver = slow
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				r.put(fmt.Sprint("s", c%8), fmt.Sprintf("%d-%d", c, i))
			}
		})
	}
	wg.Wait()
	if n := r.f.count(); n >= callers*each/4 {
		t.Fatalf("%d batches for %d appends", n, callers*each)
	}
	for s := range 8 {
		checkPublishers(t, r.stored(fmt.Sprint("s", s)), callers/8, each)
	}
}

// slowDriver answers as late as a backend behind a socket.
type slowDriver struct{ *faulty }

func (s *slowDriver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	time.Sleep(100 * time.Microsecond)
	return s.faulty.Apply(ctx, ops)
}

// checkPublishers wants each publisher's ids once and in order.
func checkPublishers(t *testing.T, ids []string, publishers, each int) {
	t.Helper()
	next := map[int]int{}
	for _, id := range ids {
		var c, i int
		if _, err := fmt.Sscanf(id, "%d-%d", &c, &i); err != nil {
			t.Fatal(err)
		}
		if i != next[c] {
			t.Fatalf("publisher %d: %d where %d is due", c, i, next[c])
		}
		next[c]++
	}
	if len(ids) != publishers*each {
		t.Fatalf("%d entries, want %d", len(ids), publishers*each)
	}
}

// A backend too slow for large batches gets smaller ones, and is not stuck.
func TestSlowBackendGetsSmallerBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.setFunc(func(ops []storage.Op) fault {
			if len(ops) > 10 {
				return hangs
			}
			return none
		})
		var ops []storage.Op
		for i := range 300 {
			ops = append(ops, op("a", fmt.Sprint(i)))
		}
		if _, err := r.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := len(r.stored("a")); n != 300 {
			t.Fatalf("%d stored", n)
		}
	})
}

func TestCancelAndRetryOfTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.set(hangs)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := r.Apply(ctx, []storage.Op{op("a", "1")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
		if n := len(r.read("a", storage.LogQuery{}).Entries); n != 0 {
			t.Fatal("an entry that nobody acknowledged is shown")
		}
		go func() {
			time.Sleep(20 * time.Millisecond)
			r.f.set(none)
		}()
		if res := r.put("a", "1"); !res.Duplicate {
			t.Fatalf("result is %+v", res)
		}
		settle()
		r.want("a", "1")
		if res := r.put("a", "1"); !res.Duplicate || res.Pending {
			t.Fatalf("result is %+v", res)
		}
		if _, err := r.Apply(ctx, []storage.Op{op("a", "2")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
	})
}

// The id is there already, from another node.
func TestForeignDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		other, _ := r.f.inner.Apply(t.Context(), []storage.Op{op("a", "x")})
		res := r.put("a", "x")
		if !res.Duplicate || res.Cursor.String() != other[0].Cursor.String() {
			t.Fatalf("result is %+v, want the place of %+v", res, other[0])
		}
		r.put("a", "y")
		r.want("a", "x", "y")
		// Once more after a wipe: it is stored, for it was acknowledged.
		r.f.wipe()
		r.put("a", "z")
		r.want("a", "x", "y", "z")
	})
}
