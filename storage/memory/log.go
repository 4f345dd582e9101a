package memory

import (
	"container/list"
	"slices"
	"sort"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// What an entry and an id cost in memory besides their bytes: the structures,
// the map and the allocator's rounding, measured and rounded up.
const (
	entryOverhead = 192
	idOverhead    = 96
)

func cost(id string, data []byte) int64 {
	return int64(len(id)) + int64(len(data)) + entryOverhead + idOverhead
}

// log is one log. Its driver's lock guards it.
type log struct {
	name    string
	state   sequence.State
	entries []storage.LogEntry // what is kept, oldest first
	size    int64              // bytes of entries and ids
	written time.Time          // the last append
	held    bool               // it is among the driver's held
	place   *list.Element      // in the driver's full or empty
	ids     ids
}

// ids is what a log remembers of entries that it may have trimmed: two
// generations, of which the older one goes as a whole when the younger one has
// reached the window. So it holds between one and two windows.
type ids struct {
	young, old map[string]storage.LogEntry // without ID and Data
}

func (s *ids) find(id string) (storage.LogEntry, bool) {
	if e, ok := s.young[id]; ok {
		return e, true
	}
	e, ok := s.old[id]
	return e, ok
}

// add remembers an id and answers how many bytes the memory of ids has grown.
func (s *ids) add(e storage.LogEntry, window int) (grown int64) {
	if len(s.young) >= window {
		grown = -s.dropOld()
		s.young, s.old = nil, s.young
	}
	if s.young == nil {
		s.young = make(map[string]storage.LogEntry)
	}
	s.young[e.ID] = storage.LogEntry{Pos: e.Pos, Link: e.Link}
	return grown + int64(len(e.ID)) + idOverhead
}

// ByID implements [sequence.Index].
func (l *log) ByID(id string) (storage.LogEntry, bool) { return l.ids.find(id) }

// ByLink implements [sequence.Index]. It is asked only about numbers whose id is
// not known, which is rare enough for a search.
func (l *log) ByLink(link storage.Link) (storage.LogEntry, bool) {
	for _, v := range slices.Backward(l.entries) {
		if v.Link == link {
			return v, true
		}
	}
	return storage.LogEntry{}, false
}

func (l *log) add(entries []storage.LogEntry, maxLen int, now time.Time) {
	window := max(maxLen, storage.DedupWindow)
	for _, e := range entries {
		l.entries = append(l.entries, e)
		l.size += cost(e.ID, e.Data) - int64(len(e.ID)) - idOverhead
		l.size += l.ids.add(e, window)
	}
	l.written = now
	l.trim(maxLen, l.state.Oldest(now))
}

// trim drops entries below the position oldest, and down to maxLen once there
// are a quarter more.
func (l *log) trim(maxLen int, oldest int64) {
	n := l.search(oldest)
	if maxLen > 0 && len(l.entries)-n > maxLen+maxLen/4 {
		n = len(l.entries) - maxLen
	}
	l.drop(n)
}

// drop forgets the oldest n entries, but not their ids.
func (l *log) drop(n int) {
	for _, e := range l.entries[:n] {
		l.size -= cost(e.ID, e.Data) - int64(len(e.ID)) - idOverhead
	}
	// The array is shared with what is kept: let go of the data at once.
	clear(l.entries[:n])
	l.entries = l.entries[n:]
	if len(l.entries) == 0 {
		l.entries = nil
	}
}

// forget drops the history and leaves the state.
func (l *log) forget() {
	l.entries, l.ids, l.size = nil, ids{}, 0
}

// search answers the index of the first entry at or above a position in µs.
func (l *log) search(micros int64) int {
	return sort.Search(len(l.entries), func(i int) bool { return l.entries[i].Pos.Micros >= micros })
}

func (l *log) read(q storage.LogQuery, now time.Time) storage.LogPage {
	return sequence.Read(l.state, l.entries, q, now)
}
