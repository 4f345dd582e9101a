package resilient

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// telling is a driver that loses everything behind its first batch, and tells so
// before it answers.
type telling struct {
	*sharded
	told atomic.Bool
}

func (d *telling) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	results, err := d.sharded.Apply(ctx, ops)
	if d.told.CompareAndSwap(false, true) {
		d.wipe()
		d.lost("p00")
	}
	return results, err
}

// What is stored by the very call that tells of a loss is compared as well.
func TestLossToldByTheFirstBatchOfALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Driver = &telling{sharded: &sharded{faulty: c.Driver.(*faulty)}} })
		defer r.end()
		r.put("a", "1")
		settle()
		r.want("a", "1")
	})
}

// With one breaker for all lanes, the partitions of each are looked at.
func TestOneBreakerBeatsInEveryLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *sharded
		var beats [3]int
		r := newRig(t, func(c *JournaledConfig) {
			s = &sharded{faulty: c.Driver.(*faulty)}
			s.beat = func(lane int) error { beats[lane]++; return nil }
			c.Driver = s
		})
		time.Sleep(11 * time.Second)
		r.end()
		if beats[0] == 0 || beats != [3]int{beats[0], beats[0], beats[0]} {
			t.Fatalf("beats are %v", beats)
		}
	})
}

// While a log is dropped nothing of it is on its way, whatever lane it is in.
func TestDropsInSeveralLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := shardedRig(t)
		defer r.end()
		r.put("b", "1")
		s.fail("p01", hangs)
		answer := r.putLater("b", "2")
		s.fail("p01", none)
		dropped := make(chan error, 1)
		go func() {
			_, err := r.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "a"}, &storage.Drop{Scope: "b"}})
			dropped <- err
		}()
		synctest.Wait()
		select {
		case err := <-dropped:
			t.Fatalf("dropped while a batch was on its way: %v", err)
		default:
		}
		wantAnswer(t, "the drop", dropped)
		wantAnswer(t, "the append", answer)
	})
}

// slowTake is a driver whose queues do not answer.
type slowTake struct{ storage.Driver }

func (slowTake) Take(ctx context.Context, _ string, _ int) ([]storage.Item, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A queue that does not answer in time counts as a failure.
func TestHangingTakeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *JournaledConfig) { c.Driver = slowTake{c.Driver} })
		defer r.end()
		if _, err := r.Take(t.Context(), "q", 1); !unavailable(err) {
			t.Fatalf("answer is %v", err)
		}
		if s := r.b.Stats(); s.Failures == 0 {
			t.Fatalf("stats are %+v", s)
		}
	})
}
