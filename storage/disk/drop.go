package disk

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// drop removes a log, of which a gravestone is left, and a queue. It reads
// neither: a damaged one can be dropped.
func (c *committer) drop(tx *bbolt.Tx, op *storage.Drop) (storage.Result, error) {
	log, err := c.dropLog(tx, op.Scope)
	if err != nil {
		return storage.Result{}, err
	}
	queue, err := c.dropQueue(tx, op.Scope)
	return storage.Result{Exists: log || queue}, err
}

func (c *committer) dropLog(tx *bbolt.Tx, name string) (existed bool, err error) {
	b := logBucket(tx, name)
	if b == nil {
		return false, nil
	}
	var m logMeta
	l, err := c.logs.get(name, b)
	switch {
	case err == nil:
		if !l.meta.state.Known() {
			return false, nil
		}
		m = l.meta
		c.hold(l, false)
		c.logs.drop(l)
	case !isDamaged(err):
		return false, err
	default: // the metadata may be whole, and only a record damaged
		if m, err = decodeLogMeta(b.Get(keyLogMeta)); err != nil {
			return true, c.removeLog(tx, name)
		}
		if m.state.Known() && m.kept <= m.state.Head.Micros {
			c.held[storage.LogKind(name)]--
		}
	}
	if err := c.removeLog(tx, name); err != nil {
		return false, err
	}
	if b, err = ensure(tx, bucketLogs, name); err != nil {
		return false, err
	}
	now := c.now()
	m = logMeta{state: m.state.Drop(now), written: now.UnixMicro()}
	if err := b.Put(keyLogMeta, encodeLogMeta(m)); err != nil {
		return false, fmt.Errorf("write gravestone of log %q: %w", name, err)
	}
	return true, nil
}

func (c *committer) removeLog(tx *bbolt.Tx, name string) error {
	c.written = true
	if err := tx.Bucket(bucketLogs).DeleteBucket([]byte(name)); err != nil {
		return fmt.Errorf("remove log %q: %w", name, err)
	}
	return nil
}

func (c *committer) dropQueue(tx *bbolt.Tx, name string) (existed bool, err error) {
	b := sub(tx, bucketQueues, name)
	if b == nil {
		return false, nil
	}
	// A damaged one has no end that is known; its note is found and ignored.
	m, err := decodeQueue(b.Get(key(keyQueueMeta)))
	if err == nil {
		if err := unnote(tx, endQueue, m.noted, name); err != nil {
			return false, err
		}
	}
	c.written = true
	if err := tx.Bucket(bucketQueues).DeleteBucket([]byte(name)); err != nil {
		return false, fmt.Errorf("remove queue %q: %w", name, err)
	}
	return !over(m.end(), c.now()), nil
}
