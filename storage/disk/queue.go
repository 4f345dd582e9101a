package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// Keys in the bucket of a queue.
const (
	keyQueueMeta = 'm'
	keyItem      = 'i'
	keyItemID    = 'n'
	keyItemEnd   = 'x'
)

// queue is one queue within a transaction.
type queue struct {
	tx   *bbolt.Tx
	name string
	b    *bbolt.Bucket // nil: an unknown one
	meta queueMeta
}

// end is when the queue is forgotten with all that is known of it, in µs.
func (m queueMeta) end() int64 {
	if !m.endless {
		return m.ends
	}
	return max(m.ends, m.used+storage.DedupAge.Microseconds())
}

func itemKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(key(keyItem), number)
}

func itemIDKey(id string) []byte { return append(key(keyItemID), id...) }

func itemEndKey(end int64, id string) []byte {
	return append(append(key(keyItemEnd), microsKey(end)...), id...)
}

// findQueue reads a queue; one that has ended is an unknown one.
func findQueue(tx *bbolt.Tx, name string, now time.Time) (*queue, error) {
	q := &queue{tx: tx, name: name, b: sub(tx, bucketQueues, name)}
	if q.b == nil {
		return q, nil
	}
	m, err := decodeQueue(q.b.Get(key(keyQueueMeta)))
	if err != nil {
		return nil, q.damaged(err)
	}
	if over(m.end(), now) {
		q.b, q.meta.noted = nil, m.noted
		return q, nil
	}
	q.meta = m
	return q, nil
}

// openQueue is findQueue for writing: what has ended is removed.
func (c *committer) openQueue(tx *bbolt.Tx, name string, now time.Time) (*queue, error) {
	q, err := findQueue(tx, name, now)
	if err != nil {
		return nil, err
	}
	if q.b == nil {
		if sub(tx, bucketQueues, name) != nil {
			c.written = true
			err = tx.Bucket(bucketQueues).DeleteBucket([]byte(name))
		}
		return q, err
	}
	return q, c.purge(q, now)
}

func (q *queue) damaged(err error) error {
	return fmt.Errorf("queue %q: %w", q.name, err)
}

// purge removes the items and ids that have ended.
func (c *committer) purge(q *queue, now time.Time) error {
	prefix := key(keyItemEnd)
	for {
		rest, _, ok := seek(q.b.Cursor(), prefix, prefix)
		if !ok {
			return nil
		}
		r := reader{b: rest}
		end, ok := keyMicros(r.bytes(8))
		if !ok {
			return q.damaged(errDamaged)
		}
		if end > now.UnixMicro() {
			return nil
		}
		c.written = true
		if err := q.forget(string(r.b)); err != nil {
			return err
		}
		if err := q.b.Delete(itemEndKey(end, string(r.b))); err != nil {
			return fmt.Errorf("remove end of an item: %w", err)
		}
		if err := q.save(); err != nil {
			return err
		}
	}
}

// forget removes an id, and its item if it still waits.
func (q *queue) forget(id string) error {
	known, ok, err := q.find(id)
	if err != nil || !ok {
		return err
	}
	if !known.taken {
		if err := q.removeItem(known.number); err != nil {
			return err
		}
	}
	if err := q.b.Delete(itemIDKey(id)); err != nil {
		return fmt.Errorf("remove id of an item: %w", err)
	}
	return nil
}

func (q *queue) removeItem(number uint64) error {
	q.meta.waiting = max(q.meta.waiting-1, 0)
	if err := q.b.Delete(itemKey(number)); err != nil {
		return fmt.Errorf("remove item: %w", err)
	}
	return nil
}

func (q *queue) find(id string) (known itemID, ok bool, err error) {
	if q.b == nil {
		return itemID{}, false, nil
	}
	v := q.b.Get(itemIDKey(id))
	if v == nil {
		return itemID{}, false, nil
	}
	if known, err = decodeItemID(v); err != nil {
		return itemID{}, false, q.damaged(err)
	}
	return known, true, nil
}

// save writes the state of the queue, and when it will end.
func (q *queue) save() error {
	// The note of an end may be too early: whoever finds it looks again.
	if end := q.meta.end(); q.meta.noted == 0 || q.meta.noted > end {
		if err := unnote(q.tx, endQueue, q.meta.noted, q.name); err != nil {
			return err
		}
		q.meta.noted = end
		if err := note(q.tx, endQueue, end, q.name); err != nil {
			return err
		}
	}
	if err := q.b.Put(key(keyQueueMeta), encodeQueue(q.meta)); err != nil {
		return fmt.Errorf("write state of queue %q: %w", q.name, err)
	}
	return nil
}

// endQueue forgets a queue that has ended, or notes its end anew.
func (c *committer) endQueue(tx *bbolt.Tx, name string, now time.Time) error {
	b := sub(tx, bucketQueues, name)
	if b == nil {
		return nil
	}
	m, err := decodeQueue(b.Get(key(keyQueueMeta)))
	if err != nil {
		return c.undamaged(fmt.Errorf("queue %q: %w", name, err))
	}
	if over(m.end(), now) {
		return tx.Bucket(bucketQueues).DeleteBucket([]byte(name))
	}
	q := &queue{tx: tx, name: name, b: b, meta: m}
	q.meta.noted = 0
	return q.save()
}

// oldest answers the oldest items that wait, at most n of them, with their
// numbers. Their data points into the file.
func (q *queue) oldest(n int, now time.Time) (items []item, numbers []uint64, err error) {
	if q.b == nil {
		return nil, nil, nil
	}
	prefix := key(keyItem)
	c := q.b.Cursor()
	for rest, v, ok := seek(c, prefix, prefix); ok && len(items) < n; rest, v, ok = next(c, prefix) {
		i, err := decodeItem(v)
		if err != nil || len(rest) != 8 {
			return nil, nil, q.damaged(errDamaged)
		}
		if over(i.expires, now) {
			continue
		}
		items = append(items, i)
		numbers = append(numbers, binary.BigEndian.Uint64(rest))
	}
	return items, numbers, nil
}

// answered are items that outlive their transaction.
func answered(items []item) []storage.Item {
	answer := make([]storage.Item, len(items))
	for i, it := range items {
		answer[i] = storage.Item{ID: it.id, Data: bytes.Clone(it.data), Received: time.UnixMicro(it.received).UTC()}
	}
	return answer
}
