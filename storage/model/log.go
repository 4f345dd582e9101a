package model

import (
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// ByID and ByLink implement [sequence.Index].
func (sp *Space) ByID(id string) (storage.LogEntry, bool) {
	e, ok := sp.IDs[id]
	return e, ok
}

// ByLink finds an entry that is kept.
func (sp *Space) ByLink(link storage.Link) (storage.LogEntry, bool) {
	i := slices.IndexFunc(sp.Entries, func(e storage.LogEntry) bool { return e.Link == link })
	if i < 0 {
		return storage.LogEntry{}, false
	}
	return sp.Entries[i], true
}

// append carries out and removes appends, those of each log together, because they
// succeed or fail together.
func (s State) append(appends []*storage.Append, results []storage.Result, now time.Time) {
	for _, g := range sequence.Group(appends) {
		sp := s.at(logs+g.Log, now)
		b := sequence.Place(sp.Log, sp, now.UnixMicro(), g.Appends)
		for i, place := range g.Places {
			results[place] = b.Results[i]
		}
		sp.Log = b.State
		sp.keep(b.Entries, g.Appends[len(g.Appends)-1].MaxLen)
	}
	clear(appends)
}

// keep stores entries, and trims those before them and the ids.
func (sp *Space) keep(entries []storage.LogEntry, maxLen int) {
	for _, e := range entries {
		sp.IDs[e.ID] = storage.LogEntry{Pos: e.Pos, Link: e.Link}
	}
	if window := max(maxLen, storage.DedupWindow); len(sp.IDs) >= 2*window {
		oldest := sp.Log.Head.Seq - uint64(window) //nolint:gosec // positive
		maps.DeleteFunc(sp.IDs, func(_ string, e storage.LogEntry) bool { return e.Pos.Seq <= oldest })
	}
	sp.Entries = append(sp.Entries, entries...)
	if n := len(sp.Entries) - maxLen; maxLen > 0 && n > 0 {
		sp.Entries = slices.Delete(sp.Entries, 0, n)
	}
}

func (s State) drop(name string, now time.Time) (existed bool) {
	if q := s[queues+name]; q != nil {
		existed = len(q.Records) > 0
		delete(s, queues+name)
	}
	if l := s[logs+name]; l != nil {
		existed = existed || l.Log.Known()
		state := l.Log.Drop(now)
		delete(s, logs+name)
		s.at(logs+name, now).Log = state
	}
	return existed
}

// ReadLog answers as [storage.Driver.ReadLog] does.
func (s State) ReadLog(log string, q storage.LogQuery, now time.Time) storage.LogPage {
	sp := s[logs+log]
	if sp == nil {
		sp = new(Space)
	}
	return sequence.Read(sp.Log, sp.Entries, q, now)
}
