package resilient

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func connect(t *testing.T, url string, change ...func(*JournaledConfig)) *Journaled {
	t.Helper()
	b, err := breaker.New(breaker.Config{Name: "redis"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	d, err := redis.New(redis.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	cfg := JournaledConfig{Driver: d, Breakers: []*breaker.Breaker{b}}
	for _, c := range change {
		c(&cfg)
	}
	j, err := NewJournaled(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestConformanceRedis(t *testing.T) {
	s := redistest.Start(t)
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		t.Helper()
		return connect(t, s.URL(), patient)
	})
}

// patient has a slow machine not taken for an outage.
func patient(c *JournaledConfig) {
	c.AckAfter, c.BatchTimeout, c.ReadTimeout = 10*time.Second, 5*time.Second, 5*time.Second
}

// load publishes from several goroutines until stop is called.
type load struct {
	j       *Journaled
	stopped atomic.Bool
	running sync.WaitGroup
	counts  []int
	longest atomic.Int64
	failed  atomic.Int64
	done    atomic.Int64
}

// more waits until n further events have been acknowledged.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	n += l.done.Load()
	await(t, "acknowledgements", func() bool { return l.done.Load() >= n })
}

const loadPublishers = 16

func startLoad(j *Journaled) *load {
	l := &load{j: j, counts: make([]int, loadPublishers)}
	for p := range loadPublishers {
		l.running.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for !l.stopped.Load() {
				l.publish(p)
				<-pace.C // an outage is answered faster than Redis could store it
			}
		})
	}
	return l
}

func (l *load) publish(p int) {
	start := time.Now()
	res, err := l.j.Apply(context.Background(), []storage.Op{op(fmt.Sprint("s", p), fmt.Sprintf("%d-%d", p, l.counts[p]))})
	for d := int64(time.Since(start)); ; {
		old := l.longest.Load()
		if d <= old || l.longest.CompareAndSwap(old, d) {
			break
		}
	}
	if err != nil || res[0].Err != nil {
		l.failed.Add(1)
	}
	l.counts[p]++
	l.done.Add(1)
}

// finish stops the load, waits until everything is stored, and checks it.
func (l *load) finish(t *testing.T, url string) {
	t.Helper()
	l.stopped.Store(true)
	l.running.Wait()
	d, err := redis.New(redis.Options{URL: url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	await(t, "recovery", func() bool {
		for p := range loadPublishers {
			if len(idsOf(t, d, fmt.Sprint("s", p))) < l.counts[p] {
				return false
			}
		}
		return !l.j.Status().Degraded
	})
	total := 0
	for p := range loadPublishers {
		ids := idsOf(t, d, fmt.Sprint("s", p))
		total += len(ids)
		if len(ids) != l.counts[p] {
			t.Fatalf("publisher %d: %d stored of %d", p, len(ids), l.counts[p])
		}
		for i, id := range ids {
			if id != fmt.Sprintf("%d-%d", p, i) {
				t.Fatalf("publisher %d: %q at %d", p, id, i)
			}
		}
	}
	longest := time.Duration(l.longest.Load())
	t.Logf("%d events, longest acknowledgement %v", total, longest)
	if l.failed.Load() > 0 {
		t.Fatalf("%d appends failed", l.failed.Load())
	}
	if longest > 2*time.Second { // 250 ms, and a busy machine
		t.Fatalf("longest acknowledgement %v", longest)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRedisKilledAndRestartedEmpty(t *testing.T) {
	s := redistest.Start(t)
	j := connect(t, s.URL())
	defer j.Close()
	for i := range 50 { // sessions that get nothing new
		if _, err := j.Apply(t.Context(), []storage.Op{op(fmt.Sprint("idle", i), "x")}); err != nil {
			t.Fatal(err)
		}
	}
	l := startLoad(j)
	l.more(t, 500)
	s.Kill()
	await(t, "trip", func() bool { return j.lanes[0].breaker.State() == breaker.Open })
	l.more(t, 500)
	s.Restart()
	await(t, "recovery", func() bool { return !j.Status().Degraded })
	l.finish(t, s.URL())
	d, err := redis.New(redis.Options{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range 50 {
		await(t, "refill", func() bool { return len(idsOf(t, d, fmt.Sprint("idle", i))) == 1 })
	}
}

func TestRedisFrozen(t *testing.T) {
	s := redistest.Start(t)
	j := connect(t, s.URL())
	defer j.Close()
	l := startLoad(j)
	l.more(t, 500)
	s.Freeze()
	await(t, "trip", func() bool { return j.lanes[0].breaker.State() == breaker.Open })
	l.more(t, 500)
	s.Thaw()
	l.finish(t, s.URL())
}

func TestRedisLosesReplies(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	j := connect(t, "redis://"+proxy.Addr())
	defer j.Close()
	l := startLoad(j)
	for range 3 {
		l.more(t, 200)
		dropped := proxy.Dropped()
		proxy.DropReplies(true)
		await(t, "lost reply", func() bool { return proxy.Dropped() > dropped && j.UsingFallback() })
		l.more(t, 20)
		proxy.DropReplies(false)
		proxy.Cut()
		await(t, "recovery", func() bool { return !j.UsingFallback() })
	}
	l.finish(t, s.URL())
}
