package resilience

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
	"github.com/actionflows/lifeline/storage/resilient"
)

const (
	sessions  = 64
	eventSize = 300
	patience  = 2 * time.Minute
)

var event = bytes.Repeat([]byte("e"), eventSize)

// startRedis starts a server that has its data again after it was killed: what it
// has answered, it has written to its file.
func startRedis(tb testing.TB) *redistest.Server {
	tb.Helper()
	return redistest.Start(tb, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
}

// awaitLoaded waits until a server that was started has read its file.
func awaitLoaded(tb testing.TB, r *redistest.Server) {
	tb.Helper()
	wait(tb, "Redis has loaded its data", func() bool {
		_, err := r.Do(context.Background(), "DBSIZE")
		return err == nil
	})
}

func wait(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// node is a journal on disk before Redis, as a hub has it.
type node struct {
	*resilient.Journaled
	breaker *breaker.Breaker
}

func startNode(tb testing.TB, r *redistest.Server, dir string) *node {
	tb.Helper()
	d, err := redis.New(redis.Options{URL: r.URL()})
	if err != nil {
		tb.Fatal(err)
	}
	n := new(node)
	n.breaker, err = breaker.New(breaker.Config{
		Name: "redis", Hooks: breaker.Hooks{OnTransition: func(breaker.Transition) { n.BreakerChanged() }},
	})
	if err != nil {
		tb.Fatal(err)
	}
	n.Journaled, err = resilient.NewJournaled(resilient.JournaledConfig{
		Driver: d, Breakers: []*breaker.Breaker{n.breaker}, Dir: dir,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = n.Close()
		n.breaker.Close()
	})
	return n
}

func newDriver(tb testing.TB, r *redistest.Server) storage.Driver {
	tb.Helper()
	d, err := redis.New(redis.Options{URL: r.URL(), Timeout: 5 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

// ownSpeed is how many events a second Redis takes from the driver alone, in batches
// of the size and shape in which the shipper sends what has waited: 512, of one log.
func ownSpeed(tb testing.TB, r *redistest.Server, events int) (perSecond float64) {
	tb.Helper()
	const batch = 512
	d := newDriver(tb, r)
	begin, done := time.Now(), 0
	for i := 0; done < events; i++ {
		ops := make([]storage.Op, batch)
		for k := range ops {
			ops[k] = &storage.Append{
				Log: fmt.Sprint("e:own", i%sessions), ID: fmt.Sprint(i, "-", k), Data: event, MaxAge: 24 * time.Hour,
			}
		}
		results, err := d.Apply(context.Background(), ops)
		if err != nil || results[0].Err != nil {
			tb.Fatal(err, results[0].Err)
		}
		done += batch
	}
	return float64(done) / time.Since(begin).Seconds()
}

func logOf(publisher int) string { return fmt.Sprint("e:s", publisher%sessions) }

// readBack reads every log from Redis and compares it with how many events each
// publisher was acknowledged: each must be there once, in his order.
func readBack(tb testing.TB, r *redistest.Server, acknowledged []int) (lost, disordered int) {
	tb.Helper()
	d := newDriver(tb, r)
	stored := make([]int, len(acknowledged))
	for s := range min(sessions, len(acknowledged)) {
		after := storage.Cursor{}
		for more := true; more; {
			page, err := d.ReadLog(context.Background(), logOf(s), storage.LogQuery{After: &after, Limit: storage.MaxPage})
			if err != nil {
				tb.Fatal(err)
			}
			for _, e := range page.Entries {
				var publisher, number int
				if _, err := fmt.Sscanf(e.ID, "%d-%d", &publisher, &number); err != nil {
					tb.Fatal(err)
				}
				if number != stored[publisher]+1 {
					disordered++
				}
				stored[publisher]++
			}
			after, more = page.Cursor, page.HasMore
		}
	}
	for p := range acknowledged {
		lost += max(acknowledged[p]-stored[p], 0)
	}
	return lost, disordered
}
