package resilient

import (
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// degradedPage answers a query from the mirror and the journal. What the mirror has
// is without a hole, so the cursor passes it. Between the entries that only the
// journal holds other nodes may have written, so behind the mirror the canonical
// part of the cursor stays where it is, and only our part of it goes on: with the
// journal's entries side by side, it says exactly what the reader has been given.
func (j *Journaled) degradedPage(log string, q storage.LogQuery) (storage.LogPage, error) {
	w, mirrored := j.mirror.window(log)
	p := pages{window: w, mirrored: mirrored, limit: limitOf(q)}
	j.mu.Lock()
	// Of a log never seen, only a reader of its tail needs something kept: that
	// what follows lies behind the cursor he gets.
	c := j.journal.chains[logOf(log)]
	if c == nil && (q.After != nil || q.Before != nil) {
		c = j.journal.detached(logOf(log))
	} else if c == nil {
		c = j.journal.chain(logOf(log))
	}
	p.unshipped = c.unshipped()
	switch {
	case q.Before != nil:
		p.before(c, *q.Before)
	case q.After != nil:
		p.after(c, *q.After)
	default:
		p.tail(c, time.Now())
	}
	page := storage.LogPage{
		Cursor: p.cursor, HasMore: p.more, Gap: p.gap, Degraded: true,
		State: storage.LogState{Epoch: c.head.Epoch, Head: c.head.Pos},
	}
	j.mu.Unlock()
	entries, err := j.entriesOf(p.own)
	if err != nil {
		return storage.LogPage{}, err
	}
	page.Entries = append(p.others, entries...)
	return page, nil
}

// pages makes one degraded page: first what the mirror has, then what is known only
// to the journal.
type pages struct {
	window    window
	mirrored  bool
	unshipped []*entry // of the log
	limit     int

	others []storage.LogEntry
	own    []shown
	cursor storage.Cursor
	more   bool
	gap    bool
}

func (p *pages) count() int { return len(p.others) + len(p.own) }

// after gives what follows the cursor.
func (p *pages) after(c *chain, cursor storage.Cursor) {
	p.cursor = cursor
	if p.mirrored && !p.mirror(cursor) {
		return
	}
	covered := c.covered(p.cursor)
	holes := map[storage.Producer]bool{}
	for run := range runs(c.shown()) {
		// His epoch is gone, and no part of his cursor says how much he has of this
		// producer: what is stored in the new epoch, he may have from the old one. He
		// will be given everything when the backend is back; until then he gets what is
		// pending, each time anew, and is told that it is a gap.
		producer := run[0].link.Producer
		strange := c.strange(cursor) && partOf(cursor, producer) == 0
		if !p.afterRun(above(run, covered[producer]), covered, holes, strange) {
			return
		}
	}
}

// afterRun gives entries of one producer that are not covered, as long as there is
// room, and reports whether there was.
func (p *pages) afterRun(
	run []*entry, covered map[storage.Producer]uint64, holes map[storage.Producer]bool, strange bool,
) bool {
	for _, e := range run {
		producer, number := e.link.Producer, e.link.Number
		if strange || number != covered[producer]+1 {
			holes[producer] = true
		}
		if e.hidden() || strange && e.in == &e.chain.owner.shipped {
			covered[producer] = number
			continue
		}
		if e.passed(p.cursor) || !e.foreign && e.placed && e.result.Cursor.Pos.Micros == 0 {
			holes[producer] = holes[producer] || !e.foreign
			covered[producer] = number
			continue // he has it as another entry, or it stands nobody knows where
		}
		if p.count() == p.limit {
			p.more = !holes[producer]
			return false
		}
		covered[producer] = number
		p.gap = p.gap || strange
		if !holes[producer] {
			p.cursor = p.cursor.With(e.link)
		}
		p.add(e)
	}
	return true
}

func (p *pages) add(e *entry) {
	s := e.show()
	s.Cursor = p.cursor
	p.own = append(p.own, s)
}

// mirror gives what the mirror has behind the cursor, and reports whether that was
// all of it.
func (p *pages) mirror(cursor storage.Cursor) bool {
	entries, covers := p.window.after(cursor)
	if !covers {
		return true
	}
	for _, e := range entries {
		p.cursor = p.explicit(p.cursor.Pass(p.window.Epoch, e.Pos, e.Link), e.Link)
		if cursor.Saw(e.Link) {
			continue
		}
		if len(p.others) == p.limit {
			p.cursor, p.more = p.others[p.limit-1].Cursor, true
			return false
		}
		e.Cursor = p.cursor
		p.others = append(p.others, e)
	}
	return true
}

// explicit is the cursor that also says that its holder has seen an entry which the
// mirror has and the journal still takes to be pending: the reply was lost.
func (p *pages) explicit(cursor storage.Cursor, l storage.Link) storage.Cursor {
	if e := find(p.unshipped, l); e != nil && e.sent {
		return cursor.With(l)
	}
	return cursor
}

// covered is, by producer, the number up to which the holder of the cursor has been
// given our entries: by its part, or because an entry's position is not behind it.
func (c *chain) covered(cursor storage.Cursor) map[storage.Producer]uint64 {
	covered := map[storage.Producer]uint64{}
	for _, part := range cursor.Parts {
		covered[part.Producer] = part.Number
	}
	// Who is at the head has all that is stored, also what the journal has let go of; not
	// what was, and is to be stored again.
	if c.known && (cursor.Epoch == 0 || cursor.Epoch == c.head.Epoch) && cursor.Pos.Micros >= c.head.Pos.Micros {
		for producer, number := range c.standing() {
			covered[producer] = max(covered[producer], number)
		}
	}
	for _, d := range c.dropped {
		if (cursor.Epoch == 0 || cursor.Epoch == d.at.Epoch) && d.at.Pos.Micros <= cursor.Pos.Micros {
			covered[d.Producer] = max(covered[d.Producer], d.Number)
		}
	}
	for run := range runs(c.entries) {
		p := run[0].link.Producer
		never := above(run, c.storedOf(p)) // was any of these in the backend
		for _, e := range slices.Backward(run[:len(run)-len(never)]) {
			if e.placed && !e.foreign && c.comparable(cursor, e) && e.result.Cursor.Pos.Micros <= cursor.Pos.Micros {
				covered[p] = max(covered[p], e.link.Number)
				break
			}
		}
	}
	return covered
}

// passed reports whether the holder of a cursor has been given the entry as which this
// one stands in the log.
func (e *entry) passed(cursor storage.Cursor) bool {
	return e.foreign && e.inBackend() && e.chain.comparable(cursor, e) && e.result.Cursor.Pos.Micros <= cursor.Pos.Micros
}

// comparable reports whether the cursor and the entry's position are of one life
// of the log, or of lives that follow one another.
func (c *chain) comparable(cursor storage.Cursor, e *entry) bool {
	if e.result.Cursor.Pos.Micros == 0 {
		return false
	}
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

// tail gives the newest entries. The cursor starts at the end of the mirror; without
// one, before the first entry that has a position, so that what other nodes wrote in
// between is not passed; without that, at the last known head.
func (p *pages) tail(c *chain, now time.Time) {
	var newest []*entry
	mirrored := map[storage.Producer]uint64{}
	for _, e := range p.window.Entries {
		mirrored[e.Link.Producer] = e.Link.Number
	}
	for _, e := range slices.Backward(c.shown()) {
		stands := e.inBackend() && !e.foreign && e.result.Cursor.Pos.Micros > 0
		if len(newest) == p.limit || stands && p.mirrors(e) { // so it has those before, too
			break
		}
		if e.hidden() || e.inBackend() && !stands && !p.lacks(e) || e.link.Number <= mirrored[e.link.Producer] {
			continue
		}
		newest = append(newest, e)
	}
	p.cursor = c.headCursor(now)
	switch n := len(newest); {
	case p.mirrored:
		p.cursor = storage.Cursor{Epoch: p.window.Epoch, Pos: p.window.End}
		older := p.window.Entries
		p.others = slices.Clone(older[max(len(older)-(p.limit-n), 0):])
		for i := range p.others {
			e := &p.others[i]
			e.Cursor = storage.Cursor{Epoch: p.window.Epoch, Pos: e.Pos}
			p.cursor = p.explicit(p.cursor, e.Link)
		}
	case n > 0 && newest[n-1].inBackend():
		p.cursor = justBefore(newest[n-1].result.Cursor)
	}
	for _, e := range slices.Backward(newest) {
		p.cursor = p.cursor.With(e.link)
		p.add(e)
	}
}

// lacks reports whether an entry stands in the log as another one, which the mirror
// does not have. It must be given: the cursor passes its number, and should the log
// lose the other one, this one takes its place.
func (p *pages) lacks(e *entry) bool {
	return e.foreign && e.result.Cursor.Pos.Micros > 0 && !p.mirrors(e)
}

// mirrors reports whether the mirror has the stored entry.
func (p *pages) mirrors(e *entry) bool {
	return p.mirrored && e.result.Cursor.Pos.Micros <= p.window.End.Micros
}

// before gives entries with a position before the cursor.
func (p *pages) before(c *chain, cursor storage.Cursor) {
	p.cursor = cursor
	if c.strange(cursor) {
		return
	}
	if p.mirrored && (cursor.Epoch == 0 || cursor.Epoch == p.window.Epoch) {
		older := p.window.before(cursor)
		p.others = slices.Clone(older[max(len(older)-p.limit, 0):])
		for i := range p.others {
			p.others[i].Cursor = cursor
		}
		return
	}
	var older []*entry
	for _, e := range slices.Backward(c.entries[:c.ship]) {
		if len(older) == p.limit {
			break
		}
		if pos := e.result.Cursor.Pos.Micros; !e.foreign && pos > 0 && pos < cursor.Pos.Micros {
			older = append(older, e)
		}
	}
	for _, e := range slices.Backward(older) {
		p.add(e)
	}
}

func justBefore(c storage.Cursor) storage.Cursor {
	return storage.Cursor{Epoch: c.Epoch, Pos: storage.Position{
		Micros: c.Pos.Micros - 1, Seq: max(c.Pos.Seq, 1) - 1,
	}}
}
