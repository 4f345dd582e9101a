package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// queue is one queue, with what is remembered of items that were taken.
type queue struct {
	items   []*item // waiting, oldest first
	ids     map[string]*item
	endings endings // of items, waiting and taken
	chain   sequence.Chain
	ends    time.Time // of the longest-lived item
	endless bool      // an item without an end was pushed
	used    time.Time // the last operation
}

type item struct {
	id       string
	data     []byte
	received time.Time
	expires  time.Time // zero: never
	ending   *ending   // nil: never
	taken    bool
}

func (i *item) size() int64 { return int64(recordOverhead + len(i.id) + len(i.data)) }

// ended reports whether a queue is forgotten with all that is known of it.
func (q *queue) ended(now time.Time) bool {
	end := q.ends
	if kept := q.used.Add(storage.DedupAge); q.endless && kept.After(end) {
		end = kept
	}
	return !end.After(now)
}

// queue answers a queue without what has ended, or nil for an unknown one.
func (d *Driver) queue(name string, now time.Time) *queue {
	q := d.queues[name]
	if q == nil {
		return nil
	}
	if q.ended(now) {
		d.dropQueue(name)
		return nil
	}
	missed := false
	for id, ok := q.endings.over(now); ok; id, ok = q.endings.over(now) {
		i := q.ids[id]
		missed = missed || !i.taken
		q.endings.remove(i.ending)
		delete(q.ids, id)
		d.grow(-i.size())
	}
	if missed {
		q.items = slices.DeleteFunc(q.items, func(i *item) bool { return over(i.expires, now) })
	}
	return q
}

// dropQueue forgets a queue and reports whether there was one.
func (d *Driver) dropQueue(name string) bool {
	q := d.queues[name]
	if q == nil {
		return false
	}
	for _, i := range q.ids {
		d.grow(-i.size())
	}
	delete(d.queues, name)
	return true
}

func (d *Driver) push(op *storage.Push, now time.Time) storage.Result {
	q := d.queue(op.Queue, now)
	if q == nil {
		q = &queue{ids: make(map[string]*item)}
	}
	known := q.ids[op.ID]
	others := len(q.items)
	if known != nil && !known.taken {
		others--
	}
	result := storage.Result{Exists: others > 0, Link: op.Link}
	late, err := q.chain.Order(op.Link, op.Rebase)
	switch {
	case err != nil:
		result.Err = fmt.Errorf("push %q: %w", op.ID, err)
		return result
	case known != nil || late:
		result.Duplicate = true
		d.noteDuplicate(q, op, known, now)
		return result
	case !op.Taken && op.MaxLen > 0 && len(q.items) >= op.MaxLen:
		result.Err = fmt.Errorf("push %q to %d items: %w", op.ID, len(q.items), storage.ErrFull)
		return result
	}
	i := &item{id: op.ID, data: op.Data, received: now, expires: deadline(now, op.Remaining)}
	if result.Err = d.room(i.size()); result.Err != nil {
		return result
	}
	if i.expires.After(q.ends) {
		q.ends = i.expires
	}
	q.endless = q.endless || i.expires.IsZero()
	q.used = now
	q.chain = q.chain.Take(op.Link)
	q.ids[op.ID] = i
	i.ending = q.endings.add(i.id, i.expires)
	d.grow(i.size())
	if op.Taken {
		d.take(q, i, now)
	} else {
		q.items = append(q.items, i)
	}
	d.queues[op.Queue] = q
	result.ReceivedAt = now.UTC().Truncate(time.Microsecond)
	return result
}

// noteDuplicate notes the number of an item whose id the queue has from
// elsewhere, and that it was handed out there.
func (d *Driver) noteDuplicate(q *queue, op *storage.Push, known *item, now time.Time) {
	if op.Taken && known != nil && !known.taken {
		q.items = slices.DeleteFunc(q.items, func(i *item) bool { return i == known })
		d.take(q, known, now)
		q.used = now
	}
	if op.Link.Number > q.chain.Number(op.Link.Producer) {
		q.chain = q.chain.Take(op.Link)
		q.used = now
	}
}

// take lets go of an item's data. The id of one without an end is remembered for
// DedupAge, lest a busy queue remember for ever.
func (d *Driver) take(q *queue, i *item, now time.Time) {
	d.grow(-i.size())
	i.taken, i.data = true, nil
	if i.expires.IsZero() {
		i.expires = now.Add(storage.DedupAge)
		i.ending = q.endings.add(i.id, i.expires)
	}
	d.grow(i.size())
}

// Take implements [storage.Driver].
func (d *Driver) Take(ctx context.Context, name string, n int) ([]storage.Item, error) {
	if n <= 0 || n > storage.MaxPage {
		n = storage.MaxPage
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		return nil, fmt.Errorf("take from memory: %w", err)
	}
	now := time.Now()
	q := d.queue(name, now)
	if q == nil || len(q.items) == 0 {
		return nil, nil
	}
	n = min(n, len(q.items))
	taken := make([]storage.Item, n)
	for k, i := range q.items[:n] {
		taken[k] = storage.Item{ID: i.id, Data: i.data, Received: i.received.UTC().Truncate(time.Microsecond)}
		d.take(q, i, now)
	}
	q.items = slices.Delete(q.items, 0, n)
	q.used = now
	return taken, nil
}
