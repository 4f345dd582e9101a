package resilient

import (
	"sort"

	"github.com/actionflows/lifeline/storage"
)

// window is a stretch of a log without a hole: the entries after From up to and
// with End, as many as their Seqs differ. From.Seq 0 says that nothing was ever
// before it; otherwise From.Micros may be any time from which on nothing is missing.
// A window is a value that never changes; neither must its entries be changed.
// Their cursors are those of a reader without parts.
type window struct {
	Epoch     storage.Epoch
	From, End storage.Position
	Entries   []storage.LogEntry // oldest first
}

// shownBy is the stretch that a page which reaches the head has shown, up to its
// last entry, in part of the page's own entries. It is false if there is none:
// what the reader had seen pending is left out of his page, and may leave nothing.
func shownBy(q storage.LogQuery, page storage.LogPage) (w window, ok bool) {
	w.Epoch = page.State.Epoch
	start, end := 0, 0
	for i, e := range page.Entries {
		if e.Pending {
			break
		}
		if i > 0 && !follows(page.Entries[i-1].Pos, e.Pos) {
			start = i
		}
		end = i + 1
	}
	if end == 0 {
		w.From, w.End = page.State.Head, page.State.Head
		return w, showsEnd(q, page.State)
	}
	w.Entries = page.Entries[start:end:end]
	w.From, w.End = startBefore(w.Entries[0].Pos), w.Entries[end-start-1].Pos
	c := q.After
	if c != nil && start == 0 && w.From.Seq > 0 && !page.Gap && len(c.Parts) == 0 {
		w.From.Micros = c.Pos.Micros // nothing is between them
	}
	return w, true
}

// showsEnd reports whether an answer without entries says that none are kept, or
// that the reader is at the head.
func showsEnd(q storage.LogQuery, s storage.LogState) bool {
	c := q.After
	return c == nil || s.First.Seq == 0 ||
		c.Pos.Micros >= s.Head.Micros && (c.Epoch == 0 || c.Epoch == s.Epoch)
}

// startBefore is the start of a window whose first entry stands at p. Where the entry
// before it stands, or stood, is unknown.
func startBefore(p storage.Position) storage.Position {
	if p.Seq <= 1 {
		return storage.Position{}
	}
	return storage.Position{Micros: p.Micros - 1, Seq: p.Seq - 1}
}

// follows reports whether q is the next position after p.
func follows(p, q storage.Position) bool { return q.Seq == p.Seq+1 && q.Micros > p.Micros }

// newest is the part of the window that is within the bounds of one log.
func (w window) newest(b mirrorBounds) window {
	n, size := len(w.Entries), int64(0)
	for n > 0 && len(w.Entries)-n < b.entries {
		size += mirrorSize(w.Entries[n-1])
		if size > b.logBytes {
			break
		}
		n--
	}
	if n > 0 {
		w.From, w.Entries = w.Entries[n-1].Pos, w.Entries[n:]
	}
	return w
}

// joins reports whether there is no hole between two windows of one epoch, and no
// contradiction: a backend that has lost entries may give their numbers again.
func (w window) joins(x window) bool {
	if w.From.Seq > x.End.Seq || x.From.Seq > w.End.Seq {
		return false
	}
	for s := max(w.From.Seq, x.From.Seq) + 1; s <= min(w.End.Seq, x.End.Seq); s++ {
		if w.at(s) != x.at(s) {
			return false
		}
	}
	switch {
	case w.End.Seq < x.End.Seq:
		return follows(w.End, x.at(w.End.Seq+1))
	case w.End.Seq > x.End.Seq:
		return follows(x.End, w.at(x.End.Seq+1))
	}
	return w.End == x.End
}

// at is the position of the entry with that number, which must be in the window.
func (w window) at(seq uint64) storage.Position { return w.Entries[seq-w.From.Seq-1].Pos }

// from is the index of the first entry at or above a position in µs.
func (w window) from(micros int64) int {
	return sort.Search(len(w.Entries), func(i int) bool { return w.Entries[i].Pos.Micros >= micros })
}

// after answers the entries behind a cursor without those that its holder saw while
// they were pending, each with the cursor that he gets with it, and whether
// the window covers the cursor: nothing is missing between it and End. If it does
// not, the cursors do not advance. A cursor of another epoch is answered with
// nothing; one behind End is covered.
func (w window) after(c storage.Cursor) (entries []storage.LogEntry, covers bool) {
	if c.Epoch != 0 && c.Epoch != w.Epoch {
		return nil, false
	}
	covers = w.From.Seq == 0 || c.Pos.Micros >= w.From.Micros ||
		c.Epoch == w.Epoch && c.Pos.Seq >= w.From.Seq
	behind := w.Entries[w.from(c.Pos.Micros+1):]
	if covers && len(c.Parts) == 0 {
		return behind, true
	}
	at := c
	for _, e := range behind {
		seen := at.Saw(e.Link)
		if covers {
			at = at.Pass(w.Epoch, e.Pos, e.Link)
		}
		if seen {
			continue
		}
		e.Cursor = at
		entries = append(entries, e)
	}
	return entries, covers
}

// before answers the entries with positions before a cursor: all from From on. A
// cursor of another epoch is answered with nothing.
func (w window) before(c storage.Cursor) []storage.LogEntry {
	if c.Epoch != 0 && c.Epoch != w.Epoch {
		return nil
	}
	n := w.from(c.Pos.Micros)
	return w.Entries[:n:n]
}
