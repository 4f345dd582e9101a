package disk

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// What has an end is noted in the bucket expiry in the order of these ends: a
// key of its kind, the time in µs (8 bytes) and its names.
const (
	endDocument  = 'd' // collection, id
	endTombstone = 't' // collection, id
	endQueue     = 'q' // queue
)

func endKey(kind byte, end int64, names ...string) []byte {
	k := append(key(kind), microsKey(end)...)
	for _, name := range names {
		k = appendName(k, name)
	}
	return k
}

// note notes an end; 0 is none.
func note(tx *bbolt.Tx, kind byte, end int64, names ...string) error {
	if end == 0 {
		return nil
	}
	return tx.Bucket(bucketExpiry).Put(endKey(kind, end, names...), nil)
}

func unnote(tx *bbolt.Tx, kind byte, end int64, names ...string) error {
	if end == 0 {
		return nil
	}
	return tx.Bucket(bucketExpiry).Delete(endKey(kind, end, names...))
}

// ended removes the one thing of a kind that ended first; false: nothing has
// ended by now.
func (c *committer) ended(tx *bbolt.Tx, kind byte, now time.Time) (bool, error) {
	prefix := key(kind)
	rest, _, ok := seek(tx.Bucket(bucketExpiry).Cursor(), prefix, prefix)
	if !ok {
		return false, nil
	}
	r := reader{b: rest}
	end, ok := keyMicros(r.bytes(8))
	if ok && end > now.UnixMicro() {
		return false, nil
	}
	c.written = true
	first, second := r.name(), ""
	if kind != endQueue {
		second = r.name()
	}
	if err := tx.Bucket(bucketExpiry).Delete(append(prefix, rest...)); err != nil {
		return false, fmt.Errorf("remove a note of an end: %w", err)
	}
	if r.bad || !ok {
		return true, nil // it says nothing
	}
	switch kind {
	case endDocument:
		return true, c.endDocument(tx, first, second, now)
	case endTombstone:
		return true, c.endTombstone(tx, first, second, now)
	default:
		return true, c.endQueue(tx, first, now)
	}
}

// expireStep removes what has ended, as far as the budget allows, and answers
// whether there is more.
func (c *committer) expireStep(tx *bbolt.Tx, left *budget) (more bool, err error) {
	now := c.now()
	for _, kind := range []byte{endDocument, endTombstone, endQueue} {
		for {
			if left.records <= 0 {
				return true, nil
			}
			ok, err := c.ended(tx, kind, now)
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			left.records--
		}
	}
	return false, nil
}
