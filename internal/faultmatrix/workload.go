package faultmatrix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// The sessions in which events are published.
var sessions = []string{"alpha", "beta"}

// doomed is the session that is deleted, if any is.
const doomed = "doomed"

// writers is how many writers there are; they take turns at the nodes and then at
// the sessions.
const writers = 6

// batchWriters is how many more post many at once.
const batchWriters = 4

// actor is one of those who use the nodes: it has its own chance, so that what it
// does depends on the seed only.
type actor struct {
	r    *run
	name string
	rand *rand.Rand
	stop <-chan struct{}
}

func (r *run) actor(name string, stop <-chan struct{}) actor {
	r.actors++
	return actor{r, name, rand.New(rand.NewPCG(r.seed, r.actors)), stop}
}

// pause waits for a time between the two, or so many times that as the subject says,
// and reports whether to go on.
func (a actor) pause(from, to time.Duration) bool {
	usual := int64(from) + a.rand.Int64N(int64(to-from))
	timer := time.NewTimer(time.Duration(usual * int64(max(a.r.subject.Slower, 1))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.stop:
	case <-a.r.ctx.Done():
	}
	return false
}

// insist repeats a request until the node has taken it. Only the end of the run
// makes it give up; then it answers false.
func (a actor) insist(c *client, q request) (reply, bool) {
	return a.insistWith(c, func(int) request { return q }, func() {})
}

// insistWith is insist with a request that may be another one in each attempt; failed
// is called for each that was not taken as far as one knows.
func (a actor) insistWith(c *client, attempt func(n int) request, failed func()) (reply, bool) {
	for n := 0; a.r.ctx.Err() == nil; n++ {
		q := attempt(n)
		r, err := c.call(a.r.ctx, q)
		if err == nil && r.Error == "" {
			return r, true
		}
		failed()
		switch {
		case errors.Is(err, errDown):
			_ = c.awaitUp(a.r.ctx)
			continue
		case err != nil:
			return r, false
		case !r.Later:
			a.r.book.problem(fmt.Sprintf("%s: %s %s: %s", a.name, q.Do, q.ID, r.Error))
			return r, false
		}
		a.r.rest(a.r.ctx, 20*time.Millisecond)
	}
	return reply{}, false
}

// writer publishes in order: the next event when the last was acknowledged.
type writer struct {
	actor
	log  string
	node int
	both bool // every event through both nodes
}

func (w writer) write() {
	for seq := 0; w.pause(w.r.fault.pace()); seq++ {
		id := fmt.Sprintf("%s-%d", w.name, seq)
		body := strings.Repeat("x", 50+w.rand.IntN(500))
		p := w.r.book.try(w.log, id, published{writer: w.name, seq: seq, node: w.node, twice: w.both})
		q := request{Do: DoPublish, Name: w.log, ID: id, Body: body}
		if w.both {
			w.other(q, p)
		}
		if !w.publish(w.node, q, p) {
			return
		}
	}
}

// publish publishes an event until it is acknowledged.
func (w writer) publish(node int, q request, p *published) bool {
	r, ok := w.insistWith(w.r.nodes[node], func(int) request { return q }, func() { w.r.book.unanswered(p) })
	if ok {
		w.r.book.acknowledge(p, r)
	}
	return ok
}

// other publishes an event through the other node as well, at the same time.
func (w writer) other(q request, p *published) {
	w.r.working.Go(func() { w.publish(1-w.node, q, p) })
}

// startWriters starts who publishes events.
func (r *run) startWriters() {
	for i := range writers {
		w := writer{r.actor(fmt.Sprint("w", i), r.calm), sessions[i/2%len(sessions)], i % 2, r.fault.both}
		r.working.Go(w.write)
	}
	for i := range batchWriters {
		w := writer{r.actor(fmt.Sprint("b", i), r.calm), sessions[i/2%len(sessions)], i % 2, r.fault.both}
		r.working.Go(w.writeBatches)
	}
	if !r.fault.deletes {
		return
	}
	for i := range nodeCount {
		w := writer{r.actor(fmt.Sprint("d", i), r.calm), doomed, i, false}
		r.working.Go(w.write)
	}
}

// deleteDoomed deletes the session; it returns when that was acknowledged.
func (r *run) deleteDoomed(ctx context.Context) {
	a := r.actor("deleter", r.calm)
	if _, ok := a.insist(r.nodes[0], request{Do: DoDelete, Name: doomed}); ok && ctx.Err() == nil {
		r.book.locked(func() { r.deleted = time.Now() })
	}
}
