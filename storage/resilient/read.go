package resilient

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// ReadLog implements [storage.Driver]. A page that reaches the head also shows
// the pending entries that were acknowledged. While the breaker is open, when
// the backend does not answer within ReadTimeout, and when it has lost entries
// that the journal is about to give back, the page is what the mirror and the
// journal know, with Degraded set.
func (j *Journaled) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	for range readTries {
		page, err := j.readLog(ctx, log, q)
		if !errors.Is(err, errLetGo) {
			return page, err
		}
	}
	return storage.LogPage{}, &storage.UnavailableError{
		Reason: "the journal is let go of faster than it is read", RetryAfter: time.Second, Err: errLetGo,
	}
}

// readTries is how often a page is made when what is on it goes meanwhile.
const readTries = 3

// errLetGo says that an entry was stored, and let go of by the journal, while a page
// with it was made: the backend has it now.
var errLetGo = errors.New("an entry is not in the journal any more")

func (j *Journaled) readLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	l := j.laneAt(&storage.Append{Log: log})
	if l.isOpen() && j.mayRead(ctx) == nil { // all that is pending is not gone through for nothing
		return j.degradedPage(log, q)
	}
	before, drops := j.snapshot(log), j.drops.Load()
	page, known, err := ask(ctx, j, l, func(ctx context.Context) (storage.LogPage, error) {
		return j.driver.ReadLog(ctx, log, q)
	})
	switch {
	case known && err != nil:
		return storage.LogPage{}, err
	case !known:
		return j.degradedPage(log, q)
	case before.behind(page.State):
		j.suspect(log)
		return j.degradedPage(log, q)
	}
	j.mu.Lock()
	j.note(log, page.State)
	before.forget(j.journal.chains[logOf(log)])
	j.mu.Unlock()
	if j.drops.Load() == drops { // else it may show what is not there any more
		j.mirror.read(log, q, page)
	}
	return j.extend(before, before.explicit(page, q), q)
}

// unmirror has the mirror forget a log, and what is being read of it.
func (j *Journaled) unmirror(log string) {
	j.drops.Add(1)
	j.mirror.drop(log)
}

// note remembers the head that a read has shown; mu is held.
func (j *Journaled) note(log string, s storage.LogState) {
	if s.Epoch != 0 && s.Head.Micros != 0 {
		j.journal.chain(logOf(log)).saw(s.Epoch, s.Head)
	}
}

// snapshot is what the journal shows of a log at one moment.
type snapshot struct {
	stored  map[storage.Producer]uint64 // the backend should have these
	known   map[storage.Producer]uint64 // and is known to have these
	pending []*entry
}

// shown is an entry of the journal as readers see it; op is nil while it is in the
// file only.
type shown struct {
	storage.LogEntry
	e  *entry
	op storage.Op
}

// snapshot must be taken before the backend is read: what is stored in between
// is then in both, and not in neither.
func (j *Journaled) snapshot(log string) (s snapshot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.journal.chains[logOf(log)]
	if c == nil {
		return s
	}
	s.stored = map[storage.Producer]uint64{c.producer: 0}
	for _, l := range c.stored {
		s.stored[l.Producer] = l.Number
	}
	s.known = c.standing()
	s.pending = slices.Clone(c.pending())
	for run := range runs(s.pending) {
		s.stored[run[0].link.Producer] = max(s.stored[run[0].link.Producer], 0)
	}
	for p := range s.stored {
		s.known[p] = max(s.known[p], 0)
	}
	return s
}

// forget has the snapshot know only what is still known to be in the backend: entries
// may have been found to be lost while the page was read.
func (s snapshot) forget(c *chain) {
	if c == nil {
		return
	}
	standing := c.standing()
	for p, known := range s.known {
		s.known[p] = min(known, standing[p])
	}
}

// behind reports whether the log's state lacks what the journal has stored in it.
func (s snapshot) behind(state storage.LogState) bool {
	for p, stored := range s.stored {
		if state.Last[p] < stored {
			return true
		}
	}
	return false
}

// showPending shows so many entries, the newest or the oldest of these, as they were
// when they were pending, but for those that are hidden. The rest is beyond them.
func (j *Journaled) showPending(entries []*entry, most int, newest bool) (list []shown, rest []*entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(entries) > 0 && len(list) < most {
		next := 0
		if newest {
			next = len(entries) - 1
		}
		if e := entries[next]; e.err == nil {
			list = append(list, e.showPending())
		}
		if newest {
			entries = entries[:next]
		} else {
			entries = entries[1:]
		}
	}
	if newest {
		slices.Reverse(list)
	}
	return list, entries
}

