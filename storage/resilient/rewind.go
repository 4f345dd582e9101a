package resilient

import "github.com/actionflows/lifeline/storage"

// maxGaps is how many ErrGap in a row, each without an entry taken in between,
// end in a rebase, whatever the log's state says.
const maxGaps = 3

// auditAll has every log that the journal could refill compared.
func (j *journal) auditAll() {
	j.auditDue = false
	for _, c := range j.chains {
		if c.ship > 0 && !c.auditing && !c.aside {
			c.auditing = true
			j.audit = append(j.audit, c)
		}
	}
}

// auditFirst has one log compared before all others.
func (j *journal) auditFirst(c *chain) {
	if !c.auditing {
		c.auditing = true
		j.audit = append([]*chain{c}, j.audit...)
	}
}

// takeAudit takes up to most logs that are to be compared.
func (j *journal) takeAudit(most int) []*chain {
	if j.auditDue {
		j.auditAll()
	}
	var taken []*chain
	for len(j.audit) > 0 && len(taken) < most {
		c := j.audit[0]
		j.audit[0] = nil
		j.audit = j.audit[1:]
		c.auditing = false
		if !c.aside {
			taken = append(taken, c)
		}
	}
	return taken
}

// compare has the log refilled with what state says is missing. It returns how
// many entries that were in the backend are to be sent again.
func (j *journal) compare(c *chain, state storage.LogState) int {
	c.saw(state.Epoch, state.Head)
	last := state.Last[c.producer]
	if last >= c.stored && !c.gapped {
		return 0
	}
	n := j.rewind(c, state, last)
	c.gapped = false
	j.enqueue(c)
	return n
}

// rewind makes what follows number last the log's next to ship.
func (j *journal) rewind(c *chain, state storage.LogState, last uint64) int {
	from := min(c.at(last+1), c.ship)
	refill := c.ship - from
	kept := false // the log has lost entries and kept its epoch
	for i := c.ship - 1; i >= from; i-- {
		e := c.entries[i]
		kept = kept || e.result.Cursor.Epoch == state.Epoch
		j.unship(e)
	}
	c.ship = from
	c.visible = max(c.visible, c.stored)
	if refill == 0 && last < c.stored {
		c.stored = last // what was lost, the journal no longer has
	}
	c.rebase = 0
	if from < len(c.entries) {
		first := c.entries[from].number()
		if first > last+1 || kept || c.gaps >= maxGaps {
			c.rebase = first
		}
	}
	return refill
}

// unship makes a stored entry pending again; its caller was answered long ago.
func (j *journal) unship(e *entry) {
	j.pending.pushFront(e)
	j.pendingBytes += e.size
	j.refilled++
	if !e.acked {
		e.acked = true
	}
	j.waiting++
}
