package resilient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// batch is what one Apply carries: the first chains of the queue, some entries
// of each.
type batch struct {
	chains  int
	entries []*entry // those of one chain side by side
	ops     []storage.Op
}

// take makes a batch from the front of the queue, which it leaves as it is. What
// it takes may be in the backend from now on.
func (l *lane) take(most int, bytes int64) (b batch) {
	var size int64
	for _, c := range l.queue {
		for i, e := range c.unshipped() {
			if !l.owner.journal.maySend(e) {
				break
			}
			if len(b.entries) > 0 && (len(b.entries) >= most || size+e.size > bytes) {
				return b
			}
			if i == 0 {
				b.chains++
			}
			if !e.sent && c.kind == aCollection {
				e.first = l.owner.documents.begin()
			}
			e.sent = true
			b.entries = append(b.entries, e)
			size += e.size
		}
	}
	return b
}

// fill sets the operations of a batch, some of which the file has, and leaves out
// those that it does not have any more.
func (j *Journaled) fill(b *batch) error {
	j.mu.Lock()
	ops := make([]storage.Op, len(b.entries))
	for i, e := range b.entries {
		ops[i] = e.op
	}
	j.mu.Unlock()
	if err := j.load(b.entries, ops); err != nil {
		return err
	}
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := b.entries
	b.entries = nil
	for i, e := range entries {
		if ops[i] == nil {
			if e.waits() {
				j.journal.refuse(e, errDamaged)
			}
			continue
		}
		b.entries = append(b.entries, e)
		b.ops = append(b.ops, e.toSend(ops[i], now))
	}
	return nil
}

var errDamaged = errors.New("its record in the journal is damaged")

