package resilient

import (
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// degradedPage answers a query from the journal alone. Between the entries that
// it holds other nodes may have written, so the canonical part of the cursor
// stays where the reader was, and only our part of it goes on: with the journal's
// entries side by side, it says exactly what the reader has been given.
func (j *Journaled) degradedPage(log string, q storage.LogQuery) storage.LogPage {
	j.mu.Lock()
	defer j.mu.Unlock()
	// Of a log never seen, only a reader of its tail needs something kept: that
	// what follows lies behind the cursor he gets.
	c := j.journal.chains[log]
	if c == nil && (q.After != nil || q.Before != nil) {
		c = &chain{owner: j.journal, log: log}
	} else if c == nil {
		c = j.journal.chain(log)
	}
	var page storage.LogPage
	switch {
	case q.Before != nil:
		page = c.degradedBefore(*q.Before, limitOf(q))
	case q.After != nil:
		page = c.degradedAfter(*q.After, limitOf(q))
	default:
		page = c.degradedTail(limitOf(q), time.Now())
	}
	page.Degraded = true
	page.State = storage.LogState{Epoch: c.head.Epoch, Head: c.head.Pos}
	return page
}

// shown are the entries that readers may see, in the order of their numbers.
func (c *chain) shown() []*entry {
	return c.entries[:c.ship+len(c.pending())]
}

// degradedAfter gives what follows the cursor.
func (c *chain) degradedAfter(cursor storage.Cursor, limit int) storage.LogPage {
	covered := c.covered(cursor)
	rest := c.entries[:0]
	if shown := c.shown(); len(shown) > 0 {
		rest = shown[min(c.at(covered+1), len(shown)):]
	}
	contiguous := len(rest) > 0 && rest[0].number() == covered+1
	if c.strange(cursor) && covered == 0 {
		// His epoch is gone. He will be told, and given everything, when the
		// backend is back; until then he gets what is new.
		contiguous = false
		rest = c.pending()
	}
	page := storage.LogPage{Cursor: cursor}
	for _, e := range rest {
		if e.foreign && e.inBackend() {
			continue // it stands in the log as another entry
		}
		if len(page.Entries) == limit {
			page.HasMore = contiguous
			break
		}
		if contiguous {
			page.Cursor = page.Cursor.With(e.op.Link)
		}
		page.Entries = append(page.Entries, logEntry(e, page.Cursor))
	}
	return page
}

// covered is the number up to which the holder of the cursor has been given our
// entries: by its part, or because an entry's position is not behind it. 0 is
// none that we know of.
func (c *chain) covered(cursor storage.Cursor) uint64 {
	n := partOf(cursor, c.producer)
	for _, e := range slices.Backward(c.entries) {
		if e.number() <= n {
			break
		}
		if e.placed && !e.foreign && c.comparable(cursor, e) && e.result.Cursor.Pos.Micros <= cursor.Pos.Micros {
			return e.number()
		}
	}
	return n
}

// comparable reports whether the cursor and the entry's position are of one life
// of the log, or of lives that follow one another.
func (c *chain) comparable(cursor storage.Cursor, e *entry) bool {
	switch cursor.Epoch {
	case 0, e.result.Cursor.Epoch:
		return true
	case c.head.Epoch:
		return e.inBackend()
	}
	return false
}

// strange reports whether the cursor is of another epoch than the log's.
func (c *chain) strange(cursor storage.Cursor) bool {
	return cursor.Epoch != 0 && c.known && cursor.Epoch != c.head.Epoch
}

// degradedTail gives the newest entries. The cursor starts before the first of
// them that has a position, so that what other nodes wrote in between is not
// passed; without one, at the last known head.
func (c *chain) degradedTail(limit int, now time.Time) storage.LogPage {
	var newest []*entry
	shown := c.shown()
	for i := len(shown) - 1; i >= 0 && len(newest) < limit; i-- {
		if e := shown[i]; !e.foreign || !e.inBackend() {
			newest = append(newest, e)
		}
	}
	page := storage.LogPage{Cursor: c.headCursor(now)}
	if n := len(newest); n > 0 && newest[n-1].inBackend() {
		page.Cursor = justBefore(newest[n-1].result.Cursor)
	}
	for _, n := range slices.Backward(newest) {
		page.Cursor = page.Cursor.With(n.op.Link)
		page.Entries = append(page.Entries, logEntry(n, page.Cursor))
	}
	return page
}

// degradedBefore gives stored entries with a position before the cursor.
func (c *chain) degradedBefore(cursor storage.Cursor, limit int) storage.LogPage {
	page := storage.LogPage{Cursor: cursor}
	if c.strange(cursor) {
		return page
	}
	var older []*entry
	for _, e := range c.entries[:c.ship] {
		if !e.foreign && e.result.Cursor.Pos.Micros < cursor.Pos.Micros {
			older = append(older, e)
		}
	}
	for _, e := range older[max(len(older)-limit, 0):] {
		page.Entries = append(page.Entries, logEntry(e, cursor))
	}
	return page
}

func justBefore(c storage.Cursor) storage.Cursor {
	return storage.Cursor{Epoch: c.Epoch, Pos: storage.Position{
		Micros: c.Pos.Micros - 1, Seq: max(c.Pos.Seq, 1) - 1,
	}}
}

// inBackend reports whether the entry is stored, as far as is known.
func (e *entry) inBackend() bool { return e.placed && e.in == &e.chain.owner.shipped }

func logEntry(e *entry, cursor storage.Cursor) storage.LogEntry {
	l := pendingEntry(e)
	if e.inBackend() {
		l.Pending, l.Pos, l.Received = false, e.result.Cursor.Pos, e.result.Cursor.Pos.Time()
	}
	l.Cursor = cursor
	return l
}
