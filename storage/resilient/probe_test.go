package resilient

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
)

// Nobody posts, and the backend hangs: the hub says so all the same.
func TestIdleFrozenBackendIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.put("a", "1")
		r.f.set(hangs)
		begin := time.Now()
		for r.b.State() != breaker.Open {
			time.Sleep(100 * time.Millisecond)
			if time.Since(begin) > 20*time.Second {
				t.Fatal("still closed after 20 s")
			}
		}
		if took := time.Since(begin); took < 10*time.Second {
			t.Fatalf("open after %v: one failed probe is not enough", took)
		}
		r.f.set(none)
		time.Sleep(time.Second)
		if got := r.b.State(); got != breaker.Closed {
			t.Fatalf("%v a second after the backend works", got)
		}
	})
}

func TestProbeEveryIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.ProbeEvery = time.Second })
		defer r.end()
		r.f.set(fails)
		time.Sleep(3500 * time.Millisecond)
		if got := r.b.State(); got != breaker.Open {
			t.Fatalf("%v after three failed probes", got)
		}
	})
}

func TestGuardedProbesWhileClosedOnlyIfAsked(t *testing.T) {
	for every, want := range map[time.Duration]breaker.State{0: breaker.Closed, time.Second: breaker.Open} {
		synctest.Test(t, func(t *testing.T) {
			b, f := newBreaker(t), newFaulty()
			g := NewGuarded(GuardedConfig{Driver: f, Breaker: b, ProbeEvery: every})
			defer g.Close()
			f.set(fails)
			time.Sleep(20 * time.Second)
			if got := b.State(); got != want {
				t.Fatalf("with ProbeEvery %v: %v, want %v", every, got, want)
			}
		})
	}
}

// A read-only backend answers what it has: duplicates, and empty queues. Neither
// may close a breaker that is half-open.
func TestAnswersWithoutAWriteDoNotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		own := op("a", "1")
		own.Link = storage.Link{Producer: storage.NewProducer(), Number: 1}
		apply := func() storage.Result {
			res, err := r.Apply(context.Background(), []storage.Op{own})
			if err != nil {
				t.Fatal(err)
			}
			return res[0]
		}
		apply()
		r.f.setFunc(func(ops []storage.Op) fault {
			if ops == nil { // the probe
				return fails
			}
			return none
		})
		r.b.Trip(nil)
		time.Sleep(30*time.Second + time.Millisecond) // half-open, and its probes have not failed thrice
		for range 10 {
			if got := apply(); !got.Duplicate {
				t.Fatalf("result is %+v", got)
			}
			if got := r.b.State(); got == breaker.Closed {
				t.Fatal("a duplicate has closed the breaker")
			}
		}
		r.f.set(none)
		time.Sleep(time.Second)
		if got := r.b.State(); got != breaker.Closed {
			t.Fatalf("%v a second after writes work", got)
		}
	})
}

// Who finds nothing to take hides no failures of writes.
func TestEmptyTakesHideNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		r.f.setFunc(func(ops []storage.Op) fault {
			if ops == nil { // Take and Health
				return none
			}
			return fails
		})
		r.put("a", "1")
		for i := 0; r.b.State() == breaker.Closed; i++ {
			if i == 10 {
				t.Fatal("the breaker stays closed")
			}
			if _, err := r.Take(t.Context(), "q", 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// watched is a Journaled on a real Redis whose breaker's states are noted.
type watched struct {
	*Journaled
	mu     sync.Mutex
	states []breaker.State
}

func (w *watched) saw() []breaker.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func watch(t *testing.T, url string) *watched {
	t.Helper()
	w := new(watched)
	b, err := breaker.New(breaker.Config{
		Name: "redis", ResetTimeout: 200 * time.Millisecond,
		Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states = append(w.states, tr.To)
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d, err := redis.New(redis.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if w.Journaled, err = NewJournaled(JournaledConfig{Driver: d, Breakers: []*breaker.Breaker{b}, ProbeEvery: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// A Redis that answers PING and reads and takes no writes is not working.
func TestNothingClosesABreakerWhoseWritesFail(t *testing.T) {
	for name, c := range map[string]struct{ spoil, mend []any }{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			w := watch(t, s.URL())
			post := func(id string) {
				if res, err := w.Apply(t.Context(), []storage.Op{op("s", id)}); err != nil || res[0].Err != nil {
					t.Fatalf("append %s: %v %v", id, res, err)
				}
			}
			post("first")
			s.MustDo(c.spoil...)
			await(t, "trip of an idle hub", func() bool { return w.lanes[0].breaker.State() != breaker.Closed })
			post("pending")
			await(t, "ten tries", func() bool { return len(w.saw()) >= 20 }) // open, half-open, …
			if saw := w.saw(); slices.Contains(saw, breaker.Closed) {
				t.Fatalf("states were %v", saw)
			}
			s.MustDo(c.mend...)
			await(t, "recovery", func() bool { return !w.Status().Degraded })
		})
	}
}
