package resilient

import (
	"context"
	"errors"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
)

// ReadLog implements [storage.Driver]. A page that reaches the head also shows
// the pending entries that were acknowledged. While the breaker is open, when
// the backend does not answer within ReadTimeout, and when it has lost entries
// that the journal is about to give back, the page is what the journal knows,
// with Degraded set.
func (j *Journaled) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	if err := ctx.Err(); err != nil {
		return storage.LogPage{}, err
	}
	before, err := j.snapshot(log)
	if err != nil {
		return storage.LogPage{}, err
	}
	if j.breaker.State() == breaker.Open {
		return j.degradedPage(log, q), nil
	}
	bounded, cancel := context.WithTimeout(ctx, j.cfg.ReadTimeout)
	page, err := j.driver.ReadLog(bounded, log, q)
	cancel()
	switch {
	case err != nil && ctx.Err() != nil:
		return storage.LogPage{}, ctx.Err()
	case err != nil && (permanent(err) || errors.Is(err, storage.ErrClosed)):
		return storage.LogPage{}, err
	case err != nil:
		return j.degradedPage(log, q), nil
	case page.State.Last[before.producer] < before.stored:
		j.suspect(log)
		return j.degradedPage(log, q), nil
	}
	j.mu.Lock()
	j.note(log, page.State)
	j.mu.Unlock()
	return before.extend(before.explicit(page, q), q), nil
}

// note remembers the head that a read has shown; mu is held.
func (j *Journaled) note(log string, s storage.LogState) {
	if s.Epoch != 0 && s.Head.Micros != 0 {
		j.journal.chain(log).saw(s.Epoch, s.Head)
	}
}

// snapshot is what the journal shows of a log at one moment.
type snapshot struct {
	producer storage.Producer
	stored   uint64 // the backend should have these
	pending  []storage.LogEntry
}

// snapshot must be taken before the backend is read: what is stored in between
// is then in both, and not in neither.
func (j *Journaled) snapshot(log string) (snapshot, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return snapshot{}, storage.ErrClosed
	}
	c := j.journal.chains[log]
	if c == nil {
		return snapshot{}, nil
	}
	s := snapshot{producer: c.producer, stored: c.stored}
	for _, e := range c.pending() {
		s.pending = append(s.pending, pendingEntry(e))
	}
	return s, nil
}

func pendingEntry(e *entry) storage.LogEntry {
	return storage.LogEntry{
		ID: e.op.ID, Data: e.op.Data, Link: e.op.Link,
		Pending: true, Received: e.at.UTC().Truncate(time.Microsecond),
	}
}

// explicit writes into the page's cursors which of our entries their holder has
// seen, where the backend has more of them than the journal knows: the reply was
// lost, or is on its way. Their positions alone would tell the journal nothing,
// should it have to answer the next read by itself.
func (s snapshot) explicit(page storage.LogPage, q storage.LogQuery) storage.LogPage {
	if page.State.Last[s.producer] <= s.stored || q.Before != nil {
		return page
	}
	seen := storage.Link{Producer: s.producer}
	if q.After != nil {
		seen.Number = partOf(*q.After, s.producer)
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Link.Producer == s.producer {
			seen.Number = max(seen.Number, e.Link.Number)
		}
		if seen.Number > s.stored {
			e.Cursor = e.Cursor.With(seen)
		}
	}
	if q.After == nil || !page.HasMore { // at the head
		seen.Number = page.State.Last[s.producer]
	}
	if seen.Number > s.stored {
		page.Cursor = page.Cursor.With(seen)
	}
	return page
}

// partOf is the number up to which the cursor's parts cover a producer; 0: none.
func partOf(c storage.Cursor, p storage.Producer) uint64 {
	for _, part := range c.Parts {
		if part.Producer == p {
			return part.Number
		}
	}
	return 0
}

// extend adds pending entries to a page that reached the head.
func (s snapshot) extend(page storage.LogPage, q storage.LogQuery) storage.LogPage {
	tail := q.After == nil
	if len(s.pending) == 0 || q.Before != nil || (!tail && page.HasMore) {
		return page
	}
	var fresh []storage.LogEntry
	for _, e := range s.pending {
		inLog := e.Link.Number <= page.State.Last[s.producer]
		if !inLog && (tail || !q.After.Saw(e.Link)) {
			fresh = append(fresh, e)
		}
	}
	limit := limitOf(q)
	if room := limit - len(page.Entries); !tail && len(fresh) > room {
		fresh, page.HasMore = fresh[:max(room, 0)], true
	}
	for _, e := range fresh {
		page.Cursor = page.Cursor.With(e.Link)
		e.Cursor = page.Cursor
		page.Entries = append(page.Entries, e)
	}
	if over := len(page.Entries) - limit; over > 0 { // the newest are wanted
		page.Entries, page.HasMore = page.Entries[over:], true
	}
	return page
}

func limitOf(q storage.LogQuery) int {
	if q.Limit <= 0 {
		return storage.DefaultPage
	}
	return min(q.Limit, storage.MaxPage)
}
