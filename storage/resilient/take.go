package resilient

import (
	"context"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Take implements [storage.Driver]. What the backend has, only the backend hands
// out. Items that were never sent to it are handed out here when it has no more, or
// is away; the journal notes that first, so that they are handed out once. When
// there is none of these, and the backend is away, the answer is a
// [*storage.UnavailableError], for nobody knows whether there are others.
func (j *Journaled) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	if err := j.mayRead(ctx); err != nil {
		return nil, err
	}
	if most <= 0 || most > storage.MaxPage {
		most = storage.MaxPage
	}
	l := j.laneAt(&storage.Push{Queue: queue})
	bounded, cancel := context.WithTimeout(ctx, j.cfg.BatchTimeout)
	items, err := guardedTake(ctx, bounded, l.breaker, j.driver, queue, most)
	cancel()
	l.look()
	err = inTime(ctx, err)
	if err != nil && (ctx.Err() != nil || permanent(err)) {
		return nil, err
	}
	unsent, failed := j.takeUnsent(queue, most-len(items))
	if len(items) == 0 && failed != nil {
		return nil, failed
	}
	if items = append(items, unsent...); len(items) > 0 || err == nil {
		return items, nil
	}
	return nil, err
}

// takeUnsent takes items that are in the journal and were never sent.
func (j *Journaled) takeUnsent(queue string, most int) ([]storage.Item, error) {
	entries, ops := j.unsent(queue, most)
	if len(entries) == 0 {
		return nil, nil
	}
	err := j.load(entries, ops)
	if err == nil {
		err = j.barrier(entries)
	}
	j.decided(entries, err == nil)
	if err != nil {
		return nil, err
	}
	var items []storage.Item
	for i, e := range entries {
		if push, ok := ops[i].(*storage.Push); ok && !e.over(time.Now()) {
			items = append(items, storage.Item{ID: push.ID, Data: push.Data, Received: e.at.UTC().Truncate(time.Microsecond)})
		}
	}
	return items, nil
}

// unsent marks the oldest items that were never sent as taken.
func (j *Journaled) unsent(queue string, most int) (entries []*entry, ops []storage.Op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.journal.chains[target{aQueue, queue}]
	if c == nil {
		return nil, nil
	}
	for _, e := range c.pending() {
		if len(entries) == most {
			break
		}
		if e.durable && !e.sent && !e.taken {
			e.taken, e.taking = true, true
			entries, ops = append(entries, e), append(ops, e.op)
		}
	}
	if len(entries) > 0 {
		c.lane.prune()
	}
	return entries, ops
}

// decided says whether what unsent has marked is noted as taken. If not, it is as
// before.
func (j *Journaled) decided(entries []*entry, taken bool) {
	j.mu.Lock()
	for _, e := range entries {
		e.taken, e.taking = taken, false
		e.chain.lane.enqueue(e.chain)
	}
	j.mu.Unlock()
	entries[0].chain.lane.wake()
}
