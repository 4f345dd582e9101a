package resilient

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func TestPoisonIsSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		bad := true
		r.f.setFunc(func(ops []storage.Op) fault {
			for _, o := range ops {
				if o.(*storage.Append).Log == "bad" && bad {
					return poisons
				}
			}
			return none
		})
		var unavailable *storage.UnavailableError
		if err := r.putErr("bad", "1"); !errors.As(err, &unavailable) {
			t.Fatalf("error is %v", err)
		}
		if n := r.f.count(); n != maxPoison {
			t.Fatalf("tried %d times", n)
		}
		if err := r.putErr("bad", "2"); !errors.As(err, &unavailable) || r.f.count() != maxPoison {
			t.Fatalf("error is %v after %d", err, r.f.count())
		}
		r.put("good", "1")
		r.want("good", "1")
		if !r.Status().Degraded || r.UsingFallback() {
			t.Fatalf("status is %+v", r.Status())
		}
		bad = false
		time.Sleep(asideRetry)
		r.put("bad", "3")
		r.want("bad", "1", "3")
		if r.Status().Degraded {
			t.Fatalf("status is %+v", r.Status())
		}
	})
}

func TestGoneIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.f.set(gone)
		if err := r.putErr("a", "2"); !errors.Is(err, storage.ErrGone) {
			t.Fatalf("error is %v", err)
		}
		r.f.set(none)
		r.put("a", "3")
		r.want("a", "1", "3")
	})
}

func TestFullJournalRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.MaxBytes = 10 * 600 })
		defer r.end()
		for i := range 100 { // stored ones make room
			r.put("a", fmt.Sprint(i))
		}
		r.trip()
		var acknowledged int
		for i := range 100 {
			err := r.putErr("b", fmt.Sprint(i))
			if unavailable, ok := errors.AsType[*storage.UnavailableError](err); ok {
				if unavailable.RetryAfter == 0 {
					t.Fatal("no RetryAfter")
				}
				break
			}
			acknowledged++
		}
		if acknowledged < 5 || acknowledged > 12 {
			t.Fatalf("%d acknowledged", acknowledged)
		}
		r.f.set(none)
		settle()
		if n := len(r.stored("b")); n != acknowledged {
			t.Fatalf("%d stored of %d", n, acknowledged)
		}
		r.put("b", "more")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.f.set(hangs)
		r.put("a", "1")
		go func() {
			time.Sleep(time.Second)
			r.f.set(none)
		}()
		start := time.Now()
		r.end()
		if d := time.Since(start); d > closeTimeout {
			t.Fatalf("close took %v", d)
		}
		r.f.mu.Lock()
		last := r.f.ops[len(r.f.ops)-1]
		r.f.mu.Unlock()
		if !slices.Equal(last, []string{"1"}) || r.Status().Pending != 0 {
			t.Fatalf("not shipped: %v", last)
		}
		if err := r.putErr("a", "2"); !errors.Is(err, storage.ErrClosed) {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.AckAfter = time.Hour })
		r.f.set(hangs)
		failed := make(chan error)
		go func() { failed <- r.putErr("a", "1") }()
		synctest.Wait()
		start := time.Now()
		go r.end()
		if err := <-failed; !errors.Is(err, storage.ErrClosed) || time.Since(start) > closeTimeout {
			t.Fatalf("error is %v after %v", err, time.Since(start))
		}
	})
}

// A failed batch is sent again as it was, before what came meanwhile.
func TestFailedBatchKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.set(hangs)
		var callers sync.WaitGroup
		for _, log := range []string{"a", "b", "c", "d"} {
			callers.Go(func() { r.put(log, log) })
			synctest.Wait() // a is in flight, the others queue
		}
		callers.Wait()
		time.Sleep(1200 * time.Millisecond)
		r.f.set(none)
		settle()
		r.f.mu.Lock()
		defer r.f.mu.Unlock()
		if got := fmt.Sprint(r.f.ops[:4]); got != "[[a] [a] [a] [a]]" {
			t.Fatalf("batches are %v", got)
		}
		var stored []string
		for _, ids := range r.f.ops[len(r.f.ops)-3:] {
			stored = append(stored, ids...)
		}
		if fmt.Sprint(stored) != "[a b c d]" {
			t.Fatalf("stored in the order %v (%v)", stored, r.f.ops)
		}
	})
}
