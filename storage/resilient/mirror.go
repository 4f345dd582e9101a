package resilient

import (
	lru "container/list"
	"slices"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

// mirrorBounds say how much a mirror keeps. An entry counts with its id, its data
// and mirrorEntryOverhead, a log with its name and mirrorLogOverhead beside its
// entries.
type mirrorBounds struct {
	entries  int   // of one log
	logBytes int64 // of one log's entries
	bytes    int64 // in all
}

var defaultMirrorBounds = mirrorBounds{entries: 256, logBytes: 64 << 10, bytes: 64 << 20}

const (
	mirrorEntryOverhead = 128
	mirrorLogOverhead   = 256
)

// mirror keeps, of each log that somebody reads, the newest entries without a
// hole, from which reads are answered while the backend is away. The log that was
// read least recently goes first. It is safe for concurrent use and never asks
// the backend.
//
// What it is told may come in any order: a page that was read before another but
// told after it does no harm. One that was read before drop and is told after it
// does, so whoever drops a log must keep such pages away.
type mirror struct {
	bounds mirrorBounds

	mu    sync.Mutex
	logs  map[string]*mirrored
	used  lru.List // of *mirrored, the one used last in front
	bytes int64
}

func newMirror(b mirrorBounds) *mirror {
	return &mirror{bounds: b, logs: map[string]*mirrored{}}
}

// read notes what a page of the backend has shown. Only a page that reaches the
// head counts: the tail, or what follows a cursor without more behind it.
func (m *mirror) read(log string, q storage.LogQuery, page storage.LogPage) {
	if q.Before != nil || q.After != nil && page.HasMore || page.Degraded {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if page.State.Epoch == 0 && len(page.Entries) > 0 { // its state was lost
		m.forget(log)
		return
	}
	l := m.use(log)
	before := l.size
	if shown, ok := shownBy(q, page); ok {
		l.merge(shown.newest(m.bounds))
	}
	l.trim(page.State)
	m.resize(l, before)
}

// stored notes an entry that this node has appended and the backend has placed, no
// duplicate. It extends the window if it is the next one; otherwise it is left to
// the next read, which will show it with what lies before it. A log that nobody
// has read is not mirrored.
func (m *mirror) stored(log string, epoch storage.Epoch, e storage.LogEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[log]
	if l == nil || epoch == 0 || e.Pending || !follows(l.End, e.Pos) {
		return
	}
	if l.Epoch == 0 { // read while there was no such log; this is its first entry
		l.Epoch = epoch
	}
	if l.Epoch != epoch {
		return
	}
	before := l.size
	l.append([]storage.LogEntry{e})
	m.resize(l, before)
}

// drop forgets a log that was deleted, or is known to have lost entries.
func (m *mirror) drop(log string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(log)
}

// window answers what is known of a log without a hole. A log that is known to
// have been empty has no window: it had no epoch either.
func (m *mirror) window(log string) (w window, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[log]
	if l == nil || l.Epoch == 0 {
		return window{}, false
	}
	m.used.MoveToFront(l.place)
	return l.share(), true
}

// use answers a log's record as the one used last, a new one if need be; mu is
// held.
func (m *mirror) use(log string) *mirrored {
	l := m.logs[log]
	if l != nil {
		m.used.MoveToFront(l.place)
		return l
	}
	l = &mirrored{log: log}
	l.place = m.used.PushFront(l)
	m.logs[log] = l
	m.bytes += l.fixed()
	return l
}

// resize keeps the bounds after a log's entries have changed from so many bytes;
// mu is held.
func (m *mirror) resize(l *mirrored, before int64) {
	l.bound(m.bounds)
	m.bytes += l.size - before
	for m.bytes > m.bounds.bytes {
		oldest := m.used.Back()
		if oldest == nil {
			return
		}
		m.forget(oldest.Value.(*mirrored).log) //nolint:errcheck // nothing else is in it
	}
}

// forget drops a log; mu is held.
func (m *mirror) forget(log string) {
	l := m.logs[log]
	if l == nil {
		return
	}
	delete(m.logs, log)
	m.used.Remove(l.place)
	m.bytes -= l.size + l.fixed()
}

// mirrored is one log in the mirror. The mirror's lock guards it.
type mirrored struct {
	log   string
	place *lru.Element
	size  int64 // bytes that the entries count with

	window
	// shared: the entries were handed out, so they are copied before the next
	// change. Windows are asked for while the backend is away, and change while it
	// is there: a copy is made once in an outage and not once in an answer.
	shared bool
}

func (l *mirrored) fixed() int64 { return int64(len(l.log)) + mirrorLogOverhead }

func mirrorSize(e storage.LogEntry) int64 {
	return int64(len(e.ID)) + int64(len(e.Data)) + mirrorEntryOverhead
}

// share hands the window out; it will never change.
func (l *mirrored) share() window {
	l.shared = true
	w := l.window
	w.Entries = slices.Clip(w.Entries)
	return w
}

// own makes the entries the log's own again.
func (l *mirrored) own() {
	if l.shared {
		l.Entries, l.shared = append([]storage.LogEntry(nil), l.Entries...), false
	}
}

// append adds entries that follow one another and the window's last one.
func (l *mirrored) append(entries []storage.LogEntry) {
	if len(entries) == 0 {
		return
	}
	l.own()
	for _, e := range entries {
		l.Entries = append(l.Entries, l.inLog(e))
		l.size += mirrorSize(e)
		l.End = e.Pos
	}
}

// inLog is the entry as a reader without parts sees it, and without what its page
// would hold on to.
func (l *mirrored) inLog(e storage.LogEntry) storage.LogEntry {
	e.Pending, e.Received = false, e.Pos.Time()
	e.Cursor = storage.Cursor{Epoch: l.Epoch, Pos: e.Pos}
	return e
}

// dropOldest drops the n oldest entries.
func (l *mirrored) dropOldest(n int) {
	if n == 0 {
		return
	}
	l.own()
	l.From = l.Entries[n-1].Pos
	for _, e := range l.Entries[:n] {
		l.size -= mirrorSize(e)
	}
	clear(l.Entries[:n]) // the array lives on, their data must not
	l.Entries = l.Entries[n:]
}

// trim drops what the log itself no longer keeps. Of a window of another epoch it
// may drop too much, which is not wrong.
func (l *mirrored) trim(s storage.LogState) {
	gone := s.Head.Seq // none is kept
	if s.First.Seq > 0 {
		gone = s.First.Seq - 1
	}
	if gone > l.From.Seq {
		l.dropOldest(int(min(gone, l.End.Seq) - l.From.Seq))
	}
}

// bound drops the oldest entries until the window is within its bounds.
func (l *mirrored) bound(b mirrorBounds) {
	n, size := 0, l.size
	for len(l.Entries)-n > b.entries || size > b.logBytes {
		size -= mirrorSize(l.Entries[n])
		n++
	}
	l.dropOldest(n)
}

// merge takes over what a page has shown.
func (l *mirrored) merge(shown window) {
	switch {
	case l.Epoch == shown.Epoch && l.joins(shown):
		l.prepend(shown)
		if shown.End.Seq > l.End.Seq {
			l.append(shown.Entries[l.End.Seq-shown.From.Seq:])
		}
	case l.Epoch == shown.Epoch && shown.End.Seq < l.From.Seq && shown.End.Micros < l.End.Micros:
		// It was read before what the window holds.
	default:
		fresh := mirrored{window: window{Epoch: shown.Epoch, From: shown.From, End: shown.End}}
		fresh.append(shown.Entries)
		l.window, l.size, l.shared = fresh.window, fresh.size, false
	}
}

// prepend takes over what shown, which joins the window, has before it.
func (l *mirrored) prepend(shown window) {
	if shown.From.Seq > l.From.Seq {
		return
	}
	if shown.From.Seq == l.From.Seq {
		l.From.Micros = min(l.From.Micros, shown.From.Micros)
		return
	}
	older := shown.Entries[:l.From.Seq-shown.From.Seq]
	entries := make([]storage.LogEntry, 0, len(older)+len(l.Entries))
	for _, e := range older {
		entries = append(entries, l.inLog(e))
		l.size += mirrorSize(e)
	}
	l.Entries, l.shared = append(entries, l.Entries...), false
	l.From = shown.From
}
