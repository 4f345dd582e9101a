package resilience

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

const sampleEvery = 50 * time.Millisecond

// The states of a node in the order of a sample's State.
const (
	normal   = iota
	degraded // something waits, the breaker is closed
	halfOpen
	open
)

// sample is what was seen of a node in one interval.
type sample struct {
	At      time.Duration // its end, since the run began
	Acked   int           // events acknowledged in it
	Pending int
	State   int
	Longest time.Duration // acknowledgement in it
}

// ack is one acknowledgement.
type ack struct{ at, took time.Duration }

// recorder notes what publishers are told.
type recorder struct {
	begin time.Time
	node  *node
	quit  chan struct{}

	acked   atomic.Int64
	errors  atomic.Int64
	longest atomic.Int64 // ns, in the current interval

	publishing sync.WaitGroup
	acks       [][]ack // by publisher, who alone touches his while he publishes
	samples    []sample
	struck     time.Duration
	back       time.Duration
	recovered  time.Duration
}

func newRecorder(n *node, l load) *recorder {
	return &recorder{begin: time.Now(), node: n, quit: make(chan struct{}), acks: make([][]ack, l.publishers)}
}

func (r *recorder) now() time.Duration { return time.Since(r.begin) }

// publish starts the publishers, each in a session together with others.
func (r *recorder) publish(tb testing.TB, n *node, l load) {
	tb.Helper()
	for p := range l.publishers {
		r.publishing.Go(func() {
			first := time.Duration(p) * l.every / time.Duration(l.publishers)
			for number := 1; ; number++ {
				if !r.pause(first + time.Duration(number-1)*l.every) {
					return
				}
				r.one(n, p, number)
			}
		})
	}
}

// pause waits until that time of the run, and reports whether it goes on.
func (r *recorder) pause(until time.Duration) bool {
	if d := until - r.now(); d > 0 {
		select {
		case <-time.After(d):
		case <-r.quit:
		}
	}
	select {
	case <-r.quit:
		return false
	default:
		return true
	}
}

func (r *recorder) one(n *node, publisher, number int) {
	at := r.now()
	results, err := n.Apply(context.Background(), []storage.Op{&storage.Append{
		Log: logOf(publisher), ID: fmt.Sprintf("%d-%d", publisher, number), Data: event, MaxAge: 24 * time.Hour,
	}})
	if err != nil || results[0].Err != nil {
		r.errors.Add(1)
		return
	}
	took := r.now() - at
	r.acks[publisher] = append(r.acks[publisher], ack{at, took})
	r.acked.Add(1)
	raise(&r.longest, int64(took))
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// stop ends the publishers, and with them the samples.
func (r *recorder) stop() {
	close(r.quit)
	r.publishing.Wait()
}

// sample looks at the node until the publishers are stopped.
func (r *recorder) sample() *sync.WaitGroup {
	sampling := new(sync.WaitGroup)
	sampling.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for before := int64(0); ; {
			select {
			case <-tick.C:
			case <-r.quit:
				return
			}
			status := r.node.Status()
			state := stateOf(r.node.breaker.State())
			if state == normal && status.Degraded {
				state = degraded
			}
			acked := r.acked.Load()
			r.samples = append(r.samples, sample{
				At: r.now(), Acked: int(acked - before), Pending: status.Pending, State: state,
				Longest: time.Duration(r.longest.Swap(0)),
			})
			before = acked
		}
	})
	return sampling
}

func stateOf(s breaker.State) int {
	switch s {
	case breaker.Open:
		return open
	case breaker.HalfOpen:
		return halfOpen
	default:
		return normal
	}
}

// awaitNormal waits until nothing waits and nothing is degraded.
func (r *recorder) awaitNormal(tb testing.TB, n *node) {
	tb.Helper()
	wait(tb, "all is stored, and the state normal", func() bool {
		s := n.Status()
		return s.Pending == 0 && !s.Degraded
	})
	r.recovered = r.now()
}

// counts are the acknowledged events by publisher.
func (r *recorder) counts() []int {
	counts := make([]int, len(r.acks))
	for p, acks := range r.acks {
		counts[p] = len(acks)
	}
	return counts
}
