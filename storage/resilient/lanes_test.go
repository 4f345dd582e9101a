package resilient

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// sharded is a driver of three lanes, named by what its targets' names begin with;
// the last one has all collections. Each lane is a partition.
type sharded struct {
	*faulty
	mu   sync.Mutex
	beat func(lane int) error // nil: all is well
	lost func(partition string)
}

func (s *sharded) Lanes() []string { return []string{"p00", "p01", "documents"} }

func (s *sharded) Partition(op storage.Op) (string, int) {
	t := targetOf(op)
	if drop, ok := op.(*storage.Drop); ok {
		t = logOf(drop.Scope)
	}
	lane := 2
	if t.kind != aCollection {
		lane = strings.Count(t.name[:1], "b")
	}
	return s.Lanes()[lane], lane
}

func (s *sharded) Beat(_ context.Context, lane int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beat == nil {
		return nil
	}
	return s.beat(lane)
}

func (s *sharded) OnLoss(fn func(string)) { s.lost = fn }

// fail has one lane fail, or with none, no more.
func (s *sharded) fail(lane string, x fault) {
	s.setFunc(func(ops []storage.Op) fault {
		if slices.ContainsFunc(ops, func(op storage.Op) bool { name, _ := s.Partition(op); return name == lane }) {
			return x
		}
		return none
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = func(i int) error {
		if s.Lanes()[i] == lane && x != none {
			return errFault
		}
		return nil
	}
}

// shardedRig is a Journaled over it, with a breaker for each lane.
func shardedRig(t *testing.T) (*rig, *sharded) {
	t.Helper()
	s := new(sharded)
	r := newRig(t, func(c *JournaledConfig) {
		s.faulty = c.Driver.(*faulty)
		c.Driver = s
		c.Breakers = nil
		for _, name := range s.Lanes() {
			b, err := breaker.New(breaker.Config{Name: "redis-" + name})
			if err != nil {
				t.Fatal(err)
			}
			c.Breakers = append(c.Breakers, b)
			t.Cleanup(b.Close)
		}
	})
	return r, s
}

// What one part of the backend does leaves the others as they are.
func TestLanesFailApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := shardedRig(t)
		defer r.end()
		r.put("a", "0")
		r.put("b", "0")
		s.fail("p01", hangs)
		waiting := make(chan storage.Result)
		go func() { waiting <- r.put("b", "1") }()
		synctest.Wait()
		if res := r.put("a", "1"); res.Pending {
			t.Fatalf("a log of another lane was answered %+v", res)
		}
		if res := <-waiting; !res.Pending {
			t.Fatalf("a log of the failing lane was answered %+v", res)
		}
		time.Sleep(30 * time.Second) // the probe opens the lane's breaker
		var open []string
		for _, b := range r.CircuitBreakerStats() {
			if b.State != breaker.Closed {
				open = append(open, b.Name)
			}
		}
		if !slices.Equal(open, []string{"redis-p01"}) || !r.Status().Degraded {
			t.Fatalf("open are %v, status %+v", open, r.Status())
		}
		both, err := r.Apply(t.Context(), []storage.Op{op("a", "2"), op("b", "2")})
		if err != nil || both[0].Pending || !both[1].Pending {
			t.Fatalf("a call for both was answered %+v, %v", both, err)
		}
		if page := r.read("a", storage.LogQuery{}); page.Degraded {
			t.Fatalf("a log of another lane reads %+v", page)
		}
		if page := r.read("b", storage.LogQuery{}); !page.Degraded || len(page.Entries) != 3 {
			t.Fatalf("a log of the failing lane reads %+v", page)
		}
		s.fail("p01", none)
		settle()
		r.want("b", "0", "1", "2")
		r.want("a", "0", "1", "2")
		if s := r.Status(); s.Degraded {
			t.Fatalf("status is %+v", s)
		}
	})
}

// A loss that the driver tells of is made good, in that partition only.
func TestToldLossIsRefilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := shardedRig(t)
		defer r.end()
		ctx := t.Context()
		r.put("a", "1")
		r.put("b", "1")
		document := &storage.Put{Collection: "c", ID: "d", Body: []byte("{}")}
		count := &storage.Add{Collection: "c", Scope: "s", Member: "m", Deltas: map[string]int64{"n": 2}}
		if _, err := r.Apply(ctx, []storage.Op{document, count}); err != nil {
			t.Fatal(err)
		}
		r.f.wipe()
		s.lost("p00")
		settle()
		r.want("a", "1")
		r.want("b")
		s.lost("p01")
		s.lost("documents")
		settle()
		r.want("b", "1")
		if _, err := r.f.inner.Get(ctx, "c", "d"); err != nil {
			t.Fatalf("document: %v", err)
		}
		for range 2 {
			counters, err := r.f.inner.Counters(ctx, "c", "s", storage.CounterQuery{Member: "m"})
			if err != nil || len(counters) != 1 || counters[0].Fields["n"] != 2 {
				t.Fatalf("counters are %v, %v", counters, err)
			}
			s.lost("documents") // nothing is: nothing counts twice
			settle()
		}
	})
}

func TestBreakersMustMatchLanes(t *testing.T) {
	s := &sharded{faulty: newFaulty()}
	defer s.Close()
	b := newBreaker(t)
	if _, err := NewJournaled(JournaledConfig{Driver: s, Breakers: []*breaker.Breaker{b, b}}); err == nil {
		t.Fatal("two breakers for three lanes were accepted")
	}
}
