package faultmatrix

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	action     = "click"
	inputQueue = "input"
	shared     = "shared" // the document that both nodes write
	takeMost   = 3
)

// startRecords starts who writes documents, counts, and sends and takes input.
func (r *run) startRecords() {
	for i := range nodeCount {
		documents := r.actor(fmt.Sprint("documents", i), r.calm)
		r.working.Go(func() { documents.write(i) })
		counter := r.actor(fmt.Sprint("counter", i), r.calm)
		r.working.Go(func() { counter.count(i) })
		pusher := r.actor(fmt.Sprint("pusher", i), r.calm)
		r.working.Go(func() { pusher.push(i) })
		taker := r.actor(fmt.Sprint("taker", i), r.calm)
		r.working.Go(func() { taker.take(i) })
		commander := r.actor(fmt.Sprint("commander", i), r.calm)
		r.working.Go(func() { commander.command(i) })
	}
}

// write writes one document after the other, and reads those that nobody else
// writes.
func (a actor) write(node int) {
	own := fmt.Sprint("own", node)
	for a.pause(10*time.Millisecond, 40*time.Millisecond) {
		document := own
		if a.rand.IntN(3) == 0 {
			document = shared
		}
		w := &write{document: document, node: node, first: time.Now()}
		a.r.book.locked(func() {
			w.value = float64(len(a.r.book.writes) + 1)
			a.r.book.writes = append(a.r.book.writes, w)
		})
		if _, ok := a.insist(a.r.nodes[node], request{Do: DoWindow, Name: document, Number: w.value}); !ok {
			return
		}
		a.r.book.locked(func() { w.acked = time.Now() })
		if document == own && !a.r.fault.loses {
			a.readBack(node, w)
		}
	}
}

// readBack reads what was just written, through the same node. That it cannot be
// read now is an answer; that it is another is not.
func (a actor) readBack(node int, w *write) {
	r, err := a.r.nodes[node].call(a.r.ctx, request{Do: DoWindowed, Name: w.document})
	if err != nil || r.Error != "" {
		return
	}
	if r.Number != w.value {
		a.r.book.problem(fmt.Sprintf("%s: wrote %v and read %v", a.name, w.value, r.Number))
	}
}

// count counts, each time once: a count has no id, so that none is repeated.
func (a actor) count(node int) {
	for a.pause(5*time.Millisecond, 30*time.Millisecond) {
		r, err := a.r.nodes[node].call(a.r.ctx, request{Do: DoCount, Name: action})
		a.r.book.locked(func() {
			switch {
			case err == nil && r.Error == "":
				a.r.book.counts.acked++
			case err != nil || !refusedAtOnce(r):
				a.r.book.counts.unknown++
			}
		})
		if errors.Is(err, errDown) {
			_ = a.r.nodes[node].awaitUp(a.r.ctx)
		}
	}
}

// refusedAtOnce reports whether an error says that nothing was tried.
func refusedAtOnce(r reply) bool { return strings.Contains(r.Error, "circuit breaker open") }

// push sends input, again until it is taken. A hub draws the ids: there an input that
// is sent again is another one, and each attempt says something else, so that of every
// single one is known whether it was acknowledged.
func (a actor) push(node int) {
	for i := 0; a.pause(10*time.Millisecond, 60*time.Millisecond); i++ {
		id := ""
		_, ok := a.insistWith(a.r.nodes[node], func(n int) request {
			if id = fmt.Sprintf("%s-%d", a.name, i); a.r.subject.Call != nil {
				id += fmt.Sprint(".", n)
			}
			a.r.book.locked(func() { a.r.book.inputs.tried[id] = struct{}{} })
			return request{Do: DoPush, Name: inputQueue, ID: id}
		}, func() {})
		if !ok {
			return
		}
		a.r.book.locked(func() { a.r.book.inputs.pushed[id] = time.Now() })
	}
}

// slow is how long a node takes to take input when Redis does not answer: whatever
// the node then says, Redis may have handed out more.
const slow = 100_000 // µs

// mayHaveLost reports whether Redis may have handed out more input than the answer
// has. A hub says itself when Redis did not answer it.
func (a actor) mayHaveLost(r reply, err error) bool {
	switch {
	case err != nil:
		return true
	case r.Error != "":
		return !refusedAtOnce(r)
	case a.r.subject.Call != nil:
		return r.Degraded
	}
	return r.Took > slow
}

// take takes input, and has a hub hold every other request until there is some.
func (a actor) take(node int) {
	for a.pause(20*time.Millisecond, 150*time.Millisecond) {
		q := request{Do: DoTake, Name: inputQueue, Limit: takeMost}
		if a.r.subject.Call != nil && a.rand.IntN(2) == 0 {
			q.Wait = time.Duration(200+a.rand.IntN(1000)) * time.Millisecond
		}
		r, err := a.r.nodes[node].call(a.r.ctx, q)
		a.r.book.locked(func() {
			if a.mayHaveLost(r, err) {
				a.r.book.inputs.lost += takeMost
			}
			for _, id := range r.Items {
				a.r.book.inputs.taken[id]++
			}
		})
		if errors.Is(err, errDown) {
			_ = a.r.nodes[node].awaitUp(a.r.ctx)
		}
	}
}
