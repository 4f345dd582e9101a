package disk

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// How many logs of a kind have entries stands in the file, and is written in the
// transaction that changes it.

func heldKey(kind string) []byte { return append(slices.Clip(keyHeld), kind...) }

// hold notes whether a log has entries.
func (c *committer) hold(l *log, has bool) {
	if l.held == has {
		return
	}
	l.held = has
	if has {
		c.held[storage.LogKind(l.name)]++
	} else {
		c.held[storage.LogKind(l.name)]--
	}
}

// writeHeld writes what the transaction has changed.
func (c *committer) writeHeld(tx *bbolt.Tx) error {
	b := tx.Bucket(bucketMeta)
	for kind, by := range c.held {
		if by == 0 {
			continue
		}
		if err := setCount(b, heldKey(kind), count(b, heldKey(kind))+by); err != nil {
			return fmt.Errorf("count logs: %w", err)
		}
	}
	return nil
}

// countAll counts the logs of a file that was written before they were counted.
func countAll(tx *bbolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta.Get(keyHeld) != nil {
		return nil
	}
	held := make(map[string]int)
	logs := tx.Bucket(bucketLogs)
	c := logs.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		b := logs.Bucket(k)
		if b == nil {
			continue
		}
		l := &log{name: string(k)}
		if l.load(b) == nil && l.held { // a damaged one cannot be written to either
			held[storage.LogKind(l.name)]++
		}
	}
	for kind, n := range held {
		if err := setCount(meta, heldKey(kind), n); err != nil {
			return fmt.Errorf("count logs: %w", err)
		}
	}
	if held[""] > 0 {
		return nil
	}
	return meta.Put(keyHeld, []byte{0}) // they are counted
}

// CountLogs implements [storage.Counting].
func (d *Driver) CountLogs(ctx context.Context, kind string) (n int, err error) {
	err = d.view(ctx, func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketMeta); b != nil {
			n = count(b, heldKey(kind))
		}
		return nil
	})
	return n, wrap("count logs", err)
}

// CountDocuments implements [storage.Counting].
func (d *Driver) CountDocuments(ctx context.Context, name string) (n int, err error) {
	err = d.view(ctx, func(tx *bbolt.Tx) error {
		if s := documents(tx, name); s.b != nil {
			n = count(s.b, append(key(keyCount), document{}.group()...))
		}
		return nil
	})
	return n, wrap("count documents", err)
}
