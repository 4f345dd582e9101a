package faultmatrix

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
)

// run is two nodes on one Redis, those who use them, and what goes wrong.
type run struct {
	t       testing.TB
	fault   Fault
	subject Subject
	seed    uint64

	ctx    context.Context // ends when the run gives up
	cancel context.CancelFunc
	began  time.Time

	redis   *redistest.Server
	cluster *redistest.Cluster
	proxies []*faults.Proxy // one for each node; none in a Cluster
	nodes   []*client       // with fault.clones a third one, to be started later

	book        *book
	actors      uint64
	calm        chan struct{} // closed: no more work is begun
	working     sync.WaitGroup
	readersStop chan struct{}
	readers     []*reader
	reading     sync.WaitGroup

	epochs   map[string]string // of the sessions, once all work has ended
	recovery time.Duration
	deleted  time.Time // the doomed session, acknowledged
}

// nodeCount is how many nodes there are from the beginning.
const nodeCount = 2

// giveUp bounds a run.
const giveUp = 3 * time.Minute

// conduct makes one run and answers what it has shown.
func conduct(t testing.TB, s Subject, f Fault, seed uint64) verdict {
	t.Helper()
	r := &run{
		t: t, subject: s, fault: f, seed: seed, began: time.Now(), book: newBook(),
		calm: make(chan struct{}), readersStop: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithTimeout(context.Background(), giveUp+f.lasts*2)
	defer r.cancel()
	r.startServers()
	defer r.end()
	r.startWriters()
	r.startRecords()
	r.startReaders()
	r.more(100)
	if !f.harmless {
		r.book.locked(r.book.claims.calmEnds)
	}
	f.strike(r)
	r.awaitNormal()
	if !r.isCalm() {
		r.more(50)
	}
	return r.finish()
}

// finish ends the work, waits until everything is where it belongs, and checks it.
func (r *run) finish() verdict {
	r.calmDown()
	r.awaitNormal()
	t := r.truth()
	r.awaitComplete(t)
	f, err := t.read(r.ctx, r.logs(), r.documents())
	if err != nil {
		r.t.Fatal(err)
	}
	r.epochs = f.epochs
	close(r.readersStop)
	r.reading.Wait()
	return r.check(f)
}

func (r *run) startServers() {
	r.t.Helper()
	if r.fault.cluster {
		r.cluster = redistest.StartCluster(r.t, 3)
	} else {
		r.redis = redistest.Start(r.t, r.fault.args...)
	}
	for i := range nodeCount {
		c := nodeConfig{Name: fmt.Sprint("node", i), MaxBytes: r.fault.maxBytes, Broken: r.fault.broken}
		c.Dir = filepath.Join(r.t.TempDir(), c.Name)
		if readersDefect(c.Broken) {
			c.Broken = ""
		}
		if r.cluster != nil {
			c.URL, c.Cluster = "redis://", r.cluster.Addrs()
		} else {
			p := faults.NewProxy(r.t, r.redis.Addr())
			p.Spare(r.fault.spare)
			r.proxies = append(r.proxies, p)
			c.URL = "redis://" + p.Addr()
		}
		n := newClient(r, c)
		n.start()
		r.nodes = append(r.nodes, n)
	}
	if r.fault.clones {
		c := r.nodes[0].config
		c.Name, c.Dir = "clone", filepath.Join(r.t.TempDir(), "clone")
		r.nodes = append(r.nodes, newClient(r, c))
	}
}

// end closes the nodes.
func (r *run) end() {
	r.cancel()
	for _, n := range r.nodes {
		n.close()
		if err := n.raced(); err != nil {
			r.t.Error(err)
		}
		if r.t.Failed() {
			r.t.Logf("%s:\n%s", n.config.Name, n.tail())
		}
	}
	r.working.Wait()
	r.reading.Wait()
}

// truth opens a way to Redis past everything.
func (r *run) truth() truth {
	o := redis.Options{Timeout: 5 * time.Second}
	if r.cluster != nil {
		o.URL, o.Cluster = "redis://", &redis.Cluster{Addrs: r.cluster.Addrs()}
	} else {
		o.URL = r.redis.URL()
	}
	d, err := redis.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = d.Close() })
	return truth{&storage.Store{Driver: d}}
}

