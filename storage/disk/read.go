package disk

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// ReadLog implements [storage.Driver]. It sees what was committed last and does
// not wait for the committer.
func (d *Driver) ReadLog(ctx context.Context, name string, q storage.LogQuery) (page storage.LogPage, err error) {
	err = d.view(ctx, func(tx *bbolt.Tx) (err error) {
		page, err = readLog(tx, name, q, d.now())
		return err
	})
	if err != nil {
		return storage.LogPage{}, fmt.Errorf("read log from disk: %w", err)
	}
	return page, nil
}

func readLog(tx *bbolt.Tx, name string, q storage.LogQuery, now time.Time) (storage.LogPage, error) {
	b := logBucket(tx, name)
	if b == nil {
		return q.Plan(storage.LogState{}).Page(nil, false), nil
	}
	m, err := decodeLogMeta(b.Get(keyLogMeta))
	if err != nil {
		return storage.LogPage{}, fmt.Errorf("log %q: %w", name, err)
	}
	if !m.state.Known() { // a gravestone
		return q.Plan(storage.LogState{}).Page(nil, false), nil
	}
	c := b.Cursor()
	from := max(m.kept, m.state.Oldest(now))
	s := storage.LogState{Epoch: m.state.Epoch, Head: m.state.Head, Last: m.state.Numbers()}
	k, v := c.Seek(microsKey(from))
	if micros, ok := keyMicros(k); ok {
		s.First.Micros = micros
		if s.First.Seq, err = seqAt(k, v); err != nil {
			return storage.LogPage{}, fmt.Errorf("log %q: %w", name, err)
		}
	}
	p := q.Plan(s)
	read := forward
	if p.Newest {
		read = backward
	}
	entries, more, err := read(c, p, from)
	if err != nil {
		return storage.LogPage{}, fmt.Errorf("log %q: %w", name, err)
	}
	return p.Page(entries, more), nil
}

// forward reads the oldest entries behind p.After, none below the position from.
func forward(c *bbolt.Cursor, p storage.ReadPlan, from int64) (entries []storage.LogEntry, more bool, err error) {
	for k, v := c.Seek(microsKey(max(from, p.After+1))); ; k, v = c.Next() {
		micros, ok := keyMicros(k)
		if !ok || p.Before > 0 && micros >= p.Before {
			return entries, false, nil
		}
		if len(entries) == p.Limit {
			return entries, true, nil
		}
		e, err := copied(micros, v)
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, e)
	}
}

// backward reads the newest entries before p.Before, oldest first.
func backward(c *bbolt.Cursor, p storage.ReadPlan, from int64) (entries []storage.LogEntry, more bool, err error) {
	// The metadata stands behind all entries, so Seek always finds something.
	end := keyLogMeta
	if p.Before > 0 {
		end = microsKey(p.Before)
	}
	c.Seek(end)
	for k, v := c.Prev(); ; k, v = c.Prev() {
		micros, ok := keyMicros(k)
		if !ok || micros < from || micros <= p.After {
			break
		}
		if len(entries) == p.Limit {
			more = true
			break
		}
		e, err := copied(micros, v)
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, e)
	}
	slices.Reverse(entries)
	return entries, more, nil
}

// copied is an entry that outlives its transaction.
func copied(micros int64, value []byte) (storage.LogEntry, error) {
	e, _, err := decodeEntry(micros, value)
	e.Data = bytes.Clone(e.Data)
	return e, err
}
