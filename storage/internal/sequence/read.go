package sequence

import (
	"sort"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Read answers a query from all entries that are kept of a log, oldest first. What
// is older than the log's MaxAge at the time now is passed over.
func Read(s State, entries []storage.LogEntry, q storage.LogQuery, now time.Time) storage.LogPage {
	if !s.Known() {
		return q.Plan(storage.LogState{}).Page(nil, false)
	}
	entries = entries[search(entries, s.Oldest(now)):]
	state := storage.LogState{Epoch: s.Epoch, Head: s.Head, Last: s.Numbers()}
	if len(entries) > 0 {
		state.First = entries[0].Pos
	}
	p := q.Plan(state)
	from, to := search(entries, p.After+1), len(entries)
	if p.Before > 0 {
		to = search(entries, p.Before)
	}
	entries = entries[from:max(from, to)]
	more := len(entries) > p.Limit
	switch {
	case more && p.Newest:
		entries = entries[len(entries)-p.Limit:]
	case more:
		entries = entries[:p.Limit]
	}
	return p.Page(entries, more)
}

// search answers the index of the first entry at or above a position in µs.
func search(entries []storage.LogEntry, micros int64) int {
	return sort.Search(len(entries), func(i int) bool { return entries[i].Pos.Micros >= micros })
}