// load reads from the file the operations that are nil. One whose record is damaged,
// which the file has reported, stays nil.
func (j *Journaled) load(entries []*entry, ops []storage.Op) error {
	var seqs []uint64
	places := map[uint64]int{}
	for i, e := range entries {
		if ops[i] == nil {
			seqs, places[e.seq] = append(seqs, e.seq), i
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	loaded, err := j.file.Load(seqs)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for _, record := range loaded {
		ops[places[record.Seq]] = record.Op
	}
	return nil
}

// settle notes what became of a batch, and says why some of it is to be sent
// again.
func (l *lane) settle(b batch, results []storage.Result, err error) error {
	j := l.owner
	if err == nil && len(results) != len(b.ops) {
		err = fmt.Errorf("driver answered %d results for %d operations", len(results), len(b.ops))
	}
	if len(results) != len(b.ops) {
		results = failAll(len(b.ops), err)
	}
	now := time.Now()
	j.mu.Lock()
	waited, discarded := j.journal.waiting > 0, j.journal.discarded
	poisoned, failed := l.settleAll(b, results, err, now)
	if failed != nil {
		l.suspectAll(b)
	}
	j.remember(b, now)
	changed := waited && j.journal.waiting == 0
	discarded = j.journal.discarded - discarded
	lazy := j.file != nil && j.journal.lazy() >= lazyRecords
	j.mu.Unlock()
	if lazy {
		j.wakeCommitter()
	}
	for _, p := range poisoned {
		j.logPoison(p)
	}
	if discarded > 0 {
		j.complaints.discarded.note(int(discarded)) //nolint:gosec // a count
	}
	if changed || failed != nil || len(poisoned) > 0 || discarded > 0 {
		j.observer.look()
	}
	return failed
}

// suspectAll has what a failed batch was for compared: all of it where the backend
// tells of losses itself, and otherwise everything.
func (l *lane) suspectAll(b batch) {
	if !l.owner.tells {
		l.auditDue = true
		return
	}
	for _, e := range b.entries {
		if e.chain.kind == aLog && e.chain.ship > 0 {
			l.auditLater(e.chain)
		}
	}
}

// poison is a log that was set aside, or another target's operation that was given
// up, and why.
type poison struct {
	target  target
	entries int
	err     error
}

// maxPoison is how often an entry is refused before its log is set aside.
const maxPoison = 3

// settleAll notes the outcome of each entry of a batch, and puts the batch's
// chains where they belong: to the end of the queue, or, if the batch failed, back
// to where they were.
func (l *lane) settleAll(b batch, results []storage.Result, err error, now time.Time) (poisoned []poison, failed error) {
	for i := 0; i < len(b.entries); {
		c := b.entries[i].chain
		end := i
		for end < len(b.entries) && b.entries[end].chain == c {
			end++
		}
		stop := c.settle(b.entries[i:end], results[i:end], err, now)
		switch {
		case stop == nil:
		case errors.Is(stop, storage.ErrGap):
			c.gap()
		case permanent(stop):
			if p, told := c.poison(stop, now); told {
				poisoned = append(poisoned, p)
			}
		default:
			failed = stop
		}
		i = end
	}
	if failed == nil {
		failed = err
	}
	l.requeue(b.chains, failed != nil)
	l.owner.journal.drop(now)
	return poisoned, failed
}

// settle notes the outcomes of one chain's entries, up to the first that is not
// settled, and answers why.
func (c *chain) settle(entries []*entry, results []storage.Result, err error, now time.Time) error {
	j := c.owner
	for i := 0; i < len(entries); i++ {
		e, r := entries[i], results[i]
		switch {
		case e.in == nil: // dropped meanwhile
		case r.Err == nil && err != nil && r.Cursor.Pos.Micros == 0 && c.kind == aLog:
			for _, left := range entries[i:] {
				left.unsure = true // the driver did not say
			}
			return err
		case r.Err == nil:
			j.confirm(e, r, now)
		case errors.Is(r.Err, storage.ErrGone):
			n := 1
			for i+n < len(entries) && entries[i+n].in != nil && errors.Is(results[i+n].Err, storage.ErrGone) {
				n++
			}
			j.gone(entries[i:i+n], r.Err)
			i += n - 1
		case errors.Is(r.Err, storage.ErrFull) && !e.acked:
			j.refuse(e, r.Err)
			return storage.ErrGap // those behind it go on without its number
		case errors.Is(r.Err, storage.ErrFull): // acknowledged while it was on its way
			return storage.ErrGap
		default:
			for _, left := range entries[i:] {
				left.unsure = left.unsure || !errors.Is(r.Err, storage.ErrGap) && !permanent(r.Err)
			}
			return r.Err
		}
	}
	return nil
}

// gone discards entries of an epoch that has ended, which are their chain's next to
// ship: all at once, for a log that was deleted may have many.
func (j *journal) gone(entries []*entry, err error) {
	c := entries[0].chain
	c.entries = slices.Delete(c.entries, c.ship, c.ship+len(entries))
	for _, e := range entries {
		if c.rebase == e {
			c.rebase = nil
		}
		c.wrote(e)
		j.abandon(e, err)
		if !e.acked {
			j.discarded++
		}
	}
	c.unknown()
	if c.ship == 0 {
		c.stored = nil // what was there is not missed
	}
}

// refuse discards an entry that the backend will not have, and whose number it has
// not taken.
func (j *journal) refuse(e *entry, err error) {
	c := e.chain
	j.discard(e, err)
	switch next := c.nextLinked(); {
	case e.link.Number == 0:
	case next != nil:
		c.rebase = next
	case e.unsure: // it may have, after all
	case e.link == storage.Link{Producer: c.producer, Number: c.last}:
		c.last--
	}
}

// gap notes that the backend lacks the number before the chain's next. What it
// lacks of a log is given back to it if it can be, after a look at the log. What is
// sent to a queue belongs to the backend, and a collection has a number only for
// each Add, so these go on, or begin again, from what is there.
func (c *chain) gap() {
	switch {
	case c.kind == aLog:
		c.gapped = true
		c.gaps++
		c.lane.auditFirst(c)
		c.lane.auditDue = c.lane.auditDue || !c.lane.owner.tells
	case c.kind == aCollection && c.storedBeforeNext():
		c.rewindAll()
	default:
		c.gaps++
		if c.rebase = c.nextLinked(); c.rebase != nil {
			c.rebase.unsure = false // it is not there
		}
	}
}

// storedBeforeNext reports whether the journal has the number before that of the next
// entry to ship: sent again, it fills the gap.
func (c *chain) storedBeforeNext() bool {
	next := c.nextLinked()
	return next != nil && slices.ContainsFunc(c.entries[:c.ship], func(e *entry) bool {
		return e.link == storage.Link{Producer: next.link.Producer, Number: next.link.Number - 1}
	})
}

// nextLinked is the first entry to ship that has a number; nil: there is none.
func (c *chain) nextLinked() *entry {
	for _, e := range c.unshipped() {
		if e.link.Number > 0 {
			return e
		}
	}
	return nil
}

// poison notes that the backend refuses the chain's next entry for good. A log is
// set aside as a whole; elsewhere the others do not depend on that entry.
func (c *chain) poison(err error, now time.Time) (p poison, told bool) {
	c.poisoned++
	e := c.entries[c.ship]
	p = poison{c.target, len(c.unshipped()), err}
	if c.kind == aLog {
		if c.poisoned >= maxPoison {
			c.owner.setAside(c, now)
		}
		return p, c.poisoned == maxPoison // told once, not at each try later on
	}
	if e.acked && c.poisoned < maxPoison {
		return p, false
	}
	c.poisoned = 0
	p.entries = 1
	c.owner.refuse(e, err)
	return p, true
}

// permanent reports whether an entry's own error says that it will not be taken
// the next time either.
func permanent(err error) bool {
	var unavailable *storage.UnavailableError
	return !errors.As(err, &unavailable) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrClosed)
}

// remember notes what of a batch is in the backend now, for the time when that is
// away; mu is held.
func (j *Journaled) remember(b batch, now time.Time) {
	for i, e := range b.entries {
		if !e.inBackend() || e.storedAt != now {
			continue
		}
		switch e.chain.kind {
		case aLog:
			if a, ok := b.ops[i].(*storage.Append); ok && !e.result.Duplicate {
				at := e.result.Cursor
				j.mirror.stored(a.Log, at.Epoch, storage.LogEntry{
					ID: e.id, Data: a.Data, Link: e.link, Pos: at.Pos, Received: at.Pos.Time(),
				})
			}
		case aCollection:
			if _, isAdd := b.ops[i].(*storage.Add); e.result.Duplicate && !isAdd {
				j.documents.forget(e.chain.name) // another writer's is there, or ours since long
			} else if !e.result.Duplicate {
				e.first.wrote(b.ops[i], now)
			}
		case aQueue:
		}
	}
}

// requeue puts the first n chains of the queue, those of a batch, to its end, or
// back to its front in the same order. Those with nothing to ship leave it.
func (l *lane) requeue(n int, front bool) {
	n = min(n, len(l.queue))
	served := append([]*chain(nil), l.queue[:n]...)
	kept := served[:0]
	for _, c := range served {
		if c.shippable() {
			kept = append(kept, c)
		} else {
			c.queued = false
		}
	}
	if front {
		l.queue = l.queue[n-len(kept):]
		copy(l.queue, kept)
		return
	}
	clear(l.queue[:n])
	l.queue = append(l.queue[n:], kept...)
}
