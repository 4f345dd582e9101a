package faultmatrix

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A batch has so many events.
const (
	smallestBatch = 2
	largestBatch  = 20
)

// batch are events that are posted together, in their order.
type batch struct {
	items  []Item
	events []*published
	// known: it was acknowledged before, or stands in this batch already, so that the
	// answer must be that it is a duplicate.
	known []bool
}

func (b *batch) add(item Item, p *published, known bool) {
	b.items, b.events, b.known = append(b.items, item), append(b.events, p), append(b.known, known)
}

// writeBatches publishes in order, many at once: the next batch when all of the last
// was acknowledged. A batch may begin with events of the one before, and name one
// twice; a part of it may be posted through the other node as well.
func (w writer) writeBatches() {
	var last batch
	for seq := 0; w.pause(batchPace(w.r.fault.pace())); {
		var b batch
		if n := len(last.items); n > 0 && w.rand.IntN(4) == 0 {
			for i := n - 1 - w.rand.IntN(min(n, 3)); i < n; i++ {
				b.add(last.items[i], last.events[i], true)
			}
		}
		repeated := len(b.items)
		for range smallestBatch + w.rand.IntN(largestBatch-smallestBatch+1-repeated) {
			b.add(w.next(&seq))
		}
		if fresh := len(b.items) - repeated; len(b.items) < largestBatch && w.rand.IntN(8) == 0 {
			i := repeated + w.rand.IntN(fresh)
			b.add(b.items[i], b.events[i], true)
		}
		if w.both || w.rand.IntN(6) == 0 {
			w.postElsewhere(b, repeated)
		}
		if !w.post(w.node, b) {
			return
		}
		last = b
	}
}

// batchPace has batches come rarer than events alone, as they are larger.
func batchPace(from, to time.Duration) (_, _ time.Duration) { return 8 * from, 12 * to }

// next is this writer's next event, about to be published.
func (w writer) next(seq *int) (Item, *published, bool) {
	id := fmt.Sprintf("%s-%d", w.name, *seq)
	p := w.r.book.try(w.log, id, published{writer: w.name, seq: *seq, node: w.node})
	*seq++
	return Item{id, strings.Repeat("x", 20+w.rand.IntN(200))}, p, false
}

// postElsewhere posts what is new in a batch, or the end of that, through the other
// node at the same time.
func (w writer) postElsewhere(b batch, from int) {
	if !w.both {
		from += w.rand.IntN(len(b.items) - from)
	}
	part := batch{b.items[from:], b.events[from:], make([]bool, len(b.items)-from)}
	for _, p := range part.events {
		w.r.book.locked(func() { p.twice = true })
	}
	other := w
	other.rand = rand.New(rand.NewPCG(w.rand.Uint64(), 0)) // this one's must not be used at the same time
	w.r.working.Go(func() { other.post(1-w.node, part) })
}

// post posts a batch until all of it is acknowledged: again what was refused, or by
// chance all of it, of which then a part is known.
func (w writer) post(node int, b batch) bool {
	for w.r.ctx.Err() == nil {
		c := w.r.nodes[node]
		r, err := c.call(w.r.ctx, request{Do: DoPublish, Name: w.log, Batch: b.items})
		switch {
		case errors.Is(err, errDown):
			w.r.book.unanswered(b.events...)
			_ = c.awaitUp(w.r.ctx)
			continue
		case err != nil:
			return false
		case r.Error != "" && !r.Later:
			w.r.book.problem(fmt.Sprintf("%s: a batch of %d: %s", w.name, len(b.items), r.Error))
			return false
		case r.Error != "":
			w.r.book.unanswered(b.events...)
		default:
			refused, ok := w.answered(b, r)
			if !ok || len(refused.items) == 0 {
				return ok
			}
			if w.rand.IntN(3) > 0 {
				b = refused
			}
		}
		w.r.rest(w.r.ctx, 20*time.Millisecond)
	}
	return false
}

// answered notes the answer to a batch, after which its acknowledged events are
// known, and answers what was refused and may be posted again.
func (w writer) answered(b batch, r reply) (refused batch, ok bool) {
	if len(r.Results) != len(b.items) {
		w.r.book.problem(fmt.Sprintf("%s: a batch of %d has %d results", w.name, len(b.items), len(r.Results)))
		return refused, false
	}
	w.r.book.acknowledgeAll(b.events, r.Results, r)
	for i, one := range r.Results {
		switch {
		case one.Error == "" && b.known[i] && !one.Duplicate:
			w.r.book.problem(fmt.Sprintf("%s: %s was there already and was taken once more", w.name, b.items[i].ID))
		case one.Error == "":
			b.known[i] = true
		case !one.Later:
			w.r.book.problem(fmt.Sprintf("%s: %s: %s", w.name, b.items[i].ID, one.Error))
			return refused, false
		default:
			w.r.book.unanswered(b.events[i])
			refused.add(b.items[i], b.events[i], b.known[i])
		}
	}
	return refused, true
}
