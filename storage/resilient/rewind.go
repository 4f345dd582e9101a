package resilient

import (
	"slices"

	"github.com/actionflows/lifeline/storage"
)

// maxGaps is how many ErrGap in a row, each without an entry taken in between,
// end in a rebase, whatever the log's state says.
const maxGaps = 3

// auditAll has every chain of the lane that the journal could refill compared.
func (l *lane) auditAll() {
	l.auditDue = false
	for _, c := range l.owner.journal.chains {
		if c.lane == l && c.ship > 0 && c.kind != aQueue {
			l.auditLater(c)
		}
	}
}

// auditFirst has one log compared before all others.
func (l *lane) auditFirst(c *chain) {
	if !c.auditing {
		c.auditing = true
		l.audit = append([]*chain{c}, l.audit...)
	}
}

// auditLater has a chain compared after the others: also one of which everything is
// still on its way, for it may be lost by the time that the answer is here.
func (l *lane) auditLater(c *chain) {
	if !c.auditing && !c.aside && len(c.entries) > 0 {
		c.auditing = true
		l.audit = append(l.audit, c)
	}
}

// takeAudit takes up to most chains that are to be compared.
func (l *lane) takeAudit(most int) []*chain {
	if l.auditDue {
		l.auditAll()
	}
	var taken []*chain
	for _, queue := range []*[]*chain{&l.urgent, &l.audit} {
		for len(*queue) > 0 && len(taken) < most {
			c := (*queue)[0]
			(*queue)[0] = nil
			*queue = (*queue)[1:]
			c.auditing, c.urgent = false, false
			if !c.aside {
				taken = append(taken, c)
			}
		}
	}
	return taken
}

// hurry has a chain compared before others, for something is to be sent to it.
func (l *lane) hurry(c *chain) {
	if c.gapped && !c.urgent {
		c.urgent = true
		l.urgent = append(l.urgent, c)
	}
}

// lost has what the journal holds of a partition given back to it: the backend has
// told that it is no longer there. The driver calls it, perhaps while a batch is on
// its way, so it only notes what is to be done between batches.
func (j *Journaled) lost(partition string) {
	j.mu.Lock()
	lanes := map[*lane]struct{}{}
	for _, c := range j.journal.chains {
		if c.partition != partition {
			continue
		}
		switch c.kind {
		case aLog:
			j.unmirror(c.name)
		case aCollection:
			j.documents.forget(c.name)
		case aQueue:
			continue // what was sent to it is not handed out twice
		}
		c.lost = c.kind == aCollection
		c.lane.auditLater(c)
		lanes[c.lane] = struct{}{}
	}
	j.mu.Unlock()
	j.complaints.lost.note(1)
	j.observer.look()
	for l := range lanes {
		l.wake()
	}
}

// compare has the log refilled with what state says is missing. It returns how
// many entries that were in the backend are to be sent again.
func (c *chain) compare(state storage.LogState) int {
	c.saw(state.Epoch, state.Head)
	if !c.behind(state.Last) && !c.gapped {
		return 0
	}
	n := c.rewind(state)
	c.gapped = false
	c.lane.enqueue(c)
	return n
}

// rewind makes the first entry that state lacks the log's next to ship.
func (c *chain) rewind(state storage.LogState) int {
	from := 0
	for from < c.ship && c.entries[from].link.Number <= state.Last[c.entries[from].link.Producer] {
		from++
	}
	kept := false                        // the log has lost entries and kept its epoch
	for _, e := range c.entries[from:] { // also what an earlier look has found missing
		kept = kept || e.placed && e.result.Cursor.Epoch == state.Epoch
	}
	refill := c.unship(from)
	c.concede(state.Last)
	c.rebase = nil
	if from < len(c.entries) {
		first := c.entries[from]
		if first.link.Number > state.Last[first.link.Producer]+1 || kept || c.gaps >= maxGaps {
			c.rebase = first
		}
	}
	return refill
}

// concede no longer expects of the log what was lost and the journal no longer has.
func (c *chain) concede(last map[storage.Producer]uint64) {
	again := map[storage.Producer]bool{}
	for _, e := range c.unshipped() {
		again[e.link.Producer] = again[e.link.Producer] || e.placed
	}
	for _, l := range append([]storage.Link(nil), c.stored...) {
		if !again[l.Producer] {
			c.setStored(storage.Link{Producer: l.Producer, Number: min(l.Number, last[l.Producer])})
		}
	}
}

// rewindAll has all that the journal holds of a collection sent again: what is
// there already is a duplicate.
func (c *chain) rewindAll() {
	c.lost, c.gapped, c.probed = false, false, 0
	c.unship(0)
	c.lane.enqueue(c)
}

// unship makes the stored entries from this one on pending again; their callers
// were answered long ago.
func (c *chain) unship(from int) (n int) {
	j := c.owner
	if from < c.ship {
		c.visible = max(c.visible, c.entries[c.ship-1].seq)
	}
	for i := c.ship - 1; i >= from; i-- {
		e := c.entries[i]
		c.lane.pending.pushFront(e)
		c.writing(e)
		j.pendingBytes += e.size
		j.refilled++
		e.acked = true
		j.waiting++
	}
	n = c.ship - from
	c.ship = min(c.ship, from)
	c.own = storage.Cursor{}
	for _, e := range slices.Backward(c.entries[:c.ship]) {
		if !e.foreign {
			c.own = e.result.Cursor
			break
		}
	}
	return n
}
