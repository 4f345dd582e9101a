package resilient

import (
	"cmp"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// idleChains is how many logs without entries are remembered at most, for the
// number, head and floor of each.
const idleChains = 1 << 16

// journal holds entries in memory, by log and in the order of shipping. It has
// no lock: [Journaled].mu guards it.
type journal struct {
	maxBytes int64
	retain   time.Duration

	producer storage.Producer // of logs first seen from now on
	own      map[storage.Producer]struct{}
	chains   map[string]*chain
	sweepAt  int // forget idle chains when there are so many
	clock    uint64
	ids      map[idKey]*entry

	// queue are the logs with entries to send, in the order in which they are
	// served: a log that had its share goes to the end.
	queue []*chain
	// audit are the logs whose state in the backend is to be compared; the
	// gapped ones first. auditDue: all others are to be added.
	audit    []*chain
	auditDue bool

	pending list // not in the backend, oldest first
	aside   list // the same, of logs that are set aside
	shipped list // in the backend, kept for refilling
	asides  int  // logs that are set aside

	bytes        int64 // of all entries
	pendingBytes int64 // of those in pending and aside
	waiting      int   // entries in pending and aside that were acknowledged

	recovered uint64 // acknowledged as pending and stored since
	refilled  uint64 // stored again
	discarded uint64 // the log was deleted
}

type idKey struct{ log, id string }

func newJournal(maxBytes int64, retain time.Duration) *journal {
	p := storage.NewProducer()
	return &journal{
		maxBytes: maxBytes, retain: retain, producer: p,
		own:    map[storage.Producer]struct{}{p: {}},
		chains: make(map[string]*chain), sweepAt: idleChains,
		ids: make(map[idKey]*entry),
	}
}

// chain is the log's chain, made if there is none.
func (j *journal) chain(log string) *chain {
	c := j.chains[log]
	if c == nil {
		if len(j.chains) >= j.sweepAt {
			j.sweep()
		}
		c = &chain{owner: j, log: log, producer: j.producer}
		j.chains[log] = c
	}
	j.clock++
	c.used = j.clock
	return c
}

// sweep forgets the half of the idle logs that was not used for longest. Their
// last numbers are forgotten with them, so logs first seen from now on are in
// the chain of a new producer: a number is never given twice.
func (j *journal) sweep() {
	var idle []*chain
	for _, c := range j.chains {
		if len(c.entries) == 0 && !c.auditing && !c.aside {
			idle = append(idle, c)
		}
	}
	slices.SortFunc(idle, func(a, b *chain) int { return cmp.Compare(a.used, b.used) })
	for _, c := range idle[:len(idle)/2] {
		delete(j.chains, c.log)
	}
	j.sweepAt = max(idleChains, len(j.chains)+idleChains/2)
	j.producer = storage.NewProducer()
	j.own[j.producer] = struct{}{}
}

func entrySize(op *storage.Append) int64 {
	return int64(len(op.Data)) + int64(len(op.ID)) + entryOverhead
}

// add numbers op and queues it. The caller has seen to it that there is room.
func (j *journal) add(op *storage.Append, now time.Time) *entry {
	c := j.chain(op.Log)
	c.last++
	e := &entry{chain: c, op: *op, size: entrySize(op), at: now, done: make(chan struct{})}
	e.op.Log = c.log
	e.op.Link = storage.Link{Producer: c.producer, Number: c.last}
	e.op.Epoch = cmp.Or(op.Epoch, c.head.Epoch)
	c.entries = append(c.entries, e)
	j.ids[idKey{c.log, op.ID}] = e
	j.bytes += e.size
	j.pendingBytes += e.size
	if c.aside {
		j.aside.pushBack(e)
	} else {
		j.pending.pushBack(e)
	}
	j.enqueue(c)
	j.drop(now)
	return e
}

func (j *journal) enqueue(c *chain) {
	if !c.queued && c.shippable() {
		c.queued = true
		j.queue = append(j.queue, c)
	}
}

// confirm notes that the backend has e, which is its log's next to ship.
func (j *journal) confirm(e *entry, r storage.Result, now time.Time) {
	c := e.chain
	e.foreign = foreign(e, r)
	if r.Cursor.Pos.Micros == 0 { // taken long ago, its place is forgotten
		r.Cursor = c.headCursor(now).With(e.op.Link)
		r.ReceivedAt = e.at.UTC().Truncate(time.Microsecond)
	}
	e.result, e.placed, e.storedAt, e.unsure = r, true, now, false
	j.pendingBytes -= e.size
	if e.acked {
		j.waiting--
		j.recovered++
	}
	j.shipped.pushBack(e)
	c.ship++
	c.stored = max(c.stored, e.number())
	c.gaps, c.poisoned = 0, 0
	if c.rebase == e.number() {
		c.rebase = 0
	}
	c.saw(r.Cursor.Epoch, r.Cursor.Pos)
	// Should it have to be stored again, then not into a log that was dropped since.
	e.op.Epoch = cmp.Or(r.Cursor.Epoch, e.op.Epoch)
	e.settled()
}

// foreign reports whether a duplicate is that of another entry, rather than of
// e itself, sent before and taken although the reply was lost. Not every driver
// knows whose the first entry is; but the positions of a chain increase.
func foreign(e *entry, r storage.Result) bool {
	if !r.Duplicate {
		return false
	}
	if !e.unsure && !e.placed || r.Link.Number != 0 && r.Link != e.op.Link {
		return true
	}
	c, pos := e.chain, r.Cursor.Pos.Micros
	if c.ship == 0 || pos == 0 {
		return false
	}
	before := c.entries[c.ship-1]
	return !before.foreign && before.result.Cursor.Epoch == r.Cursor.Epoch && before.result.Cursor.Pos.Micros >= pos
}

// acknowledge notes that a caller is told that e is taken while it is pending:
// from now on readers see it.
func (j *journal) acknowledge(e *entry) {
	if !e.acked {
		e.acked = true
		j.waiting++
	}
	e.chain.visible = max(e.chain.visible, e.number())
}

// discard takes e, its log's next to ship, out of the journal for good.
func (j *journal) discard(e *entry, err error) {
	c := e.chain
	c.entries = slices.Delete(c.entries, c.ship, c.ship+1)
	j.pendingBytes -= e.size
	if e.acked {
		j.waiting--
	}
	j.discarded++
	e.err = err
	c.unknown()
	if c.ship == 0 {
		c.stored = 0 // what was there is not missed
	}
	j.forget(e)
	e.settled()
}

// dropLog lets go of what it holds of a log that was dropped, pending or not, and
// reports whether there was something. Numbers go on.
func (j *journal) dropLog(log string) (held bool) {
	c := j.chains[log]
	if c == nil {
		return false
	}
	for i, e := range c.entries {
		if i >= c.ship {
			j.pendingBytes -= e.size
			if e.acked {
				j.waiting--
				j.discarded++
			}
			e.err = storage.ErrGone
		}
		j.forget(e)
		e.settled()
	}
	held = len(c.entries) > 0
	if c.aside {
		j.asides--
	}
	if c.queued {
		j.queue = slices.DeleteFunc(j.queue, func(other *chain) bool { return other == c })
	}
	c.entries, c.ship, c.stored, c.rebase = nil, 0, 0, 0
	c.queued, c.gapped, c.aside = false, false, false
	c.unknown()
	return held
}

func (j *journal) forget(e *entry) {
	e.remove()
	j.bytes -= e.size
	if key := (idKey{e.chain.log, e.op.ID}); j.ids[key] == e {
		delete(j.ids, key)
	}
}

// drop lets go of shipped entries, oldest first: those that are over the bound,
// and those that were kept long enough.
func (j *journal) drop(now time.Time) {
	for e := j.shipped.front; e != nil; e = j.shipped.front {
		if j.bytes <= j.maxBytes && now.Sub(e.storedAt) <= j.retain {
			return
		}
		c := e.chain
		c.entries[0] = nil
		c.entries = c.entries[1:]
		c.ship--
		if len(c.entries) == 0 {
			c.entries = nil
		}
		j.forget(e)
	}
}

// fits reports whether pending entries of so many bytes more stay within the
// bound.
func (j *journal) fits(size int64) bool { return j.pendingBytes+size <= j.maxBytes }

// setAside stops sending a log, which cannot be written.
func (j *journal) setAside(c *chain, now time.Time) {
	if !c.aside {
		j.asides++
	}
	c.aside, c.asideAt, c.gapped = true, now, false
	for _, e := range c.entries[c.ship:] {
		j.aside.pushBack(e)
		e.settled()
	}
}

// revive has a log that was set aside tried once more.
func (j *journal) revive(c *chain) {
	c.aside = false
	j.asides--
	for _, e := range c.entries[c.ship:] {
		j.pending.pushBack(e)
	}
	j.enqueue(c)
}
