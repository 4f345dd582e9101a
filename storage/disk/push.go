package disk

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

func (c *committer) push(tx *bbolt.Tx, op *storage.Push) (storage.Result, error) {
	now := c.now()
	q, err := c.openQueue(tx, op.Queue, now)
	if err != nil {
		return c.refuse(err)
	}
	known, found, err := q.find(op.ID)
	if err != nil {
		return c.refuse(err)
	}
	others := q.meta.waiting
	if found && !known.taken {
		others--
	}
	result := storage.Result{Exists: others > 0, Link: op.Link}
	late, err := q.meta.chain.Order(op.Link, op.Rebase)
	switch {
	case err != nil:
		result.Err = fmt.Errorf("push %q: %w", op.ID, err)
		return result, nil
	case found || late:
		result.Duplicate = true
		return result, c.noteDuplicate(q, op, known, found, now)
	case !op.Taken && op.MaxLen > 0 && q.meta.waiting >= op.MaxLen:
		result.Err = fmt.Errorf("push %q to %d items: %w", op.ID, q.meta.waiting, storage.ErrFull)
		return result, nil
	}
	result.ReceivedAt = time.UnixMicro(now.UnixMicro()).UTC()
	return result, c.enqueue(q, op, now)
}

// noteDuplicate notes the number of an item whose id the queue has from
// elsewhere: the chain goes on behind it. An item that was handed out elsewhere
// must not be handed out again.
func (c *committer) noteDuplicate(q *queue, op *storage.Push, known itemID, found bool, now time.Time) error {
	elsewhere := op.Taken && found && !known.taken
	onward := op.Link.Number > q.meta.chain.Number(op.Link.Producer)
	if !elsewhere && !onward {
		return nil
	}
	c.written = true
	if elsewhere {
		if err := q.took(op.ID, known, now); err != nil {
			return err
		}
	}
	if onward {
		q.meta.chain = q.meta.chain.Take(op.Link)
	}
	q.meta.used = now.UnixMicro()
	return q.save()
}

// enqueue stores a new item, or only that it was taken.
func (c *committer) enqueue(q *queue, op *storage.Push, now time.Time) (err error) {
	c.written = true
	if q.b == nil {
		if q.b, err = ensure(q.tx, bucketQueues, q.name); err != nil {
			return err
		}
	}
	end := deadline(now, op.Remaining)
	q.meta.ends = max(q.meta.ends, end)
	q.meta.endless = q.meta.endless || end == 0
	q.meta.used = now.UnixMicro()
	q.meta.chain = q.meta.chain.Take(op.Link)
	id := itemID{number: q.meta.next, expires: end}
	q.meta.next++
	if op.Taken {
		if err := q.remember(op.ID, id, now); err != nil {
			return err
		}
		return q.save()
	}
	q.meta.waiting++
	i := item{id: op.ID, received: now.UnixMicro(), expires: end, data: op.Data}
	if err := q.b.Put(itemKey(id.number), encodeItem(i)); err != nil {
		return fmt.Errorf("write item: %w", err)
	}
	if err := q.setID(op.ID, id); err != nil {
		return err
	}
	return q.save()
}

// setID notes an id, and when it is to be forgotten.
func (q *queue) setID(id string, known itemID) error {
	if err := q.b.Put(itemIDKey(id), encodeItemID(known)); err != nil {
		return fmt.Errorf("write id of an item: %w", err)
	}
	if known.expires == 0 {
		return nil
	}
	if err := q.b.Put(itemEndKey(known.expires, id), nil); err != nil {
		return fmt.Errorf("write end of an item: %w", err)
	}
	return nil
}

// remember notes that an item was taken. One without an end is remembered for
// DedupAge, lest a busy queue remember for ever.
func (q *queue) remember(id string, known itemID, now time.Time) error {
	known.taken = true
	if known.expires == 0 {
		known.expires = deadline(now, storage.DedupAge)
	}
	return q.setID(id, known)
}

// took removes a waiting item and remembers its id.
func (q *queue) took(id string, known itemID, now time.Time) error {
	if err := q.removeItem(known.number); err != nil {
		return err
	}
	return q.remember(id, known, now)
}

// Take implements [storage.Driver]: what it answers is gone from the disk.
func (d *Driver) Take(ctx context.Context, name string, n int) ([]storage.Item, error) {
	if n <= 0 || n > storage.MaxPage {
		n = storage.MaxPage
	}
	// Most queues are empty most of the time: look before asking for a transaction.
	waiting := false
	err := d.view(ctx, func(tx *bbolt.Tx) error {
		b := sub(tx, bucketQueues, name)
		waiting = b != nil && name != ""
		if !waiting {
			return nil
		}
		m, err := decodeQueue(b.Get(key(keyQueueMeta)))
		waiting = err != nil || m.waiting > 0
		return nil
	})
	if err != nil || !waiting {
		return nil, wrap("take from disk", err)
	}
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, wrap("take from disk", err)
	}
	defer leave()
	r := newRequest(ctx)
	r.take = &take{queue: name, max: n}
	r.count = 1
	if err := d.do(r); err != nil {
		return nil, wrap("take from disk", err)
	}
	return r.take.items, wrap("take from disk", r.take.err)
}

// take is a Take that waits for the committer.
type take struct {
	queue string
	max   int
	items []storage.Item
	err   error // of this one alone
}

func (c *committer) take(tx *bbolt.Tx, t *take) error {
	now := c.now()
	q, err := c.openQueue(tx, t.queue, now)
	if err != nil {
		return c.refuseTake(t, err)
	}
	items, numbers, err := q.oldest(t.max, now)
	if err != nil {
		return c.refuseTake(t, err)
	}
	known := make([]itemID, len(items))
	for i, it := range items {
		id, ok, err := q.find(it.id)
		if err == nil && (!ok || id.number != numbers[i] || id.taken) {
			err = q.damaged(errDamaged)
		}
		if err != nil {
			return c.refuseTake(t, err)
		}
		known[i] = id
	}
	if len(items) == 0 {
		return nil
	}
	c.written = true
	t.items = answered(items)
	for i, it := range t.items {
		if err := q.took(it.ID, known[i], now); err != nil {
			return err
		}
	}
	q.meta.used = now.UnixMicro()
	return q.save()
}

func (c *committer) refuseTake(t *take, err error) error {
	r, err := c.refuse(err)
	t.err = r.Err
	return err
}
