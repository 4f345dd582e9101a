package storage

import "time"

// LogState is what a driver knows of a log when it answers a read. The zero
// value is an unknown log.
type LogState struct {
	Epoch Epoch
	// Head is the position of the newest entry ever taken in this epoch, kept or
	// trimmed.
	Head Position
	// First is the oldest entry that is kept; zero when none is.
	First Position
	// Last holds the last number taken of each recent producer.
	Last map[Producer]uint64
}

// ReadPlan says which entries of a log answer a query: drivers read by it, so
// that all answer alike. Take the entries with positions in (After, Before), the
// oldest Limit of them, or with Newest the newest Limit.
type ReadPlan struct {
	After  int64 // µs, exclusive; -1: from the oldest
	Before int64 // µs, exclusive; 0: up to the head
	Newest bool
	Limit  int

	state  LogState
	cursor Cursor
	gap    bool
}

// Plan reads a query against the state of its log, which must have been taken
// in one step with the entries that are then read.
func (q LogQuery) Plan(s LogState) ReadPlan {
	p := ReadPlan{After: -1, Limit: q.limit(), state: s}
	switch {
	case q.Before != nil:
		p.Newest = true
		p.Before = max(q.Before.Pos.Micros, 1)
	case q.After == nil:
		p.Newest = true
	default:
		p.after(*q.After)
	}
	return p
}

func (q LogQuery) limit() int {
	if q.Limit <= 0 {
		return DefaultPage
	}
	return min(q.Limit, MaxPage)
}

func (p *ReadPlan) after(c Cursor) {
	s := p.state
	p.cursor = c
	foreign := c.Epoch != 0 && c.Epoch != s.Epoch
	ahead := c.Pos.Micros > s.Head.Micros && !c.timestamp
	if foreign || ahead {
		// Everything retained is the answer, and the reader is told so. His parts
		// stay: they name producers' entries, whatever epoch these stand in now.
		p.cursor = Cursor{Epoch: s.Epoch, Parts: c.Parts}
		p.gap = true
		return
	}
	p.After = min(c.Pos.Micros, s.Head.Micros)
	p.gap = trimmedAfter(c, s)
}

// trimmedAfter reports whether entries behind the cursor are no longer kept.
func trimmedAfter(c Cursor, s LogState) bool {
	if s.Head.Seq == 0 || c.Pos.Micros >= s.Head.Micros {
		return false
	}
	if s.First.Seq == 0 { // nothing is kept any more
		return true
	}
	if c.timestamp {
		// What was trimmed may have stood before that time; saying too much is
		// the safe side.
		return s.First.Seq > 1 && c.Pos.Micros < s.First.Micros
	}
	return s.First.Seq > c.Pos.Seq+1
}

// Page makes the answer from the entries that were read, oldest first, each with
// ID, Data, Pos and Link set; more says that further ones are there in the
// direction read.
func (p ReadPlan) Page(entries []LogEntry, more bool) LogPage {
	page := LogPage{HasMore: more, Gap: p.gap, State: p.state}
	c := p.cursor
	if p.Newest {
		c = p.startOfNewest(entries)
	}
	page.Entries = make([]LogEntry, 0, len(entries))
	for _, e := range entries {
		seen := c.Saw(e.Link)
		c = c.Pass(p.state.Epoch, e.Pos, e.Link)
		if seen {
			continue
		}
		e.Received, e.Cursor = e.Pos.Time(), c
		page.Entries = append(page.Entries, e)
	}
	if atHead := p.Before == 0 && (p.Newest || !more); atHead {
		c = Cursor{Epoch: p.state.Epoch, Pos: p.state.Head, Parts: c.Parts}.settle(p.state.Last)
		c.timestamp = c.Epoch == 0
	}
	page.Cursor = c
	return page
}

func (p ReadPlan) startOfNewest(entries []LogEntry) Cursor {
	if len(entries) > 0 || p.Before == 0 {
		return Cursor{Epoch: p.state.Epoch, Pos: p.state.Head}
	}
	// Nothing lies before: the reader stays where he was.
	return Cursor{Epoch: p.state.Epoch, Pos: Position{Micros: p.Before - 1}}
}

// reach is the position, in µs, that the answer's cursor must have reached for its
// reader to get on if he sends it back as a time cut to the unit of q.After; 0 if
// q.After is no time in whole milliseconds or seconds. Otherwise he gets the same
// page again and again where more than a page lies within one unit: what came in a
// burst stands 1 µs apart.
//
// MaxPage entries reach the end of any millisecond. A whole second may hold more of
// them, and then only the cursor itself leads on.
func (q LogQuery) reach() int64 {
	if q.After == nil || !q.After.IsTimestamp() {
		return 0
	}
	const millisecond, second = 1_000, 1_000_000
	switch micros := q.After.Pos.Micros; {
	case micros%second == 0:
		return micros + second
	case micros%millisecond == 0:
		return micros + millisecond
	}
	return 0
}

// fallsShort reports whether a page read with limit ended before reach because of
// that limit. What is pending has no position and lets the cursor stay where it is.
func (p LogPage) fallsShort(reach int64, limit int) bool {
	return len(p.Entries) >= limit && limit < MaxPage && p.Cursor.Pos.Micros < reach
}

// upTo is the page without what follows the first entry that reaches reach.
func (p LogPage) upTo(reach int64) LogPage {
	for i, e := range p.Entries[:max(len(p.Entries)-1, 0)] {
		if e.Cursor.Pos.Micros >= reach {
			p.Entries, p.Cursor, p.HasMore = p.Entries[:i+1], e.Cursor, true
			break
		}
	}
	return p
}

// DefaultHistory bounds an event log where nothing else is configured.
var DefaultHistory = History{MaxLen: 1000, MaxAge: 24 * time.Hour}

// History says how much of a log is kept: entries and time.
type History struct {
	MaxLen int
	MaxAge time.Duration
}