func (e *entry) showPending() shown {
	return shown{LogEntry: storage.LogEntry{
		ID: e.id, Link: e.link, Pending: true, Received: e.at.UTC().Truncate(time.Microsecond),
	}, e: e, op: e.op}
}

// show is the entry as readers see it; the journal's lock is held. One that stands in
// the log as another's has no place there of its own.
func (e *entry) show() shown {
	s := e.showPending()
	if e.inBackend() && !e.foreign {
		s.Pending, s.Pos, s.Received = false, e.result.Cursor.Pos, e.result.Cursor.Pos.Time()
	}
	return s
}

// entriesOf answers the entries with their data, without those whose record is
// damaged. It answers errLetGo where a page would pass an entry that it does not have.
func (j *Journaled) entriesOf(list []shown) ([]storage.LogEntry, error) {
	entries, ops := make([]*entry, len(list)), make([]storage.Op, len(list))
	for i := range list {
		entries[i], ops[i] = list[i].e, list[i].op
	}
	if err := j.load(entries, ops); err != nil {
		return nil, err
	}
	answer := make([]storage.LogEntry, 0, len(list))
	for i := range list {
		if a, ok := ops[i].(*storage.Append); ok {
			e := list[i].LogEntry
			e.Data = a.Data
			answer = append(answer, e)
			continue
		}
		if j.letGo(list[i].e) {
			return nil, errLetGo
		}
	}
	return answer, nil
}

func (j *Journaled) letGo(e *entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return e.in == nil
}

// explicit writes into the page's cursors which of our entries their holder has
// seen, where the backend has more of them than the journal knows: the reply was
// lost, or is on its way. Their positions alone would tell the journal nothing,
// should it have to answer the next read by itself.
func (s snapshot) explicit(page storage.LogPage, q storage.LogQuery) storage.LogPage {
	if q.Before != nil {
		return page
	}
	for p, known := range s.known {
		if page.State.Last[p] > known {
			page = explicitOf(page, q, p, known)
		}
	}
	return page
}

func explicitOf(page storage.LogPage, q storage.LogQuery, p storage.Producer, known uint64) storage.LogPage {
	seen := storage.Link{Producer: p}
	if q.After != nil {
		seen.Number = partOf(*q.After, p)
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Link.Producer == p {
			seen.Number = max(seen.Number, e.Link.Number)
		}
		if seen.Number > known {
			e.Cursor = e.Cursor.With(seen)
		}
	}
	if q.After == nil || !page.HasMore { // at the head
		seen.Number = page.State.Last[p]
	}
	if seen.Number > known {
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
func (j *Journaled) extend(s snapshot, page storage.LogPage, q storage.LogQuery) (storage.LogPage, error) {
	tail := q.After == nil
	if len(s.pending) == 0 || q.Before != nil || (!tail && page.HasMore) {
		return page, nil
	}
	var fresh []*entry
	for run := range runs(s.pending) {
		p := run[0].link.Producer
		seen := page.State.Last[p]
		if !tail {
			seen = max(seen, partOf(*q.After, p))
		}
		fresh = append(fresh, above(run, seen)...)
	}
	limit := limitOf(q)
	most := limit
	if !tail {
		most = limit - len(page.Entries)
	}
	pending, rest := j.showPending(fresh, most, tail)
	page.HasMore = page.HasMore || len(rest) > 0
	if tail {
		for run := range runs(rest) { // he wants what is newer
			page.Cursor = page.Cursor.With(run[len(run)-1].link)
		}
	}
	entries, err := j.entriesOf(pending)
	if err != nil {
		return storage.LogPage{}, err
	}
	for _, e := range entries {
		page.Cursor = page.Cursor.With(e.Link)
		e.Cursor = page.Cursor
		page.Entries = append(page.Entries, e)
	}
	if over := len(page.Entries) - limit; over > 0 { // the newest are wanted
		page.Entries, page.HasMore = page.Entries[over:], true
	}
	return page, nil
}

func limitOf(q storage.LogQuery) int {
	if q.Limit <= 0 {
		return storage.DefaultPage
	}
	return min(q.Limit, storage.MaxPage)
}