func (r *run) logs() []string {
	if r.fault.deletes {
		return append([]string{doomed}, sessions...)
	}
	return sessions
}

func (r *run) documents() []string { return []string{shared, "own0", "own1"} }

// rest waits for d or until ctx ends.
func (r *run) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// until waits until done and reports whether it came to that.
func (r *run) until(limit time.Duration, done func() bool) bool {
	deadline := time.Now().Add(limit)
	for !done() {
		if r.ctx.Err() != nil || time.Now().After(deadline) {
			return false
		}
		r.rest(r.ctx, 5*time.Millisecond)
	}
	return true
}

// more waits until so many events more have been acknowledged.
func (r *run) more(n int) {
	n += r.book.acknowledged()
	if !r.until(patience, func() bool { return r.book.acknowledged() >= n }) {
		r.book.problem("publishing does not go on")
	}
}

// outage lets the work go on while something is wrong, for as long as the fault
// says.
func (r *run) outage() {
	r.rest(r.ctx, r.fault.lasts)
	if !r.isCalm() && !r.fault.stops {
		r.more(20)
	}
}

func (r *run) isCalm() bool {
	select {
	case <-r.calm:
		return true
	default:
		return false
	}
}

// calmDown has nobody begin anything more, and waits until all have what they want.
func (r *run) calmDown() {
	if !r.isCalm() {
		close(r.calm)
	}
	ended := make(chan struct{})
	go func() {
		r.working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		r.book.problem("somebody is still waiting for an acknowledgement")
		r.cancel()
		<-ended
	}
}

// awaitNormal waits until both nodes say that all is well, and notes how long it
// took the first time.
func (r *run) awaitNormal() {
	since := time.Now()
	var reasons []string
	ok := r.until(patience, func() bool {
		reasons = nil
		for _, n := range r.nodes {
			s, err := n.call(r.ctx, request{Do: DoStatus})
			switch {
			case err != nil:
				reasons = append(reasons, err.Error())
			case s.Degraded || s.Waiting > 0:
				reasons = append(reasons, fmt.Sprint(n.config.Name, s.Reasons, s.Waiting))
			}
		}
		return reasons == nil
	})
	if !ok {
		r.book.problem("not normal again: " + strings.Join(reasons, ", "))
	}
	if r.recovery == 0 {
		r.recovery = time.Since(since)
	}
}

// completeWithin is how long what Redis has lost may take to be noticed and given
// back: a heartbeat, and the refill.
const completeWithin = 10 * time.Second

// awaitComplete waits until the history has all that was acknowledged. If it never
// has, the checker says what is missing.
func (r *run) awaitComplete(t truth) {
	r.until(completeWithin, func() bool {
		for _, log := range r.logs() {
			events, err := t.history(r.ctx, log)
			there := make(map[string]bool, len(events))
			for _, e := range events {
				there[e.id] = true
			}
			if err != nil || r.book.missing(log, func(id string) bool { return there[id] }, r.excused) > 0 {
				return false
			}
		}
		return r.recordsComplete(t)
	})
}

// recordsComplete is the same for documents and counters.
func (r *run) recordsComplete(t truth) bool {
	var v verdict
	values := make(map[string]float64)
	for _, d := range r.documents() {
		value, err := t.document(r.ctx, d)
		if err != nil {
			return false
		}
		values[d] = value
	}
	n, err := t.counted(r.ctx)
	if err != nil {
		return false
	}
	r.checkDocuments(&v, values)
	r.checkCounter(&v, n)
	if v.lost > 0 {
		return false
	}
	waiting, err := t.commands(r.ctx)
	if err != nil {
		return false
	}
	v = verdict{}
	r.book.locked(func() { r.checkCommands(&v, waiting) })
	return !v.any()
}
